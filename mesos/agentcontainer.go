package mesos

import (
	"cmp"
	"math"
)

// ObservedContainer is what a look at a container found.
type ObservedContainer struct {
	Container ContainerID
	Facts     Facts
}

// Observed takes a look at a container: in a recovery, after Bar, and whenever whoever
// watches a container has lost sight of it.
func (a *Agent) Observed(o ObservedContainer) {
	t, f := a.tasks[o.Container], o.Facts
	if t == nil {
		a.observeStranger(o)
		return
	}
	if t.State.Terminal() || a.starting(t.Container) {
		return
	}
	f.Rebooted = f.Rebooted || a.rebooted && !t.observed && !f.Engine
	verdict := Decide(f)
	if verdict == NeverStarted && t.State == Running {
		verdict = Vanished // it was seen to run: its run directory has been removed
	}
	switch verdict {
	case Bar:
		a.out.Bar = append(a.out.Bar, t.Container)
		return
	case LookAgain:
		a.out.Look = append(a.out.Look, t.Container)
		return
	case Postpone:
		t.observed = true
		if t.ending() { // who cannot tell of it may yet end it
			a.stop(t, t.KillGrace)
		}
		a.out.Look = append(a.out.Look, t.Container)
		return
	}
	t.observed = true
	switch verdict {
	case Adopt:
		a.tell(t, TaskStatus{State: Running, Reason: ReasonNone})
		a.stopAgain(t)
	case Await:
		a.stopAgain(t)
	case Orphaned:
		t.orphan = true
		a.stop(t, 0)
	case NeverStarted:
		a.endTask(t, TaskStatus{State: Dropped, Reason: ReasonAgentRestarted, Message: "the agent was restarted before it started"})
	case Ended:
		a.exited(t, *f.Exit)
	case Vanished:
		reason, message := ReasonExecutorTerminated, "it has ended without its shim, so its exit status is unknown"
		switch {
		case f.Rebooted:
			reason, message = ReasonAgentRestarted, "the machine was started anew"
		case f.Engine:
			message = "its container was removed by somebody else, so its exit status is unknown"
		}
		a.endTask(t, TaskStatus{State: Failed, Reason: reason, Message: message})
	}
}

// observeStranger ends what the agent does not know, and has forgotten what is done.
func (a *Agent) observeStranger(o ObservedContainer) {
	switch f := o.Facts; {
	case f.Untold:
		a.out.Look = append(a.out.Look, o.Container)
	case (f.ShimAlive || f.TaskAlive) && f.Rebooted:
	case f.ShimAlive || f.TaskAlive:
		a.out.Stop = append(a.out.Stop, StopContainer{Container: o.Container, Grace: a.cfg.KillGrace})
	case Decide(f) == LookAgain:
		a.out.Look = append(a.out.Look, o.Container)
	default:
		a.out.Forget = append(a.out.Forget, o.Container)
	}
}

// stopAgain carries on with the end of a container that the agent was ending when it, or
// whoever watches the container, was restarted, and ends every one of a cleanup.
func (a *Agent) stopAgain(t *agentTask) {
	switch {
	case t.ending():
		a.stop(t, t.KillGrace)
	case a.cfg.Recover == Cleanup:
		a.kill(t, ReasonAgentRestarted, "the agent cleans up", t.KillGrace)
	}
}

// ending reports whether the agent ends a task.
func (t *agentTask) ending() bool { return t.State == Killing || t.failing != "" || t.limit != 0 }

// Event takes what the host tells of a container. Of one that is not there or has ended it
// changes nothing.
func (a *Agent) Event(e ContainerEvent) {
	t := a.tasks[e.Container]
	if t == nil || t.State.Terminal() || a.starting(t.Container) {
		return
	}
	switch e.Kind {
	case ContainerStarted:
		a.tell(t, TaskStatus{State: Running, Reason: ReasonNone, Message: e.Message})
	case ContainerLimited:
		if t.limit == 0 && isLimit(e.Limit) {
			t.limit = e.Limit
			a.stop(t, t.KillGrace)
		}
	case ContainerChecked:
		t.health = e.Health
		a.tellHealth(t, e.Message)
	case ContainerUnhealthy:
		a.unhealthy(t, e.Message)
	case ContainerNotStarted:
		t.observed = true
		a.exited(t, ContainerExit{NotStarted: true, Message: e.Message})
	case ContainerExited:
		t.observed = true
		a.exited(t, e.Exit)
	}
}

func isLimit(r Reason) bool {
	return r == ReasonContainerLimitation || r == ReasonContainerLimitationDisk || r == ReasonContainerLimitationMemory
}

// exited ends a task whose container has.
func (a *Agent) exited(t *agentTask, e ContainerExit) {
	s := exitStatus(e, t.limit, t.orphan)
	if t.failing != "" && t.limit == 0 && !e.NotStarted {
		s.State, s.Reason, s.Message = Failed, ReasonTaskHealthStatusUpdated, t.failing
	}
	a.endTask(t, s)
}

// exitStatus is what an exit means for a task that nobody has killed.
func exitStatus(e ContainerExit, limit Reason, orphan bool) TaskStatus {
	s := TaskStatus{State: Failed, Reason: ReasonNone, Message: e.Message}
	if e.Known {
		s.HasExit, s.ExitCode, s.Signal = true, int32Of(e.Code), int32Of(e.Signal)
	}
	switch {
	case e.NotStarted:
		s.Reason = ReasonContainerLaunchFailed
	case limit != 0:
		s.Reason = limit
	case e.OutOfMemory:
		s.Reason = ReasonContainerLimitationMemory
		s.Message = cmp.Or(s.Message, "it was ended because it took more memory than it has")
	case orphan || !e.Known:
		s.Reason = ReasonExecutorTerminated
		switch {
		case s.Message != "":
		case orphan:
			s.Message = "its shim has died, so it was ended, and its exit status is unknown"
		default:
			s.Message = "its exit status is unknown"
		}
	case e.Code == 0 && e.Signal == 0:
		s.State = Finished
	}
	return s
}

// int32Of is the nearest number of 32 bits, which is what a record holds of an exit.
func int32Of(n int) int { return max(math.MinInt32, min(n, math.MaxInt32)) }

// endTask tells the end of a task: KILLED for the reason that it was killed for, if it was.
func (a *Agent) endTask(t *agentTask, s TaskStatus) {
	if t.State == Killing {
		k := t.status()
		s.State, s.Reason, s.Message = Killed, k.Reason, k.Message
	}
	a.tell(t, s)
}

// recovered ends a recovery when the last container of before was looked at: no fixed time
// is waited for. From then on the boot is the present one.
func (a *Agent) recovered() {
	if !a.recovering || len(a.Unobserved()) > 0 {
		return
	}
	a.recovering, a.rebooted = false, false
	if a.agent.ID != "" {
		a.noteInfo(a.agent.ID)
	}
}
