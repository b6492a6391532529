package raft

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// One test for each sentence of the paper that a transcript does not already
// show: "Raft" is the extended paper, "dissertation" Ongaro's. They drive one
// node by hand.

// solo is one replica of a group of voters, without a network.
type solo struct {
	*Node
	t     *testing.T
	out   Output
	saved uint64
}

func newSolo(t *testing.T, id ID, voters int, s State) *solo {
	t.Helper()
	if s.Snapshot.Configuration.Members == nil {
		var members []Member
		for v := ID(1); v <= ID(voters); v++ {
			members = append(members, Member{ID: v, Voter: true})
		}
		s.Snapshot.Configuration = Bootstrap(members...).Configuration
	}
	n, err := New(testConfig(id), s)
	if err != nil {
		t.Fatal(err)
	}
	r := &solo{Node: n, t: t}
	r.at(0)
	r.at(n.cfg.Lease) // the promise of the start is over
	return r
}

// at ticks and returns the output; saves become durable at once.
func (r *solo) at(now Time) Output {
	r.Tick(now)
	r.out = r.Output()
	return r.out
}

// step hands over one message and returns what comes of it.
func (r *solo) step(from ID, m Message) Output {
	r.Step(from, m)
	return r.at(r.now)
}

func (r *solo) save() Output {
	r.Saved(r.saves.issued)
	return r.at(r.now)
}

// lead makes the replica the leader of the next term.
func (r *solo) lead() {
	r.t.Helper()
	r.Campaign()
	r.at(r.now)
	for id := ID(1); id <= 3 && r.role == PreCandidate; id++ {
		r.step(id, PreVoteReply{Term: r.term + 1, Granted: true})
	}
	r.save()
	for _, m := range r.config().Members {
		r.step(m.ID, Vote{Term: r.term, Granted: true})
	}
	if r.role != Leader {
		r.t.Fatalf("role %v of term %d, want leader", r.role, r.term)
	}
}

// find returns the first message of M's type in envelopes.
func find[M Message](envelopes ...[]Envelope) (M, bool) {
	for _, e := range slices.Concat(envelopes...) {
		if m, ok := e.Message.(M); ok {
			return m, true
		}
	}
	var none M
	return none, false
}

func entries(first Index, terms ...Term) (list []Entry) {
	for i, t := range terms {
		list = append(list, Entry{Term: t, Index: first + Index(i)})
	}
	return list
}

func terms(n *Node) (list []Term) {
	for _, e := range n.log.entries {
		list = append(list, e.Term)
	}
	return list
}

// Raft 5.1: if one server's current term is smaller than the other's, then it
// updates its current term to the larger value; a leader then reverts to
// follower.
func TestANewerTermMakesAnyoneAFollower(t *testing.T) {
	for _, m := range []Message{
		AppendEntries{Term: 9}, Heartbeat{Term: 9}, AppendReply{Term: 9, Rejected: true},
		HeartbeatReply{Term: 9}, PreVoteReply{Term: 9}, Vote{Term: 9},
		RequestVote{Term: 9, Transfer: true}, SnapshotReply{Term: 9},
	} {
		r := newSolo(t, 1, 3, State{})
		r.lead()
		r.step(2, m)
		if r.role != Follower || r.term != 9 {
			t.Errorf("%T: %v of term %d, want follower of term 9", m, r.role, r.term)
		}
	}
}

// Raft 5.1: if a server receives a request with a stale term number, it rejects
// the request, and tells its own term.
func TestAStaleRequestIsAnsweredWithTheNewTerm(t *testing.T) {
	for _, m := range []Message{
		AppendEntries{Term: 2}, Heartbeat{Term: 2}, RequestVote{Term: 2}, PreVote{Term: 2},
		InstallSnapshot{Term: 2, Snapshot: SnapshotMeta{Index: 4, Term: 1}},
	} {
		r := newSolo(t, 1, 3, State{HardState: HardState{Term: 5}})
		out := r.step(2, m)
		sent := slices.Concat(out.SendNow, out.Send)
		if len(sent) != 1 || sent[0].Message.term() != 5 {
			t.Errorf("%T: answered with %v, want one answer of term 5", m, sent)
		}
		if r.leader != None || len(r.log.entries) > 0 || r.now < r.election.promise {
			t.Errorf("%T of an old term had an effect", m)
		}
	}
}

// Raft 5.2: a candidate that receives AppendEntries from a leader whose term is
// at least as large recognizes it and returns to follower state.
func TestACandidateRecognizesTheLeaderOfItsTerm(t *testing.T) {
	r := newSolo(t, 1, 3, State{})
	r.Campaign()
	r.at(r.now)
	r.step(2, PreVoteReply{Term: 1, Granted: true})
	if r.role != Candidate {
		t.Fatalf("role %v, want candidate", r.role)
	}
	r.step(3, AppendEntries{Term: 1})
	if r.role != Follower || r.leader != 3 || r.vote != 1 {
		t.Errorf("%v, leader %d, vote %d; want follower of 3 with the vote kept", r.role, r.leader, r.vote)
	}
}

// Raft 5.2: the timeout is chosen at random from a fixed interval.
func TestElectionTimeoutsSpreadOverTheInterval(t *testing.T) {
	r := newSolo(t, 1, 3, State{})
	e := r.cfg.Election
	low, high := never, Time(0)
	for range 1000 {
		r.resetElection()
		low, high = min(low, r.election.timeout), max(high, r.election.timeout)
	}
	if low < e || high >= 2*e || low > e+e/20 || high < 2*e-e/20 {
		t.Errorf("timeouts within [%d, %d], want all of [%d, %d)", low, high, e, 2*e)
	}
}

// Raft 5.2 and 5.4.1, receiver's part of RequestVote in Figure 2.
func TestAVoteIsGrantedOnceToAnUpToDateCandidate(t *testing.T) {
	tests := []struct {
		name        string
		vote        ID
		index       Index
		term        Term
		wantGranted bool
	}{
		{"same log", None, 2, 2, true},
		{"longer log", None, 3, 2, true},
		{"newer last term, shorter log", None, 1, 3, true},
		{"shorter log", None, 1, 2, false},
		{"older last term, longer log", None, 9, 1, false},
		{"asked again", 2, 2, 2, true},
		{"voted for another", 3, 2, 2, false},
	}
	for _, test := range tests {
		r := newSolo(t, 1, 3, State{HardState: HardState{Term: 3, Vote: test.vote}, Entries: entries(1, 1, 2)})
		out := r.step(2, RequestVote{Term: 3, LastIndex: test.index, LastTerm: test.term})
		v, ok := find[Vote](out.Send)
		if !ok || v.Granted != test.wantGranted {
			t.Errorf("%s: %+v in %+v, want granted %v", test.name, v, out, test.wantGranted)
		}
		if test.wantGranted && test.vote == None && (out.HardState == nil || out.HardState.Vote != 2 || out.Save == 0) {
			t.Errorf("%s: the vote is not saved before it leaves: %+v", test.name, out)
		}
	}
}

// Raft Figure 2: persistent state is updated before responding. A candidate's
// vote for itself counts like any other: when it is durable.
func TestACandidateCountsItsOwnVoteWhenItIsDurable(t *testing.T) {
	r := newSolo(t, 1, 3, State{})
	r.Campaign()
	r.at(r.now)
	out := r.step(2, PreVoteReply{Term: 1, Granted: true})
	if _, ok := find[RequestVote](out.SendNow); ok || out.HardState == nil {
		t.Fatalf("RequestVote leaves before the candidate's state is durable: %+v", out)
	}
	if r.step(2, Vote{Term: 1, Granted: true}); r.role != Candidate {
		t.Fatalf("%v with one durable vote of three", r.role)
	}
	if r.save(); r.role != Leader {
		t.Errorf("%v with two votes, want leader", r.role)
	}
}

// Raft 5.3: the leader appends and replicates in parallel; an entry is committed
// once the leader has replicated it on a majority (dissertation 10.2.1: which
// need not include itself).
func TestAnEntryIsCommittedOnAnyMajority(t *testing.T) {
	r := newSolo(t, 1, 5, State{})
	r.lead()
	out := r.save()
	_ = out
	for id := ID(2); id <= 4; id++ {
		if r.commit != 0 && id < 4 {
			t.Fatalf("committed %d before three of five had it", r.commit)
		}
		r.step(id, AppendReply{Term: 1, Match: 1})
	}
	if r.Propose([][]byte{[]byte("a")}); r.commit != 1 {
		t.Fatalf("commit %d, want 1", r.commit)
	}
	out = r.at(r.now)
	if _, ok := find[AppendEntries](out.SendNow); !ok {
		t.Errorf("AppendEntries waits for the leader's disk: %+v", out)
	}
	for id := ID(2); id <= 4; id++ {
		r.step(id, AppendReply{Term: 1, Match: 2})
	}
	if r.commit != 2 || r.saves.durable != 1 {
		t.Errorf("commit %d with %d durable here, want 2 with 1", r.commit, r.saves.durable)
	}
}

// Raft 5.3: if a follower does not find an entry with the same index and term,
// it refuses the new entries.
func TestAppendEntriesChecksThePreviousEntry(t *testing.T) {
	tests := []struct {
		index, conflict Index
		term, conflictT Term
		rejected        bool
	}{
		{index: 0, term: 0},
		{index: 2, term: 2},
		{index: 2, term: 1, rejected: true, conflict: 1, conflictT: 1},
		{index: 3, term: 3, rejected: true, conflict: 2, conflictT: 2},
		{index: 9, term: 1, rejected: true, conflict: 1, conflictT: 1},
	}
	for _, test := range tests {
		r := newSolo(t, 1, 3, State{Entries: entries(1, 1, 2)})
		out := r.step(2, AppendEntries{Term: 4, PrevIndex: test.index, PrevTerm: test.term})
		got, _ := find[AppendReply](out.Send)
		want := AppendReply{Term: 4, Rejected: test.rejected, ConflictIndex: test.conflict, ConflictTerm: test.conflictT}
		if test.rejected {
			want.PrevIndex = test.index
		} else {
			want.Match = test.index
		}
		if got != want {
			t.Errorf("after %d/%d: %+v, want %+v", test.index, test.term, got, want)
		}
	}
}

// Raft 5.3: conflicting entries in followers' logs are overwritten with entries
// from the leader's log, and only those.
func TestOnlyAConflictTruncates(t *testing.T) {
	tests := []struct {
		name string
		m    AppendEntries
		want []Term
	}{
		{"new entries", AppendEntries{PrevIndex: 3, PrevTerm: 2, Entries: entries(4, 3)}, []Term{1, 2, 2, 3}},
		{"an old message", AppendEntries{PrevIndex: 0, Entries: entries(1, 1)}, []Term{1, 2, 2}},
		{"nothing new", AppendEntries{PrevIndex: 1, PrevTerm: 1}, []Term{1, 2, 2}},
		{"overlap", AppendEntries{PrevIndex: 1, PrevTerm: 1, Entries: entries(2, 2, 2, 3)}, []Term{1, 2, 2, 3}},
		{"conflict", AppendEntries{PrevIndex: 1, PrevTerm: 1, Entries: entries(2, 3)}, []Term{1, 3}},
	}
	for _, test := range tests {
		r := newSolo(t, 1, 3, State{Entries: entries(1, 1, 2, 2)})
		before := r.log.slice(1, 3)
		test.m.Term = 4
		r.step(2, test.m)
		if got := terms(r.Node); !slices.Equal(got, test.want) {
			t.Errorf("%s: terms %v, want %v", test.name, got, test.want)
		}
		if before[1].Term != 2 || before[2].Term != 2 {
			t.Errorf("%s: wrote over entries that others may still read: %v", test.name, before)
		}
	}
}

// A save that is under way when its entries are replaced makes nothing of what
// replaces them durable.
func TestASaveOfReplacedEntriesMakesNothingDurable(t *testing.T) {
	r := newSolo(t, 1, 3, State{Entries: entries(1, 1)})
	r.step(2, AppendEntries{Term: 2, PrevIndex: 1, PrevTerm: 1, Entries: entries(2, 2, 2, 2)})
	first := r.saves.issued
	out := r.step(3, AppendEntries{Term: 3, PrevIndex: 1, PrevTerm: 1, Entries: entries(2, 3, 3)})
	if out.Save != first+1 || len(out.Entries) != 2 || out.Entries[0].Index != 2 {
		t.Fatalf("save %d of %v, want %d from index 2", out.Save, out.Entries, first+1)
	}
	if r.Saved(first); r.saves.durable != 1 {
		t.Errorf("durable up to %d, want 1", r.saves.durable)
	}
	if r.Saved(first + 1); r.saves.durable != 3 {
		t.Errorf("durable up to %d, want 3", r.saves.durable)
	}
}

// Raft 5.3, Figure 2: a follower's commit index is the minimum of leaderCommit
// and the index of the last new entry.
func TestAFollowerCommitsOnlyWhatItHasCompared(t *testing.T) {
	r := newSolo(t, 1, 3, State{Entries: entries(1, 1, 1, 1)})
	r.step(2, AppendEntries{Term: 2, PrevIndex: 1, PrevTerm: 1, Commit: 3})
	if r.commit != 1 {
		t.Errorf("commit %d, want 1: entries 2 and 3 may differ from the leader's", r.commit)
	}
	out := r.step(2, AppendEntries{Term: 2, PrevIndex: 1, PrevTerm: 1, Entries: entries(2, 1), Commit: 3})
	if r.commit != 2 || len(out.Apply) != 1 {
		t.Errorf("commit %d, applied %v; want 2", r.commit, out.Apply)
	}
	if r.step(2, Heartbeat{Term: 2, Commit: 9}); r.commit != 2 {
		t.Errorf("commit %d after a heartbeat beyond the log", r.commit)
	}
}

// Raft 5.3: after a rejection the leader decrements nextIndex; with the conflict
// term it passes over a whole term at once, on either side.
func TestTheLeaderBacksUpByTerms(t *testing.T) {
	tests := []struct {
		conflict Index
		term     Term
		want     Index
	}{
		{3, 1, 4}, // the follower is short
		{9, 1, 4}, // our entries of term 4 and later cannot be there
		{9, 4, 6}, // it ends with term 4
		{9, 5, 8},
		{0, 0, 1},
	}
	for _, test := range tests {
		r := newSolo(t, 1, 3, State{Entries: entries(1, 1, 1, 1, 4, 4, 5, 5, 6, 6, 6)})
		r.lead()
		out := r.step(2, AppendReply{Term: r.term, Rejected: true, PrevIndex: 10, ConflictIndex: test.conflict, ConflictTerm: test.term})
		m, ok := find[AppendEntries](out.SendNow)
		if !ok || m.PrevIndex+1 != test.want {
			t.Errorf("conflict %d/%d: next %d, want %d", test.conflict, test.term, m.PrevIndex+1, test.want)
		}
	}
}

// Raft 5.4.2: only log entries from the leader's current term are committed by
// counting replicas.
func TestOldEntriesAreNotCommittedByCounting(t *testing.T) {
	r := newSolo(t, 1, 3, State{Entries: entries(1, 1, 2)})
	r.lead()
	r.save()
	if r.step(2, AppendReply{Term: r.term, Match: 2}); r.commit != 0 {
		t.Fatalf("commit %d by counting entries of term 2 in term %d", r.commit, r.term)
	}
	if r.step(2, AppendReply{Term: r.term, Match: 3}); r.commit != 3 {
		t.Errorf("commit %d, want 3", r.commit)
	}
}

// Raft 7: if the follower has the snapshot's last entry, what follows it is
// retained; otherwise its entire log is superseded.
func TestASnapshotKeepsTheLogOnlyIfItMatches(t *testing.T) {
	tests := []struct {
		name     string
		term     Term
		wantLast Index
		wantBase bool
	}{
		{"matches", 2, 4, false},
		{"differs", 3, 3, true},
	}
	for _, test := range tests {
		r := newSolo(t, 1, 3, State{Entries: entries(1, 1, 1, 2, 2)})
		meta := SnapshotMeta{Index: 3, Term: test.term, Configuration: *r.config(), Size: 1}
		out := r.step(2, InstallSnapshot{Term: 5, Snapshot: meta, Data: []byte("x"), Checksum: ChunkChecksum([]byte("x"))})
		if len(out.Chunks) != 1 || !out.Chunks[0].Last {
			t.Fatalf("%s: chunks %v, want one, the last", test.name, out.Chunks)
		}
		// Nothing is applied while the state machine is replaced.
		if out = r.step(2, AppendEntries{Term: 5, PrevIndex: 2, PrevTerm: 1, Commit: 2}); len(out.Apply) > 0 {
			t.Errorf("%s: applies %v beside the installation", test.name, out.Apply)
		}
		r.SnapshotInstalled(meta)
		out = r.at(r.now)
		if (out.Base != nil) != test.wantBase || r.log.last() != test.wantLast || r.commit != 3 || r.applied != 3 {
			t.Errorf("%s: base %v, last %d, commit %d, applied %d; want base %v, last %d, commit and applied 3", test.name,
				out.Base, r.log.last(), r.commit, r.applied, test.wantBase, test.wantLast)
		}
		if m, ok := find[SnapshotReply](out.Send); !ok || !m.Installed || m.Index != 3 {
			t.Errorf("%s: answer %+v, want installed at 3", test.name, m)
		}
	}
}

// A chunk that is damaged, out of place or too long is not written.
func TestAWrongChunkIsRefused(t *testing.T) {
	good := []byte("abcd")
	for name, m := range map[string]InstallSnapshot{
		"damaged":   {Data: []byte("abcx"), Checksum: ChunkChecksum(good)},
		"gap":       {Data: good, Checksum: ChunkChecksum(good), Offset: 4},
		"too long":  {Data: []byte("abcdefghi"), Checksum: ChunkChecksum([]byte("abcdefghi"))},
		"empty":     {},
		"no config": {Data: good, Checksum: ChunkChecksum(good), Snapshot: SnapshotMeta{Index: 9, Term: 1, Size: 8}},
	} {
		r := newSolo(t, 1, 3, State{})
		m.Term = 1
		if m.Snapshot.Index == 0 {
			m.Snapshot = SnapshotMeta{Index: 3, Term: 1, Configuration: *r.config(), Size: 8}
		}
		if out := r.step(2, m); len(out.Chunks) > 0 {
			t.Errorf("%s: written: %v", name, out.Chunks)
		}
	}
}

// Raft 8: a leader must have the latest information on which entries are
// committed before it answers a read: it commits a no-op at the start of its term.
func TestALeaderBeginsItsTermWithANoOp(t *testing.T) {
	r := newSolo(t, 1, 3, State{Entries: entries(1, 1)})
	r.lead()
	if e := r.log.entries[1]; e.Kind != EntryNoOp || e.Term != r.term {
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
	r.stepDown()
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
	if s := r.Status(); s.FirstIndex != 999 || cap(r.log.entries) > 10 || s.LogBytes != 3*entryOverhead {
		t.Errorf("log %d..%d, capacity %d, %d bytes", s.FirstIndex, s.LastIndex, cap(r.log.entries), s.LogBytes)
	}
}

// New takes only what it can have saved.
func TestNewRefusesWhatCannotHaveBeenSaved(t *testing.T) {
	boot := Bootstrap(Member{ID: 1, Voter: true})
	at3 := SnapshotMeta{Index: 3, Term: 2, Configuration: boot.Configuration}
	for name, s := range map[string]State{
		"gap":                {Snapshot: at3, Entries: entries(5, 2)},
		"gap in the entries": {Entries: append(entries(1, 1), entries(3, 1)...)},
		"terms go back":      {Entries: entries(1, 2, 1)},
		"term below":         {Snapshot: at3, Entries: entries(4, 1)},
		"no configuration":   {Snapshot: SnapshotMeta{Index: 3, Term: 2}},
		"no voter":           {Snapshot: Bootstrap(Member{ID: 1})},
		"bad configuration":  {Entries: []Entry{{Term: 1, Index: 1, Kind: EntryConfiguration, Data: []byte("x")}}},
		"term out of range":  {HardState: HardState{Term: math.MaxUint64}},
	} {
		var state *StateError
		if _, err := New(testConfig(1), s); !errors.As(err, &state) {
			t.Errorf("%s: error %v, want a *StateError", name, err)
		}
	}
	for name, c := range map[string]Config{
		"no ID": {}, "short election": {ID: 1, Heartbeat: 100, Election: 200},
		"long lease": {ID: 1, Lease: 1e10}, "negative": {ID: 1, MaxReads: -1}, "drift": {ID: 1, Lease: 10, MaxDrift: 10},
	} {
		var config *ConfigError
		if _, err := New(c, State{}); !errors.As(err, &config) {
			t.Errorf("%s: error %v, want a *ConfigError", name, err)
		}
	}
}

// A log that is older than the snapshot is dropped, on disk too; one that goes
// on after it keeps what comes before.
func TestNewJoinsTheLogToTheSnapshot(t *testing.T) {
	boot := Bootstrap(Member{ID: 1, Voter: true}, Member{ID: 2, Voter: true})
	at := SnapshotMeta{Index: 3, Term: 2, Configuration: boot.Configuration}
	for _, test := range []struct {
		name        string
		log         []Entry
		first, last Index
		base        bool
	}{
		{"none", nil, 4, 3, false},
		{"directly after", entries(4, 2, 3), 4, 5, false},
		{"from the start", entries(1, 1, 1, 2, 3), 1, 4, false},
		{"with a trail", entries(2, 1, 2, 3), 3, 4, false},
		{"ends before", entries(1, 1, 1), 4, 3, true},
		{"differs", entries(1, 1, 1, 1, 1), 4, 3, true},
	} {
		r := newSolo(t, 1, 2, State{HardState: HardState{Term: 3}, Snapshot: at, Entries: test.log})
		r.Node, _ = New(testConfig(1), State{HardState: HardState{Term: 3}, Snapshot: at, Entries: test.log})
		out := r.at(0)
		s := r.Status()
		if s.FirstIndex != test.first || s.LastIndex != test.last || s.Commit != 3 || (out.Base != nil) != test.base {
			t.Errorf("%s: log %d..%d, commit %d, base %v; want %d..%d, 3, %v", test.name,
				s.FirstIndex, s.LastIndex, s.Commit, out.Base, test.first, test.last, test.base)
		}
	}
}
