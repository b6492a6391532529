package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/synod-go/synod/internal/shim/process"
)

// A Handle speaks with a shim. Its methods may be called from any goroutine; each has a
// connection of its own. A shim takes 32 at a time.
type Handle struct{ dir string }

// Open returns a handle of a run directory. It does not ask whether there is a shim.
func Open(dir string) *Handle { return &Handle{dir: dir} }

// State returns who is who.
func (h *Handle) State(ctx context.Context) (State, error) {
	r, err := h.ask(ctx, process.MessageState, process.Record{Kind: "state"})
	if err != nil {
		return State{}, err
	}
	return process.ReadState(r, "state")
}

// Wait returns how the task ended, when it has. A shim that has left or dies leaves that in its
// file or not at all: then it is ErrNoShim.
func (h *Handle) Wait(ctx context.Context) (Exit, error) {
	r, err := h.ask(ctx, process.MessageWait, process.Record{Kind: "wait"})
	if errors.Is(err, ErrNoShim) {
		saved, there, failure := readRecord(h.dir, process.ExitFile)
		if failure != nil || !there {
			return Exit{}, errors.Join(err, failure)
		}
		r, err = saved, nil
	}
	if err != nil {
		return Exit{}, err
	}
	return process.ReadExit(r)
}

// Signal sends a signal to the task's process group.
func (h *Handle) Signal(ctx context.Context, signal syscall.Signal) error {
	r := process.Record{Kind: "signal"}
	r.AddInt("signal", int64(signal))
	_, err := h.ask(ctx, process.MessageSignal, r)
	return err
}

// Kill ends the task: SIGTERM, and SIGKILL to all of it when grace is over. It returns when
// that has begun; Wait returns when it is done. A later Kill can shorten the grace.
func (h *Handle) Kill(ctx context.Context, grace time.Duration) error {
	r := process.Record{Kind: "kill"}
	r.AddInt("grace", int64(grace))
	_, err := h.ask(ctx, process.MessageKill, r)
	return err
}

// Acknowledge lets the shim leave: the exit is known for good. Without a shim it does nothing.
func (h *Handle) Acknowledge(ctx context.Context) error {
	_, err := h.ask(ctx, process.MessageAcknowledge, process.Record{Kind: "acknowledge"})
	if errors.Is(err, ErrNoShim) {
		return nil
	}
	return err
}

// ask sends one message and returns the record that answers it.
func (h *Handle) ask(ctx context.Context, kind byte, r process.Record) (process.Record, error) {
	conn, err := h.dial(ctx)
	if err != nil {
		return process.Record{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	answer, err := exchange(conn, kind, r)
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return process.Record{}, ctx.Err()
	case errors.As(err, new(*RefusedError)):
		return process.Record{}, err
	}
	return process.Record{}, fmt.Errorf("shim: %w in %s: %w", ErrNoShim, h.dir, err)
}

// dial goes by way of the open directory, whose path may be longer than a socket's.
func (h *Handle) dial(ctx context.Context) (net.Conn, error) {
	dir, err := os.Open(h.dir)
	if err != nil {
		return nil, fmt.Errorf("shim: %w in %s: %w", ErrNoShim, h.dir, err)
	}
	defer dir.Close()
	path := "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + process.Socket
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("shim: %w in %s: %w", ErrNoShim, h.dir, err)
	}
	return conn, err
}

func exchange(conn io.ReadWriter, kind byte, r process.Record) (process.Record, error) {
	if _, err := conn.Write(process.Frame(kind, r)); err != nil {
		return process.Record{}, err
	}
	var header [process.HeaderBytes]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return process.Record{}, err
	}
	got, length, err := process.Header(header[:])
	if err != nil {
		return process.Record{}, &RefusedError{Problem: err.Error()}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(conn, body); err != nil {
		return process.Record{}, err
	}
	answer, err := process.Decode(body)
	if err != nil {
		return process.Record{}, &RefusedError{Problem: err.Error()}
	}
	if got == process.MessageError {
		return process.Record{}, &RefusedError{Problem: answer.Get("problem")}
	}
	if got != kind {
		return process.Record{}, &RefusedError{Problem: "an answer to something else"}
	}
	return answer, nil
}
