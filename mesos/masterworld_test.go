package mesos

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// cluster is a world of masters, agents and schedulers over one registry, in which messages
// are lost, doubled and reordered and everything may break. What must never happen is
// checked whenever something leaves a master or a container starts.
type cluster struct {
	rand     *rand.Rand
	seed     uint64
	now      time.Duration
	registry *Registry
	index    uint64
	term     Term
	masters  []*clusterMaster // those that live; the last one was begun last
	agents   []*clusterAgent
	flying   []clusterMessage
	links    LinkID
	streams  map[StreamID]*clusterStream
	opened   int
	calm     bool
	failure  string
	marked   map[AgentID]bool // was unreachable at some time
	wrecked  map[AgentID]bool // is gone

	// containers are by what they are a start of.
	containers map[TaskKey]map[ContainerID]bool
	running    map[TaskKey]int
	over       map[TaskKey]string // what a master has said of their end
	updates    map[ContainerID]*clusterUpdates
	fenced     map[TaskID]bool // what was asked for on streams that were taken over
	counts     map[string]int

	points *launchPoints // where everything may be killed, nil if it is not
}

type clusterUpdates struct {
	ids  []UpdateID
	rank int
}

type clusterMaster struct {
	m       *Master
	term    Term
	queue   []RegistryOperation
	results []clusterResult
}

type clusterResult struct {
	RegistryResult
	loaded *Registry
}

type clusterMessage struct {
	to   func()
	from LinkID // of an agent's; lost with its link
}

func newCluster(seed uint64, agents int) *cluster {
	r, _ := NewRegistry(RegistryConfig{})
	w := &cluster{rand: rand.New(rand.NewPCG(seed, 7)), seed: seed, registry: r, streams: map[StreamID]*clusterStream{},
		marked: map[AgentID]bool{}, wrecked: map[AgentID]bool{}, containers: map[TaskKey]map[ContainerID]bool{},
		running: map[TaskKey]int{}, over: map[TaskKey]string{}, updates: map[ContainerID]*clusterUpdates{},
		fenced: map[TaskID]bool{}, counts: map[string]int{}}
	w.elect()
	for n := range agents {
		w.agents = append(w.agents, newClusterAgent(w, n))
	}
	return w
}

func (w *cluster) fail(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf("seed %d, at %v: ", w.seed, w.now) + fmt.Sprintf(format, args...)
	}
}

func (w *cluster) chance(percent int) bool { return w.rand.IntN(100) < percent }

// elect begins another mastership; the one before may not know for a while.
func (w *cluster) elect() {
	w.term++
	m, err := NewMaster(MasterConfig{Name: fmt.Sprint("m", w.term), Rand: rand.New(rand.NewPCG(w.seed, uint64(w.term)))},
		w.term, w.now, stageUnix+w.now)
	if err != nil {
		panic(err)
	}
	w.masters = append(w.masters, &clusterMaster{m: m, term: w.term})
	w.settle()
}

func (w *cluster) leader() *clusterMaster {
	if len(w.masters) == 0 {
		return nil
	}
	return w.masters[len(w.masters)-1]
}

// kill ends a master with all that hangs on it. What it has proposed may be committed.
func (w *cluster) kill(c *clusterMaster) {
	for len(c.queue) > 0 && w.chance(70) {
		w.commit(c)
	}
	w.masters = slices.DeleteFunc(w.masters, func(o *clusterMaster) bool { return o == c })
	for _, a := range w.agents {
		if a.master == c {
			a.unlink()
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.streams)) {
		if s := w.streams[id]; s.master == c {
			s.end()
		}
	}
}

// commit applies the first operation that a master has proposed.
func (w *cluster) commit(c *clusterMaster) {
	o := c.queue[0]
	c.queue = c.queue[1:]
	w.index++
	r := clusterResult{RegistryResult: w.registry.Carry(w.index, RegistryCommand{Term: c.term, Operations: []RegistryOperation{o}}).Results[0]}
	if r.Code == CodeOK {
		switch v := o.(type) {
		case ElectMaster:
			r.loaded = w.registry.Clone()
		case MarkUnreachable:
			w.marked[v.Agent] = true
			w.counts["unreachable"]++
		case MarkReachable:
			w.counts["reachable"]++
		case MarkGone:
			w.wrecked[v.Agent] = true
		}
	}
	c.results = append(c.results, r)
}

func (w *cluster) result(c *clusterMaster) {
	r := c.results[0]
	c.results = c.results[1:]
	c.m.Committed(w.now, r.RegistryResult)
	if r.loaded != nil {
		c.m.Loaded(w.now, r.loaded)
	}
}

// settle carries out what all want.
func (w *cluster) settle() {
	for _, c := range slices.Clone(w.masters) {
		w.carryOut(c)
	}
	for _, a := range w.agents {
		a.carryOut()
	}
}

func (w *cluster) carryOut(c *clusterMaster) {
	out := c.m.Output()
	if len(out.Commit) > 0 && w.killsAt("master before commit") {
		w.kill(c)
		return
	}
	c.queue = append(c.queue, out.Commit...)
	for _, t := range out.ToAgents {
		if w.killsAt("master before " + nameOf(t.Message)) {
			w.kill(c)
			return
		}
		if l, ok := t.Message.(Launch); ok && w.fenced[l.Task.ID] {
			w.fail("%s was launched by a stream that was taken over", l.Task.ID)
		}
		if _, ok := t.Message.(Launch); ok && w.points != nil {
			past := append(w.points.past, func() { w.toAgent(t) })
			w.points.past = past[max(0, len(past)-8):]
		}
		w.post(0, func() { w.toAgent(t) })
		if w.killsAt("master after " + nameOf(t.Message)) {
			w.kill(c)
			return
		}
	}
	for _, e := range out.ToSchedulers {
		if w.killsAt("master before " + nameOf(e.Event)) {
			w.kill(c)
			return
		}
		w.check(c, e.Event)
		if s := w.streams[e.Stream]; s != nil && s.open {
			s.events = append(s.events, e.Event)
		}
	}
	for _, id := range out.Closed {
		if s := w.streams[id]; s != nil {
			if s.closing = true; len(s.events) == 0 {
				s.end()
			}
		}
	}
	if out.Ended != "" {
		w.kill(c)
	}
}

func nameOf(message any) string { return strings.TrimPrefix(fmt.Sprintf("%T", message), "mesos.") }

// post sends a message: it may be lost or doubled, and overtake others.
func (w *cluster) post(from LinkID, to func()) {
	n := 1
	if !w.calm && w.chance(10) {
		n = w.rand.IntN(3)
	}
	for range n {
		w.flying = append(w.flying, clusterMessage{to, from})
	}
}

func (w *cluster) deliver() {
	at := 0
	if !w.calm && w.chance(30) {
		at = w.rand.IntN(len(w.flying))
	}
	m := w.flying[at]
	w.flying = slices.Delete(w.flying, at, at+1)
	m.to()
	w.settle()
}

func (w *cluster) toAgent(t ToAgent) {
	for _, a := range w.agents {
		reached := t.Link == 0 && a.info.Address == t.Address || t.Link != 0 && (a.link == t.Link || a.before == t.Link)
		if a.fine != nil && reached && !a.cut && !a.dead {
			if a.fine.up {
				a.fine.inputs = append(a.fine.inputs, func() { a.core.Step(t.Message) })
			}
		} else if reached && !a.cut && !a.dead {
			a.core.Tick(w.now, stageUnix+w.now)
			a.core.Step(t.Message)
		}
	}
}

// check looks at an event that leaves a master.
func (w *cluster) check(c *clusterMaster, e Event) {
	switch v := e.(type) {
	case FailureEvent:
		if !w.marked[v.Agent] && !w.wrecked[v.Agent] {
			w.fail("failure of %s is told, and the registry does not have it", v.Agent)
		}
	case UpdateEvent:
		s := &v.Status
		switch {
		case s.State == Unreachable && !w.marked[s.Agent]:
			w.fail("%v is unreachable, and the registry does not have it", s)
		case s.State == GoneByOperator && !w.wrecked[s.Agent]:
			w.fail("%v is gone, and the registry does not have it", s)
		}
		w.checkOrder(s)
		if s.State.Terminal() && (s.ID != UpdateID{} || c.term == w.registry.Master().Term) {
			w.counts[s.State.String()]++
			if w.running[s.Task] > 0 && s.State != GoneByOperator {
				w.fail("master of term %d says of %v, which runs: %+v", c.term, s.Task, *s)
			}
			w.over[s.Task] = s.State.String()
		}
	}
}

// checkOrder looks at an agent's updates: of a container each comes first in its turn, and
// after the last there is none.
func (w *cluster) checkOrder(s *TaskStatus) {
	if s.ID == (UpdateID{}) {
		return
	}
	u := w.updates[s.Container]
	if u == nil {
		u = &clusterUpdates{}
		w.updates[s.Container] = u
	}
	rank := map[TaskState]int{Starting: 1, Running: 2, Killing: 3}[s.State]
	if s.State.Terminal() {
		rank = 4
	}
	at := slices.Index(u.ids, s.ID)
	switch {
	case at < 0 && rank <= u.rank:
		w.fail("update %+v comes after one of rank %d", *s, u.rank)
	case at >= 0 && at < len(u.ids)-1:
		w.fail("update %+v comes again after a later one", *s)
	case at < 0:
		u.ids, u.rank = append(u.ids, s.ID), rank
	}
}

// started looks at a container that starts.
func (w *cluster) started(key TaskKey, c ContainerID) {
	all := w.containers[key]
	if all == nil {
		all = map[ContainerID]bool{}
		w.containers[key] = all
	}
	if all[c] {
		w.fail("container %v of %v starts twice", c, key)
	}
	all[c] = true
	if len(all) > 1 {
		w.fail("%v has %d containers", key, len(all))
	}
	if said := w.over[key]; said != "" && said != GoneByOperator.String() {
		w.fail("%v starts, and a master has said %s", key, said)
	}
	w.running[key]++
	w.counts["started"]++
}

// pass lets time pass.
func (w *cluster) pass(d time.Duration) {
	w.now += d
	for _, c := range slices.Clone(w.masters) {
		c.m.Tick(w.now)
	}
	w.settle()
}
