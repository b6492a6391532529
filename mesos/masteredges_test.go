package mesos

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// begin launches a task of that id on an agent by the offers of a stream, which were not
// used before.
func (s *stage) begin(stream StreamID, f FrameworkID, id TaskID, agent AgentID) *Launch {
	s.t.Helper()
	for _, o := range s.offers(stream) {
		if _, ok := s.m.offers.Get(o.ID); ok && o.Agent == agent {
			s.call(stream, f, AcceptCall{Offers: []OfferID{o.ID}, Launch: []TaskInfo{job(id, agent)}})
			return last[Launch](s)
		}
	}
	s.t.Fatalf("nothing of %s is offered: %+v", agent, s.events)
	return nil
}

// The first container of a task is on an agent that has not registered when the next master
// lets it start a second time.
func TestSecondContainerIsKnownAfterTheFirst(t *testing.T) { // A-11, R
	l := newLaunched(t, nil)
	b, _ := l.agent(2)
	l.elect()
	l.subscribe("s1", FrameworkInfo{ID: l.f, Name: "f"})
	link, _ := l.again(b, 2)
	second := l.begin("s1", l.f, "t1", b)
	l.again(l.id, 1, taskOf(l.task, Running))
	wantSame(t, "killed", len(sent[Kill](l.stage)), 1)
	l.agentSays(link, update(second, Finished, Finished, 2))
	l.call("s1", l.f, AcknowledgeCall{"t1", b, UpdateID{2}})
	l.clear()
	l.call("s1", l.f, ReconcileCall{Tasks: []ReconcileTask{{"t1", l.id}}})
	l.call("s1", l.f, ReconcileCall{})
	wantSame(t, "states", l.states("s1"), "t1:RUNNING t1:RUNNING")
	l.call("s1", l.f, KillCall{Task: "t1", Agent: l.id})
	wantSame(t, "killed", len(sent[Kill](l.stage)), 1)
	l.again(l.id, 1, taskOf(l.task, Running))
	wantSame(t, "killed again", len(sent[Kill](l.stage)), 2)
}

// An agent brings what cannot be: a container of another task, or one that another agent has.
func TestBroughtContainerIsAnothers(t *testing.T) {
	l := newLaunched(t, nil)
	g := l.subscribe("s2", FrameworkInfo{Name: "g"})
	wrong := taskOf(l.task, Running)
	wrong.Key = TaskKey{g, "t9"}
	l.again(l.id, 1, wrong)
	l.again(l.id, 1, taskOf(l.task, Running))
	b, _ := l.agent(2)
	l.again(b, 2, taskOf(l.task, Running))
	link, _ := l.again(l.id, 1, taskOf(l.task, Running))
	l.agentSays(link, update(l.task, Finished, Finished, 3))
	l.call("s1", l.f, AcknowledgeCall{"t1", l.id, UpdateID{3}})
	l.again(b, 2, taskOf(l.task, Running))
	l.again(b, 2, taskOf(l.task, Running))
	wantSame(t, "kills", len(sent[Kill](l.stage)), 0)
	l.clear()
	l.call("s2", g, ReconcileCall{})
	wantSame(t, "states of the other framework", l.states("s2"), "")
}

// Once an end is told the task does not start by an offer that was accepted before.
func TestLateAcceptStartsNothingThatIsTold(t *testing.T) { // R, F-6
	for _, c := range []struct {
		call CallBody
		told string
	}{
		{ReconcileCall{Tasks: []ReconcileTask{{"t2", "1-A1"}}}, "t2:GONE"},
		{ReconcileCall{Tasks: []ReconcileTask{{"t2", ""}}}, "t2:UNKNOWN"},
		{KillCall{Task: "t2", Agent: "1-A1"}, "t2:GONE"},
		{KillCall{Task: "t2"}, "t2:UNKNOWN"},
		{AcceptCall{Offers: []OfferID{"none"}, Launch: []TaskInfo{job("t2", "1-A1")}}, "t2:DROPPED"},
	} {
		l := newLaunched(t, nil)
		l.agent(2)
		l.call("s1", l.f, ReviveCall{})
		offers := l.offers("s1")
		wantSame(t, "offered", len(offers), 2)
		l.clear()
		l.call("s1", l.f, c.call)
		wantSame(t, "states", l.states("s1"), c.told)
		if _, ok := l.events[len(l.events)-1].Event.(UpdateEvent); !ok {
			t.Errorf("it is not told last: %+v", l.events)
		}
		for _, o := range offers {
			if o.Agent == l.id {
				wantSame(t, "rescinded", slices.Contains(told[RescindEvent](l.stage, "s1"), RescindEvent{o.ID}), true)
				l.call("s1", l.f, AcceptCall{Offers: []OfferID{o.ID}, Launch: []TaskInfo{job("t2", l.id)}})
			}
		}
		wantSame(t, fmt.Sprintf("launched after %s", c.told), len(sent[Launch](l.stage)), 0)
		if c.told != "t2:UNKNOWN" {
			wantSame(t, "rescinded", len(told[RescindEvent](l.stage, "s1")), 1)
		}
	}
}

func TestSequenceGoesOnAfterAnAgentIsForgotten(t *testing.T) {
	l := newLaunched(t, nil)
	l.agentSays(l.link, update(l.task, Finished, Finished, 1))
	l.call("s1", l.f, AcknowledgeCall{"t1", l.id, UpdateID{1}})
	l.pass(90 * time.Second)
	wantSame(t, "standing", l.registry.Standing(l.id), StandingUnreachable)
	l.again(l.id, 1)
	wantSame(t, "sequence", l.begin("s1", l.f, "t2", l.id).Sequence, uint64(2))
}

func TestDrainGoesOnWithTheNextMaster(t *testing.T) {
	l := newLaunched(t, nil)
	l.m.Operate(l.now, 5, DrainAgent{Agent: l.id})
	l.run()
	l.elect()
	l.clear()
	l.again(l.id, 1, taskOf(l.task, Running))
	wantSame(t, "killed", sent[Kill](l.stage), []Kill{{Term: l.term, Task: TaskKey{l.f, "t1"}}})
}

// The last that the scheduler knows of a task is what counts.
func TestEndThatWasNotToldIsUnreachable(t *testing.T) { // P-4, U-3
	l := newLaunched(t, nil)
	l.agentSays(l.link, update(l.task, Running, Finished, 1))
	l.pass(90 * time.Second)
	wantSame(t, "states", l.states("s1"), "t1:RUNNING t1:UNREACHABLE")
	l.clear()
	back := taskOf(l.task, Finished)
	back.Acknowledging, back.AcknowledgingID = Running, UpdateID{1}
	link, _ := l.again(l.id, 1, back)
	l.agentSays(link, update(l.task, Running, Finished, 1))
	l.call("s1", l.f, AcknowledgeCall{"t1", l.id, UpdateID{1}})
	l.agentSays(link, update(l.task, Finished, Finished, 2))
	wantSame(t, "states", l.states("s1"), "t1:RUNNING t1:RUNNING t1:FINISHED")
}

// An agent that the master before has marked may run what nobody else knows of.
func TestUnknownWaitsForUnreachableAgents(t *testing.T) { // R
	l := newLaunched(t, nil)
	l.pass(90 * time.Second)
	l.elect()
	l.subscribe("s1", FrameworkInfo{ID: l.f, Name: "f"})
	l.clear()
	ask := ReconcileCall{Tasks: []ReconcileTask{{Task: "t1"}, {Task: "t2"}}}
	l.call("s1", l.f, ask)
	wantSame(t, "states", l.states("s1"), "")
	l.again(l.id, 1)
	l.call("s1", l.f, ask)
	wantSame(t, "states once it is back", l.states("s1"), "t1:UNKNOWN t2:UNKNOWN")
	l.clear()
	l.pass(90 * time.Second)
	l.call("s1", l.f, ask)
	wantSame(t, "states when it is away again", l.states("s1"), "t1:UNKNOWN t2:UNKNOWN")
}

func TestNamesInUseAreNotGivenAway(t *testing.T) { // F-1, A-10
	s := newStage(t, nil)
	info := machine(1)
	info.ID = "1-A1"
	s.agentSays(70, Register{Info: info, Boot: "b", Attempt: 1, Sequence: 1, Term: s.term})
	id, _ := s.first(2)
	wantSame(t, "agent", id, AgentID("1-A2"))
	s.subscribe("s1", FrameworkInfo{ID: "1-F1", Name: "f"})
	wantSame(t, "framework", s.subscribe("s2", FrameworkInfo{Name: "g"}), FrameworkID("1-F2"))
	s.held = true
	s.call("s3", "", SubscribeCall{FrameworkInfo{ID: "1-F3", Name: "h"}})
	s.call("s4", "", SubscribeCall{FrameworkInfo{Name: "i"}})
	s.held = false
	s.release()
	s.run()
	wantSame(t, "of one under way", told[SubscribedEvent](s, "s4")[0].Framework, FrameworkID("1-F4"))
}

func TestAdoptedFrameworkThatHasNoRoomIsRemoved(t *testing.T) { // M-8, F-3
	s := newStage(t, nil)
	s.registry.limits.Frameworks = 1
	s.elect()
	s.subscribe("s1", FrameworkInfo{Name: "f"})
	l := &Launch{Framework: FrameworkInfo{ID: "old-F1", Name: "old"}, Task: job("t1", "old-A1"), Container: ContainerID{9}}
	info := machine(1)
	info.ID = "old-A1"
	s.agentSays(7, Register{Info: info, Boot: "b", Attempt: 1, Sequence: 1, Term: s.term, Frameworks: []FrameworkInfo{l.Framework},
		Tasks: []Task{taskOf(l, Running)}})
	wantSame(t, "standing", s.registry.FrameworkStanding("old-F1"), StandingNone)
	s.clear()
	s.pass(time.Minute)
	wantSame(t, "shut down", len(sent[ShutdownFramework](s)) > 0, true)
}

// A removal that finds nothing leaves a framework whose subscription comes after it.
func TestSubscriptionBehindARemoval(t *testing.T) { // M-8, F-3
	s := newStage(t, nil)
	s.registry.limits.Frameworks = 1
	s.elect()
	s.subscribe("s1", FrameworkInfo{Name: "f"})
	info := machine(1)
	info.ID = "old-A1"
	l := &Launch{Framework: FrameworkInfo{ID: "old-F1", Name: "old"}, Task: job("t1", "old-A1"), Container: ContainerID{9}}
	s.agentSays(7, Register{Info: info, Boot: "b", Attempt: 1, Sequence: 1, Term: s.term, Frameworks: []FrameworkInfo{l.Framework},
		Tasks: []Task{taskOf(l, Running)}})
	s.held = true
	s.pass(time.Minute)
	s.call("s2", "", SubscribeCall{l.Framework})
	s.registry.limits.Frameworks, s.m.registry.limits.Frameworks = 2, 2
	s.held = false
	s.release()
	s.run()
	wantSame(t, "shut down", len(sent[ShutdownFramework](s)), 0)
	wantSame(t, "code", s.call("s2", "old-F1", ReconcileCall{}).Code, CallAccepted)
	wantSame(t, "states", s.states("s2"), "t1:RUNNING")
}

func TestTeardownTwiceWaitsForTheRegistry(t *testing.T) { // F-3
	l := newLaunched(t, nil)
	l.held = true
	wantSame(t, "first", l.call("s1", l.f, TeardownCall{}), Answer{})
	wantSame(t, "second", l.call("s1", l.f, TeardownCall{}), Answer{})
	l.held = false
	l.release()
	l.run()
	wantSame(t, "answers", len(l.answers), 2)
	wantSame(t, "proposed once", l.registry.FrameworkStanding(l.f), StandingRemoved)
	for _, a := range l.answers {
		wantSame(t, "answered", a.Code, CallAccepted)
	}
}
