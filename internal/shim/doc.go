// Package shim starts a task's process under a shim, which owns the process, its logs and
// its exit status and outlives the program that started it: an agent can be killed, restarted
// and replaced by a newer one while its tasks run on.
//
//	agent ── Start ──▶ run directory: spec ──▶ shim (this binary again) ── exec ──▶ task
//	  │                                          │ lock, started, state, stdout, stderr, exit
//	  └── Observe, Open: the files, the socket ──┘
//
// The program that imports this package is the shim's program too: see package process,
// whose init takes over in a process that Start has made. Nothing is extracted or installed, and a
// shim goes on with the binary that it was started from when that is replaced.
//
// It leaves to others what to make of what it sees: which tasks there are, what is told
// of them, when to start one again (never in the same run directory).
//
// # Never twice
//
// A run directory is used for one start. Start makes the directory and fails if it is there.
// The shim holds a lock while it lives and writes "started" durably before the exec; a
// shim that finds that file refuses. So at most one shim executes at most once.
//
// An agent that is killed within Start may leave a shim that has yet to come so far.
// [Observe] therefore does not only look: if nothing was started and nobody has the lock, it
// takes the lock and takes the spec away, after which no shim starts anything there. What
// it says to be barred stays so.
//
// # Killing
//
// [Handle.Kill] sends SIGTERM to the task's process group and, when the grace is over, SIGKILL to
// all there is: by the task's cgroup where the kernel has cgroup.kill, and in any case to every descendant
// of the shim, which adopts those whose parents have died. What a task leaves behind
// when it ends is killed too. Of a shim that was killed itself the processes go on as
// orphans; [KillOrphans] finds them by cgroup, by session and by an environment variable,
// SYNOD_RUN, that each inherits.
//
// # Limits
//
// Memory, CPUs and processes are limited by cgroups of version 2 or 1, or a mixture. Where
// they cannot be made, as without the rights to, the task runs without: State.Enforced says
// which are held. An agent that runs as a systemd service needs KillMode=process, or a
// restart of the service kills the shims with it.
//
// Tasks that run as the same user as the agent can reach its shims. A log with a bound
// passes through the shim, so the last lines are lost with a shim that is killed; one without does not.
package shim
