//go:build linux

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/mesos"
)

func TestAContainerRunsAndIsThereUntilItsEndIsAcknowledged(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	start(t, m, dockerConfig(t, m, work, e))
	m.registered(1)
	x := m.launch(dockerTask("three"))
	m.told("three", mesos.Running)
	e.mu.Lock()
	if env := e.containers[x.String()].spec.Env; !slices.Contains(env, "SYNOD_TASK=three") || !slices.Contains(env, "SYNOD_FRAMEWORK=f") {
		t.Errorf("it does not find in its environment which task it is: %q", env)
	}
	e.mu.Unlock()
	m.mu.Lock()
	m.mute = true
	m.mu.Unlock()
	e.exit(x, 3)
	s := m.told("three", mesos.Failed)
	if !s.HasExit || s.ExitCode != 3 || e.status(x) != "exited" {
		t.Errorf("three: %+v, its container is %q", s, e.status(x))
	}
	if out := content(work, x, "run", "stdout"); out != "hello\nworld\nend" {
		t.Errorf("stdout is kept as %q", out)
	}
	m.send(mesos.Acknowledge{Term: m.term, Task: s.Task, ID: s.ID})
	eventually(t, "it is removed", func() bool { return e.status(x) == "" })
	m.mustHaveTold("three", mesos.Running, mesos.Failed)
}

func TestWhatCannotBeStartedIsSaidWithItsReason(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	c := dockerConfig(t, m, work, e)
	c.DockerAllows.Paths = []string{"/srv"}
	start(t, m, c)
	m.registered(1)
	for name, change := range map[string]struct {
		f    func(*mesos.TaskInfo)
		want string
	}{
		"image":   {func(i *mesos.TaskInfo) { i.Docker.Image = "none" }, "host has no image none"},
		"program": {func(i *mesos.TaskInfo) { i.Command.Value = "/no/such" }, "no such file"},
		"network": {func(i *mesos.TaskInfo) { i.Docker.Network = "secret" }, "--docker-networks secret"},
		"mount":   {func(i *mesos.TaskInfo) { i.Docker.Mounts = []mesos.Mount{{Path: "/srvx", Target: "/x"}} }, "--docker-mounts /srvx"},
		"below":   {func(i *mesos.TaskInfo) { i.Docker.Mounts = []mesos.Mount{{Path: "/srv/link", Target: "/x"}} }, "--docker-mounts /srv/link"},
	} {
		info := dockerTask(mesos.TaskID(name))
		change.f(&info)
		x := m.launch(info)
		if s := m.told(info.ID, mesos.Failed); s.HasExit || s.Reason != mesos.ReasonContainerLaunchFailed || !strings.Contains(s.Message, change.want) {
			t.Errorf("%s: %+v, want %q", name, s, change.want)
		}
		eventually(t, name+" has no container", func() bool { return e.status(x) == "" })
		if e.started(x) != 0 {
			t.Errorf("%s was started", name)
		}
	}
}

func TestAnAgentWithoutAnEngineRunsNoContainers(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	start(t, m, config(t, m, work))
	m.registered(1)
	m.launch(dockerTask("t"))
	if s := m.told("t", mesos.Failed); !strings.Contains(s.Message, "no Docker engine") || s.Reason != mesos.ReasonContainerLaunchFailed {
		t.Errorf("%+v", s)
	}
}

// dockerSteps are all between the launch of a container and the end of it.
var dockerSteps = []string{"save", "saved", "prepared", "docker noted", "docker created", "docker started", "docker launched", "started", "docker kept", "ended"}

// The agent ends at each step of a container's life, and another one goes on. The container runs at most once; its end is told
// once, with its own exit code if it has run, and as DROPPED if it has not.
func TestAnAgentThatEndsAtAnyStepLosesAndDoublesNoContainer(t *testing.T) {
	dropped, ran := 0, 0
	for _, step := range dockerSteps {
		for _, lost := range []bool{false, true} {
			switch state := endedAt(t, step, lost); state {
			case mesos.Dropped:
				dropped++
			case mesos.Failed:
				ran++
			}
		}
	}
	t.Logf("%d ran, %d were dropped", ran, dropped)
	if dropped == 0 || ran == 0 {
		t.Errorf("%d ran and %d were dropped: want some of each", ran, dropped)
	}
}

// endedAt has an agent end at a step. lost: from then on no answer of the engine comes, though it does what it is asked for.
func endedAt(t *testing.T, step string, lost bool) mesos.TaskState {
	t.Helper()
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	c := dockerConfig(t, m, work, e)
	var h *Handle
	reached := make(chan struct{})
	var once sync.Once
	c.step = func(id mesos.ContainerID, now string) {
		if now != step || now == "save" && m.sequence == 0 || now == "saved" && m.sequence == 0 {
			return
		}
		once.Do(func() {
			close(reached)
			if strings.HasPrefix(step, "docker ") { // the start goes on when its context has ended, or before
				if !lost {
					<-h.docker.ctx.Done()
				}
			}
		})
	}
	h = start(t, m, c)
	m.registered(1)
	if lost {
		e.hook(nil, func(call, _ string) error {
			select {
			case <-reached:
				if call == "start" || call == "create" {
					return docker.ErrNoEngine
				}
			default:
			}
			return nil
		})
	}
	x := m.launch(dockerTask("t"))
	if step == "docker kept" || step == "ended" {
		m.told("t", mesos.Running)
		e.exit(x, 5)
	}
	select {
	case <-reached:
	case <-time.After(patience):
		t.Fatalf("the step %s is never reached", step)
	}
	stopAgent(t, h)
	e.hook(nil, nil)
	start(t, m, dockerConfig(t, m, work, e))
	var s mesos.TaskStatus
	m.until(step+": its end is told", func() bool {
		for _, s = range m.of("t") {
			if s.State == mesos.Running {
				go e.exit(x, 5)
			}
			if s.State.Terminal() {
				return true
			}
		}
		return false
	})
	name := fmt.Sprintf("%s, answers lost %v", step, lost)
	switch runs := e.started(x); {
	case s.State == mesos.Dropped && runs == 0:
	case s.State == mesos.Failed && runs == 1 && s.HasExit && s.ExitCode == 5:
	default:
		t.Errorf("%s: it ran %d times and ended as %+v", name, runs, s)
	}
	eventually(t, name+": no container is left", func() bool { return len(e.all()) == 0 })
	return s.State
}

// A look of a new actor and the start of the one before never overlap: what is told to be dropped does not run.
func TestAnActorThatPanicsWhileItsContainerIsMadeDoublesNothing(t *testing.T) {
	for _, at := range []string{"docker noted", "docker created", "docker started", "docker launched", "started"} {
		m, work, e := newMaster(t), newWork(t), newFakeEngine()
		c := dockerConfig(t, m, work, e)
		var once sync.Once
		var h *Handle
		panicked := make(chan struct{})
		c.step = func(id mesos.ContainerID, now string) {
			if now != at {
				return
			}
			once.Do(func() {
				if at == "started" { // in the actor itself
					close(panicked)
					panic("as if by a mistake")
				}
				h.tell(test(func(a *host) { close(panicked); panic("as if by a mistake") }))
				<-panicked
			})
		}
		h = start(t, m, c)
		m.registered(1)
		x := m.launch(dockerTask("t"))
		var s mesos.TaskStatus
		m.until(at+": it runs or has ended", func() bool {
			for _, s = range m.of("t") {
				return true
			}
			return false
		})
		if s.State == mesos.Running {
			e.exit(x, 6)
			s = m.told("t", mesos.Failed)
		}
		if runs := e.started(x); runs > 1 || (s.State == mesos.Dropped) != (runs == 0) || runs == 1 && s.ExitCode != 6 {
			t.Errorf("%s: it ran %d times and ended as %+v", at, runs, s)
		}
		eventually(t, at+": no container is left", func() bool { return len(e.all()) == 0 })
	}
}

func TestAContainerThatSomebodyRemovesHasFailed(t *testing.T) {
	for _, restart := range []bool{false, true} {
		m, work, e := newMaster(t), newWork(t), newFakeEngine()
		h := start(t, m, dockerConfig(t, m, work, e))
		m.registered(1)
		x := m.launch(dockerTask("t"))
		m.told("t", mesos.Running)
		if restart {
			stopAgent(t, h)
		}
		e.change(func() { delete(e.containers, x.String()) })
		if restart {
			start(t, m, dockerConfig(t, m, work, e))
		}
		if s := m.told("t", mesos.Failed); s.Reason != mesos.ReasonExecutorTerminated || s.HasExit || !strings.Contains(s.Message, "removed") {
			t.Errorf("restart %v: %+v", restart, s)
		}
	}
}

func TestAContainerThatEndsWithoutAnAgentIsToldByTheNext(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	h := start(t, m, dockerConfig(t, m, work, e))
	m.registered(1)
	x := m.launch(dockerTask("t"))
	m.told("t", mesos.Running)
	stopAgent(t, h)
	e.change(func() {
		e.containers[x.String()].state = docker.State{Status: "exited", ExitCode: 137, OutOfMemory: true, Finished: time.Now()}
	})
	start(t, m, dockerConfig(t, m, work, e))
	if s := m.told("t", mesos.Failed); s.ExitCode != 137 || s.Reason != mesos.ReasonContainerLimitationMemory {
		t.Errorf("%+v", s)
	}
	eventually(t, "it is removed", func() bool { return e.status(x) == "" })
}

// An engine that was killed when it heard of an end says 0 of it, and not when it was.
func TestAnEndWithoutATimeIsNotTakenForGood(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	h := start(t, m, dockerConfig(t, m, work, e))
	m.registered(1)
	x := m.launch(dockerTask("t"))
	m.told("t", mesos.Running)
	stopAgent(t, h)
	e.change(func() { e.containers[x.String()].state = docker.State{Status: "exited"} })
	start(t, m, dockerConfig(t, m, work, e))
	if s := m.told("t", mesos.Failed); s.HasExit || !strings.Contains(s.Message, "its exit status is unknown") {
		t.Errorf("%+v", s)
	}
}

func TestAnEngineThatIsAwayPostponesWhatIsTold(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	h := start(t, m, dockerConfig(t, m, work, e))
	m.registered(1)
	x, y := m.launch(dockerTask("x")), m.launch(dockerTask("y"))
	m.told("x", mesos.Running)
	m.told("y", mesos.Running)
	stopAgent(t, h)
	e.goAway(true)
	start(t, m, dockerConfig(t, m, work, e))
	m.registered(2)
	m.launch(dockerTask("new"))
	if s := m.told("new", mesos.Failed); s.Reason != mesos.ReasonContainerLaunchFailed || !strings.Contains(s.Message, "systemctl start docker") {
		t.Errorf("launched without an engine: %+v", s)
	}
	m.kill("x")
	m.told("x", mesos.Killing)
	m.mustHaveTold("y", mesos.Running)
	e.change(func() {
		e.containers[y.String()].state = docker.State{Status: "exited", ExitCode: 9, Finished: time.Now()}
	})
	e.goAway(false)
	m.told("x", mesos.Killed)
	if s := m.told("y", mesos.Failed); s.ExitCode != 9 {
		t.Errorf("y: %+v", s)
	}
	if e.started(x) != 1 || e.started(y) != 1 {
		t.Errorf("they were started %d and %d times", e.started(x), e.started(y))
	}
}

// An agent that has found no engine knows nothing of its containers, and says nothing.
func TestAnAgentThatHasLostItsEngineLeavesTasksAsTheyWere(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	h := start(t, m, dockerConfig(t, m, work, e))
	m.registered(1)
	x := m.launch(dockerTask("t"))
	m.told("t", mesos.Running)
	stopAgent(t, h)
	h = start(t, m, config(t, m, work))
	m.registered(2)
	m.launch(task("process", "exit 0"))
	m.told("process", mesos.Finished)
	if s := h.Status(t.Context()); len(s.Tasks) == 0 || s.Tasks[0].State != mesos.Running {
		t.Errorf("%+v", s.Tasks)
	}
	stopAgent(t, h)
	start(t, m, dockerConfig(t, m, work, e))
	m.registered(3)
	e.exit(x, 4)
	if s := m.told("t", mesos.Failed); s.ExitCode != 4 {
		t.Errorf("%+v", s)
	}
	m.mustHaveTold("t", mesos.Running, mesos.Failed)
}

func TestAnEngineThatGoesAwayMeanwhileLosesNoEnd(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	start(t, m, dockerConfig(t, m, work, e))
	m.registered(1)
	x := m.launch(dockerTask("t"))
	m.told("t", mesos.Running)
	e.goAway(true)
	e.change(func() {
		e.containers[x.String()].state = docker.State{Status: "exited", ExitCode: 11, Finished: time.Now()}
	})
	e.goAway(false)
	if s := m.told("t", mesos.Failed); s.ExitCode != 11 {
		t.Errorf("%+v", s)
	}
	m.mustHaveTold("t", mesos.Running, mesos.Failed)
}

func TestAContainerIsToldToEndAndThenKilled(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	start(t, m, dockerConfig(t, m, work, e))
	m.registered(1)
	x := m.launch(dockerTask("t"))
	m.told("t", mesos.Running)
	e.change(func() { c := e.containers[x.String()]; c.ignores, c.state.StopSignal = true, "SIGINT" })
	m.send(mesos.Kill{Term: 5, Task: mesos.TaskKey{Framework: "f", Task: "t"}, Grace: time.Hour})
	m.told("t", mesos.Killing)
	signals := func() (list []string) {
		e.change(func() { list = e.containers[x.String()].signals })
		return list
	}
	eventually(t, "it is told to end", func() bool { return len(signals()) == 1 })
	m.mu.Lock()
	m.mute = true
	m.mu.Unlock()
	m.send(mesos.Kill{Term: 5, Task: mesos.TaskKey{Framework: "f", Task: "t"}, Grace: time.Millisecond})
	if s := m.told("t", mesos.Killed); s.ExitCode != 137 {
		t.Errorf("%+v", s)
	}
	if got := fmt.Sprint(signals()); got != "[SIGINT SIGKILL]" {
		t.Errorf("it got %s", got)
	}
}

func TestContainersThatNobodyKnowsAreEndedAndRemoved(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	ids := map[string]mesos.ContainerID{}
	for i, status := range []string{"created", "running", "exited", "dead"} {
		id := number(uint64(100 + i))
		ids[status] = id
		e.containers[id.String()] = &fakeContainer{state: docker.State{Status: status}}
	}
	start(t, m, dockerConfig(t, m, work, e))
	m.registered(1)
	eventually(t, "none of them is left", func() bool { return len(e.all()) == 0 })
	x := m.launch(dockerTask("t"))
	m.told("t", mesos.Running)
	stray := number(200)
	e.change(func() { e.containers[stray.String()] = &fakeContainer{state: docker.State{Status: "running"}} })
	eventually(t, "the stray one is gone too", func() bool { return e.status(stray) == "" })
	if s := e.status(x); s != "running" {
		t.Errorf("the agent's own is %q", s)
	}
}

func TestACleanupEndsContainers(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	h := start(t, m, dockerConfig(t, m, work, e))
	m.registered(1)
	m.launch(dockerTask("t"))
	m.told("t", mesos.Running)
	stopAgent(t, h)
	c := dockerConfig(t, m, work, e)
	c.Recover = mesos.Cleanup
	h = start(t, m, c)
	select {
	case <-h.Done():
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	if h.Err() != ErrCleanedUp {
		t.Errorf("it ended for %v", h.Err())
	}
	for id, status := range e.all() {
		if status == "running" {
			t.Errorf("%s is %s", id, status)
		}
	}
}

func TestEndContainersKeepsHowTheyEndedForTheNextAgent(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	h := start(t, m, dockerConfig(t, m, work, e))
	m.registered(1)
	x := m.launch(dockerTask("t"))
	m.told("t", mesos.Running)
	e.change(func() { e.containers[x.String()].ignores = true })
	stopAgent(t, h)
	if err := endContainers(t.Context(), work, e, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if all := e.all(); len(all) != 0 {
		t.Errorf("left are %v", all)
	}
	start(t, m, dockerConfig(t, m, work, e))
	if s := m.told("t", mesos.Failed); s.ExitCode != 137 {
		t.Errorf("%+v", s)
	}
}

func TestLogsOfAContainerComeFromItsEngineWhileItRuns(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	h := start(t, m, dockerConfig(t, m, work, e))
	m.registered(1)
	x := m.launch(dockerTask("t"))
	m.told("t", mesos.Running)
	read := func(o LogOptions) (string, int64) {
		t.Helper()
		var text strings.Builder
		var offset int64 = -1
		o.Stream, o.Begin = "stdout", func(n int64) { offset = n }
		if err := h.Logs(t.Context(), x, o, &text); err != nil {
			t.Error(err)
		}
		return text.String(), offset
	}
	cases := []struct {
		o      LogOptions
		text   string
		offset int64
	}{
		{LogOptions{}, "hello\nworld\nend", 0}, {LogOptions{Tail: -1}, "hello\nworld\nend", 0}, {LogOptions{Tail: 1}, "end", 12},
		{LogOptions{Tail: 2}, "world\nend", 6}, {LogOptions{Tail: 9}, "hello\nworld\nend", 0}, {LogOptions{From: 8}, "rld\nend", 8}, {LogOptions{From: 99}, "", 15},
	}
	check := func() {
		for _, c := range cases {
			if text, offset := read(c.o); text != c.text || offset != c.offset {
				t.Errorf("%+v: %q from %d, want %q from %d", c.o, text, offset, c.text, c.offset)
			}
		}
	}
	check()
	done := make(chan string)
	go func() {
		text, _ := read(LogOptions{Follow: true, From: 6})
		done <- text
	}()
	e.goAway(true)
	e.goAway(false)
	e.change(func() { e.containers[x.String()].stdout += " of it\n" })
	e.exit(x, 0)
	m.told("t", mesos.Finished)
	if text := <-done; text != "world\nend of it\n" {
		t.Errorf("followed was %q", text)
	}
	cases = []struct {
		o      LogOptions
		text   string
		offset int64
	}{{LogOptions{Tail: 1}, "end of it\n", 12}, {LogOptions{From: 6}, "world\nend of it\n", 6}}
	check()
}

func TestFilesOfContainersAreCollected(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	h := start(t, m, dockerConfig(t, m, work, e))
	m.registered(1)
	x, y := m.launch(dockerTask("x")), m.launch(dockerTask("y"))
	m.told("x", mesos.Running)
	m.told("y", mesos.Running)
	e.exit(x, 0)
	m.told("x", mesos.Finished)
	eventually(t, "x is removed", func() bool { return e.status(x) == "" })
	h.collect(time.Now().Add(30 * 24 * time.Hour))
	if _, err := os.Stat(pathsOf(work, x).dir); !os.IsNotExist(err) {
		t.Errorf("the files of x: %v", err)
	}
	if _, err := os.Stat(filepath.Join(pathsOf(work, y).run(), dockerFile)); err != nil {
		t.Error(err)
	}
}

// Why a container could not be started is told also if the agent that has tried ends before it has kept it.
func TestAStartThatHasFailedIsFoundByTheNextAgent(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	c := dockerConfig(t, m, work, e)
	var h *Handle
	reached := make(chan struct{})
	c.step = func(_ mesos.ContainerID, step string) {
		if step == "docker launched" {
			close(reached)
			<-h.docker.ctx.Done()
		}
	}
	h = start(t, m, c)
	m.registered(1)
	info := dockerTask("t")
	info.Command.Value = "/no/such"
	x := m.launch(info)
	<-reached
	stopAgent(t, h)
	start(t, m, dockerConfig(t, m, work, e))
	if s := m.told("t", mesos.Failed); s.Reason != mesos.ReasonContainerLaunchFailed || s.HasExit || s.Message != "no such file" || e.started(x) != 0 {
		t.Errorf("%+v", s)
	}
	eventually(t, "no container is left", func() bool { return len(e.all()) == 0 })
}

// A look that says that nothing will start a container, and a start of it, come one after the other, whichever is first.
func TestALookAndAStartOfOneContainerNeverOverlap(t *testing.T) {
	for _, lookFirst := range []bool{false, true} {
		e, work := newFakeEngine(), newWork(t)
		made, goOn := make(chan struct{}), make(chan struct{})
		c := dockerConfig(t, newMaster(t), work, e)
		c.step = func(_ mesos.ContainerID, step string) {
			if step == "docker created" {
				close(made)
				<-goOn
			}
		}
		c, err := c.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		d := newDockerContainerizer(&Handle{cfg: c})
		at := place{id: number(1), paths: pathsOf(work, number(1))}
		if err := os.MkdirAll(at.paths.sandbox(), 0o755); err != nil {
			t.Fatal(err)
		}
		look := func() mesos.Facts {
			f, err := d.observe(t.Context(), at)
			if err != nil {
				t.Error(err)
			}
			return f
		}
		if lookFirst {
			close(goOn)
			if f := look(); mesos.Decide(f) != mesos.NeverStarted {
				t.Errorf("looked at first it is %+v", f)
			}
			if err := d.start(t.Context(), at, dockerTask("t")); err == nil || e.started(at.id) != 0 || len(e.all()) != 0 {
				t.Errorf("it is started after a look that said never: %v, %v", err, e.all())
			}
			d.close()
			continue
		}
		started, looked := make(chan error, 1), make(chan mesos.Facts, 1)
		go func() { started <- d.start(t.Context(), at, dockerTask("t")) }()
		<-made
		go func() { looked <- look() }()
		select {
		case f := <-looked:
			t.Errorf("looked at while it is made it is %+v", f)
			looked <- f
		case <-time.After(100 * time.Millisecond):
		}
		close(goOn)
		if err := <-started; err != nil {
			t.Error(err)
		}
		if f := <-looked; mesos.Decide(f) != mesos.Adopt {
			t.Errorf("it is %+v", f)
		}
		d.close()
	}
}
