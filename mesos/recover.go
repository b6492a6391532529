package mesos

import "fmt"

// Facts are what an observer finds of a container: in the run directory that its shim
// writes, and among the processes.
type Facts struct {
	// Untold says that nothing can be told now and perhaps not for long: the engine whose
	// container it is does not answer. The other facts mean nothing then.
	Untold bool
	// Engine says that an engine tells of a container of its own: it knows what was there before
	// the machine was started anew, so that Rebooted is not for the core to conclude.
	Engine bool
	// Rebooted says that the machine was started anew since the task was staged: no process
	// of before can be alive, and a process id of before means nothing.
	Rebooted bool
	// Barred says that nothing can start the container any more: the observer has the lock
	// itself and left a mark by which every later shim gives up. Without it a shim that the
	// agent before had just started could come after the look that found nothing.
	Barred bool
	// Locked says that a shim has taken the lock at some time, ShimAlive that it lives.
	Locked, ShimAlive bool
	// LockHeld says that somebody has the lock now. Without ShimAlive that is a shim that is
	// on its way, is dying or could not be told from another process, or another observer.
	LockHeld bool
	// Started says that the shim has written that it starts the task, which it does before.
	Started bool
	// TaskAlive says that the process which the shim has written down lives: by its id and
	// the time of its start.
	TaskAlive bool
	// Exit is what the shim has written of the end, nil if nothing.
	Exit *ContainerExit
}

// ContainerExit is how a container has ended. The zero value says that nobody knows how.
type ContainerExit struct {
	// Known says that Code and Signal are the process'.
	Known        bool
	Code, Signal int
	// NotStarted says that the command could not be started.
	NotStarted bool
	// OutOfMemory says that the limit of its memory has ended it.
	OutOfMemory bool
	// Message says more, at most MaxStatusMessage bytes of it are used.
	Message string
}

// Verdict is what a recovery does about a container. None of them starts it.
type Verdict uint8

const (
	// Adopt: it runs, and its shim will tell how it ends.
	Adopt Verdict = iota + 1
	// Await: its shim is there and has not started it yet. It will, or tell why not.
	Await
	// Bar: nothing has started it so far. Make sure that nothing will, and look again.
	Bar
	// LookAgain: it cannot be told now, and soon can.
	LookAgain
	// Postpone: it cannot be told, and nobody knows when it can. The recovery goes on without
	// it: the task stays in the state in which it was, nothing is said of it and nothing is started.
	Postpone
	// Orphaned: its shim is dead. Kill what is left of it, and tell when it is gone.
	Orphaned
	// NeverStarted: somebody else may start the task. Nothing here will.
	NeverStarted
	// Ended: as Facts.Exit says.
	Ended
	// Vanished: it had started and is gone, and nobody knows how it ended.
	Vanished
)

var verdictNames = [...]string{Adopt: "adopt", Await: "await", Bar: "bar", LookAgain: "look again", Orphaned: "orphaned",
	NeverStarted: "never started", Postpone: "postpone", Ended: "ended", Vanished: "vanished"}

// String is the verdict in words.
func (v Verdict) String() string {
	if v > 0 && int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("Verdict(%d)", uint8(v))
}

// Decide is the decision table of a recovery. What is Untold is postponed.
//
//	exit  rebooted  started  shim alive  lock held  task alive  barred
//	yes      -         -         -           -          -         -     Ended
//	no      yes       yes        -           -          -         -     Vanished
//	no      yes       no         -           -          -         -     NeverStarted
//	no      no        yes       yes          -          -         -     Adopt
//	no      no        no        yes          -          -         -     Await
//	no      no        -         no          yes         -         -     LookAgain
//	no      no        -         no          no         yes        -     Orphaned
//	no      no        yes       no          no         no         -     Vanished
//	no      no        no        no          no         no        no     Bar
//	no      no        no        no          no         no        yes    NeverStarted
//
// What an exit file says is the truth whatever else is found. After a reboot signs of life
// are somebody else's. While somebody has the lock nothing is said of a task whose shim is
// not seen to live: it may be that shim, and the task run on. A task that lives though its start was not written down breaks the
// shim's promise; it is killed, and never said not to have started. Locked decides nothing:
// a lock that nobody has is that of a shim that died before it started anything, or
// will soon be taken, and only the bar tells which.
func Decide(f Facts) Verdict {
	switch {
	case f.Untold:
		return Postpone
	case f.Exit != nil:
		return Ended
	case f.Rebooted && f.Started:
		return Vanished
	case f.Rebooted:
		return NeverStarted
	case f.ShimAlive && f.Started:
		return Adopt
	case f.ShimAlive:
		return Await
	case f.LockHeld:
		return LookAgain
	case f.TaskAlive:
		return Orphaned
	case f.Started:
		return Vanished
	case !f.Barred:
		return Bar
	}
	return NeverStarted
}
