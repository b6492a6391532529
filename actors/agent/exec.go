package agent

import (
	"context"
	"errors"
	"io"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/mesos"
)

// Exec is a command run beside a task: in its sandbox, with its environment, user and
// limits. It dies with the caller's connection.
type Exec struct {
	Argv []string
	// Stdin may be nil; a Read of it that blocks may outlive the command. Stdout and Stderr take
	// what it writes.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Errors of Exec.
var (
	// ErrNotRunning says that the task has ended or has not started.
	ErrNotRunning = errors.New("agent: the task is not running")
	// ErrTooManyExecs says that too many commands run beside tasks here.
	ErrTooManyExecs = errors.New("agent: too many commands run beside tasks here")
	// ErrNoEngine says that the Docker engine that runs the task does not answer, of which nothing follows for the task.
	ErrNoEngine = docker.ErrNoEngine
	// ErrCannotRun is wrapped by what is said of a command that cannot be started.
	ErrCannotRun = errors.New("agent: the command cannot be started")
)

// Exec runs a command until it ends and returns its exit code, 128 and the signal if one
// has ended it.
func (h *Handle) Exec(ctx context.Context, c mesos.ContainerID, e Exec) (int, error) {
	at := h.at(c)
	task, err := at.paths.readTask()
	if err != nil {
		return 0, err
	}
	if len(e.Argv) == 0 || e.Argv[0] == "" {
		return 0, ErrCannotRun
	}
	select {
	case h.execs <- struct{}{}:
		defer func() { <-h.execs }()
	default:
		return 0, ErrTooManyExecs
	}
	return at.containerizer.exec(ctx, at.place, task, mesos.Command{Value: e.Argv[0], Arguments: e.Argv[1:]}, e)
}
