//go:build linux

package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/shim/process"
)

func TestExitIsTrue(t *testing.T) {
	for _, c := range []struct {
		shell        string
		code, signal int
	}{{"exit 0", 0, 0}, {"exit 3", 3, 0}, {"exit 255", 255, 0}, {"kill -9 $$", 0, 9}, {"kill -TERM $$", 0, 15}} {
		t.Run(c.shell, func(t *testing.T) {
			spec := inDir(t, c.shell)
			h := start(t, spec)
			e := waitFor(t, h)
			if e.Code != c.code || e.Signal != c.signal || e.Killed || e.Failure != "" {
				t.Errorf("exit %+v, want code %d, signal %d", e, c.code, c.signal)
			}
			if age := time.Since(time.Unix(0, e.UnixNanos)); age < 0 || age > time.Minute || e.MaxRSSBytes == 0 {
				t.Errorf("ended %v ago with %d bytes", age, e.MaxRSSBytes)
			}
			if f := observe(t, spec.Dir); !f.HasExit || f.Exit != e || !f.ShimAlive || f.TaskAlive || !f.LockHeld {
				t.Errorf("facts %+v", f)
			}
			if err := h.Acknowledge(t.Context()); err != nil {
				t.Fatal(err)
			}
			var f Facts
			eventually(t, "the shim has left", func() bool { f = observe(t, spec.Dir); return !f.LockHeld })
			if f.ShimAlive || f.Exit != e {
				t.Errorf("facts %+v", f)
			}
			if got := waitFor(t, h); got != e {
				t.Errorf("from the file %+v, want %+v", got, e)
			}
			if err := h.Acknowledge(t.Context()); err != nil {
				t.Errorf("a second acknowledgement: %v", err)
			}
		})
	}
}

func TestDirectoryIsUsedOnce(t *testing.T) {
	spec := inDir(t, "echo run >>runs; exec sleep 1000")
	h := start(t, spec)
	if err := Start(t.Context(), spec); !errors.Is(err, ErrUsed) {
		t.Errorf("second start: %v", err)
	}
	if problem := again(t, spec.Dir); !strings.Contains(problem, "lock") {
		t.Errorf("second shim beside the first: %q", problem)
	}
	eventually(t, "it runs", func() bool { return read(t, spec.Dir, "runs") != "" })
	if err := h.Kill(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if e := waitFor(t, h); e.Signal != 9 || !e.Killed {
		t.Errorf("exit %+v", e)
	}
	if err := h.Acknowledge(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the shim has left", func() bool { return !observe(t, spec.Dir).LockHeld })
	if problem := again(t, spec.Dir); !strings.Contains(problem, "started here before") {
		t.Errorf("second shim after the first: %q", problem)
	}
	if runs := read(t, spec.Dir, "runs"); runs != "run\n" {
		t.Errorf("runs: %q", runs)
	}
}

// A shim that has yet to begin when its agent gave up must not begin then.
func TestWhatIsNotStartedStaysSo(t *testing.T) {
	spec := inDir(t, "echo run >>runs")
	p, err := spec.process()
	if err != nil {
		t.Fatal(err)
	}
	p.WorkDir = spec.Dir
	if err := prepare(spec.Dir, p); err != nil {
		t.Fatal(err)
	}
	if f := observe(t, spec.Dir); !f.Directory || !f.Barred || f.Started || f.LockHeld {
		t.Errorf("facts %+v", f)
	}
	if problem := again(t, spec.Dir); !strings.Contains(problem, "given up") {
		t.Errorf("a late shim: %q", problem)
	}
	if f := observe(t, spec.Dir); f.Started || f.LockHeld || f.HasExit {
		t.Errorf("facts %+v", f)
	}
	if read(t, spec.Dir, "runs") != "" {
		t.Error("it ran")
	}
	spec.Dir = filepath.Join(spec.Dir, "nothing")
	if f := observe(t, spec.Dir); f.Directory || !f.Barred || f.Started {
		t.Errorf("facts of nothing: %+v", f)
	}
	if err := Start(t.Context(), spec); !errors.Is(err, ErrUsed) {
		t.Errorf("a late start: %v", err)
	}
}

func TestTaskOutlivesItsStarter(t *testing.T) {
	for _, logBytes := range []int64{0, 1 << 20} {
		t.Run(fmt.Sprint(logBytes), func(t *testing.T) {
			spec := inDir(t, "i=0; while [ ! -e go ]; do i=$((i+1)); echo line $i; sleep 0.01; done; echo last; exit 7")
			spec.LogBytes = logBytes
			c := newStarter(t, spec)
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			line := make([]byte, 100)
			n, err := out.Read(line)
			if err != nil || string(line[:n]) != "started\n" {
				t.Fatalf("starter says %q, %v", line[:n], err)
			}
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = c.Wait() // it was killed
			written := len(read(t, spec.Dir, process.StdoutFile))
			eventually(t, "the task writes on", func() bool { return len(read(t, spec.Dir, process.StdoutFile)) > written+100 })
			if f := observe(t, spec.Dir); !f.ShimAlive || !f.TaskAlive || !f.Started || !f.LockHeld || f.HasExit {
				t.Fatalf("facts %+v", f)
			}
			s, err := Open(spec.Dir).State(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// Signals 32 and 33 are the C library's own, and make ignores them for its children.
			if status := read(t, fmt.Sprintf("/proc/%d/status", s.Task.PID)); !regexp.MustCompile(`SigIgn:\t0000000[0-3]80000000|SigIgn:\t0000000[0-3]00000000`).MatchString(status) {
				t.Errorf("the task ignores what its starter did: %s", status)
			}
			if err := os.WriteFile(filepath.Join(spec.Dir, "go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if e := waitFor(t, Open(spec.Dir)); e.Code != 7 {
				t.Errorf("exit %+v", e)
			}
			lines := strings.Split(read(t, spec.Dir, process.StdoutFile), "\n")
			for i, line := range lines[:len(lines)-2] {
				if line != fmt.Sprint("line ", i+1) {
					t.Fatalf("line %d is %q", i+1, line)
				}
			}
			if lines[len(lines)-2] != "last" {
				t.Errorf("the log ends with %q", lines[len(lines)-2])
			}
		})
	}
}

// The starter is killed when Start has come to one of its steps, or a little later: either nothing ever runs, or it runs
// once and can be taken up.
func TestStarterIsKilledWithinStart(t *testing.T) {
	started := 0
	for i := range 12 {
		spec := inDir(t, "echo run >>runs; exec sleep 1000")
		c := newStarter(t, spec)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		seen := []string{"", process.SpecFile, process.LockFile, process.Socket, process.StartedFile, process.StateFile}[i%6]
		eventually(t, "it has come so far", func() bool { _, err := os.Stat(filepath.Join(spec.Dir, seen)); return err == nil })
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // it was killed
		f := settled(t, spec.Dir)
		if f.Started {
			started++
			if !f.ShimAlive || f.HasExit {
				t.Errorf("%d: facts %+v", i, f)
			}
			eventually(t, "it runs", func() bool { return read(t, spec.Dir, "runs") == "run\n" })
		}
		if problem := again(t, spec.Dir); problem == "" {
			t.Fatalf("%d: a second shim started", i)
		}
		if got := observe(t, spec.Dir); got.Started != f.Started {
			t.Errorf("%d: was %+v, is %+v", i, f, got)
		}
		if want := map[bool]string{true: "run\n"}[f.Started]; read(t, spec.Dir, "runs") != want {
			t.Errorf("%d: runs %q, want %q", i, read(t, spec.Dir, "runs"), want)
		}
	}
	if started < 2 { // of those that are killed when that shows
		t.Errorf("%d of 12 had been started", started)
	}
}

func TestSignalsForTheShimAreIgnoredAndThoseForTheTaskArrive(t *testing.T) {
	spec := inDir(t, "trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.01; done")
	h := start(t, spec)
	eventually(t, "it is ready", func() bool { return read(t, spec.Dir, process.StdoutFile) != "" })
	s, err := h.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
		if err := process.SignalProcess(s.Shim, signal); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Signal(t.Context(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if e := waitFor(t, h); e.Code != 5 || e.Killed {
		t.Errorf("exit %+v", e)
	}
	if err := h.Signal(t.Context(), syscall.SIGUSR1); !errors.As(err, new(*RefusedError)) {
		t.Errorf("a signal after the end: %v", err)
	}
}

func TestShimLeavesAfterItsTime(t *testing.T) {
	spec := inDir(t, "exit 4")
	spec.Linger = time.Millisecond
	h := start(t, spec)
	eventually(t, "the shim has left", func() bool { f := observe(t, spec.Dir); return f.HasExit && !f.LockHeld })
	if e := waitFor(t, h); e.Code != 4 {
		t.Errorf("exit %+v", e)
	}
}

func TestWhatCannotBeExecutedSaysWhy(t *testing.T) {
	for name, change := range map[string]func(*Spec){
		"no program":   func(s *Spec) { s.Shell, s.Argv = "", []string{"no-such-program"} },
		"no directory": func(s *Spec) { s.WorkDir = "/no/such/directory" },
	} {
		t.Run(name, func(t *testing.T) {
			spec := inDir(t, "exit 0")
			change(&spec)
			var refused *RefusedError
			if err := Start(t.Context(), spec); !errors.As(err, &refused) || !strings.Contains(refused.Problem, "no such file") {
				t.Fatalf("start: %v", err)
			}
			eventually(t, "the shim has left", func() bool { return !observe(t, spec.Dir).LockHeld })
			if f := observe(t, spec.Dir); !f.Started || !f.HasExit || f.Exit.Failure != refused.Problem {
				t.Errorf("facts %+v", f)
			}
		})
	}
}

func TestAnotherBootIsSeen(t *testing.T) {
	spec := inDir(t, "exec sleep 1000")
	h := start(t, spec)
	s := killShim(t, h)
	if err := KillOrphans(t.Context(), spec.Dir); err != nil {
		t.Fatal(err)
	}
	s.Boot = "another"
	s.Task = selfProcess(t) // the pids may be somebody else's now
	for name, r := range map[string]process.Record{process.StateFile: s.Record("state"), process.StartedFile: s.Record("started")} {
		if err := os.WriteFile(filepath.Join(spec.Dir, name), r.Encode(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if f := observe(t, spec.Dir); !f.Rebooted || f.TaskAlive || f.ShimAlive || !f.Started {
		t.Errorf("facts %+v", f)
	}
	if err := KillOrphans(t.Context(), spec.Dir); err != nil {
		t.Fatal(err)
	}
}

func selfProcess(t *testing.T) Process {
	t.Helper()
	s, ok := process.ReadStat(os.Getpid())
	if !ok {
		t.Fatal("no stat of myself")
	}
	return s.Process
}

func TestPathsMayBeLongerThanASocketsCan(t *testing.T) {
	spec := inDir(t, "exit 6")
	long := filepath.Join(filepath.Dir(spec.Dir), strings.Repeat("d", 120))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	spec.Dir = filepath.Join(long, "run")
	t.Cleanup(func() { cleanUp(t, spec.Dir) })
	if e := waitFor(t, start(t, spec)); e.Code != 6 {
		t.Errorf("exit %+v", e)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	h := start(t, inDir(t, "exec sleep 1000"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { _, err := h.Wait(ctx); done <- err }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("wait: %v", err)
	}
}
