package raftnode

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// nothing is a state machine that keeps nothing.
type nothing struct{}

func (nothing) Apply(uint64, int64, []byte) []byte { return nil }
func (nothing) Snapshot() (io.WriterTo, error)     { return strings.NewReader(""), nil }
func (nothing) Restore(io.Reader) error            { return nil }

// duo is one of a group of two voters or more, of which the test is the others.
type duo struct {
	*group.Handle
	id     raft.ID
	system *actor.ActorSystem
	failed chan error
	sent   chan proto.Message // by the group's actor
}

const peer raft.ID = 99

func startWithPeer(t *testing.T, change func(*group.Config)) duo {
	t.Helper()
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(20), Node: "n1", SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	d := duo{id: raft.ID(store.Identity().Incarnation), failed: make(chan error, 1), sent: make(chan proto.Message, 100),
		system: actors.NewSystem(slog.New(slog.DiscardHandler))}
	begin := time.Now()
	pid := d.system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if m, ok := ctx.Message().(proto.Message); ok {
			d.sent <- m
		}
	}))
	config := group.Config{
		Protocol: New(Config{}), ID: d.id, Group: 1, Name: "test", Store: store,
		Bootstrap: []raft.Member{{ID: d.id, Voter: true, Name: "n1"}, {ID: peer, Voter: true, Name: "n2"}},
		Machine:   func() replica.StateMachine { return nothing{} },
		Peer:      func(raft.ID) *actor.PID { return pid },
		Clock:     func() raft.Time { return raft.Time(time.Since(begin)) },
		FailStop: func(err error) {
			select {
			case d.failed <- err:
			default:
			}
		},
	}
	if change != nil {
		change(&config)
	}
	strategy := actors.NewStrategy(actors.StrategyConfig{MinDelay: time.Millisecond,
		OnFailStop: func(_ *actor.PID, reason any) { config.FailStop(fmt.Errorf("%v", reason)) }})
	if d.Handle, err = group.Spawn(d.system, config, "raft/test", strategy); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.system.Root.StopFuture(d.PID()).Wait()
		_ = store.Close()
	})
	return d
}

// step sends a message to the group as a peer.
func (d duo) step(from raft.ID, m raft.Message) {
	d.system.Root.Send(d.PID(), encode(from, d.id, 1, m, nil))
}

// next returns the next message to a peer that is of the wanted kind.
func next[T raft.Message](t *testing.T, d duo) T {
	t.Helper()
	return await(t, d, func(m proto.Message) (wanted T, ok bool) {
		w, ok := m.(*messages.RaftMessage)
		if !ok {
			return wanted, false
		}
		decoded, err := decode(w)
		if err != nil {
			t.Fatal(err)
		}
		wanted, ok = decoded.(T)
		return wanted, ok
	})
}

// await returns the next message to a peer of which pick wants something.
func await[T any](t *testing.T, d duo, pick func(proto.Message) (T, bool)) T {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case m := <-d.sent:
			if wanted, ok := pick(m); ok {
				return wanted
			}
		case <-deadline:
			var wanted T
			t.Fatalf("no %T in 20 s", wanted)
		}
	}
}
