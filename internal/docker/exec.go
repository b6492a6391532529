package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// ExecSpec is a command to run beside a container's process, in the container's working directory.
type ExecSpec struct {
	Argv           []string
	Env            []string // on top of the container's
	User           string   // "" is the container's
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Exec runs a command in a container and returns its exit code. When ctx ends the command is not ended, for
// which there is no call: it has lost its input and output. Without Stdin it has none; a Read of it that blocks
// may outlive Exec. ErrNotRunning and ErrCannotRun say that nothing has run; after ErrNoEngine it may have. Errors of
// the writers are returned as they are.
func (e *Engine) Exec(ctx context.Context, id string, s ExecSpec) (int, error) {
	c, err := e.find(ctx, "exec", id)
	if err != nil {
		return 0, err
	}
	var exec string
	err = e.ask(ctx, "exec", func(ctx context.Context, conn *connection) error {
		r, err := conn.api.ExecCreate(ctx, c.ID, client.ExecCreateOptions{
			Cmd: s.Argv, Env: s.Env, User: s.User, AttachStdin: s.Stdin != nil, AttachStdout: true, AttachStderr: true,
		})
		if exec = r.ID; err == nil && exec == "" {
			err = errors.New("the engine's answer has no id")
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	out := &output{w: s.Stdout}
	if err := e.attach(ctx, exec, s, out); err != nil {
		return 0, err
	}
	return e.codeOf(ctx, exec, out)
}

// attach starts a command and passes its input and output on, until it has closed both of its outputs. An engine
// that has not started it when ctx's deadline passes has not answered.
func (e *Engine) attach(ctx context.Context, exec string, s ExecSpec, out *output) error {
	r, err := e.conn.Load().raw.ExecAttach(ctx, exec, client.ExecAttachOptions{})
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: exec: %w", ErrNoEngine, ctx.Err())
	case err != nil:
		return unlessEnded(ctx, "exec", wrongUpgrade(err))
	}
	defer r.Close()
	defer context.AfterFunc(ctx, r.Close)()
	if s.Stdin != nil {
		go func() {
			_, _ = io.Copy(r.Conn, s.Stdin) // If it does not take its input, that is its business.
			_ = r.CloseWrite()
		}()
	}
	return e.orHangs(ctx, exec, split("exec", r.Reader, out, s.Stderr))
}

// askTime is for a question whose answer decides of what a deadline tells.
const askTime = 2 * time.Second

// orHangs makes of an error that ctx's deadline has caused ErrNoEngine if the engine has not started the command, as it promises before it
// does, or does not tell of it: then nothing is said of the command.
func (e *Engine) orHangs(ctx context.Context, exec string, err error) error {
	if err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) || !errors.Is(err, ErrNoEngine) {
		return unlessEnded(ctx, "exec", err)
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
	defer cancel()
	r, asked := e.conn.Load().api.ExecInspect(within, exec, client.ExecInspectOptions{})
	if asked != nil || r.PID == 0 {
		return fmt.Errorf("%w: exec: it does not start the command: %w", ErrNoEngine, ctx.Err())
	}
	return unlessEnded(ctx, "exec", err)
}

// wrongUpgrade makes one of our errors of the library's, which of a refusal keeps the status alone.
func wrongUpgrade(err error) error {
	_, after, _ := strings.Cut(err.Error(), "unable to upgrade to tcp, received ")
	switch status, _ := strconv.Atoi(after); {
	case status == http.StatusConflict, status == http.StatusNotFound:
		return refused("exec", "the container has ended", ErrNotRunning)
	case status >= http.StatusBadRequest && status != http.StatusServiceUnavailable:
		return refused("exec", err.Error(), nil)
	}
	return wrong("exec", err)
}

// maxPoll bounds the time between two questions for the end of a command whose output has ended.
const maxPoll = 100 * time.Millisecond

// codeOf returns how a command ended. Its output may have ended a little before.
func (e *Engine) codeOf(ctx context.Context, exec string, out *output) (int, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, maxPoll) {
		var r client.ExecInspectResult
		err := e.ask(ctx, "exec", func(ctx context.Context, conn *connection) (err error) {
			r, err = conn.api.ExecInspect(ctx, exec, client.ExecInspectOptions{})
			return err
		})
		switch {
		case errors.Is(err, ErrNoEngine):
			return 0, e.orHangs(ctx, exec, err)
		case err != nil: // It has forgotten all commands when it was started again.
			return 0, fmt.Errorf("%w: exec: how the command ended is not known: %s", ErrNoEngine, cut(err.Error()))
		case !r.Running && r.PID == 0 && (r.ExitCode == 126 || r.ExitCode == 127):
			return 0, out.neverRan()
		case !r.Running:
			return r.ExitCode, out.flush()
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("docker: exec: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// output passes on what a command writes. Why a command could not be started the engine writes to its output
// too: what begins like that is kept until it is known.
type output struct {
	w    io.Writer
	kept []byte
	all  bool // nothing more is kept
	// first is the beginning of what was passed on.
	first string
}

// whyNot is how an engine begins to say why it could not start a command.
var whyNot = []string{"OCI runtime exec failed", "unable to find user", "unable to find group", "cannot exec in a"}

func (o *output) Write(p []byte) (int, error) {
	if !o.all {
		o.kept = append(o.kept, p...)
		if len(o.kept) <= maxWords && mayBe(string(o.kept)) {
			return len(p), nil
		}
		o.all = true
		return len(p), o.flush()
	}
	return (&sink{w: o.w}).Write(p)
}

// mayBe reports whether a text is the beginning of the engine's, or begins with it.
func mayBe(text string) bool {
	for _, why := range whyNot {
		n := min(len(text), len(why))
		if text[:n] == why[:n] {
			return true
		}
	}
	return false
}

// flush passes on what was kept.
func (o *output) flush() error {
	kept := o.kept
	if o.kept = nil; len(kept) == 0 {
		return nil
	}
	o.first = string(kept[:min(len(kept), maxWords)])
	_, err := (&sink{w: o.w}).Write(kept)
	return err
}

func (o *output) neverRan() error {
	words := o.first + string(o.kept) // One of them is empty.
	if strings.Contains(words, "not running") || strings.Contains(words, "stopped container") {
		return refused("exec", words, ErrNotRunning)
	}
	return refused("exec", words, ErrCannotRun)
}
