package mesos

import "time"

// observer is what the master knows of an agent by its pings (P-1).
type observer struct {
	started bool
	alarm   alarm
	// sequence is that of the last Ping, regular that of the last that was due, heard the
	// highest that was answered.
	sequence, regular, heard uint64
	last                     time.Duration
	missed                   int
}

// suspectPause is the least time between two pings that hints ask for.
const suspectPause = time.Second

func (m *Master) startObserver(a *masterAgent) {
	o := &a.observer
	o.missed = 0
	switch {
	case !o.started:
		o.started = true
		m.ping(a)
		o.regular = o.sequence
		m.alarms.set(&o.alarm, m.now+m.config.PingInterval)
	case m.isFresh(a): // the ping came before the answer that tells the agent its id
		m.ping(a)
	}
}

// observe counts the last regular ping, if it was not answered, and sends the next.
func (m *Master) observe(a *masterAgent) {
	o := &a.observer
	if o.heard < o.regular {
		o.missed++
	}
	if o.missed >= m.config.MaxMissedPings {
		m.scheduleRemoval(a, removalPings)
	}
	if a.state == agentRegistered {
		a.again = a.again || m.silent(a)
		m.resendKills(a)
	}
	m.ping(a)
	o.regular = o.sequence
	m.alarms.set(&o.alarm, m.now+m.config.PingInterval)
}

// silent reports whether the agent has said nothing for too long of a task it was sent.
func (m *Master) silent(a *masterAgent) bool {
	for _, t := range a.tasks {
		if !t.confirmed && m.now-t.since >= m.config.LaunchTimeout {
			return true
		}
	}
	return false
}

func (m *Master) ping(a *masterAgent) {
	o := &a.observer
	o.sequence++
	o.last = m.now
	m.send(a, Ping{Term: m.term, Sequence: o.sequence, Heard: o.heard, Connected: a.state == agentRegistered && !a.again})
}

// pong handles a Pong, by whatever link it comes: the agent lives. One that comes twice
// says nothing.
func (m *Master) pong(link LinkID, p Pong) {
	if p.Term != m.term {
		return
	}
	a := m.agents[p.Agent]
	if a != nil {
		m.known(a)
	}
	if p.Sequence == 0 { // it answers askAgain
		return
	}
	if a == nil || !a.observer.started {
		m.askAgain(link, p.Agent)
		return
	}
	o := &a.observer
	if p.Sequence <= o.heard || p.Sequence > o.sequence {
		return
	}
	o.heard, o.missed = p.Sequence, 0
	if a.removing == removalPings {
		m.unscheduleRemoval(a)
	}
}

// Suspect hints that an agent may be away: it is pinged at once. Nothing else follows from
// a hint.
func (m *Master) Suspect(now time.Duration, id AgentID) {
	if !m.enter(now) {
		return
	}
	if a := m.agents[id]; a != nil && a.observer.started && m.now-a.observer.last >= suspectPause {
		m.ping(a)
	}
}

// removalReason is why an agent is to be marked unreachable.
type removalReason uint8

const (
	removalNone  removalReason = iota
	removalPings               // a Pong takes it back
	removalAway                // a registration does
)

// removals are the agents that are to be marked unreachable, one at a time.
type removals struct {
	alarm
	queue    []*masterAgent
	underWay bool
	earliest time.Duration
}

// scheduleRemoval queues an agent.
func (m *Master) scheduleRemoval(a *masterAgent, why removalReason) {
	queued := a.removing != removalNone
	a.removing = max(a.removing, why)
	if !queued {
		m.removals.queue = append(m.removals.queue, a)
		m.remove()
	}
}

// unscheduleRemoval takes an agent out of the queue: once its mark is proposed it is late.
func (m *Master) unscheduleRemoval(a *masterAgent) {
	if a.removing == removalNone {
		return
	}
	a.removing = removalNone
	for i, q := range m.removals.queue {
		if q == a {
			m.removals.queue = append(m.removals.queue[:i:i], m.removals.queue[i+1:]...)
			return
		}
	}
}

// remove proposes the next agent's mark when the one before is done and the rate allows it
// (M-7, P-4).
func (m *Master) remove() {
	q := &m.removals
	if q.underWay || len(q.queue) == 0 || m.ended != "" {
		return
	}
	if m.now < q.earliest {
		m.alarms.set(&q.alarm, q.earliest)
		return
	}
	a := q.queue[0]
	q.queue = q.queue[1:]
	a.removing = removalNone
	if a.busy { // it is registering
		m.alarms.earlier(&a.away, m.now+m.config.RegisterTimeout)
		m.remove()
		return
	}
	q.underWay, a.busy = true, true
	q.earliest = m.now + m.config.RemovalInterval
	m.commit(MarkUnreachable{Agent: a.id, Time: m.unix()}, func(r RegistryResult) {
		q.underWay, a.busy = false, false
		if r.Code == CodeOK && m.agents[a.id] == a {
			m.unreachable(a)
		}
		m.resume(a)
		m.remove()
	})
}

// recoveryOver marks the agents that have not come back since the election, unless they
// are too many to believe it (M-7).
func (m *Master) recoveryOver() {
	var absent []*masterAgent
	admitted := 0
	for _, a := range inOrder(m.agents) {
		switch {
		case m.registry.Standing(a.id) != StandingAdmitted:
			continue
		case a.state == agentRecovered && a.away.index == 0:
			absent = append(absent, a)
		}
		admitted++
	}
	if limit := m.config.RemovalLimitPercent; len(absent)*100 > admitted*limit {
		m.end("%d of %d agents have not registered within %v of the election, more than the %d%% that may be marked unreachable",
			len(absent), admitted, m.config.RegisterTimeout, limit)
		return
	}
	for _, a := range absent {
		m.scheduleRemoval(a, removalAway)
	}
}
