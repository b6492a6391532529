package mesos

import (
	"bytes"
	"slices"
	"time"
)

// masterTask is what the master knows of a task. An agent's are by container, which is one
// start of it; a framework's by id.
type masterTask struct {
	Task
	framework *framework
	agent     *masterAgent
	// occupied: the allocator counts its resources.
	occupied bool
	// unreachable: the scheduler was told so, or is to be told when it asks.
	unreachable bool
	// confirmed: the agent has shown that it has the task. since is the time of the Launch, or
	// of the registration that did not bring it: absent.
	confirmed, absent bool
	since             time.Duration
	// killing: a kill was asked for, with grace.
	killing bool
	grace   time.Duration
	// drained: its agent is to be empty; hurried: by now.
	drained, hurried bool
	// seen are the ids of the latest updates, in the order in which they came first.
	// acknowledged is the last one that the scheduler has confirmed.
	seen         []UpdateID
	acknowledged UpdateID
	// status is what was told of it last, changed the Unix time since when it is in that
	// state: for people.
	status  TaskStatus
	changed time.Duration
}

// maxSeenUpdates bounds masterTask.seen: an update that comes late is behind by fewer.
const maxSeenUpdates = 16

// maxDoneContainers bounds doneContainers.
const maxDoneContainers = 1000

// doneContainers are those of an agent whose terminal update was acknowledged lately. If
// the Acknowledge got lost the agent sends the update again, and the master confirms it.
type doneContainers struct {
	has   map[ContainerID]bool
	order []ContainerID
	next  int
}

func (d *doneContainers) add(c ContainerID) {
	if d.has[c] {
		return
	}
	if d.has == nil {
		d.has = map[ContainerID]bool{}
	}
	d.has[c] = true
	if len(d.order) < maxDoneContainers {
		d.order = append(d.order, c)
		return
	}
	delete(d.has, d.order[d.next])
	d.order[d.next] = c
	d.next = (d.next + 1) % maxDoneContainers
}

// shown is the state for the scheduler: that of the update which it is to acknowledge next
// if there is one, so that an answer does not run ahead of the updates.
func (t *masterTask) shown() TaskState {
	switch {
	case t.unreachable:
		return Unreachable
	case t.AcknowledgingID != UpdateID{}:
		return t.Acknowledging
	default:
		return t.State
	}
}

// tasksOf are an agent's tasks in an order of their own.
func (m *Master) tasksOf(a *masterAgent) []*masterTask { return byContainer(a.tasks) }

func byContainer(of map[ContainerID]*masterTask) []*masterTask {
	tasks := make([]*masterTask, 0, len(of))
	for _, t := range of {
		tasks = append(tasks, t)
	}
	slices.SortFunc(tasks, func(x, y *masterTask) int { return bytes.Compare(x.Container[:], y.Container[:]) })
	return tasks
}

// enterTask puts a task into the table.
func (m *Master) enterTask(a *masterAgent, f *framework, t Task) *masterTask {
	t.Agent = a.id
	n := &masterTask{Task: t, framework: f, agent: a, since: m.now}
	m.note(n, TaskStatus{Task: t.Key, Agent: a.id, Container: t.Container, State: n.shown(), Reason: ReasonNone, Source: SourceMaster, Time: m.unix()})
	a.tasks[t.Container] = n
	f.all[t.Container] = n
	if id := t.Key.Task; f.tasks[id] == nil {
		f.tasks[id] = n
	} else {
		f.others[id] = append(f.others[id], n)
	}
	return n
}

// forget takes a task out of the table.
func (m *Master) forget(t *masterTask) {
	m.release(t)
	if t.State.Terminal() {
		m.past.add(t.view())
	}
	f := t.framework
	delete(t.agent.tasks, t.Container)
	delete(f.all, t.Container)
	f.unname(t)
	if f.removed && len(f.all) == 0 {
		m.dropFramework(f)
	}
}

// unname takes its id from a task. Another container of that id has it then: one that has
// not ended if there is one.
func (f *framework) unname(t *masterTask) {
	id := t.Key.Task
	others := slices.DeleteFunc(f.others[id], func(o *masterTask) bool { return o == t })
	if f.tasks[id] == t {
		delete(f.tasks, id)
		if len(others) > 0 {
			next := max(0, slices.IndexFunc(others, func(o *masterTask) bool { return !o.State.Terminal() }))
			f.tasks[id] = others[next]
			others = slices.Delete(others, next, next+1)
		}
	}
	if f.others[id] = others; len(others) == 0 {
		delete(f.others, id)
	}
}

func (m *Master) occupy(t *masterTask) {
	if !t.occupied && !t.State.Terminal() {
		t.occupied = true
		m.allocator.Occupy(t.Key.Framework, t.Role, t.agent.id, t.Resources)
	}
}

// release gives back what a task has occupied.
func (m *Master) release(t *masterTask) {
	if t.occupied {
		t.occupied = false
		m.allocator.Recover(t.Key.Framework, t.Role, t.agent.id, t.Resources, 0, m.now)
		m.allocateSoon()
	}
}

// takeUp brings the table up to what an agent says it has. removed are the frameworks of its
// tasks that are to be shut down, missing the tasks that it did not bring: it alone can say
// that they never start.
func (m *Master) takeUp(a *masterAgent, r Register) (removed []FrameworkID, missing []Task) {
	m.adoptFrameworks(r.Frameworks)
	brought := map[ContainerID]bool{}
	for i := range r.Tasks {
		t := &r.Tasks[i]
		f := m.frameworkOf(t.Key.Framework)
		if t.Container == (ContainerID{}) || CheckName(string(t.Key.Task)) != nil || f == nil {
			continue
		}
		brought[t.Container] = true
		if f.removed && !slices.Contains(removed, f.info.ID) {
			removed = append(removed, f.info.ID)
		}
		if !a.done.has[t.Container] && canBe(a, f, t) {
			m.takeUpTask(a, f, t)
		}
	}
	var absent []*masterTask
	for c, t := range a.tasks {
		if !brought[c] && !t.State.Terminal() {
			absent = append(absent, t)
		}
	}
	slices.SortFunc(absent, func(x, y *masterTask) int { return bytes.Compare(x.Container[:], y.Container[:]) })
	for _, t := range absent {
		m.occupy(t)
		if t.framework.removed && (t.confirmed || t.absent) {
			m.forget(t) // it has ended: of that the agent tells a few times only
			continue
		}
		t.confirmed, t.absent, t.since = false, true, m.now
		missing = append(missing, t.Task)
	}
	return removed, missing
}

// canBe reports whether an agent may have what it brings: a container is of one task, and
// on one agent.
func canBe(a *masterAgent, f *framework, brought *Task) bool {
	if t := a.tasks[brought.Container]; t != nil {
		return t.Key == brought.Key
	}
	return f.all[brought.Container] == nil
}

func (m *Master) takeUpTask(a *masterAgent, f *framework, brought *Task) {
	t := a.tasks[brought.Container]
	if t == nil {
		t = m.enterTask(a, f, *brought)
		if t.Role == "" {
			t.Role = "*"
		}
	} else if t.State.Terminal() && !brought.State.Terminal() {
		return // an end is for good
	}
	t.confirmed, t.absent = true, false
	t.State, t.Acknowledging, t.AcknowledgingID, t.Health = brought.State, brought.Acknowledging, brought.AcknowledgingID, brought.Health
	if t.AcknowledgingID == t.acknowledged {
		t.AcknowledgingID = UpdateID{}
	}
	m.occupy(t)
	if t.State.Terminal() {
		m.release(t)
	}
	if s := t.shown(); s != t.status.State || t.Health != t.status.Health {
		m.note(t, TaskStatus{Task: t.Key, Agent: a.id, Container: t.Container, State: s, Health: t.Health, Reason: ReasonNone, Source: SourceAgent, Time: m.unix()})
	}
	if t.unreachable || a.returning && !t.shown().Terminal() {
		t.unreachable = false
		m.tell(t, ReasonAgentReregistered, "the agent is back")
	}
	// A task has one container. Of two on different agents the one that this master has
	// known first stays.
	if first := f.tasks[t.Key.Task]; first != t && first.agent != a {
		t.killing = true
	}
}

// statusUpdate hands an update to the scheduler (U-5, U-6).
func (m *Master) statusUpdate(link LinkID, u StatusUpdate) {
	s := &u.Status
	a := m.agents[s.Agent]
	if a == nil || a.state != agentRegistered || a.link != link {
		m.askAgain(link, s.Agent)
		return
	}
	m.known(a)
	if s.ID == (UpdateID{}) {
		return
	}
	t := a.tasks[s.Container]
	switch {
	case t != nil && t.Key == s.Task:
		m.takeUpdate(t, u)
	case a.done.has[s.Container]:
		m.send(a, Acknowledge{Term: m.term, Task: s.Task, ID: s.ID})
	default: // of a task that started after its agent said what it has
		if !a.again {
			a.again = true
			m.ping(a)
		}
	}
}

func (m *Master) takeUpdate(t *masterTask, u StatusUpdate) {
	s := &u.Status
	switch at := slices.Index(t.seen, s.ID); {
	case at < 0:
		t.seen = append(t.seen, s.ID)
		if len(t.seen) > maxSeenUpdates {
			t.seen = slices.Delete(t.seen, 0, 1)
		}
	case at < len(t.seen)-1:
		return // it comes late: the next one was here, so the scheduler has it
	}
	t.confirmed, t.unreachable = true, false
	if s.ID == t.acknowledged {
		m.send(t.agent, Acknowledge{Term: m.term, Task: s.Task, ID: s.ID})
		return
	}
	if !t.State.Terminal() {
		t.State = u.Latest
		if s.State.Terminal() {
			t.State = s.State
		}
	}
	t.Acknowledging, t.AcknowledgingID, t.Health = s.State, s.ID, s.Health
	m.noteUpdate(t, *s)
	if t.State.Terminal() {
		m.release(t)
	}
	if t.framework.removed { // nobody is there to acknowledge
		m.acknowledge(t)
		return
	}
	m.event(t.framework, UpdateEvent{Status: *s})
}

// acknowledge confirms to the agent the update that t waits with.
func (m *Master) acknowledge(t *masterTask) {
	ended := t.Acknowledging.Terminal()
	m.send(t.agent, Acknowledge{Term: m.term, Task: t.Key, ID: t.AcknowledgingID})
	t.acknowledged, t.AcknowledgingID = t.AcknowledgingID, UpdateID{}
	if ended {
		t.agent.done.add(t.Container)
		m.forget(t)
	}
}

// tell tells the scheduler the state of a task without being asked.
func (m *Master) tell(t *masterTask, reason Reason, message string) {
	s := m.status(t, reason, message)
	if reason != ReasonReconciliation {
		m.noteUpdate(t, s)
	}
	m.event(t.framework, UpdateEvent{Status: s})
}

// status is an update that the master makes: it has no ID (U-6).
func (m *Master) status(t *masterTask, reason Reason, message string) TaskStatus {
	s := TaskStatus{Task: t.Key, Agent: t.agent.id, Container: t.Container, State: t.shown(), Reason: reason,
		Source: SourceMaster, Message: message, Time: m.unix()}
	if s.State == Running {
		s.Health = t.Health
	}
	if s.State == Unreachable {
		s.UnreachableSince = m.unreachableSince(t.agent.id)
	}
	return s
}

func (m *Master) unreachableSince(id AgentID) time.Duration {
	u, _ := m.registry.UnreachableAgent(id)
	return u.Since
}

// kill has a task killed, now or when its agent is back.
func (m *Master) kill(t *masterTask, grace time.Duration) {
	t.killing, t.grace = true, grace
	if t.agent.state == agentRegistered {
		m.send(t.agent, Kill{Term: m.term, Task: t.Key, Grace: grace})
	}
}

// resendKills repeats the kills that have not led to an end.
func (m *Master) resendKills(a *masterAgent) {
	var shut []*framework
	for _, t := range m.tasksOf(a) {
		switch {
		case t.State.Terminal() || slices.Contains(shut, t.framework):
		case t.framework.removed:
			shut = append(shut, t.framework)
			m.send(a, ShutdownFramework{Term: m.term, Framework: t.Key.Framework})
		case t.killing || t.drained:
			grace := t.grace
			if t.hurried {
				grace = noGrace
			}
			m.send(a, Kill{Term: m.term, Task: t.Key, Grace: grace})
		}
	}
}
