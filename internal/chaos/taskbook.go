package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// taskBook is what a scheduler knows of its units and tasks. It is made from the journal
// alone: what the scheduler does itself it writes there first and then notes here, by the
// same method by which its successor reads it.
type taskBook struct {
	units     []Unit
	states    []unitState
	epoch     uint64 // the highest that has led
	framework string
	open      map[string]*openTask // of all units
	ended     bool
}

// unitState is how far a unit has come. It may have several open tasks after one scheduler
// was deposed as it meant to launch one: at most one of them is known to the master.
type unitState struct {
	attempts, open int
	done           bool
}

// openTask is one that may run, or may yet.
type openTask struct {
	unit    int
	agent   string
	state   string        // the latest that was told
	since   time.Duration // when that was
	running time.Duration // when it was told to run first
	killed  bool
	asked   time.Duration // when it was last asked for, or killed
}

func newTaskBook(units []Unit) *taskBook {
	return &taskBook{units: units, states: make([]unitState, len(units)), open: make(map[string]*openTask)}
}

// note takes one line of the journal.
func (b *taskBook) note(l JournalLine) {
	switch l.Deed {
	case DeedLeads:
		b.epoch = max(b.epoch, l.Epoch)
	case DeedSubs:
		if b.framework == "" {
			b.framework = l.Framework
		}
	case DeedEnd:
		b.ended = true
	case DeedIntend:
		b.states[l.Unit].attempts++
		b.states[l.Unit].open++
		b.open[l.Task] = &openTask{unit: l.Unit, agent: l.Agent, since: l.At}
	}
	t := b.open[l.Task]
	if t == nil {
		return
	}
	switch l.Deed {
	case DeedKill:
		t.killed = true
	case DeedNot:
		b.close(l.Task, t)
	case DeedUpdate:
		b.noteUpdate(l, t)
	}
}

func (b *taskBook) noteUpdate(l JournalLine, t *openTask) {
	t.state, t.since = l.State, l.At
	if l.State == "RUNNING" && t.running == 0 {
		t.running = l.At
	}
	if l.Over() {
		b.states[t.unit].done = b.states[t.unit].done || l.Completes(t.killed)
		b.close(l.Task, t)
	}
}

func (b *taskBook) close(task string, t *openTask) {
	b.states[t.unit].open--
	delete(b.open, task)
}

// startable are up to count units that want a task, those that had one before the others.
// begun: only those, since no more are to begin.
func (b *taskBook) startable(count int, begun bool) (units []Unit) {
	for _, fresh := range []bool{false, true} {
		for n, s := range b.states {
			if len(units) >= count || fresh && begun {
				return units
			}
			if !s.done && s.open == 0 && (s.attempts == 0) == fresh {
				units = append(units, b.units[n])
			}
		}
	}
	return units
}

// begun counts the units that have had a task.
func (b *taskBook) begun() (count int) {
	for _, s := range b.states {
		if s.attempts > 0 {
			count++
		}
	}
	return count
}

// finished reports whether all units are done that have begun.
func (b *taskBook) finished() bool {
	for _, s := range b.states {
		if s.attempts > 0 && !s.done || s.open > 0 {
			return false
		}
	}
	return true
}

// name is that of the next task of a unit. No other scheduler gives the same.
func (b *taskBook) name(u Unit, epoch uint64) string {
	return fmt.Sprintf("%s-%d-%d", u.Name(), b.states[u.Number].attempts+1, epoch)
}

// openNames are the open tasks and their states, for people.
func (b *taskBook) openNames() (names []string) {
	for name, t := range b.open {
		names = append(names, fmt.Sprintf("%s (%s on %s)", name, cmp.Or(t.state, "nothing told"), t.agent))
	}
	slices.Sort(names)
	return names
}
