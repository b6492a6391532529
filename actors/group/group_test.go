package group_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/actors/paxosnode"
	"github.com/synod-go/synod/actors/raftnode"
	"github.com/synod-go/synod/consensus"
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

// onBoth runs a test on a group of each engine.
func onBoth(t *testing.T, test func(t *testing.T, engine group.Protocol)) {
	t.Helper()
	t.Run("raft", func(t *testing.T) { test(t, raftnode.New(raftnode.Config{})) })
	t.Run("paxos", func(t *testing.T) { test(t, paxosnode.New(paxosnode.Config{})) })
}

// single is a group of one voter on a disk in memory.
type single struct {
	*group.Handle
	store  *storage.Store
	failed chan error
}

func startSingle(t *testing.T, engine group.Protocol, disk *storage.Memory, change func(*group.Config)) single {
	t.Helper()
	store, err := storage.Open("data", storage.Options{FS: disk, Node: "n1", SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s := single{store: store, failed: make(chan error, 1)}
	id := consensus.ID(store.Identity().Incarnation)
	begin := time.Now()
	config := group.Config{
		Protocol: engine, ID: id, Group: 1, Name: "test", Store: store,
		Bootstrap: []consensus.Member{{ID: id, Voter: true, Name: "n1"}},
		Machine:   func() replica.StateMachine { return &counter{} },
		Peer:      func(consensus.ID) *actor.PID { return nil },
		Clock:     func() consensus.Time { return consensus.Time(time.Since(begin)) },
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
	if s.Handle, err = group.Spawn(system, config, "raft/test", strategy); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = system.Root.StopFuture(s.PID()).Wait()
		_ = store.Close()
	})
	return s
}

// crash cuts the power. What is left of the process ends before the next one
// starts: its log would go on preparing segments on the disk of both.
func (s single) crash(disk *storage.Memory) {
	disk.Crash()
	_ = s.store.Close()
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
		case errors.Is(err, consensus.ErrNotLeader):
			// the restarted replica has not elected itself yet
		default:
			t.Fatalf("propose: %v", err)
		}
	}
}

func TestAPanickedActorRebuildsItselfFromTheLogAndLosesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		s := startSingle(t, engine, storage.NewMemory(1), nil)
		for i := 1; i <= 5; i++ {
			if got := s.add(t); got != fmt.Sprint(i) {
				t.Fatalf("count %s, want %d", got, i)
			}
		}
		_, err := group.Ask(t.Context(), s.Handle, func(*group.Actor) (int, error) { panic("planted") })
		if !errors.Is(err, group.ErrUnknown) {
			t.Fatalf("a call under way at the panic ended with %v, want group.ErrUnknown", err)
		}
		if got := s.add(t); got != "6" {
			t.Fatalf("count %s after the panic, want 6", got)
		}
	})
}

func TestARestartedReplicaGoesOnFromSnapshotAndLog(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		disk := storage.NewMemory(2)
		s := startSingle(t, engine, disk, nil)
		s.add(t)
		if _, err := s.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.add(t)
		s.crash(disk)
		again := startSingle(t, engine, disk, nil)
		if got := again.add(t); got != "3" {
			t.Fatalf("count %s after a power cut, want 3", got)
		}
	})
}

func TestAFailedSaveEndsTheNode(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		disk := storage.NewMemory(3)
		var failing atomic.Bool
		disk.Fault = func(storage.Operation) (none storage.Fault) {
			if failing.Load() {
				return storage.Fail
			}
			return none
		}
		s := startSingle(t, engine, disk, nil)
		s.add(t)
		failing.Store(true)
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
	})
}

func TestMoreThanTheBoundIsRefusedAsOverloaded(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		s := startSingle(t, engine, storage.NewMemory(4), func(c *group.Config) { c.MaxProposals = 1 })
		s.add(t)
		hold := make(chan struct{})
		if _, err := s.Task(func(*group.Actor) { <-hold }); err != nil { // the actor stands still
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
				overloaded = overloaded || errors.Is(err, group.ErrOverloaded)
			case <-time.After(100 * time.Millisecond):
			}
		}
		cancel()
		close(hold)
		if !overloaded {
			t.Fatal("a third proposal was queued behind a bound of one")
		}
	})
}

func TestAnEnvelopeThatReplicasCannotReadNeverReachesTheLog(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		s := startSingle(t, engine, storage.NewMemory(5), nil)
		s.add(t)
		for _, bad := range [][]byte{nil, []byte("x"), {99, 0, 0, 0, 0, 0, 0, 0}} {
			if _, _, err := s.Propose(t.Context(), bad); err == nil {
				t.Fatalf("%v was taken", bad)
			}
		}
		if got := s.add(t); got != "2" {
			t.Fatalf("count %s, want 2", got)
		}
	})
}

func TestAPanicWhileASaveIsUnderWayIsOneFailureOnly(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		var starts atomic.Int32
		s := startSingle(t, engine, storage.NewMemory(6), func(c *group.Config) {
			machine := c.Machine
			c.Machine = func() replica.StateMachine { starts.Add(1); return machine() }
		})
		s.add(t)
		for range 3 {
			hold := make(chan struct{})
			s.store.Append(nil, func(error) { <-hold }) // the disk is slow
			_, err := group.Ask(t.Context(), s.Handle, func(a *group.Actor) (int, error) {
				_, _, _ = a.Engine().Propose([][]byte{replica.Envelope{Kind: replica.KindPlain}.Append(nil)})
				a.CarryOut()
				panic("planted")
			})
			close(hold)
			if !errors.Is(err, group.ErrUnknown) {
				t.Fatalf("the call ended with %v, want group.ErrUnknown", err)
			}
			s.add(t)
		}
		if n := starts.Load(); n != 4 {
			t.Fatalf("%d starts for three panics, want 4", n)
		}
	})
}

// blocking is a counter whose next Apply can be held.
type blocking struct {
	counter
	begun, hold chan struct{}
}

func (b *blocking) Apply(index uint64, now int64, command []byte) []byte {
	if string(command) == "slow" {
		close(b.begun)
		<-b.hold
	}
	return b.counter.Apply(index, now, command)
}

func TestASlowStateMachineNeverHoldsUpTheActor(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		machine := &blocking{begun: make(chan struct{}), hold: make(chan struct{})}
		s := startSingle(t, engine, storage.NewMemory(7), func(c *group.Config) {
			c.Replica.Limits.DigestEvery = 1
			c.Machine = func() replica.StateMachine { return machine }
		})
		s.add(t)
		done := make(chan error, 1)
		go func() {
			_, _, err := s.Propose(t.Context(), replica.Envelope{Kind: replica.KindPlain, Command: []byte("slow")}.Append(nil))
			done <- err
		}()
		<-machine.begun
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for range 100 {
			if _, err := s.Status(ctx); err != nil {
				t.Fatalf("the actor does not answer while Apply runs: %v", err)
			}
		}
		close(machine.hold)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestWaitingForAnIndexThatNeverComesHoldsNobodyElseUp(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		s := startSingle(t, engine, storage.NewMemory(8), func(c *group.Config) { c.MaxReads = 8 })
		s.add(t)
		for range 50 { // many more than the bound: those who gave up make room
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := s.WaitApplied(ctx, math.MaxUint64)
			if !errors.Is(err, context.Canceled) && !errors.Is(err, group.ErrOverloaded) {
				t.Fatalf("wait ended with %v, want canceled or overloaded", err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		waited := make(chan error, 1)
		next := s.Applied() + 1
		go func() {
			err := s.WaitApplied(ctx, next)
			for errors.Is(err, group.ErrOverloaded) { // until the applier has seen who gave up
				err = s.WaitApplied(ctx, next)
			}
			waited <- err
		}()
		s.add(t)
		if err := <-waited; err != nil {
			t.Fatalf("wait for index %d, which is applied: %v", next, err)
		}
	})
}

// unsnappable panics when its picture is written, in the snapshotter.
type unsnappable struct {
	counter
	fixed *atomic.Bool
}

type badPicture struct{}

func (badPicture) WriteTo(io.Writer) (int64, error) { panic("planted") }

func (u *unsnappable) Snapshot() (io.WriterTo, error) {
	if u.fixed.Load() {
		return u.counter.Snapshot()
	}
	return badPicture{}, nil
}

func TestAFailedSnapshotLeavesTheReplicaRunning(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		var fixed atomic.Bool
		s := startSingle(t, engine, storage.NewMemory(9), func(c *group.Config) {
			c.Machine = func() replica.StateMachine { return &unsnappable{fixed: &fixed} }
		})
		s.add(t)
		if _, err := s.Snapshot(t.Context()); err == nil {
			t.Fatal("a snapshot whose picture panics was taken")
		}
		if got := s.add(t); got != "2" {
			t.Fatalf("count %s, want 2", got)
		}
		fixed.Store(true)
		if _, err := s.Snapshot(t.Context()); err != nil {
			t.Fatalf("snapshot: %v", err)
		}
	})
}

func TestAFailedChildFailsItsParentAndNothingIsLost(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		s := startSingle(t, engine, storage.NewMemory(10), nil)
		s.add(t)
		gone, err := s.Task(func(a *group.Actor) {
			a.ApplyEntries([]consensus.Entry{{Index: 99, Data: []byte("a gap")}})
		})
		if err != nil {
			t.Fatal(err)
		}
		<-gone // the parent was restarted
		if got := s.add(t); got != "2" {
			t.Fatalf("count %s, want 2", got)
		}
	})
}

// Reads that gave up still lie in the mailbox of an applier that is at work. They
// must not grow without bound, nor take the place of committed entries.
func TestReadsThatGaveUpAreBoundedWhileApplyIsHeld(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		machine := &blocking{begun: make(chan struct{}), hold: make(chan struct{})}
		s := startSingle(t, engine, storage.NewMemory(11), func(c *group.Config) {
			c.MaxReads = 8
			c.Machine = func() replica.StateMachine { return machine }
		})
		s.add(t)
		slow, err := s.StartPropose(replica.Envelope{Kind: replica.KindPlain, Command: []byte("slow")}.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		<-machine.begun
		release := sync.OnceFunc(func() { close(machine.hold) })
		defer release()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		gaveUp, giveUp := context.WithCancel(ctx)
		giveUp()
		next := s.Applied() + 1
		for range 100 {
			_ = s.WaitApplied(gaveUp, next)
		}
		if n, err := group.Ask(ctx, s.Handle, func(a *group.Actor) (int64, error) { return a.ApplierReads(), nil }); n != 8 || err != nil {
			t.Errorf("%d reads wait for the state machine, %v; want MaxReads, 8", n, err)
		}
		if err := s.WaitApplied(ctx, next); !errors.Is(err, group.ErrOverloaded) {
			t.Errorf("one more ended with %v, want group.ErrOverloaded", err)
		}
		release()
		if _, _, err := slow.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.WaitApplied(ctx, next); err != nil {
			t.Errorf("a read after all was applied: %v", err)
		}
		for n := int64(1); n != 0; { // those that gave up are let go of one after the other
			if n, err = group.Ask(ctx, s.Handle, func(a *group.Actor) (int64, error) { return a.ApplierReads(), nil }); err != nil {
				t.Fatalf("%d reads are counted, %v; want none", n, err)
			}
		}
	})
}

// A log that cannot be flushed, on a full disk say, must not hold up a restarted
// actor for ever.
func TestALogThatDoesNotComeToRestEndsTheNode(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		s := startSingle(t, engine, storage.NewMemory(12), func(c *group.Config) { c.LogWait = 50 * time.Millisecond })
		s.add(t)
		hold := make(chan struct{})
		defer close(hold)
		s.store.Append(nil, func(error) { <-hold })
		if _, err := group.Ask(t.Context(), s.Handle, func(*group.Actor) (int, error) { panic("planted") }); !errors.Is(err, group.ErrUnknown) {
			t.Fatal(err)
		}
		select {
		case err := <-s.failed:
			if !strings.Contains(err.Error(), "come to rest") {
				t.Errorf("ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the actor waits for ever")
		}
	})
}

// plain is a command that nobody repeats.
func plain() []byte { return replica.Envelope{Kind: replica.KindPlain}.Append(nil) }
