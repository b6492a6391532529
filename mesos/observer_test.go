package mesos

import (
	"testing"
	"time"
)

func TestUnreachableAndBack(t *testing.T) { // P-1, P-4, A-12
	l := newLaunched(t, nil)
	l.agentSays(l.link, update(l.task, Running, Running, 1))
	l.held = true
	l.pass(75*time.Second - l.now - 1)
	wantSame(t, "commits", len(l.commits), 0)
	l.pass(1)
	wantSame(t, "commits", len(l.commits), 1)
	wantSame(t, "before the registry", l.states("s1"), "t1:RUNNING")
	l.held = false
	l.release()
	l.run()
	wantSame(t, "states", l.states("s1"), "t1:RUNNING t1:UNREACHABLE")
	u := told[UpdateEvent](l.stage, "s1")[1].Status
	wantSame(t, "since", u.UnreachableSince, stageUnix+l.now)
	wantSame(t, "failures", told[FailureEvent](l.stage, "s1"), []FailureEvent{{l.id}})
	l.clear()
	l.agentSays(l.link, update(l.task, Running, Running, 1))
	wantSame(t, "told to register", last[Ping](l.stage), &Ping{Term: l.term})
	l.held = true
	l.again(l.id, 1, taskOf(l.task, Running))
	wantSame(t, "back before the registry", l.states("s1"), "")
	l.held = false
	l.release()
	l.run()
	u = told[UpdateEvent](l.stage, "s1")[0].Status
	wantSame(t, "back", []any{u.State, u.Reason, u.ID}, []any{Running, ReasonAgentReregistered, UpdateID{}})
	wantSame(t, "offered", l.offers("s1")[0].Resources.String(), quantity("cpus:3;mem:4032").String())
}

func TestUnreachableAndBackToTheNextMaster(t *testing.T) {
	l := newLaunched(t, nil)
	l.pass(90 * time.Second)
	l.elect()
	l.subscribe("s2", FrameworkInfo{ID: l.f, Name: "f"})
	l.again(l.id, 1, taskOf(l.task, Running))
	wantSame(t, "states", l.states("s2"), "t1:RUNNING")
}

func TestPongTakesTheMarkBack(t *testing.T) { // P-1
	s := newStage(t, func(c *MasterConfig) { c.RemovalInterval = time.Hour })
	a, _ := s.agent(1)
	b, link := s.agent(2)
	s.pass(90 * time.Second)
	wantSame(t, "the first", s.registry.Standing(a), StandingUnreachable)
	wantSame(t, "pings", last[Ping](s).Sequence, uint64(7))
	s.agentSays(link, Pong{b, s.term, 8}) // of no ping
	s.agentSays(link, Pong{b, s.term + 1, 6})
	wantSame(t, "queued", len(s.m.removals.queue), 1)
	s.agentSays(link, Pong{b, s.term, 5})
	wantSame(t, "queued", len(s.m.removals.queue), 0)
	s.pass(75*time.Second - 1)
	s.agentSays(link, Pong{b, s.term, 5}) // twice
	s.pass(1)
	wantSame(t, "queued again", len(s.m.removals.queue), 1)
	s.pass(time.Hour)
	wantSame(t, "the second", s.registry.Standing(b), StandingUnreachable)
}

func TestHintOnlyPings(t *testing.T) { // P, gossip
	s := newStage(t, nil)
	a, _ := s.agent(1)
	s.pass(5 * time.Second)
	s.clear()
	for range 20 {
		s.m.Suspect(s.now, a)
	}
	s.m.Suspect(s.now, "none")
	s.run()
	wantSame(t, "pings", len(sent[Ping](s)), 1)
	s.pass(69 * time.Second)
	wantSame(t, "standing", s.registry.Standing(a), StandingAdmitted)
	wantSame(t, "commits", len(s.commits), 0)
}

func TestAgentThatAnswersButNeverRegisters(t *testing.T) { // P-3
	s := newStage(t, nil)
	a, link := s.agent(1)
	s.m.LinkBroken(s.now, link)
	for range 39 {
		s.pass(15 * time.Second)
		p := sent[Ping](s)
		wantSame(t, "connected", p[len(p)-1].Connected, false)
		s.agentSays(77, Pong{a, s.term, p[len(p)-1].Sequence})
	}
	wantSame(t, "standing", s.registry.Standing(a), StandingAdmitted)
	s.pass(15 * time.Second)
	wantSame(t, "standing", s.registry.Standing(a), StandingUnreachable)
}

func TestGoneAgent(t *testing.T) { // P-5
	l := newLaunched(t, nil)
	l.held = true
	l.m.Operate(l.now, 7, MarkGone{Agent: l.id})
	l.run()
	wantSame(t, "before the registry", l.states("s1"), "")
	l.held = false
	l.release()
	l.run()
	wantSame(t, "states", l.states("s1"), "t1:GONE_BY_OPERATOR")
	wantSame(t, "failures", told[FailureEvent](l.stage, "s1"), []FailureEvent{{l.id}})
	wantSame(t, "shut down", sent[Shutdown](l.stage), []Shutdown{{l.id, l.term, CodeAgentGone.String()}})
	l.clear()
	l.again(l.id, 1)
	l.agentSays(90, update(l.task, Running, Running, 1))
	wantSame(t, "shut down again", len(sent[Shutdown](l.stage)), 2)
	wantSame(t, "registered", len(sent[Registered](l.stage)), 0)
}

func TestPrune(t *testing.T) { // P-6
	l := newLaunched(t, nil)
	l.pass(90 * time.Second)
	l.pass(PruneAge - 20*time.Minute)
	wantSame(t, "standing", l.registry.Standing(l.id), StandingUnreachable)
	l.pass(40 * time.Minute)
	wantSame(t, "standing", l.registry.Standing(l.id), StandingNone)
	l.clear()
	l.call("s1", l.f, ReconcileCall{Tasks: []ReconcileTask{{"t1", l.id}}})
	wantSame(t, "states", l.states("s1"), "t1:UNKNOWN")
}
