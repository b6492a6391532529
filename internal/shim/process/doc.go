// Package process is the shim while it runs: the small process that owns one task, its
// logs and its exit status, and outlives whoever started it.
//
// It is no program of its own. Whoever imports this package can run itself again with
// [Marker] in the environment; then the init of this package takes over and never returns.
// Go initialises packages in the order of their paths once what they import is done, and
// this one imports next to nothing, so that nothing of the big program around it has been
// initialised by then: no protobuf, no HTTP, not even package os. What that saves is
// measured in docs/performance.md ("The shim"). So it must stay: this package imports syscall, strconv,
// runtime and unsafe, which architecture_test.go holds as a test.
//
// It leaves to package shim all that the agent does: writing the spec, starting, looking at
// what is there, speaking with it.
//
// # What it does, in this order
//
//	lock      an exclusive lock on a file in the run directory, which is the working directory
//	refuse    if anything was ever started here, or the spec is gone: it was sealed by an agent that gave up
//	listen    on a socket in the run directory
//	started   written and flushed, the directory too: from here on the task counts as started
//	exec      the task, in a session and, where there are any, cgroups of its own
//	state     who is who: the pids with their start times, the boot id, the cgroups
//	report    to the starter, by a pipe that is closed then
//	serve     until the task has ended and all that it left behind is killed
//	exit      how it ended, written and flushed
//	linger    until that is acknowledged, or for the time of the spec
//
// One goroutine does all of it, with poll, but for one that waits for children and the one
// that forks.
//
// # Files and messages
//
// All are records ([Record]): text, readable with cat, with a version in front and an end
// mark. Messages on the socket are frames of a version byte, a type byte, four bytes of
// length, big-endian, and a record.
package process
