//go:build linux

package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synod-go/synod/mesos"
)

func TestACommandRunsBesideATask(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	m.registered(1)
	info := task("t", "exec sleep 1000")
	info.Command.Environment = map[string]string{"OWN": "its own"}
	c := m.launch(info)
	m.told("t", mesos.Running)
	var out, err bytes.Buffer
	code, failure := h.Exec(t.Context(), c, Exec{Argv: []string{"sh", "-c", `pwd; echo "$OWN" >&2; cat; exit 3`}, Stdin: strings.NewReader("in\n"), Stdout: &out, Stderr: &err})
	if want := pathsOf(work, c).sandbox() + "\nin\n"; code != 3 || failure != nil || out.String() != want || err.String() != "its own\n" {
		t.Errorf("%d, %v, %q, %q, want 3 and %q", code, failure, out.String(), err.String(), want)
	}
	if code, failure := h.Exec(t.Context(), c, Exec{Argv: []string{"sh", "-c", "kill -9 $$"}}); code != 137 || failure != nil {
		t.Errorf("one that a signal ends: %d, %v", code, failure)
	}
	// Standard input that never ends is not waited for.
	open, w := io.Pipe()
	defer w.Close()
	if code, failure := h.Exec(t.Context(), c, Exec{Argv: []string{"true"}, Stdin: open}); code != 0 || failure != nil {
		t.Errorf("with an open stdin: %d, %v", code, failure)
	}
	for _, argv := range [][]string{nil, {""}, {"/no/such"}, {"nosuch"}, {"."}} {
		if _, failure := h.Exec(t.Context(), c, Exec{Argv: argv}); !errors.Is(failure, ErrCannotRun) {
			t.Errorf("%q: %v", argv, failure)
		}
	}
	if _, failure := h.Exec(t.Context(), number(99), Exec{Argv: []string{"true"}}); !errors.Is(failure, ErrNoContainer) {
		t.Errorf("another container: %v", failure)
	}
	m.kill("t")
	m.told("t", mesos.Killed)
	eventually(t, "its shim has left", func() bool {
		_, failure := h.Exec(t.Context(), c, Exec{Argv: []string{"true"}})
		return errors.Is(failure, ErrNotRunning)
	})
}

// A command ends with its context, and so does what it has started.
func TestACommandEndsWithItsCaller(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	m.registered(1)
	c := m.launch(task("t", "exec sleep 1000"))
	m.told("t", mesos.Running)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := h.Exec(ctx, c, Exec{Argv: []string{"sh", "-c", "sleep 1000 & echo $! > child; wait"}})
		done <- err
	}()
	child := ""
	eventually(t, "it runs", func() bool {
		child = strings.TrimSpace(content(work, c, "sandbox", "child"))
		return child != ""
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eventually(t, "its child has ended", func() bool {
		stat, err := os.ReadFile(filepath.Join("/proc", child, "stat"))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestSoManyCommandsAndNoMore(t *testing.T) {
	h, c, p := quiet(t)
	if err := p.writeTask(task("t", "true")); err != nil {
		t.Fatal(err)
	}
	for range maxExecs {
		h.execs <- struct{}{}
	}
	if _, err := h.Exec(t.Context(), c, Exec{Argv: []string{"true"}}); !errors.Is(err, ErrTooManyExecs) {
		t.Errorf("got %v", err)
	}
}
