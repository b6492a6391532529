//go:build linux

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/shim"
	"github.com/synod-go/synod/mesos"
)

func readLog(t *testing.T, h *Handle, o LogOptions) (text string, offset int64) {
	t.Helper()
	var out bytes.Buffer
	if o.Stream == "" {
		o.Stream = "stdout"
	}
	o.Begin = func(at int64) { offset = at }
	if err := h.Logs(t.Context(), number(7), o, &out); err != nil {
		t.Fatalf("%+v: %v", o, err)
	}
	return out.String(), offset
}

func TestALogIsReadAcrossItsRotation(t *testing.T) {
	h, _, p := quiet(t)
	for _, c := range []struct {
		older, newer string
		o            LogOptions
		want         string
		offset       int64
	}{
		{"", "", LogOptions{}, "", 0},
		{"", "a\nb\nc\n", LogOptions{}, "a\nb\nc\n", 0},
		{"", "a\nb\nc\n", LogOptions{Tail: 1}, "c\n", 4},
		{"", "a\nb\nc", LogOptions{Tail: 2}, "b\nc", 2},
		{"", "a\nb\n", LogOptions{Tail: 9}, "a\nb\n", 0},
		{"", "a\nb\n", LogOptions{Tail: -1}, "a\nb\n", 0},
		{"", "a\nb\n", LogOptions{From: 3}, "\n", 3},
		{"", "a\nb\n", LogOptions{From: 99}, "", 4},
		{"1\n2\n", "a\nb\n", LogOptions{}, "1\n2\na\nb\n", 0},
		{"1\n2\n", "a\nb\n", LogOptions{Tail: 2}, "a\nb\n", 4},
		{"1\n2\n", "a\nb\n", LogOptions{Tail: 3}, "2\na\nb\n", 2},
		{"1\n2\n", "a\nb\n", LogOptions{From: 2}, "2\na\nb\n", 2},
		{"1\n2\n", "a\nb\n", LogOptions{From: 6}, "b\n", 6},
		{"1\n2\n", "", LogOptions{Tail: 1}, "2\n", 2},
	} {
		for name, text := range map[LogStream]string{"stdout.1": c.older, "stdout": c.newer} {
			_ = os.Remove(p.log(name)) // it may not be there
			if text != "" {
				write(t, text, p.log(name))
			}
		}
		if got, offset := readLog(t, h, c.o); got != c.want || offset != c.offset {
			t.Errorf("%q, %q, %+v: %q at %d, want %q at %d", c.older, c.newer, c.o, got, offset, c.want, c.offset)
		}
	}
	long := strings.Repeat("x", 200<<10)
	write(t, "first\n"+long+"\nlast\n", p.log("stdout"))
	if got, _ := readLog(t, h, LogOptions{Tail: 2}); got != long+"\nlast\n" {
		t.Errorf("two lines of which one is long: %d bytes", len(got))
	}
	for _, stream := range []LogStream{"", "x", "../task", "stdout.1"} {
		if err := h.Logs(t.Context(), number(7), LogOptions{Stream: stream}, &bytes.Buffer{}); !errors.Is(err, ErrNoFile) {
			t.Errorf("stream %q: %v", stream, err)
		}
	}
}

// signalling tells what was written to it.
type signalling struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (s *signalling) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *signalling) until(t *testing.T, want string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the log is %.40q", want), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.text.String() == want
	})
}

func TestAFollowedLogGoesOnOverRotationsAndEndsWithItsTask(t *testing.T) {
	h, _, p := quiet(t)
	out := &signalling{changed: make(chan struct{}, 1)}
	done := make(chan error, 1)
	go func() { done <- h.Logs(t.Context(), number(7), LogOptions{Stream: "stdout", Follow: true}, out) }()
	write(t, "a\n", p.log("stdout"))
	out.until(t, "a\n")
	f, err := os.OpenFile(p.log("stdout"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, _ = f.WriteString("b\n")
	if err := os.Rename(p.log("stdout"), p.log("stdout.1")); err != nil {
		t.Fatal(err)
	}
	write(t, "c\n", p.log("stdout"))
	out.until(t, "a\nb\nc\n")
	write(t, "c\nd\n", p.log("stdout"))
	write(t, "", p.exit())
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	out.until(t, "a\nb\nc\nd\n")
}

// A task that was never started, or whose shim was killed, leaves no exit.
func TestAFollowedLogEndsWithATaskThatHasWrittenNoExit(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	m.mute = true // so that it is not done
	h := start(t, m, config(t, m, work))
	m.registered(1)
	none := task("none", "true")
	none.Command.URIs = []mesos.URI{{Value: filepath.Join(work, "nothing")}}
	for _, info := range []mesos.TaskInfo{none, task("killed", "echo x; exec sleep 1000")} {
		c := m.launch(info)
		out := &signalling{changed: make(chan struct{}, 1)}
		if info.ID == "killed" {
			m.told(info.ID, mesos.Running)
		} else {
			m.told(info.ID, mesos.Failed)
		}
		done := make(chan error, 1)
		go func() { done <- h.Logs(t.Context(), c, LogOptions{Stream: "stdout", Follow: true}, out) }()
		if info.ID == "killed" {
			out.until(t, "x\n")
			state, err := shim.Open(pathsOf(work, c).run()).State(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(state.Shim.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Fatalf("the log of %s has no end", info.ID)
		}
	}
}

func TestAFollowerEndsWithItsContext(t *testing.T) {
	h, _, _ := quiet(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Logs(ctx, number(7), LogOptions{Stream: "stderr", Follow: true}, &bytes.Buffer{}) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
