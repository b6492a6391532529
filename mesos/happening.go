package mesos

// HappeningKind is what a Happening is about.
type HappeningKind string

const (
	HappeningTask      HappeningKind = "task"
	HappeningAgent     HappeningKind = "agent"
	HappeningFramework HappeningKind = "framework"
	HappeningMaster    HappeningKind = "master"
)

// Happening is something that people may want to know of. Nothing follows from it.
type Happening struct {
	Kind HappeningKind
	// Subject is a task (framework/task), an agent, a framework or a master.
	Subject string
	// Text says what has happened, in words.
	Text string
	// Status is set for a task.
	Status *TaskStatus
}
