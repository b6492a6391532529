package paxosnode_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/actors/paxosnode"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// last is a state machine that keeps its last command.
type last struct{ command []byte }

func (l *last) Apply(_ uint64, _ int64, command []byte) []byte {
	l.command = bytes.Clone(command)
	return nil
}

func (l *last) Snapshot() (io.WriterTo, error) { return bytes.NewReader(l.command), nil }

func (l *last) Restore(r io.Reader) (err error) {
	l.command, err = io.ReadAll(r)
	return err
}

// A replica whose log Paxos keeps: the new leader puts a marker in the first slot, and commands behind it. Each slot has the
// ballot in which this acceptor has voted for its value.
func Example() {
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "n1", SegmentBytes: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	id, begin, system := consensus.ID(store.Identity().Incarnation), time.Now(), actors.NewSystem(nil)
	engine := paxosnode.New(paxosnode.Config{})
	h, err := group.Spawn(system, group.Config{
		Protocol: engine, ID: id, Group: 1, Name: "last", Store: store,
		Bootstrap: []consensus.Member{{ID: id, Voter: true, Name: "n1"}},
		Machine:   func() replica.StateMachine { return &last{} },
		Peer:      func(consensus.ID) *actor.PID { return nil }, // there are none
		Clock:     func() consensus.Time { return consensus.Time(time.Since(begin)) },
		FailStop:  func(err error) { fmt.Println(err) },
	}, "last", actors.NewStrategy(actors.StrategyConfig{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = system.Root.StopFuture(h.PID()).Wait() }()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for err = consensus.ErrNotLeader; errors.Is(err, consensus.ErrNotLeader) || errors.Is(err, consensus.ErrSealing); { // it has yet to elect itself
		_, _, err = h.Propose(ctx, replica.Envelope{Kind: replica.KindPlain, Command: []byte("hello")}.Append(nil))
	}
	tail, tailErr := paxosnode.ReadTail(ctx, h, 10)
	for _, s := range tail.Slots {
		word, vote := engine.Term(consensus.Term(s.Vote))
		fmt.Println("slot", s.Entry.Index, "command:", s.Entry.Kind == consensus.EntryCommand, "vote in", word, vote, "chosen:", s.Chosen)
	}
	fmt.Println(err, tailErr)
	// Output:
	// slot 1 command: false vote in ballot 1.1.0 chosen: true
	// slot 2 command: true vote in ballot 1.1.0 chosen: true
	// <nil> <nil>
}
