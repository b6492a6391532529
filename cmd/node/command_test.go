package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
)

// commandTest is a command with what it writes.
func commandTest(t *testing.T, args ...string) (*command, *lockedFile) {
	t.Helper()
	out := &lockedFile{}
	a := &app{in: strings.NewReader(""), out: out, err: io.Discard}
	c, err := a.commandFor(args, commandFlags{grace: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c, out
}

func TestTheCommandsExitCodeIsPassedThrough(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "exit 75": 75, "kill -9 $$": 137, "kill -TERM $$": 143} {
		c, _ := commandTest(t, "sh", "-c", script)
		done, err := c.run(t.Context(), nil)
		if err != nil || done.code != want || done.stopped {
			t.Errorf("%q: %+v, %v, want code %d", script, done, err, want)
		}
	}
}

func TestACommandThatCannotRunIsRefusedBeforeAnythingIsTaken(t *testing.T) {
	plainFile := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plainFile, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"no-such-command-anywhere": exitNoCommand, "/no/such/file": exitNoCommand, plainFile: exitCannotRun} {
		_, err := (&app{}).commandFor([]string{name}, commandFlags{})
		x, is := errors.AsType[*exitWith](err)
		if !is || x.code != want {
			t.Errorf("%s: %v, want exit code %d", name, err, want)
		}
	}
}

func TestTheCommandFindsItsEnvironment(t *testing.T) {
	c, out := commandTest(t, "sh", "-c", "echo $SYNOD_TOKEN")
	if _, err := c.run(t.Context(), nil, "SYNOD_TOKEN=42"); err != nil || out.String() != "42\n" {
		t.Fatalf("%q, %v, want 42", out.String(), err)
	}
}

// ignorant starts a process of its own that ignores SIGTERM, as it does itself, and tells that number.
const ignorant = `trap '' TERM; sleep 600 & echo child $! self $$ ; wait`

func TestACommandThatDoesNotWantToEndIsKilledWithItsWholeGroup(t *testing.T) {
	c, out := commandTest(t, "sh", "-c", ignorant)
	c.grace = 50 * time.Millisecond
	stop := make(chan struct{})
	ended := make(chan outcome, 1)
	go func() {
		done, _ := c.run(t.Context(), stop)
		ended <- done
	}()
	out.waitFor(t, "self")
	close(stop)
	if done := <-ended; !done.stopped || done.code != 137 {
		t.Errorf("%+v, want a command that was stopped by SIGKILL", done)
	}
	child := wordAfter(t, out.String(), "child")
	waitForEnd(t, child)
}

func TestACommandMayEndInOrderWhenItIsStopped(t *testing.T) {
	c, out := commandTest(t, "sh", "-c", `trap 'echo cleaned up; exit 3' TERM; echo ready; while :; do sleep 0.01; done`)
	stop := make(chan struct{})
	ended := make(chan outcome, 1)
	go func() {
		done, _ := c.run(t.Context(), stop)
		ended <- done
	}()
	out.waitFor(t, "ready")
	close(stop)
	if done := <-ended; !done.stopped || done.code != 3 || !strings.Contains(out.String(), "cleaned up") {
		t.Errorf("%+v, output %q: want a command that was stopped and has cleaned up", done, out.String())
	}
}

func TestSignalsReachTheCommandAndNotUs(t *testing.T) {
	ctx, s := interruptible()
	defer s.stop()
	c, out := commandTest(t, "sh", "-c", `trap 'echo got TERM' TERM; trap 'echo got USR1' USR1; trap 'echo got INT; exit 5' INT; echo ready; while :; do sleep 0.01; done`)
	c.signals = s
	ended := make(chan outcome, 1)
	go func() {
		done, _ := c.run(ctx, nil)
		ended <- done
	}()
	out.waitFor(t, "ready")
	for signal, word := range map[syscall.Signal]string{syscall.SIGTERM: "got TERM", syscall.SIGUSR1: "got USR1"} {
		if err := syscall.Kill(os.Getpid(), signal); err != nil {
			t.Fatal(err)
		}
		out.waitFor(t, word)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if done := <-ended; done.code != 5 || done.stopped {
		t.Errorf("%+v, want the command's own end with code 5", done)
	}
	if ctx.Err() != nil {
		t.Error("the signal ended our context, though it was for the command")
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil { // now it is for us again
		t.Fatal(err)
	}
	<-ctx.Done()
}

func TestWhoIsInterruptedBeforeStartsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, out := commandTest(t, "sh", "-c", "echo started")
	if _, err := c.run(ctx, nil); !errors.Is(err, context.Canceled) || out.String() != "" {
		t.Fatalf("%v, output %q: want nothing to be started", err, out.String())
	}
}

func TestTheExitCodeOfALostLockIsItsOwn(t *testing.T) {
	a := &app{program: "node", err: io.Discard}
	if code := a.fail(lostError(`the lock "x"`, &api.Error{Code: api.CodeSession, Message: "over"}, "again")); code != 75 {
		t.Fatalf("exit code %d, want 75", code)
	}
}

func wordAfter(t *testing.T, text, word string) int {
	t.Helper()
	_, rest, _ := strings.Cut(text, word+" ")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatalf("no number after %q in %q", word, text)
	}
	return n
}

// waitForEnd waits until a process is no more, or a zombie.
func waitForEnd(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil || strings.Contains(string(data), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d still runs: %s", pid, data)
		}
	}
}
