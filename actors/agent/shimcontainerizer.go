package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/synod-go/synod/internal/shim"
	"github.com/synod-go/synod/mesos"
)

// shimContainerizer runs tasks as processes of the agent's machine, each under its shim.
type shimContainerizer struct{ h *Handle }

func (s *shimContainerizer) start(ctx context.Context, at place, task mesos.TaskInfo) error {
	err := s.h.cfg.start(ctx, s.h.spec(at.paths, task))
	if refused, is := errors.AsType[*shim.RefusedError](err); is {
		return &notStartedError{refused.Problem}
	}
	if errors.Is(err, shim.ErrUnsupported) {
		return &notStartedError{err.Error()}
	}
	return err
}

func (s *shimContainerizer) observe(_ context.Context, at place) (mesos.Facts, error) {
	f, err := shim.Observe(at.paths.run())
	return factsOf(f), err
}

func (s *shimContainerizer) wait(ctx context.Context, at place) (mesos.ContainerExit, error) {
	exit, err := shim.Open(at.paths.run()).Wait(ctx)
	return exitOf(exit), err
}

func (s *shimContainerizer) kill(ctx context.Context, at place, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := shim.Open(at.paths.run()).Kill(ctx, grace)
	if errors.Is(err, shim.ErrNoShim) {
		return errors.Join(errNothingThere, err)
	}
	return err
}

// saved lets the shim leave if it has written how the task ended: on a full disk nobody else may know it.
func (s *shimContainerizer) saved(at place) {
	if s.h.hasEnded(at.id) {
		s.forget(at)
	}
}

// forget lets a shim leave. If it hears nothing it leaves by itself.
func (s *shimContainerizer) forget(at place) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := shim.Open(at.paths.run()).Acknowledge(ctx); err != nil {
		s.h.cfg.Logger.Debug("a shim was not let go", "container", at.id, "reason", err)
	}
}

func (s *shimContainerizer) alive(_ context.Context, at place) bool {
	f, err := shim.Observe(at.paths.run())
	return err != nil || f.LockHeld || f.TaskAlive
}

func (s *shimContainerizer) exec(ctx context.Context, at place, task mesos.TaskInfo, command mesos.Command, e Exec) (int, error) {
	state, err := shim.Open(at.paths.run()).State(ctx)
	if errors.Is(err, shim.ErrNoShim) || err == nil && state.Task.PID == 0 {
		return 0, ErrNotRunning
	}
	if err != nil {
		return 0, err
	}
	return execBeside(ctx, state, commandSpec(at.paths, task, command), at.paths.sandbox(), e)
}

func (s *shimContainerizer) address(_ context.Context, _ place, _ mesos.TaskInfo, port uint16) (string, error) {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))), nil
}

func (s *shimContainerizer) logs(ctx context.Context, at place, o LogOptions, w io.Writer) error {
	if _, err := os.Stat(at.paths.dir); err != nil {
		return ErrNoContainer
	}
	return s.h.savedLogs(ctx, at, o, w)
}
