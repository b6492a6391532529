//go:build linux

package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/shim"
	"github.com/synod-go/synod/mesos"
)

// The agent is replaced by another program while tasks run, and the old program is overwritten and
// then gone: shims of the old one are led by the new one, and the tasks notice nothing.
func TestAnAgentIsUpgradedWhileItsTasksRun(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	own, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "agent-1")
	if err := os.WriteFile(program, append(own, "another one"...), 0o755); err != nil {
		t.Fatal(err)
	}
	old, over := processOf(t, program, work, m.serve(t))
	m.registered(1)
	eventually(t, "it knows its id", func() bool { // before it takes no Launch
		saved, _ := os.ReadFile(filepath.Join(work, checkpointFile))
		return bytes.Contains(saved, []byte("agent-1"))
	})
	info, ledger, end := untilEnd(work, "t")
	info.Command.Value = "echo begun; " + info.Command.Value
	ms := time.Millisecond
	info.Health = &mesos.HealthCheck{Kind: mesos.HealthCommand, Command: mesos.Command{Value: "true"}, Delay: ms, Interval: 20 * ms, Grace: ms}
	c := m.launch(info)
	m.launch(task("long", `trap "exit 3" TERM; while :; do sleep 0.01; done`))
	m.told("t", mesos.Running)
	m.told("long", mesos.Running)
	before, err := shim.Open(pathsOf(work, c).run()).State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = old.Process.Kill()
	<-over
	m.mu.Lock()
	registers := len(m.registers)
	m.mu.Unlock()
	if err := os.WriteFile(program+".new", []byte("no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(program+".new", program); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}

	h := start(t, m, config(t, m, work))
	m.registered(registers + 1)
	if after, err := shim.Open(pathsOf(work, c).run()).State(t.Context()); err != nil || after.Task.PID != before.Task.PID || after.Shim.PID != before.Shim.PID {
		t.Errorf("%+v, %v; before it was %+v", after, err, before)
	}
	var out, log bytes.Buffer
	if code, err := h.Exec(t.Context(), c, Exec{Argv: []string{"sh", "-c", "echo $SYNOD_TASK $SYNOD_FRAMEWORK; exit 9"}, Stdout: &out, Stderr: &out}); code != 9 || err != nil || out.String() != "t f\n" {
		t.Errorf("a command beside it: %d, %v, %q", code, err, out.String())
	}
	if err := h.Logs(t.Context(), c, LogOptions{Stream: "stdout"}, &log); err != nil || !strings.HasPrefix(log.String(), "begun\n") {
		t.Errorf("its log is %q, %v", log.String(), err)
	}
	m.kill("long")
	if s := m.told("long", mesos.Killed); s.ExitCode != 3 || !s.HasExit {
		t.Errorf("it was killed as %+v", s)
	}
	m.launch(task("new", "exit 0"))
	m.told("new", mesos.Finished)
	mustRunOnce(t, m, "t", ledger, end)
}
