package shim

import (
	"errors"
	"os"
	"time"

	"github.com/synod-go/synod/internal/shim/process"
)

// What process has, under the names that users of this package need.
type (
	// State is who is who in a run.
	State = process.State
	// Exit is how a task ended.
	Exit = process.Exit
	// Process is one of the machine's.
	Process = process.Process
)

var (
	// ErrUsed is Start's if the run directory is there already.
	ErrUsed = errors.New("run directory was used before")
	// ErrNoShim is a Handle's if its shim is gone, or has never been: Observe the directory.
	ErrNoShim = errors.New("no shim")
	// ErrUnsupported is of a system without what a shim needs, which is Linux.
	ErrUnsupported = errors.New("tasks need Linux")
)

// A RefusedError is a shim's own: it could not do what was asked. After a failed Start it says why
// nothing runs.
type RefusedError struct{ Problem string }

func (e *RefusedError) Error() string { return "shim: " + e.Problem }

// Spec is what to start.
type Spec struct {
	// Dir is the run directory, which Start makes: it must not be there, but its parent.
	Dir string
	// Argv is the program, looked for in the PATH of Env, and its arguments; or Shell is
	// a command line for /bin/sh.
	Argv  []string
	Shell string
	// Env is the whole environment but for SYNOD_RUN, NAME=value each.
	Env []string
	// User is a name or a number, with its groups; "" is the agent's own.
	User string
	// WorkDir is where the task starts. "" is the run directory.
	WorkDir string
	Limits  Limits
	// LogBytes bounds stdout and stderr each: when one has as many it becomes stdout.1 or
	// stderr.1. It is cut between lines, up to 64 KiB late. 0: no bound.
	LogBytes int64
	// Linger is how long the shim waits for Acknowledge when the task has ended. The exit
	// stays on disk in any case. Default 24 h.
	Linger time.Duration
	// Lifeline is the end for reading of a pipe on which nobody writes. When all ends for writing are closed, as by the
	// death of who holds them, the task is killed with a second's grace, and the shim leaves a second after its end.
	// nil: there is none, and the task outlives everybody. Start does not close it.
	Lifeline *os.File
	// CgroupParent is the cgroup, a relative path, below which the task gets its own.
	// Default "synod"; "-" for no cgroups.
	CgroupParent string
}

// Limits are a task's, 0 for none. State.Enforced says which are held.
type Limits struct {
	MemoryBytes int64
	MilliCPUs   int64 // 1000 is one CPU
	Pids        int64
}

const defaultLinger = 24 * time.Hour

// Facts are what a recovery decides from. No combination of them is a reason to start
// anything in the same directory.
type Facts struct {
	// Directory: there was a run directory. Without one nothing was started.
	Directory bool
	// LockHeld: somebody has the lock, which is a shim that lives, but see Unsettled.
	LockHeld bool
	// Started: the task may have been executed.
	Started bool
	// Barred: it was not, and nothing will be started here any more.
	Barred bool
	// State is who is who, if HasState. Without it ShimAlive and TaskAlive are of what the
	// shim wrote before it had a task.
	State    State
	HasState bool
	// ShimAlive and TaskAlive are by pid and start time. Without a shim TaskAlive is true for
	// any process that the task has left: an orphan.
	ShimAlive, TaskAlive bool
	// Exit is how the task ended, if HasExit.
	Exit    Exit
	HasExit bool
	// Rebooted: the machine was started anew since the task was, so nothing of it is alive.
	Rebooted bool
}

// Unsettled reports whether somebody has the lock who is no shim that is known to live: one
// that is on its way or is dying, or another agent that looks. It shows soon, so Observe again.
func (f Facts) Unsettled() bool { return f.LockHeld && !f.ShimAlive }
