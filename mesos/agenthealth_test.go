package mesos

import (
	"testing"
	"time"
)

func checked(h Health) ContainerEvent { return ContainerEvent{Kind: ContainerChecked, Health: h} }

func TestHealthIsToldWhenItIsNewAndNothingElseWaits(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.launch("web", 1)
	h.event(1, ContainerEvent{Kind: ContainerStarted})
	if out := h.event(1, checked(Healthy)); len(out.Send) > 0 || h.last(1).Health != HealthUnknown {
		t.Fatalf("the health is told while RUNNING waits: %+v", out)
	}
	out := h.acknowledge(1)
	if u, ok := sentBy[StatusUpdate](out); !ok || u.Status.State != Running || u.Status.Health != Healthy ||
		u.Status.Reason != ReasonTaskHealthStatusUpdated || len(out.Save) != 2 {
		t.Fatalf("after the acknowledgement of RUNNING: %+v, want RUNNING and healthy", out)
	}
	h.acknowledge(1)
	if out := h.event(1, checked(Healthy)); len(out.Save) > 0 {
		t.Fatalf("the same health again is saved: %+v", out)
	}
	if out := h.event(1, checked(Unhealthy)); len(out.Send) != 1 || h.last(1).Health != Unhealthy {
		t.Fatalf("another health: %+v, want that it is told", out)
	}
	for range 5 { // it waits: what comes and goes meanwhile is told at most once more
		h.event(1, checked(Healthy))
		h.event(1, checked(Unhealthy))
	}
	if n := len(h.agent.tasks[containerNo(1)].pending); n != 1 {
		t.Fatalf("%d updates wait, want 1", n)
	}
	h.acknowledge(1)
	if n := len(h.agent.tasks[containerNo(1)].pending); n != 0 || h.last(1).Health != Unhealthy {
		t.Fatalf("%d updates wait, health %v: nothing new is told", n, h.last(1).Health)
	}
}

func TestAnUnhealthyTaskHasFailedHoweverItEnds(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.launch("web", 1)
	h.event(1, ContainerEvent{Kind: ContainerStarted})
	h.acknowledge(1)
	out := h.event(1, ContainerEvent{Kind: ContainerUnhealthy, Message: "3 checks failed: connection refused"})
	if len(out.Stop) != 1 || out.Stop[0].Grace != 3*time.Second {
		t.Fatalf("an unhealthy task: %+v, want that it is stopped with its grace", out)
	}
	if out := h.event(1, ContainerEvent{Kind: ContainerUnhealthy, Message: "again"}); len(out.Stop) > 0 {
		t.Fatalf("it is stopped again: %+v", out)
	}
	h.event(1, ContainerEvent{Kind: ContainerExited, Exit: ContainerExit{Known: true}})
	h.mustBe(1, Failed, ReasonTaskHealthStatusUpdated)
	if s := h.last(1); s.Message != "3 checks failed: connection refused" || s.Health != Unhealthy || !s.HasExit {
		t.Fatalf("it ends as %+v", s)
	}
}

func TestTheHealthOutlivesTheAgent(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.launch("web", 1)
	h.event(1, ContainerEvent{Kind: ContainerStarted})
	h.acknowledge(1)
	h.event(1, checked(Healthy))
	h.acknowledge(1)
	h.event(1, checked(Unhealthy))
	for _, saved := range []Checkpoint{h.saved, h.agent.Checkpoint()} {
		h.saved = saved
		h.restart(AgentConfig{})
		h.agent.Observed(ObservedContainer{Container: containerNo(1), Facts: Facts{LockHeld: true, ShimAlive: true, Started: true}})
		h.register()
		if s := h.last(1); s.State != Running || s.Health != Unhealthy {
			t.Fatalf("after a restart %v, health %v", s.State, s.Health)
		}
		if out := h.event(1, checked(Unhealthy)); len(out.Save) > 0 {
			t.Fatalf("the same health as before the restart is saved: %+v", out)
		}
	}
	h.agent.Step(Kill{Term: h.term, Task: taskNamed("web")})
	h.output()
	h.event(1, ContainerEvent{Kind: ContainerExited, Exit: ContainerExit{Known: true, Signal: 15}})
	h.mustBe(1, Killed, ReasonNone)
}

func TestAHealthCheckThatMakesNoSenseIsRefused(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	for i, wrong := range []HealthCheck{{}, {Kind: 9, Port: 1}, {Kind: HealthCommand}, {Kind: HealthHTTP}, {Kind: HealthTCP},
		{Kind: HealthTCP, Port: 1, Delay: -1}, {Kind: HealthTCP, Port: 1, Interval: MaxHealthTime + 1}, {Kind: HealthTCP, Port: 1, Failures: -1},
		{Kind: HealthHTTP, Port: 1, Path: "x"}} {
		m := h.launchOf(TaskID("t"), i+1)
		m.Task.ID = TaskID([]byte{'a' + byte(i)})
		m.Task.Health = &wrong
		if out := h.step(m); len(out.Start) > 0 {
			t.Fatalf("a task with the check %+v is started", wrong)
		}
		h.mustBe(i+1, Errored, ReasonTaskInvalid)
	}
	m := h.launchOf("fine", 50)
	m.Task.Health = &HealthCheck{Kind: HealthTCP, Port: 80}
	if out := h.step(m); len(out.Start) != 1 {
		t.Fatalf("a task with a good check: %+v", out)
	}
	if d := m.Task.Health.WithDefaults(); d.Delay != 15*time.Second || d.Interval != 10*time.Second || d.Timeout != 20*time.Second ||
		d.Grace != 10*time.Second || d.Failures != 3 || d.Path != "/" {
		t.Fatalf("defaults %+v", d)
	}
}
