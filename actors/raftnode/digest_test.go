package raftnode

import (
	"context"
	"testing"
	"time"

	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/replica"
)

// awaitMessage returns the next message to a peer of which pick wants something.
func awaitMessage[T any](t *testing.T, sent chan *messages.RaftMessage, pick func(*messages.RaftMessage) *T) (to raft.ID, body *T) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case w := <-sent:
			if body := pick(w); body != nil {
				return raft.ID(w.To), body
			}
		case <-deadline:
			t.Fatalf("no %T in 20 s", body)
		}
	}
}

// A replica that is behind is compared too: the leader keeps older checkpoints.
func TestAReportOlderThanTheNewestCheckpointIsCompared(t *testing.T) {
	peers := []raft.ID{96, 97, 98, 99}
	s, _, sent := startWithPeer(t, func(c *Config) {
		for _, id := range peers[:3] { // 99 is there already
			c.Bootstrap = append(c.Bootstrap, raft.Member{ID: id, Voter: true})
		}
	})
	pre := next[raft.PreVote](t, sent)
	for _, id := range peers {
		s.step(id, raft.PreVoteReply{Term: pre.Term, Granted: true})
	}
	vote := next[raft.RequestVote](t, sent)
	for _, id := range peers {
		s.step(id, raft.Vote{Term: vote.Term, Granted: true})
	}
	next[raft.AppendEntries](t, sent)
	report := func(from raft.ID, index, digest uint64) {
		s.system.Root.Send(s.PID(), &messages.RaftMessage{From: uint64(from), To: uint64(s.cfg.Raft.ID), Group: uint32(s.cfg.Group),
			Body: &messages.RaftMessage_DigestReport{DigestReport: &messages.DigestReport{Index: index, Digest: digest}}})
	}
	for _, index := range []uint64{4096, 8192} {
		for _, id := range peers[:3] {
			report(id, index, index+1)
		}
	}
	report(99, 4096, 7)
	to, m := awaitMessage(t, sent, (*messages.RaftMessage).GetQuarantine)
	if to != 99 || m.GetIndex() != 4096 || m.GetWanted() != 4097 {
		t.Fatalf("%d is told %v, want 99 that its digest at 4096 should be 4097", to, m)
	}
}

// Replicas that pass several checkpoints at once must report the same ones as others.
func TestEachCheckpointIsReported(t *testing.T) {
	s, leader, sent := startWithPeer(t, func(c *Config) { c.Replica.Limits.DigestEvery = 2 })
	var entries []raft.Entry
	for i := range raft.Index(7) {
		entries = append(entries, raft.Entry{Index: i + 1, Term: 5, Kind: raft.EntryCommand,
			Data: replica.Envelope{Kind: replica.KindPlain, Command: []byte("x")}.Append(nil)})
	}
	s.step(leader, raft.AppendEntries{Term: 5, Commit: 7, Entries: entries})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.WaitApplied(ctx, 7); err != nil {
		t.Fatal(err)
	}
	s.step(leader, raft.Heartbeat{Term: 5}) // its next turn
	for _, want := range []uint64{2, 4, 6} {
		_, m := awaitMessage(t, sent, (*messages.RaftMessage).GetDigestReport)
		if own, _ := s.Replica().DigestAt(want); m.GetIndex() != want || m.GetDigest() != own {
			t.Fatalf("reported %v, want index %d and digest %d", m, want, own)
		}
	}
}

func TestALeaderKeepsTheNewestCheckpointsOnly(t *testing.T) {
	var d digests
	for i := range raft.Index(maxCheckpoints + 3) {
		d.at(i + 1)[1] = uint64(i)
	}
	if len(d.by) != maxCheckpoints || d.at(3) != nil || d.at(4)[1] != 3 {
		t.Fatalf("%d checkpoints are kept, want the newest %d", len(d.by), maxCheckpoints)
	}
}
