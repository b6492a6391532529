package mesos

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// fakeMaster is the leading master of one term: what of protocol.go is its.
type fakeMaster struct {
	w          *agentWorld
	term       Term
	registered bool
	agents     int
	agent      AgentID
	table      map[ContainerID]Task
	launches   uint64
	sequence   uint64 // of the last Register of this link
	ping       uint64
	heard      uint64
}

// elect puts a new master in the place of the one before, which knows nothing but the
// agent's id from the registry.
func (w *agentWorld) elect() {
	m := &fakeMaster{w: w, term: 1, table: map[ContainerID]Task{}}
	if w.master != nil {
		m.term, m.agents, m.agent = w.master.term+1, w.master.agents, w.master.agent
		w.disconnect()
	}
	w.note("term %d", m.term)
	w.master = m
}

func (m *fakeMaster) send(message any) {
	m.w.toAgent = append(m.w.toAgent, message)
	m.w.past = append(m.w.past, message)
}

func (m *fakeMaster) step(message any) {
	switch r := message.(type) {
	case Register:
		m.onRegister(r)
	case Pong:
		m.heard = max(m.heard, r.Sequence)
	case StatusUpdate:
		if !m.registered {
			return
		}
		if t, ok := m.table[r.Status.Container]; ok {
			t.State = r.Latest
			m.table[r.Status.Container] = t
		}
		m.w.scheduler.onUpdate(r.Status)
	}
}

func (m *fakeMaster) onRegister(r Register) {
	if r.Sequence <= m.sequence {
		return
	}
	m.sequence = r.Sequence
	id := r.Info.ID
	if id == "" {
		m.agents++
		id = AgentID(fmt.Sprint("agent-", m.agents))
	}
	if id != m.agent { // the one before never learnt its id
		m.agent, m.table = id, map[ContainerID]Task{}
	}
	m.registered = true
	answer := Registered{Agent: id, Term: m.term, Attempt: r.Attempt}
	if m.w.scheduler.removed {
		answer.Removed = []FrameworkID{"g"}
	}
	brought := map[ContainerID]bool{}
	for _, t := range r.Tasks {
		brought[t.Container] = true
		m.table[t.Container] = t
	}
	for _, s := range m.w.order {
		if m.w.scheduler.deaf(s.key) {
			delete(m.table, s.id)
		} else if t, ok := m.table[s.id]; ok && !brought[s.id] {
			answer.Missing = append(answer.Missing, t)
		} else if !ok && r.Term == m.term {
			m.w.scheduler.gone(s)
		}
	}
	m.send(answer)
}

func (m *fakeMaster) acknowledge(s TaskStatus) {
	if !m.registered {
		return
	}
	if s.State.Terminal() {
		delete(m.table, s.Container)
	}
	m.send(Acknowledge{Term: m.term, Task: s.Task, ID: s.ID})
}

func (m *fakeMaster) launch() {
	if !m.registered {
		return
	}
	w := m.w
	n := len(w.order)
	var c ContainerID
	binary.BigEndian.PutUint64(c[8:], uint64(n+1))
	resources, _ := ParseResources(fmt.Sprintf("cpus:%d", 1+w.rng.IntN(2)))
	used := resources.Scalar("cpus")
	for _, t := range m.table {
		if !t.State.Terminal() {
			used += t.Resources.Scalar("cpus")
		}
	}
	if used > 4000 && w.rng.IntN(8) > 0 { // otherwise more than there is
		return
	}
	s := &fakeShim{id: c, key: TaskKey{"f", TaskID(fmt.Sprint("t", n))}, resources: resources, forever: w.rng.IntN(3) == 0, engine: n%3 == 1}
	if w.rng.IntN(4) == 0 {
		s.key.Framework = "g"
	}
	if w.scheduler.removed {
		s.key.Framework = "f"
	}
	w.shims[c], w.order = s, append(w.order, s)
	info := TaskInfo{ID: s.key.Task, Agent: m.agent, Resources: resources}
	if w.rng.IntN(4) == 0 {
		info.StopAfter = 2 * time.Minute
	}
	m.launches++
	m.table[c] = Task{Key: s.key, Agent: m.agent, Container: c, Term: m.term, Sequence: m.launches, Resources: resources, State: Staging}
	w.scheduler.seen[c] = &seenTask{states: map[UpdateID]TaskStatus{}, acked: map[UpdateID]bool{}}
	m.send(Launch{Term: m.term, Sequence: m.launches, Framework: FrameworkInfo{ID: s.key.Framework}, Task: info, Container: c})
}

func (m *fakeMaster) pingAgent() {
	m.ping++
	m.send(Ping{Term: m.term, Sequence: m.ping, Heard: m.heard, Connected: m.registered})
}

// fakeScheduler checks what it is told.
type fakeScheduler struct {
	w       *agentWorld
	seen    map[ContainerID]*seenTask
	removed bool // framework g
}

type seenTask struct {
	states map[UpdateID]TaskStatus
	acked  map[UpdateID]bool
	rank   int
	ends   int
	gone   bool
}

func rankOf(s TaskState) int {
	return max(1, slices.Index([]TaskState{Staging, Running, Killing}, s)+1) + map[bool]int{true: 9}[s.Terminal()]
}

// deaf reports whether nobody is there any more for a task.
func (s *fakeScheduler) deaf(k TaskKey) bool { return s.removed && k.Framework == "g" }

func (s *fakeScheduler) onUpdate(u TaskStatus) {
	if s.deaf(u.Task) {
		return
	}
	t := s.seen[u.Container]
	if t == nil || u.ID == (UpdateID{}) {
		s.w.fail("update of a task that nobody launched: %+v", u)
		return
	}
	if _, known := t.states[u.ID]; !known {
		if rank := rankOf(u.State); rank <= t.rank {
			s.w.fail("container %v: %v comes with a new id after rank %d", u.Container, u.State, t.rank)
		} else {
			t.rank = rank
		}
		if len(t.acked) != len(t.states) {
			s.w.fail("container %v: %v comes before the update before it was acknowledged", u.Container, u.State)
		}
		if t.gone {
			s.w.fail("container %v: %v after GONE", u.Container, u.State)
		}
		if t.states[u.ID] = u; u.State.Terminal() {
			t.ends++
		}
		s.w.note("scheduler hears %v %v", u.Container, u.State)
	} else if t.states[u.ID] != u {
		s.w.fail("update %x changes from %+v to %+v", u.ID, t.states[u.ID], u)
	}
	if !s.w.chance(30) {
		t.acked[u.ID] = true
		s.w.master.acknowledge(u)
	}
}

// waiting is how many tasks have not come to an end.
func (s *fakeScheduler) waiting() (n int) {
	for id, t := range s.seen {
		if t.ends == 0 && !t.gone && !s.deaf(s.w.shims[id].key) {
			n++
		}
	}
	return n
}

// gone is a master's answer to a reconciliation: its agent is here, brought all it has, and
// this is not among it.
func (s *fakeScheduler) gone(shim *fakeShim) {
	if t := s.seen[shim.id]; t.ends == 0 && !t.gone {
		t.gone, shim.over = true, true
		if shim.running || shim.forked {
			s.w.fail("container %v is GONE and lives", shim.id)
		}
	}
}
