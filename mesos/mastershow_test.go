package mesos

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func (s *stage) happened() string {
	var lines []string
	for _, h := range s.news {
		lines = append(lines, fmt.Sprintf("%s %s %s", h.Kind, h.Subject, h.Text))
	}
	s.news = nil
	return strings.Join(lines, "\n")
}

func wantIn(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("there is no %q in:\n%s", w, text)
		}
	}
}

func TestAViewShowsWhatThereIsAndWhatWasLately(t *testing.T) {
	s := newLaunched(t, nil)
	v := s.m.View()
	if len(v.Agents) != 1 || v.Agents[0].State != "registered" || v.Agents[0].Tasks != 1 || v.Agents[0].Used.String() != s.task.Task.Resources.String() {
		t.Errorf("agents %+v", v.Agents)
	}
	if len(v.Frameworks) != 1 || !v.Frameworks[0].Connected || v.Frameworks[0].Tasks != 1 {
		t.Errorf("frameworks %+v", v.Frameworks)
	}
	if len(v.Tasks) != 1 || v.Tasks[0].Task.State != Staging || v.Tasks[0].Since != stageUnix+20*time.Millisecond {
		t.Errorf("tasks %+v", v.Tasks)
	}
	s.pass(time.Second)
	s.agentSays(s.link, update(s.task, Running, Running, 1))
	s.call("s1", s.f, AcknowledgeCall{Task: "t1", Agent: s.id, ID: UpdateID{1}})
	s.pass(time.Second)
	end := update(s.task, Failed, Failed, 2)
	end.Status.HasExit, end.Status.ExitCode, end.Status.Message = true, 3, strings.Repeat("x", 2000)
	s.agentSays(s.link, end)
	s.call("s1", s.f, AcknowledgeCall{Task: "t1", Agent: s.id, ID: UpdateID{2}})
	v = s.m.View()
	if len(v.Tasks) != 1 || v.Tasks[0].Task.State != Failed || v.Tasks[0].Status.ExitCode != 3 || len(v.Tasks[0].Status.Message) != maxShownMessage ||
		v.Tasks[0].Since != stageUnix+s.now {
		t.Errorf("after the end: %+v", v.Tasks)
	}
	if v.Agents[0].Tasks != 0 || !v.Agents[0].Used.Empty() {
		t.Errorf("agent %+v", v.Agents[0])
	}
	wantIn(t, s.happened(), "master m1 leads as master of term 1", "agent 1-A1 registered with 0 tasks (h1)", "framework 1-F1 subscribed (f)",
		"task 1-F1/t1 launched on h1", "task 1-F1/t1 RUNNING on h1", "task 1-F1/t1 FAILED on h1, exit code 3: xxx")
}

func TestNoMoreEndedTasksAreRememberedThanMaxEndedTasks(t *testing.T) {
	var e endedTasks
	for i := range MaxEndedTasks + 3 {
		e.add(TaskView{Since: time.Duration(i)})
	}
	oldest := e.list[0].Since
	for _, v := range e.list {
		oldest = min(oldest, v.Since)
	}
	if len(e.list) != MaxEndedTasks || oldest != 3 {
		t.Errorf("%d are remembered, the oldest is %d", len(e.list), oldest)
	}
}

func TestAgentsThatAreAwayAreShown(t *testing.T) {
	s := newLaunched(t, nil)
	s.m.LinkBroken(s.now, s.link)
	s.run()
	if a := s.m.View().Agents[0]; a.State != "disconnected" {
		t.Errorf("%+v", a)
	}
	s.pass(time.Hour)
	v := s.m.View()
	if a := v.Agents[0]; a.State != "unreachable" || a.Since == 0 {
		t.Errorf("%+v", a)
	}
	if v.Tasks[0].Task.State != Unreachable {
		t.Errorf("%+v", v.Tasks[0])
	}
	wantIn(t, s.happened(), "agent 1-A1 disconnected", "agent 1-A1 unreachable", "task 1-F1/t1 UNREACHABLE on h1")
	s.m.Operate(s.now, 99, MarkGone{Agent: s.id})
	s.run()
	if a := s.m.View().Agents[0]; a.State != "gone" {
		t.Errorf("%+v", a)
	}
	wantIn(t, s.happened(), "agent 1-A1 gone for good")
}

func TestADrainedAgentsTasksHaveTheirGraceUntilTheDeadline(t *testing.T) {
	s := newLaunched(t, nil)
	s.m.Operate(s.now, 99, DrainAgent{Agent: s.id, Deadline: stageUnix + s.now + time.Minute})
	s.run()
	if k := sent[Kill](s.stage); len(k) != 1 || k[0].Grace != 0 {
		t.Fatalf("kills %+v", k)
	}
	s.pass(59 * time.Second)
	s.clear()
	s.pass(time.Second)
	if k := last[Kill](s.stage); k == nil || k.Grace != noGrace {
		t.Errorf("at the deadline: kills %+v", k)
	}
	wantIn(t, s.happened(), "agent 1-A1 draining, what runs is killed in 1m0s")
	s.clear()
	s.elect() // the next master knows of it
	s.again(s.id, 1, taskOf(s.task, Running))
	if k := sent[Kill](s.stage); len(k) != 1 || k[0].Grace != noGrace || k[0].Term != 2 {
		t.Errorf("of the next master: kills %+v", k)
	}
	s.m.Operate(s.now, 99, ReactivateAgent{Agent: s.id})
	s.run()
	wantIn(t, s.happened(), "agent 1-A1 active")
}
