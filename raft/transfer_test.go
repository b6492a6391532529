package raft

import "testing"

// failTransfer lets the leader hand over to a replica that does not take it, and
// returns the TimeoutNow that is still under way.
func (r *solo) failTransfer(to ID) TimeoutNow {
	r.t.Helper()
	if err := r.TransferLeadership(to); err != nil {
		r.t.Fatal(err)
	}
	m, ok := find[TimeoutNow](r.at(r.now).SendNow)
	if !ok || m.LastIndex != r.log.last() {
		r.t.Fatalf("sent %+v, want TimeoutNow for a log that ends at %d", m, r.log.last())
	}
	for end := r.now + r.cfg.Election; r.now < end; {
		r.at(r.now + r.cfg.Heartbeat)
		r.answer(2)
	}
	if r.role != Leader || r.Node.lead.transfer != nil {
		r.t.Fatalf("%v, want a leader that has given the transfer up", r.role)
	}
	return m
}

// answer is id's answer to a heartbeat that has just left.
func (r *solo) answer(id ID) Output {
	return r.step(id, HeartbeatReply{Term: r.term, Sent: r.now})
}

// Dissertation 3.10 and lease.go, point 5: a transfer that has failed takes the
// lease away until an entry behind the one that TimeoutNow names is committed.
func TestTheLeaseComesBackAfterAFailedTransfer(t *testing.T) {
	r := newSolo(t, 1, 3, State{})
	r.lead()
	r.save()
	r.step(2, AppendReply{Term: 1, Match: 1})
	r.step(3, AppendReply{Term: 1, Match: 1})
	if out := r.answer(2); out.Lease == 0 {
		t.Fatal("no lease before the transfer")
	}
	told := r.failTransfer(3)
	if e := *r.log.at(r.log.last()); e.Index != told.LastIndex+1 || e.Kind != EntryNoOp {
		t.Fatalf("the log ends with %+v, want a no-op after %d", e, told.LastIndex)
	}
	r.save()
	if out := r.answer(2); out.Lease != 0 {
		t.Fatalf("lease until %d: only %d is committed, and TimeoutNow names it", out.Lease, r.commit)
	}
	out := r.step(2, AppendReply{Term: 1, Match: told.LastIndex + 1})
	if out.Lease <= r.now || out.LeaseIndex != told.LastIndex+1 {
		t.Errorf("lease until %d at %d, want one at %d: entry %d is committed", out.Lease, out.LeaseIndex, told.LastIndex+1, told.LastIndex+1)
	}
	// A second transfer takes it away again.
	r.step(3, AppendReply{Term: 1, Match: told.LastIndex + 1})
	if err := r.TransferLeadership(3); err != nil {
		t.Fatal(err)
	}
	if out := r.at(r.now); out.Lease != 0 {
		t.Errorf("lease until %d beside TimeoutNow", out.Lease)
	}
}

// A TimeoutNow that comes late, when the log has moved on, is void: the leader
// may have its lease again. So is one that comes before the entry it names.
func TestALateTimeoutNowIsVoid(t *testing.T) {
	for _, test := range []struct {
		last Index
		want Role
	}{{1, Follower}, {2, Candidate}, {3, Follower}} {
		r := newSolo(t, 1, 3, State{HardState: HardState{Term: 1}, Entries: entries(1, 1, 1)})
		r.step(2, AppendEntries{Term: 1, PrevIndex: 2, PrevTerm: 1})
		r.step(2, TimeoutNow{Term: 1, LastIndex: test.last})
		if r.role != test.want {
			t.Errorf("log ends with 2, TimeoutNow names %d: %v, want %v", test.last, r.role, test.want)
		}
	}
}

// Lease.go, point 5: whoever acts on TimeoutNow when the leader has its lease
// again has a log that a quorum refuses, though its votes pass over the promise;
// whoever has a log that a quorum would take does not act on it.
func TestALateTimeoutNowDoesNotEndALease(t *testing.T) {
	t.Run("the target was cut off", func(t *testing.T) { lateTimeoutNow(t, false, Candidate) })
	t.Run("the target is back", func(t *testing.T) { lateTimeoutNow(t, true, Follower) })
}

func lateTimeoutNow(t *testing.T, back bool, want Role) {
	w := newNetwork(t, 3)
	leader := w.elect(1)
	w.run(60 * millisecond)
	w.isolate(3)
	var told TimeoutNow
	w.host(1).turn(func(n *Node) {
		if err := n.TransferLeadership(3); err != nil {
			t.Fatal(err)
		}
		told = TimeoutNow{Term: n.term, LastIndex: n.log.last()}
	})
	w.run(leader.node.cfg.Election + 20*millisecond)
	if leader.lease <= leader.clock() {
		t.Fatalf("lease until %d, now %d: want it back", leader.lease, leader.clock())
	}
	if back {
		w.heal()
		w.run(2 * leader.node.cfg.Election)
	}
	w.host(3).turn(func(n *Node) { n.Step(1, told) })
	if got := w.host(3).status().Role; got != want {
		t.Fatalf("the target is %v, want %v: its log ends with %d, TimeoutNow says %d",
			got, want, w.host(3).status().LastIndex, told.LastIndex)
	}
	w.heal()
	for end := leader.lease; leader.clock() < end; {
		w.run(millisecond)
		for _, h := range w.hosts[1:] {
			if h.status().Role == Leader {
				t.Fatalf("replica %d leads at %d, the lease is until %d", h.id, leader.clock(), end)
			}
		}
	}
}

func TestALeaderThatLeavesSaysWhy(t *testing.T) {
	one := func(t *testing.T, voters int) *solo {
		r := newSolo(t, 1, voters, State{})
		r.lead()
		r.save()
		r.step(2, AppendReply{Term: 1, Match: 1})
		return r
	}
	transfer := func(r *solo, resign bool) {
		r.answer(2)
		r.beginTransfer(r.Node.lead.peer(2), resign)
		r.at(r.now)
	}
	for want, leave := range map[string]func(*solo){
		"there is a newer term": func(r *solo) {},
		"handed over":           func(r *solo) { transfer(r, false) },
		"handed over: the disk is stalled": func(r *solo) {
			transfer(r, true)
		},
		"no quorum answers": func(r *solo) {
			r.at(r.now + 2*r.cfg.Election)
		},
		"the disk is stalled": func(r *solo) {
			transfer(r, true)
			for end := r.now + r.cfg.Election; r.now < end; {
				r.at(r.now + r.cfg.Heartbeat)
				r.answer(2)
			}
		},
	} {
		r := one(t, 3)
		leave(r)
		if r.role == Leader {
			r.step(2, RequestVote{Term: 2, LastIndex: 9, LastTerm: 9, Transfer: true})
		}
		if got := r.Status(); got.Role == Leader || got.Left != want {
			t.Errorf("%v, left: %q, want %q", got.Role, got.Left, want)
		}
	}
}
