package group_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/actors/raftnode"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// lines is a state machine that keeps its commands.
type lines struct{ all []string }

func (l *lines) Apply(_ uint64, _ int64, command []byte) []byte {
	l.all = append(l.all, string(command))
	return fmt.Append(nil, len(l.all))
}

func (l *lines) Snapshot() (io.WriterTo, error) {
	return strings.NewReader(strings.Join(l.all, "\n")), nil
}

func (l *lines) Restore(r io.Reader) error {
	data, err := io.ReadAll(r)
	l.all = strings.Split(string(data), "\n")
	return err
}

// A group of one voter on a log in memory: propose a command, then read what was
// acknowledged.
func Example() {
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "n1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	id, begin := consensus.ID(store.Identity().Incarnation), time.Now()
	system := actors.NewSystem(slog.New(slog.DiscardHandler))
	h, err := group.Spawn(system, group.Config{
		Protocol: raftnode.New(raftnode.Config{}), ID: id, Group: 1, Name: "lines", Store: store,
		Bootstrap: []consensus.Member{{ID: id, Voter: true, Name: "n1"}},
		Machine:   func() replica.StateMachine { return &lines{} },
		Peer:      func(consensus.ID) *actor.PID { return nil }, // there are none
		Clock:     func() consensus.Time { return consensus.Time(time.Since(begin)) },
		FailStop:  func(err error) { fmt.Println(err) },
	}, "raft/lines", actors.NewStrategy(actors.StrategyConfig{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = system.Root.StopFuture(h.PID()).Wait() }()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	command := replica.Envelope{Kind: replica.KindPlain, Command: []byte("hello")}.Append(nil)
	result, _, err := h.Propose(ctx, command)
	for errors.Is(err, consensus.ErrNotLeader) { // it has yet to elect itself
		result, _, err = h.Propose(ctx, command)
	}
	fmt.Printf("%s %v\n", result.Value, err)

	index, err := h.ReadIndex(ctx)
	if err == nil {
		err = h.Read(index, func(machine replica.StateMachine, _ uint64) { fmt.Println(machine.(*lines).all) })
	}
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// [hello]
	// <nil>
}
