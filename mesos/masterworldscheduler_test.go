package mesos

import (
	"fmt"
	"slices"
	"time"
)

// clusterFramework is what the schedulers of a framework share: it survives them.
type clusterFramework struct {
	w      *cluster
	info   FrameworkInfo
	jobs   []*clusterJob
	byID   map[TaskID]*clusterJob
	active []*clusterStream
	quiet  bool // nothing more is launched
}

// clusterJob is a task that is wanted. It is launched once.
type clusterJob struct {
	id    TaskID
	agent AgentID // where it was launched, empty if it was not
	state TaskState
}

// clusterStream is a scheduler's subscription. Its calls and its events keep their order.
type clusterStream struct {
	id        StreamID
	w         *cluster
	f         *clusterFramework
	master    *clusterMaster
	calls     []CallBody
	events    []Event
	closing   bool // after the events
	open      bool
	framework FrameworkID
	deposed   bool
	offers    []OfferInfo
}

func newClusterFramework(w *cluster, info FrameworkInfo, jobs int) *clusterFramework {
	f := &clusterFramework{w: w, info: info, byID: map[TaskID]*clusterJob{}}
	for range jobs {
		f.add()
	}
	return f
}

// add wants one more task.
func (f *clusterFramework) add() {
	j := &clusterJob{id: TaskID(fmt.Sprint(f.info.Name, "-", len(f.jobs))), state: Staging}
	f.jobs = append(f.jobs, j)
	f.byID[j.id] = j
}

// victim is a task to be killed, in the world of kills one that runs: without agent there is none.
func (f *clusterFramework) victim() *clusterJob {
	at := f.w.rand.IntN(len(f.jobs))
	j := f.jobs[at]
	if f.w.points != nil {
		for _, o := range slices.Concat(f.jobs[at:], f.jobs[:at]) {
			if o.state == Running {
				return o
			}
		}
	}
	if !f.w.chance(20) {
		return &clusterJob{}
	}
	return j
}

// subscribe has a scheduler subscribe with the leader.
func (f *clusterFramework) subscribe() *clusterStream {
	m := f.w.leader()
	if m == nil || !m.m.Ready() || f.info.ID == "" && len(f.active) > 0 {
		return nil
	}
	f.w.opened++
	s := &clusterStream{id: StreamID(fmt.Sprint("stream", f.w.opened)), w: f.w, f: f, master: m, open: true}
	f.w.streams[s.id] = s
	f.active = append(f.active, s)
	m.m.Call(f.w.now, Call{Stream: s.id, Body: SubscribeCall{Info: f.info}})
	f.w.settle()
	return s
}

// end is the end of a stream as its scheduler sees it.
func (s *clusterStream) end() {
	s.open = false
	delete(s.w.streams, s.id)
	s.f.active = slices.DeleteFunc(s.f.active, func(o *clusterStream) bool { return o == s })
}

// quit closes a stream; what is under way is lost.
func (s *clusterStream) quit() {
	s.end()
	s.master.m.StreamClosed(s.w.now, s.id)
	s.w.settle()
}

// call gives the master the next call.
func (s *clusterStream) call() {
	c := s.calls[0]
	if s.w.killsAt("scheduler before " + nameOf(c)) {
		s.quit()
		return
	}
	s.calls = s.calls[1:]
	s.master.m.Call(s.w.now, Call{Stream: s.id, Framework: s.framework, Body: c})
	s.w.settle()
	if s.open && s.w.killsAt("scheduler after "+nameOf(c)) {
		s.quit()
	}
}

func (s *clusterStream) send(c CallBody) {
	s.calls = append(s.calls, c)
	if !s.w.calm && s.w.chance(10) {
		s.calls = append(s.calls, c)
	}
}

// read takes the next event.
func (s *clusterStream) read() {
	e := s.events[0]
	if s.w.killsAt("scheduler before " + nameOf(e)) {
		s.quit()
		return
	}
	s.events = s.events[1:]
	s.master.m.Written(s.w.now, s.id, 1)
	switch v := e.(type) {
	case SubscribedEvent:
		s.framework, s.f.info.ID = v.Framework, v.Framework
		for _, o := range s.f.active {
			if o == s {
				break // those after it have taken over from it
			}
			o.deposed = o.deposed || o.framework != "" && o.master.term <= s.master.term
		}
		s.reconcile()
	case OffersEvent:
		s.offers = append(s.offers, v.Offers...)
	case RescindEvent:
		s.offers = slices.DeleteFunc(s.offers, func(o OfferInfo) bool { return o.ID == v.Offer })
	case UpdateEvent:
		s.update(&v.Status)
	}
	if len(s.events) == 0 && s.closing {
		s.end()
	} else if s.w.killsAt("scheduler after " + nameOf(e)) {
		s.quit()
	}
}

func (s *clusterStream) update(u *TaskStatus) {
	if u.ID != (UpdateID{}) {
		s.send(AcknowledgeCall{Task: u.Task.Task, Agent: u.Agent, ID: u.ID})
	}
	if s.deposed && s.w.points != nil && u.ID == (UpdateID{}) {
		return // a master of the past may have said it; what is acknowledged is the framework's, whoever has read it
	}
	if j := s.f.byID[u.Task.Task]; j != nil && !j.state.Terminal() {
		j.state = u.State
	}
}

// use accepts the next offer with as many jobs as go in, sometimes with one that the agent
// will not have.
func (s *clusterStream) use() {
	o := s.offers[0]
	s.offers = s.offers[1:]
	a := AcceptCall{Offers: []OfferID{o.ID}, Refuse: time.Duration(s.w.rand.IntN(8)-1) * time.Second}
	left := o.Resources
	for _, j := range s.f.jobs {
		if j.agent != "" || s.f.quiet {
			continue
		}
		t := job(j.id, o.Agent)
		rest, ok := left.Sub(t.Resources)
		if !ok || s.w.chance(50) {
			continue
		}
		left, j.agent = rest, o.Agent
		t.StopAfter = time.Duration(s.w.rand.IntN(2)) * 10 * time.Minute
		a.Launch = append(a.Launch, t)
	}
	s.send(a)
}

// intrude has a scheduler that was taken over launch something all the same.
func (s *clusterStream) intrude() {
	if len(s.offers) == 0 || s.master.term != s.w.registry.Master().Term {
		return
	}
	o := s.offers[s.w.rand.IntN(len(s.offers))]
	id := TaskID(fmt.Sprint("fenced-", len(s.w.fenced)))
	s.w.fenced[id] = true
	s.send(AcceptCall{Offers: []OfferID{o.ID}, Launch: []TaskInfo{job(id, o.Agent)}})
}

// reconcile asks for all that was launched and has not ended.
func (s *clusterStream) reconcile() {
	var c ReconcileCall
	for _, j := range s.f.jobs {
		if j.agent != "" && !j.state.Terminal() {
			c.Tasks = append(c.Tasks, ReconcileTask{j.id, j.agent})
		}
	}
	if len(c.Tasks) > 0 {
		s.send(c)
	}
}
