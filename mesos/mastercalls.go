package mesos

import (
	"fmt"
	"time"
)

// Call handles a scheduler's call. It is answered at once, but for a SubscribeCall, which is
// answered on its stream, and a TeardownCall, which waits for the registry.
func (m *Master) Call(now time.Duration, c Call) {
	if !m.enter(now) || !m.ready {
		m.answer(&c, CallNotReady, "this master has not read the registry, or leads no more")
		return
	}
	if s, ok := c.Body.(SubscribeCall); ok {
		m.subscribe(&c, s.Info)
		return
	}
	f, code, message := m.caller(&c)
	if code == CallAccepted && callItems(c.Body) > m.config.MaxCallItems {
		code, message = CallInvalid, fmt.Sprintf("it names more than %d things", m.config.MaxCallItems)
	}
	if code != CallAccepted {
		m.answer(&c, code, message)
		return
	}
	if _, ok := c.Body.(TeardownCall); ok {
		m.teardown(&c, f)
		return
	}
	m.answer(&c, CallAccepted, "")
	m.carryOutCall(f, c.Body)
}

func (m *Master) answer(c *Call, code CallCode, message string) {
	m.out.Answers = append(m.out.Answers, Answer{Request: c.Request, Stream: c.Stream, Code: code, Message: message})
}

// caller finds the framework of a call, which has to come from its present stream (F-6): a
// scheduler that another one has taken over from does nothing more.
func (m *Master) caller(c *Call) (*framework, CallCode, string) {
	f := m.frameworks[c.Framework]
	switch {
	case c.Body == nil:
		return nil, CallInvalid, "there is nothing in the call"
	case f == nil || f.removed:
		return nil, CallInvalid, "no such framework"
	case f.stream == nil:
		return nil, CallForbidden, "the framework is not subscribed"
	case f.stream.id != c.Stream:
		return nil, CallInvalid, "another scheduler has taken over the framework, or this one has subscribed anew"
	default:
		return f, CallAccepted, ""
	}
}

func callItems(b CallBody) int {
	switch v := b.(type) {
	case AcceptCall:
		return max(len(v.Offers), len(v.Launch))
	case DeclineCall:
		return len(v.Offers)
	case ReviveCall:
		return len(v.Roles)
	case SuppressCall:
		return len(v.Roles)
	case ReconcileCall:
		return len(v.Tasks)
	default:
		return 0
	}
}

func (m *Master) carryOutCall(f *framework, b CallBody) {
	switch v := b.(type) {
	case AcceptCall:
		m.accept(f, v)
	case DeclineCall:
		m.decline(f, v)
	case ReviveCall:
		m.allocator.Revive(f.info.ID, v.Roles)
		m.allocateSoon()
	case SuppressCall:
		m.allocator.Suppress(f.info.ID, v.Roles)
	case KillCall:
		m.killCall(f, v)
	case AcknowledgeCall:
		m.acknowledgeCall(f, v)
	case ReconcileCall:
		m.reconcile(f, v.Tasks)
	}
}

func (m *Master) killCall(f *framework, k KillCall) {
	t := f.tasks[k.Task]
	if t == nil || t.State.Terminal() {
		m.reconcileOne(f, ReconcileTask{Task: k.Task, Agent: k.Agent})
		return
	}
	m.kill(t, max(0, k.Grace))
}

// acknowledgeCall passes a confirmation on if the agent is there and the update is the one
// that its task waits with; otherwise the agent sends it again (U-5, U-7).
func (m *Master) acknowledgeCall(f *framework, k AcknowledgeCall) {
	a := m.agents[k.Agent]
	if k.ID == (UpdateID{}) || a == nil || a.state != agentRegistered {
		return
	}
	t := f.tasks[k.Task]
	if t == nil || t.AcknowledgingID != k.ID {
		t = nil
		for _, other := range m.tasksOf(a) { // of two with the same id
			if other.framework == f && other.Key.Task == k.Task && other.AcknowledgingID == k.ID {
				t = other
			}
		}
	}
	if t != nil && t.agent == a {
		m.acknowledge(t)
	}
}

func (m *Master) teardown(c *Call, f *framework) {
	if len(f.teardowns) >= m.config.MaxPendingCommits {
		m.answer(c, CallOverloaded, "its removal is under way, and too many wait for it")
		return
	}
	f.teardowns = append(f.teardowns, *c)
	if !f.removing {
		m.removeFramework(f)
	}
}

// Operate has an operator's operation carried out: DrainAgent, DeactivateAgent,
// ReactivateAgent, MarkGone, RemoveFramework, AllowFramework, SetWeight, SetQuota, PutDocument or
// RemoveDocument. The Time in it is set by the master. It is answered when the registry has it.
func (m *Master) Operate(now time.Duration, request uint64, o RegistryOperation) {
	c := Call{Request: request}
	if !m.enter(now) || !m.ready {
		m.answer(&c, CallNotReady, "this master has not read the registry, or leads no more")
		return
	}
	var effect func()
	switch v := o.(type) {
	case MarkGone:
		v.Time = m.unix()
		o, effect = v, func() { m.withAgent(v.Agent, m.gone) }
	case DrainAgent:
		effect = func() { m.withAgent(v.Agent, m.drain) }
	case DeactivateAgent:
		effect = func() { m.withAgent(v.Agent, m.drain) }
	case ReactivateAgent:
		effect = func() { m.withAgent(v.Agent, m.drain) }
	case RemoveFramework:
		if f := m.frameworks[v.Framework]; f != nil && !f.removed {
			m.teardown(&c, f)
		} else {
			m.answer(&c, CallRefused, CodeFrameworkUnknown.String())
		}
		return
	case AllowFramework:
		if f := m.frameworks[v.Framework]; f != nil && f.removed && m.registry.FrameworkStanding(v.Framework) == StandingNone {
			m.allowed(v.Framework) // once more: nobody came in time
			m.answer(&c, CallAccepted, "")
			return
		}
		effect = func() { m.allowed(v.Framework) }
	case SetWeight:
		effect = func() { m.allocator.SetWeight(v.Role, max(v.Weight, 0)) }
	case SetQuota:
		effect = func() { m.allocator.SetQuota(v.Role, v.Limit, v.Limited) }
	case PutDocument, RemoveDocument:
		effect = func() {}
	default:
		m.answer(&c, CallInvalid, fmt.Sprintf("%T is no operator's", o))
		return
	}
	m.operate(&c, o, effect)
}

// KillTask has a task ended for an operator, with its own grace if grace is 0. It is answered at once;
// what becomes of the task is told by its updates.
func (m *Master) KillTask(now time.Duration, request uint64, key TaskKey, grace time.Duration) {
	c := Call{Request: request}
	if !m.enter(now) || !m.ready {
		m.answer(&c, CallNotReady, "this master has not read the registry, or leads no more")
		return
	}
	if f := m.frameworks[key.Framework]; f != nil {
		if t := f.tasks[key.Task]; t != nil && !t.State.Terminal() {
			m.kill(t, max(0, grace))
			m.answer(&c, CallAccepted, "")
			return
		}
	}
	m.answer(&c, CallRefused, "no such task runs")
}

func (m *Master) operate(c *Call, o RegistryOperation, effect func()) {
	if m.crowded() {
		m.answer(c, CallOverloaded, "too much waits for the registry: try again")
		return
	}
	m.commit(o, func(r RegistryResult) {
		if r.Code != CodeOK {
			m.answer(c, CallRefused, r.Code.String())
			return
		}
		effect()
		m.answer(c, CallAccepted, "")
	})
}

// allowed has a framework that was removed take subscriptions again, also while tasks of it are on agents that are away: they
// are to end as they were.
func (m *Master) allowed(id FrameworkID) {
	f := m.frameworks[id]
	if f == nil || !f.removed {
		return
	}
	f.removed = false
	for _, t := range f.all { // any order
		t.killing = true
	}
	m.alarms.set(&f.failover, m.now+max(f.info.FailoverTimeout, m.config.FrameworkGrace))
}

func (m *Master) withAgent(id AgentID, do func(*masterAgent)) {
	if a := m.agents[id]; a != nil {
		do(a)
	}
}

// offerOrNot offers of an agent what there is, or nothing: as the registry has it, and not
// before the agent knows its id.
func (m *Master) offerOrNot(a *masterAgent) {
	if a.state != agentRegistered {
		return
	}
	record, _ := m.registry.Agent(a.id)
	offered := !record.Drain.Deactivated && !m.isFresh(a)
	if !offered {
		m.rescindAgent(a)
	}
	m.allocator.SetAgentActive(a.id, offered)
	m.allocateSoon()
}

// drain does what an operator wants of an agent.
func (m *Master) drain(a *masterAgent) {
	m.happenedAgent(a, drainText(m.drainOf(a), m.unix()))
	m.offerOrNot(a)
	m.killDraining(a)
	if a.state == agentRegistered {
		m.resendKills(a)
	}
}

// drainOf is what an operator wants of an agent.
func (m *Master) drainOf(a *masterAgent) Drain {
	if u, ok := m.registry.UnreachableAgent(a.id); ok {
		return u.Drain
	}
	record, _ := m.registry.Agent(a.id)
	return record.Drain
}

// killDraining has the tasks of an agent that is to be empty killed by the next resendKills,
// each with its own grace, and with none once the deadline is over. Of one that is not, no more.
func (m *Master) killDraining(a *masterAgent) {
	d := m.drainOf(a)
	m.alarms.stop(&a.deadline)
	over := d.Draining && d.Deadline > 0 && m.unix() >= d.Deadline
	for _, t := range a.tasks { // any order
		t.drained, t.hurried = d.Draining, over
	}
	if d.Draining && d.Deadline > 0 && !over {
		m.alarms.set(&a.deadline, m.now+d.Deadline-m.unix())
	}
}

// noGrace is the least that overrides a task's own.
const noGrace = time.Millisecond
