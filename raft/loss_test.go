package raft

import "testing"

// Reliability D13: a replica whose log ends before what it had acknowledged to
// the leader of this term finds that out, says so, and is silent from then on.
func TestALogThatEndsBeforeItsAcknowledgementIsALoss(t *testing.T) {
	tests := []struct {
		name string
		m    Heartbeat
		loss bool
	}{
		{"all is there", Heartbeat{Term: 5, Match: 3}, false},
		{"an entry is missing", Heartbeat{Term: 5, Match: 4}, true},
		{"of a newer term", Heartbeat{Term: 6, Match: 4}, true},
		{"of an older term", Heartbeat{Term: 4, Match: 4}, false},
	}
	for _, test := range tests {
		r := newSolo(t, 1, 3, State{HardState: HardState{Term: 5}, Entries: entries(1, 1, 1, 2)})
		out := r.step(2, test.m)
		reply, _ := find[HeartbeatReply](out.SendNow)
		if (out.Loss != nil) != test.loss || reply.Lost != test.loss {
			t.Errorf("%s: loss %+v, answer %+v; want a loss: %v", test.name, out.Loss, reply, test.loss)
		}
		if !test.loss {
			continue
		}
		if want := (Loss{Term: test.m.Term, Leader: 2, Acknowledged: 4, Last: 3}); *out.Loss != want {
			t.Errorf("%s: %+v, want %+v", test.name, *out.Loss, want)
		}
		r.silent(t)
	}
}

// silent checks that a replica that has found a loss takes part in nothing.
func (r *solo) silent(t *testing.T) {
	t.Helper()
	last := r.log.last()
	r.PeerLost(2)
	r.Campaign()
	out := r.at(r.now + 100*r.cfg.Election)
	for _, m := range []Message{PreVote{Term: 9, LastIndex: 9, LastTerm: 8}, RequestVote{Term: 9, LastIndex: 9, LastTerm: 8},
		AppendEntries{Term: r.term, PrevIndex: 3, PrevTerm: 2, Entries: entries(4, r.term)}} {
		r.Step(3, m)
	}
	more := r.at(r.now)
	if len(out.Send)+len(out.SendNow)+len(more.Send)+len(more.SendNow) > 0 || r.role != Follower || r.log.last() != last {
		t.Errorf("%v says %v %v %v %v; want silence", r.role, out.Send, out.SendNow, more.Send, more.SendNow)
	}
	if r.Deadline() <= r.now {
		t.Errorf("deadline %d at %d: the host would spin", r.Deadline(), r.now)
	}
}

// A rejection that left before an acknowledgement and arrives after it is no
// loss, and does not take the acknowledgement back.
func TestALateRejectionIsNoLoss(t *testing.T) {
	r := newSolo(t, 1, 3, State{})
	r.lead()
	if _, err := r.Propose([][]byte{[]byte("a"), []byte("b"), []byte("c")}); err != nil {
		t.Fatal(err)
	}
	r.step(2, AppendReply{Term: 1, Match: 1})
	r.step(2, AppendReply{Term: 1, Match: 3})
	out := r.step(2, AppendReply{Term: 1, Rejected: true, PrevIndex: 4, ConflictIndex: 1, ConflictTerm: 1})
	if h, ok := find[Heartbeat](out.SendNow); !ok || h.Match != 3 {
		t.Errorf("sends %v, want a heartbeat that says 3", out.SendNow)
	}
	r.save()
	if p := r.Node.lead.peer(2); p.match != 3 || p.lost || r.commit != 3 {
		t.Errorf("%+v, commit %d; want match and commit 3", p, r.commit)
	}
	// It has everything: what the retry finds out.
	if out = r.step(2, HeartbeatReply{Term: 1, Sent: r.now}); r.Node.lead.peer(2).state != Probe {
		t.Errorf("%+v, want it to be probed", r.Node.lead.peer(2))
	}
	out = r.at(r.now + r.patience())
	if m, ok := find[AppendEntries](r.step(2, HeartbeatReply{Term: 1, Sent: r.now}).SendNow); !ok || m.PrevIndex != 3 {
		t.Errorf("sends %+v, before %v; want entries after 3", m, out.SendNow)
	}
}

// A replica that has lost entries counts for nothing: not for what it had
// acknowledged, not for the lease, not for CheckQuorum.
func TestAReplicaWithALossDoesNotCount(t *testing.T) {
	r := newSolo(t, 1, 3, State{})
	r.lead()
	r.step(2, AppendReply{Term: 1, Match: 1}) // our own disk is not done yet
	r.step(2, HeartbeatReply{Term: 1, Sent: r.now})
	for i, want := range []int{1, 0} {
		if out := r.step(2, HeartbeatReply{Term: 1, Lost: true}); len(out.PeerLosses) != want {
			t.Errorf("word %d of the loss: tells of %v, want it told once", i+1, out.PeerLosses)
		}
	}
	if r.save(); r.commit != 0 {
		t.Errorf("commit %d with the acknowledgement of a replica that has lost the entry", r.commit)
	}
	// Whatever comes from it later changes nothing.
	r.step(2, AppendReply{Term: 1, Match: 1})
	r.step(2, SnapshotReply{Term: 1, Index: 1, Installed: true})
	if r.step(2, HeartbeatReply{Term: 1, Sent: r.now}); r.commit != 0 || r.Node.lead.peer(2).sent != 0 {
		t.Errorf("commit %d, %+v; want it to count for nothing", r.commit, r.Node.lead.peer(2))
	}
	r.step(3, AppendReply{Term: 1, Match: 1})
	if r.commit != 1 {
		t.Errorf("commit %d with two whole replicas, want 1", r.commit)
	}
	r.Node.lead.peer(3).heard = r.now - r.cfg.Election
	r.Node.lead.peer(2).heard = r.now
	if r.quorumActive() {
		t.Error("a replica with a loss counts for CheckQuorum")
	}
}
