package raft

import (
	"errors"
	"slices"
	"testing"
)

// Raft 8: a leader must have the latest information on which entries are
// committed before it answers a read: it commits a no-op at the start of its term.
func TestALeaderBeginsItsTermWithANoOp(t *testing.T) {
	r := newSolo(t, 1, 3, State{Entries: entries(1, 1)})
	r.lead()
	if e := *r.log.at(r.log.first() + 1); e.Kind != EntryNoOp || e.Term != r.term {
		t.Errorf("first entry of the term: %+v", e)
	}
	if err := r.ReadIndex(1); err != nil {
		t.Fatal(err)
	}
	out := r.at(r.now)
	for _, e := range out.SendNow {
		if h, ok := e.Message.(Heartbeat); ok && h.Round > 0 {
			t.Errorf("a read round begins before the no-op is committed")
		}
	}
	if out.Lease != 0 {
		t.Errorf("a lease before the no-op is committed")
	}
}

// Dissertation 4.2.3: a server that hears from a current leader within the
// minimum election timeout does not update its term or grant its vote.
func TestARequestVoteWithinThePromiseIsIgnored(t *testing.T) {
	r := newSolo(t, 1, 3, State{HardState: HardState{Term: 1}})
	r.step(2, Heartbeat{Term: 1})
	begin, lease := r.now, r.cfg.Lease
	for _, test := range []struct {
		after    Time
		transfer bool
		granted  bool
	}{{0, false, false}, {lease - 1, false, false}, {lease - 1, true, true}, {lease, false, true}} {
		n := newSolo(t, 1, 3, State{HardState: HardState{Term: 1}})
		n.step(2, Heartbeat{Term: 1})
		n.Tick(begin + test.after)
		out := n.step(3, RequestVote{Term: 2, Transfer: test.transfer})
		v, _ := find[Vote](out.Send)
		if v.Granted != test.granted || (n.term == 2) != test.granted {
			t.Errorf("%d after the heartbeat, transfer %v: granted %v, term %d", test.after, test.transfer, v.Granted, n.term)
		}
		out = n.step(3, PreVote{Term: 9, LastIndex: 9, LastTerm: 9})
		if p, _ := find[PreVoteReply](out.SendNow); p.Granted != (test.after >= lease) {
			t.Errorf("%d after the heartbeat: pre-vote granted %v", test.after, p.Granted)
		}
	}
}

// The promise outlives a crash: a replica that starts has perhaps just heard a
// leader.
func TestAStartedReplicaKeepsThePromiseOfTheOneBefore(t *testing.T) {
	n, err := New(testConfig(1), State{Snapshot: Bootstrap(Member{ID: 1, Voter: true}, Member{ID: 2, Voter: true})})
	if err != nil {
		t.Fatal(err)
	}
	r := &solo{Node: n, t: t}
	ask := RequestVote{Term: 1}
	start := 5 * n.cfg.Election
	r.Step(2, ask)
	if v, _ := find[Vote](r.at(start).Send); v.Granted {
		t.Error("votes before the first tick")
	}
	r.Campaign()
	if r.at(start + n.cfg.Lease - 1); r.role != Follower {
		t.Errorf("campaigns within the promise: %v", r.role)
	}
	if v, _ := find[Vote](r.step(2, ask).Send); v.Granted {
		t.Error("votes within the promise")
	}
	r.Tick(start + n.cfg.Lease)
	if v, _ := find[Vote](r.step(2, ask).Send); !v.Granted {
		t.Error("does not vote after the promise")
	}
}

// A leader that steps down keeps the promise behind the lease it has given out.
func TestADeposedLeaderKeepsItsOwnPromise(t *testing.T) {
	r := newSolo(t, 1, 3, State{})
	r.lead()
	r.save()
	r.step(2, AppendReply{Term: 1, Match: 1})
	out := r.step(2, HeartbeatReply{Term: 1, Sent: r.now})
	if want := r.now + r.cfg.Lease - r.cfg.MaxDrift; out.Lease != want || out.LeaseIndex != 1 {
		t.Fatalf("lease until %d at %d, want %d at 1", out.Lease, out.LeaseIndex, want)
	}
	end := out.Lease
	r.stepDown("")
	r.Tick(end - 1)
	if v, ok := find[Vote](r.step(3, RequestVote{Term: 2, LastIndex: 9, LastTerm: 9}).Send); ok && v.Granted {
		t.Error("votes while its lease may still be read by")
	}
	r.Tick(end)
	if v, _ := find[Vote](r.step(3, RequestVote{Term: 2, LastIndex: 9, LastTerm: 9}).Send); !v.Granted {
		t.Error("does not vote after its lease")
	}
}

// The lease counts from the send time of what a quorum has answered, not from
// the answer; times that the leader has not sent do not count.
func TestTheLeaseCountsFromTheSendTime(t *testing.T) {
	r := newSolo(t, 1, 5, State{})
	r.lead()
	r.save()
	r.step(2, AppendReply{Term: 1, Match: 1})
	r.step(3, AppendReply{Term: 1, Match: 1})
	sent := r.now
	r.Tick(sent + 40*millisecond)
	if out := r.step(2, HeartbeatReply{Term: 1, Sent: sent + 20*millisecond}); out.Lease != 0 {
		t.Errorf("a lease from two of five")
	}
	if out := r.step(4, HeartbeatReply{Term: 1, Sent: never}); out.Lease != 0 {
		t.Errorf("a lease from a time that has not come")
	}
	out := r.step(3, HeartbeatReply{Term: 1, Sent: sent + 10*millisecond})
	if want := sent + 10*millisecond + r.cfg.Lease - r.cfg.MaxDrift; out.Lease != want {
		t.Errorf("lease until %d, want %d", out.Lease, want)
	}
	if out := r.at(out.Lease); out.Lease != 0 {
		t.Errorf("lease until %d at its end", out.Lease)
	}
}

// Dissertation 6.4: an answer to an earlier round does not confirm a read.
func TestAnEarlierRoundDoesNotConfirmARead(t *testing.T) {
	r := newSolo(t, 1, 3, State{})
	r.lead()
	r.save()
	r.step(2, AppendReply{Term: 1, Match: 1})
	r.ReadIndex(1)
	r.at(r.now)
	r.step(2, HeartbeatReply{Term: 1, Round: 1, Sent: r.now})
	r.ReadIndex(2)
	r.at(r.now)
	if out := r.step(3, HeartbeatReply{Term: 1, Round: 1, Sent: r.now}); len(out.Reads) > 0 {
		t.Fatalf("read 2 answered by round 1: %+v", out.Reads)
	}
	if out := r.step(3, HeartbeatReply{Term: 1, Round: 7, Sent: r.now}); len(out.Reads) > 0 {
		t.Fatalf("read 2 answered by a round that has not begun: %+v", out.Reads)
	}
	out := r.step(3, HeartbeatReply{Term: 1, Round: 2, Sent: r.now})
	if want := []Read{{Ref: 2, Index: 1}}; !slices.Equal(out.Reads, want) {
		t.Errorf("reads %+v, want %+v", out.Reads, want)
	}
}

// A late answer to a question before the last restart is not taken for the
// answer to a new one.
func TestAReadIndexReplyAnswersItsOwnQuestionOnly(t *testing.T) {
	r := newSolo(t, 1, 3, State{HardState: HardState{Term: 1}})
	r.step(2, Heartbeat{Term: 1})
	r.ReadIndex(1)
	m, ok := find[ReadIndex](r.at(r.now).SendNow)
	if !ok || m.Ref < uint64(r.now) {
		t.Fatalf("question %+v, want a number that grows with the clock", m)
	}
	r.step(2, ReadIndexReply{Term: 1, Ref: m.Ref - 1, Index: 5})
	r.step(3, ReadIndexReply{Term: 1, Ref: m.Ref, Index: 5})
	if len(r.out.Reads) > 0 {
		t.Errorf("a wrong answer was taken: %+v", r.out.Reads)
	}
	out := r.step(2, ReadIndexReply{Term: 1, Ref: m.Ref, Index: 6})
	if want := []Read{{Ref: 1, Index: 6}}; !slices.Equal(out.Reads, want) {
		t.Errorf("reads %+v, want %+v", out.Reads, want)
	}
}

// Dissertation 4.2.2: a voter that the newest configuration leaves out still
// starts elections until that one is committed; after that it does not.
func TestALeavingVoterCampaignsUntilItsRemovalIsCommitted(t *testing.T) {
	c := Configuration{Version: 2, Members: []Member{{ID: 2, Voter: true}}}
	log := append(entries(1, 1), Entry{Term: 1, Index: 2, Kind: EntryConfiguration, Data: EncodeConfiguration(c)})
	r := newSolo(t, 1, 2, State{Entries: log})
	r.Campaign()
	if r.at(r.now); r.role != PreCandidate {
		t.Errorf("%v, want pre-candidate: the removal may be known to nobody else", r.role)
	}
	r.step(2, AppendEntries{Term: 1, PrevIndex: 2, PrevTerm: 1, Commit: 2})
	r.Tick(r.now + r.cfg.Lease)
	r.Campaign()
	if r.at(r.now); r.role != Follower {
		t.Errorf("%v, want follower: it has been removed", r.role)
	}
}

// Overload: nothing is taken when a bound is reached, and the window reopens.
func TestProposalsBeyondTheBoundsAreRefused(t *testing.T) {
	r := newSolo(t, 1, 3, State{})
	r.cfg.MaxUncommittedBytes = 100
	r.lead()
	r.save()
	r.step(2, AppendReply{Term: 1, Match: 1})
	r.Applied(1)
	if _, err := r.Propose([][]byte{make([]byte, 500)}); err != nil {
		t.Errorf("a single larger command: %v", err)
	}
	if _, err := r.Propose([][]byte{nil}); !errors.Is(err, ErrOverloaded) {
		t.Errorf("beyond the bound: %v, want ErrOverloaded", err)
	}
	r.at(r.now)
	r.save()
	r.step(2, AppendReply{Term: 1, Match: 2})
	if _, err := r.Propose([][]byte{nil}); !errors.Is(err, ErrOverloaded) {
		t.Errorf("with 500 bytes committed and not applied: %v, want ErrOverloaded", err)
	}
	r.Applied(2)
	if _, err := r.Propose([][]byte{nil}); err != nil {
		t.Errorf("after Applied: %v", err)
	}
}

// Compaction lets go of the memory: the array that held the dropped entries is
// not kept by those that stay.
func TestCompactionReleasesTheLog(t *testing.T) {
	r := newSolo(t, 1, 1, State{})
	r.cfg.TrailingEntries = 3
	r.at(r.now)
	r.save()
	r.Propose(make([][]byte, 1000))
	r.at(r.now)
	r.save()
	r.Applied(1001)
	meta, ok := r.MetaAt(1001)
	if !ok || meta.Term != 1 || meta.Index != 1001 {
		t.Fatalf("description %+v, %v", meta, ok)
	}
	r.SnapshotTaken(meta)
	if s := r.Status(); s.FirstIndex != 999 || cap(r.log.chunks[0]) > 10 || s.LogBytes != 3*entryOverhead {
		t.Errorf("log %d..%d, capacity %d, %d bytes", s.FirstIndex, s.LastIndex, cap(r.log.chunks[0]), s.LogBytes)
	}
}
