package mesos

import "slices"

// Containers that are done are remembered, so that a Launch that comes twice does not start
// one twice, up to a bound. Of those that are forgotten the highest mark is kept: a launch
// up to there that is not remembered is not taken. So a doubled Launch may come however
// late. A first Launch that is overtaken by all the launches that fill the memory is not
// taken either; the agent registers again, and is asked for the task as one that is Missing.

// end makes a task done and forgets the longest done one if there are too many.
func (l *ledger) end(c ContainerID, d doneTask) {
	if t := l.tasks[c]; t != nil {
		delete(l.tasks, c)
		l.order = slices.DeleteFunc(l.order, func(o *agentTask) bool { return o == t })
		l.dropFramework(t.Key.Framework)
	}
	if _, known := l.done[c]; known {
		return
	}
	l.done[c] = d
	l.doneOrder = append(l.doneOrder, c)
	for len(l.doneOrder) > l.maxDone {
		oldest := l.doneOrder[0]
		l.doneOrder = l.doneOrder[1:]
		if m := l.done[oldest].mark; m.after(l.forgotten) {
			l.forgotten = m
		}
		delete(l.done, oldest)
	}
}

// dropFramework forgets a framework without tasks.
func (l *ledger) dropFramework(id FrameworkID) {
	if !slices.ContainsFunc(l.order, func(t *agentTask) bool { return t.Key.Framework == id }) {
		delete(l.frameworks, id)
	}
}

// records are the fewest that say the same: what a checkpoint that has become long is
// replaced by.
func (l *ledger) records() Checkpoint {
	var c Checkpoint
	if l.agent.ID != "" {
		c = append(c, Record{Kind: RecordAgent, Agent: l.agent, Boot: l.boot})
	}
	if l.term != 0 {
		c = append(c, Record{Kind: RecordTerm, Term: l.term})
	}
	if l.forgotten != (launchMark{}) {
		c = append(c, Record{Kind: RecordForgotten, Term: l.forgotten.term, Sequence: l.forgotten.sequence})
	}
	if l.contactBoot != "" {
		c = append(c, Record{Kind: RecordContact, Contact: l.contact, Boot: l.contactBoot})
	}
	for _, id := range l.doneOrder {
		d := l.done[id]
		c = append(c, Record{Kind: RecordDone, Container: id, Key: d.key, Term: d.mark.term, Sequence: d.mark.sequence})
	}
	for _, f := range l.sortedFrameworks() {
		c = append(c, Record{Kind: RecordFramework, Framework: f})
	}
	for _, t := range l.order {
		c = append(c, Record{Kind: RecordTask, Task: staged(t.Task)})
		if t.last.State != 0 || t.last.ID != (UpdateID{}) {
			c = append(c, Record{Kind: RecordUpdate, Status: t.last},
				Record{Kind: RecordAcknowledged, Container: t.Container, Update: t.last.ID})
		}
		for _, s := range t.pending {
			c = append(c, Record{Kind: RecordUpdate, Status: s})
		}
	}
	return c
}

// staged is the task as it was when it was staged.
func staged(t Task) Task {
	t.State, t.Acknowledging, t.AcknowledgingID = Staging, 0, UpdateID{}
	return t
}

func (l *ledger) sortedFrameworks() []FrameworkInfo {
	var fs []FrameworkInfo
	for _, f := range l.frameworks {
		fs = append(fs, f)
	}
	slices.SortFunc(fs, func(a, b FrameworkInfo) int { return compareNames(a.ID, b.ID) })
	return fs
}

func compareNames(a, b FrameworkID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
