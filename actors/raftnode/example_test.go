package raftnode_test

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
	"github.com/synod-go/synod/actors/raftnode"
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

// A replica whose log Raft keeps: a new leader begins with an entry that changes nothing, and commands follow.
func Example() {
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "n1", SegmentBytes: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	id, begin, system := consensus.ID(store.Identity().Incarnation), time.Now(), actors.NewSystem(nil)
	h, err := group.Spawn(system, group.Config{
		Protocol: raftnode.New(raftnode.Config{}), ID: id, Group: 1, Name: "last", Store: store,
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
	tail, tailErr := raftnode.ReadTail(ctx, h, 10)
	for _, e := range tail.Entries {
		fmt.Println("term", e.Term, "index", e.Index, "command:", e.Kind == consensus.EntryCommand, "committed:", e.Index <= tail.Commit)
	}
	fmt.Println(err, tailErr)
	// Output:
	// term 1 index 1 command: false committed: true
	// term 1 index 2 command: true committed: true
	// <nil> <nil>
}
