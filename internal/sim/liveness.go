package sim

import (
	"github.com/synod-go/synod/raft"
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
		n.pausedUntil = min(n.pausedUntil, w.now+milli)
		n.clock.setRate(w.now, million)
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
	w.trace("heal      core %v", w.core)
	w.agenda.add(w.now+w.bound(), event{kind: evProbe, a: 1})
}

// bound is the time that the group has to come back: 20 of the longest election
// timeouts, and a full reserve of time for what was under way on slow disks.
func (w *World) bound() int64 { return 20*2*int64(w.weather.election) + 2*second }

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
	in := func(id raft.ID) bool { return w.nodes[slotOf(id)].id == id && w.core[slotOf(id)] }
	for _, c := range w.oracle.liveConfigurations() {
		if !majorityOf(c, in) {
			return false
		}
	}
	return true
}

// checkLiveness runs when the bound is over: there is one leader, all members
// of the core follow it, a new command has been answered, and after that all
// have applied the same.
func (w *World) checkLiveness() {
	var leader *node
	for slot, n := range w.nodes {
		if !w.core[slot] {
			continue
		}
		if !n.up {
			violated("R14", "replica %d is not up %d ms after the heal", n.id, (w.now-w.healedAt)/milli)
		}
		if n.core.Status().Role == raft.Leader {
			if leader != nil {
				violated("R14", "replicas %d and %d both lead after the heal", leader.id, n.id)
			}
			leader = n
		}
	}
	if leader == nil {
		violated("R14", "nobody leads %d ms after the heal", (w.now-w.healedAt)/milli)
	}
	w.checkFollowers(leader)
	w.checkClients()
	w.finished = true
}

// checkFollowers wants every member in the core to follow and to keep up: the
// commit index of half a second ago, or so, must be applied everywhere.
func (w *World) checkFollowers(leader *node) {
	s := leader.core.Status()
	if s.Commit != s.LastIndex && s.Commit+64 < s.LastIndex {
		violated("R14", "leader %d has committed %d of %d entries", leader.id, s.Commit, s.LastIndex)
	}
	for _, m := range s.Configuration.Members {
		n := w.nodes[slotOf(m.ID)]
		if n.id != m.ID || !w.core[n.slot] {
			continue
		}
		f := n.core.Status()
		if f.Leader != leader.id || f.Term != s.Term {
			violated("R14", "member %d follows %d in term %d, the leader is %d in term %d", n.id, f.Leader, f.Term, leader.id, s.Term)
		}
		if f.Applied+64 < s.Commit {
			violated("R14", "member %d has applied %d, committed is %d", n.id, f.Applied, s.Commit)
		}
	}
}

// checkClients wants every client to have finished an operation that it began
// after the heal and none to wait for long.
func (w *World) checkClients() {
	for _, c := range w.clients {
		if c.current != nil && w.now-c.current.called > w.bound() {
			violated("R14", "client %d waits for %v %d since %d ms", c.number, c.current.kind, c.current.number, (w.now-c.current.called)/milli)
		}
		if c.lastEnd <= w.healedAt {
			violated("R14", "client %d finished nothing after the heal", c.number)
		}
	}
}
