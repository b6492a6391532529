package mesos

import (
	"fmt"
	"slices"
	"time"
)

// maxTaskData bounds TaskInfo.Data.
const maxTaskData = 64 << 10

// onLaunch starts a container if that was never seen. Of one that was it says again what the
// scheduler has not acknowledged: the rest is known.
func (a *Agent) onLaunch(m Launch) {
	key := TaskKey{m.Framework.ID, m.Task.ID}
	switch {
	case a.recovering || a.leaving || a.cfg.Recover != Reconnect:
		return // the master asks for it, as missing, once the agent has registered
	case m.Task.Agent != a.agent.ID || a.agent.ID == "" || m.Container == ContainerID{} || m.Sequence == 0:
		return
	case !validKey(key):
		return
	case a.knows(m.Container):
		if t := a.tasks[m.Container]; t != nil {
			a.forward(t)
		}
		return
	case !(launchMark{m.Term, m.Sequence}).after(a.forgotten):
		if a.link.registered {
			a.registerAnew()
		}
		return
	case a.crowded(key.Framework):
		return
	}
	task := a.taskOf(m, key)
	if no := a.refusal(m, task); no != nil {
		a.refuse(m.Framework, Task{Key: key, Agent: task.Agent, Container: task.Container, Term: task.Term, Sequence: task.Sequence}, *no)
		return
	}
	t := a.stage(m.Framework, task)
	if t.StopAfter > 0 {
		a.noteContact(t.StopAfter)
	}
	a.out.Start = append(a.out.Start, StartContainer{Container: m.Container, Framework: m.Framework, Task: m.Task})
}

func validKey(k TaskKey) bool { return validID(k.Framework) && validID(k.Task) }

func (a *Agent) taskOf(m Launch, key TaskKey) Task {
	t := Task{Key: key, Name: m.Task.Name, Agent: m.Task.Agent, Container: m.Container, Term: m.Term, Sequence: m.Sequence,
		Resources: m.Task.Resources, Role: m.Task.Role, KillGrace: m.Task.KillGrace, StopAfter: m.Task.StopAfter, Labels: m.Task.Labels}
	if t.KillGrace == 0 {
		t.KillGrace = a.cfg.KillGrace
	}
	return t
}

// crowded reports whether nothing more is to be kept of a framework, not even a refusal.
func (a *Agent) crowded(id FrameworkID) bool {
	_, known := a.frameworks[id]
	return !known && len(a.frameworks) >= a.cfg.MaxFrameworks || a.undone(id) >= 2*a.cfg.MaxTasks || a.bytes() >= a.cfg.MaxBytes
}

// bytes are those of the records of all tasks that are not done and of their frameworks.
func (a *Agent) bytes() (n int) {
	for _, f := range a.frameworks {
		n += len(Record{Kind: RecordFramework, Framework: f}.Append(nil))
	}
	for _, t := range a.order {
		n += t.bytes
	}
	return n
}

// undone counts the tasks of a framework that are not done.
func (a *Agent) undone(id FrameworkID) (n int) {
	for _, t := range a.order {
		if t.Key.Framework == id {
			n++
		}
	}
	return n
}

// alive counts the tasks that have not ended.
func (a *Agent) alive() (n int) {
	for _, t := range a.order {
		if !t.State.Terminal() {
			n++
		}
	}
	return n
}

// stage saves a task, and its framework if that is new or has changed.
func (a *Agent) stage(f FrameworkInfo, task Task) *agentTask {
	r := Record{Kind: RecordFramework, Framework: f}
	known, ok := a.frameworks[f.ID]
	if !ok || string(r.Append(nil)) != string(Record{Kind: RecordFramework, Framework: known}.Append(nil)) {
		a.save(r)
	}
	a.save(Record{Kind: RecordTask, Task: task})
	t := a.tasks[task.Container]
	t.observed = true
	return t
}

// refusal says why a task is not started, nil if it is.
func (a *Agent) refusal(m Launch, t Task) *TaskStatus {
	no := func(state TaskState, reason Reason, format string, args ...any) *TaskStatus {
		return &TaskStatus{State: state, Reason: reason, Message: fmt.Sprintf(format, args...)}
	}
	if _, killed := a.killed[t.Key]; killed {
		return no(Killed, ReasonTaskKilledDuringLaunch, "killed before it came")
	}
	for _, o := range a.order {
		if o.Key == t.Key {
			return no(Errored, ReasonTaskInvalid, "the framework has a task of this id here, in container %v", o.Container)
		}
	}
	size := len(Record{Kind: RecordTask, Task: t}.Append(nil))
	framework := len(Record{Kind: RecordFramework, Framework: m.Framework}.Append(nil))
	if max(framework, size) > MaxRecordBytes {
		return no(Errored, ReasonTaskInvalid, "the description has more than %d bytes", MaxRecordBytes)
	}
	all, own, bytes := a.alive(), a.undone(t.Key.Framework), a.bytes()
	switch left := a.left(); {
	case t.KillGrace < 0 || t.KillGrace > a.cfg.MaxKillGrace:
		return no(Errored, ReasonTaskInvalid, "a grace of %v is not between 0 and %v", t.KillGrace, a.cfg.MaxKillGrace)
	case t.StopAfter < 0 || t.StopAfter > 0 && t.StopAfter <= t.KillGrace:
		return no(Errored, ReasonTaskInvalid, "it cannot be stopped within %v with a grace of %v", t.StopAfter, t.KillGrace)
	case m.Task.Health.wrong() != "":
		return no(Errored, ReasonTaskInvalid, "its health check %s", m.Task.Health.wrong())
	case m.Task.Docker.Wrong() != "":
		return no(Errored, ReasonTaskInvalid, "%s", m.Task.Docker.Wrong())
	case m.Task.Docker.beyond(t.Resources) != "":
		return no(Errored, ReasonTaskInvalid, "%s", m.Task.Docker.beyond(t.Resources))
	case len(m.Task.Data) > maxTaskData:
		return no(Errored, ReasonTaskInvalid, "its data has %d bytes, more than %d", len(m.Task.Data), maxTaskData)
	case all >= a.cfg.MaxTasks:
		return no(Dropped, ReasonInvalidOffers, "the agent has %d tasks already", all)
	case own >= a.cfg.MaxTasks:
		return no(Dropped, ReasonInvalidOffers, "the framework has %d tasks here already, those that it has not acknowledged included", own)
	case bytes+framework+size > a.cfg.MaxBytes/2:
		return no(Dropped, ReasonInvalidOffers, "the descriptions of the agent's tasks have %d bytes already, and this one has %d", bytes, framework+size)
	case !left.Contains(t.Resources):
		return no(Dropped, ReasonInvalidOffers, "it wants %v, the agent has %v left", t.Resources, left)
	}
	return nil
}

// refuse ends a task that was not started. It is remembered as one that was.
func (a *Agent) refuse(f FrameworkInfo, task Task, s TaskStatus) {
	known, ok := a.frameworks[f.ID]
	switch size := len(Record{Kind: RecordFramework, Framework: f}.Append(nil)); {
	case ok:
		f = known
	case size > MaxRecordBytes || a.bytes()+size > a.cfg.MaxBytes/2:
		f = FrameworkInfo{ID: f.ID}
	}
	a.tell(a.stage(f, task), s)
}

// onMissing answers for a task that the master launched and the agent did not bring.
func (a *Agent) onMissing(task Task) {
	mark := launchMark{task.Term, task.Sequence}
	switch {
	case task.Agent != a.agent.ID || task.Container == ContainerID{} || task.Sequence == 0 || task.Term > a.term:
		return
	case !validKey(task.Key):
		return
	case a.knows(task.Container) || task.State.Terminal():
		return
	case !mark.after(a.forgotten) && mark.after(a.link.attemptForgotten):
		return // it may have come and gone since the Register; the next answer tells
	case a.crowded(task.Key.Framework):
		return
	}
	f, ok := a.frameworks[task.Key.Framework]
	if !ok {
		f = FrameworkInfo{ID: task.Key.Framework}
	}
	a.refuse(f, Task{Key: task.Key, Agent: task.Agent, Container: task.Container, Term: task.Term, Sequence: task.Sequence},
		TaskStatus{State: Dropped, Reason: ReasonReconciliation, Message: "the agent has not got its launch"})
}

// onKill ends the task. One that is not there may be on its way.
func (a *Agent) onKill(m Kill) {
	found := false
	for _, t := range a.order {
		if t.Key == m.Task {
			found = true
			grace := t.KillGrace
			if m.Grace > 0 {
				grace = min(m.Grace, a.cfg.MaxKillGrace)
			}
			a.kill(t, ReasonNone, "killed by its scheduler", grace)
		}
	}
	if found || !validKey(m.Task) || a.wasDone(m.Task) {
		return
	}
	if _, ok := a.killed[m.Task]; ok {
		return
	}
	a.killed[m.Task] = struct{}{}
	if a.kills = append(a.kills, m.Task); len(a.kills) > a.cfg.MaxDone {
		delete(a.killed, a.kills[0])
		a.kills = a.kills[1:]
	}
}

func (a *Agent) wasDone(key TaskKey) bool {
	for _, c := range a.doneOrder {
		if a.done[c].key == key {
			return true
		}
	}
	return false
}

// kill ends a task: before its container is handed out to be started at once, otherwise
// when the container has ended. KILLING is saved first, so that it is not forgotten.
func (a *Agent) kill(t *agentTask, reason Reason, message string, grace time.Duration) {
	if t.State.Terminal() {
		return
	}
	if t.State == Staging && reason == ReasonNone {
		reason = ReasonTaskKilledDuringLaunch
	}
	s := TaskStatus{State: Killing, Reason: reason, Message: message}
	if a.unstart(t.Container) {
		s.State = Killed
		a.tell(t, s)
		return
	}
	a.tell(t, s)
	a.stop(t, grace)
}

// starting reports whether an order to start is there that nobody has seen.
func (a *Agent) starting(c ContainerID) bool {
	return slices.ContainsFunc(a.out.Start, func(s StartContainer) bool { return s.Container == c })
}

// unstart takes an order to start back that nobody has seen.
func (a *Agent) unstart(c ContainerID) bool {
	found := a.starting(c)
	a.out.Start = slices.DeleteFunc(a.out.Start, func(s StartContainer) bool { return s.Container == c })
	return found
}

// stop orders the end of a container. What nobody has looked at is not touched yet.
func (a *Agent) stop(t *agentTask, grace time.Duration) {
	if t.observed {
		a.out.Stop = append(a.out.Stop, StopContainer{Container: t.Container, Grace: grace})
	}
}

// shutdownFramework kills the tasks of a framework. Of their end is told a few times, for
// there may be nobody left to acknowledge it.
func (a *Agent) shutdownFramework(id FrameworkID) {
	for _, t := range a.order {
		if t.Key.Framework == id {
			t.removed = true
			a.kill(t, ReasonFrameworkRemoved, "its framework is removed", t.KillGrace)
		}
	}
}

// onShutdown ends the agent under this ID. Nothing is told any more: the master has.
func (a *Agent) onShutdown(m Shutdown) {
	if m.Agent != a.agent.ID || m.Agent == "" {
		return
	}
	a.leaving, a.link.registered = true, false
	for _, t := range a.order {
		a.kill(t, ReasonAgentRemoved, m.Reason, t.KillGrace)
	}
}
