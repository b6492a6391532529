package mesos

import "testing"

func TestAnAgentTakesNoMoreTasksThanItMayHave(t *testing.T) {
	s := newLaunched(t, func(c *MasterConfig) { c.MaxAgentTasks = 1 })
	s.agentSays(s.link, update(s.task, Running, Running, 1))
	s.clear()
	offers := s.offers("s1")
	if len(offers) == 0 {
		t.Fatal("nothing is offered")
	}
	s.call("s1", s.f, AcceptCall{Offers: []OfferID{offers[0].ID}, Launch: []TaskInfo{job("t2", s.id)}})
	if l := last[Launch](s.stage); l != nil {
		t.Errorf("launched %+v", l)
	}
	wantSame(t, "updates", s.states("s1"), "t2:ERROR")
}

func TestARegistrationWithTooManyTasksIsNotTaken(t *testing.T) {
	s := newLaunched(t, func(c *MasterConfig) { c.MaxAgentTasks = 1 })
	s.elect()
	tasks := []Task{taskOf(s.task, Running), taskOf(s.task, Running), taskOf(s.task, Running)}
	for i := range tasks {
		tasks[i].Container = ContainerID{byte(i + 1)}
	}
	s.clear()
	if _, r := s.again(s.id, 1, tasks...); r != nil {
		t.Errorf("registered: %+v", r)
	}
	if _, r := s.again(s.id, 1, tasks[:2]...); r == nil {
		t.Error("one with twice as many is not registered")
	}
}

func TestWithQuotasNothingIsOfferedUntilMostAgentsAreBack(t *testing.T) { // M-9
	for _, quota := range []bool{false, true} {
		s := newStage(t, nil)
		var ids []AgentID
		for n := range 5 {
			id, _ := s.agent(n + 1)
			ids = append(ids, id)
		}
		if quota {
			s.m.Operate(s.now, 99, SetQuota{Role: "other", Limited: true, Limit: quantity("cpus:1")})
			s.run()
		}
		s.elect()
		s.clear()
		s.subscribe("s1", FrameworkInfo{Name: "f"})
		for n := range 3 {
			s.again(ids[n], n+1)
		}
		if got := len(s.offers("s1")) > 0; got == quota {
			t.Errorf("quota %v: with 3 of 5 agents offers are made: %v", quota, got)
		}
		s.clear()
		s.again(ids[3], 4)
		if len(s.offers("s1")) == 0 {
			t.Errorf("quota %v: with 4 of 5 agents nothing is offered", quota)
		}
	}
}

func TestTheHoldOffEndsWithRegisterTimeout(t *testing.T) { // M-9
	s := newStage(t, nil)
	first, _ := s.agent(1)
	s.agent(2)
	s.m.Operate(s.now, 99, SetQuota{Role: "other", Limited: true, Limit: quantity("cpus:1")})
	s.run()
	s.elect()
	s.subscribe("s1", FrameworkInfo{Name: "f"})
	link, _ := s.again(first, 1)
	s.pass(s.config.RegisterTimeout)
	for s.now < s.config.withDefaults().RegisterTimeout {
		if p := last[Ping](s); p != nil {
			s.agentSays(link, Pong{Agent: first, Term: s.term, Sequence: p.Sequence})
		}
		s.clear()
		s.pass(10 * 1e9)
	}
	s.pass(2 * 1e9)
	if len(s.offers("s1")) == 0 {
		t.Error("nothing is offered")
	}
}
