package raftnode

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/replica"
)

// awaitGroup returns the next of the group's own messages of which pick wants something.
func awaitGroup[T any](t *testing.T, d duo, pick func(*messages.GroupMessage) *T) (to raft.ID, body *T) {
	t.Helper()
	body = await(t, d, func(m proto.Message) (*T, bool) {
		w, ok := m.(*messages.GroupMessage)
		if !ok {
			return nil, false
		}
		to, body = raft.ID(w.To), pick(w)
		return body, body != nil
	})
	return to, body
}

// A replica that is behind is compared too: the leader keeps older checkpoints.
func TestAReportOlderThanTheNewestCheckpointIsCompared(t *testing.T) {
	peers := []raft.ID{96, 97, 98, 99}
	s := startWithPeer(t, func(c *group.Config) {
		for _, id := range peers[:3] { // 99 is there already
			c.Bootstrap = append(c.Bootstrap, raft.Member{ID: id, Voter: true})
		}
	})
	pre := next[raft.PreVote](t, s)
	for _, id := range peers {
		s.step(id, raft.PreVoteReply{Term: pre.Term, Granted: true})
	}
	vote := next[raft.RequestVote](t, s)
	for _, id := range peers {
		s.step(id, raft.Vote{Term: vote.Term, Granted: true})
	}
	next[raft.AppendEntries](t, s)
	report := func(from raft.ID, index, digest uint64) {
		s.system.Root.Send(s.PID(), &messages.GroupMessage{From: uint64(from), To: uint64(s.id), Group: 1,
			Body: &messages.GroupMessage_DigestReport{DigestReport: &messages.DigestReport{Index: index, Digest: digest}}})
	}
	for _, index := range []uint64{4096, 8192} {
		for _, id := range peers[:3] {
			report(id, index, index+1)
		}
	}
	report(99, 4096, 7)
	to, m := awaitGroup(t, s, (*messages.GroupMessage).GetQuarantine)
	if to != 99 || m.GetIndex() != 4096 || m.GetWanted() != 4097 {
		t.Fatalf("%d is told %v, want 99 that its digest at 4096 should be 4097", to, m)
	}
}

// Replicas that pass several checkpoints at once must report the same ones as others.
func TestEachCheckpointIsReported(t *testing.T) {
	s := startWithPeer(t, func(c *group.Config) { c.Replica.Limits.DigestEvery = 2 })
	var entries []raft.Entry
	for i := range raft.Index(7) {
		entries = append(entries, raft.Entry{Index: i + 1, Term: 5, Kind: raft.EntryCommand,
			Data: replica.Envelope{Kind: replica.KindPlain, Command: []byte("x")}.Append(nil)})
	}
	s.step(peer, raft.AppendEntries{Term: 5, Commit: 7, Entries: entries})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.WaitApplied(ctx, 7); err != nil {
		t.Fatal(err)
	}
	s.step(peer, raft.Heartbeat{Term: 5}) // its next turn
	for _, want := range []uint64{2, 4, 6} {
		_, m := awaitGroup(t, s, (*messages.GroupMessage).GetDigestReport)
		if own, _ := s.Replica().DigestAt(want); m.GetIndex() != want || m.GetDigest() != own {
			t.Fatalf("reported %v, want index %d and digest %d", m, want, own)
		}
	}
}
