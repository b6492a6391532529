package mesos

import (
	"fmt"
	"time"
)

// TaskState is a task's, with the numbers of the Mesos API.
type TaskState uint8

const (
	Staging  TaskState = 6 // a master has accepted the launch
	Starting TaskState = 0
	Running  TaskState = 1
	Killing  TaskState = 8
	Finished TaskState = 2 // ended by itself with 0
	Failed   TaskState = 3
	Killed   TaskState = 4
	Errored  TaskState = 7 // the description makes no sense
	// Lost is only read: nothing here ends so.
	Lost TaskState = 5
	// Dropped tasks never started.
	Dropped TaskState = 9
	// Unreachable tasks are on an agent that cannot be reached, and may run.
	Unreachable TaskState = 10
	// Gone tasks were on an agent that is here and does not have them.
	Gone TaskState = 11
	// GoneByOperator tasks were on an agent that an operator says will not come back.
	GoneByOperator TaskState = 12
	// Unknown tasks were never heard of.
	Unknown TaskState = 13
)

var taskStateNames = [...]string{
	Starting: "STARTING", Running: "RUNNING", Finished: "FINISHED", Failed: "FAILED", Killed: "KILLED", Lost: "LOST",
	Staging: "STAGING", Errored: "ERROR", Killing: "KILLING", Dropped: "DROPPED", Unreachable: "UNREACHABLE",
	Gone: "GONE", GoneByOperator: "GONE_BY_OPERATOR", Unknown: "UNKNOWN",
}

// String is the name in the Mesos API without TASK_.
func (s TaskState) String() string {
	if int(s) < len(taskStateNames) {
		return taskStateNames[s]
	}
	return fmt.Sprintf("TaskState(%d)", uint8(s))
}

// Terminal reports whether the task has ended for good.
func (s TaskState) Terminal() bool {
	switch s {
	case Finished, Failed, Killed, Errored, Lost, Dropped, Gone, GoneByOperator:
		return true
	default:
		return false
	}
}

// Reason says more of a state, with the numbers of the Mesos API.
type Reason uint8

const (
	ReasonNone                      Reason = 255 // not in the API: no reason is given
	ReasonContainerLaunchFailed     Reason = 21
	ReasonContainerLimitation       Reason = 19
	ReasonContainerLimitationDisk   Reason = 20
	ReasonContainerLimitationMemory Reason = 8
	ReasonExecutorTerminated        Reason = 1 // the shim died
	ReasonFrameworkRemoved          Reason = 3
	ReasonInvalidOffers             Reason = 6
	ReasonReconciliation            Reason = 9
	ReasonAgentDisconnected         Reason = 10
	ReasonAgentRemoved              Reason = 11
	ReasonAgentRemovedByOperator    Reason = 31
	ReasonAgentReregistered         Reason = 32
	ReasonAgentRestarted            Reason = 12
	ReasonAgentUnknown              Reason = 13
	ReasonTaskKilledDuringLaunch    Reason = 30
	ReasonTaskHealthStatusUpdated   Reason = 29
	ReasonTaskInvalid               Reason = 14
	ReasonTaskUnknown               Reason = 16
)

var reasonNames = map[Reason]string{
	ReasonContainerLaunchFailed: "CONTAINER_LAUNCH_FAILED", ReasonContainerLimitation: "CONTAINER_LIMITATION",
	ReasonContainerLimitationDisk: "CONTAINER_LIMITATION_DISK", ReasonContainerLimitationMemory: "CONTAINER_LIMITATION_MEMORY",
	ReasonExecutorTerminated: "EXECUTOR_TERMINATED", ReasonFrameworkRemoved: "FRAMEWORK_REMOVED",
	ReasonInvalidOffers: "INVALID_OFFERS", ReasonReconciliation: "RECONCILIATION", ReasonAgentDisconnected: "AGENT_DISCONNECTED",
	ReasonAgentRemoved: "AGENT_REMOVED", ReasonAgentRemovedByOperator: "AGENT_REMOVED_BY_OPERATOR",
	ReasonAgentReregistered: "AGENT_REREGISTERED", ReasonAgentRestarted: "AGENT_RESTARTED", ReasonAgentUnknown: "AGENT_UNKNOWN",
	ReasonTaskKilledDuringLaunch: "TASK_KILLED_DURING_LAUNCH", ReasonTaskHealthStatusUpdated: "TASK_HEALTH_CHECK_STATUS_UPDATED",
	ReasonTaskInvalid: "TASK_INVALID", ReasonTaskUnknown: "TASK_UNKNOWN",
}

// String is the name in the Mesos API without REASON_; of ReasonNone it is empty.
func (r Reason) String() string {
	if r == ReasonNone {
		return ""
	}
	if name, ok := reasonNames[r]; ok {
		return name
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Source is who has made an update.
type Source uint8

const (
	SourceMaster   Source = 0
	SourceAgent    Source = 1
	SourceExecutor Source = 2
)

// TaskStatus is what is told of a task: a status update if ID is not zero, which is sent
// until it is acknowledged, or an answer of a master's.
type TaskStatus struct {
	Task      TaskKey
	Agent     AgentID
	Container ContainerID
	State     TaskState
	Reason    Reason
	Source    Source
	Message   string
	ID        UpdateID
	// Time is by the clock of who made it, as Unix time.
	Time time.Duration
	// ExitCode is the process' if it ended by itself, Signal what ended it otherwise. Both
	// mean something only in FINISHED, FAILED and KILLED with HasExit.
	HasExit          bool
	ExitCode, Signal int
	// Health is what the latest check found, if there was one.
	Health Health
	// UnreachableSince is set for UNREACHABLE: Unix time by the master's clock.
	UnreachableSince time.Duration
}

// Health is what a health check found.
type Health uint8

const (
	HealthUnknown Health = 0 // nobody has looked
	Healthy       Health = 1
	Unhealthy     Health = 2
)

// Task is what master and agent remember of one. It does not have the command: a task is
// never started a second time from it.
type Task struct {
	Key       TaskKey
	Name      string
	Agent     AgentID
	Container ContainerID
	// Term and Sequence are those of its Launch.
	Term      Term
	Sequence  uint64
	Resources Resources
	Role      string // as in the TaskInfo
	KillGrace time.Duration
	StopAfter time.Duration
	Labels    map[string]string
	// State is the latest, Acknowledging that of the update that the scheduler is to
	// acknowledge next, with AcknowledgingID, zero if none is.
	State           TaskState
	Acknowledging   TaskState
	AcknowledgingID UpdateID
	// Health is what the latest check found.
	Health Health
}
