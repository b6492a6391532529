package raft

import (
	"testing"
)

// install hands the replica the only chunk of a snapshot at index 3.
func (r *solo) install(term Term) (SnapshotMeta, Output) {
	data := []byte("x")
	meta := SnapshotMeta{Index: 3, Term: term, Configuration: *r.config(), Size: 1}
	return meta, r.step(2, InstallSnapshot{Term: 5, Snapshot: meta, Data: data, Checksum: ChunkChecksum(data)})
}

// What is committed but not yet handed out waits while the host replaces the
// state machine: applied afterwards, it would be applied twice.
func TestNothingIsAppliedWhileASnapshotIsInstalled(t *testing.T) {
	r := newSolo(t, 1, 3, State{Entries: entries(1, 1, 1)})
	r.cfg.MaxApplyBytes = 40
	if out := r.step(2, AppendEntries{Term: 5, PrevIndex: 2, PrevTerm: 1, Commit: 2}); len(out.Apply) != 1 {
		t.Fatalf("applies %v, want one of two entries", out.Apply)
	}
	meta, out := r.install(2)
	if len(out.Chunks) != 1 || len(out.Apply) > 0 {
		t.Fatalf("chunks %v beside applies %v, want one and none", out.Chunks, out.Apply)
	}
	if out = r.at(r.now + 1); len(out.Apply) > 0 || r.Deadline() <= r.now {
		t.Errorf("applies %v, deadline %d at %d; want it to wait", out.Apply, r.Deadline(), r.now)
	}
	r.SnapshotInstalled(meta)
	if out = r.at(r.now); len(out.Apply) > 0 || r.applied != 3 {
		t.Errorf("applies %v after the snapshot at 3, applied %d", out.Apply, r.applied)
	}
}

// While the host replaces the state machine nothing more is committed: the
// snapshot might contradict it.
func TestNothingIsCommittedWhileASnapshotIsInstalled(t *testing.T) {
	r := newSolo(t, 1, 3, State{Entries: entries(1, 1, 1, 1)})
	meta, _ := r.install(2)
	r.step(2, AppendEntries{Term: 5, PrevIndex: 3, PrevTerm: 1, Commit: 3})
	r.step(2, Heartbeat{Term: 5, Commit: 3})
	r.step(2, TimeoutNow{Term: 5, LastIndex: 4})
	if r.commit != 0 || r.role != Follower {
		t.Errorf("commit %d, %v; want 0, follower", r.commit, r.role)
	}
	r.SnapshotInstalled(meta)
	if out := r.at(r.now); out.Base == nil || r.commit != 3 {
		t.Errorf("base %v, commit %d; want the log replaced", out.Base, r.commit)
	}
}

// A snapshot that is not ahead of the commit index is refused with our index: it
// would move the state machine back.
func TestAnOldSnapshotIsRefused(t *testing.T) {
	r := newSolo(t, 1, 3, State{Entries: entries(1, 1, 1, 2, 2)})
	r.step(2, AppendEntries{Term: 5, PrevIndex: 4, PrevTerm: 2, Commit: 4})
	_, out := r.install(2)
	m, ok := find[SnapshotReply](out.Send)
	if want := (SnapshotReply{Term: 5, Index: 4, Installed: true}); len(out.Chunks) > 0 || !ok || m != want {
		t.Errorf("chunks %v, answer %+v; want none, %+v", out.Chunks, m, want)
	}
}

// Leadership goes to a voter whose disk answers, even if another's log is
// longer.
func TestTheBestTargetIsNotStalled(t *testing.T) {
	r := newSolo(t, 1, 4, State{})
	r.lead()
	r.step(2, AppendReply{Term: 1, Match: 1})
	r.step(2, HeartbeatReply{Term: 1, Sent: r.now, Stalled: true})
	if p := r.bestTarget(); p == nil || p.id == 2 {
		t.Errorf("target %+v, want 3 or 4", p)
	}
	r.step(4, AppendReply{Term: 1, Match: 1})
	if p := r.bestTarget(); p == nil || p.id != 4 {
		t.Errorf("target %+v, want 4, whose log is longer than 3's", p)
	}
	r.Tick(r.now + r.cfg.Election)
	if p := r.bestTarget(); p != nil {
		t.Errorf("target %+v, want none: nobody has answered for an Election", p)
	}
}

// A campaign waits for the replica's own promise, however it was begun.
func TestNoCampaignWithinThePromise(t *testing.T) {
	r := newSolo(t, 1, 3, State{HardState: HardState{Term: 1}})
	r.step(2, Heartbeat{Term: 1})
	end := r.now + r.cfg.Lease
	r.PeerLost(2)
	r.Campaign()
	r.election.at = r.now // as if the timer had fired early
	if r.at(end - 1); r.role != Follower {
		t.Errorf("%v before the promise is over", r.role)
	}
	if r.at(end); r.role != PreCandidate {
		t.Errorf("%v after the promise, want pre-candidate", r.role)
	}
}

// What peers claim about themselves cannot make the leader do the impossible.
func TestImpossibleRepliesAreIgnored(t *testing.T) {
	for name, m := range map[string]Message{
		"match beyond the log":      AppendReply{Term: 1, Match: 99},
		"rejection of index 0":      AppendReply{Term: 1, Rejected: true},
		"rejection of what is next": AppendReply{Term: 1, Rejected: true, PrevIndex: 1 << 62},
		"snapshot beyond the log":   SnapshotReply{Term: 1, Index: 99, Installed: true},
		"negative offset":           SnapshotReply{Term: 1, Index: 1, Offset: -1},
		"a round not begun":         HeartbeatReply{Term: 1, Round: 9},
	} {
		r := newSolo(t, 1, 3, State{})
		r.lead()
		before := r.Status()
		r.step(2, m)
		if after := r.Status(); after.Commit != before.Commit || after.Peers[0] != before.Peers[0] {
			t.Errorf("%s: %+v, before %+v", name, after.Peers[0], before.Peers[0])
		}
	}
}

// A save that was under way before the election does not make the candidate's
// own vote durable.
func TestAnEarlierSaveDoesNotCountAsTheOwnVote(t *testing.T) {
	r := newSolo(t, 1, 3, State{})
	r.step(2, AppendEntries{Term: 1, Entries: entries(1, 1)})
	earlier := r.saves.issued
	r.Tick(r.now + r.cfg.Lease)
	r.Campaign()
	r.at(r.now)
	r.step(2, PreVoteReply{Term: 2, Granted: true})
	r.step(3, Vote{Term: 2, Granted: true})
	if r.Saved(earlier); r.role != Candidate {
		t.Fatalf("%v when save %d is durable, want candidate: the vote is in save %d", r.role, earlier, r.saves.issued)
	}
	if r.save(); r.role != Leader {
		t.Errorf("%v with its own vote durable, want leader", r.role)
	}
}
