package mesos

import (
	"slices"
	"time"
)

// MaxStatusMessage is how many bytes of a message an agent keeps.
const MaxStatusMessage = 4096

// stream is how far the head of a task's updates is on its way. One update of a task is
// under way at a time; the next one follows when it is acknowledged.
type stream struct {
	due   time.Duration // when it is sent again
	wait  time.Duration // how long it was waited for, the last time
	sends int
}

// mayTell reports whether updates are sent: to a master that has admitted the agent.
func (a *Agent) mayTell() bool { return a.link.registered && !a.recovering && !a.leaving }

// tell makes an update of a task and saves it. One that does not follow is dropped: it is
// late or says nothing new.
func (a *Agent) tell(t *agentTask, s TaskStatus) {
	s.Health = t.health
	if s.Health == HealthUnknown {
		s.Health = t.status().Health // no check since the agent was restarted
	}
	if !t.follows(s) {
		return
	}
	s.Task, s.Agent, s.Container, s.Source, s.Time = t.Key, t.Agent, t.Container, SourceAgent, a.unix
	s.Message = s.Message[:min(len(s.Message), MaxStatusMessage)]
	s.ID = a.newUpdateID()
	a.save(Record{Kind: RecordUpdate, Status: s})
	// Behind another one it waits for its turn. But that a task has ended the master is to
	// know at once, for its resources are free: the head tells it again.
	if len(t.pending) == 1 || s.State.Terminal() {
		a.forward(t)
	}
}

func (a *Agent) newUpdateID() (id UpdateID) {
	for id == (UpdateID{}) {
		for i := range id {
			id[i] = byte(a.cfg.Rand.Uint32())
		}
	}
	return id
}

// forward sends the head of a task's updates, as if for the first time.
func (a *Agent) forward(t *agentTask) {
	if len(t.pending) == 0 || !a.mayTell() {
		return
	}
	t.stream.wait = a.cfg.RetryFirst
	a.send(t)
}

func (a *Agent) send(t *agentTask) {
	t.stream.due = a.now + t.stream.wait
	t.stream.sends++
	a.out.Send = append(a.out.Send, StatusUpdate{Status: t.pending[0], Latest: t.State})
}

// retry sends again what was not acknowledged in time, and gives up on what is left of a
// framework that is removed.
func (a *Agent) retry() {
	if !a.mayTell() {
		return
	}
	var over []*agentTask
	for _, t := range a.order {
		if len(t.pending) == 0 || a.now < t.stream.due {
			continue
		}
		if t.removed && t.State.Terminal() && t.stream.sends >= a.cfg.RemovedSends {
			over = append(over, t)
			continue
		}
		t.stream.wait = min(2*t.stream.wait, a.cfg.RetryMost)
		a.send(t)
	}
	for _, t := range over {
		a.save(Record{Kind: RecordDone, Container: t.Container, Key: t.Key, Term: t.Term, Sequence: t.Sequence})
		a.out.Forget = append(a.out.Forget, t.Container)
	}
}

// onAcknowledge takes the head off and sends the next one. The end of a task is the end of
// its updates, and all of it is done when that is acknowledged.
func (a *Agent) onAcknowledge(m Acknowledge) {
	for _, t := range a.order {
		if t.Key != m.Task || len(t.pending) == 0 || t.pending[0].ID != m.ID {
			continue
		}
		a.save(Record{Kind: RecordAcknowledged, Container: t.Container, Update: m.ID})
		a.out.Send = slices.DeleteFunc(a.out.Send, func(s any) bool { // it would be sent after that is durable
			u, ok := s.(StatusUpdate)
			return ok && u.Status.ID == m.ID
		})
		t.stream.sends = 0
		if t.last.State.Terminal() {
			a.out.Forget = append(a.out.Forget, t.Container)
		} else {
			a.forward(t)
			if t.health != HealthUnknown {
				a.tellHealth(t, "")
			}
		}
		return
	}
}
