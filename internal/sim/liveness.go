package sim

import (
	"github.com/synod-go/synod/consensus"
)

// beginLiveness ends all faults and heals a core of machines: enough of every
// configuration that may be in force. The others may stay dead. From now on
// the group must come to work again within a bound (R14).
func (w *World) beginLiveness() {
	w.healed, w.healedAt = true, w.now
	w.net = network{}
	w.chooseCore()
	for slot, n := range w.nodes {
		n.full = false
		n.disk.SetCapacity(1 << 62)
		n.disk.Fault = nil
		n.clock.setRate(w.now, million)
		w.healedAt = max(w.healedAt, n.pausedUntil) // who stands still is not healed yet
		if !w.core[slot] && n.up {
			w.shutDown(n)
			n.lost = true
		} else if !w.core[slot] {
			n.lost = true
		} else if !n.up {
			n.life++
			w.agenda.add(w.now+milli, event{kind: evStart, slot: slot, life: n.life})
		}
	}
	if w.tree != nil {
		w.healedAt = max(w.healedAt, w.tree.burdened())
	}
	w.trace("heal      core %v", w.core)
	w.agenda.add(w.healedAt+w.bound()/4, event{kind: evProbe})
}

// bound is the time that the group has to come back: 20 of the longest election
// timeouts, and a full reserve of time for what was under way on slow disks.
func (w *World) bound() int64 {
	bound := 20*2*int64(w.weather.election) + 2*second
	if w.tree != nil {
		bound += 2 * w.tree.patience()
	}
	return bound
}

// chooseCore keeps everybody, or in half of the runs leaves out as many as a
// quorum of every configuration allows.
func (w *World) chooseCore() {
	w.core = make([]bool, len(w.nodes))
	for slot := range w.nodes {
		w.core[slot] = true
	}
	d := w.dice.at(streamHeal, 0, 1)
	if d.perMille(500) {
		return
	}
	for range w.nodes {
		d = d.split()
		slot := d.below(len(w.nodes))
		w.core[slot] = false
		if !w.coreWorks() {
			w.core[slot] = true
		}
	}
}

func (w *World) coreWorks() bool {
	in := func(id consensus.ID) bool { return w.safe(id) && w.core[slotOf(id)] }
	for _, c := range w.oracle.liveConfigurations() {
		if !w.survives(c, in) {
			return false
		}
	}
	return w.prefixSurvives()
}

// prefixSurvives reports whether somebody in the core has learned what its witnesses have
// let go of: else it has to wait for one of those who are lost, and need not go on.
func (w *World) prefixSurvives() bool {
	var gone, learned consensus.Index
	for slot, n := range w.nodes {
		if !w.core[slot] || n.core == nil {
			continue
		}
		if s := n.core.Status(); n.witness {
			gone = max(gone, s.FirstIndex-1)
		} else {
			learned = max(learned, s.Commit)
		}
	}
	return learned >= gone
}

// checkLiveness looks every now and then whether all is well, and finds a broken
// rule if it is not when the bound is over.
func (w *World) checkLiveness() {
	why := w.notRecovered()
	switch {
	case why == "" && w.now-w.healedAt >= w.bound()/4:
		w.finished = true
	case w.now-w.healedAt < w.bound():
		w.agenda.add(w.now+w.bound()/8, event{kind: evProbe})
	case why != "":
		violated("R14", "%d ms after the heal %s", (w.now-w.healedAt)/milli, why)
	}
}

// notRecovered says what is missing: one leader, every member in the core
// following it and keeping up, every client served.
func (w *World) notRecovered() string {
	var leader *node
	for slot, n := range w.nodes {
		if !w.core[slot] {
			continue
		}
		if !n.up {
			return sprint("replica %d is not up", n.id)
		}
		if n.core.Status().Role == consensus.Leader {
			if leader != nil {
				return sprint("replicas %d and %d both lead", leader.id, n.id)
			}
			leader = n
		}
	}
	if leader == nil {
		return "nobody leads"
	}
	if why := w.lagging(leader); why != "" {
		return why
	}
	if why := w.clients.waiting(); why != "" || w.tree == nil {
		return why
	}
	return w.tree.waiting()
}

// lagging names a member in the core that does not follow or does not keep up.
func (w *World) lagging(leader *node) string {
	s := leader.core.Status()
	if s.Commit+64 < s.LastIndex {
		return sprint("leader %d has committed %d of %d entries", leader.id, s.Commit, s.LastIndex)
	}
	for _, m := range s.Configuration.Members {
		n := w.nodes[slotOf(m.ID)]
		if n.id != m.ID || !w.core[n.slot] {
			continue
		}
		f := n.core.Status()
		if f.Leader != leader.id || f.Term != s.Term {
			return sprint("member %d follows %d in term %d, the leader is %d in term %d", n.id, f.Leader, f.Term, leader.id, s.Term)
		}
		// A witness may have to wait for others to hold a snapshot, and votes meanwhile.
		if f.Applied+64 < s.Commit && m.Learns() {
			return sprint("member %d has applied %d, committed is %d", n.id, f.Applied, s.Commit)
		}
	}
	return ""
}
