package mesos

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMasterIsNotReadyUntilItHasTheRegistry(t *testing.T) { // M-6
	m, err := NewMaster(MasterConfig{Name: "m", Rand: rand.New(rand.NewPCG(1, 1))}, 3, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	m.Call(0, Call{Request: 1, Stream: "s", Body: SubscribeCall{FrameworkInfo{Name: "f"}}})
	m.AgentMessage(0, 1, Register{Info: machine(1), Boot: "b"})
	out := m.Output()
	if len(out.Commit) != 1 || out.Commit[0] != (RegistryOperation)(ElectMaster{Name: "m"}) {
		t.Errorf("committed %+v", out.Commit)
	}
	if len(out.Answers) != 1 || out.Answers[0].Code != CallNotReady || len(out.ToAgents) != 0 || m.Ready() {
		t.Errorf("answered %+v, %+v", out.Answers, out.ToAgents)
	}
}

func TestMasterOfAnotherTermEnds(t *testing.T) { // M-2, M-4
	l := newLaunched(t, nil)
	l.held = true
	l.call("s1", l.f, TeardownCall{})
	l.m.Committed(l.now, RegistryResult{Code: CodeTerm})
	l.run()
	if l.ended == "" || l.m.Ready() {
		t.Fatal("it goes on")
	}
	wantSame(t, "code", l.call("s1", l.f, ReconcileCall{}).Code, CallNotReady)
	if _, ok := l.m.Next(); ok {
		t.Error("it wants to be called")
	}
}

func TestAgentsThatDoNotComeBackAreMarkedOneAtATime(t *testing.T) { // M-7
	s := newStage(t, func(c *MasterConfig) { c.RemovalInterval, c.PingInterval = time.Minute, time.Hour })
	a, _ := s.agent(1)
	b, _ := s.agent(2)
	c, _ := s.agent(3)
	s.elect()
	s.subscribe("s1", FrameworkInfo{Name: "f"})
	s.again(b, 2)
	s.pass(10*time.Minute - 1)
	wantSame(t, "standing before", s.registry.Standing(a), StandingAdmitted)
	s.held = true
	s.pass(1)
	wantSame(t, "commits", s.commits, []RegistryOperation{MarkUnreachable{Agent: a, Time: stageUnix + s.now}})
	wantSame(t, "failures before the registry", len(told[FailureEvent](s, "s1")), 0)
	s.held = false
	s.release()
	s.run()
	wantSame(t, "failures", told[FailureEvent](s, "s1"), []FailureEvent{{a}})
	wantSame(t, "the other one", s.registry.Standing(c), StandingAdmitted)
	s.pass(time.Minute)
	wantSame(t, "the other one later", s.registry.Standing(c), StandingUnreachable)
	wantSame(t, "who came back", s.registry.Standing(b), StandingAdmitted)
}

func TestTooManyAgentsAwayEndTheMaster(t *testing.T) { // M-7
	for _, c := range []struct {
		limit int
		ends  bool
	}{{100, false}, {67, false}, {66, true}} {
		s := newStage(t, func(m *MasterConfig) { m.RemovalLimitPercent, m.PingInterval = c.limit, time.Hour })
		for n := range 3 {
			s.agent(n)
		}
		s.elect()
		s.again("1-A1", 0)
		s.pass(10 * time.Minute)
		if got := s.ended != ""; got != c.ends || c.ends && !strings.Contains(s.ended, "2 of 3 agents") {
			t.Errorf("limit %d%%: ended %q", c.limit, s.ended)
		}
		if c.ends {
			wantSame(t, "standing", s.registry.Standing("1-A2"), StandingAdmitted)
		}
	}
}

func TestFrameworkIsKnownToTheNextMaster(t *testing.T) { // M-8, F-3
	s := newStage(t, nil)
	f := s.subscribe("s1", FrameworkInfo{Name: "f", FailoverTimeout: time.Hour})
	s.m.StreamClosed(s.now, "s1")
	s.run()
	s.pass(40 * time.Minute)
	s.elect()
	s.pass(20*time.Minute - 1)
	wantSame(t, "standing", s.registry.FrameworkStanding(f), StandingDisconnected)
	s.pass(1)
	wantSame(t, "an hour after it was left", s.registry.FrameworkStanding(f), StandingRemoved)
}

func TestFrameworkWithoutTimeoutOutlivesTheMaster(t *testing.T) { // FrameworkGrace
	s := newStage(t, nil)
	f := s.subscribe("s1", FrameworkInfo{Name: "f"})
	s.elect()
	s.pass(time.Minute - 1)
	s.subscribe("s2", FrameworkInfo{ID: f, Name: "f"})
	s.pass(time.Hour)
	wantSame(t, "standing", s.registry.FrameworkStanding(f), StandingConnected)
	s.m.StreamClosed(s.now, "s2")
	s.run()
	s.pass(0)
	wantSame(t, "standing later", s.registry.FrameworkStanding(f), StandingRemoved)
}

func TestAgentBringsItsFramework(t *testing.T) { // M-8
	s := newStage(t, nil)
	l := &Launch{Framework: FrameworkInfo{ID: "old-F1", Name: "old"}, Task: job("t1", "old-A1"), Container: ContainerID{9}}
	info := machine(1)
	info.ID = "old-A1"
	s.agentSays(7, Register{Info: info, Boot: "b", Attempt: 1, Sequence: 1, Term: s.term, Frameworks: []FrameworkInfo{l.Framework},
		Tasks: []Task{taskOf(l, Running)}})
	s.subscribe("s1", FrameworkInfo{ID: "old-F1", Name: "old"})
	s.call("s1", "old-F1", ReconcileCall{})
	wantSame(t, "states", s.states("s1"), "t1:RUNNING")
	offers := s.offers("s1")
	if len(offers) != 1 || offers[0].Resources.String() != quantity("cpus:3;mem:4032").String() {
		t.Errorf("got offers %+v", offers)
	}
}

func TestRefusedSubscriptionIsToldOnItsStream(t *testing.T) { // F-1, F-4, F-5
	s := newStage(t, nil)
	f := s.subscribe("s1", FrameworkInfo{Name: "f", User: "u"})
	gone := s.subscribe("s2", FrameworkInfo{Name: "g"})
	s.call("s2", gone, TeardownCall{})
	for _, c := range []struct {
		info FrameworkInfo
		says string
	}{
		{FrameworkInfo{ID: f, User: "other"}, "do not change"},
		{FrameworkInfo{ID: f, User: "u", Principal: "p"}, "do not change"},
		{FrameworkInfo{ID: gone}, "an operator can allow its id again, or it subscribes without one"},
		{FrameworkInfo{FailoverTimeout: -1}, "makes no sense"},
		{FrameworkInfo{ID: "a/b"}, "makes no sense"},
	} {
		s.clear()
		s.call("x", "", SubscribeCall{c.info})
		errors := told[ErrorEvent](s, "x")
		if len(errors) != 1 || !strings.Contains(errors[0].Message, c.says) || !slices.Contains(s.closed, "x") {
			t.Errorf("%+v: told %+v, closed %v", c.info, s.events, s.closed)
		}
	}
	wantSame(t, "the first one", s.call("s1", f, ReconcileCall{}).Code, CallAccepted)
	s.m.Operate(s.now, 99, AllowFramework{Framework: gone})
	s.run()
	s.subscribe("s3", FrameworkInfo{ID: gone, Name: "g"})
}

func TestLaterSubscriptionTakesOver(t *testing.T) { // F-2, F-6
	s := newStage(t, nil)
	a, _ := s.agent(1)
	f := s.subscribe("s1", FrameworkInfo{Name: "f"})
	old := s.offers("s1")
	s.held = true
	s.call("s2", "", SubscribeCall{FrameworkInfo{ID: f, Name: "f"}})
	wantSame(t, "closed before the registry", len(s.closed), 0)
	s.held = false
	s.release()
	s.run()
	wantSame(t, "errors", len(told[ErrorEvent](s, "s1")), 1)
	wantSame(t, "closed", s.closed, []StreamID{"s1"})
	s.clear()
	for _, id := range []StreamID{"s1", "s2"} { // its offers are none of the new one's either
		s.call(id, f, AcceptCall{Offers: []OfferID{old[0].ID}, Launch: []TaskInfo{job("t1", a)}})
	}
	wantSame(t, "launches", len(sent[Launch](s)), 0)
	wantSame(t, "codes", []CallCode{s.answers[0].Code, s.answers[1].Code}, []CallCode{CallInvalid, CallAccepted})
	wantSame(t, "states", s.states("s1")+"|"+s.states("s2"), "|t1:DROPPED")
	if len(s.offers("s2")) != 1 {
		t.Errorf("nothing is offered to the new one: %+v", s.events)
	}
}

func TestCallsNeedTheStream(t *testing.T) { // F-6
	s := newStage(t, nil)
	f := s.subscribe("s1", FrameworkInfo{Name: "f", FailoverTimeout: time.Hour})
	g := s.subscribe("s2", FrameworkInfo{Name: "g"})
	for _, c := range []struct {
		stream StreamID
		f      FrameworkID
		code   CallCode
	}{{"s1", f, CallAccepted}, {"s2", f, CallInvalid}, {"", f, CallInvalid}, {"s1", "none", CallInvalid}, {"s1", g, CallInvalid}} {
		wantSame(t, string(c.stream)+" "+string(c.f), s.call(c.stream, c.f, ReviveCall{}).Code, c.code)
	}
	if text := s.call("s2", f, ReviveCall{}).Message; !strings.Contains(text, "another scheduler has taken over") {
		t.Errorf("a deposed scheduler is told %q", text)
	}
	s.m.StreamClosed(s.now, "s1")
	wantSame(t, "after it was closed", s.call("s1", f, ReviveCall{}).Code, CallForbidden)
}

func TestFailoverTimeoutRemovesTheFramework(t *testing.T) { // F-3
	l := newLaunched(t, func(c *MasterConfig) { c.PingInterval = 10 * time.Hour })
	l.m.StreamClosed(l.now, "s1")
	l.run()
	l.pass(time.Hour - 1)
	wantSame(t, "shut down", len(sent[ShutdownFramework](l.stage)), 0)
	l.held = true
	l.pass(1)
	wantSame(t, "commits", len(l.commits), 1)
	wantSame(t, "shut down before the registry", len(sent[ShutdownFramework](l.stage)), 0)
	l.held = false
	l.release()
	l.run()
	wantSame(t, "shut down", sent[ShutdownFramework](l.stage), []ShutdownFramework{{l.term, l.f}})
	g := l.subscribe("s2", FrameworkInfo{Name: "g"})
	wantSame(t, "offered while its task may run", l.offers("s2")[0].Resources.String(), quantity("cpus:3;mem:4032").String())
	l.call("s2", g, DeclineCall{Offers: []OfferID{l.offers("s2")[0].ID}, Refuse: time.Millisecond})
	l.clear()
	l.agentSays(l.link, update(l.task, Killed, Killed, 5))
	wantSame(t, "acknowledged by the master", sent[Acknowledge](l.stage), []Acknowledge{{l.term, TaskKey{l.f, "t1"}, UpdateID{5}}})
	wantSame(t, "offered then", l.offers("s2")[0].Resources.String(), quantity("cpus:4;mem:4096").String())
}

// Who reads nothing, and so answers no offer, keeps nobody else from them for long. As long
// as nobody else wants any they stay.
func TestOffersThatAreNotAnsweredAreTakenBackForOthers(t *testing.T) {
	s := newStage(t, func(c *MasterConfig) { c.PingInterval = 10 * time.Hour })
	s.agent(1)
	s.subscribe("s1", FrameworkInfo{Name: "deaf"})
	first := s.offers("s1")
	s.pass(time.Hour)
	wantSame(t, "rescinded while nobody wants them", len(told[RescindEvent](s, "s1")), 0)
	g := s.subscribe("s2", FrameworkInfo{Name: "g"})
	s.pass(time.Second)
	wantSame(t, "rescinded", told[RescindEvent](s, "s1"), []RescindEvent{{first[0].ID}})
	wantSame(t, "offers", len(s.offers("s2")), 1)
	s.call("s2", g, DeclineCall{Offers: []OfferID{s.offers("s2")[0].ID}, Refuse: time.Hour})
	s.call("s2", g, SuppressCall{})
	s.clear()
	s.pass(3 * time.Second)
	wantSame(t, "offered again so soon", len(s.offers("s1")), 0)
	s.pass(2 * time.Second)
	wantSame(t, "offered again", len(s.offers("s1")), 1)
	s.pass(3 * time.Second)
	s.call("s2", g, ReviveCall{})
	wantSame(t, "taken back too soon", len(told[RescindEvent](s, "s1")), 0)
	s.pass(2 * time.Second)
	wantSame(t, "taken back", len(told[RescindEvent](s, "s1")), 1)
	wantSame(t, "offers", len(s.offers("s2")), 1)
}

func TestDisconnectRescinds(t *testing.T) { // F-3, P-3, M-10
	s := newStage(t, nil)
	_, link := s.agent(1)
	f := s.subscribe("s1", FrameworkInfo{Name: "f", FailoverTimeout: time.Hour})
	offers := s.offers("s1")
	s.m.LinkBroken(s.now, link)
	s.run()
	wantSame(t, "rescinded", told[RescindEvent](s, "s1"), []RescindEvent{{offers[0].ID}})
	s.clear()
	s.call("s1", f, AcceptCall{Offers: []OfferID{offers[0].ID}, Launch: []TaskInfo{job("t1", offers[0].Agent)}})
	wantSame(t, "states", s.states("s1"), "t1:DROPPED")
	wantSame(t, "ids", told[UpdateEvent](s, "s1")[0].Status.ID, UpdateID{})
	wantSame(t, "offered", len(s.offers("s1")), 0)
}

func TestAgentIsRefusedElsewhere(t *testing.T) {
	s := newStage(t, nil)
	id, link := s.agent(1)
	s.clear()
	info := machine(2)
	info.ID = id
	s.agentSays(50, Register{Info: info, Boot: "boot2", Attempt: 1, Sequence: 1})
	wantSame(t, "to the other machine", s.agents, []ToAgent{{Agent: id, Link: 50,
		Message: Shutdown{id, s.term, CodeElsewhere.String()}}})
	s.agentSays(link, Pong{id, s.term, 1})
	info = machine(2) // another address of the same boot is the same machine
	info.ID = id
	s.agentSays(51, Register{Info: info, Boot: "boot1", Attempt: 2, Sequence: 1})
	r := last[Registered](s)
	if r == nil || r.Attempt != 2 {
		t.Errorf("not registered: %+v", s.agents)
	}
}

// Who has proven a name is no other agent, also when it knows its id, address and boot.
func TestAnAgentThatHasProvenItsNameSpeaksForItselfAlone(t *testing.T) {
	s := newStage(t, nil)
	id, _ := s.agent(1)
	info := func(n int, id AgentID) Register {
		info := machine(n)
		info.ID, info.Address = id, machine(1).Address
		return Register{Info: info, Boot: "boot1", Attempt: 1, Sequence: 1}
	}
	check := func(when string) {
		t.Helper()
		for i, c := range []struct {
			name    string
			message any
			may     bool
		}{
			{"h1", info(1, id), true}, {"h1", Pong{Agent: id}, true}, {"h1", StatusUpdate{Status: TaskStatus{Agent: id}}, true},
			{"h2", info(2, id), false}, {"h2", info(1, id), false}, {"h2", Pong{Agent: id}, false}, {"h2", StatusUpdate{Status: TaskStatus{Agent: id}}, false},
			{"h2", info(2, ""), true}, {"h2", info(1, ""), false}, {"h2", info(2, "old"), true},
		} {
			if may := s.m.MaySpeak(c.name, c.message); may != c.may {
				t.Errorf("%s, %d: %s may send %+v: %v", when, i, c.name, c.message, may)
			}
		}
	}
	check("while it is registered")
	s.pass(90 * time.Second)
	wantSame(t, "standing", s.registry.Standing(id), StandingUnreachable)
	check("while it is unreachable")
	first, _ := s.first(1) // its answer was lost
	s.agentSays(70, info(2, ""))
	if r := last[Registered](s); r == nil || r.Agent == first {
		t.Errorf("another agent of the same machine is registered with %+v", r)
	}
}

func TestNewAgentGetsOneID(t *testing.T) {
	s := newStage(t, nil)
	s.subscribe("s1", FrameworkInfo{Name: "f"})
	id, _ := s.first(1)
	again, link := s.first(1) // its answer was lost
	wantSame(t, "id", again, id)
	wantSame(t, "offered", len(s.offers("s1")), 0)
	s.agentSays(link, Pong{id, s.term, 1})
	wantSame(t, "offered once it knows its id", len(s.offers("s1")), 1)
	if other, _ := s.first(1); other == id { // it has lost its id
		t.Errorf("%s is given away twice", id)
	}
}

func TestMissingTasksAreAskedFor(t *testing.T) {
	l := newLaunched(t, nil)
	l.m.LinkBroken(l.now, l.link)
	l.call("s1", l.f, KillCall{Task: "t1"})
	wantSame(t, "killed while away", len(sent[Kill](l.stage)), 0)
	link, r := l.again(l.id, 1)
	if len(r.Missing) != 1 || r.Missing[0].Container != l.task.Container || r.Missing[0].Sequence != 1 || r.Missing[0].Term != l.term {
		t.Fatalf("registered with %+v", r)
	}
	wantSame(t, "states", l.states("s1"), "") // the master says nothing of it itself
	wantSame(t, "killed again", sent[Kill](l.stage), []Kill{{Term: l.term, Task: TaskKey{l.f, "t1"}}})
	l.agentSays(link, update(l.task, Dropped, Dropped, 1))
	wantSame(t, "states", l.states("s1"), "t1:DROPPED")
}

func TestLostLaunchIsFoundOut(t *testing.T) {
	l := newLaunched(t, nil)
	for n := range 5 {
		l.pass(15 * time.Second)
		p := last[Ping](l.stage)
		wantSame(t, "connected", p.Connected, n < 4)
		l.agentSays(l.link, Pong{l.id, l.term, p.Sequence})
	}
	_, r := l.again(l.id, 1)
	wantSame(t, "missing", len(r.Missing), 1)
}

func TestTasksOfARemovedFrameworkAreShutDown(t *testing.T) {
	l := newLaunched(t, nil)
	l.m.LinkBroken(l.now, l.link)
	l.call("s1", l.f, TeardownCall{})
	link, r := l.again(l.id, 1, taskOf(l.task, Running))
	wantSame(t, "removed", r.Removed, []FrameworkID{l.f})
	l.agentSays(link, update(l.task, Killed, Killed, 1))
	wantSame(t, "acknowledged", len(sent[Acknowledge](l.stage)), 1)
	wantSame(t, "in the table", len(l.m.frameworks)+len(l.m.agents[l.id].tasks), 0)
}

func TestSubscriptionUnderWayKeepsTheFramework(t *testing.T) { // F-3
	s := newStage(t, nil)
	f := s.subscribe("s1", FrameworkInfo{Name: "f", FailoverTimeout: time.Hour})
	s.m.StreamClosed(s.now, "s1")
	s.run()
	s.pass(time.Hour - 1)
	s.held = true
	s.call("s2", "", SubscribeCall{FrameworkInfo{ID: f, Name: "f"}})
	s.pass(time.Minute)
	s.held = false
	s.release()
	s.run()
	wantSame(t, "standing", s.registry.FrameworkStanding(f), StandingConnected)
}

func TestStreamThatEndsBeforeItIsSubscribed(t *testing.T) { // F-3
	s := newStage(t, nil)
	s.held = true
	s.call("s1", "", SubscribeCall{FrameworkInfo{Name: "f", FailoverTimeout: time.Hour}})
	s.m.StreamClosed(s.now, "s1")
	s.held = false
	s.release()
	s.run()
	wantSame(t, "events", len(s.events), 0)
	wantSame(t, "standing", s.registry.FrameworkStanding("1-F1"), StandingDisconnected)
}

// The one before closes its stream while the next one's subscription is on its way to the registry.
func TestWhoTakesOverIsConnectedInTheRegistryToo(t *testing.T) { // F-2, F-3, M-8
	for _, c := range []struct {
		user string
		want Standing
	}{{"u", StandingConnected}, {"other", StandingDisconnected}} { // another user is refused
		s := newStage(t, nil)
		f := s.subscribe("s1", FrameworkInfo{Name: "f", User: "u", FailoverTimeout: time.Hour})
		s.held = true
		s.call("s2", "", SubscribeCall{FrameworkInfo{ID: f, Name: "f", User: c.user, FailoverTimeout: time.Hour}})
		s.m.StreamClosed(s.now, "s1")
		s.run()
		s.held = false
		s.release()
		s.run()
		wantSame(t, "standing after a subscription of "+c.user, s.registry.FrameworkStanding(f), c.want)
	}
}

func TestADrainThatIsTakenBackKillsNobody(t *testing.T) {
	for _, killed := range []bool{false, true} {
		l := newLaunched(t, nil)
		l.m.LinkBroken(l.now, l.link)
		l.run()
		if killed {
			l.call("s1", l.f, KillCall{Task: "t1", Agent: l.id})
		}
		l.m.Operate(l.now, 5, DrainAgent{Agent: l.id, Deadline: stageUnix + l.now + time.Second})
		l.run()
		l.pass(2 * time.Second)
		l.m.Operate(l.now, 6, ReactivateAgent{Agent: l.id})
		l.run()
		l.clear()
		l.again(l.id, 1, taskOf(l.task, Running))
		var want []Kill
		if killed { // by its scheduler: with its own grace
			want = []Kill{{Term: l.term, Task: TaskKey{l.f, "t1"}}}
		}
		wantSame(t, "killed", sent[Kill](l.stage), want)
	}
}

// Also while an agent with tasks of it is away, which are to end.
func TestAFrameworkThatIsAllowedSubscribesAgain(t *testing.T) { // F-4
	l := newLaunched(t, nil)
	l.m.LinkBroken(l.now, l.link)
	l.run()
	l.call("s1", l.f, TeardownCall{})
	wantSame(t, "standing", l.registry.FrameworkStanding(l.f), StandingRemoved)
	for range 2 { // nobody comes in time at first
		l.m.Operate(l.now, 99, AllowFramework{Framework: l.f})
		l.run()
		wantSame(t, "allowed", l.answers[len(l.answers)-1].Code, CallAccepted)
		l.m.Operate(l.now, 99, AllowFramework{Framework: l.f})
		l.run()
		wantSame(t, "allowed twice", l.answers[len(l.answers)-1].Code, CallRefused)
		l.pass(2 * time.Hour)
	}
	l.m.Operate(l.now, 99, AllowFramework{Framework: l.f})
	l.run()
	l.subscribe("s3", FrameworkInfo{ID: l.f, Name: "f"})
	wantSame(t, "standing when it is allowed", l.registry.FrameworkStanding(l.f), StandingConnected)
	l.clear()
	l.again(l.id, 1, taskOf(l.task, Running))
	wantSame(t, "killed", sent[Kill](l.stage), []Kill{{Term: l.term, Task: TaskKey{l.f, "t1"}}})
	wantSame(t, "shut down", len(sent[ShutdownFramework](l.stage)), 0)
}
