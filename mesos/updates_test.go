package mesos

import (
	"testing"
	"time"
)

// runningHost is a host with task t running in container 1, RUNNING under way.
func runningHost(t *testing.T) *agentHost {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.launch("t", 1)
	u, ok := sentBy[StatusUpdate](h.event(1, ContainerEvent{Kind: ContainerStarted}))
	if !ok || u.Status.State != Running || u.Status.Source != SourceAgent || u.Status.Agent != "agent" || u.Status.Time <= 1000*time.Hour {
		t.Fatalf("%+v", u)
	}
	return h
}

// calls answers pings until the time, so that the agent stays registered, and returns when
// updates were sent.
func (h *agentHost) calls(until time.Duration) (at []time.Duration) {
	for n := uint64(1); ; n++ {
		next, _ := h.agent.Next()
		if h.now = max(h.now, min(next, h.now+15*time.Second)); h.now >= until {
			return at
		}
		out := h.step(Ping{Term: h.term, Sequence: n, Heard: n - 1, Connected: true})
		if _, ok := sentBy[StatusUpdate](out); ok {
			at = append(at, h.now)
		}
	}
}

func TestAnUpdateIsSentAgainAfterTenSecondsDoublingToTenMinutes(t *testing.T) { // U-3
	h := runningHost(t)
	from := h.now
	want := 10 * time.Second
	for _, at := range h.calls(h.now + 2*time.Hour) {
		if at-from < want || at-from > want+15*time.Second {
			t.Fatalf("sent again after %v, want %v", at-from, want)
		}
		from, want = at, min(2*want, 10*time.Minute)
	}
	if want != 10*time.Minute {
		t.Fatalf("waits %v at most", want)
	}
	h.acknowledge(1)
	if again := h.calls(h.now + time.Hour); len(again) > 0 {
		t.Fatal("sent again after it was acknowledged")
	}
}

func TestOneUpdateOfATaskIsUnderWayAtATime(t *testing.T) { // U-2, U-3
	h := runningHost(t)
	out := h.event(1, ContainerEvent{Kind: ContainerExited, Exit: ContainerExit{Known: true}})
	u, ok := sentBy[StatusUpdate](out)
	if !ok || len(out.Send) != 1 || u.Status.State != Running || u.Latest != Finished {
		t.Fatalf("%+v", out.Send)
	}
	if task := h.agent.Tasks()[0]; task.State != Finished || task.Acknowledging != Running || task.AcknowledgingID != u.Status.ID {
		t.Fatalf("%+v", task)
	}
	u, ok = sentBy[StatusUpdate](h.acknowledge(1))
	if !ok || u.Status.State != Finished {
		t.Fatalf("%+v", u)
	}
}

func TestOnlyTheUpdateUnderWayCanBeAcknowledged(t *testing.T) { // U-5
	h := runningHost(t)
	h.event(1, ContainerEvent{Kind: ContainerExited, Exit: ContainerExit{Known: true}})
	final := h.last(1)
	for _, m := range []Acknowledge{
		{Term: 3, Task: final.Task, ID: final.ID}, // not yet sent
		{Term: 3, Task: taskNamed("other"), ID: h.told[containerNo(1)].ID},
		{Term: 2, Task: final.Task, ID: h.told[containerNo(1)].ID}, // of a master of the past
		{Term: 3, Task: final.Task},
	} {
		if out := h.step(m); len(out.Save) != 0 || len(out.Forget) != 0 {
			t.Fatalf("%+v: %+v", m, out)
		}
	}
	first := h.told[containerNo(1)]
	h.acknowledge(1)
	if out := h.step(Acknowledge{Term: 3, Task: first.Task, ID: first.ID}); len(out.Save) != 0 {
		t.Fatalf("a doubled acknowledgement: %+v", out)
	}
}

func TestTheEndAcknowledgedIsTheEndOfTheTask(t *testing.T) { // U-5
	h := runningHost(t)
	if out := h.acknowledge(1); len(out.Forget) != 0 || len(h.agent.Tasks()) != 1 {
		t.Fatalf("%+v", out)
	}
	h.event(1, ContainerEvent{Kind: ContainerExited, Exit: ContainerExit{Known: true}})
	out := h.acknowledge(1)
	if len(out.Save) != 1 || out.Save[0].Kind != RecordAcknowledged || len(out.Forget) != 1 || len(h.agent.Tasks()) != 0 {
		t.Fatalf("%+v, tasks %v", out, h.agent.Tasks())
	}
	h.restart(AgentConfig{})
	if out := h.output(); len(out.Forget) != 1 {
		t.Fatalf("what may not have been forgotten is not forgotten again: %+v", out)
	}
}

func TestUpdatesWaitWhileTheAgentIsNotRegistered(t *testing.T) { // U-4
	h := runningHost(t)
	first := h.last(1)
	h.agent.Disconnected()
	h.now += time.Hour
	if out := h.event(1, ContainerEvent{Kind: ContainerExited}); len(out.Send) != 0 || len(out.Save) != 1 {
		t.Fatalf("%+v", out)
	}
	before := h.now
	u, ok := sentBy[StatusUpdate](h.register())
	if !ok || u.Status != first || u.Latest != Failed {
		t.Fatalf("%+v", u)
	}
	if h.now-before > time.Second {
		t.Fatalf("after %v", h.now-before)
	}
	from := h.now
	if at := h.calls(h.now + 30*time.Second); len(at) == 0 || at[0]-from < 10*time.Second {
		t.Fatalf("sent again at %v, registered at %v", at, from)
	}
}

func TestAFailoverDoesNotWaitForTheRetry(t *testing.T) { // U-4
	h := runningHost(t)
	from := h.now
	h.term = 4
	u, ok := sentBy[StatusUpdate](h.register())
	if !ok || u.Status != h.last(1) || h.now-from > time.Second {
		t.Fatalf("%+v after %v", u, h.now-from)
	}
}

func TestARestartedAgentSendsTheSameUpdatesAgain(t *testing.T) { // U-3
	h := runningHost(t)
	first := h.last(1)
	h.event(1, ContainerEvent{Kind: ContainerExited, Exit: ContainerExit{Known: true, Code: 4}})
	second := h.last(1)
	h.restart(AgentConfig{})
	u, _ := sentBy[StatusUpdate](h.register())
	if u.Status != first {
		t.Fatalf("%+v, want %+v", u.Status, first)
	}
	if u, _ = sentBy[StatusUpdate](h.acknowledge(1)); u.Status != second {
		t.Fatalf("%+v, want %+v", u.Status, second)
	}
}

func TestAnEndIsFollowedByNothing(t *testing.T) {
	h := runningHost(t)
	h.event(1, ContainerEvent{Kind: ContainerExited})
	end := h.last(1)
	exit := ContainerExit{Known: true}
	h.event(1, ContainerEvent{Kind: ContainerStarted})
	h.event(1, ContainerEvent{Kind: ContainerExited, Exit: exit})
	h.step(Kill{Term: 3, Task: taskNamed("t")})
	h.agent.Observed(ObservedContainer{containerNo(1), Facts{Exit: &exit}})
	if out := h.output(); len(out.Save)+len(out.Stop)+len(out.Bar) != 0 || h.last(1) != end {
		t.Fatalf("%+v, %+v", out, h.last(1))
	}
}

func TestAMessageIsCut(t *testing.T) {
	h := runningHost(t)
	h.event(1, ContainerEvent{Kind: ContainerExited, Exit: ContainerExit{Message: string(make([]byte, 5000))}})
	if n := len(h.last(1).Message); n != MaxStatusMessage {
		t.Fatalf("%d bytes", n)
	}
}
