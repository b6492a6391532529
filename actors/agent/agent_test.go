//go:build linux

package agent

import (
	"errors"
	"strings"
	"testing"

	"github.com/synod-go/synod/mesos"
)

func TestATaskRunsAndItsExitCodeIsTold(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	m.registered(1)
	x := m.launch(task("fine", `echo hello; echo "$SYNOD_TASK of $SYNOD_FRAMEWORK in $PWD" >&2`))
	if s := m.told("fine", mesos.Finished); !s.HasExit || s.ExitCode != 0 {
		t.Errorf("fine: %+v", s)
	}
	m.launch(task("three", "exit 3"))
	if s := m.told("three", mesos.Failed); !s.HasExit || s.ExitCode != 3 || s.Reason != mesos.ReasonNone {
		t.Errorf("three: %+v", s)
	}
	m.launch(task("nine", "kill -9 $$"))
	if s := m.told("nine", mesos.Failed); !s.HasExit || s.Signal != 9 {
		t.Errorf("nine: %+v", s)
	}
	none := task("none", "")
	none.Command = mesos.Command{Value: "/no/such/program"}
	m.launch(none)
	if s := m.told("none", mesos.Failed); s.HasExit || s.Reason != mesos.ReasonContainerLaunchFailed || !strings.Contains(s.Message, "/no/such/program") {
		t.Errorf("none: %+v", s)
	}
	m.mustHaveTold("fine", mesos.Running, mesos.Finished)
	if out := content(work, x, "run", "stdout"); out != "hello\n" {
		t.Errorf("stdout is %q", out)
	}
	if got, want := content(work, x, "run", "stderr"), "fine of f in "+pathsOf(work, x).sandbox()+"\n"; got != want {
		t.Errorf("stderr is %q, want %q", got, want)
	}
	if s := h.Status(t.Context()); s.ID != "agent-1" || !s.Registered || s.Term != 5 {
		t.Errorf("status %+v", s)
	}
}

func TestAKilledTaskIsToldWithItsSignal(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	start(t, m, config(t, m, work))
	m.registered(1)
	m.launch(task("soft", "exec sleep 1000"))
	hard := m.launch(task("hard", `trap "" TERM; echo deaf; while :; do sleep 1000 & wait; done`))
	m.told("soft", mesos.Running)
	eventually(t, "it hears no TERM", func() bool { return content(work, hard, "run", "stdout") == "deaf\n" })
	m.kill("soft")
	if s := m.told("soft", mesos.Killed); s.Signal != 15 {
		t.Errorf("soft: %+v", s)
	}
	m.send(mesos.Kill{Term: 5, Task: mesos.TaskKey{Framework: "f", Task: "hard"}, Grace: 1})
	if s := m.told("hard", mesos.Killed); s.Signal != 9 {
		t.Errorf("hard: %+v", s)
	}
	m.mustHaveTold("soft", mesos.Running, mesos.Killing, mesos.Killed)
}

func TestASecondAgentInADirectoryIsRefused(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	var locked *LockedError
	if _, err := Start(t.Context(), config(t, m, work)); !errors.As(err, &locked) || locked.Work != work {
		t.Fatalf("got %v, want a LockedError", err)
	}
	stopAgent(t, h)
	start(t, m, config(t, m, work))
}

func TestAnAgentThatIsStoppedLeavesItsTasksToTheNext(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	m.registered(1)
	c := m.launch(task("long", "sleep 0.2; echo still; while [ ! -e end ]; do sleep 0.01; done; exit 7"))
	m.told("long", mesos.Running)
	stopAgent(t, h)
	if err := h.Err(); err != nil {
		t.Errorf("a stopped agent says %v", err)
	}
	h = start(t, m, config(t, m, work))
	m.registered(2)
	if s := h.Status(t.Context()); s.ID != "agent-1" || len(s.Tasks) != 1 || s.Tasks[0].State != mesos.Running {
		t.Errorf("after the restart %+v", s)
	}
	touch(t, pathsOf(work, c).sandbox(), "end")
	if s := m.told("long", mesos.Failed); s.ExitCode != 7 {
		t.Errorf("it ended %+v", s)
	}
	if out := content(work, c, "run", "stdout"); out != "still\n" {
		t.Errorf("stdout is %q", out)
	}
	m.mustHaveTold("long", mesos.Running, mesos.Failed)
}

func TestATaskThatEndsWithoutAnAgentIsToldByTheNext(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	m.registered(1)
	c := m.launch(task("short", "while [ ! -e end ]; do sleep 0.01; done; exit 4"))
	m.told("short", mesos.Running)
	stopAgent(t, h)
	touch(t, pathsOf(work, c).sandbox(), "end")
	eventually(t, "it has ended", func() bool { return h.hasEnded(c) })
	start(t, m, config(t, m, work))
	if s := m.told("short", mesos.Failed); s.ExitCode != 4 || !s.HasExit {
		t.Errorf("it ended %+v", s)
	}
}
