package mesos

import "time"

// Messages between a master and an agent. They may be lost, doubled and reordered. Each
// of a master's carries its Term; an agent takes none of a lower Term than the highest
// it has seen.

// Register is an agent's, again and again until it is answered: for the first time with no
// ID in Info, otherwise with what it has. Answered with Registered or Shutdown.
type Register struct {
	Info AgentInfo
	// Boot is the kernel's boot id.
	Boot string
	// Attempt tells this Register from every other of the agent, for ever: the answer
	// repeats it, and none but the answer to the last one counts. Never 0.
	Attempt uint64
	// Sequence counts the agent's Registers on one link, from 1, so that an earlier one that
	// comes late is known.
	Sequence uint64
	// Term is the highest that the agent has seen. Of the master's own it says that Tasks is
	// the whole truth: no Launch of an earlier master can add to it any more.
	Term Term
	// Frameworks are those of the Tasks, which are all that are not done.
	Frameworks []FrameworkInfo
	Tasks      []Task
}

// Registered is the answer: the agent is admitted, in the registry, by the master of Term.
// Its updates are sent anew. Frameworks that have been removed are to be shut down. Of Missing, tasks that
// the master knows there, not terminal, and the agent did not bring in the Register of that
// Attempt, it tells DROPPED, unless it has them after all: their Launch may have come since.
type Registered struct {
	Agent   AgentID
	Term    Term
	Attempt uint64
	Removed []FrameworkID
	Missing []Task
}

// Shutdown tells an agent to kill all its tasks and not to come back under its ID.
type Shutdown struct {
	Agent  AgentID
	Term   Term
	Reason string
}

// Ping is a master's to each agent; Pong the answer. Connected is false if the master does
// not hold the agent for registered: it is to register again. Sequence counts from 1. Heard
// is the highest Sequence of which the master has the Pong, 0 if of none: by it the agent
// knows until when it was surely heard, and stops in time what must not run cut off.
type Ping struct {
	Term      Term
	Sequence  uint64
	Heard     uint64
	Connected bool
}

// Pong answers a Ping.
type Pong struct {
	Agent    AgentID
	Term     Term
	Sequence uint64
}

// Launch is a master's: start the task in that container, unless the container was ever
// seen. Answered by status updates. Sequence counts, from 1, the containers that the master
// of Term has minted, for whichever agent: an agent does not remember for ever which it has seen,
// but for ever up to which Term and Sequence it takes none that it does not remember.
type Launch struct {
	Term      Term
	Sequence  uint64
	Framework FrameworkInfo
	Task      TaskInfo
	Container ContainerID
}

// Kill is a master's. Answered by status updates.
type Kill struct {
	Term Term
	Task TaskKey
	// Grace overrides the task's if not 0.
	Grace time.Duration
}

// ShutdownFramework is a master's: kill all tasks of a framework that is removed.
type ShutdownFramework struct {
	Term      Term
	Framework FrameworkID
}

// StatusUpdate is an agent's, until it is acknowledged. Latest is the task's newest state,
// which may be terminal while older updates wait: its resources are free.
type StatusUpdate struct {
	Status TaskStatus
	Latest TaskState
}

// Acknowledge is a scheduler's by way of the master.
type Acknowledge struct {
	Term Term
	Task TaskKey
	ID   UpdateID
}
