package mesos

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Bounds of a TaskInfo. Name and Labels come back with every registration of its agent, which
// brings all its tasks in one message.
const (
	MaxDataBytes      = 64 << 10 // of Data
	MaxTaskNameBytes  = 1024     // of Name
	MaxTaskLabelBytes = 4 << 10  // of all keys and values of Labels
)

// allocateSoon has offers made a little later, for all that happens until then.
func (m *Master) allocateSoon() {
	m.alarms.earlier(&m.allocation, m.now+m.config.AllocationDelay)
}

// allocate makes offers.
func (m *Master) allocate() {
	m.alarms.set(&m.allocation, m.now+m.config.AllocationInterval)
	m.takeBack()
	if m.offers.Len() >= m.config.MaxOffers || m.holdsOff() {
		return
	}
	var order []*framework
	offers := map[*framework][]OfferInfo{}
	for _, x := range m.allocator.Allocate(m.now) {
		f, a := m.frameworks[x.Framework], m.agents[x.Agent]
		if f == nil || f.stream == nil || a == nil || a.state != agentRegistered {
			panic(fmt.Sprintf("mesos: master of term %d: %v of %s is offered to %s", m.term, x.Resources, x.Agent, x.Framework))
		}
		m.offerNumber++
		o, err := m.offers.Add(x, OfferID(fmt.Sprintf("%d-O%d", m.term, m.offerNumber)), m.now)
		if err != nil {
			m.allocator.Recover(x.Framework, x.Role, x.Agent, x.Resources, 0, m.now)
			continue
		}
		if offers[f] == nil {
			order = append(order, f)
		}
		offers[f] = append(offers[f], OfferInfo{ID: o.ID, Framework: x.Framework, Role: x.Role, Agent: a.id,
			Hostname: a.info.Hostname, Address: a.info.Address, Attributes: a.info.Attributes, Resources: x.Resources})
	}
	for _, f := range order {
		m.event(f, OffersEvent{Offers: offers[f]})
	}
}

// holdsOff reports whether it is too early for offers: where roles have quotas, a master that
// knows few of the agents does not know what the roles have (M-9).
func (m *Master) holdsOff() bool {
	if m.now-m.start >= m.config.RegisterTimeout || m.expected == 0 {
		return false
	}
	quotas := false
	for range m.registry.Quotas() {
		quotas = true
		break
	}
	if !quotas {
		return false
	}
	back := 0
	for _, a := range m.agents {
		if a.state == agentRegistered {
			back++
		}
	}
	if back*100 >= m.expected*holdOffPercent {
		m.expected = 0 // for good
		return false
	}
	return true
}

// holdOffPercent is how many of the agents that there were are to be back before offers are
// made, where there are quotas.
const holdOffPercent = 80

// giveBack returns what offers held, which are out of the table.
func (m *Master) giveBack(offers []Offer, refuse time.Duration) {
	for _, o := range offers {
		m.allocator.Recover(o.Framework, o.Role, o.Agent, o.Resources, refuse, m.now)
		m.allocateSoon()
	}
}

// takeBack ends the oldest offers that have been left unanswered for OfferTimeout while
// somebody else wants some: who does not read his stream, or hoards, starves nobody.
func (m *Master) takeBack() {
	for at, due := m.offers.Next(); due && at <= m.now; at, due = m.offers.Next() {
		o := m.offers.first.Offer
		if !m.allocator.Wanted(o.Framework) {
			return
		}
		m.offers.remove(m.offers.first)
		m.allocator.TakeBack(o.Framework, o.Role, o.Agent, o.Resources, m.config.OfferTimeout, m.now)
		m.allocateSoon()
		if f := m.frameworks[o.Framework]; f != nil {
			m.event(f, RescindEvent{Offer: o.ID})
		}
	}
}

// rescindAgent takes back all that is offered of an agent.
func (m *Master) rescindAgent(a *masterAgent) {
	m.rescinded(m.offers.RemoveAgent(a.id))
}

// rescindFor takes back what a framework could still launch a task with that it is going to
// be told is none: an AcceptCall of before that comes later starts nothing. With no agent it
// is all that the framework is offered.
func (m *Master) rescindFor(f *framework, agent AgentID) {
	if agent == "" {
		m.rescinded(m.offers.RemoveFramework(f.info.ID))
		return
	}
	m.rescinded(m.offers.RemoveFrameworkAgent(f.info.ID, agent))
}

// rescinded gives back offers that are out of the table, and tells their frameworks.
func (m *Master) rescinded(offers []Offer) {
	m.giveBack(offers, 0)
	for _, o := range offers {
		if f := m.frameworks[o.Framework]; f != nil {
			m.event(f, RescindEvent{Offer: o.ID})
		}
	}
}

// rescindFramework takes back all that is offered to a framework whose scheduler is away.
func (m *Master) rescindFramework(f *framework) {
	m.giveBack(m.offers.RemoveFramework(f.info.ID), 0)
}

// decline handles a DeclineCall. Offers that are none any more are passed by.
func (m *Master) decline(f *framework, d DeclineCall) {
	offers, _ := m.offers.Take(f.info.ID, d.Offers...)
	m.giveBack(offers, d.Refuse)
}

// bundle is what an AcceptCall may use: offers of one agent and role.
type bundle struct {
	framework *framework
	agent     *masterAgent
	role      string
	left      Resources
}

// accept handles an AcceptCall.
func (m *Master) accept(f *framework, a AcceptCall) {
	offers, err := m.offers.Take(f.info.ID, a.Offers...)
	b, problem := m.bundle(f, offers)
	if err != nil {
		problem = err.Error()
	}
	if problem != "" {
		m.giveBack(offers, 0)
		for i := range a.Launch {
			m.notLaunched(f, &a.Launch[i], problem)
		}
		return
	}
	for i := range a.Launch {
		m.launch(b, &a.Launch[i])
	}
	if !b.left.Empty() {
		m.allocator.Recover(f.info.ID, b.role, b.agent.id, b.left, a.Refuse, m.now)
		m.allocateSoon()
	}
}

// bundle puts offers together, if they go together.
func (m *Master) bundle(f *framework, offers []Offer) (*bundle, string) {
	b := &bundle{framework: f}
	for i, o := range offers {
		if i > 0 && (o.Agent != b.agent.id || o.Role != b.role) {
			return nil, "the offers are of different agents or roles"
		}
		b.agent, b.role, b.left = m.agents[o.Agent], o.Role, b.left.Add(o.Resources)
	}
	if len(offers) == 0 {
		return nil, "there is no offer"
	}
	return b, ""
}

// launch starts a task, or tells why not. Only here is a container minted.
func (m *Master) launch(b *bundle, t *TaskInfo) {
	f, a := b.framework, b.agent
	if f.tasks[t.ID] != nil {
		m.notLaunched(f, t, "")
		return
	}
	left, ok := b.left.Sub(t.Resources)
	problem := checkTask(t, a)
	switch {
	case problem != "":
	case !ok:
		problem = fmt.Sprintf("it takes %v, and %v is left of the offers", t.Resources, b.left)
	case len(f.all) >= m.config.MaxTasks:
		problem = fmt.Sprintf("the framework has %d tasks", len(f.all))
	case len(a.tasks) >= m.config.MaxAgentTasks:
		problem = fmt.Sprintf("the agent has %d tasks", len(a.tasks))
	}
	if problem != "" {
		s := m.unlaunched(f, t, Errored, ReasonTaskInvalid, problem)
		m.happenedTask(s, "not launched: "+problem)
		m.event(f, UpdateEvent{s})
		return
	}
	b.left = left
	info := *t
	info.Role = b.role
	m.launches++
	n := m.enterTask(a, f, Task{Key: TaskKey{f.info.ID, t.ID}, Name: t.Name, Container: m.mint(), Term: m.term,
		Sequence: m.launches, Resources: t.Resources, Role: b.role, KillGrace: t.KillGrace, StopAfter: t.StopAfter,
		Labels: t.Labels, State: Staging})
	m.happenedTask(n.status, "launched on "+a.info.Hostname)
	n.occupied = true // what was offered is counted as allocated
	m.send(a, Launch{Term: m.term, Sequence: m.launches, Framework: f.info, Task: info, Container: n.Container})
}

// mint makes a ContainerID.
func (m *Master) mint() (c ContainerID) {
	binary.BigEndian.PutUint64(c[:8], m.config.Rand.Uint64())
	binary.BigEndian.PutUint64(c[8:], m.config.Rand.Uint64())
	return c
}

// checkTask says what is wrong with a task that is to run on the agent.
func checkTask(t *TaskInfo, a *masterAgent) string {
	switch err := CheckName(string(t.ID)); {
	case err != nil:
		return err.Error()
	case t.Agent != a.id:
		return fmt.Sprintf("it is for agent %s, the offers are of %s", t.Agent, a.id)
	case t.Resources.Empty():
		return "it takes no resources"
	case t.Command.Value == "" && t.Docker == nil:
		return "it has no command"
	case t.Docker != nil && a.info.Attributes[DockerAttribute] == "":
		return "the agent has no Docker engine"
	case t.Docker.Wrong() != "":
		return t.Docker.Wrong()
	case t.Docker.beyond(t.Resources) != "":
		return t.Docker.beyond(t.Resources)
	case len(t.Data) > MaxDataBytes:
		return fmt.Sprintf("it has %d bytes of data, %d may be", len(t.Data), MaxDataBytes)
	case len(t.Name) > MaxTaskNameBytes:
		return fmt.Sprintf("its name has %d bytes, %d may be", len(t.Name), MaxTaskNameBytes)
	case labelBytes(t.Labels) > MaxTaskLabelBytes:
		return fmt.Sprintf("its labels have %d bytes, %d may be", labelBytes(t.Labels), MaxTaskLabelBytes)
	case t.KillGrace < 0 || t.StopAfter < 0 || t.StopAfter != 0 && t.StopAfter <= t.KillGrace:
		return fmt.Sprintf("KillGrace %v and StopAfter %v do not go together", t.KillGrace, t.StopAfter)
	default:
		return ""
	}
}

func labelBytes(labels map[string]string) (n int) {
	for k, v := range labels {
		n += len(k) + len(v)
	}
	return n
}

// notLaunched answers for a task that was not launched, without saying more than is true: a
// call may come twice, and the task of that name run since the first. What the table has is
// told as it is. Otherwise the task is DROPPED, if it surely runs nowhere, and as in a
// reconciliation if not.
func (m *Master) notLaunched(f *framework, t *TaskInfo, problem string) {
	if f.tasks[t.ID] == nil && m.surelyAbsent(t.Agent) {
		m.rescindFor(f, t.Agent)
		m.event(f, UpdateEvent{m.unlaunched(f, t, Dropped, ReasonInvalidOffers, problem)})
		return
	}
	m.reconcileOne(f, ReconcileTask{Task: t.ID, Agent: t.Agent})
}

// surelyAbsent reports whether a task of that agent which is not in the table neither runs
// nor can start. The agent has said what it has, in this Term, so that it takes no Launch
// of an earlier master any more, and those of this one are in the table.
func (m *Master) surelyAbsent(id AgentID) bool {
	a := m.agents[id]
	return a != nil && a.settled && (a.state == agentRegistered || a.state == agentDisconnected)
}

// unlaunched is a status of a task that has no container.
func (m *Master) unlaunched(f *framework, t *TaskInfo, s TaskState, r Reason, message string) TaskStatus {
	return TaskStatus{Task: TaskKey{f.info.ID, t.ID}, Agent: t.Agent, State: s, Reason: r, Source: SourceMaster,
		Message: message, Time: m.unix()}
}
