package mesos

import (
	"fmt"
	"time"
)

// RecordKind says what a Record tells. The numbers are stable: they are on disks.
type RecordKind uint8

const (
	// RecordAgent has Agent, with its ID, and Boot.
	RecordAgent RecordKind = 1
	// RecordTerm has Term: the highest that the agent has seen. It is durable, for else a
	// master of before could launch again on an agent that has been restarted.
	RecordTerm RecordKind = 2
	// RecordFramework has Framework. It comes before the framework's first task.
	RecordFramework RecordKind = 3
	// RecordTask has Task, which is staged: from here on its container may have started.
	RecordTask RecordKind = 4
	// RecordUpdate has Status, an update that is to be acknowledged.
	RecordUpdate RecordKind = 5
	// RecordAcknowledged has Container and Update. That of a terminal update ends the task.
	RecordAcknowledged RecordKind = 6
	// RecordDone has Container, Key, Term and Sequence: of a task that has ended and is
	// still remembered, or that has ended without an acknowledgement.
	RecordDone RecordKind = 7
	// RecordForgotten has Term and Sequence: no launch up to there is taken unless it is
	// remembered.
	RecordForgotten RecordKind = 8
	// RecordContact has Contact and Boot: the agent was connected at that time of the
	// clock of that boot.
	RecordContact RecordKind = 9
)

// Record is one entry of a checkpoint. Which fields mean something, Kind says.
type Record struct {
	Kind      RecordKind
	Agent     AgentInfo
	Boot      string
	Term      Term
	Sequence  uint64
	Framework FrameworkInfo
	Task      Task
	Status    TaskStatus
	Container ContainerID
	Key       TaskKey
	Update    UpdateID
	Contact   time.Duration
}

// Checkpoint is what an agent has saved, in that order. Whoever reads it from a disk has cut
// off a torn end.
type Checkpoint []Record

// CheckpointError says that a checkpoint cannot have been written by an agent.
type CheckpointError struct {
	// Record counts from 0.
	Record int
	Kind   RecordKind
	Reason string
}

func (e *CheckpointError) Error() string {
	return fmt.Sprintf("mesos: record %d (kind %d) of the agent's checkpoint contradicts those before it: %s; the checkpoint was "+
		"changed or mixed with another: end the containers that are left, move it away, and start as a new agent; the tasks of this one stay "+
		"unreachable until it is marked as gone; a copy of before in its place would take back what others rely on and may run tasks twice",
		e.Record, e.Kind, e.Reason)
}

// launchMark orders launches: those of one master by its sequence, masters by their terms.
type launchMark struct {
	term     Term
	sequence uint64
}

func (m launchMark) after(o launchMark) bool {
	return m.term > o.term || m.term == o.term && m.sequence > o.sequence
}

// agentTask is a task that is not done: its container may live, or the scheduler has not
// acknowledged its end.
type agentTask struct {
	Task
	// last is the newest update that was acknowledged, pending are those after it: at most
	// one of each state that a task goes through here.
	last    TaskStatus
	pending []TaskStatus

	// What follows is not in the checkpoint.

	bytes    int    // of its record
	observed bool   // since this agent started
	limit    Reason // why the container is being ended, if it went beyond a limit
	orphan   bool   // its shim is dead
	health   Health // what the latest check has found
	failing  string // why it is being ended, if it does not work
	removed  bool   // its framework is: nobody may be there to acknowledge
	fenced   bool   // it was stopped for want of a master
	stream   stream
}

// status is the newest that is told of the task.
func (t *agentTask) status() TaskStatus {
	if len(t.pending) > 0 {
		return t.pending[len(t.pending)-1]
	}
	return t.last
}

// described is the task as others get it.
func (t *agentTask) described() Task {
	d := t.Task
	d.State, d.Health = t.State, t.health
	if d.Health == HealthUnknown {
		d.Health = t.status().Health
	}
	if len(t.pending) > 0 {
		d.Acknowledging, d.AcknowledgingID = t.pending[0].State, t.pending[0].ID
	}
	return d
}

// doneTask is remembered of a task that is done.
type doneTask struct {
	key  TaskKey
	mark launchMark
}

// ledger is what an agent's records say together. It changes by records and nothing else, so
// that an agent that reads them again knows the same.
type ledger struct {
	maxDone int

	agent       AgentInfo
	boot        string
	term        Term
	frameworks  map[FrameworkID]FrameworkInfo
	tasks       map[ContainerID]*agentTask
	order       []*agentTask // tasks, as they were staged
	done        map[ContainerID]doneTask
	doneOrder   []ContainerID // done, as they ended
	forgotten   launchMark
	contact     time.Duration
	contactBoot string
}

func newLedger(maxDone int) *ledger {
	return &ledger{maxDone: maxDone, frameworks: map[FrameworkID]FrameworkInfo{},
		tasks: map[ContainerID]*agentTask{}, done: map[ContainerID]doneTask{}}
}

// read applies a whole checkpoint.
func (l *ledger) read(c Checkpoint) error {
	for i, r := range c {
		if reason := l.apply(r); reason != "" {
			return &CheckpointError{Record: i, Kind: r.Kind, Reason: reason}
		}
	}
	for id := range l.frameworks { // one without a task was cut off from it
		l.dropFramework(id)
	}
	return nil
}

// apply takes a record, or says why it cannot stand here.
func (l *ledger) apply(r Record) (contradiction string) {
	switch r.Kind {
	case RecordAgent:
		if l.agent.ID != "" && r.Agent.ID != l.agent.ID || r.Agent.ID == "" {
			return fmt.Sprintf("agent %q after agent %q", r.Agent.ID, l.agent.ID)
		}
		l.agent, l.boot = r.Agent, r.Boot
	case RecordTerm:
		if r.Term <= l.term {
			return fmt.Sprintf("term %d after term %d", r.Term, l.term)
		}
		l.term = r.Term
	case RecordFramework:
		l.frameworks[r.Framework.ID] = r.Framework
	case RecordTask:
		return l.applyTask(r.Task)
	case RecordUpdate:
		return l.applyUpdate(r.Status)
	case RecordAcknowledged:
		return l.applyAcknowledged(r.Container, r.Update)
	case RecordDone:
		if t := l.tasks[r.Container]; t != nil && !t.State.Terminal() {
			return fmt.Sprintf("container %v is done while it is %v", r.Container, t.State)
		}
		l.end(r.Container, doneTask{key: r.Key, mark: launchMark{r.Term, r.Sequence}})
	case RecordForgotten:
		if m := (launchMark{r.Term, r.Sequence}); m.after(l.forgotten) {
			l.forgotten = m
		}
	case RecordContact:
		l.contact, l.contactBoot = r.Contact, r.Boot
	default:
		return "no such kind"
	}
	return ""
}

func (l *ledger) applyTask(t Task) (contradiction string) {
	if l.knows(t.Container) {
		return fmt.Sprintf("container %v is staged a second time", t.Container)
	}
	if t.Agent != l.agent.ID || l.agent.ID == "" {
		return fmt.Sprintf("task %v of agent %q at agent %q", t.Key, t.Agent, l.agent.ID)
	}
	if _, ok := l.frameworks[t.Key.Framework]; !ok {
		return fmt.Sprintf("task %v without its framework", t.Key)
	}
	t.State, t.Acknowledging, t.AcknowledgingID = Staging, 0, UpdateID{}
	task := &agentTask{Task: t, bytes: len(Record{Kind: RecordTask, Task: t}.Append(nil))}
	l.tasks[t.Container] = task
	l.order = append(l.order, task)
	return ""
}

func (l *ledger) applyUpdate(s TaskStatus) (contradiction string) {
	t := l.tasks[s.Container]
	switch {
	case t == nil:
		return fmt.Sprintf("update of container %v, which is not there", s.Container)
	case s.Task != t.Key:
		return fmt.Sprintf("update of task %v in container %v of task %v", s.Task, s.Container, t.Key)
	case !t.follows(s):
		return fmt.Sprintf("container %v is %v after %v", s.Container, s.State, t.State)
	case s.ID == UpdateID{}:
		return fmt.Sprintf("update of container %v without an id", s.Container)
	}
	t.State = s.State
	t.pending = append(t.pending, s)
	return ""
}

// follows reports whether an update may come next: another state, or another health of a task
// that runs, if no update waits.
func (t *agentTask) follows(s TaskStatus) bool {
	if t.State == Running && s.State == Running {
		return len(t.pending) == 0 && s.Health != t.last.Health
	}
	return follows(t.State, s.State)
}

// follows reports whether a task of an agent may come from one state to the other. They are
// in an order, so that at most three updates of a task wait.
func follows(from, to TaskState) bool {
	switch to {
	case Running:
		return from == Staging
	case Killing:
		return from == Staging || from == Running
	}
	return to.Terminal() && !from.Terminal()
}

func (l *ledger) applyAcknowledged(c ContainerID, id UpdateID) (contradiction string) {
	t := l.tasks[c]
	if t == nil || len(t.pending) == 0 || t.pending[0].ID != id {
		return fmt.Sprintf("acknowledgement %x of container %v, which is not awaited", id, c)
	}
	t.last, t.pending = t.pending[0], t.pending[1:]
	if t.last.State.Terminal() {
		l.end(c, doneTask{key: t.Key, mark: launchMark{t.Term, t.Sequence}})
	}
	return ""
}

func (l *ledger) knows(c ContainerID) bool {
	_, done := l.done[c]
	return done || l.tasks[c] != nil
}
