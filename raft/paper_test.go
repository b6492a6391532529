package raft

import (
	"slices"
	"testing"
)

// One test for each sentence of the paper that a transcript does not already
// show: "Raft" is the extended paper, "dissertation" Ongaro's. They drive one
// node by hand.

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
		if r.leader != None || r.log.last() > 0 || r.now < r.election.promise {
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
