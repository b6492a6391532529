package agent

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/synod-go/synod/mesos"
)

// containerizer is what runs containers: shims, or a Docker engine. Its methods run beside the
// actors, from many goroutines, and end when ctx does.
type containerizer interface {
	// start starts a container, at most once for ever. nil: it runs. A *notStartedError: it
	// does not, and never will. After any other error that has to be looked at.
	start(ctx context.Context, at place, task mesos.TaskInfo) error
	// observe finds what there is. Its error is that of damaged files, or of the world (a syscall.Errno).
	observe(ctx context.Context, at place) (mesos.Facts, error)
	// wait returns how the container ended, when it has. After an error that has to be looked at.
	wait(ctx context.Context, at place) (mesos.ContainerExit, error)
	// kill has the task ended: TERM, KILL after grace. It may return before it has ended. The error
	// is errNothingThere if that has to be looked at.
	kill(ctx context.Context, at place, grace time.Duration) error
	// saved is told that the task has ended, and forget that its end was acknowledged, so that
	// nothing of the container need be kept but its files.
	saved(at place)
	forget(at place)
	// alive reports whether something may still run or write in the container's directory.
	alive(ctx context.Context, at place) bool
	// exec runs a command beside the task, and returns its exit code.
	exec(ctx context.Context, at place, task mesos.TaskInfo, command mesos.Command, e Exec) (int, error)
	// address is where health checks reach a port of the task's.
	address(ctx context.Context, at place, task mesos.TaskInfo, port uint16) (string, error)
	// logs writes a log, as Handle.Logs does.
	logs(ctx context.Context, at place, o LogOptions, w io.Writer) error
}

// place is one container's.
type place struct {
	id    mesos.ContainerID
	paths paths
	// framework whose task it is, if that is known.
	framework mesos.FrameworkID
}

// errNothingThere says that a container is not there, or not any more: look at it.
var errNothingThere = errors.New("agent: no such container")

// notStartedError says why a task has not been started and never will be.
type notStartedError struct{ problem string }

func (e *notStartedError) Error() string { return "agent: not started: " + e.problem }

// containerizerFor is what runs a task that is to be started.
func (h *Handle) containerizerFor(task *mesos.TaskInfo) containerizer {
	if task.Docker != nil {
		return h.docker
	}
	return h.shims
}

// dockerFile is in the run directory of every container that an engine runs. It is durable before
// the engine is told of the container.
const dockerFile = "docker"

// containerizerOf is what runs a container, or has run it. One that is about to be started for a
// Docker task has its task file already.
func (h *Handle) containerizerOf(c mesos.ContainerID) containerizer {
	p := pathsOf(h.cfg.Work, c)
	if p.has(dockerFile) || h.docker.lists(c) {
		return h.docker
	}
	if task, err := p.readTask(); err == nil && task.Docker != nil {
		return h.docker
	}
	return h.shims
}

// at is where a container is and what runs it.
func (h *Handle) at(c mesos.ContainerID) at {
	return at{place{id: c, paths: pathsOf(h.cfg.Work, c)}, h.containerizerOf(c)}
}
