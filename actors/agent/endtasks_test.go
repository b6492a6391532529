//go:build linux

package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/shim"
)

func TestAllThatRunsBelowAWorkDirectoryIsEnded(t *testing.T) {
	work := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var dirs []string
	for i, line := range []string{"sleep 1000 & wait", "trap '' TERM; sleep 1000 & wait; sleep 1000", "exit 0", "sleep 1000 & wait"} {
		dir := filepath.Join(work, "containers", fmt.Sprint(i), "run")
		if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := shim.Start(ctx, shim.Spec{Dir: dir, Shell: line, Env: os.Environ()}); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	dead, err := shim.Open(dirs[3]).State(ctx) // this one's shim dies before, and leaves its task
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(dead.Shim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := EndTasks(ctx, work, 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for i, dir := range dirs {
		f, err := shim.Observe(dir)
		if err != nil || f.LockHeld || f.ShimAlive || f.TaskAlive {
			t.Errorf("task %d: %+v, %v: something lives", i, f, err)
		}
	}
	if err := EndTasks(ctx, work, time.Second); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if err := EndTasks(ctx, filepath.Join(work, "nosuch"), time.Second); err != nil {
		t.Errorf("where nothing ever ran: %v", err)
	}
}
