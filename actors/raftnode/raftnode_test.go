package raftnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// counter counts its commands.
type counter struct{ n int }

func (c *counter) Apply(uint64, int64, []byte) []byte {
	c.n++
	return fmt.Appendf(nil, "%d", c.n)
}

func (c *counter) Snapshot() (io.WriterTo, error) { return strings.NewReader(fmt.Sprint(c.n)), nil }

func (c *counter) Restore(r io.Reader) error {
	_, err := fmt.Fscan(r, &c.n)
	return err
}

// single is a group of one voter on a disk in memory.
type single struct {
	*Handle
	store  *storage.Store
	failed chan error
}

func startSingle(t *testing.T, disk *storage.Memory, change func(*Config)) single {
	t.Helper()
	store, err := storage.Open("data", storage.Options{FS: disk, Node: "n1", SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s := single{store: store, failed: make(chan error, 1)}
	id := raft.ID(store.Identity().Incarnation)
	begin := time.Now()
	config := Config{
		Raft: raft.Config{ID: id}, Group: 1, Name: "test", Store: store,
		Bootstrap: []raft.Member{{ID: id, Voter: true, Name: "n1"}},
		Machine:   func() replica.StateMachine { return &counter{} },
		Peer:      func(raft.ID) *actor.PID { return nil },
		Clock:     func() raft.Time { return raft.Time(time.Since(begin)) },
		FailStop: func(err error) {
			select {
			case s.failed <- err:
			default:
			}
		},
	}
	if change != nil {
		change(&config)
	}
	system := actors.NewSystem(slog.New(slog.DiscardHandler))
	strategy := actors.NewStrategy(actors.StrategyConfig{MinDelay: time.Millisecond,
		OnFailStop: func(_ *actor.PID, reason any) { config.FailStop(fmt.Errorf("%v", reason)) }})
	if s.Handle, err = Spawn(system, config, "raft/test", strategy); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = system.Root.StopFuture(s.PID()).Wait()
		_ = store.Close()
	})
	return s
}

// add proposes one command, again while nobody leads, and returns the count.
func (s single) add(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		r, _, err := s.Propose(ctx, replica.Envelope{Kind: replica.KindPlain, Command: []byte("x")}.Append(nil))
		switch {
		case err == nil:
			return string(r.Value)
		case errors.Is(err, raft.ErrNotLeader):
			// the restarted replica has not elected itself yet
		default:
			t.Fatalf("propose: %v", err)
		}
	}
}

func TestAPanickedActorRebuildsItselfFromTheLogAndLosesNothing(t *testing.T) {
	s := startSingle(t, storage.NewMemory(1), nil)
	for i := 1; i <= 5; i++ {
		if got := s.add(t); got != fmt.Sprint(i) {
			t.Fatalf("count %s, want %d", got, i)
		}
	}
	_, err := ask(t.Context(), s.Handle, func(*Actor) (int, error) { panic("planted") })
	if !errors.Is(err, ErrUnknown) {
		t.Fatalf("a call under way at the panic ended with %v, want ErrUnknown", err)
	}
	if got := s.add(t); got != "6" {
		t.Fatalf("count %s after the panic, want 6", got)
	}
}

func TestARestartedReplicaGoesOnFromSnapshotAndLog(t *testing.T) {
	disk := storage.NewMemory(2)
	s := startSingle(t, disk, nil)
	s.add(t)
	if _, err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.add(t)
	disk.Crash()
	again := startSingle(t, disk, nil)
	if got := again.add(t); got != "3" {
		t.Fatalf("count %s after a power cut, want 3", got)
	}
}

func TestAFailedSaveEndsTheNode(t *testing.T) {
	disk := storage.NewMemory(3)
	s := startSingle(t, disk, nil)
	s.add(t)
	disk.Fault = func(o storage.Operation) storage.Fault { return storage.Fail }
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() {
		_, _, _ = s.Propose(ctx, replica.Envelope{Kind: replica.KindPlain}.Append(nil))
	}()
	select {
	case err := <-s.failed:
		if !strings.Contains(err.Error(), "save of test") {
			t.Fatalf("ended with %v, want the failed save", err)
		}
	case <-ctx.Done():
		t.Fatal("the node goes on after a failed save")
	}
}

func TestMoreThanTheBoundIsRefusedAsOverloaded(t *testing.T) {
	s := startSingle(t, storage.NewMemory(4), func(c *Config) { c.MaxProposals = 1 })
	s.add(t)
	hold := make(chan struct{})
	if _, err := s.do(func(*Actor) { <-hold }); err != nil { // the actor stands still
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var overloaded bool
	for range 3 {
		go func() { _, _ = s.ReadIndex(ctx) }() // reads have a bound of their own
		done := make(chan error, 1)
		go func() {
			_, _, err := s.Propose(ctx, replica.Envelope{Kind: replica.KindPlain}.Append(nil))
			done <- err
		}()
		select {
		case err := <-done:
			overloaded = overloaded || errors.Is(err, ErrOverloaded)
		case <-time.After(100 * time.Millisecond):
		}
	}
	cancel()
	close(hold)
	if !overloaded {
		t.Fatal("a third proposal was queued behind a bound of one")
	}
}

func TestAnEnvelopeThatReplicasCannotReadNeverReachesTheLog(t *testing.T) {
	s := startSingle(t, storage.NewMemory(5), nil)
	s.add(t)
	for _, bad := range [][]byte{nil, []byte("x"), {99, 0, 0, 0, 0, 0, 0, 0}} {
		if _, _, err := s.Propose(t.Context(), bad); err == nil {
			t.Fatalf("%v was taken", bad)
		}
	}
	if got := s.add(t); got != "2" {
		t.Fatalf("count %s, want 2", got)
	}
}
