package jobs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/mesos"
)

// bench drives Jobs by hand, with a registry that takes everything at once.
type bench struct {
	t         *testing.T
	j         *Jobs
	now       time.Duration
	documents map[string][]byte
	calls     []mesos.CallBody
	answers   []Answer
	offers    int
	updates   byte
	refuse    string // the registry takes no documents that begin so
	hold      bool   // it says nothing yet: what is held is in held
	held      []Save
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, now: unixStart, documents: map[string][]byte{}}
	b.again()
	return b
}

// again is another master, from the documents.
func (b *bench) again() {
	b.t.Helper()
	var all []mesos.Document
	for name, data := range b.documents {
		all = append(all, mesos.Document{Name: name, Data: data})
	}
	j, err := New(Config{Next: everyMinute, PingInterval: time.Second}, b.now, slices.Values(all))
	if err != nil {
		b.t.Fatal(err)
	}
	b.j, b.calls = j, nil
	j.Event(b.now, mesos.SubscribedEvent{})
	b.settle()
}

func (b *bench) settle() {
	for range 10 {
		out := b.j.Output()
		b.calls = append(b.calls, out.Calls...)
		b.answers = append(b.answers, out.Answers...)
		saves := out.Save
		if b.held = append(b.held, saves...); !b.hold {
			saves, b.held = b.held, nil
		} else {
			saves = nil
		}
		for _, s := range saves {
			if b.refuse != "" && strings.HasPrefix(nameOf(s.Operation), b.refuse) {
				b.j.Saved(b.now, s.Number, false)
				continue
			}
			switch o := s.Operation.(type) {
			case mesos.PutDocument:
				b.documents[o.Name] = o.Data
			case mesos.RemoveDocument:
				delete(b.documents, o.Name)
			}
			b.j.Saved(b.now, s.Number, true)
		}
	}
}

func nameOf(o mesos.RegistryOperation) string {
	if p, ok := o.(mesos.PutDocument); ok {
		return p.Name
	}
	return "remove " + o.(mesos.RemoveDocument).Name
}

// put changes a job and returns the answer.
func (b *bench) put(s Spec) Answer {
	b.j.Put(b.now, 1, s, 0)
	b.settle()
	return b.answers[len(b.answers)-1]
}

// offer makes offers of whole agents, each "agent text".
func (b *bench) offer(agents ...string) {
	var e mesos.OffersEvent
	for _, text := range agents {
		agent, resources, _ := strings.Cut(text, " ")
		r, err := mesos.ParseResources(resources)
		if err != nil {
			b.t.Fatal(err)
		}
		b.offers++
		attributes := map[string]string{"zone": agent[:1]}
		if agent[0] == 'd' {
			attributes[mesos.DockerAttribute] = "20.10.24"
		}
		e.Offers = append(e.Offers, mesos.OfferInfo{ID: mesos.OfferID(fmt.Sprint("o", b.offers)), Role: "*", Agent: mesos.AgentID(agent),
			Hostname: "host-" + agent, Attributes: attributes, Resources: r})
	}
	b.j.Event(b.now, e)
	b.settle()
}

func (b *bench) tell(task mesos.TaskID, agent string, state mesos.TaskState) {
	b.updates++
	b.j.Event(b.now, mesos.UpdateEvent{Status: mesos.TaskStatus{Task: mesos.TaskKey{Framework: FrameworkID, Task: task},
		Agent: mesos.AgentID(agent), State: state, ID: mesos.UpdateID{b.updates}}})
	b.settle()
}

// pass lets time pass, by no more than is to be done next.
func (b *bench) pass(d time.Duration) {
	for end := b.now + d; ; {
		at, ok := b.j.Next()
		if !ok || at > end {
			b.now = end
			b.j.Tick(b.now)
			b.settle()
			return
		}
		b.now = max(b.now, at)
		b.j.Tick(b.now)
		b.settle()
	}
}

// launched takes the tasks that were launched, "task@agent".
func (b *bench) launched() (all []string) {
	for _, c := range b.calls {
		if a, ok := c.(mesos.AcceptCall); ok {
			for _, t := range a.Launch {
				all = append(all, fmt.Sprintf("%s@%s", t.ID, t.Agent))
			}
		}
	}
	b.calls = nil
	return all
}

func (b *bench) killed() (all []mesos.TaskID) {
	for _, c := range b.calls {
		if k, ok := c.(mesos.KillCall); ok {
			all = append(all, k.Task)
		}
	}
	b.calls = nil
	return all
}

func (b *bench) want(what string, got, want any) {
	b.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func (b *bench) status(name string) Status {
	s, _ := b.j.Status(name)
	return s
}

func service(count int) Spec {
	return Spec{Name: "web", Count: count, Command: mesos.Command{Value: "serve"}, CPUs: mesos.One}
}

func TestConstraints(t *testing.T) {
	for constraint, want := range map[Constraint]string{
		{"zone", "is", "b"}:        "[web.0.1@b1 web.1.2@b1]",
		{"zone", "not", "b"}:       "[web.0.1@a1 web.1.2@a2]",
		{"hostname", "unique", ""}: "[web.0.1@a1 web.1.2@a2]",
		{"zone", "unique", ""}:     "[web.0.1@a1 web.1.2@b1]",
		{"zone", "spread", ""}:     "[web.0.1@a1 web.1.2@b1]",
		{"agent", "is", "a2"}:      "[web.0.1@a2 web.1.2@a2]",
		{"rack", "is", "r"}:        "[]",
		{"rack", "unique", ""}:     "[]",
	} {
		b := newBench(t)
		s := service(2)
		s.Constraints = []Constraint{constraint}
		b.put(s)
		b.pass(time.Second)
		b.offer("a1 cpus:4;mem:900", "a2 cpus:4;mem:800", "b1 cpus:4;mem:700")
		b.want(fmt.Sprint(constraint), b.launched(), want)
	}
}

func TestPortsAreOfTheAgent(t *testing.T) {
	b := newBench(t)
	s := service(2)
	s.Ports = []Port{{Name: "http"}, {Name: "admin-2", Host: 8080}}
	b.put(s)
	b.pass(time.Second)
	b.offer("a1 cpus:4;mem:900;ports:[8080-8081]", "a2 cpus:4;mem:900;ports:[31000-31001]", "b1 cpus:4;mem:700;ports:[9000-9000,8080-8080]")
	var env []string
	for _, c := range b.calls {
		if a, ok := c.(mesos.AcceptCall); ok {
			e := a.Launch[0].Command.Environment
			env = append(env, e["PORT"]+" "+e["PORT_HTTP"]+" "+e["PORT_ADMIN_2"])
		}
	}
	b.want("ports", env, "[8081 8081 8080 9000 9000 8080]")
}

func TestWhatWasSavedAndNotLaunchedIsAskedFor(t *testing.T) { // R
	b := newBench(t)
	b.put(service(1))
	b.pass(time.Second)
	b.offer("a1 cpus:4;mem:900")
	b.want("launched", b.launched(), "[web.0.1@a1]")
	b.again()
	b.want("calls", fmt.Sprintf("%+v", b.calls), "[{Tasks:[]} {Roles:[]} {Tasks:[{Task:web.0.1 Agent:a1}]}]")
	b.offer("a2 cpus:4;mem:900")
	b.want("launched while it may run", b.launched(), "[]")
	b.tell("web.0.1", "a1", mesos.Gone)
	b.pass(2 * time.Second)
	b.offer("a2 cpus:4;mem:900")
	b.want("launched", b.launched(), "[web.0.10001@a2]")
}

func TestAnInstanceWhoseAgentIsLost(t *testing.T) { // P
	for _, replace := range []time.Duration{0, time.Minute} {
		b := newBench(t)
		s := service(1)
		s.ReplaceAfter = replace
		b.put(s)
		b.pass(time.Second)
		b.offer("a1 cpus:4;mem:900")
		b.launched()
		b.tell("web.0.1", "a1", mesos.Running)
		b.tell("web.0.1", "a1", mesos.Unreachable)
		b.pass(59 * time.Second)
		b.offer("a2 cpus:4;mem:900")
		b.want("launched too early", b.launched(), "[]")
		b.pass(2 * time.Second)
		b.offer("a2 cpus:4;mem:900")
		want := "[web.0.2@a2]"
		if replace == 0 {
			want = "[]"
		}
		b.want("launched", b.launched(), want)
		b.tell("web.0.1", "a1", mesos.Running)
		b.want("killed", len(b.killed()) > 0, replace != 0)
	}
}

func TestRestartsWaitAndGiveUp(t *testing.T) {
	b := newBench(t)
	s := service(1)
	s.Restart = Restart{BackoffMin: time.Second, BackoffMax: 10 * time.Second, GiveUpAfter: 3}
	b.put(s)
	b.pass(time.Second)
	b.offer("a1 cpus:4;mem:900")
	for n, wait := range []time.Duration{1, 2, 4} {
		b.tell(FormatTask("web", 0, uint64(n+1)), "a1", mesos.Failed)
		b.pass(wait*time.Second - time.Millisecond)
		b.want("waits", b.j.Unplaced(), 0)
		b.pass(time.Second)
		b.want("waits", b.j.Unplaced(), 1)
		b.offer("a1 cpus:4;mem:900")
	}
	b.tell("web.0.4", "a1", mesos.Failed)
	b.pass(time.Hour)
	if got := b.status("web"); b.j.Unplaced() != 0 || got.State != "failed" || !strings.Contains(got.Instances[0].Pending, "given up after 3 restarts") {
		t.Fatalf("%+v", got)
	}
	b.j.Restart(b.now, 2, "web")
	b.settle()
	b.want("waits", b.j.Unplaced(), 1)
}

func TestADrainedServiceIsElsewhereAtOnce(t *testing.T) {
	b := newBench(t)
	b.put(service(1))
	b.pass(time.Second)
	b.offer("a1 cpus:4;mem:900")
	b.launched()
	b.tell("web.0.1", "a1", mesos.Running)
	b.tell("web.0.1", "a1", mesos.Killed)
	b.offer("a2 cpus:4;mem:900")
	b.want("launched", b.launched(), "[web.0.2@a2]")
	b.want("restarts", b.status("web").Instances[0].Restarts, 0)
}

func TestAFailedUpdateIsRolledBack(t *testing.T) {
	b := newBench(t)
	b.put(service(2))
	b.pass(time.Second)
	b.offer("a1 cpus:4;mem:900")
	b.tell("web.0.1", "a1", mesos.Running)
	b.tell("web.1.2", "a1", mesos.Running)
	b.pass(time.Minute)
	worse := service(2)
	worse.Command.Value = "crash"
	b.want("answer", b.put(worse).Version, 2)
	b.want("killed", b.killed(), "[web.0.1]") // one at a time
	b.tell("web.0.1", "a1", mesos.Killed)
	b.offer("a1 cpus:4;mem:900")
	b.want("launched", b.launched(), "[web.0.3@a1]")
	b.tell("web.0.3", "a1", mesos.Running)
	b.pass(4 * time.Second)
	b.tell("web.0.3", "a1", mesos.Failed)
	b.pass(3 * time.Minute)
	got := b.status("web")
	if got.State != "rolling back" || got.Version != 3 || got.Spec.Command.Value != "serve" || !strings.Contains(got.Progress, "version 2 failed") {
		t.Fatalf("%+v", got)
	}
	b.calls = nil
	b.offer("a1 cpus:4;mem:900")
	b.want("launched", b.launched(), "[web.0.4@a1]") // and web.1.2, which is of before, goes on
	b.tell("web.0.4", "a1", mesos.Running)
	b.pass(6 * time.Second)
	if got := b.status("web"); got.State != "running" || !strings.Contains(got.Progress, "version 2 failed") {
		t.Fatalf("%+v", got)
	}
}

func TestATimeIsRunOnce(t *testing.T) {
	b := newBench(t)
	s := service(1)
	s.Kind, s.Schedule = Timed, "* * * * *"
	b.put(s)
	b.pass(time.Minute)
	b.offer("a1 cpus:4;mem:900")
	b.want("launched", b.launched(), "[web.0.1@a1]")
	b.tell("web.0.1", "a1", mesos.Finished)
	b.again()
	b.pass(time.Second)
	b.want("waits", b.j.Unplaced(), 0)
	b.now += 3 * time.Minute // nobody leads
	b.again()
	b.want("waits", b.j.Unplaced(), 1)
	b.offer("a1 cpus:4;mem:900")
	b.want("launched", b.launched(), "[web.0.20001@a1]")
	b.pass(time.Minute)
	if got := b.status("web"); !strings.Contains(got.Progress, "passed over: the one before goes on") || got.State != "running" || got.Next == 0 {
		t.Fatalf("%+v", got)
	}
	b.tell("web.0.20001", "a1", mesos.Finished)
	b.now += time.Hour
	b.again()
	b.want("state", b.status("web").State, "running") // the last time is not longer ago than Late
}

// What waits says what it needs, what there is, and what to do.
func TestWhyNothingRuns(t *testing.T) {
	agent := func(id, all, used string) mesos.AgentView {
		total, err1 := mesos.ParseResources(all)
		taken, err2 := mesos.ParseResources(used)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		return mesos.AgentView{State: "registered", Used: taken, Info: mesos.AgentInfo{ID: mesos.AgentID(id), Hostname: id, Resources: total}}
	}
	b := newBench(t)
	s := service(1)
	s.Memory = 4096 * mesos.One
	b.put(s)
	for _, c := range []struct {
		agents []mesos.AgentView
		want   string
	}{
		{nil, "needs cpus:1, mem:4096 on one agent; no agent takes tasks. Start one: node agent, or reactivate one: node agents"},
		{[]mesos.AgentView{agent("a2", "cpus:8;mem:8192", "cpus:1;mem:7000"), agent("a3", "cpus:8;mem:8192", "mem:5632"), agent("a4", "cpus:64;mem:64", "")},
			"needs cpus:1, mem:4096 on one agent; the roomiest, a3, has mem:2560 free. Lower memory:, stop something, or add an agent"},
		{[]mesos.AgentView{agent("a2", "cpus:8;mem:1024", ""), agent("a3", "cpus:8;mem:2048", "mem:2000")},
			"needs cpus:1, mem:4096 on one agent; no agent has that, even when it is empty: the largest, a2, has mem:1024. Lower memory:, or add an agent"},
	} {
		b.j.Agents(c.agents)
		b.want("pending", b.status("web").Instances[0].Pending, c.want)
	}
}

func TestAScaledDownJobEndsFromTheHighestIndexOn(t *testing.T) {
	b := newBench(t)
	b.put(service(3))
	b.pass(time.Second)
	b.offer("a1 cpus:4;mem:900")
	b.launched()
	b.j.Scale(b.now, 2, "web", 1)
	b.settle()
	b.want("killed", b.killed(), "[web.1.2 web.2.3]")
	b.j.Stop(b.now, 3, "web")
	b.settle()
	for n := range 3 {
		b.tell(FormatTask("web", n, uint64(n+1)), "a1", mesos.Killed)
	}
	if len(b.documents) != 1 || len(b.j.Names()) != 0 { // the numbers stay: none is used again
		t.Fatalf("%v, %q", b.j.Names(), b.documents)
	}
}

func TestBounds(t *testing.T) {
	j, err := New(Config{MaxJobs: 1, MaxInstances: 5}, unixStart, slices.Values([]mesos.Document(nil)))
	if err != nil {
		t.Fatal(err)
	}
	j.Put(unixStart, 1, service(6), 0)
	j.Put(unixStart, 2, service(5), 0)
	other := service(0)
	other.Name = "other"
	j.Put(unixStart, 3, other, 0)
	out := j.Output()
	if len(out.Answers) != 2 || out.Answers[0].Request != 1 || out.Answers[0].Code != Refused || out.Answers[1].Request != 3 || out.Answers[1].Code != Refused {
		t.Fatalf("%+v", out.Answers)
	}
}

// A count that grows is for the next run, and with none a time passes.
func TestACountThatGrowsBeginsNoRunThatIsOver(t *testing.T) {
	b := newBench(t)
	s := service(1)
	s.Kind, s.Schedule = Timed, "* * * * *"
	b.put(s)
	b.pass(time.Minute)
	b.offer("a1 cpus:4;mem:900")
	b.tell("web.0.1", "a1", mesos.Finished)
	scale := func(count, waits int) {
		t.Helper()
		b.j.Scale(b.now, 2, "web", count)
		b.settle()
		b.pass(time.Second)
		b.want("waits", b.j.Unplaced(), waits)
	}
	scale(2, 0)
	b.again()
	b.pass(time.Second)
	b.want("waits with the next master", b.j.Unplaced(), 0)
	b.pass(time.Minute)
	b.want("waits at the next time", b.j.Unplaced(), 2)
	scale(0, 0)
	b.pass(time.Minute)
	if got := b.status("web"); !strings.Contains(got.Progress, "passed over: the job has no instances") {
		t.Errorf("%+v", got)
	}
	scale(1, 0)
	b.pass(time.Minute)
	b.want("waits at the next time", b.j.Unplaced(), 1)
	s.Count = 2 // while it waits: this run has both
	b.put(s)
	b.want("waits for two", b.j.Unplaced(), 2)
	b.offer("a1 cpus:4;mem:900")
	b.tellAll(mesos.Running)
	b.tellAll(mesos.Finished)
	s.Count = 3 // and when it is over, it has been
	b.put(s)
	b.pass(time.Second)
	b.want("waits for three", b.j.Unplaced(), 0)
}

// Who is not told that an agent is back must not take its task for dead.
func TestNothingIsReplacedWhileNothingIsHeard(t *testing.T) { // P
	b := newBench(t)
	s := service(1)
	s.ReplaceAfter = time.Minute
	b.running(s)
	b.tell("web.0.1", "a1", mesos.Unreachable)
	b.j.Disconnected(b.now)
	b.settle()
	b.pass(time.Hour)
	b.want("waits", b.j.Unplaced(), 0)
	b.j.Event(b.now, mesos.SubscribedEvent{})
	b.settle()
	b.tell("web.0.1", "a1", mesos.Unreachable)
	b.pass(time.Minute - 1)
	b.want("waits before its time", b.j.Unplaced(), 0)
	b.pass(1)
	b.want("waits", b.j.Unplaced(), 1)
}

func TestThereAreNoMoreRolesThanAFrameworkMayHave(t *testing.T) {
	b := newBench(t)
	for n := 1; ; n++ {
		s := service(1)
		s.Name, s.Role = fmt.Sprint("web", n), fmt.Sprint("role", n)
		if got := b.put(s); n == mesos.MaxRegistryLabels {
			b.want("one too many", got.Code, Refused)
			break
		} else {
			b.want("answer", got.Code, Done)
		}
	}
	b.want("roles", len(b.j.Roles()), mesos.MaxRegistryLabels)
}
