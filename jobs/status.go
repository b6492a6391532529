package jobs

import (
	"time"

	"github.com/synod-go/synod/mesos"
)

// FrameworkID is the built-in framework's.
const FrameworkID mesos.FrameworkID = "synod"

// Status is a job as it is now.
type Status struct {
	Spec Spec
	// Version counts the changes of the Spec, from 1.
	Version uint64
	// State is "running", "updating", "rolling back", "stopping", "stopped", "done" (Once:
	// all instances have ended well), "failed" or "waiting" (Timed). A rollback that takes longer
	// than an update may is "failed" too, and goes on: Progress says what holds it up.
	State string
	// Progress says in words how far an update is, or why a job failed.
	Progress  string
	Instances []InstanceStatus
	// Next is when a Timed job runs next, as Unix time, 0 if not.
	Next time.Duration
}

// InstanceStatus is one instance of a job.
type InstanceStatus struct {
	Job   string
	Index int
	// Version is that of the Spec it runs.
	Version uint64
	Task    mesos.TaskID // "" if none was started
	Agent   mesos.AgentID
	State   mesos.TaskState
	Health  mesos.Health
	Since   time.Duration // Unix time of State
	// Restarts in a row so far.
	Restarts int
	Ports    []uint16
	// Image is that of its container, "" if it is none or is of a Spec of long ago.
	Image string
	// Pending says why nothing runs, if nothing does: what it needs, what would fit, what to do.
	Pending string
	// Message and exit are of the last task that has ended.
	Message          string
	HasExit          bool
	ExitCode, Signal int
}
