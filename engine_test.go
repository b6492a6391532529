package synod

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/messages"
)

func TestADirectoryKeepsItsEngine(t *testing.T) {
	for _, founded := range []Engine{Raft, Paxos} {
		t.Run(string(founded), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			c := Config{Name: "n1", Dir: t.TempDir(), Bootstrap: true, Engine: founded,
				Listen: Addresses{API: "127.0.0.1:0", Link: "127.0.0.1:0", Gossip: "127.0.0.1:0"},
				Groups: []GroupConfig{{Name: "g", New: func() StateMachine { return nothing{} }}}}
			run := func() error {
				n, err := Start(ctx, c)
				if err != nil {
					return err
				}
				if err := n.Ready(ctx); err != nil {
					t.Fatal(err)
				}
				return n.Stop(ctx)
			}
			if err := run(); err != nil {
				t.Fatal(err)
			}
			c.Engine = founded.other()
			var wrong *EngineError
			if err := run(); !errors.As(err, &wrong) || *wrong != (EngineError{Group: "g", Founded: founded, Wanted: founded.other()}) {
				t.Fatalf("started with engine %s: %v, want an *EngineError", c.Engine, err)
			}
			c.Engine = founded
			if err := run(); err != nil {
				t.Fatalf("started with its own engine again: %v", err)
			}
		})
	}
}

func TestAnUnknownEngineIsRefused(t *testing.T) {
	_, err := Start(t.Context(), Config{Name: "n1", Bootstrap: true, Engine: "zab",
		Groups: []GroupConfig{{Name: "g", New: func() StateMachine { return nothing{} }}}})
	if err == nil || !strings.Contains(err.Error(), `engine "zab"`) {
		t.Fatalf("error %v, want one that names the engine", err)
	}
}

// safeBuffer is a buffer for a logger.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) count(what string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.text.String(), what)
}

// A newcomer that would run another engine would never catch up.
func TestANewcomerWithAnotherEngineGetsNoPlace(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var log safeBuffer
	c, err := NewLocalCluster(ctx, 1, slog.New(slog.NewTextHandler(&log, nil)),
		GroupConfig{Name: "g", Engine: Paxos, New: func() StateMachine { return nothing{} }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	n := c.Node(0)
	j := &joiner{node: n}
	request := joinRequest(n.groups[0], 100)
	for _, engine := range []string{"raft", ""} { // the version before has only Raft
		request.Engine = engine
		if j.admit(request) {
			t.Errorf("a newcomer with engine %q is admitted", engine)
		}
		if r := j.refusal(request); r == nil || r.Group != request.Group || r.Engine != "paxos" || r.From != n.ID() {
			t.Errorf("a newcomer with engine %q is answered %v, want that the engine is paxos", engine, r)
		}
	}
	if got := log.count("join refused"); got != 1 {
		t.Errorf("told %d times, want once", got)
	}
	request.Engine = "paxos"
	if r := j.refusal(request); r != nil {
		t.Errorf("a newcomer with the group's engine is answered %v", r)
	}
	if !j.admit(request) {
		t.Error("a newcomer with the group's engine is not admitted")
	}
}

// A Paxos group that changes its epoch takes no transfer: its callers know that error by
// the name that TransferLeadership documents.
func TestATransferDuringASealSaysThatThereIsNoLeader(t *testing.T) {
	c := Local(t, 1, GroupConfig{Name: "g", Engine: Paxos, New: func() StateMachine { return nothing{} }})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	leader, _, err := c.Leader(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	if err := leader.Group("g").memberError(consensus.ErrSealing); !errors.Is(err, ErrNoLeader) {
		t.Errorf("error %v, want ErrNoLeader", err)
	}
}

// Only a newcomer believes that the group has another engine: who has a place knows.
func TestANodeWithAPlaceDoesNotEndForARefusal(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := NewLocalCluster(ctx, 1, nil, GroupConfig{Name: "g", Engine: Paxos, New: func() StateMachine { return nothing{} }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	n := c.Node(0)
	if wrong := n.refused(&messages.JoinRefusal{From: 100, Group: uint32(n.groups[0].id), Engine: "raft"}); wrong != nil {
		t.Errorf("it would end: %v", wrong)
	}
}
