package mesos

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// maxShownMessage bounds what is kept of an update's message, in bytes.
const maxShownMessage = 1024

// endedTasks are the last that are over and done with, the oldest at next once all places
// are taken.
type endedTasks struct {
	list []TaskView
	next int
}

func (e *endedTasks) add(v TaskView) {
	if len(e.list) < MaxEndedTasks {
		e.list = append(e.list, v)
		return
	}
	e.list[e.next] = v
	e.next = (e.next + 1) % MaxEndedTasks
}

// note keeps what was told of a task last, for people.
func (m *Master) note(t *masterTask, s TaskStatus) {
	if s.State != t.status.State || t.changed == 0 {
		t.changed = m.unix()
	}
	if len(s.Message) > maxShownMessage {
		s.Message = s.Message[:maxShownMessage]
	}
	t.status = s
}

// noteUpdate keeps a status and lets people know of it.
func (m *Master) noteUpdate(t *masterTask, s TaskStatus) {
	news := s.State != t.status.State || s.Health != t.status.Health
	m.note(t, s)
	if !news {
		return
	}
	text := fmt.Sprintf("%v on %s", s.State, cmp.Or(t.agent.info.Hostname, string(t.agent.id)))
	if s.HasExit && s.Signal != 0 {
		text += fmt.Sprintf(", ended by signal %d", s.Signal)
	} else if s.HasExit {
		text += fmt.Sprintf(", exit code %d", s.ExitCode)
	}
	if s.State == Running && s.Health != HealthUnknown {
		text += map[Health]string{Healthy: ", healthy", Unhealthy: ", unhealthy"}[s.Health]
	}
	if s.Message != "" {
		text += ": " + t.status.Message
	}
	m.happenedTask(t.status, text)
}

func (m *Master) happenedTask(s TaskStatus, text string) {
	m.out.Happened = append(m.out.Happened, Happening{Kind: HappeningTask,
		Subject: string(s.Task.Framework) + "/" + string(s.Task.Task), Text: text, Status: &s})
}

func (m *Master) happenedAgent(a *masterAgent, text string) {
	if a.info.Hostname != "" {
		text += " (" + a.info.Hostname + ")"
	}
	m.out.Happened = append(m.out.Happened, Happening{Kind: HappeningAgent, Subject: string(a.id), Text: text})
}

func (m *Master) happenedFramework(f *framework, text string) {
	if f.info.Name != "" {
		text += " (" + f.info.Name + ")"
	}
	m.out.Happened = append(m.out.Happened, Happening{Kind: HappeningFramework, Subject: string(f.info.ID), Text: text})
}

// View makes a copy of the master's state.
func (m *Master) View() *MasterView {
	v := &MasterView{Term: m.term, Time: m.unix()}
	if m.registry == nil {
		return v
	}
	m.viewAgents(v)
	m.viewFrameworks(v)
	m.viewTasks(v)
	return v
}

func (m *Master) viewAgents(v *MasterView) {
	for _, a := range m.agents {
		w := AgentView{Info: a.info, State: agentStateNames[a.state], Used: usedBy(a.tasks), Tasks: living(a.tasks)}
		if record, ok := m.registry.Agent(a.id); ok {
			w.Drain = record.Drain
		}
		if u, ok := m.registry.UnreachableAgent(a.id); ok {
			w.Since, w.Drain = u.Since, u.Drain
		}
		for x := range m.offers.agents[a.id] {
			w.Offered = w.Offered.Add(x.Resources)
		}
		v.Agents = append(v.Agents, w)
	}
	for u := range m.registry.UnreachableAgents() {
		if m.agents[u.ID] == nil {
			v.Agents = append(v.Agents, AgentView{Info: AgentInfo{ID: u.ID, Address: u.Address}, State: "unreachable", Since: u.Since, Drain: u.Drain})
		}
	}
	for g := range m.registry.GoneAgents() {
		if m.agents[g.ID] == nil {
			v.Agents = append(v.Agents, AgentView{Info: AgentInfo{ID: g.ID}, State: "gone", Since: g.Since})
		}
	}
	slices.SortFunc(v.Agents, func(a, b AgentView) int { return cmp.Compare(a.Info.ID, b.Info.ID) })
}

var agentStateNames = [...]string{agentRecovered: "recovered", agentRegistered: "registered",
	agentDisconnected: "disconnected", agentUnreachable: "unreachable"}

func (m *Master) viewFrameworks(v *MasterView) {
	for _, f := range inOrder(m.frameworks) {
		if f.removed {
			continue
		}
		w := FrameworkView{Info: f.info, Connected: f.stream != nil, Used: usedBy(f.all), Tasks: living(f.all),
			Offers: len(m.offers.frameworks[f.info.ID])}
		if record, ok := m.registry.Framework(f.info.ID); ok {
			w.Since = record.Since
		}
		v.Frameworks = append(v.Frameworks, w)
	}
}

func (m *Master) viewTasks(v *MasterView) {
	n := len(m.past.list)
	for _, a := range m.agents {
		n += len(a.tasks)
	}
	v.Tasks = make([]TaskView, 0, n)
	for _, a := range m.agents {
		for _, t := range a.tasks {
			v.Tasks = append(v.Tasks, t.view())
		}
	}
	v.Tasks = append(v.Tasks, m.past.list...)
	slices.SortFunc(v.Tasks, func(a, b TaskView) int {
		return cmp.Or(cmp.Compare(a.Task.Key.Framework, b.Task.Key.Framework), cmp.Compare(a.Task.Key.Task, b.Task.Key.Task),
			cmp.Compare(a.Since, b.Since), cmp.Compare(a.Task.Sequence, b.Task.Sequence))
	})
}

// view is the task as people are shown it: its State is what its agent has said last, unless
// the agent cannot be reached.
func (t *masterTask) view() TaskView {
	v := TaskView{Task: t.Task, Status: t.status, Since: t.changed}
	if t.unreachable {
		v.Task.State = Unreachable
	}
	return v
}

func usedBy(tasks map[ContainerID]*masterTask) (used Resources) {
	for _, t := range tasks {
		if t.occupied {
			used = used.Add(t.Resources)
		}
	}
	return used
}

// living counts those that have not ended.
func living(tasks map[ContainerID]*masterTask) (n int) {
	for _, t := range tasks {
		if !t.State.Terminal() {
			n++
		}
	}
	return n
}

// drainText says how an agent is drained.
func drainText(d Drain, now time.Duration) string {
	switch {
	case d.Draining && d.Deadline > 0:
		return fmt.Sprintf("draining, what runs is killed in %v", max(0, d.Deadline-now).Round(time.Second))
	case d.Draining:
		return "draining"
	case d.Deactivated:
		return "deactivated"
	default:
		return "active"
	}
}
