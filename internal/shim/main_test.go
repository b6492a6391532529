//go:build linux

package shim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/shim/process"
)

// roleVariable makes this binary something else than a test: a starter, which is an agent that
// can be killed, or a task.
const roleVariable = "SHIM_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role, argument, _ := strings.Cut(os.Getenv(roleVariable), " "); role {
	case "":
		os.Exit(m.Run())
	case "starter":
		os.Exit(starter(argument))
	case "hog":
		hog()
	case "bomb":
		bomb(argument)
	case "killer":
		killer()
	}
}

// starter starts what it is told to and says so; then it hangs until it is killed.
func starter(argument string) int {
	var spec Spec
	if err := json.Unmarshal([]byte(argument), &spec); err != nil {
		panic(err)
	}
	signal.Ignore(syscall.SIGHUP) // as under nohup
	if err := Start(context.Background(), spec); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("started")
	select {}
}

// killer kills what it finds, of which it is one.
func killer() {
	self, _ := process.ReadStat(os.Getpid())
	process.KillAll(func([]process.Stat) []process.Process { return []process.Process{self.Process} })
	fmt.Println("lives")
}

// hog takes memory until it is killed.
func hog() {
	var all [][]byte
	for len(all) < 1<<20 {
		all = append(all, bytes.Repeat([]byte{1}, 1<<20))
	}
}

// bomb is a tree of processes that all ignore SIGTERM, the deeper ones in sessions of their own.
func bomb(children string) {
	signal.Ignore(syscall.SIGTERM)
	if children != "" {
		c := exec.Command("/proc/self/exe")
		c.Env = []string{roleVariable + "=bomb " + children[1:], process.RunVariable + "=" + os.Getenv(process.RunVariable)}
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: len(children)%2 == 0}
		if err := c.Start(); err != nil {
			panic(err)
		}
	} else {
		_ = os.WriteFile("exploded", nil, 0o600)
	}
	select {}
}

func newStarter(t testing.TB, spec Spec) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), roleVariable+"=starter "+string(text))
	return c
}

// inDir returns a spec of a shell command in a directory of the test.
func inDir(t testing.TB, shell string) Spec {
	t.Helper()
	s := Spec{Dir: filepath.Join(t.TempDir(), "run"), Shell: shell, Env: []string{"PATH=/usr/bin:/bin"}, Linger: time.Minute}
	t.Cleanup(func() { cleanUp(t, s.Dir) })
	return s
}

// cleanUp ends whatever is left in a run directory.
func cleanUp(t testing.TB, dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	h := Open(dir)
	if h.Kill(ctx, 0) == nil {
		_, _ = h.Wait(ctx)
		_ = h.Acknowledge(ctx)
	}
	eventually(t, "the lock is free", func() bool {
		f, err := Observe(dir)
		return err != nil || !f.LockHeld
	})
	if err := KillOrphans(ctx, dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("kill orphans: %v", err)
	}
}

func start(t testing.TB, spec Spec) *Handle {
	t.Helper()
	if err := Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	return Open(spec.Dir)
}

func waitFor(t testing.TB, h *Handle) Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	e, err := h.Wait(ctx)
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	return e
}

func observe(t testing.TB, dir string) Facts {
	t.Helper()
	f, err := Observe(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// settled observes until no shim is on its way.
func settled(t testing.TB, dir string) (f Facts) {
	t.Helper()
	eventually(t, "no shim is on its way", func() bool {
		f = observe(t, dir)
		return !f.Unsettled()
	})
	return f
}

// eventually looks at what other processes do, which tell nobody.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for !is() {
		select {
		case <-limit:
			t.Fatalf("waited in vain until %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func read(t testing.TB, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

// again runs a shim in a directory though Start would not, and returns its problem.
func again(t testing.TB, dir string) string {
	t.Helper()
	report, err := spawn(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer report.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(report); err != nil {
		t.Fatal(err)
	}
	r, err := process.Decode(text.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return r.Get("problem")
}

func killShim(t testing.TB, h *Handle) State {
	t.Helper()
	s, err := h.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := process.SignalProcess(s.Shim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the shim is dead", func() bool { return !settled(t, h.dir).LockHeld })
	return s
}
