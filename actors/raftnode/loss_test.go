package raftnode

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/storage"
)

// startWithPeer starts a group of two voters of which the test is the other one.
func startWithPeer(t *testing.T, change func(*Config)) (s single, peer raft.ID, sent chan *messages.RaftMessage) {
	t.Helper()
	peer, sent = raft.ID(99), make(chan *messages.RaftMessage, 100)
	var pid atomic.Pointer[actor.PID]
	s = startSingle(t, storage.NewMemory(20), func(c *Config) {
		c.Bootstrap = append(c.Bootstrap, raft.Member{ID: peer, Voter: true, Name: "n2"})
		c.Peer = func(raft.ID) *actor.PID { return pid.Load() }
		if change != nil {
			change(c)
		}
	})
	pid.Store(s.system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*messages.RaftMessage); ok {
			sent <- m
		}
	})))
	return s, peer, sent
}

// step sends a message to the group as its peer.
func (s single) step(from raft.ID, m raft.Message) {
	s.system.Root.Send(s.PID(), encode(from, s.cfg.Raft.ID, uint32(s.cfg.Group), m, nil))
}

// next returns the next message to the peer that is of the wanted kind.
func next[T raft.Message](t *testing.T, sent chan *messages.RaftMessage) T {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case w := <-sent:
			if m, err := decode(w); err == nil {
				if wanted, ok := m.(T); ok {
					return wanted
				}
			}
		case <-deadline:
			var wanted T
			t.Fatalf("no %T in 20 s", wanted)
		}
	}
}

// D13: a replica that has lost what it had acknowledged tells its leader, ends its
// node, and ends the calls that wait and all further ones.
func TestALossEndsTheNodeAndItsCalls(t *testing.T) {
	var events []string
	s, leader, sent := startWithPeer(t, func(c *Config) {
		c.Event = func(kind string, _ ...slog.Attr) { events = append(events, kind) }
	})
	s.step(leader, raft.Heartbeat{Term: 5})
	if reply := next[raft.HeartbeatReply](t, sent); reply.Lost {
		t.Fatal("a loss without a reason")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	waits := make(chan error, 1)
	go func() {
		_, err := s.ReadIndex(ctx)
		waits <- err
	}()
	next[raft.ReadIndex](t, sent) // it waits for the leader's answer
	s.step(leader, raft.Heartbeat{Term: 5, Match: 4})
	if reply := next[raft.HeartbeatReply](t, sent); !reply.Lost || reply.Term != 5 {
		t.Fatalf("answer %+v, want that entries are lost", reply)
	}
	var loss *LossError
	err := <-s.failed
	want := raft.Loss{Term: 5, Leader: leader, Acknowledged: 4}
	if !errors.As(err, &loss) || loss.Group != "test" || loss.Loss != want {
		t.Fatalf("ended with %v, want *LossError with %+v", err, want)
	}
	if text := err.Error(); !strings.Contains(text, "entries 1 to 4") || !strings.Contains(text, "group test") || !strings.Contains(text, "term 5") {
		t.Errorf("text %q does not tell the figures", text)
	}
	if err := <-waits; !errors.Is(err, ErrUnknown) {
		t.Errorf("the read that waited ended with %v, want ErrUnknown", err)
	}
	if _, err := s.ReadIndex(ctx); !errors.Is(err, ErrStopped) {
		t.Errorf("a further read ended with %v, want ErrStopped", err)
	}
	if len(events) != 1 || events[0] != "entries lost" {
		t.Errorf("events %v, want one of the loss", events)
	}
}

// A replica that has found a loss is not started again, whatever else goes wrong
// until its node has ended.
func TestAPanicAfterALossDoesNotRestartTheReplica(t *testing.T) {
	var broken atomic.Bool
	begin := time.Now()
	s, leader, _ := startWithPeer(t, func(c *Config) {
		c.Clock = func() raft.Time {
			if broken.CompareAndSwap(true, false) {
				panic("planted")
			}
			return raft.Time(time.Since(begin))
		}
	})
	s.step(leader, raft.Heartbeat{Term: 5, Match: 4})
	<-s.failed
	broken.Store(true)
	for {
		select {
		case err := <-s.failed:
			if text := err.Error(); !strings.Contains(text, "fail-stop") || !strings.Contains(text, "entries 1 to 4") {
				t.Fatalf("the replica ended with %v, want a fail-stop that names the loss", err)
			}
			return
		case <-time.After(10 * time.Millisecond):
			s.step(leader, raft.Heartbeat{Term: 5, Match: 4}) // something to do
		}
	}
}

// The leader tells once of a follower that has lost entries.
func TestALeaderTellsOnceOfAPeerThatHasLostEntries(t *testing.T) {
	events := make(chan string, 10)
	s, peer, sent := startWithPeer(t, func(c *Config) {
		c.Event = func(kind string, attrs ...slog.Attr) { events <- kind + " " + attrs[0].Value.String() }
	})
	pre := next[raft.PreVote](t, sent)
	s.step(peer, raft.PreVoteReply{Term: pre.Term, Granted: true})
	vote := next[raft.RequestVote](t, sent)
	s.step(peer, raft.Vote{Term: vote.Term, Granted: true})
	next[raft.AppendEntries](t, sent)
	for range 3 {
		s.step(peer, raft.HeartbeatReply{Term: vote.Term, Lost: true})
	}
	if got := <-events; got != "peer lost entries n2" {
		t.Fatalf("event %q, want that n2 has lost entries", got)
	}
	if _, err := s.Status(t.Context()); err != nil { // all three are handled
		t.Fatal(err)
	}
	if len(events) > 0 {
		t.Fatalf("told again: %q", <-events)
	}
}
