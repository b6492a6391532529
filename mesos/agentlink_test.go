package mesos

import (
	"errors"
	"testing"
	"time"
)

func TestRegistrationWaitsALittleLongerEachTime(t *testing.T) {
	h := newAgentHost(t, AgentConfig{PingTimeout: 1000 * time.Hour})
	h.agent.Connected(3)
	h.agent.Disconnected()
	h.agent.Connected(3)
	h.output()
	most, longest := time.Second, time.Duration(0)
	for n := range 60 {
		from := h.now
		r := h.registering()
		if h.now-from >= most {
			t.Fatalf("attempt %d after %v, want less than %v", n, h.now-from, most)
		}
		if r.Info.ID != "" || r.Info.Hostname != "host" || r.Boot != "boot" {
			t.Fatalf("%+v", r)
		}
		longest, most = max(longest, h.now-from), min(2*most, time.Minute)
	}
	if longest < 30*time.Second {
		t.Fatalf("waits %v at most", longest)
	}
}

func TestAnAgentThatWasStartedRegistersAtOnceUnlessTheMasterIsNew(t *testing.T) {
	registersAtOnce := func(h *agentHost, term Term) bool {
		h.agent.Connected(term)
		return len(h.output().Send) > 0
	}
	h := newAgentHost(t, AgentConfig{})
	if !registersAtOnce(h, 3) {
		t.Error("an agent's first registration waits, though nobody else registers")
	}
	h.agent.Disconnected()
	if registersAtOnce(h, 3) || registersAtOnce(h, 4) {
		t.Error("a link that broke broke for many, and they all come back at the same moment")
	}
	h = newAgentHost(t, AgentConfig{})
	h.register()
	term := h.agent.Term()
	h.restart(AgentConfig{})
	h.output()
	if !registersAtOnce(h, term) {
		t.Error("a restarted agent waits at the master that it had")
	}
	h.restart(AgentConfig{})
	h.output()
	if registersAtOnce(h, term+1) {
		t.Error("a restarted agent comes at once to a new master, as all agents do")
	}
}

func TestARegisterBringsEverything(t *testing.T) {
	h := runningHost(t)
	h.launch("u", 2)
	h.restart(AgentConfig{})
	exit := ContainerExit{Known: true}
	h.agent.Observed(ObservedContainer{containerNo(1), Facts{Exit: &exit}})
	h.agent.Observed(ObservedContainer{containerNo(2), Facts{ShimAlive: true, Started: true}})
	h.agent.Connected(3)
	h.output()
	r := h.registering()
	if r.Info.ID != "agent" || len(r.Frameworks) != 1 || r.Frameworks[0].Name != "name" || len(r.Tasks) != 2 ||
		r.Tasks[0].State != Finished || r.Tasks[0].Acknowledging != Running || r.Tasks[1].State != Running {
		t.Fatalf("%+v", r)
	}
}

func TestTheIDIsKept(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	if out := h.register(); len(out.Save) == 0 || h.saved[len(h.saved)-1].Agent.ID != "agent" {
		t.Fatalf("%+v", out)
	}
	h.restart(AgentConfig{})
	if h.output(); h.agent.ID() != "agent" {
		t.Fatalf("%q", h.agent.ID())
	}
}

// what the master knows and the agent does not bring never started and never will.
func TestMissingTasksAreDropped(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.launch("t", 1)
	missing := func(id TaskID, n int, state TaskState) Task {
		return Task{Key: taskNamed(id), Agent: "agent", Container: containerNo(n), Term: 3, Sequence: uint64(n), State: state}
	}
	h.register(missing("t", 1, Staging), missing("u", 2, Staging), missing("v", 3, Finished))
	if s := h.last(1); s.State.Terminal() {
		t.Fatalf("a task that has come since: %+v", s)
	}
	h.mustBe(2, Dropped, ReasonReconciliation)
	if len(h.agent.Tasks()) != 2 {
		t.Fatalf("%+v", h.agent.Tasks())
	}
	if h.launch("u", 2); h.starts != 1 {
		t.Fatal("started after it was DROPPED")
	}
	h.acknowledge(2)
	h.restart(AgentConfig{})
	h.agent.Observed(ObservedContainer{containerNo(1), Facts{Started: true, ShimAlive: true}})
	h.register()
	if h.launch("u", 2); h.starts != 1 {
		t.Fatal("started after it was DROPPED and acknowledged")
	}
}

// A late answer to an earlier Register may ask for what has come and gone.
func TestOnlyTheAnswerToTheLastRegisterCounts(t *testing.T) {
	h := newAgentHost(t, AgentConfig{MaxDone: 1})
	h.register()
	h.agent.Connected(3)
	h.output()
	old := h.registering()
	r := h.registering()
	h.step(Registered{Agent: "agent", Term: 3, Attempt: old.Attempt})
	if h.agent.Registered() {
		t.Fatal("registered by an old answer")
	}
	h.launch("a", 1)
	h.finishUnregistered(1)
	answer := Registered{Agent: "agent", Term: 3, Attempt: r.Attempt,
		Missing: []Task{{Key: taskNamed("a"), Agent: "agent", Container: containerNo(1), Term: 3, Sequence: 1, State: Staging}}}
	h.step(answer)
	h.launch("b", 2)
	h.finish(2)
	h.launch("c", 3)
	h.finish(3)
	if h.step(answer); len(h.agent.Tasks()) != 0 {
		t.Fatalf("a doubled answer brings up %+v", h.agent.Tasks())
	}
	h.step(Ping{Term: 3, Sequence: 1})
	if h.step(answer); h.agent.Registered() {
		t.Fatal("registered by a doubled answer, though the master has said no")
	}
}

// What was launched, has ended and was forgotten between a Register and its answer is
// not said never to have started.
func TestMissingTasksThatMayHaveComeAndGoneAreLeftToTheNextAnswer(t *testing.T) {
	h := newAgentHost(t, AgentConfig{MaxDone: 1})
	h.register()
	h.agent.Connected(3)
	h.output()
	r := h.registering()
	h.launch("a", 1)
	h.finishUnregistered(1)
	h.launch("b", 2)
	h.finishUnregistered(2)
	h.step(Registered{Agent: "agent", Term: 3, Attempt: r.Attempt,
		Missing: []Task{{Key: taskNamed("a"), Agent: "agent", Container: containerNo(1), Term: 3, Sequence: 1, State: Staging}}})
	if len(h.agent.Tasks()) != 0 {
		t.Fatalf("%+v", h.agent.Tasks())
	}
}

// finishUnregistered ends container n and acknowledges that though it was not sent.
func (h *agentHost) finishUnregistered(n int) {
	h.event(n, ContainerEvent{Kind: ContainerExited, Exit: ContainerExit{Known: true}})
	s := h.last(n)
	h.step(Acknowledge{Term: h.term, Task: s.Task, ID: s.ID})
}

func TestAPingThatSaysNotConnectedMakesTheAgentRegister(t *testing.T) { // P-2
	h := newAgentHost(t, AgentConfig{})
	h.register()
	p, ok := sentBy[Pong](h.step(Ping{Term: 3, Sequence: 7, Connected: true}))
	if !ok || p != (Pong{"agent", 3, 7}) || !h.agent.Registered() {
		t.Fatalf("%+v", p)
	}
	if h.step(Ping{Term: 3, Sequence: 8}); h.agent.Registered() {
		t.Fatal("believes to be registered")
	}
	h.registering()
}

func TestASilentMasterIsGivenUp(t *testing.T) { // P-2
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.now += 74 * time.Second
	if out := h.output(); out.Detect || !h.agent.Registered() {
		t.Fatalf("%+v", out)
	}
	h.now += time.Second
	if out := h.output(); !out.Detect || h.agent.Registered() {
		t.Fatalf("%+v", out)
	}
	if out := h.output(); out.Detect {
		t.Fatal("twice")
	}
}

func TestALaterMasterIsToBeRegisteredWith(t *testing.T) {
	h := runningHost(t)
	h.step(Ping{Term: 4, Sequence: 1, Connected: true})
	if h.agent.Registered() {
		t.Fatal("registered with a master that has not said so")
	}
	h.registering()
}

// recoveringHost has three containers of before: 1 runs, 2 never started, 3 has ended.
func recoveringHost(t *testing.T, c AgentConfig) *agentHost {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	for n := 1; n <= 3; n++ {
		h.launch(TaskID(rune('a'+n)), n)
	}
	h.restart(c)
	h.agent.Connected(3)
	h.output()
	return h
}

func TestARecoveryEndsWithTheLastLook(t *testing.T) {
	h := recoveringHost(t, AgentConfig{})
	h.now += 20 * time.Second
	silent := func() {
		t.Helper()
		if out := h.output(); len(out.Send) != 0 {
			t.Fatalf("%+v", out)
		}
	}
	silent()
	if h.step(h.launchOf("new", 4)); h.starts != 3 {
		t.Fatal("a launch before the recovery is over")
	}
	h.agent.Observed(ObservedContainer{containerNo(1), Facts{Started: true, ShimAlive: true}})
	silent()
	h.agent.Observed(ObservedContainer{containerNo(2), Facts{}})
	if out := h.output(); len(out.Bar) != 1 || out.Bar[0] != containerNo(2) {
		t.Fatalf("%+v", out)
	}
	h.agent.Observed(ObservedContainer{containerNo(3), Facts{Exit: &ContainerExit{Known: true}}})
	silent()
	h.agent.Observed(ObservedContainer{containerNo(2), Facts{Barred: true}})
	r, ok := sentBy[Register](h.output())
	if !ok || len(r.Tasks) != 3 || r.Tasks[0].State != Running || r.Tasks[1].State != Dropped || r.Tasks[2].State != Finished {
		t.Fatalf("%+v", r)
	}
}

func TestAfterARebootNothingOfBeforeIsAlive(t *testing.T) {
	h := recoveringHost(t, AgentConfig{Boot: "later"})
	h.agent.Observed(ObservedContainer{containerNo(1), Facts{Started: true, ShimAlive: true, TaskAlive: true}})
	h.agent.Observed(ObservedContainer{containerNo(2), Facts{}})
	if out := h.output(); len(out.Stop)+len(out.Bar) != 0 {
		t.Fatalf("%+v", out)
	}
	h.mustBe(1, Failed, ReasonAgentRestarted)
	h.mustBe(2, Dropped, ReasonAgentRestarted)
	for range 2 { // the boot is noted at the end of the recovery, not before
		h.restart(AgentConfig{Boot: "later"})
		h.output()
	}
	if h.agent.boot != "boot" {
		t.Fatalf("boot %q", h.agent.boot)
	}
	h.agent.Observed(ObservedContainer{containerNo(3), Facts{Started: true}})
	if h.output(); h.agent.boot != "later" || h.agent.ID() != "agent" {
		t.Fatalf("boot %q, agent %q", h.agent.boot, h.agent.ID())
	}
	h.mustBe(3, Failed, ReasonAgentRestarted)
}

func TestACleanupKillsEverythingAndRegistersNowhere(t *testing.T) {
	h := recoveringHost(t, AgentConfig{Recover: Cleanup})
	h.agent.Observed(ObservedContainer{containerNo(1), Facts{Started: true, ShimAlive: true}})
	if out := h.output(); len(out.Stop) != 1 || h.agent.CleanedUp() {
		t.Fatalf("%+v", out)
	}
	h.agent.Observed(ObservedContainer{containerNo(2), Facts{ShimAlive: true}})
	h.agent.Observed(ObservedContainer{containerNo(3), Facts{Exit: &ContainerExit{Known: true}}})
	if out := h.output(); len(out.Stop) != 1 || h.agent.CleanedUp() {
		t.Fatalf("%+v", out)
	}
	h.event(1, ContainerEvent{Kind: ContainerExited})
	h.event(2, ContainerEvent{Kind: ContainerExited})
	h.now += time.Minute
	if out := h.launch("new", 4); len(out.Send) != 0 || len(out.Start) != 0 || !h.agent.CleanedUp() {
		t.Fatalf("%+v, cleaned up %v", out, h.agent.CleanedUp())
	}
	h.restart(AgentConfig{}) // the next start tells
	if u, ok := sentBy[StatusUpdate](h.register()); !ok || u.Latest != Killed {
		t.Fatalf("%+v", u)
	}
}

func TestRunningTasksMustFitTheResources(t *testing.T) {
	h := runningHost(t)
	little, _ := ParseResources("cpus:0.5;mem:1024")
	c := h.agent.cfg
	c.Info.Resources = little
	var no *ResourcesError
	if _, err := NewAgent(c, h.saved, h.now); !errors.As(err, &no) || no.Used.Scalar("cpus") != 1000 {
		t.Fatalf("%v", err)
	}
	c.Recover = Cleanup
	if _, err := NewAgent(c, h.saved, h.now); err != nil {
		t.Fatal(err)
	}
}
