//go:build linux

package shim

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/synod-go/synod/internal/shim/process"
)

// What a power cut leaves of a file that was not flushed: nothing, zeros, a part.
var brokenStates = []string{"", "\x00\x00\x00\x00", "shim 1 state\nnonce \"a", "shim 1 exit\nend\n"}

func overwrite(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAStateThatAPowerCutBrokeIsNone(t *testing.T) {
	started := State{Nonce: "n", Boot: "before", Shim: Process{PID: os.Getpid(), Start: 1}}.Record("started")
	for _, broken := range brokenStates {
		dir := t.TempDir()
		overwrite(t, dir, process.StartedFile, string(started.Encode()))
		overwrite(t, dir, process.StateFile, broken)
		if f := observe(t, dir); !f.Started || !f.Rebooted || f.HasState || f.State.Nonce != "" || f.Barred {
			t.Errorf("state %q: facts %+v", broken, f)
		}
		if err := KillOrphans(t.Context(), dir); err != nil {
			t.Errorf("state %q: %v", broken, err)
		}
		overwrite(t, dir, process.StartedFile, broken) // that is durable, so this is no power cut
		if f, err := Observe(dir); err == nil {
			t.Errorf("started %q: facts %+v", broken, f)
		}
	}
}

func TestOrphansAreFoundWithoutTheState(t *testing.T) {
	spec := inDir(t, "exec sleep 1000")
	killShim(t, start(t, spec))
	overwrite(t, spec.Dir, process.StateFile, brokenStates[1])
	if f := observe(t, spec.Dir); !f.TaskAlive || f.ShimAlive || f.HasState {
		t.Errorf("facts %+v", f)
	}
	if err := KillOrphans(t.Context(), spec.Dir); err != nil {
		t.Fatal(err)
	}
	if f := observe(t, spec.Dir); f.TaskAlive {
		t.Errorf("afterwards facts %+v", f)
	}
}

// It may be stopped for a moment, or the machine too busy for it to answer.
func TestAShimThatDoesNotAnswerIsKnownByWhatItHasStarted(t *testing.T) {
	spec := inDir(t, "exec sleep 1000")
	s, err := start(t, spec).State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(spec.Dir, process.StateFile)); err != nil {
		t.Fatal(err)
	}
	if err := process.SignalProcess(s.Shim, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	f := observe(t, spec.Dir)
	if err := process.SignalProcess(s.Shim, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if !f.ShimAlive || !f.Started || f.HasState || f.Unsettled() {
		t.Errorf("facts %+v", f)
	}
	eventually(t, "it answers", func() bool { f = observe(t, spec.Dir); return f.HasState })
	if !f.ShimAlive || !f.TaskAlive || f.State.Task != s.Task {
		t.Errorf("when it answers: facts %+v, want %+v", f, s)
	}
}
