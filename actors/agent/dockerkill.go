package agent

import (
	"cmp"
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/mesos"
)

// kill returns when the container was killed, or has ended. It tries as long as no engine answers. Another kill meanwhile may
// make its grace shorter.
func (d *dockerContainerizer) kill(ctx context.Context, at place, grace time.Duration) error {
	if d.engine == nil {
		return nil // a look tells if one comes
	}
	ctx, t, done, err := d.use(ctx, at.id)
	if err != nil {
		return err
	}
	defer done()
	if !d.mayKill(t, grace) {
		return nil
	}
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		t.killing, t.until = false, time.Time{}
	}()
	direct := false
	if grace > 0 {
		direct, err = d.signal(ctx, at, "", false)
		d.graceBegins(t)
		if err != nil {
			return asGone(err)
		}
		if !d.awaitGrace(ctx, t) {
			return ctx.Err()
		}
	}
	_, err = d.signal(ctx, at, "SIGKILL", direct)
	return asGone(err)
}

// mayKill reports whether nobody kills the container already. Who does hears that its grace is shorter now.
func (d *dockerContainerizer) mayKill(t *dockerTurns, grace time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch until := time.Now().Add(grace); {
	case !t.killing:
		t.killing, t.grace = true, grace
		return true
	case t.until.IsZero(): // it was not told yet
		t.grace = min(t.grace, grace)
	case until.Before(t.until):
		t.until = until
		select {
		case t.sooner <- struct{}{}:
		default:
		}
	}
	return false
}

// graceBegins when the container was told.
func (d *dockerContainerizer) graceBegins(t *dockerTurns) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t.until = time.Now().Add(t.grace)
}

// awaitGrace waits until a container is to be killed. false: ctx has ended before.
func (d *dockerContainerizer) awaitGrace(ctx context.Context, t *dockerTurns) bool {
	for {
		d.mu.Lock()
		left := time.Until(t.until)
		d.mu.Unlock()
		if left <= 0 {
			return true
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-t.sooner:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return false
		}
	}
}

// Of what is done without an engine.
const (
	// directAfter is how long an engine has for its first answer.
	directAfter = 3 * time.Second
	// directEvery is at which of the further attempts a process is looked for.
	directEvery = 5
)

// signal sends a signal, "" is that with which the image wants to be stopped, until an engine answers. What an engine does not do
// that is away or hangs is done without it (direct), if the process can be found, so that a task that is to end by some time ends; of an
// engine that has just been silent (urgent) nothing is asked before.
func (d *dockerContainerizer) signal(ctx context.Context, at place, name string, urgent bool) (direct bool, err error) {
	within := directAfter
	for tries := 0; ; tries++ {
		if !urgent {
			err = d.signalOnce(ctx, at, name, within)
			if !errors.Is(err, docker.ErrNoEngine) {
				return false, err
			}
		}
		if tries == 0 && !urgent {
			d.h.cfg.Logger.Warn("the Docker engine does not end a container", "container", at.id, "reason", err)
		}
		if signal := cmp.Or(name, d.stopSignal(at.id), "SIGTERM"); tries%directEvery == 0 && signalProcess(at.id, signal) {
			d.h.cfg.Logger.Warn("a container's process was sent a signal without the Docker engine", "container", at.id, "signal", signal)
			return true, nil
		}
		urgent, within = false, callTimeout
		pause(ctx, enginePause)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
}

// stopSignal is that of a container's image, "" if it says nothing or nobody has looked yet.
func (d *dockerContainerizer) stopSignal(c mesos.ContainerID) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stopSignals[c]
}

func (d *dockerContainerizer) signalOnce(ctx context.Context, at place, name string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	s, err := d.engine.Inspect(ctx, at.id.String())
	switch {
	case err != nil:
		return err
	case !s.Runs():
		return docker.ErrNotRunning
	}
	return d.engine.Kill(ctx, at.id.String(), cmp.Or(name, s.StopSignal, "SIGTERM"))
}

// asGone makes of what is said of a container that does not run that it has to be looked at.
func asGone(err error) error {
	if errors.Is(err, docker.ErrNotRunning) || errors.Is(err, docker.ErrNoContainer) || errors.Is(err, docker.ErrConflict) {
		return errors.Join(errNothingThere, err)
	}
	return err
}

func (d *dockerContainerizer) exec(ctx context.Context, at place, task mesos.TaskInfo, command mesos.Command, e Exec) (int, error) {
	if d.engine == nil {
		return 0, docker.ErrNoEngine
	}
	s := docker.ExecSpec{Argv: append([]string{command.Value}, command.Arguments...), User: cmp.Or(command.User, task.Command.User),
		Env: assignments(command.Environment), Stdin: e.Stdin, Stdout: e.Stdout, Stderr: e.Stderr}
	if command.Shell {
		s.Argv = []string{"/bin/sh", "-c", command.Value}
	}
	code, err := d.engine.Exec(ctx, at.id.String(), s)
	switch {
	case errors.Is(err, docker.ErrNotRunning) || errors.Is(err, docker.ErrNoContainer):
		err = errors.Join(ErrNotRunning, err)
	case errors.Is(err, docker.ErrCannotRun):
		err = errors.Join(ErrCannotRun, err)
	}
	return code, err
}

// address is the container's own in its network: a port of the machine's is at an address that the agent
// may not reach, and says nothing of the task if it is taken.
func (d *dockerContainerizer) address(ctx context.Context, at place, task mesos.TaskInfo, port uint16) (string, error) {
	if task.Docker == nil || d.engine == nil {
		return "", docker.ErrNoEngine
	}
	network := cmp.Or(task.Docker.Network, "bridge")
	if network == "host" {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))), nil
	}
	for _, p := range task.Docker.Ports {
		if p.Host == port {
			port = p.Container
			break
		}
	}
	s, err := d.engine.Inspect(ctx, at.id.String())
	switch {
	case errors.Is(err, docker.ErrNoContainer) || err == nil && !s.Runs():
		return "", ErrNotRunning
	case err != nil:
		return "", err
	case s.Addresses[network] == "":
		return "", errors.New("it has no address in the network " + network)
	}
	return net.JoinHostPort(s.Addresses[network], strconv.Itoa(int(port))), nil
}
