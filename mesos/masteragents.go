package mesos

import (
	"fmt"
	"maps"
	"time"
)

// agentState is what an agent is to this master.
type agentState uint8

const (
	agentRecovered    agentState = iota // admitted, but not registered with this master yet
	agentRegistered                     // and connected
	agentDisconnected                   // was registered; its link is broken
	agentUnreachable                    // marked so, and kept for its tasks
)

// masterAgent is an agent that is admitted, or unreachable and has tasks in the table.
type masterAgent struct {
	id    AgentID
	info  AgentInfo
	boot  string
	state agentState

	// link is that of the last Register, sequence its number.
	link     LinkID
	sequence uint64
	// settled: the agent had seen this master's Term when it said what tasks it has, so no
	// Launch of an earlier master can start another.
	settled bool
	// again: it is to register again, so that both know what the other has.
	again bool
	// returning: it was marked unreachable before.
	returning bool
	tasks     map[ContainerID]*masterTask
	done      doneContainers

	// busy: an operation of the registry about it is under way. waiting is a registration
	// that came meanwhile.
	busy    bool
	waiting *registration

	observer observer
	// away rings when the agent has not registered for RegisterTimeout.
	away alarm
	// deadline rings when what still runs on an agent that is drained is to be killed.
	deadline alarm
	// removing tells that it is queued to be marked unreachable.
	removing removalReason
}

type registration struct {
	link LinkID
	Register
	// nameless: the agent does not know the ID that is in Info now.
	nameless bool
}

func (m *Master) newAgent(info AgentInfo, boot string, state agentState) *masterAgent {
	a := &masterAgent{id: info.ID, info: info, boot: boot, state: state, tasks: map[ContainerID]*masterTask{}}
	a.observer.alarm.ring = func() { m.observe(a) }
	a.deadline.ring = func() {
		if m.killDraining(a); a.state == agentRegistered {
			m.resendKills(a)
		}
	}
	a.away.ring = func() { m.scheduleRemoval(a, removalAway) }
	m.agents[a.id] = a
	return a
}

// recoverAgent takes up an agent that the master before had (M-6).
func (m *Master) recoverAgent(r AgentRecord) { m.newAgent(r.Info, r.Boot, agentRecovered) }

// AgentMessage brings a message of an agent by link: Register, StatusUpdate or Pong.
func (m *Master) AgentMessage(now time.Duration, link LinkID, message any) {
	if !m.enter(now) || !m.ready || link == 0 {
		return
	}
	switch v := message.(type) {
	case Register:
		m.register(registration{link: link, Register: v})
	case StatusUpdate:
		m.statusUpdate(link, v)
	case Pong:
		m.pong(link, v)
	}
}

// LinkBroken tells that nothing goes over link any more, nor comes.
func (m *Master) LinkBroken(now time.Duration, link LinkID) {
	if !m.enter(now) {
		return
	}
	a := m.links[link]
	delete(m.links, link)
	if a != nil && a.link == link && a.state == agentRegistered {
		m.disconnect(a)
	}
}

// disconnect notes that a registered agent is away (P-3): nothing of it is offered, its
// tasks are as they were.
func (m *Master) disconnect(a *masterAgent) {
	a.state, a.link = agentDisconnected, 0
	m.happenedAgent(a, "disconnected: its connection broke")
	m.rescindAgent(a)
	m.allocator.SetAgentActive(a.id, false)
	m.alarms.set(&a.away, m.now+m.config.RegisterTimeout)
}

// send gives a message to an agent by its link, or if it has none by its address.
func (m *Master) send(a *masterAgent, message any) {
	m.out.ToAgents = append(m.out.ToAgents, ToAgent{Agent: a.id, Link: a.link, Address: a.info.Address, Message: message})
}

// askAgain tells an agent that is not registered by link to register.
func (m *Master) askAgain(link LinkID, id AgentID) {
	var message any = Ping{Term: m.term}
	if m.registry.Standing(id) == StandingGone {
		message = Shutdown{Agent: id, Term: m.term, Reason: CodeAgentGone.String()}
	}
	m.out.ToAgents = append(m.out.ToAgents, ToAgent{Agent: id, Link: link, Message: message})
}

// register handles a Register. One that an agent of a later Term has sent is for
// another master.
func (m *Master) register(r registration) {
	if r.Term > m.term || max(len(r.Tasks), len(r.Frameworks)) > 2*m.config.MaxAgentTasks {
		return // no master lets an agent have so much
	}
	if r.Info.ID == "" {
		m.registerNew(r)
		return
	}
	if m.registry.Standing(r.Info.ID) == StandingGone {
		m.askAgain(r.link, r.Info.ID)
		return
	}
	a := m.agents[r.Info.ID]
	if a == nil {
		if m.crowded() || CheckName(string(r.Info.ID)) != nil {
			return
		}
		a = m.newAgent(r.Info, r.Boot, agentRecovered)
	}
	m.known(a)
	m.take(a, r)
}

// registerNew admits an agent that has no id yet. Until it shows that it knows its id, the
// same machine gets the same one again, since the answer may have been lost, and nothing of
// it is offered: with the next master it may come under another id.
func (m *Master) registerNew(r registration) {
	if a := m.links[r.link]; a != nil && a.link == r.link && r.Sequence != 0 && r.Sequence <= a.sequence {
		return // it comes late: the agent has an id
	}
	machine := machineOf(&r.Info, r.Boot)
	a := m.fresh[machine]
	if a == nil {
		if m.crowded() {
			return
		}
		r.Info.ID = m.nextAgentID()
		a = m.newAgent(r.Info, r.Boot, agentRecovered)
		m.fresh[machine] = a
	}
	r.Info.ID, r.nameless = a.id, true
	m.take(a, r)
}

// nextAgentID returns an id that is nobody's: an agent may have brought one of this form.
func (m *Master) nextAgentID() AgentID {
	for {
		m.agentNumber++
		id := AgentID(fmt.Sprintf("%d-A%d", m.term, m.agentNumber))
		if m.agents[id] == nil && m.registry.Standing(id) == StandingNone {
			return id
		}
	}
}

// known notes that an agent has shown that it knows its id.
func (m *Master) known(a *masterAgent) {
	if m.isFresh(a) {
		delete(m.fresh, machineOf(&a.info, a.boot))
		m.offerOrNot(a)
	}
}

func (m *Master) isFresh(a *masterAgent) bool { return m.fresh[machineOf(&a.info, a.boot)] == a }

func machineOf(info *AgentInfo, boot string) string {
	return fmt.Sprintf("%q %q %q", info.Hostname, info.Address, boot)
}

// take carries a registration on, once nothing else is under way about the agent.
func (m *Master) take(a *masterAgent, r registration) {
	if r.link < a.link || r.link == a.link && r.Sequence != 0 && r.Sequence <= a.sequence {
		return // it comes late
	}
	m.links[r.link] = a
	if a.busy {
		if w := a.waiting; w == nil || w.link < r.link || w.link == r.link && w.Sequence < r.Sequence {
			a.waiting = &r
		}
		return
	}
	var o RegistryOperation
	switch m.registry.Standing(a.id) {
	case StandingUnreachable:
		a.returning = true
		o = MarkReachable{Info: r.Info, Boot: r.Boot}
	case StandingAdmitted:
		if r.Boot == a.boot && sameAgent(&r.Info, &a.info) {
			m.registered(a, r)
			return
		}
		o = UpdateAgent{Info: r.Info, Boot: r.Boot}
	default:
		o = AdmitAgent{Info: r.Info, Boot: r.Boot}
	}
	a.busy = true
	m.commit(o, func(result RegistryResult) { m.admitted(a, r, result) })
}

func sameAgent(a, b *AgentInfo) bool {
	return a.ID == b.ID && a.Hostname == b.Hostname && a.Address == b.Address && a.Resources.Equal(b.Resources) &&
		maps.Equal(a.Attributes, b.Attributes)
}

// admitted goes on with a registration when the registry has it.
func (m *Master) admitted(a *masterAgent, r registration, result RegistryResult) {
	a.busy = false
	switch {
	case m.agents[a.id] != a: // an operator's mark of being gone was before
		m.askAgain(r.link, a.id)
	case result.Code == CodeOK:
		a.info, a.boot = r.Info, r.Boot
		if a.state == agentUnreachable {
			a.state = agentRecovered
		}
		m.registered(a, r)
	case result.Code == CodeElsewhere:
		m.happenedAgent(a, "refused: "+result.Code.String()+": "+r.Info.Address)
		message := Shutdown{Agent: a.id, Term: m.term, Reason: result.Code.String()}
		m.out.ToAgents = append(m.out.ToAgents, ToAgent{Agent: a.id, Link: r.link, Message: message})
		delete(m.links, r.link)
	default: // it comes again
		delete(m.links, r.link)
	}
	if m.registry.Standing(a.id) != StandingAdmitted && a.state != agentUnreachable {
		m.forgetAgent(a)
	}
	m.resume(a)
}

// resume takes up what waited for an operation about the agent.
func (m *Master) resume(a *masterAgent) {
	if r := a.waiting; r != nil && !a.busy {
		a.waiting = nil
		switch {
		case m.links[r.link] != a:
		case m.agents[a.id] == a:
			m.take(a, *r)
		default:
			if r.nameless { // the id was forgotten: it never knew it
				r.Info.ID = ""
			}
			m.register(*r)
		}
	}
}

// registered holds an agent for registered, takes up its tasks and tells it what it has to
// know.
func (m *Master) registered(a *masterAgent, r registration) {
	if m.links[r.link] != a { // broken meanwhile: the agent comes again
		m.alarms.earlier(&a.away, m.now+m.config.RegisterTimeout)
		return
	}
	if a.link != r.link {
		delete(m.links, a.link)
	}
	m.rescindAgent(a)
	if a.state == agentRecovered {
		m.allocator.AddAgent(a.id, a.info.Resources)
	} else {
		m.allocator.UpdateAgent(a.id, a.info.Resources)
	}
	if a.state != agentRegistered {
		tasks := "tasks"
		if len(r.Tasks) == 1 {
			tasks = "task"
		}
		m.happenedAgent(a, fmt.Sprintf("registered with %d %s", len(r.Tasks), tasks))
	}
	a.state, a.link, a.sequence = agentRegistered, r.link, r.Sequence
	a.settled = a.settled || r.Term == m.term
	a.again = !a.settled
	if a.settled {
		delete(m.unheard, a.id)
	}
	m.alarms.stop(&a.away)
	m.unscheduleRemoval(a)
	m.offerOrNot(a)
	removed, missing := m.takeUp(a, r.Register)
	a.returning = false
	m.send(a, Registered{Agent: a.id, Term: m.term, Attempt: r.Attempt, Removed: removed, Missing: missing})
	m.killDraining(a)
	m.resendKills(a)
	m.startObserver(a)
	m.allocateSoon()
}

// unreachable does what follows from the registry's mark (P-4).
func (m *Master) unreachable(a *masterAgent) {
	m.leave(a)
	if !a.settled {
		m.unheard[a.id] = true
	}
	m.awayNames[a.id] = a.info.Hostname
	a.state, a.settled = agentUnreachable, false
	m.happenedAgent(a, "unreachable: it does not answer")
	for _, t := range m.tasksOf(a) {
		t.occupied = false
		if t.shown().Terminal() {
			continue
		}
		t.unreachable = true
		m.tell(t, ReasonAgentRemoved, "the agent does not answer")
	}
	m.failed(a.id)
	if len(a.tasks) == 0 {
		m.forgetAgent(a)
	}
}

// gone does what follows from the registry's mark (P-5): it alone, or the agent itself, may
// say that a task which was launched is gone.
func (m *Master) gone(a *masterAgent) {
	link := a.link
	m.happenedAgent(a, "gone for good")
	m.leave(a)
	for _, t := range m.tasksOf(a) {
		if !t.State.Terminal() {
			t.State = GoneByOperator
		}
		t.unreachable, t.AcknowledgingID, t.occupied = false, UpdateID{}, false
		m.tell(t, ReasonAgentRemovedByOperator, CodeAgentGone.String())
		m.forget(t)
	}
	m.failed(a.id)
	a.link = link
	m.send(a, Shutdown{Agent: a.id, Term: m.term, Reason: CodeAgentGone.String()})
	m.forgetAgent(a)
}

// leave takes an agent out of everything but the table.
func (m *Master) leave(a *masterAgent) {
	m.rescindAgent(a)
	m.unscheduleRemoval(a)
	if a.state == agentRegistered || a.state == agentDisconnected {
		m.allocator.RemoveAgent(a.id)
	}
	delete(m.links, a.link)
	a.state, a.link = agentRecovered, 0
	m.alarms.stop(&a.away)
	m.alarms.stop(&a.deadline)
	m.alarms.stop(&a.observer.alarm)
	a.observer.started = false
}

// forgetAgent drops an agent that the registry does not have as admitted, with its tasks.
func (m *Master) forgetAgent(a *masterAgent) {
	m.known(a)
	m.leave(a)
	for _, t := range m.tasksOf(a) {
		m.forget(t)
	}
	if m.agents[a.id] == a {
		delete(m.agents, a.id)
	}
}

// failed tells all schedulers that an agent is lost to them.
func (m *Master) failed(id AgentID) {
	for _, f := range inOrder(m.frameworks) {
		m.event(f, FailureEvent{Agent: id})
	}
}
