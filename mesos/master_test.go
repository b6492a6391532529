package mesos

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// stage is a master with a registry that is told right away what it commits, unless held.
type stage struct {
	t        *testing.T
	config   MasterConfig
	registry *Registry
	index    uint64
	m        *Master
	term     Term
	now      time.Duration
	held     bool
	commits  []RegistryOperation // held back

	agents  []ToAgent
	answers []Answer
	events  []SchedulerEvent
	closed  []StreamID
	news    []Happening
	ended   string
	request uint64
	link    LinkID
}

const stageUnix = 1_700_000_000 * time.Second

func newStage(t *testing.T, change func(*MasterConfig)) *stage {
	t.Helper()
	r, err := NewRegistry(RegistryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, registry: r, config: MasterConfig{Name: "m1", Address: "10.0.0.1:4700"}}
	if change != nil {
		change(&s.config)
	}
	s.elect()
	return s
}

// elect begins the next mastership.
func (s *stage) elect() {
	s.t.Helper()
	s.term++
	c := s.config
	c.Rand = rand.New(rand.NewPCG(uint64(s.term), 1))
	m, err := NewMaster(c, s.term, s.now, stageUnix+s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	s.m, s.ended = m, ""
	s.run()
	m.Loaded(s.now, s.registry.Clone())
	s.run()
}

// run carries out what the master wants.
func (s *stage) run() {
	for {
		out := s.m.Output()
		s.agents = append(s.agents, out.ToAgents...)
		s.answers = append(s.answers, out.Answers...)
		s.events = append(s.events, out.ToSchedulers...)
		s.closed = append(s.closed, out.Closed...)
		s.news = append(s.news, out.Happened...)
		if out.Ended != "" {
			s.ended = out.Ended
		}
		s.commits = append(s.commits, out.Commit...)
		if s.held || len(s.commits) == 0 {
			return
		}
		s.release()
	}
}

// release commits what was held back.
func (s *stage) release() {
	commits := s.commits
	s.commits = nil
	s.index++
	s.m.Committed(s.now, s.registry.Carry(s.index, RegistryCommand{Term: s.term, Operations: commits}).Results...)
}

func (s *stage) pass(d time.Duration) {
	end := s.now + d
	for {
		at, ok := s.m.Next()
		if !ok || at > end {
			break
		}
		s.now = max(s.now, at)
		s.m.Tick(s.now)
		s.run()
	}
	s.now = end
	s.m.Tick(s.now)
	s.run()
}

func (s *stage) clear() { s.agents, s.answers, s.events, s.closed = nil, nil, nil, nil }

func (s *stage) agentSays(link LinkID, message any) {
	s.m.AgentMessage(s.now, link, message)
	s.run()
}

func (s *stage) call(stream StreamID, f FrameworkID, body CallBody) Answer {
	s.request++
	s.m.Call(s.now, Call{Request: s.request, Stream: stream, Framework: f, Body: body})
	s.run()
	for _, a := range s.answers {
		if a.Request == s.request {
			return a
		}
	}
	return Answer{}
}

func machine(n int) AgentInfo {
	return AgentInfo{Hostname: fmt.Sprint("h", n), Address: fmt.Sprint("10.1.0.", n, ":4701"), Resources: quantity("cpus:4;mem:4096")}
}

func quantity(text string) Resources {
	r, err := ParseResources(text)
	if err != nil {
		panic(err)
	}
	return r
}

// agent registers machine n and returns its id and link.
func (s *stage) agent(n int) (AgentID, LinkID) {
	s.t.Helper()
	id, link := s.first(n)
	s.agentSays(link, Pong{Agent: id, Term: s.term}) // it knows its id
	return id, link
}

// first registers machine n, which has no id.
func (s *stage) first(n int) (AgentID, LinkID) {
	s.t.Helper()
	s.link++
	link := s.link
	s.agentSays(link, Register{Info: machine(n), Boot: fmt.Sprint("boot", n), Attempt: 1, Sequence: 1, Term: s.term})
	r := last[Registered](s)
	if r == nil {
		s.t.Fatalf("machine %d is not registered: %+v", n, s.agents)
	}
	return r.Agent, link
}

// again registers an agent that has an id by a new link.
func (s *stage) again(id AgentID, n int, tasks ...Task) (LinkID, *Registered) {
	s.link++
	info := machine(n)
	info.ID = id
	before := len(s.agents)
	s.agentSays(s.link, Register{Info: info, Boot: fmt.Sprint("boot", n), Attempt: uint64(s.link), Sequence: 1, Term: s.term, Tasks: tasks})
	if r := last[Registered](s); r != nil && len(s.agents) > before {
		return s.link, r
	}
	return s.link, nil
}

// last is the last message of a kind to an agent.
func last[M any](s *stage) *M {
	for i := len(s.agents) - 1; i >= 0; i-- {
		if v, ok := s.agents[i].Message.(M); ok {
			return &v
		}
	}
	return nil
}

func sent[M any](s *stage) (all []M) {
	for _, a := range s.agents {
		if v, ok := a.Message.(M); ok {
			all = append(all, v)
		}
	}
	return all
}

func told[E Event](s *stage, stream StreamID) (all []E) {
	for _, e := range s.events {
		if v, ok := e.Event.(E); ok && e.Stream == stream {
			all = append(all, v)
		}
	}
	return all
}

func (s *stage) subscribe(stream StreamID, info FrameworkInfo) FrameworkID {
	s.t.Helper()
	s.call(stream, "", SubscribeCall{info})
	all := told[SubscribedEvent](s, stream)
	if len(all) == 0 {
		s.t.Fatalf("%s is not subscribed: %+v", stream, s.events)
	}
	return all[len(all)-1].Framework
}

func (s *stage) offers(stream StreamID) (all []OfferInfo) {
	s.pass(20 * time.Millisecond)
	for _, e := range told[OffersEvent](s, stream) {
		all = append(all, e.Offers...)
	}
	return all
}

func job(id TaskID, agent AgentID) TaskInfo {
	return TaskInfo{ID: id, Agent: agent, Resources: quantity("cpus:1;mem:64"), Command: Command{Value: "true"}}
}

// update is what an agent tells of a launched task. n tells it from others.
func update(l *Launch, state, latest TaskState, n byte) StatusUpdate {
	return StatusUpdate{Latest: latest, Status: TaskStatus{Task: TaskKey{l.Framework.ID, l.Task.ID}, Agent: l.Task.Agent,
		Container: l.Container, State: state, ID: UpdateID{n}, Source: SourceAgent}}
}

func taskOf(l *Launch, state TaskState) Task {
	return Task{Key: TaskKey{l.Framework.ID, l.Task.ID}, Agent: l.Task.Agent, Container: l.Container, Term: l.Term,
		Sequence: l.Sequence, Resources: l.Task.Resources, Role: l.Task.Role, State: state}
}

// launched is a stage with one agent and one task that was launched on it.
type launched struct {
	*stage
	id   AgentID
	link LinkID
	f    FrameworkID
	task *Launch
}

func newLaunched(t *testing.T, change func(*MasterConfig)) *launched {
	t.Helper()
	l := &launched{stage: newStage(t, change)}
	l.id, l.link = l.agent(1)
	l.f = l.subscribe("s1", FrameworkInfo{Name: "f", FailoverTimeout: time.Hour})
	offers := l.offers("s1")
	if len(offers) != 1 {
		t.Fatalf("got offers %+v", offers)
	}
	l.call("s1", l.f, AcceptCall{Offers: []OfferID{offers[0].ID}, Launch: []TaskInfo{job("t1", l.id)}})
	if l.task = last[Launch](l.stage); l.task == nil {
		t.Fatalf("nothing was launched: %+v", l.events)
	}
	l.clear()
	return l
}

// states are those of the updates a stream got.
func (s *stage) states(stream StreamID) string {
	var all []string
	for _, u := range told[UpdateEvent](s, stream) {
		all = append(all, fmt.Sprintf("%s:%v", u.Status.Task.Task, u.Status.State))
	}
	return strings.Join(all, " ")
}

func wantSame(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
