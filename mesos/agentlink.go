package mesos

import (
	"math"
	"time"
)

// link is the agent's relation to the leading master.
type link struct {
	connected, registered bool
	// before: there was a link since the agent was started.
	before bool

	// The next Register is due at registerAt, the one after it a random time in [0, wait)
	// later. sequence counts those of this link.
	registerAt, wait time.Duration
	sequence         uint64
	// attempt is that of the last Register, 0 once it is answered; attemptAt is when it was
	// made and attemptForgotten which launches had been forgotten then.
	attempt          uint64
	attemptAt        time.Duration
	attemptForgotten launchMark

	heard time.Duration // of a master, the last time
	// met is the last time of which the agent knows that the master heard it: when it made a
	// Pong or a Register of which the master has said that it came. A ping alone is no
	// sign: the way back may be cut, and the master may have given the agent up.
	met   time.Duration
	pongs []madePong // not yet known to have come, at most maxPongs
}

type madePong struct {
	sequence uint64
	at       time.Duration
}

const maxPongs = 16

// Connected tells that there is a link to a master which leads as of term. The agent
// registers with it: at once if it is the agent that was started, at a random time soon if
// all agents come, as to a new master. One of the past is none.
func (a *Agent) Connected(term Term) {
	if term < a.term {
		return
	}
	alone := !a.link.before && (a.term == 0 || a.term == term)
	a.raise(term)
	a.link.connected, a.link.before, a.link.heard = true, true, a.now
	a.link.sequence, a.link.attempt = 0, 0
	a.registerAnew()
	if alone {
		a.link.registerAt = a.now
	}
}

// Disconnected tells that there is none any more.
func (a *Agent) Disconnected() {
	a.link.connected, a.link.registered, a.link.attempt = false, false, 0
}

// registerAnew begins to register, at first soon.
func (a *Agent) registerAnew() {
	a.link.registered = false
	a.link.wait = a.cfg.RegisterFactor
	a.link.registerAt = a.now + a.upTo(a.link.wait)
}

// upTo is a random time in [0, d).
func (a *Agent) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(a.cfg.Rand.Int64N(int64(d)))
}

func (a *Agent) mayRegister() bool {
	return a.link.connected && !a.link.registered && !a.recovering && !a.leaving && a.cfg.Recover == Reconnect
}

// register sends a Register if it is time: until it is answered, at random times that grow.
func (a *Agent) register() {
	if !a.mayRegister() || a.now < a.link.registerAt {
		return
	}
	l := &a.link
	l.sequence++
	for l.attempt = 0; l.attempt == 0; {
		l.attempt = a.cfg.Rand.Uint64()
	}
	l.attemptAt, l.attemptForgotten = a.now, a.forgotten
	l.wait = min(2*l.wait, a.cfg.RegisterMost)
	l.registerAt = a.now + a.upTo(l.wait)
	info := a.cfg.Info
	info.ID = a.agent.ID
	a.out.Send = append(a.out.Send, Register{Info: info, Boot: a.cfg.Boot, Attempt: l.attempt, Sequence: l.sequence,
		Term: a.term, Frameworks: a.sortedFrameworks(), Tasks: a.Tasks()})
}

// onRegistered takes the answer to the last Register, once. Another one may speak of tasks
// that have come and gone since.
func (a *Agent) onRegistered(m Registered) {
	l := &a.link
	if l.attempt == 0 || m.Attempt != l.attempt || !validID(m.Agent) || a.agent.ID != "" && m.Agent != a.agent.ID {
		return
	}
	l.attempt, l.heard = 0, a.now
	if a.agent.ID == "" {
		a.noteInfo(m.Agent)
	}
	a.meet(l.attemptAt)
	for _, f := range m.Removed {
		a.shutdownFramework(f)
	}
	for _, t := range m.Missing {
		a.onMissing(t)
	}
	l.registered = true
	for _, t := range a.order {
		a.forward(t)
	}
}

// noteInfo saves who the agent is and in which boot it is, if that is new.
func (a *Agent) noteInfo(id AgentID) {
	info := a.cfg.Info
	info.ID = id
	r := Record{Kind: RecordAgent, Agent: info, Boot: a.cfg.Boot}
	old := Record{Kind: RecordAgent, Agent: a.agent, Boot: a.boot}
	if string(r.Append(nil)) != string(old.Append(nil)) {
		a.save(r)
	}
}

func (a *Agent) onPing(m Ping) {
	l := &a.link
	l.heard = a.now
	if a.agent.ID != "" {
		if m.Sequence != 0 { // which no ping of a master has: as Heard it says that none was
			l.pongs = append(l.pongs[max(0, len(l.pongs)+1-maxPongs):], madePong{m.Sequence, a.now})
		}
		a.out.Send = append(a.out.Send, Pong{Agent: a.agent.ID, Term: a.term, Sequence: m.Sequence})
	}
	if !m.Connected {
		if l.registered {
			a.registerAnew()
		}
		return
	}
	for _, p := range l.pongs {
		if p.sequence == m.Heard && m.Heard < m.Sequence {
			a.meet(p.at)
			break
		}
	}
}

// detect gives a master up that is silent.
func (a *Agent) detect() {
	if a.link.connected && a.now >= a.link.heard+a.cfg.PingTimeout {
		a.Disconnected()
		a.out.Detect = true
	}
}

// meet notes that a master heard the agent at that time. It is saved as often as the tasks
// need it that must not run on without a master: if the agent is restarted it knows, by an
// eighth of their time too early, since when they have had none.
func (a *Agent) meet(at time.Duration) {
	a.link.met = max(a.link.met, at)
	for _, t := range a.order {
		if t.StopAfter > 0 && !t.State.Terminal() {
			a.noteContact(t.StopAfter)
		}
	}
}

func (a *Agent) noteContact(stopAfter time.Duration) {
	if a.contactBoot != a.cfg.Boot || a.link.met-a.contact >= stopAfter/8 {
		a.save(Record{Kind: RecordContact, Contact: a.link.met, Boot: a.cfg.Boot})
	}
}

// deadBy is when a task has been without a master for as long as it may.
func (a *Agent) deadBy(t *agentTask) time.Duration {
	if at := a.link.met + t.StopAfter; at >= a.link.met {
		return at
	}
	return math.MaxInt64
}

// stopAt leaves a task its grace until then.
func (a *Agent) stopAt(t *agentTask) time.Duration { return a.deadBy(t) - t.KillGrace }

// fence stops the tasks that must not run on without a master.
func (a *Agent) fence() {
	for _, t := range a.order {
		if t.StopAfter == 0 || t.fenced || t.State.Terminal() || a.now < a.stopAt(t) {
			continue
		}
		t.fenced = true
		grace := max(0, min(t.KillGrace, a.deadBy(t)-a.now))
		a.kill(t, ReasonAgentDisconnected, "the agent had no master for longer than the task may run without", grace)
	}
}
