package sessions

import (
	"slices"
	"time"

	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/messages"
)

// reign is the part of a keeper whose node leads: from its claim until it learns that
// another has claimed, or that another leads.
type reign struct {
	epoch   uint64
	tracker *coordination.Tracker // nil until the claim is applied
	cursor  uint64                // the highest session that tracker was told
	listed  int                   // how many sessions there were when all were last read

	looking  bool
	lookAt   time.Duration
	holdTo   time.Duration // nothing is confirmed before
	unlooked int           // looks that failed, one after the other

	expiring  bool
	expireAt  time.Duration // nothing is expired before
	unexpired int           // expiries that failed, one after the other
	again     []uint64      // whose expiry may have been done or not

	reaping bool
	ttl     int64 // log time at which a node's TTL has passed, 0: never
}

// maxKeepers bounds how many nodes' rounds wait.
const maxKeepers = 1024

// backoff is how long to wait after so many failures in a row, at least one.
func backoff(failed int) time.Duration {
	return min(20*time.Millisecond<<min(failed, 6), time.Second)
}

// onSigns notes a round of some node. The signs count from here on, but are answered only
// after it was found out that nobody else has claimed the sessions.
func (k *keeper) onSigns(now time.Duration, m *messages.SignsOfLife) {
	if m.GetGroup() != k.cfg.Number || len(m.GetSessions()) > maxRoundSigns || len(m.GetConnections()) != len(m.GetSessions()) {
		return
	}
	i := slices.IndexFunc(k.rounds, func(w *messages.SignsOfLife) bool { return w.GetFrom() == m.GetFrom() })
	switch {
	case i >= 0:
		k.rounds[i] = m // a keeper has one round under way
	case len(k.rounds) < maxKeepers:
		k.rounds = append(k.rounds, m)
	default:
		return
	}
	if k.reign != nil && k.reign.tracker != nil {
		note(k.reign.tracker, now, m)
	}
}

// note tells the tracker of the signs in m that it knows the sessions of; the others must
// be looked up first.
func note(t *coordination.Tracker, now time.Duration, m *messages.SignsOfLife) {
	gone := m.GetGone()
	for i, id := range m.GetSessions() {
		if len(gone) > 0 && gone[0] == uint32(i) {
			gone = gone[1:]
			continue
		}
		t.Touch(id, m.GetConnections()[i], now)
	}
}

// judge answers a round whose absent places are those of sessions that the tree lacks.
func judge(t *coordination.Tracker, now time.Duration, m *messages.SignsOfLife, absent []uint32) *messages.SignsAnswered {
	answer := &messages.SignsAnswered{Round: m.GetRound()}
	gone := m.GetGone()
	for i, id := range m.GetSessions() {
		place, connection := uint32(i), m.GetConnections()[i]
		if len(absent) > 0 && absent[0] == place {
			absent = absent[1:]
			t.Remove(id)
		}
		if len(gone) > 0 && gone[0] == place {
			gone = gone[1:]
			t.Gone(id, connection, now)
			continue
		}
		switch t.Touch(id, connection, now) {
		case coordination.Over:
			answer.Over = append(answer.Over, place)
		case coordination.Moved:
			answer.Moved = append(answer.Moved, place)
		}
	}
	return answer
}

func (k *keeper) answer(now time.Duration, to uint64, m *messages.SignsAnswered) {
	m.From, m.Group = k.cfg.ID, k.cfg.Number
	if to == k.cfg.ID {
		k.onAnswered(now, m)
		return
	}
	k.cfg.Send(to, m)
}

// rule does what is due for who leads.
func (k *keeper) rule(now time.Duration) {
	if !k.lead.Leads {
		for _, m := range k.rounds {
			k.answer(now, m.GetFrom(), &messages.SignsAnswered{Round: m.GetRound(), NotLeader: true})
		}
		k.rounds = nil
		return
	}
	r := k.reign
	if r == nil {
		if now >= k.claimAt {
			k.claim()
		}
		return
	}
	if r.tracker == nil {
		return
	}
	k.expireDue(now, r)
	if !r.looking && now >= k.nextLook(r) {
		r.lookAt = now + k.cfg.LookEvery
		k.look(r)
	}
	if !r.reaping && r.ttl != 0 && r.ttl <= k.cfg.Group.LogTime() {
		r.ttl = 0 // the next look says when it is due again
		k.reap(r)
	}
	k.handle.metrics.sessions.Store(int64(r.tracker.Len()))
}

// nextLook is when the tree is to be looked at.
func (k *keeper) nextLook(r *reign) time.Duration {
	if len(k.rounds) > 0 {
		return r.holdTo
	}
	return max(r.lookAt, r.holdTo)
}

// passEvery is how often the tracker is told the time while it may not expire anybody.
const passEvery = 250 * time.Millisecond

// nextRule is when rule has something to do.
func (k *keeper) nextRule(now time.Duration) (at time.Duration, ok bool) {
	r := k.reign
	switch {
	case !k.lead.Leads:
		return 0, false
	case r == nil:
		return k.claimAt, true
	case r.tracker == nil:
		return 0, false
	}
	at = now + passEvery
	if next, tracks := r.tracker.Next(); tracks && !r.expiring {
		at = min(at, max(next, r.expireAt))
	}
	if !r.looking {
		at = min(at, k.nextLook(r))
	}
	return at, true
}

// resign forgets what was counted. What is under way comes back for nothing.
func (k *keeper) resign() {
	k.reign = nil
	k.handle.metrics.epoch.Store(0)
	k.handle.metrics.sessions.Store(0)
}

// superseded resigns because the tree says that another has claimed the sessions. If this
// node still leads it claims them again.
func (k *keeper) superseded(now time.Duration, r *reign) {
	k.cfg.Logger.Info("sessions claimed by another", "group", k.cfg.Name, "epoch", r.epoch)
	k.resign()
	k.failed++
	k.claimAt = now + backoff(k.failed)
}

func (k *keeper) onClaimed(now time.Duration, m claimed) {
	if m.reign != k.reign {
		return
	}
	if m.err != nil {
		k.cfg.Logger.Debug("sessions not claimed", "group", k.cfg.Name, "error", m.err)
		k.resign()
		k.failed++
		k.claimAt = now + backoff(k.failed)
		return
	}
	r := m.reign
	k.failed = 0
	r.epoch, r.tracker, r.lookAt = m.epoch, coordination.NewTracker(now), now
	r.add(now, m.sessions)
	r.listed = len(m.sessions)
	k.handle.metrics.claims.Add(1)
	k.handle.metrics.epoch.Store(m.epoch)
	k.cfg.Logger.Info("claimed sessions", "group", k.cfg.Name, "epoch", m.epoch, "sessions", len(m.sessions))
}

func (r *reign) add(now time.Duration, sessions []coordination.SessionInfo) {
	for _, s := range sessions {
		r.tracker.Add(s, now)
		r.cursor = max(r.cursor, s.ID)
	}
}

// onLooked answers the rounds that were confirmed.
func (k *keeper) onLooked(now time.Duration, m looked) {
	r := m.reign
	if r != k.reign {
		k.wait(m.rounds)
		return
	}
	r.looking = false
	switch {
	case m.err != nil || m.epoch < r.epoch: // the replica begins again, or has no leader
		k.cfg.Logger.Debug("signs of life not confirmed", "group", k.cfg.Name, "error", m.err)
		k.wait(m.rounds)
		r.unlooked++
		r.holdTo = now + backoff(r.unlooked)
		return
	case m.epoch > r.epoch:
		k.wait(m.rounds)
		k.superseded(now, r)
		return
	}
	r.unlooked = 0
	if m.all {
		r.listed = len(m.sessions)
		r.tracker.Retain(m.sessions)
	}
	r.add(now, m.sessions)
	r.ttl = m.ttl
	for i, round := range m.rounds {
		k.handle.metrics.counted.Add(uint64(len(round.GetSessions())))
		answer := judge(r.tracker, now, round, m.absent[i])
		if m.attached != nil {
			answer.Later = m.unknown[i]
		}
		k.answer(now, round.GetFrom(), answer)
	}
	if len(m.rounds) > 0 {
		k.handle.metrics.confirmed.Add(1)
	}
	if m.attached != nil {
		k.cfg.Logger.Debug("connections of sessions not confirmed", "group", k.cfg.Name, "error", m.attached, "connections", len(m.attach.Sessions))
	}
}

// wait makes rounds wait again, unless a newer one of the same node does.
func (k *keeper) wait(rounds []*messages.SignsOfLife) {
	for _, m := range rounds {
		if !slices.ContainsFunc(k.rounds, func(w *messages.SignsOfLife) bool { return w.GetFrom() == m.GetFrom() }) {
			k.rounds = append(k.rounds, m)
		}
	}
}
