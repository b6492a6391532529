package mesos

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Section 5.2, step 1.
func TestALaunchOfAnEarlierTermIsRefused(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.step(Ping{Term: 5, Sequence: 1, Connected: true})
	if h.launch("t", 1); h.starts != 0 || len(h.agent.Tasks()) != 0 {
		t.Fatalf("started %d, tasks %v", h.starts, h.agent.Tasks())
	}
}

func TestTheHighestTermOutlivesARestart(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.step(Ping{Term: 5, Sequence: 1, Connected: true})
	h.restart(AgentConfig{})
	h.output()
	if h.launch("t", 1); h.agent.Term() != 5 || h.starts != 0 {
		t.Fatalf("term %d, started %d", h.agent.Term(), h.starts)
	}
	h.term = 5
	if h.register(); !h.agent.Registered() {
		t.Fatal("not registered")
	}
}

// what the agent brings to a master says that nothing of earlier masters can be added.
func TestARegisterSaysTheTermOfTheLink(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.agent.Connected(9)
	r := h.registering()
	if r.Term != 9 || r.Sequence != 1 || h.saved[len(h.saved)-1].Term != 9 {
		t.Fatalf("%+v", r)
	}
	if again := h.registering(); again.Sequence != 2 || again.Attempt == r.Attempt {
		t.Fatalf("%+v after %+v", again, r)
	}
	if h.agent.Connected(8); h.agent.Term() != 9 {
		t.Fatal("a link to a master of the past counts")
	}
}

// Section 5.2: the task is staged before it is started, all in one Output.
func TestATaskIsSavedBeforeItIsStarted(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	out := h.launch("t", 1)
	if len(out.Save) != 2 || out.Save[0].Kind != RecordFramework || out.Save[1].Kind != RecordTask || len(out.Start) != 1 {
		t.Fatalf("%+v", out)
	}
	if s := out.Start[0]; s.Container != containerNo(1) || s.Framework.Name != "name" || s.Task.Command.Value != "sleep" {
		t.Fatalf("%+v", s)
	}
	if task := h.agent.Tasks()[0]; task.State != Staging || task.Sequence != 1 || task.Term != 3 || task.KillGrace != 3*time.Second {
		t.Fatalf("%+v", task)
	}
}

// Section 5.2: known containers are idempotent, for as long as a Launch may come.
func TestAContainerIsStartedOnce(t *testing.T) {
	h := newAgentHost(t, AgentConfig{MaxDone: 2})
	h.register()
	again := func(when string) {
		t.Helper()
		starts, saved := h.starts, len(h.saved)
		if h.launch("t1", 1); h.starts != starts || len(h.saved) != saved {
			t.Fatalf("%s: started again", when)
		}
	}
	h.launch("t1", 1)
	again("while it is staged")
	h.event(1, ContainerEvent{Kind: ContainerStarted})
	again("while it runs")
	h.restart(AgentConfig{MaxDone: 2})
	again("after a restart")
	h.agent.Observed(ObservedContainer{containerNo(1), Facts{Started: true, ShimAlive: true}})
	h.register()
	again("after a recovery")
	h.acknowledge(1)
	h.finish(1)
	again("when it is done")
	for n := 2; n < 5; n++ {
		h.launch(TaskID(rune('a'+n)), n)
		h.finish(n)
	}
	if h.agent.knows(containerNo(1)) {
		t.Fatal("still remembered")
	}
	again("when it is forgotten")
	h.saved = h.agent.Checkpoint()
	h.restart(AgentConfig{MaxDone: 2})
	h.register()
	again("when it is forgotten, after a restart")
	if h.launch("new", 5); h.starts != 5 {
		t.Fatalf("%d were started, want 5", h.starts)
	}
}

func TestADoubledLaunchIsToldWhatIsNotAcknowledged(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.launch("t", 1)
	h.event(1, ContainerEvent{Kind: ContainerStarted})
	first := h.last(1)
	u, ok := sentBy[StatusUpdate](h.launch("t", 1))
	if !ok || u.Status != first {
		t.Fatalf("%+v, want %+v", u, first)
	}
}

// A late Launch that cannot be told from a forgotten one is not started, and does not stay
// in doubt: the agent registers, and the master asks for it as missing.
func TestALaunchThatIsTooLateIsResolvedByTheNextRegistration(t *testing.T) {
	h := newAgentHost(t, AgentConfig{MaxDone: 1})
	h.register()
	for n := 2; n < 5; n++ {
		h.launch(TaskID(rune('a'+n)), n)
		h.finish(n)
	}
	late := h.launchOf("late", 1)
	if h.step(late); h.agent.Registered() {
		t.Fatal("no doubt")
	}
	missing := Task{Key: taskNamed("late"), Agent: "agent", Container: containerNo(1), Term: 3, Sequence: 1, State: Staging}
	if h.register(missing); h.starts != 3 {
		t.Fatalf("%d were started", h.starts)
	}
	h.mustBe(1, Dropped, ReasonReconciliation)
}

// What a registry admits and an agent will not hear of would be a framework whose launches
// nobody answers.
func TestAnAgentTakesEveryNameThatIsOne(t *testing.T) {
	names := []string{"", ".", "..", "...", strings.Repeat("x", MaxNameBytes), strings.Repeat("x", MaxNameBytes+1)}
	for c := range 256 {
		names = append(names, "my"+string([]byte{byte(c)})+"fw")
	}
	for _, name := range names {
		h := newAgentHost(t, AgentConfig{})
		h.register()
		l := h.launchOf(TaskID(name), 1)
		l.Framework.ID = FrameworkID(name)
		h.step(l)
		if err := CheckName(name); (h.starts == 1) != (err == nil) {
			t.Errorf("%q: started %d, but %v", name, h.starts, err)
		}
	}
	for _, name := range []string{"my fw", "my/fw", "my\tfw", "my\x7ffw"} {
		if CheckName(name) == nil {
			t.Errorf("%q is a name", name)
		}
	}
}

func TestATaskIDThatIsAliveIsAnError(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.launch("t", 1)
	h.launch("t", 2)
	h.mustBe(2, Errored, ReasonTaskInvalid)
	if h.starts != 1 || h.last(1).State.Terminal() {
		t.Fatalf("started %d, the first is %v", h.starts, h.last(1).State)
	}
	h.acknowledge(2)
	if h.launch("t", 2); h.starts != 1 || len(h.agent.Tasks()) != 1 {
		t.Fatal("the refused launch came again and was not known")
	}
}

func TestMoreThanIsLeftIsRefused(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	for n := 1; n <= 4; n++ {
		h.launch(TaskID(rune('a'+n)), n)
	}
	h.launch("one more", 5) // a name with a space is none
	h.launch("more", 6)
	h.mustBe(6, Dropped, ReasonInvalidOffers)
	if h.starts != 4 || len(h.agent.Tasks()) != 5 {
		t.Fatalf("started %d, tasks %v", h.starts, h.agent.Tasks())
	}
	h.event(1, ContainerEvent{Kind: ContainerExited}) // its end is not acknowledged, its resources are free
	if h.launch("again", 7); h.starts != 5 {
		t.Fatal("what is free is not used")
	}
}

func TestDescriptionsThatMakeNoSenseAreErrors(t *testing.T) {
	for name, change := range map[string]func(*Launch){
		"grace":      func(l *Launch) { l.Task.KillGrace = -1 },
		"long grace": func(l *Launch) { l.Task.KillGrace = 2 * time.Hour },
		"stop after": func(l *Launch) { l.Task.StopAfter = 2 * time.Second },
		"data":       func(l *Launch) { l.Task.Data = make([]byte, 65<<10) },
		"labels":     func(l *Launch) { l.Task.Labels = map[string]string{"a": strings.Repeat("x", MaxRecordBytes)} },
		"image":      func(l *Launch) { l.Task.Docker = &Docker{} },
		"port": func(l *Launch) {
			l.Task.Docker = &Docker{Image: "hello:1", Ports: []PortMapping{{Host: 22, Container: 22}}}
		},
		"framework": func(l *Launch) { l.Framework.Name = strings.Repeat("x", MaxRecordBytes) },
	} {
		h := newAgentHost(t, AgentConfig{})
		h.register()
		l := h.launchOf("t", 1)
		change(&l)
		h.step(l)
		if s := h.last(1); h.starts != 0 || s.State != Errored || s.Reason != ReasonTaskInvalid {
			t.Errorf("%s: started %d, %+v", name, h.starts, s)
		}
		for _, r := range h.saved {
			if len(r.Append(nil)) > MaxRecordBytes {
				t.Errorf("%s: a record of %d bytes", name, len(r.Append(nil)))
			}
		}
	}
}

func TestTasksAreBounded(t *testing.T) {
	h := newAgentHost(t, AgentConfig{MaxTasks: 2})
	h.register()
	for n := 1; n <= 9; n++ {
		h.launch(TaskID(rune('a'+n)), n)
	}
	if tasks := h.agent.Tasks(); h.starts != 2 || len(tasks) != 4 || tasks[3].State != Dropped {
		t.Fatalf("started %d, tasks %+v", h.starts, tasks)
	}
}

// A Register brings all tasks at once: with more than fits in a message the agent would be lost.
func TestWhatARegisterBringsIsBounded(t *testing.T) {
	h := newAgentHost(t, AgentConfig{MaxBytes: 40 << 10, MaxTasks: 100})
	h.register()
	for n := 1; n <= 100; n++ {
		l := h.launchOf(TaskID(fmt.Sprint("t", n)), n)
		l.Framework.ID = FrameworkID(fmt.Sprint("f", n%7))
		l.Framework.Labels = map[string]string{"of": strings.Repeat("f", 1<<10)}
		l.Task.Resources = quantity("cpus:0.001")
		l.Task.Labels = map[string]string{"of": strings.Repeat("t", 4<<10)}
		h.step(l)
	}
	if h.starts < 2 || h.starts > 4 {
		t.Errorf("%d tasks of 5 KiB were started, half of 40 KiB can be", h.starts)
	}
	if n := h.agent.bytes(); n > 24<<10 || len(h.agent.Tasks()) != 100 {
		t.Errorf("%d bytes of %d tasks: refused ones need little", n, len(h.agent.Tasks()))
	}
	for n := 101; n <= 1000; n++ {
		l := h.launchOf(TaskID(fmt.Sprint(strings.Repeat("t", 200), n)), n)
		l.Framework.ID = FrameworkID(fmt.Sprint("f", n%7))
		h.step(l)
	}
	if n := h.agent.bytes(); n > 41<<10 || n < 40<<10 {
		t.Errorf("%d bytes of %d tasks, want all of 40 KiB and no more", n, len(h.agent.Tasks()))
	}
	h.restart(AgentConfig{MaxBytes: 40 << 10, MaxTasks: 100})
	if n := h.agent.bytes(); n < 40<<10 {
		t.Errorf("%d bytes after a restart", n)
	}
}

func TestAFrameworkThatIsAwayTakesNoRoomFromTheOthers(t *testing.T) {
	h := newAgentHost(t, AgentConfig{MaxTasks: 2, MaxFrameworks: 2})
	h.register()
	of := func(f FrameworkID, n int) {
		l := h.launchOf(TaskID(rune('a'+n)), n)
		l.Framework.ID = f
		h.step(l)
	}
	for n := 1; n <= 4; n++ {
		of("away", n)
		h.event(n, ContainerEvent{Kind: ContainerExited, Exit: ContainerExit{Known: true}})
	}
	h.mustBe(3, Dropped, ReasonInvalidOffers)
	of("here", 5)
	of("here", 6)
	if h.starts != 4 {
		t.Fatalf("%d were started, want 2 of each framework: %v", h.starts, h)
	}
	of("here", 7)
	h.mustBe(7, Dropped, ReasonInvalidOffers)
	of("third", 8)
	if tasks := len(h.agent.Tasks()); tasks != 7 || h.starts != 4 {
		t.Fatalf("%d tasks of %d frameworks, %d started", tasks, len(h.agent.frameworks), h.starts)
	}
}

func TestAKillBeforeTheStartIsHandedOut(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.agent.Step(h.launchOf("t", 1))
	if out := h.step(Kill{Term: 3, Task: taskNamed("t")}); len(out.Start)+len(out.Stop) != 0 {
		t.Fatalf("%+v", out)
	}
	h.mustBe(1, Killed, ReasonTaskKilledDuringLaunch)
}

func TestAKillWhileItIsStarted(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.launch("t", 1)
	if out := h.step(Kill{Term: 3, Task: taskNamed("t")}); len(out.Stop) != 1 || out.Stop[0].Grace != 3*time.Second {
		t.Fatalf("%+v", out)
	}
	h.mustBe(1, Killing, ReasonTaskKilledDuringLaunch)
	if out := h.event(1, ContainerEvent{Kind: ContainerStarted}); len(out.Save) != 0 {
		t.Fatalf("it runs after its kill: %+v", out)
	}
	h.event(1, ContainerEvent{Kind: ContainerNotStarted})
	h.mustBe(1, Killed, ReasonTaskKilledDuringLaunch)
}

func TestAKillIsNotForgottenByARestart(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.launch("t", 1)
	h.event(1, ContainerEvent{Kind: ContainerStarted})
	h.step(Kill{Term: 3, Task: taskNamed("t"), Grace: time.Minute})
	h.mustBe(1, Killing, ReasonNone)
	if out := h.step(Kill{Term: 3, Task: taskNamed("t"), Grace: time.Second}); len(out.Stop) != 1 || out.Stop[0].Grace != time.Second {
		t.Fatalf("a second kill with less grace: %+v", out)
	}
	h.restart(AgentConfig{})
	h.output()
	h.agent.Observed(ObservedContainer{containerNo(1), Facts{Started: true, ShimAlive: true}})
	if out := h.output(); len(out.Stop) != 1 {
		t.Fatalf("%+v", out)
	}
	h.event(1, ContainerEvent{Kind: ContainerExited, Exit: ContainerExit{Known: true, Signal: 15}})
	h.mustBe(1, Killed, ReasonNone)
}

func TestAKillThatComesBeforeItsLaunch(t *testing.T) {
	h := newAgentHost(t, AgentConfig{MaxDone: 2})
	h.register()
	h.step(Kill{Term: 3, Task: taskNamed("t")})
	h.launch("t", 1)
	h.mustBe(1, Killed, ReasonTaskKilledDuringLaunch)
	for _, id := range []TaskID{"a", "b", "c"} {
		h.step(Kill{Term: 3, Task: taskNamed(id)})
	}
	if len(h.agent.killed) != 2 || len(h.agent.kills) != 2 {
		t.Fatalf("%d kills are remembered, want 2", len(h.agent.killed))
	}
}

func TestMessagesForAnotherAgentChangeNothing(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.launch("t", 1)
	saved := len(h.saved)
	l := h.launchOf("u", 2)
	l.Task.Agent = "other"
	for _, m := range []any{l, Shutdown{Agent: "other", Term: 3}, Registered{Agent: "other", Term: 3, Attempt: 1},
		Launch{}, Kill{}, Acknowledge{Term: 3}, Registered{}, Ping{}, nil, 7, &l} {
		if out := h.step(m); len(out.Save)+len(out.Start)+len(out.Stop) != 0 || len(h.saved) != saved {
			t.Errorf("%T: %+v", m, out)
		}
	}
}

func TestARemovedFrameworksTasksEndWithoutAnAcknowledgement(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.launch("t", 1)
	h.event(1, ContainerEvent{Kind: ContainerStarted})
	if out := h.step(ShutdownFramework{Term: 3, Framework: "f"}); len(out.Stop) != 1 {
		t.Fatalf("%+v", out)
	}
	h.event(1, ContainerEvent{Kind: ContainerExited})
	h.mustBe(1, Killed, ReasonFrameworkRemoved)
	sends := 0
	for range 20 {
		h.now += 5 * time.Second
		h.step(Ping{Term: 3, Connected: true})
		if _, ok := sentBy[StatusUpdate](Output{Send: h.sent}); ok {
			sends++
		}
	}
	if len(h.agent.Tasks()) != 0 || sends < 1 {
		t.Fatalf("after %d sends: %+v", sends, h.agent.Tasks())
	}
	if h.launch("t", 1); h.starts != 1 {
		t.Fatal("started again")
	}
}

// A-13, P-5.
func TestAShutdownAgentKillsAllAndRetires(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.launch("t", 1)
	if out := h.step(Shutdown{Agent: "agent", Term: 3, Reason: "gone"}); len(out.Stop) != 1 || h.agent.Retired() {
		t.Fatalf("%+v", out)
	}
	if h.launch("u", 2); h.starts != 1 {
		t.Fatal("started another")
	}
	h.event(1, ContainerEvent{Kind: ContainerExited})
	h.mustBe(1, Killed, ReasonAgentRemoved)
	h.agent.Connected(3)
	h.now += time.Hour
	if _, registers := sentBy[Register](h.output()); registers || !h.agent.Retired() {
		t.Fatalf("retired %v, registers %v", h.agent.Retired(), registers)
	}
}
