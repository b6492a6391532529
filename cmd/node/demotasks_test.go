package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestDemosOfDeathsWithTasks(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts some processes each")
	}
	for name, steps := range map[string]int{"master-failover": 7, "agent-recovery": 8, "scheduler-failover": 7} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			demo, temp := demoIn(t, ctx, name, "--output", "json")
			out, err := demo.Output()
			var result demoResult
			if err != nil || json.Unmarshal(out, &result) != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !result.Pass || len(result.Steps) != steps {
				t.Errorf("it says %+v, want %d steps", result, steps)
			}
			mustBeClean(t, temp)
		})
	}
}

// demoIn is a demo that has a directory of its own for all that it makes.
func demoIn(t *testing.T, ctx context.Context, args ...string) (demo *exec.Cmd, temp string) {
	temp = t.TempDir()
	demo = self(t, ctx, append([]string{"demo"}, args...)...)
	demo.Env = append(os.Environ(), "TMPDIR="+temp)
	return demo, temp
}

// mustBeClean waits until no process has anything to do with a directory.
func mustBeClean(t *testing.T, temp string) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		left = nil
		files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is right
		for _, file := range files {
			line, _ := os.ReadFile(file) // it may have ended meanwhile
			at, _ := os.Readlink(filepath.Join(filepath.Dir(file), "cwd"))
			if strings.Contains(string(line), temp) || strings.HasPrefix(at, temp) { // a shim stands in its run directory
				left = append(left, file+" in "+at+": "+strings.ReplaceAll(string(line), "\x00", " "))
			}
		}
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("what is left runs:\n%s", strings.Join(left, "\n"))
}

// ledgerOf waits until a unit of a running demo has written something.
func ledgerOf(t *testing.T, temp, unit string) ledger {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		dirs, _ := filepath.Glob(filepath.Join(temp, "synod-*", "ledgers"))
		if len(dirs) != 1 {
			continue
		}
		if l, err := readLedger(dirs[0], unit); err != nil {
			t.Fatal(err)
		} else if l.lines() > 0 {
			return l
		}
	}
	t.Fatalf("%s has not begun", unit)
	return nil
}

func TestADemoFailsWhenATaskDiesAndLeavesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts some processes")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	demo, temp := demoIn(t, ctx, "agent-recovery", "--output", "json")
	var out lockedFile
	demo.Stdout = &out
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	pid := ledgerOf(t, temp, "stay.1").starts()[0]
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := demo.Wait()
	ended, is := errors.AsType[*exec.ExitError](err)
	if !is || ended.ExitCode() != 1 {
		t.Errorf("it ends with %v, want exit code 1\n%s", err, out.String())
	}
	var result demoResult
	if err := json.Unmarshal([]byte(out.String()), &result); err != nil || result.Pass {
		t.Errorf("it says %+v, %v", result, err)
	}
	mustBeClean(t, temp)
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

func TestADemoThatIsInterruptedOrKilledLeavesNoTask(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts some processes")
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		for _, name := range []string{"agent-recovery", "scheduler-failover"} {
			t.Run(name+" "+signal.String(), func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				demo, temp := demoIn(t, ctx, name)
				if err := demo.Start(); err != nil {
					t.Fatal(err)
				}
				unit := map[string]string{"agent-recovery": "stay.0", "scheduler-failover": "unit.0"}[name]
				ledgerOf(t, temp, unit)
				if err := demo.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				_ = demo.Wait() // how it ended is seen below
				if code := demo.ProcessState.ExitCode(); signal == syscall.SIGINT && code != 130 {
					t.Errorf("exit code %d after Ctrl-C, want 130", code)
				}
				mustBeClean(t, temp)
				if left, _ := os.ReadDir(temp); signal == syscall.SIGINT && len(left) > 0 {
					t.Errorf("files are left: %v", left)
				}
			})
		}
	}
}

// childrenOf are the processes that a process has started.
func childrenOf(t *testing.T, pid int) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, word := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, child)
		}
	}
	return pids
}

// Agents that are asked to end their tasks cannot, if they are killed at the same moment.
func TestADemoThatIsKilledWithAllItsAgentsLeavesNoTaskAndNoShim(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts some processes")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	demo, temp := demoIn(t, ctx, "scheduler-failover")
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	ledgerOf(t, temp, "unit.0")
	if err := demo.Process.Signal(syscall.SIGSTOP); err != nil { // so that it does not see what happens to the others
		t.Fatal(err)
	}
	pids := childrenOf(t, demo.Process.Pid)
	if len(pids) < 3 {
		t.Errorf("the demo has started %v", pids)
	}
	for _, pid := range append(pids, demo.Process.Pid) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	_ = demo.Wait() // it was killed
	mustBeClean(t, temp)
}

// TestWhatADemoSaysOfTasksComesFromTheirLedgers gives it ledgers in which something is wrong.
func TestWhatADemoSaysOfTasksComesFromTheirLedgers(t *testing.T) {
	own := os.Getpid()
	start := func(pid int) string { return "1000 start " + strconv.Itoa(pid) + " 0\n" }
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"twice":       {start(own) + "2000 line 1 1\n" + start(own+1), "was started as"},
		"another":     {start(own + 1), "was started as"},
		"never":       {"", "was started as"},
		"has stopped": {start(own) + "2000 line 1 1\n", "nothing since line 1"},
		"no ledger":   {"1000 start\n", "has the line"},
	} {
		d := &taskDemo{ledgers: t.TempDir()}
		if err := os.WriteFile(filepath.Join(d.ledgers, "u"), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		_, err := d.sameProcesses(ctx, map[string]int{"u": own}, time.Time{})
		cancel()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestALedgerIsReadAsItWasWritten(t *testing.T) {
	dir := t.TempDir()
	text := "1000000 start 7 0\n3000000 line 7 1\n9000000 line 7 2\n10000000 signal 7 9\n11000000 li"
	if err := os.WriteFile(filepath.Join(dir, "u"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := readLedger(dir, "u")
	if err != nil {
		t.Fatal(err)
	}
	last, ended := l.ended()
	if !slices.Equal(l.starts(), []int{7}) || l.lines() != 2 || !ended || last.word != "signal" || last.n != 9 || l.silence(time.Unix(0, 5)) != 6*time.Millisecond {
		t.Errorf("%+v: starts %v, %d lines, ended %v by %+v, silence %v", l, l.starts(), l.lines(), ended, last, l.silence(time.Unix(0, 5)))
	}
	if silence := l.silence(time.Unix(0, 9_500_000)); silence != time.Millisecond {
		t.Errorf("the silence at the end is %v", silence)
	}
}
