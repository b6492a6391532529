package mesos

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestUpdatesAreHandedOnInOrder(t *testing.T) { // U-2, U-5
	l := newLaunched(t, nil)
	for _, c := range []struct {
		state, latest TaskState
		n             byte
		ack           bool
		told          string
	}{
		{Starting, Starting, 9, true, "t1:STARTING"},
		{Running, Running, 1, false, "t1:RUNNING"},
		{Running, Finished, 1, false, "t1:RUNNING"}, // sent again: the scheduler has not confirmed it
		{Running, Finished, 1, true, "t1:RUNNING"},
		{Running, Finished, 1, false, ""}, // the Acknowledge got lost
		{Finished, Finished, 2, false, "t1:FINISHED"},
		{Running, Running, 1, false, ""}, // late
		{Starting, Starting, 9, false, ""},
		{Finished, Finished, 2, true, "t1:FINISHED"},
		{Finished, Finished, 2, false, ""},
		{Running, Running, 1, false, ""},
	} {
		l.clear()
		l.agentSays(l.link, update(l.task, c.state, c.latest, c.n))
		wantSame(t, "told", l.states("s1"), c.told)
		if c.ack {
			l.call("s1", l.f, AcknowledgeCall{Task: "t1", Agent: l.id, ID: UpdateID{c.n}})
			wantSame(t, "acknowledged", sent[Acknowledge](l.stage), []Acknowledge{{l.term, TaskKey{l.f, "t1"}, UpdateID{c.n}}})
		}
	}
	wantSame(t, "acknowledged by the master", len(sent[Acknowledge](l.stage)), 1)
	wantSame(t, "in the table", len(l.m.agents[l.id].tasks), 0)
}

func TestLatestStateFreesResources(t *testing.T) { // U-3
	l := newLaunched(t, nil)
	l.call("s1", l.f, ReviveCall{})
	before := l.offers("s1")
	wantSame(t, "offered", before[len(before)-1].Resources.String(), quantity("cpus:3;mem:4032").String())
	l.clear()
	l.agentSays(l.link, update(l.task, Running, Finished, 1))
	wantSame(t, "offered besides", l.offers("s1")[0].Resources.String(), quantity("cpus:1;mem:64").String())
	l.call("s1", l.f, ReconcileCall{})
	wantSame(t, "states", l.states("s1"), "t1:RUNNING t1:RUNNING") // no answer runs ahead of the updates
}

func TestAcknowledgeOfAnotherUpdateIsDropped(t *testing.T) { // U-5, U-6, U-7
	l := newLaunched(t, nil)
	l.agentSays(l.link, update(l.task, Finished, Finished, 3))
	for _, c := range []AcknowledgeCall{
		{"t1", l.id, UpdateID{4}}, {"t1", l.id, UpdateID{}}, {"t1", "other", UpdateID{3}}, {"t2", l.id, UpdateID{3}},
	} {
		l.call("s1", l.f, c)
	}
	l.m.LinkBroken(l.now, l.link)
	l.call("s1", l.f, AcknowledgeCall{"t1", l.id, UpdateID{3}})
	wantSame(t, "acknowledged", len(sent[Acknowledge](l.stage)), 0)
	wantSame(t, "in the table", len(l.m.agents[l.id].tasks), 1)
	link, _ := l.again(l.id, 1, taskOf(l.task, Finished))
	l.agentSays(link, update(l.task, Finished, Finished, 3))
	l.call("s1", l.f, AcknowledgeCall{"t1", l.id, UpdateID{3}})
	wantSame(t, "acknowledged", len(sent[Acknowledge](l.stage)), 1)
}

func TestUpdateOfAnUnknownTaskIsNotHandedOn(t *testing.T) {
	l := newLaunched(t, nil)
	other := *l.task
	other.Container, other.Task.ID = ContainerID{7}, "t2"
	l.agentSays(l.link, update(&other, Running, Running, 1))
	wantSame(t, "told", l.states("s1"), "")
	wantSame(t, "asked to register", last[Ping](l.stage).Connected, false)
	l.again(l.id, 1, taskOf(l.task, Staging), taskOf(&other, Running))
	l.call("s1", l.f, ReconcileCall{})
	wantSame(t, "states", l.states("s1"), "t1:STAGING t2:RUNNING")
}

func TestEndIsForGood(t *testing.T) {
	l := newLaunched(t, nil)
	l.agentSays(l.link, update(l.task, Failed, Failed, 1))
	l.clear()
	l.again(l.id, 1, taskOf(l.task, Running)) // of before the end
	l.call("s1", l.f, ReconcileCall{})
	wantSame(t, "states", l.states("s1"), "t1:FAILED")
}

func TestRegisterThatComesLateIsDropped(t *testing.T) {
	s := newStage(t, nil)
	info := machine(1)
	for _, n := range []uint64{2, 1, 2, 3} {
		s.agentSays(1, Register{Info: info, Boot: "b", Attempt: n, Sequence: n, Term: s.term})
		info.ID = last[Registered](s).Agent
	}
	var attempts []uint64
	for _, r := range sent[Registered](s) {
		attempts = append(attempts, r.Attempt)
	}
	wantSame(t, "answered", attempts, []uint64{2, 3})
	s.again(info.ID, 1)
	s.clear()
	s.agentSays(0, Register{Info: info, Boot: "b", Attempt: 9, Sequence: 9})
	wantSame(t, "answered without a link", len(s.agents), 0)
}

func TestTaskIsValidated(t *testing.T) {
	for _, c := range []struct {
		change func(*TaskInfo)
		says   string
	}{
		{func(i *TaskInfo) { i.ID = "" }, "a name of 0 bytes"},
		{func(i *TaskInfo) { i.ID = "a/b" }, "byte 0x2f"},
		{func(i *TaskInfo) { i.ID = "a b" }, "space"},
		{func(i *TaskInfo) { i.Agent = "other" }, "agent other"},
		{func(i *TaskInfo) { i.Resources = Resources{} }, "no resources"},
		{func(i *TaskInfo) { i.Resources = quantity("cpus:5") }, "is left"},
		{func(i *TaskInfo) { i.Resources = quantity("gpus:1") }, "is left"},
		{func(i *TaskInfo) { i.Command.Value = "" }, "no command"},
		{func(i *TaskInfo) { i.Docker = &Docker{Image: "hello:1"} }, "no Docker engine"},
		{func(i *TaskInfo) { i.Data = make([]byte, MaxDataBytes+1) }, "bytes of data"},
		{func(i *TaskInfo) { i.Name = strings.Repeat("n", MaxTaskNameBytes+1) }, "its name has"},
		{func(i *TaskInfo) { i.Labels = map[string]string{"k": strings.Repeat("v", MaxTaskLabelBytes)} }, "its labels have"},
		{func(i *TaskInfo) { i.KillGrace = -1 }, "KillGrace"},
		{func(i *TaskInfo) { i.KillGrace, i.StopAfter = 2, 2 }, "StopAfter"},
	} {
		s := newStage(t, nil)
		id, _ := s.agent(1)
		f := s.subscribe("s1", FrameworkInfo{Name: "f"})
		bad := job("bad", id)
		c.change(&bad)
		s.call("s1", f, AcceptCall{Offers: []OfferID{s.offers("s1")[0].ID}, Launch: []TaskInfo{bad, job("good", id)}})
		u := told[UpdateEvent](s, "s1")
		if len(u) != 1 || u[0].Status.State != Errored || u[0].Status.Reason != ReasonTaskInvalid || !containsText(u[0].Status.Message, c.says) {
			t.Errorf("%s: told %+v", c.says, u)
		}
		launches := sent[Launch](s)
		if len(launches) != 1 || launches[0].Task.ID != "good" || launches[0].Container == (ContainerID{}) || launches[0].Task.Role != "*" {
			t.Errorf("%s: launched %+v", c.says, launches)
		}
	}
}

func containsText(s, part string) bool { return strings.Contains(s, part) }

func TestTasksShareAnOffer(t *testing.T) {
	s := newStage(t, nil)
	id, _ := s.agent(1)
	f := s.subscribe("s1", FrameworkInfo{Name: "f"})
	var tasks []TaskInfo
	for _, n := range []TaskID{"a", "b", "c", "d", "e"} {
		tasks = append(tasks, job(n, id))
	}
	s.call("s1", f, AcceptCall{Offers: []OfferID{s.offers("s1")[0].ID}, Launch: tasks})
	wantSame(t, "launched", len(sent[Launch](s)), 4)
	wantSame(t, "states", s.states("s1"), "e:ERROR")
	seen := map[ContainerID]bool{}
	for i, l := range sent[Launch](s) {
		wantSame(t, "sequence", l.Sequence, uint64(i+1))
		seen[l.Container] = true
	}
	wantSame(t, "containers", len(seen), 4)
}

func TestBadOffers(t *testing.T) {
	s := newStage(t, nil)
	a, _ := s.agent(1)
	s.agent(2)
	f := s.subscribe("s1", FrameworkInfo{Name: "f"})
	offers := s.offers("s1")
	for _, ids := range [][]OfferID{nil, {"none"}, {offers[0].ID, offers[1].ID}, {offers[0].ID}} {
		s.clear()
		s.call("s1", f, AcceptCall{Offers: ids, Launch: []TaskInfo{job("t1", a)}})
		wantSame(t, "states", s.states("s1"), "t1:DROPPED")
		wantSame(t, "launched", len(sent[Launch](s)), 0)
	}
	wantSame(t, "offered again", len(s.offers("s1")), 2)
}

// A call that comes twice says nothing that is not so of a task that runs.
func TestAcceptTwice(t *testing.T) {
	l := newLaunched(t, nil)
	twice := AcceptCall{Offers: []OfferID{"1-O1"}, Launch: []TaskInfo{job("t1", l.id)}}
	l.call("s1", l.f, twice)
	wantSame(t, "states", l.states("s1"), "t1:STAGING")
	l.clear()
	l.call("s1", l.f, ReviveCall{})
	fresh := l.offers("s1")[0].ID
	l.call("s1", l.f, AcceptCall{Offers: []OfferID{fresh}, Launch: twice.Launch})
	wantSame(t, "states with an offer that is good", l.states("s1"), "t1:STAGING")
	wantSame(t, "launched", len(sent[Launch](l.stage)), 0)
	// The next master does not know yet whether it runs.
	l.elect()
	l.subscribe("s2", FrameworkInfo{ID: l.f, Name: "f"})
	l.call("s2", l.f, twice)
	wantSame(t, "states at the next master", l.states("s2"), "")
	l.again(l.id, 1)
	l.call("s2", l.f, twice)
	wantSame(t, "states once the agent is back without it", l.states("s2"), "t1:DROPPED")
}

// Two agents bring a task of one name: one of them is killed.
func TestTaskHasOneContainer(t *testing.T) {
	l := newLaunched(t, nil)
	old := *l.task
	old.Container, old.Task.Agent = ContainerID{7}, "old-A1"
	link, _ := l.again("old-A1", 2, taskOf(&old, Running))
	kill := ToAgent{"old-A1", link, machine(2).Address, Kill{Term: l.term, Task: TaskKey{l.f, "t1"}}}
	wantSame(t, "killed", slices.ContainsFunc(l.agents, func(a ToAgent) bool { return reflect.DeepEqual(a, kill) }), true)
	wantSame(t, "kills", len(sent[Kill](l.stage)), 1)
	l.clear()
	l.agentSays(link, update(&old, Killed, Killed, 4))
	l.call("s1", l.f, AcknowledgeCall{"t1", "old-A1", UpdateID{4}})
	wantSame(t, "acknowledged", len(sent[Acknowledge](l.stage)), 1)
	l.call("s1", l.f, ReconcileCall{})
	wantSame(t, "states", l.states("s1"), "t1:KILLED t1:STAGING")
}

func TestKillOfAnUnknownTaskIsAReconciliation(t *testing.T) { // R
	l := newLaunched(t, nil)
	l.call("s1", l.f, KillCall{Task: "none", Agent: l.id})
	wantSame(t, "states", l.states("s1"), "none:GONE")
	l.call("s1", l.f, KillCall{Task: "t1", Grace: time.Second})
	wantSame(t, "killed", sent[Kill](l.stage), []Kill{{l.term, TaskKey{l.f, "t1"}, time.Second}})
}

func TestReconciliation(t *testing.T) { // R
	l := newLaunched(t, nil)
	away, _ := l.agent(2)
	gone, _ := l.agent(3)
	unreachable, _ := l.agent(4)
	l.m.Operate(l.now, 5, MarkGone{Agent: gone})
	l.run()
	l.m.commit(MarkUnreachable{Agent: unreachable, Time: 5}, func(RegistryResult) { l.m.unreachable(l.m.agents[unreachable]) })
	l.run()
	for _, c := range []struct {
		when  string
		agent AgentID
		task  TaskID
		told  string
	}{
		{"known", "", "t1", "t1:STAGING"},
		{"known, of an agent that it is not on", gone, "t1", "t1:STAGING"},
		{"registered", l.id, "x", "x:GONE"},
		{"unreachable", unreachable, "x", "x:UNREACHABLE"},
		{"gone", gone, "x", "x:GONE_BY_OPERATOR"},
		{"no such agent", "none", "x", "x:UNKNOWN"},
		{"no agent", "", "x", "x:UNKNOWN"},
		// After the election:
		{"next: known", "", "t1", "t1:RUNNING"},
		{"next: registered", l.id, "x", "x:GONE"},
		{"next: not back", away, "x", ""},
		{"next: no agent", "", "x", ""},
		{"next: unreachable", unreachable, "x", "x:UNREACHABLE"},
	} {
		if strings.HasPrefix(c.when, "next") && l.term == 1 {
			l.elect()
			l.subscribe("s1", FrameworkInfo{ID: l.f, Name: "f"})
			l.again(l.id, 1, taskOf(l.task, Running))
		}
		l.clear()
		l.call("s1", l.f, ReconcileCall{Tasks: []ReconcileTask{{c.task, c.agent}}})
		wantSame(t, c.when, l.states("s1"), c.told)
		for _, u := range told[UpdateEvent](l.stage, "s1") {
			wantSame(t, c.when, []any{u.Status.Reason, u.Status.Source, u.Status.ID, u.Status.UnreachableSince != 0},
				[]any{ReasonReconciliation, SourceMaster, UpdateID{}, u.Status.State == Unreachable})
		}
	}
}

// What a check has found is in every answer, also by a master that the agent has told it when it registered.
func TestHealthIsReconciled(t *testing.T) { // R
	l := newLaunched(t, nil)
	ask := func(stream StreamID, when string, state TaskState, want Health) {
		t.Helper()
		l.clear()
		l.call(stream, l.f, ReconcileCall{})
		l.call(stream, l.f, ReconcileCall{Tasks: []ReconcileTask{{Task: "t1"}}})
		all := told[UpdateEvent](l.stage, stream)
		wantSame(t, when+": answers", len(all), 2)
		for _, u := range all {
			wantSame(t, when, []any{u.Status.State, u.Status.Health}, []any{state, want})
		}
	}
	u := update(l.task, Running, Running, 1)
	l.agentSays(l.link, u)
	ask("s1", "nobody has looked", Running, HealthUnknown)
	u.Status.ID, u.Status.Health = UpdateID{2}, Healthy
	l.agentSays(l.link, u)
	ask("s1", "checked", Running, Healthy)
	l.elect()
	l.subscribe("s2", FrameworkInfo{ID: l.f, Name: "f"})
	brought := taskOf(l.task, Running)
	brought.Health = Unhealthy
	l.again(l.id, 1, brought)
	ask("s2", "brought", Running, Unhealthy)
	l.m.commit(MarkUnreachable{Agent: l.id, Time: 5}, func(RegistryResult) { l.m.unreachable(l.m.agents[l.id]) })
	l.run()
	ask("s2", "unreachable", Unreachable, HealthUnknown)
}

// What an agent has said before it knew of this Term may not be all: a Launch of the master
// before may have come after it.
func TestGoneIsSaidOnlyOfAgentsThatKnowTheTerm(t *testing.T) {
	l := newLaunched(t, nil)
	l.elect()
	l.subscribe("s2", FrameworkInfo{ID: l.f, Name: "f"})
	info := machine(1)
	info.ID = l.id
	ask := func() {
		l.clear()
		l.call("s2", l.f, ReconcileCall{Tasks: []ReconcileTask{{"t1", l.id}}})
		l.call("s2", l.f, AcceptCall{Offers: []OfferID{"1-O1"}, Launch: []TaskInfo{job("t1", l.id)}})
	}
	l.agentSays(60, Register{Info: info, Boot: "boot1", Attempt: 1, Sequence: 1, Term: l.term - 1})
	ask()
	wantSame(t, "states", l.states("s2"), "")
	l.pass(15 * time.Second)
	wantSame(t, "asked again", last[Ping](l.stage).Connected, false)
	l.agentSays(60, Register{Info: info, Boot: "boot1", Attempt: 2, Sequence: 2, Term: l.term})
	ask()
	wantSame(t, "states", l.states("s2"), "t1:GONE t1:DROPPED")
	l.clear()
	l.agentSays(60, Register{Info: info, Boot: "boot1", Attempt: 3, Sequence: 3, Term: l.term + 1})
	wantSame(t, "answered", len(l.agents), 0) // it has another master
}

func TestBoundsOfTheMaster(t *testing.T) {
	l := newLaunched(t, func(c *MasterConfig) {
		c.MaxTasks, c.MaxPendingEvents, c.MaxFrameworks, c.MaxPendingCommits, c.MaxCallItems = 2, 5, 2, 3, 4
	})
	l.m.Written(l.now, "s1", 100)
	l.call("s1", l.f, ReviveCall{})
	offers := l.offers("s1")
	l.call("s1", l.f, AcceptCall{Offers: []OfferID{offers[0].ID}, Launch: []TaskInfo{job("t2", l.id), job("t3", l.id)}})
	wantSame(t, "tasks", l.states("s1"), "t3:ERROR")
	l.subscribe("s2", FrameworkInfo{Name: "g"})
	l.call("s3", "", SubscribeCall{FrameworkInfo{Name: "h"}})
	wantSame(t, "frameworks", len(told[ErrorEvent](l.stage, "s3")), 1)
	wantSame(t, "items", l.call("s1", l.f, DeclineCall{Offers: make([]OfferID, 5)}).Code, CallInvalid)

	l.clear()
	for range 5 { // nobody writes these
		l.call("s1", l.f, ReconcileCall{Tasks: []ReconcileTask{{"t1", ""}}})
	}
	wantSame(t, "closed", l.closed, []StreamID{"s1"})
	wantSame(t, "standing", l.registry.FrameworkStanding(l.f), StandingDisconnected)

	l.held = true
	for n := range 5 {
		l.agentSays(LinkID(100+n), Register{Info: machine(50 + n), Boot: "b", Attempt: 1, Sequence: 1})
	}
	wantSame(t, "commits", len(l.commits), 3)
	l.m.Operate(l.now, 77, SetWeight{Role: "r", Weight: 2000})
	l.run()
	wantSame(t, "operator", l.answers[len(l.answers)-1].Code, CallOverloaded)
}

func TestDeactivatedAgentIsNotOffered(t *testing.T) {
	l := newLaunched(t, nil)
	l.m.Operate(l.now, 5, DrainAgent{Agent: l.id})
	l.run()
	wantSame(t, "killed", len(sent[Kill](l.stage)), 1)
	l.call("s1", l.f, ReviveCall{})
	wantSame(t, "offered", len(l.offers("s1")), 0)
	l.again(l.id, 1, taskOf(l.task, Running))
	wantSame(t, "offered", len(l.offers("s1")), 0)
	l.m.Operate(l.now, 6, ReactivateAgent{Agent: l.id})
	l.run()
	wantSame(t, "offered", len(l.offers("s1")), 1)
}

func TestHeartbeats(t *testing.T) {
	l := newLaunched(t, nil)
	l.pass(45 * time.Second)
	wantSame(t, "heartbeats", len(told[HeartbeatEvent](l.stage, "s1")), 3)
}

func TestOperatorEndsATask(t *testing.T) {
	l := newLaunched(t, nil)
	l.clear()
	for i, key := range []TaskKey{{l.f, "t2"}, {"nosuch", "t1"}, {l.f, "t1"}} {
		l.m.KillTask(l.now, uint64(100+i), key, time.Second)
	}
	l.run()
	wantSame(t, "kills", sent[Kill](l.stage), []Kill{{l.term, TaskKey{l.f, "t1"}, time.Second}})
	var codes []CallCode
	for _, a := range l.answers {
		codes = append(codes, a.Code)
	}
	wantSame(t, "answers", codes, []CallCode{CallRefused, CallRefused, CallAccepted})
}

// Whoever asks what a task does is told whether it works: what an update has said of that, or,
// to another master, the agent that is back.
func TestReconciliationTellsWhetherATaskWorks(t *testing.T) { // R
	l := newLaunched(t, nil)
	u := update(l.task, Running, Running, 1)
	u.Status.Health = Healthy
	l.agentSays(l.link, u)
	for _, again := range []bool{false, true} {
		if again {
			l.elect()
			l.subscribe("s1", FrameworkInfo{ID: l.f, Name: "f"})
			brought := taskOf(l.task, Running)
			brought.Health = Healthy
			l.again(l.id, 1, brought)
		}
		for _, asked := range [][]ReconcileTask{nil, {{"t1", l.id}}} {
			l.clear()
			l.call("s1", l.f, ReconcileCall{Tasks: asked})
			all := told[UpdateEvent](l.stage, "s1")
			if len(all) != 1 || all[0].Status.Health != Healthy {
				t.Errorf("another master %v, asked %v: told %+v", again, asked, all)
			}
		}
		if v := l.m.View(); len(v.Tasks) != 1 || v.Tasks[0].Status.Health != Healthy {
			t.Errorf("another master %v: shown %+v", again, v.Tasks)
		}
	}
}
