//go:build linux

package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/shim/process"
)

// forBoth runs a test with the task in a cgroup, where there are any, and without.
func forBoth(t *testing.T, f func(t *testing.T, parent string)) {
	t.Run("session", func(t *testing.T) { f(t, "-") })
	t.Run("cgroup", func(t *testing.T) {
		s := start(t, inDir(t, "exec sleep 1000"))
		state, err := s.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if state.Isolation == "session" {
			t.Skip("no cgroup can be made here")
		}
		f(t, "")
	})
}

// pids reads a file of pids and returns the processes that have them.
func pids(t *testing.T, dir, name string, count int) (found []Process) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has %d pids", name, count), func() bool {
		return strings.Count(read(t, dir, name), "\n") >= count
	})
	for _, text := range strings.Fields(read(t, dir, name)) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := process.ReadStat(pid); ok {
			found = append(found, s.Process)
		}
	}
	return found
}

func allDead(t *testing.T, all []Process) {
	t.Helper()
	for _, p := range all {
		if p.Alive() {
			t.Errorf("process %d lives", p.PID)
		}
	}
}

// A daemon leaves its parent, which ends, and the session.
const daemonize = "setsid sh -c 'setsid sh -c \"echo \\$\\$ >>pids; exec sleep 1000\" & exit 0'; "

func TestWhatATaskLeavesBehindIsKilledWhenItEnds(t *testing.T) {
	forBoth(t, func(t *testing.T, parent string) {
		spec := inDir(t, daemonize+"while [ ! -s pids ]; do sleep 0.01; done; while [ ! -e go ]; do sleep 0.01; done; exit 8")
		spec.CgroupParent = parent
		h := start(t, spec)
		left := pids(t, spec.Dir, "pids", 1)
		if len(left) != 1 {
			t.Fatalf("the daemon is not there: %v", left)
		}
		if err := os.WriteFile(filepath.Join(spec.Dir, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if e := waitFor(t, h); e.Code != 8 {
			t.Errorf("exit %+v", e)
		}
		allDead(t, left)
		s, err := h.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range s.Cgroups {
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("cgroup %s: %v", dir, err)
			}
		}
	})
}

func TestKillSparesNobodyWhenItsGraceIsOver(t *testing.T) {
	forBoth(t, func(t *testing.T, parent string) {
		spec := inDir(t, daemonize+"trap 'echo TERM >>terms' TERM; echo $$ >>pids; while :; do sleep 0.01; done")
		spec.CgroupParent = parent
		h := start(t, spec)
		all := pids(t, spec.Dir, "pids", 2)
		if err := h.Kill(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		eventually(t, "SIGTERM arrives", func() bool { return read(t, spec.Dir, "terms") != "" })
		for _, p := range all {
			if !p.Alive() {
				t.Errorf("process %d is dead within its grace", p.PID)
			}
		}
		if err := h.Kill(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if e := waitFor(t, h); e.Signal != 9 || !e.Killed {
			t.Errorf("exit %+v", e)
		}
		allDead(t, all)
	})
}

// The shell ends at once by SIGTERM; what it has started may use its grace.
func TestGraceIsForAllOfTheTask(t *testing.T) {
	spec := inDir(t, "(trap 'trap \"\" TERM; while [ ! -e go ]; do sleep 0.01; done; echo done >done; exit 0' TERM; echo $$ >>pids; while :; do sleep 0.01; done) & wait")
	spec.CgroupParent = "-"
	h := start(t, spec)
	main := pids(t, spec.Dir, "pids", 1)[0]
	if err := h.Kill(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the shell has ended", func() bool { return !main.Alive() })
	if err := os.WriteFile(filepath.Join(spec.Dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if e := waitFor(t, h); e.Signal != 15 || !e.Killed {
		t.Errorf("exit %+v", e)
	}
	if read(t, spec.Dir, "done") == "" {
		t.Error("a child of the shell was killed within its grace")
	}
}

func TestFiftyProcessesThatIgnoreSIGTERMAreKilled(t *testing.T) {
	forBoth(t, func(t *testing.T, parent string) {
		spec := inDir(t, "")
		spec.Argv = []string{selfProgram(t)}
		spec.Env = []string{roleVariable + "=bomb " + strings.Repeat("x", 49)}
		spec.CgroupParent = parent
		h := start(t, spec)
		eventually(t, "all are there", func() bool { _, err := os.Stat(filepath.Join(spec.Dir, "exploded")); return err == nil })
		s, err := h.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all := process.Descendants(process.Processes(), s.Shim.PID)
		if len(all) < 50 {
			t.Fatalf("%d processes", len(all))
		}
		if err := h.Kill(t.Context(), 10*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		waitFor(t, h)
		allDead(t, all)
	})
}

// selfProgram is the path of this binary: /proc/self/exe would be the shim's for the shim.
func selfProgram(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOrphansOfADeadShimAreSeenAndKilled(t *testing.T) {
	forBoth(t, func(t *testing.T, parent string) {
		spec := inDir(t, daemonize+"echo $$ >>pids; exec sleep 1000")
		spec.CgroupParent = parent
		h := start(t, spec)
		all := pids(t, spec.Dir, "pids", 2)
		if err := KillOrphans(t.Context(), spec.Dir); !errors.As(err, new(*RefusedError)) {
			t.Fatalf("orphans of a shim that lives: %v", err)
		}
		s := killShim(t, h)
		if f := observe(t, spec.Dir); f.ShimAlive || f.LockHeld || !f.TaskAlive || !f.Started || f.HasExit {
			t.Errorf("facts %+v", f)
		}
		if _, err := h.Wait(t.Context()); !errors.Is(err, ErrNoShim) {
			t.Errorf("wait: %v", err)
		}
		// The task's end does not hide what it has left.
		if err := process.SignalProcess(s.Task, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the task is dead", func() bool { return !s.Task.Alive() })
		if f := observe(t, spec.Dir); !f.TaskAlive {
			t.Errorf("its daemon is not seen: facts %+v", f)
		}
		if err := KillOrphans(t.Context(), spec.Dir); err != nil {
			t.Fatal(err)
		}
		allDead(t, all)
		if f := observe(t, spec.Dir); f.TaskAlive {
			t.Errorf("facts %+v", f)
		}
		for _, dir := range s.Cgroups {
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("cgroup %s: %v", dir, err)
			}
		}
	})
}

// A process with the pid of one that is dead is spared.
func TestAPidThatIsSomebodyElsesNowIsSpared(t *testing.T) {
	p := selfProcess(t)
	p.Start--
	if err := process.SignalProcess(p, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("signal: %v", err)
	}
	if p.Alive() {
		t.Error("alive by its pid alone")
	}
}

func TestMemoryLimitIsToldApart(t *testing.T) {
	needRoot(t)
	spec := inDir(t, "")
	spec.Argv = []string{selfProgram(t)}
	spec.Env = []string{roleVariable + "=hog"}
	spec.Limits = Limits{MemoryBytes: 48 << 20, MilliCPUs: 2000, Pids: 100}
	probe := inDir(t, "exec sleep 1000")
	probe.Limits = spec.Limits
	s, err := start(t, probe).State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(s.Enforced, "memory") {
		t.Skip("no memory cgroup can be made here")
	}
	e := waitFor(t, start(t, spec))
	if e.Signal != 9 || !e.OutOfMemory() || e.MaxRSSBytes > 64<<20 {
		t.Errorf("exit %+v of %+v", e, s)
	}
	spec = inDir(t, "kill -9 $$")
	spec.Limits = Limits{MemoryBytes: 48 << 20}
	if e := waitFor(t, start(t, spec)); e.Signal != 9 || e.OutOfMemory() {
		t.Errorf("exit %+v", e)
	}
}

func TestLimitOfProcessesHolds(t *testing.T) {
	needRoot(t)
	spec := inDir(t, "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; echo all >all; wait")
	spec.Limits.Pids = 4
	h := start(t, spec)
	s, err := h.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(s.Enforced, "pids") {
		t.Skip("no cgroup of pids can be made here")
	}
	if e := waitFor(t, h); e.Code == 0 && e.Signal == 0 || read(t, spec.Dir, "all") != "" {
		t.Errorf("exit %+v", e)
	}
}

// The thread that starts a task is in the task's cgroups until it ends, and with it the shim.
func TestWhoKillsAllSparesItself(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0])
	c.Env = append(os.Environ(), roleVariable+"=killer")
	if out, err := c.Output(); string(out) != "lives\n" {
		t.Errorf("it says %q, %v: it has stopped or killed itself", out, err)
	}
}

// Kills are repeated until a task has ended, and to many programs a second SIGTERM says at once.
func TestATaskIsToldToEndOnce(t *testing.T) {
	spec := inDir(t, "trap 'echo TERM >>terms' TERM; while :; do echo . >>beats; sleep 0.01; done")
	spec.CgroupParent = "-"
	h := start(t, spec)
	beats := func() int { return len(read(t, spec.Dir, "beats")) }
	eventually(t, "it runs", func() bool { return beats() > 0 })
	for range 3 {
		if err := h.Kill(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		before := beats()
		eventually(t, "it goes on", func() bool { return beats() > before+6 }) // a shell hears of a signal between two commands
	}
	if terms := read(t, spec.Dir, "terms"); terms != "TERM\n" {
		t.Errorf("it was told %q", terms)
	}
	if err := h.Kill(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	waitFor(t, h)
}
