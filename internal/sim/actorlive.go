package sim

import (
	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
)

// beginLiveness ends all faults and starts who is down. From now on the group
// must come to work again within a bound (R14).
func (w *ActorWorld) beginLiveness() {
	w.healed, w.healedAt = true, w.now
	w.net = network{}
	for _, h := range w.hosts {
		h.full, h.fuse, h.applyFuse = false, 0, 0
		h.disk.SetCapacity(1 << 62)
		h.disk.Fault = nil
		h.clock.setRate(w.now, million)
		w.healedAt = max(w.healedAt, h.pausedUntil)
		if !h.up {
			h.life++
			w.agenda.add(w.now+milli, w.of(h, evStart, nil))
		}
	}
	w.trace("heal")
	w.agenda.add(w.healedAt+w.bound()/4, actorEvent{event: event{kind: evProbe}})
}

// bound is the time that the group has to come back: as in World, and for a
// supervisor that waits and for mailboxes that are late.
func (w *ActorWorld) bound() int64 { return 20*2*int64(w.weather.election) + 4*second }

func (w *ActorWorld) checkLiveness() {
	why := w.notRecovered()
	switch {
	case why == "" && w.now-w.healedAt >= w.bound()/4:
		w.finished = true
	case w.now-w.healedAt < w.bound():
		w.agenda.add(w.now+w.bound()/8, actorEvent{event: event{kind: evProbe}})
	case why != "":
		violated("R14", "%d ms after the heal %s", (w.now-w.healedAt)/milli, why)
	}
}

// notRecovered says what is missing: one leader, every member following it and
// keeping up, every client served.
func (w *ActorWorld) notRecovered() string {
	var leader *host
	for _, h := range w.hosts {
		switch {
		case !h.up:
			return sprint("replica %d is not up", h.id)
		case h.view.Role != consensus.Leader:
		case leader != nil:
			return sprint("replicas %d and %d both lead", leader.id, h.id)
		default:
			leader = h
		}
	}
	if leader == nil {
		return "nobody leads"
	}
	for _, m := range leader.view.Configuration.Members {
		h := w.hosts[slotOf(m.ID)]
		if v := h.view; v.Leader != leader.id || v.Term != leader.view.Term {
			return sprint("member %d follows %d in term %d, the leader is %d in term %d", h.id, v.Leader, v.Term, leader.id, leader.view.Term)
		}
		if h.handle.Applied()+64 < leader.handle.Applied() {
			return sprint("member %d has applied %d, the leader %d", h.id, h.handle.Applied(), leader.handle.Applied())
		}
	}
	return w.clients.waiting()
}

// punctual checks that an actor has not slept past what its core waits for: a
// lost timer or a lost wake would otherwise show itself only as a slow group.
func (w *ActorWorld) punctual(h *host, e group.Engine) {
	const patience = consensus.Time(50 * milli)
	if late := h.clock.at(w.now) - e.Deadline(); late > patience {
		w.note("R14", "replica %d has slept %d ms past its deadline", h.id, int64(late)/milli)
	}
}

// heal ends one cut.
func (w *ActorWorld) heal(from, to int) {
	if w.net.cut[from][to] > 0 {
		w.net.cut[from][to]--
	}
}
