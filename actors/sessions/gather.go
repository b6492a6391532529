package sessions

import (
	"slices"
	"time"

	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/messages"
)

// gather is the part of a keeper that every node has: it brings the signs of life of
// this node's clients to the leader, one round at a time.
type gather struct {
	waiting []*sign // for the next round, in the order in which they came
	flight  []*sign // those of the round under way, none if there is none
	message *messages.SignsOfLife
	round   uint64 // the last one
	to      uint64 // whom it was sent to
	sentAt  time.Duration
	holdTo  time.Duration // no round begins before
}

// holdFor is how long a keeper waits that was told not_leader by the one which it holds
// for the leader: one of the two will soon know better.
const holdFor = 50 * time.Millisecond

// back makes the round under way wait again.
func (g *gather) back() {
	g.waiting = append(g.flight, g.waiting...)
	g.flight, g.message = nil, nil
}

// takeAll empties it.
func (g *gather) takeAll() []*sign {
	g.back()
	signs := g.waiting
	g.waiting = nil
	return signs
}

// prune drops the signs that nobody waits for any more and returns how many.
func (g *gather) prune() int {
	before := len(g.waiting)
	g.waiting = slices.DeleteFunc(g.waiting, func(s *sign) bool { return s.forgotten.Load() })
	return before - len(g.waiting)
}

// begin takes the signs of the next round.
func (g *gather) begin(most int, now time.Duration) {
	most = min(most, len(g.waiting))
	g.flight = slices.Clone(g.waiting[:most])
	g.waiting = slices.Delete(g.waiting, 0, most)
	if most == 0 {
		return
	}
	g.round = max(g.round+1, uint64(now)) // and so none of before the node began again
	g.sentAt = now
	m := &messages.SignsOfLife{Round: g.round, Sessions: make([]uint64, len(g.flight)), Connections: make([]uint64, len(g.flight))}
	for i, s := range g.flight {
		m.Sessions[i], m.Connections[i] = s.id, s.connection
		if s.gone {
			m.Gone = append(m.Gone, uint32(i))
		}
	}
	g.message = m
}

// sendSigns begins a round if there is anything to say and nothing under way, or sends one
// again that was not answered.
func (k *keeper) sendSigns(now time.Duration) {
	g := k.gather
	switch {
	case k.lead.Leader == 0:
		if now >= g.holdTo { // so that what callers have given up does not pile up
			g.holdTo = now + k.cfg.RepeatAfter
			k.handle.release(g.prune())
		}
		return
	case now < g.holdTo:
		return
	case len(g.flight) > 0 && now < g.sentAt+k.cfg.RepeatAfter:
		return
	case len(g.flight) > 0:
		g.sentAt = now
		k.handle.metrics.repeated.Add(1)
	default:
		k.handle.release(g.prune())
		g.begin(k.cfg.RoundSigns, now)
		if len(g.flight) == 0 {
			return
		}
		g.message.From, g.message.Group, g.to = k.cfg.ID, k.cfg.Number, k.lead.Leader
		k.handle.metrics.rounds.Add(1)
	}
	if g.to == k.cfg.ID {
		k.onSigns(now, g.message)
		return
	}
	k.cfg.Send(g.to, g.message)
}

// onAnswered tells the callers what the leader has said of their signs.
func (k *keeper) onAnswered(now time.Duration, m *messages.SignsAnswered) {
	g := k.gather
	if len(g.flight) == 0 || m.GetRound() != g.round || m.GetFrom() != g.to {
		return // an answer of the past
	}
	if m.GetNotLeader() {
		g.back()
		g.holdTo = now + holdFor
		return
	}
	signs := g.flight
	g.flight, g.message = nil, nil
	again := g.later(signs, m.GetLater())
	if again > 0 {
		g.holdTo = now + holdFor
	}
	for i, s := range signs {
		if s != nil {
			s.end(outcome{sign: signOf(m, uint32(i))})
		}
	}
	k.handle.metrics.signs.Add(uint64(len(signs) - again))
	k.handle.release(len(signs) - again)
}

// later takes the signs at places out and makes them wait again.
func (g *gather) later(signs []*sign, places []uint32) (n int) {
	for _, place := range places {
		if int(place) < len(signs) && signs[place] != nil {
			g.waiting = append(g.waiting, signs[place])
			signs[place] = nil
			n++
		}
	}
	return n
}

func signOf(m *messages.SignsAnswered, place uint32) coordination.Sign {
	if _, over := slices.BinarySearch(m.GetOver(), place); over {
		return coordination.Over
	}
	if _, moved := slices.BinarySearch(m.GetMoved(), place); moved {
		return coordination.Moved
	}
	return coordination.Alive
}

// nextSigns is when sendSigns has something to do.
func (k *keeper) nextSigns() (at time.Duration, ok bool) {
	g := k.gather
	switch {
	case k.lead.Leader == 0:
		return 0, false
	case len(g.flight) > 0:
		return g.sentAt + k.cfg.RepeatAfter, true
	}
	return g.holdTo, len(g.waiting) > 0
}
