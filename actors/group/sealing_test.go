package group_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/actors/raftnode"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/storage"
)

// sealing is a protocol whose engines refuse proposals while it is on.
type sealing struct {
	group.Protocol
	on      *atomic.Bool
	refused chan int // how many commands were refused at once
}

func (s sealing) Recover(c group.Config) group.Recovery {
	return sealingRecovery{s.Protocol.Recover(c), s}
}

type sealingRecovery struct {
	group.Recovery
	s sealing
}

func (r sealingRecovery) Engine(snapshot consensus.SnapshotMeta, released consensus.Index) (group.Engine, []consensus.Entry, error) {
	e, entries, err := r.Recovery.Engine(snapshot, released)
	return sealingEngine{e, r.s}, entries, err
}

type sealingEngine struct {
	group.Engine
	s sealing
}

func (e sealingEngine) Propose(commands [][]byte) (consensus.Index, consensus.Term, error) {
	if e.s.on.Load() {
		e.s.refused <- len(commands)
		return 0, 0, consensus.ErrSealing
	}
	return e.Engine.Propose(commands)
}

func (e sealingEngine) Gather() int {
	if e.s.on.Load() {
		return math.MaxInt
	}
	return e.Engine.Gather()
}

func startSealing(t *testing.T, disk uint64, change func(*group.Config)) (single, sealing) {
	t.Helper()
	protocol := sealing{on: new(atomic.Bool), refused: make(chan int, 100)}
	s := startSingle(t, raftnode.New(raftnode.Config{}), storage.NewMemory(disk), func(c *group.Config) {
		protocol.Protocol = c.Protocol
		c.Protocol = protocol
		if change != nil {
			change(c)
		}
	})
	s.add(t)
	return s, protocol
}

// turn gives the actor a turn and waits for it.
func (s single) turn(t *testing.T) {
	t.Helper()
	if _, err := s.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A change of epoch is no reason to refuse anybody: what was proposed
// meanwhile is kept, once and in its order.
func TestProposalsWaitWhileTheLogIsSealed(t *testing.T) {
	s, protocol := startSealing(t, 41, nil)
	protocol.on.Store(true)
	var calls []group.Call
	for range 5 {
		c, err := s.StartPropose(plain())
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, c)
		s.turn(t)
	}
	for i, c := range calls {
		if c.Ended() {
			t.Fatalf("call %d has ended while the log was sealed", i)
		}
	}
	protocol.on.Store(false)
	s.turn(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i, c := range calls {
		result, _, err := c.Wait(ctx)
		if want := fmt.Sprint(i + 2); err != nil || string(result.Value) != want {
			t.Fatalf("call %d: count %s, %v, want %s", i, result.Value, err, want)
		}
	}
}

func TestProposalsThatWaitForTheSealAreBounded(t *testing.T) {
	s, protocol := startSealing(t, 42, func(c *group.Config) { c.MaxProposals = 2 })
	protocol.on.Store(true)
	for range 2 {
		if _, err := s.StartPropose(plain()); err != nil {
			t.Fatal(err)
		}
		s.turn(t)
	}
	if _, err := s.StartPropose(plain()); !errors.Is(err, group.ErrOverloaded) {
		t.Fatalf("a third proposal behind a bound of two ended with %v, want ErrOverloaded", err)
	}
}

// A proposal that waits costs no turns of its own: the engine says when it is time.
func TestASealedLogDoesNotKeepTheActorBusy(t *testing.T) {
	s, protocol := startSealing(t, 43, nil)
	protocol.on.Store(true)
	if _, err := s.StartPropose(plain()); err != nil {
		t.Fatal(err)
	}
	const turns = 10
	for range turns {
		s.turn(t)
	}
	// Timers and the end of saves give a few turns more.
	if n := len(protocol.refused); n < turns || n > 3*turns {
		t.Fatalf("offered %d times in %d turns", n, turns)
	}
}
