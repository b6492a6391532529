//go:build linux

package shim

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/synod-go/synod/internal/shim/process"
)

// Each step of the shim that leaves a trace, and what is found if it is killed before it.
func TestShimIsKilledBeforeEachStep(t *testing.T) {
	for _, c := range []struct {
		step                               string
		reported, started, state, exit, up bool // up: something of the task lives
	}{
		{step: "lock"},
		{step: "listen"},
		{step: "cgroup"},
		{step: "started"},
		{step: "exec", started: true},
		{step: "state", started: true, up: true},
		{step: "report", started: true, state: true, up: true},
		{step: "serve", reported: true, started: true, state: true, up: true},
		{step: "exit", reported: true, started: true, state: true},
		{step: "wait", reported: true, started: true, state: true, exit: true},
	} {
		t.Run(c.step, func(t *testing.T) {
			hooks.env = []string{process.FailVariable + "=" + c.step}
			defer func() { hooks.env = nil }()
			script := "echo run >>runs; exec sleep 1000"
			if c.step == "exit" || c.step == "wait" {
				script = "echo run >>runs; while [ ! -e go ]; do sleep 0.01; done; exit 9"
			}
			spec := inDir(t, script)
			if err := Start(t.Context(), spec); (err == nil) != c.reported || errors.As(err, new(*RefusedError)) {
				t.Errorf("start: %v", err)
			}
			hooks.env = nil
			if err := os.WriteFile(filepath.Join(spec.Dir, "go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			var f Facts
			eventually(t, "the shim is dead", func() bool { f = observe(t, spec.Dir); return !f.LockHeld })
			if f.Started != c.started || f.HasState != c.state || f.HasExit != c.exit || f.TaskAlive != c.up || f.ShimAlive {
				t.Errorf("facts %+v, want %+v", f, c)
			}
			if c.exit && f.Exit.Code != 9 {
				t.Errorf("exit %+v", f.Exit)
			}
			if c.up {
				eventually(t, "it runs", func() bool { return read(t, spec.Dir, "runs") != "" })
			}
			if problem := again(t, spec.Dir); problem == "" {
				t.Error("a second shim started")
			}
			if err := KillOrphans(t.Context(), spec.Dir); err != nil {
				t.Error(err)
			}
			if f := observe(t, spec.Dir); f.TaskAlive || f.Started != c.started {
				t.Errorf("afterwards facts %+v", f)
			}
			if runs := read(t, spec.Dir, "runs"); runs != "run\n" && (runs != "" || c.up || c.exit) {
				t.Errorf("runs %q", runs)
			}
		})
	}
}

// onSmallDisk returns a run directory on a disk of 64 KiB, and fills and empties it.
func onSmallDisk(t *testing.T, spec *Spec) (fill, empty func()) {
	t.Helper()
	needRoot(t)
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	spec.Dir = filepath.Join(disk, "run")
	t.Cleanup(func() {
		cleanUp(t, spec.Dir)
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(disk, "filler")
	return func() {
			if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("fill the disk: %v", err)
			}
		}, func() {
			if err := os.Remove(filler); err != nil {
				t.Error(err)
			}
		}
}

func TestFullDiskStartsNothing(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "runs")
	spec := inDir(t, "echo run >>"+ran)
	fill, _ := onSmallDisk(t, &spec)
	hooks.specWritten = func(string) { fill() }
	defer func() { hooks.specWritten = nil }()
	var refused *RefusedError
	if err := Start(t.Context(), spec); !errors.As(err, &refused) || !strings.Contains(refused.Problem, "write started: no space left on device") {
		t.Fatalf("start: %v", err)
	}
	if f := observe(t, spec.Dir); f.Started || f.LockHeld || f.HasExit {
		t.Errorf("facts %+v", f)
	}
	if problem := again(t, spec.Dir); !strings.Contains(problem, "given up") {
		t.Errorf("it was not sealed: %q", problem)
	}
	if read(t, ran) != "" {
		t.Error("it ran")
	}
}

func TestExitIsWrittenWhenThereIsRoomAgain(t *testing.T) {
	spec := inDir(t, "while [ ! -e go ]; do sleep 0.01; done; echo something; exit 11")
	spec.LogBytes = 1 << 20
	fill, empty := onSmallDisk(t, &spec)
	h := start(t, spec)
	fill()
	if err := os.WriteFile(filepath.Join(spec.Dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e := waitFor(t, h)
	if e.Code != 11 || e.LogBytesLost != int64(len("something\n")) {
		t.Errorf("exit %+v", e)
	}
	if f := observe(t, spec.Dir); f.HasExit || !f.ShimAlive {
		t.Errorf("facts %+v", f)
	}
	empty()
	eventually(t, "the exit is on disk", func() bool { return observe(t, spec.Dir).HasExit })
	if f := observe(t, spec.Dir); f.Exit != e {
		t.Errorf("exit %+v, want %+v", f.Exit, e)
	}
}

func TestTaskRunsAsItsUser(t *testing.T) {
	needRoot(t)
	if _, err := exec.LookPath("id"); err != nil {
		t.Skip(err)
	}
	spec := inDir(t, "id -u; echo again >>/dev/stdout; echo refused >runs")
	spec.User, spec.WorkDir = "nobody", "/"
	for _, logBytes := range []int64{0, 1 << 20} {
		s := spec
		s.LogBytes = logBytes
		s.Dir = filepath.Join(t.TempDir(), "run")
		e := waitFor(t, start(t, s))
		if got := read(t, s.Dir, process.StdoutFile); got != "65534\nagain\n" || e.Code == 0 {
			t.Errorf("with %d: stdout %q, exit %+v, stderr %q", logBytes, got, e, read(t, s.Dir, process.StderrFile))
		}
		cleanUp(t, s.Dir)
	}
	spec.User = "no-such-user"
	if err := Start(t.Context(), spec); !errors.As(err, new(*RefusedError)) {
		t.Errorf("start: %v", err)
	}
}
