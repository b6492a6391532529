package mesos

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// RecoverMode is what an agent does with containers of before that still run.
type RecoverMode uint8

const (
	// Reconnect takes them up again.
	Reconnect RecoverMode = iota
	// Cleanup kills them, registers nowhere, and is over when none is left: Agent.CleanedUp.
	// What became of them the next start in mode Reconnect tells.
	Cleanup
)

// AgentConfig of an Agent. The zero value of each field but Boot and Rand means its default.
type AgentConfig struct {
	// Info is what the agent says of itself. Its ID means nothing: that is in the checkpoint.
	Info AgentInfo
	// Boot is the kernel's boot id. Required.
	Boot string
	// Rand makes the ids of updates and attempts, which no other start of the agent may make
	// again, and the backoff. Required.
	Rand *rand.Rand
	// Recover is what is done with containers of before.
	Recover RecoverMode

	// MaxTasks bounds the tasks that have not ended, and those of one framework that are not
	// done: it may be away, and acknowledge no ends. Beyond it launches are refused, beyond
	// twice as many of a framework not even that: the master asks again for what is missing.
	// Default 1000.
	MaxTasks int
	// MaxFrameworks bounds the frameworks that have tasks which are not done. Of more than
	// that no launch is taken. Default 100.
	MaxFrameworks int
	// MaxBytes bounds the records of all tasks that are not done and of their frameworks, which
	// a Register brings at once. Launches are refused from half of it on, from all of it on nothing is
	// taken. Default 4 MiB.
	MaxBytes int
	// MaxDone bounds the containers that are remembered after their end, and the tasks
	// that are remembered because they were killed before they came. Default 4096.
	MaxDone int

	// RegisterFactor is how long an agent waits at most until it registers with a new master
	// or over a new link, unless it was just started. From attempt to attempt it doubles, up
	// to RegisterMost. Defaults 1 s and 1 min.
	RegisterFactor, RegisterMost time.Duration
	// RetryFirst is how long an update waits for its acknowledgement until it is sent
	// again. Each time it doubles, up to RetryMost. Defaults 10 s and 10 min.
	RetryFirst, RetryMost time.Duration
	// PingTimeout is how long an agent believes in a master that sends no ping.
	// Default 75 s.
	PingTimeout time.Duration
	// KillGrace is that of a task without one. MaxKillGrace bounds every one. Defaults 3 s
	// and 1 hour.
	KillGrace, MaxKillGrace time.Duration
	// RemovedSends is how often the end of a task is told whose framework is removed, if
	// nobody acknowledges it. Default 3.
	RemovedSends int
}

func (c AgentConfig) withDefaults() AgentConfig {
	number := func(p *int, n int) {
		if *p == 0 {
			*p = n
		}
	}
	span := func(p *time.Duration, d time.Duration) {
		if *p == 0 {
			*p = d
		}
	}
	number(&c.MaxTasks, 1000)
	number(&c.MaxFrameworks, 100)
	number(&c.MaxBytes, 4<<20)
	number(&c.MaxDone, 4096)
	number(&c.RemovedSends, 3)
	span(&c.RegisterFactor, time.Second)
	span(&c.RegisterMost, time.Minute)
	span(&c.RetryFirst, 10*time.Second)
	span(&c.RetryMost, 10*time.Minute)
	span(&c.PingTimeout, 75*time.Second)
	span(&c.KillGrace, 3*time.Second)
	span(&c.MaxKillGrace, time.Hour)
	return c
}

func (c AgentConfig) check() error {
	bad := func(field, rule string) error { return fmt.Errorf("mesos: AgentConfig.%s: %s", field, rule) }
	switch {
	case c.Boot == "":
		return bad("Boot", "is required")
	case c.Rand == nil:
		return bad("Rand", "is required")
	case c.Recover > Cleanup:
		return bad("Recover", "is Reconnect or Cleanup")
	case c.MaxTasks < 1:
		return bad("MaxTasks", "is at least 1")
	case c.MaxFrameworks < 1:
		return bad("MaxFrameworks", "is at least 1")
	case c.MaxBytes < 1:
		return bad("MaxBytes", "is at least 1")
	case c.MaxDone < 1:
		return bad("MaxDone", "is at least 1")
	case c.RemovedSends < 1:
		return bad("RemovedSends", "is at least 1")
	case c.RegisterFactor < 0 || c.RegisterMost < c.RegisterFactor:
		return bad("RegisterMost", "is at least RegisterFactor, which is positive")
	case c.RetryFirst < 0 || c.RetryMost < c.RetryFirst:
		return bad("RetryMost", "is at least RetryFirst, which is positive")
	case c.PingTimeout < 0:
		return bad("PingTimeout", "is positive")
	case c.KillGrace < 0 || c.MaxKillGrace < c.KillGrace:
		return bad("MaxKillGrace", "is at least KillGrace, which is positive")
	}
	return nil
}

// ResourcesError says that what an agent has is less than its running tasks use.
type ResourcesError struct {
	Have, Used Resources
}

func (e *ResourcesError) Error() string {
	return fmt.Sprintf("mesos: the agent's resources %v do not hold what its running tasks use, %v: start it with at least that, "+
		"or let it clean up first", e.Have, e.Used)
}

// Output is what an agent wants done, in the order of the fields: each after all before it
// have been carried out. If something happens in between, the rest must not be.
type Output struct {
	// Save is to be durable before anything below.
	Save []Record
	// Bar: see to it that these can never start, if nothing has started them, and tell what
	// there is by Observed.
	Bar []ContainerID
	// Look: somebody has the lock of these who is not known for a shim that lives. Tell again
	// what there is by Observed, after a moment.
	Look []ContainerID
	// Start each in its run directory, under its lock, if it is not barred; tell how that
	// went by Event.
	Start []StartContainer
	// Stop each, also one that is still being started, and tell of its end by Event. A
	// repeated one may have less grace.
	Stop []StopContainer
	// Send to the leading master: Register, Pong and StatusUpdate.
	Send []any
	// Forget what is there of these: they have ended and everybody knows. Their sandboxes
	// may be collected; what keeps them from being started stays until then. May be repeated.
	Forget []ContainerID
	// Detect: the leading master is silent. Drop the link, look who leads, and tell by
	// Connected.
	Detect bool
}

// StartContainer is an order. It comes at most once for a container.
type StartContainer struct {
	Container ContainerID
	Framework FrameworkInfo
	Task      TaskInfo
}

// StopContainer is an order: TERM, and KILL after Grace for all that is left. With Grace 0
// only the latter.
type StopContainer struct {
	Container ContainerID
	Grace     time.Duration
}

// ContainerEvent is what the host tells of a container.
type ContainerEvent struct {
	Container ContainerID
	Kind      ContainerEventKind
	// Exit is set for ContainerExited.
	Exit ContainerExit
	// Limit is set for ContainerLimited: ReasonContainerLimitationMemory or such.
	Limit Reason
	// Health is set for ContainerChecked.
	Health Health
	// Message says more.
	Message string
}

// ContainerEventKind says what has happened.
type ContainerEventKind uint8

const (
	// ContainerStarted: its process is running.
	ContainerStarted ContainerEventKind = iota + 1
	// ContainerExited: nothing of it is left.
	ContainerExited
	// ContainerNotStarted: it was not started and cannot be any more.
	ContainerNotStarted
	// ContainerLimited: it went beyond a limit, and is to be ended.
	ContainerLimited
	// ContainerChecked: a health check has found what none before it had found.
	ContainerChecked
	// ContainerUnhealthy: too many checks in a row have failed, and it is to be ended.
	ContainerUnhealthy
)
