package raftnode

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/raft"
)

// D13: a replica that has lost what it had acknowledged tells its peer, ends its
// node, and ends the calls that wait and all further ones.
func TestALossEndsTheNodeAndItsCalls(t *testing.T) {
	var events []string
	s := startWithPeer(t, func(c *group.Config) {
		c.Event = func(kind string, _ ...slog.Attr) { events = append(events, kind) }
	})
	s.step(peer, raft.Heartbeat{Term: 5})
	if reply := next[raft.HeartbeatReply](t, s); reply.Lost {
		t.Fatal("a loss without a reason")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	waits := make(chan error, 1)
	go func() {
		_, err := s.ReadIndex(ctx)
		waits <- err
	}()
	next[raft.ReadIndex](t, s) // it waits for the leader's answer
	s.step(peer, raft.Heartbeat{Term: 5, Match: 4})
	if reply := next[raft.HeartbeatReply](t, s); !reply.Lost || reply.Term != 5 {
		t.Fatalf("answer %+v, want that entries are lost", reply)
	}
	var loss *group.LossError
	err := <-s.failed
	want := raft.Loss{Term: 5, Leader: peer, Acknowledged: 4}
	if !errors.As(err, &loss) || loss.Group != "test" || loss.Loss != want {
		t.Fatalf("ended with %v, want *LossError with %+v", err, want)
	}
	if text := err.Error(); !strings.Contains(text, "entries 1 to 4") || !strings.Contains(text, "group test") || !strings.Contains(text, "term 5") {
		t.Errorf("text %q does not tell the figures", text)
	}
	if err := <-waits; !errors.Is(err, group.ErrUnknown) {
		t.Errorf("the read that waited ended with %v, want ErrUnknown", err)
	}
	if _, err := s.ReadIndex(ctx); !errors.Is(err, group.ErrStopped) {
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
	s := startWithPeer(t, func(c *group.Config) {
		c.Clock = func() raft.Time {
			if broken.CompareAndSwap(true, false) {
				panic("planted")
			}
			return raft.Time(time.Since(begin))
		}
	})
	s.step(peer, raft.Heartbeat{Term: 5, Match: 4})
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
			s.step(peer, raft.Heartbeat{Term: 5, Match: 4}) // something to do
		}
	}
}

// The leader tells once of a follower that has lost entries.
func TestALeaderTellsOnceOfAPeerThatHasLostEntries(t *testing.T) {
	events := make(chan string, 10)
	s := startWithPeer(t, func(c *group.Config) {
		c.Event = func(kind string, attrs ...slog.Attr) { events <- kind + " " + attrs[0].Value.String() }
	})
	pre := next[raft.PreVote](t, s)
	s.step(peer, raft.PreVoteReply{Term: pre.Term, Granted: true})
	vote := next[raft.RequestVote](t, s)
	s.step(peer, raft.Vote{Term: vote.Term, Granted: true})
	next[raft.AppendEntries](t, s)
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
