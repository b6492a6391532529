package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// taskScript writes a history line by line; the clock goes on by a second with each.
type taskScript struct {
	TaskHistory
	now    time.Duration
	ledger map[int]string
}

// told adds a line of the journal: WHAT [ID] [CODE] of a task of unit 0.
func (s *taskScript) told(task string, deed Deed, words ...string) {
	s.now += time.Second
	l := JournalLine{At: s.now, Deed: deed, Task: task}
	for n, word := range words {
		switch {
		case n == 0:
			l.State = word
			l.Terminal = word != "RUNNING" && word != "STARTING" && word != "UNKNOWN"
		case n == 1:
			l.ID = word
		case word == "signal":
			l.HasExit, l.Signal = true, 9
		default:
			l.HasExit = true
			fmt.Sscan(word, &l.Exit)
		}
	}
	s.Journal = append(s.Journal, l)
}

// wrote adds a line of the unit's ledger, by the task in a container.
func (s *taskScript) wrote(task, what, container string, more ...string) {
	s.now += time.Second
	text := strings.Join(append([]string{fmt.Sprint(int64(s.now)), what, task, container, "1", "2"}, more...), " ")
	s.ledger[0] += "\n" + text + " .\n"
}

// whole is a unit that is done by its second task: the first one's shim was killed.
func (s *taskScript) whole() {
	s.told("a", DeedIntend)
	s.told("a", DeedTaken)
	s.wrote("a", "start", "ca")
	s.told("a", DeedUpdate, "RUNNING", "1")
	s.told("a", DeedUpdate, "RUNNING", "1") // again, to the next scheduler
	s.wrote("a", "beat", "ca")
	s.Shims["ca"] = s.now
	s.told("a", DeedUpdate, "FAILED", "2")
	s.told("b", DeedIntend)
	s.wrote("b", "start", "cb")
	s.told("b", DeedUpdate, "RUNNING", "3")
	s.wrote("b", "exit", "cb", "7")
}

func judgeScript(t *testing.T, write func(*taskScript)) []TaskViolation {
	t.Helper()
	s := &taskScript{ledger: make(map[int]string)}
	s.Units, s.Shims, s.Ledgers = []Unit{{Code: 7}}, make(map[string]time.Duration), make(map[int][]ChoreLine)
	write(s)
	for unit, text := range s.ledger {
		lines, err := ParseChores([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		s.Ledgers[unit] = lines
	}
	violations, _ := JudgeTasks(s.TaskHistory)
	return violations
}

func TestTasksWithoutFaultPassTheJudge(t *testing.T) {
	for name, write := range map[string]func(*taskScript){
		"exits": func(s *taskScript) {
			s.whole()
			s.told("b", DeedUpdate, "FAILED", "4", "7")
		},
		"is told again": func(s *taskScript) {
			s.whole()
			s.told("b", DeedUpdate, "FAILED", "4", "7")
			s.told("b", DeedUpdate, "FAILED", "4", "7")
		},
		"is killed": func(s *taskScript) {
			s.told("a", DeedIntend)
			s.wrote("a", "start", "ca")
			s.told("a", DeedKill)
			s.wrote("a", "term", "ca")
			s.told("a", DeedUpdate, "KILLED", "4", "signal")
		},
		"was never launched": func(s *taskScript) {
			s.told("z", DeedIntend)
			s.told("z", DeedUpdate, "UNKNOWN")
			s.whole()
			s.told("b", DeedUpdate, "FAILED", "4", "7")
		},
		"died as it wrote": func(s *taskScript) {
			s.whole()
			s.ledger[0] += "\n12345678 star"
			s.told("b", DeedUpdate, "FAILED", "4", "7")
		},
		"ended with its shim before it could be told": func(s *taskScript) {
			s.told("a", DeedIntend)
			s.wrote("a", "start", "ca")
			s.wrote("a", "exit", "ca", "7")
			s.Shims["ca"] = s.now
			s.told("a", DeedUpdate, "FAILED", "1")
			s.told("b", DeedIntend)
			s.wrote("b", "start", "cb")
			s.wrote("b", "exit", "cb", "7")
			s.told("b", DeedUpdate, "FAILED", "4", "7")
		},
	} {
		if violations := judgeScript(t, write); len(violations) > 0 {
			t.Errorf("%s: %v", name, violations)
		}
	}
}

// Each of these is what a campaign would have to find.
func TestTheJudgeOfTasksSeesEachViolation(t *testing.T) {
	for _, c := range []struct {
		class string
		write func(*taskScript)
	}{
		{TaskTwice, func(s *taskScript) {
			s.whole()
			s.wrote("b", "start", "cb")
			s.told("b", DeedUpdate, "FAILED", "4", "7")
		}},
		{TaskTwice, func(s *taskScript) {
			s.told("a", DeedIntend)
			s.wrote("a", "start", "c")
			s.told("a", DeedUpdate, "FAILED", "1")
			s.told("b", DeedIntend)
			s.wrote("b", "start", "c")
			s.wrote("b", "exit", "c", "7")
			s.told("b", DeedUpdate, "FAILED", "4", "7")
		}},
		{TaskOverlap, func(s *taskScript) {
			s.told("a", DeedIntend)
			s.told("b", DeedIntend)
			s.wrote("a", "start", "ca")
			s.wrote("b", "start", "cb")
			s.wrote("b", "exit", "cb", "7")
			s.told("b", DeedUpdate, "FAILED", "4", "7")
			s.wrote("a", "exit", "ca", "7")
			s.told("a", DeedUpdate, "FAILED", "5", "7")
		}},
		{TaskOverlap, func(s *taskScript) { // between two beats, but not unseen by the kernel
			s.whole()
			s.wrote("b", "overlap", "cb", "a?")
			s.told("b", DeedUpdate, "FAILED", "4", "7")
		}},
		{TaskDoneTwice, func(s *taskScript) {
			s.whole()
			s.told("b", DeedUpdate, "FAILED", "4", "7")
			s.told("c", DeedIntend)
			s.wrote("c", "start", "cc")
			s.wrote("c", "exit", "cc", "7")
			s.told("c", DeedUpdate, "FAILED", "5", "7")
		}},
		{TaskLost, (*taskScript).whole},
		{TaskLost, func(s *taskScript) {
			s.told("z", DeedIntend)
			s.told("z", DeedTaken)
			s.whole()
			s.told("b", DeedUpdate, "FAILED", "4", "7")
		}},
		{TaskUndone, func(s *taskScript) {
			s.told("a", DeedIntend)
			s.told("a", DeedUpdate, "DROPPED", "4")
		}},
		{TaskRepeated, func(s *taskScript) {
			s.whole()
			s.told("b", DeedUpdate, "FAILED", "4", "7")
			s.told("b", DeedUpdate, "FAILED", "5", "7")
		}},
		{TaskRepeated, func(s *taskScript) {
			s.whole()
			s.told("b", DeedUpdate, "FAILED", "4", "7")
			s.told("b", DeedUpdate, "GONE")
		}},
		{TaskDisorder, func(s *taskScript) {
			s.whole()
			s.told("b", DeedUpdate, "FAILED", "4", "7")
			s.told("b", DeedUpdate, "RUNNING", "5")
		}},
		{TaskDisorder, func(s *taskScript) {
			s.whole()
			s.told("b", DeedUpdate, "FAILED", "4", "7")
			s.told("b", DeedUpdate, "RUNNING", "3")
		}},
		{TaskFalse, func(s *taskScript) {
			s.whole()
			s.told("b", DeedUpdate, "FAILED", "4", "1")
		}},
		{TaskFalse, func(s *taskScript) {
			s.whole()
			s.told("b", DeedUpdate, "FINISHED", "4", "7")
		}},
		{TaskFalse, func(s *taskScript) {
			s.whole()
			s.told("b", DeedUpdate, "FAILED", "4", "7")
			s.told("b", DeedUpdate, "FAILED", "4", "8")
		}},
		{TaskFalse, func(s *taskScript) { // the shim of another was killed
			s.whole()
			s.told("b", DeedUpdate, "FAILED", "4")
		}},
		{TaskFalse, func(s *taskScript) { // it may have started
			s.whole()
			s.told("b", DeedUpdate, "DROPPED", "4")
		}},
		{TaskFalse, func(s *taskScript) {
			s.told("a", DeedIntend)
			s.wrote("a", "start", "ca")
			s.told("a", DeedUpdate, "FAILED", "4", "7")
		}},
		{TaskFalse, func(s *taskScript) {
			s.told("a", DeedIntend)
			s.wrote("a", "start", "ca")
			s.told("a", DeedUpdate, "KILLED", "4", "signal") // by whom?
		}},
		{TaskGoesOn, func(s *taskScript) {
			s.whole()
			s.told("b", DeedUpdate, "FAILED", "4", "7")
			s.wrote("a", "beat", "ca")
		}},
		{TaskGoesOn, func(s *taskScript) {
			s.told("a", DeedIntend)
			s.told("a", DeedUpdate, "UNKNOWN")
			s.wrote("a", "start", "ca")
			s.wrote("a", "exit", "ca", "7")
		}},
		{TaskUnwanted, func(s *taskScript) {
			s.whole()
			s.Journal = s.Journal[1:]
			s.told("b", DeedUpdate, "FAILED", "4", "7")
		}},
		{TaskUnwanted, func(s *taskScript) {
			s.whole()
			s.told("b", DeedNot)
			s.told("b", DeedUpdate, "FAILED", "4", "7")
		}},
	} {
		violations := judgeScript(t, c.write)
		found := false
		for _, v := range violations {
			found = found || v.Class == c.class
		}
		if !found {
			t.Errorf("%s is not seen: %v", c.class, violations)
		}
	}
}

func TestUnitsAreMixed(t *testing.T) {
	units := PlanUnits(1, 200, time.Minute)
	short, killed, deaf := 0, 0, 0
	for _, u := range units {
		if u.Time > time.Minute || u.Time < 50*time.Millisecond {
			t.Errorf("%+v", u)
		}
		if u.Time < 3*time.Second {
			short++
		}
		if u.KillAfter > 0 {
			killed++
		}
		if u.Deaf {
			deaf++
		}
	}
	if short < 70 || short > 130 || killed < 5 || deaf < 20 {
		t.Errorf("%d are short, %d are killed, %d are deaf", short, killed, deaf)
	}
}
