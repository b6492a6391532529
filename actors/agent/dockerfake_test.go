//go:build linux

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/mesos"
)

// fakeEngine is an engine in memory, whose containers run until the test ends them. It outlives agents.
type fakeEngine struct {
	mu         sync.Mutex
	containers map[string]*fakeContainer
	starts     map[string]int // of each container, ever
	waiting    map[chan struct{}]bool
	away       bool
	// before and after are asked at each call: an error of before has nothing done, one of after has
	// its answer lost.
	before, after func(call, id string) error
	// hangs are the calls that are not answered until it is closed.
	hangs  map[string]chan struct{}
	hung   map[string][]string // the containers of those, by call
	images map[string]bool
}

type fakeContainer struct {
	state          docker.State
	spec           docker.Spec
	signals        []string
	ignores        bool // SIGTERM
	stdout, stderr string
}

func newFakeEngine() *fakeEngine {
	return &fakeEngine{containers: map[string]*fakeContainer{}, starts: map[string]int{}, waiting: map[chan struct{}]bool{},
		hangs: map[string]chan struct{}{}, hung: map[string][]string{}, images: map[string]bool{"hello": true}}
}

// call runs f as one call, with the container of that id, nil if there is none.
func (e *fakeEngine) call(ctx context.Context, call, id string, f func(c *fakeContainer) error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e.mu.Lock()
	before, after, hang := e.before, e.after, e.hangs[call]
	if hang != nil {
		e.hung[call] = append(e.hung[call], id)
	}
	e.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return fmt.Errorf("%w: %s: %w", docker.ErrNoEngine, call, ctx.Err())
		}
	}
	if before != nil {
		if err := before(call, id); err != nil {
			return err
		}
	}
	e.mu.Lock()
	err := docker.ErrNoEngine
	if !e.away {
		err = f(e.containers[id])
	}
	e.mu.Unlock()
	if err == nil && after != nil {
		err = after(call, id)
	}
	return err
}

// change has something become of a container, and wakes everybody.
func (e *fakeEngine) change(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
	for c := range e.waiting {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (e *fakeEngine) goAway(away bool) { e.change(func() { e.away = away }) }

// hook sets what is asked at each call.
func (e *fakeEngine) hook(before, after func(call, id string) error) {
	e.change(func() { e.before, e.after = before, after })
}

// hang has a call not be answered until the returned function is called.
func (e *fakeEngine) hang(call string) (release func()) {
	hang := make(chan struct{})
	e.change(func() { e.hangs[call] = hang })
	return func() {
		e.change(func() { delete(e.hangs, call) })
		close(hang)
	}
}

// hanging are the containers of such calls.
func (e *fakeEngine) hanging(call string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.hung[call])
}

// exit ends a container that runs.
func (e *fakeEngine) exit(id mesos.ContainerID, code int) {
	e.change(func() {
		if c := e.containers[id.String()]; c != nil && c.state.Runs() {
			c.state.Status, c.state.ExitCode, c.state.Finished = "exited", code, time.Now()
		}
	})
}

// status is that of a container, "" if there is none.
func (e *fakeEngine) status(id mesos.ContainerID) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[id.String()]; c != nil {
		return c.state.Status
	}
	return ""
}

func (e *fakeEngine) started(id mesos.ContainerID) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.starts[id.String()]
}

func (e *fakeEngine) all() map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.statuses()
}

func (e *fakeEngine) statuses() map[string]string {
	all := map[string]string{}
	for id, c := range e.containers {
		all[id] = c.state.Status
	}
	return all
}

func (e *fakeEngine) Close() {}

func (e *fakeEngine) Image(ctx context.Context, name string, _ bool, load func() (io.ReadCloser, error)) error {
	return e.call(ctx, "image", "", func(*fakeContainer) error {
		if e.images[name] {
			return nil
		}
		if load == nil {
			return fmt.Errorf("%w: no registry answers", docker.ErrNoImage)
		}
		f, err := load()
		if err != nil {
			return err
		}
		e.images[name] = true
		return f.Close()
	})
}

func (e *fakeEngine) Create(ctx context.Context, s docker.Spec) error {
	return e.call(ctx, "create", s.ID, func(c *fakeContainer) error {
		if c != nil {
			return docker.ErrExists
		}
		e.containers[s.ID] = &fakeContainer{spec: s, state: docker.State{Status: "created"}, stdout: "hello\nworld\nend", stderr: "oh\n"}
		return nil
	})
}

func (e *fakeEngine) Copy(ctx context.Context, id, _, _ string) error {
	return e.call(ctx, "copy", id, func(c *fakeContainer) error {
		if c == nil {
			return docker.ErrNoContainer
		}
		return nil
	})
}

func (e *fakeEngine) Start(ctx context.Context, id string) error {
	return e.call(ctx, "start", id, func(c *fakeContainer) error {
		switch {
		case c == nil:
			return docker.ErrNoContainer
		case c.state.Status != "created":
			return docker.ErrConflict
		case c.spec.Command.Value == "/no/such":
			c.state.Error = "no such file"
			return errors.New("docker: no such file")
		}
		e.starts[id]++
		c.state.Status = "running"
		return nil
	})
}

func (e *fakeEngine) Inspect(ctx context.Context, id string) (s docker.State, err error) {
	err = e.call(ctx, "inspect", id, func(c *fakeContainer) error {
		if c == nil {
			return docker.ErrNoContainer
		}
		s = c.state
		return nil
	})
	return s, err
}

func (e *fakeEngine) List(ctx context.Context) (all map[string]string, err error) {
	err = e.call(ctx, "list", "", func(*fakeContainer) error {
		all = e.statuses()
		return nil
	})
	return maps.Clone(all), err
}

func (e *fakeEngine) Changed(string) (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	e.change(func() { e.waiting[c] = true })
	return c, func() { e.change(func() { delete(e.waiting, c) }) }
}

func (e *fakeEngine) Kill(ctx context.Context, id, signal string) error {
	return e.call(ctx, "kill", id, func(c *fakeContainer) error {
		switch {
		case c == nil:
			return docker.ErrNoContainer
		case !c.state.Runs():
			return docker.ErrNotRunning
		}
		c.signals = append(c.signals, signal)
		if signal == "SIGKILL" || !c.ignores {
			c.state.Status, c.state.ExitCode, c.state.Finished = "exited", map[string]int{"SIGKILL": 137}[signal], time.Now()
			go e.change(func() {})
		}
		return nil
	})
}

func (e *fakeEngine) Withdraw(ctx context.Context, id string) error {
	return e.Remove(ctx, id, false)
}

func (e *fakeEngine) Remove(ctx context.Context, id string, force bool) error {
	return e.call(ctx, "remove", id, func(c *fakeContainer) error {
		if c != nil && c.state.Runs() && !force {
			return docker.ErrConflict
		}
		delete(e.containers, id)
		go e.change(func() {})
		return nil
	})
}

func (e *fakeEngine) Logs(ctx context.Context, id, stream string, follow bool, w io.Writer) error {
	changed, done := e.Changed(id)
	defer done()
	for written := 0; ; {
		text, runs := "", false
		err := e.call(ctx, "logs", id, func(c *fakeContainer) error {
			if c == nil {
				return docker.ErrNoContainer
			}
			text, runs = map[string]string{"stdout": c.stdout, "stderr": c.stderr}[stream], c.state.Runs()
			return nil
		})
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, text[written:]); err != nil {
			return err
		}
		written = len(text)
		if !follow || !runs {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (e *fakeEngine) Exec(ctx context.Context, id string, s docker.ExecSpec) (int, error) {
	err := e.call(ctx, "exec", id, func(c *fakeContainer) error {
		if c == nil || !c.state.Runs() {
			return docker.ErrNotRunning
		}
		_, err := fmt.Fprint(s.Stdout, s.Argv, s.Env, s.User)
		return err
	})
	return 7, err
}

// dockerConfig is that of an agent with a fake engine.
func dockerConfig(t testing.TB, m *master, work string, e dockerEngine) Config {
	c := config(t, m, work)
	c.engine, c.engineTime = e, 100*time.Millisecond
	return c
}

// dockerTask is a container of the image hello.
func dockerTask(id mesos.TaskID) mesos.TaskInfo {
	info := task(id, "")
	info.Command, info.Docker = mesos.Command{}, &mesos.Docker{Image: "hello"}
	return info
}
