package mesos

import "time"

// MasterView is a master's state at one moment, for those who only look. Nothing of it is
// changed after it was made, by anybody.
type MasterView struct {
	Term       Term
	Time       time.Duration   // Unix time at which it was made
	Agents     []AgentView     // by id
	Frameworks []FrameworkView // by id
	Tasks      []TaskView      // by framework, then task
}

// AgentView is an agent that is admitted, unreachable or gone.
type AgentView struct {
	Info AgentInfo
	// State is "registered", "disconnected", "recovered" (the master has been told of it by
	// the registry alone), "unreachable" or "gone".
	State string
	// Since is when it came to be unreachable or gone, as Unix time.
	Since time.Duration
	Drain Drain
	// Used is what its tasks have, Offered what is offered to somebody now.
	Used, Offered Resources
	Tasks         int
}

// FrameworkView is a framework that is not removed.
type FrameworkView struct {
	Info      FrameworkInfo
	Connected bool
	Since     time.Duration // as in FrameworkRecord
	Used      Resources
	Tasks     int
	Offers    int
}

// TaskView is a task that the master knows, and its latest status. Tasks that have ended are
// there until they are acknowledged, and the last MaxEndedTasks after that.
type TaskView struct {
	Task   Task
	Status TaskStatus
	// Since is when it came into its state, as Unix time by the master's clock.
	Since time.Duration
}

// MaxEndedTasks is how many tasks that are over and done with a master remembers.
const MaxEndedTasks = 1000
