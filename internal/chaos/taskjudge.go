package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// TaskHistory is what a run with tasks has left: what the tasks themselves have written, what
// the schedulers were told, and what was done to shims.
type TaskHistory struct {
	Units   []Unit
	Ledgers map[int][]ChoreLine
	Journal []JournalLine
	// Shims are the containers whose shims were killed, and when.
	Shims map[string]time.Duration
	// Forgotten are the tasks whose containers an engine has forgotten, since it was killed when it had just started them.
	Forgotten map[string]bool
}

// Classes of what JudgeTasks finds.
const (
	TaskTwice     = "started twice"
	TaskOverlap   = "two at once"
	TaskDoneTwice = "done twice"
	TaskLost      = "never told"
	TaskUndone    = "not done"
	TaskRepeated  = "told twice"
	TaskDisorder  = "told out of order"
	TaskFalse     = "told what is not so"
	TaskGoesOn    = "goes on after its end was told"
	TaskUnwanted  = "nobody wanted it"
)

// TaskViolation is one thing that must not be.
type TaskViolation struct {
	Class, Task, Text string
}

func (v TaskViolation) String() string { return fmt.Sprintf("%s: %s: %s", v.Task, v.Class, v.Text) }

// TaskCounts says how much there was to judge.
type TaskCounts struct {
	Units, Tasks, Started, Updates, Redelivered int
	// Ends counts the terminal states told, by name.
	Ends map[string]int
	// Excused are tasks that had come to their end and whose shims were killed before they
	// could say so. Unlaunched are those whose agents could not start them.
	Excused, Unlaunched int
	// Forgotten are tasks whose containers an engine has forgotten that was killed.
	Forgotten int
}

// taskStory is all that is known of one task.
type taskStory struct {
	unit    int
	task    string
	wanted  bool // a scheduler meant to launch it
	taken   bool // and the master took the call
	refused bool
	killed  bool // a scheduler meant to kill it
	updates []JournalLine
	lines   []ChoreLine
}

// JudgeTasks says what of a history must not be.
func JudgeTasks(h TaskHistory) (violations []TaskViolation, counts TaskCounts) {
	j := taskJudge{TaskHistory: h, stories: make(map[string]*taskStory)}
	j.counts.Units, j.counts.Ends = len(h.Units), make(map[string]int)
	j.gather()
	for _, name := range slices.Sorted(maps.Keys(j.stories)) {
		j.judgeTask(j.stories[name])
	}
	for _, u := range h.Units {
		j.judgeUnit(u)
	}
	return j.violations, j.counts
}

type taskJudge struct {
	TaskHistory
	stories    map[string]*taskStory
	violations []TaskViolation
	counts     TaskCounts
}

func (j *taskJudge) find(class, task, format string, args ...any) {
	j.violations = append(j.violations, TaskViolation{class, task, fmt.Sprintf(format, args...)})
}

func (j *taskJudge) story(unit int, task string) *taskStory {
	s := j.stories[task]
	if s == nil {
		s = &taskStory{unit: unit, task: task}
		j.stories[task] = s
	}
	return s
}

// gather sorts everything by tasks.
func (j *taskJudge) gather() {
	for _, l := range j.Journal {
		if l.Task == "" {
			continue
		}
		s := j.story(l.Unit, l.Task)
		switch l.Deed {
		case DeedIntend:
			s.wanted = true
		case DeedTaken:
			s.taken = true
		case DeedNot:
			s.refused = true
		case DeedKill:
			s.killed = true
		case DeedUpdate:
			s.updates = append(s.updates, l)
		}
	}
	containers := make(map[string]string)
	for unit, lines := range j.Ledgers {
		for _, l := range lines {
			s := j.story(unit, l.Task)
			s.lines = append(s.lines, l)
			if other, is := containers[l.Container]; is && other != l.Task {
				j.find(TaskTwice, l.Task, "in container %s, which was that of %s", l.Container, other)
			}
			containers[l.Container] = l.Task
		}
	}
	j.counts.Tasks = len(j.stories)
}

// end is the line by which the task exited by itself.
func (s *taskStory) end() (l ChoreLine, did bool) {
	n := slices.IndexFunc(s.lines, func(l ChoreLine) bool { return l.What == choreExit })
	if n < 0 {
		return l, false
	}
	return s.lines[n], true
}

// told is the first that was told of how the task ended.
func (s *taskStory) told() (l JournalLine, was bool) {
	n := slices.IndexFunc(s.updates, func(l JournalLine) bool { return l.Over() })
	if n < 0 {
		return l, false
	}
	return s.updates[n], true
}

func (j *taskJudge) judgeTask(s *taskStory) {
	if j.Forgotten[s.task] {
		j.counts.Forgotten++
		return
	}
	starts := 0
	for _, l := range s.lines {
		switch l.What {
		case choreStart:
			starts++
		case choreOverlap:
			if !j.Forgotten[strings.TrimSuffix(l.More, "?")] {
				j.find(TaskOverlap, s.task, "it met %s", l.More)
			}
		}
	}
	j.counts.Started += min(starts, 1)
	if starts > 1 {
		j.find(TaskTwice, s.task, "%d processes", starts)
	}
	if len(s.lines) > 0 && !s.wanted {
		j.find(TaskUnwanted, s.task, "it ran, and no scheduler meant it to")
	}
	if len(s.lines) > 0 && s.refused {
		j.find(TaskUnwanted, s.task, "it ran, and the master had refused it")
	}
	j.judgeUpdates(s)
	told, was := s.told()
	if !was {
		if len(s.lines) > 0 || s.taken {
			j.find(TaskLost, s.task, "nobody was told how it ended; %s", lastUpdate(s))
		}
		return
	}
	j.counts.Ends[told.State]++
	j.judgeEnd(s, told)
	if last := s.lines; len(last) > 0 && last[len(last)-1].At > told.At {
		l := last[len(last)-1]
		j.find(TaskGoesOn, s.task, "%s was told, and %v later it says %s", told.State, l.At-told.At, l.What)
	}
}

func lastUpdate(s *taskStory) string {
	if len(s.updates) == 0 {
		return "nothing at all was told of it"
	}
	return "the last that was told is " + s.updates[len(s.updates)-1].State
}

// rank orders the states that a task goes through.
func (l JournalLine) rank() int {
	switch {
	case l.Terminal:
		return 4
	case l.State == "KILLING":
		return 3
	case l.State == "RUNNING":
		return 2
	}
	return 1
}

// judgeUpdates looks that each update was told in its turn: repetitions are of the newest
// one, and after the terminal one there is none.
func (j *taskJudge) judgeUpdates(s *taskStory) {
	seen := make(map[string]JournalLine)
	var newest, end JournalLine
	epoch := uint64(0)
	for _, u := range s.updates {
		j.counts.Updates++
		late := u.Epoch < epoch // what a deposed scheduler still finds in its old stream
		epoch = max(epoch, u.Epoch)
		switch before, again := seen[u.ID]; {
		case u.ID == "":
			if u.Over() && u.Terminal && end.State != "" && u.State != end.State {
				j.find(TaskRepeated, s.task, "%s was told, and then %s", end.State, u.State)
			}
		case again:
			j.counts.Redelivered++
			if before.State != u.State || before.Exit != u.Exit || before.Signal != u.Signal {
				j.find(TaskFalse, s.task, "one update was %s and then %s", before.State, u.State)
			}
			if u.ID != newest.ID && !late {
				j.find(TaskDisorder, s.task, "%s came again after %s", u.State, newest.State)
			}
			continue
		case end.State != "" && u.Terminal && (end.ID != "" || end.State != u.State):
			j.find(TaskRepeated, s.task, "%s was told, and then %s as another update", end.State, u.State)
		case late:
			continue
		case newest.ID != "" && u.rank() < newest.rank():
			j.find(TaskDisorder, s.task, "%s was told after %s", u.State, newest.State)
		}
		if u.ID != "" {
			seen[u.ID], newest = u, u
		}
		if u.Over() && u.Terminal && (end.State == "" || end.ID == "") {
			end = u
		}
	}
}

// lostExitCode is what an engine of containers says of one that has ended while the engine was down.
const lostExitCode = 255

// judgeEnd compares how a task ended with what was told.
func (j *taskJudge) judgeEnd(s *taskStory, told JournalLine) {
	shim := false
	for _, l := range s.lines {
		at, killed := j.Shims[l.Container]
		shim = shim || killed && told.At >= at
	}
	end, exited := s.end()
	own := told.HasExit && told.Signal == 0
	switch {
	case own && shim && told.Exit == lostExitCode && (told.State == "FAILED" || told.State == "KILLED" && s.killed):
		j.counts.Excused++
	case exited && own:
		if end.More != fmt.Sprint(told.Exit) {
			j.find(TaskFalse, s.task, "it exited with %s, %s with %d was told", end.More, told.State, told.Exit)
		}
		if fine := told.Exit == 0; told.State != "KILLED" && (told.State == "FINISHED") != fine {
			j.find(TaskFalse, s.task, "it exited with %s, and %s was told", end.More, told.State)
		}
	case own:
		j.find(TaskFalse, s.task, "it did not exit by itself, and %s with %d was told", told.State, told.Exit)
	case exited && shim:
		j.counts.Excused++
	case exited:
		// What a task that has said its last word may still meet is a kill that was under way.
		if !s.killed || told.State != "KILLED" {
			j.find(TaskFalse, s.task, "it exited with %s, and %s was told: %s", end.More, told.State, told.Text)
		}
	case len(s.lines) == 0:
		j.judgeUnstarted(s, told)
	case told.State == "KILLED" && s.killed, told.State == "FAILED" && shim, told.State == "KILLED" && shim && s.killed:
	default:
		j.find(TaskFalse, s.task, "it ran, nobody ended it, and %s was told: %s", told.State, told.Text)
	}
}

// judgeUnstarted judges what is told of a task that has never begun to write.
func (j *taskJudge) judgeUnstarted(s *taskStory, told JournalLine) {
	switch told.State {
	case "DROPPED", "UNKNOWN", "GONE":
	case "KILLED":
		if !s.killed {
			j.find(TaskFalse, s.task, "nobody killed it, and KILLED was told: %s", told.Text)
		}
	case "FAILED", "ERROR":
		j.counts.Unlaunched++
	default:
		j.find(TaskFalse, s.task, "it never started, and %s was told: %s", told.State, told.Text)
	}
}

// judgeUnit looks that the unit was done, once, by one task at a time.
func (j *taskJudge) judgeUnit(u Unit) {
	var tasks []*taskStory
	done := false
	for _, s := range j.stories {
		if s.unit != u.Number {
			continue
		}
		if len(s.lines) > 0 && !j.Forgotten[s.task] {
			tasks = append(tasks, s)
		}
		for _, l := range s.updates {
			done = done || l.Completes(s.killed)
		}
	}
	if !done {
		j.find(TaskUndone, u.Name(), "no task of it came to its end")
	}
	slices.SortFunc(tasks, func(a, b *taskStory) int { return cmp.Compare(a.lines[0].At, b.lines[0].At) })
	for n := 1; n < len(tasks); n++ {
		a, b := tasks[n-1], tasks[n]
		if last := a.lines[len(a.lines)-1]; last.At > b.lines[0].At {
			j.find(TaskOverlap, u.Name(), "%s went on when %s had begun", a.task, b.task)
		}
		told, was := a.told()
		if !was || told.At > b.lines[0].At {
			j.find(TaskOverlap, u.Name(), "%s began before anybody was told that %s had ended", b.task, a.task)
		}
		if was && told.Completes(a.killed) {
			j.find(TaskDoneTwice, u.Name(), "%s had done it, and %s began", a.task, b.task)
		}
	}
}

// Numbers of reasons: of an answer to a ReconcileCall, and of what the master says when an agent is back.
const (
	reconciled   = 9
	reregistered = 32
)

// Over reports whether the update says that the task does not run and never will, and that
// is the last word: how a task ended that has run its agent tells too, in an update of its own, also after the
// master has answered so, or has said so when the agent was back.
func (l JournalLine) Over() bool {
	if l.Deed != DeedUpdate || l.ID == "" && (l.Reason == reconciled || l.Reason == reregistered) && (l.State == "FINISHED" || l.State == "FAILED" || l.State == "KILLED") {
		return false
	}
	return l.Terminal || l.State == "UNKNOWN"
}

// Completes reports whether the update completes the unit: the task has exited by itself, or
// was killed because it was to be.
func (l JournalLine) Completes(killed bool) bool {
	return l.Deed == DeedUpdate && l.Terminal && (l.HasExit && l.Signal == 0 || killed && l.State == "KILLED")
}
