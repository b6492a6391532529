package mesos

import (
	"math"
	"strings"
	"testing"
)

// decisionRows are the table of section 5.2: y, n or - for exit, rebooted, started, shim
// alive, task alive, barred, lock held; what is decided; and the task's state then, if it has ended.
var decisionRows = []struct {
	name    string
	facts   string
	verdict Verdict
	end     TaskState
}{
	{"there is an exit file: the true exit status", "y------", Ended, Finished},
	{"rebooted after it had started", "nyy----", Vanished, Failed},
	{"rebooted before it had started", "nyn----", NeverStarted, Dropped},
	{"started and the shim lives: re-adopt", "nnyy---", Adopt, 0},
	{"the shim lives and has not started it", "nnny---", Await, 0},
	{"somebody has the lock, it may be the shim", "nn-n--y", LookAgain, 0},
	{"the shim is dead and the task lives: kill", "nn-ny-n", Orphaned, 0},
	{"started and none lives: exit status unknown", "nnynn-n", Vanished, Failed},
	{"never started, but a shim may be on its way", "nnnnnnn", Bar, 0},
	{"never started and never will be", "nnnnnyn", NeverStarted, Dropped},
}

// allFacts are all combinations.
func allFacts(yield func(f Facts, row string) bool) {
	for n := range 1 << 8 {
		bit := func(i int) bool { return n>>i&1 == 1 }
		f := Facts{Rebooted: bit(1), Started: bit(2), ShimAlive: bit(3), TaskAlive: bit(4), Barred: bit(5), LockHeld: bit(6), Locked: bit(7)}
		if bit(0) {
			f.Exit = &ContainerExit{Known: true}
		}
		var row strings.Builder
		for i := range 7 {
			row.WriteByte("ny"[n>>i&1])
		}
		if !yield(f, row.String()) {
			return
		}
	}
}

func fitsRow(row, pattern string) bool {
	for i := range pattern {
		if pattern[i] != '-' && pattern[i] != row[i] {
			return false
		}
	}
	return true
}

func TestDecideFollowsTheTable(t *testing.T) { // section 5.2
	for _, want := range decisionRows {
		seen := 0
		for f, row := range allFacts {
			if !fitsRow(row, want.facts) {
				continue
			}
			seen++
			if got := Decide(f); got != want.verdict {
				t.Errorf("%s: %+v: %v, want %v", want.name, f, got, want.verdict)
			}
		}
		if seen == 0 {
			t.Errorf("%s: no facts fit", want.name)
		}
	}
}

func TestEveryCombinationOfFactsHasOneRow(t *testing.T) {
	for f, row := range allFacts {
		rows := 0
		for _, r := range decisionRows {
			if fitsRow(row, r.facts) {
				rows++
			}
		}
		if rows != 1 {
			t.Errorf("%+v has %d rows", f, rows)
		}
		if v := Decide(f); strings.HasPrefix(v.String(), "Verdict(") {
			t.Errorf("%+v: %v", f, v)
		}
		f.Engine = true
		if got, want := Decide(f), decidedBy(row); got != want {
			t.Errorf("%+v of an engine: %v, want %v", f, got, want)
		}
		f.Untold = true
		if got := Decide(f); got != Postpone {
			t.Errorf("%+v: %v, want %v", f, got, Postpone)
		}
	}
}

func decidedBy(row string) Verdict {
	for _, r := range decisionRows {
		if fitsRow(row, r.facts) {
			return r.verdict
		}
	}
	return 0
}

// An engine that does not answer holds nobody up, and nothing is said of its containers until it does.
func TestWhatAnEngineDoesNotTellIsPostponed(t *testing.T) {
	untold := Facts{Untold: true, Started: true, ShimAlive: true}
	for _, reboot := range []bool{false, true} {
		h := runningHost(t)
		h.launch("staged", 2)
		c := AgentConfig{}
		if reboot {
			c.Boot = "another"
		}
		h.restart(c)
		for range 3 {
			for n := 1; n <= 2; n++ {
				h.agent.Observed(ObservedContainer{containerNo(n), untold})
				if out := h.output(); len(out.Look) != 1 || out.Look[0] != containerNo(n) || len(out.Start)+len(out.Stop)+len(out.Bar) != 0 {
					t.Fatalf("reboot %v: %+v", reboot, out)
				}
			}
		}
		h.register()
		if tasks := h.agent.Tasks(); tasks[0].State != Running || tasks[1].State != Staging {
			t.Fatalf("reboot %v: %+v", reboot, tasks)
		}
		h.step(Kill{Term: h.term, Task: TaskKey{"f", "staged"}})
		h.agent.Observed(ObservedContainer{containerNo(1), Facts{Engine: true, Started: true, Exit: &ContainerExit{Known: true, Code: 3}}})
		h.agent.Observed(ObservedContainer{containerNo(2), Facts{Engine: true, Started: true, ShimAlive: true}})
		if out := h.output(); len(out.Stop) != 1 || out.Stop[0].Container != containerNo(2) {
			t.Fatalf("reboot %v: stops %+v", reboot, out.Stop)
		}
		if s := h.last(1); s.State != Failed || s.ExitCode != 3 {
			t.Errorf("reboot %v: %+v", reboot, s)
		}
	}
}

// What is to end is told to end though nothing is told of it, also by the next agent: whoever watches it may have another way.
func TestWhatIsNotToldOfIsYetToldToEnd(t *testing.T) {
	h := runningHost(t)
	h.register()
	h.step(Kill{Term: h.term, Task: h.agent.Tasks()[0].Key})
	untold := ObservedContainer{containerNo(1), Facts{Untold: true}}
	for _, restarted := range []bool{false, true} {
		if restarted {
			h.restart(AgentConfig{})
		}
		h.agent.Observed(untold)
		if out := h.output(); len(out.Stop) != 1 || out.Stop[0].Container != containerNo(1) || len(out.Look) != 1 {
			t.Errorf("restarted %v: stops %+v, looks at %+v", restarted, out.Stop, out.Look)
		}
	}
}

// An engine knows its containers over a reboot: one that is seen to run is adopted, and one that is gone was removed.
func TestAnEngineTellsWhatABootDoesNot(t *testing.T) {
	h := runningHost(t)
	h.launch("gone", 2)
	h.launch("staged", 3)
	h.event(2, ContainerEvent{Kind: ContainerStarted})
	h.restart(AgentConfig{Boot: "another"})
	h.agent.Observed(ObservedContainer{containerNo(1), Facts{Engine: true, Started: true, ShimAlive: true}})
	h.agent.Observed(ObservedContainer{containerNo(2), Facts{Engine: true, Started: true}})
	h.agent.Observed(ObservedContainer{containerNo(3), Facts{Engine: true, Barred: true}})
	h.register()
	h.mustBe(1, Running, ReasonNone)
	h.mustBe(2, Failed, ReasonExecutorTerminated)
	h.mustBe(3, Dropped, ReasonAgentRestarted)
}

func TestAStrangerOfWhichNothingIsToldIsLookedAtAgain(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.agent.Observed(ObservedContainer{containerNo(7), Facts{Untold: true}})
	if out := h.output(); len(out.Look) != 1 || len(out.Stop)+len(out.Forget) != 0 {
		t.Fatalf("%+v", out)
	}
}

// Section 5.2: nothing is started by a recovery, and each combination of facts has its end.
func TestNoFactsLeadToAStart(t *testing.T) {
	for f, row := range allFacts {
		h := newAgentHost(t, AgentConfig{})
		h.register()
		h.launch("t", 1)
		h.restart(AgentConfig{})
		h.agent.Observed(ObservedContainer{containerNo(1), f})
		out := h.output()
		if len(out.Start) > 0 {
			t.Fatalf("%+v: %+v", f, out.Start)
		}
		for _, want := range decisionRows {
			if !fitsRow(row, want.facts) {
				continue
			}
			state := h.agent.Tasks()[0].State
			if want.end != 0 && state != want.end || want.end == 0 && state.Terminal() {
				t.Errorf("%+v: %v, want %v", f, state, want.end)
			}
			if (len(out.Bar) == 1) != (want.verdict == Bar) || (len(out.Look) == 1) != (want.verdict == LookAgain) || (len(out.Stop) == 1) != (want.verdict == Orphaned) {
				t.Errorf("%+v: bars %v, looks at %v, stops %v", f, out.Bar, out.Look, out.Stop)
			}
			if waits := len(h.agent.Unobserved()) == 1; waits != (want.verdict == Bar || want.verdict == LookAgain) {
				t.Errorf("%+v: still to be looked at: %v", f, waits)
			}
		}
	}
}

// Section 5.1: when the shim was killed the task is killed, and its end says so.
func TestAnOrphanIsKilledAndFails(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.launch("t", 1)
	h.event(1, ContainerEvent{Kind: ContainerStarted})
	h.agent.Observed(ObservedContainer{containerNo(1), Facts{Locked: true, Started: true, TaskAlive: true}})
	if out := h.output(); len(out.Stop) != 1 || out.Stop[0].Grace != 0 {
		t.Fatalf("stops %+v", out.Stop)
	}
	h.event(1, ContainerEvent{Kind: ContainerExited})
	if s := h.last(1); s.State != Failed || s.Reason != ReasonExecutorTerminated || s.HasExit {
		t.Fatalf("%+v", s)
	}
}

// DROPPED would say that it never started.
func TestATaskThatRanAndWhoseRunDirectoryIsGoneHasFailed(t *testing.T) {
	for _, f := range []Facts{{Barred: true}, {Rebooted: true}} {
		for _, acknowledged := range []bool{false, true} {
			h := runningHost(t)
			if acknowledged {
				h.acknowledge(1)
			}
			h.launch("staged", 2)
			h.restart(AgentConfig{})
			h.agent.Observed(ObservedContainer{containerNo(1), f})
			h.agent.Observed(ObservedContainer{containerNo(2), f})
			h.output()
			want := map[bool]Reason{false: ReasonExecutorTerminated, true: ReasonAgentRestarted}[f.Rebooted]
			h.mustBe(1, Failed, want)
			h.mustBe(2, Dropped, ReasonAgentRestarted)
		}
	}
}

// The shim may only not have answered in time: the task runs on, and nobody may replace it.
func TestATaskWhoseLockIsHeldHasNoEndYet(t *testing.T) {
	h := runningHost(t)
	h.restart(AgentConfig{})
	for range 3 {
		h.agent.Observed(ObservedContainer{containerNo(1), Facts{Locked: true, LockHeld: true, Started: true}})
		if out := h.output(); len(out.Look) != 1 || out.Look[0] != containerNo(1) || len(out.Save)+len(out.Stop) != 0 {
			t.Fatalf("%+v", out)
		}
	}
	h.agent.Observed(ObservedContainer{containerNo(1), Facts{Locked: true, LockHeld: true, Started: true, ShimAlive: true, TaskAlive: true}})
	h.register()
	h.mustBe(1, Running, ReasonNone)
}

func TestAContainerThatNobodyKnowsIsEndedAndForgotten(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	h.agent.Observed(ObservedContainer{containerNo(7), Facts{Started: true, ShimAlive: true}})
	if out := h.output(); len(out.Stop) != 1 || len(out.Forget) != 0 {
		t.Fatalf("%+v", out)
	}
	h.agent.Observed(ObservedContainer{containerNo(7), Facts{Started: true, LockHeld: true}})
	if out := h.output(); len(out.Look) != 1 || len(out.Forget) != 0 {
		t.Fatalf("%+v", out)
	}
	h.agent.Observed(ObservedContainer{containerNo(7), Facts{Started: true}})
	if out := h.output(); len(out.Stop) != 0 || len(out.Forget) != 1 {
		t.Fatalf("%+v", out)
	}
}

// An exit file may hold any number, and what is saved is to be read again.
func TestAnExitOfManyDigitsIsSavedAsOneThatIsRead(t *testing.T) {
	for _, c := range []struct{ code, want int }{{math.MaxInt, math.MaxInt32}, {math.MinInt, math.MinInt32}, {255, 255}, {-1, -1}} {
		h := runningHost(t)
		h.event(1, ContainerEvent{Kind: ContainerExited, Exit: ContainerExit{Known: true, Code: c.code, Signal: c.code}})
		if s := h.last(1); s.State != Failed || s.ExitCode != c.want || s.Signal != c.want {
			t.Errorf("%d: %+v", c.code, s)
		}
		for _, r := range h.saved {
			if _, err := DecodeRecord(r.Append(nil)); err != nil {
				t.Errorf("%d: %+v: %v", c.code, r, err)
			}
		}
	}
}

func TestExitsMeanStates(t *testing.T) {
	for _, c := range []struct {
		exit   ContainerExit
		limit  Reason
		state  TaskState
		reason Reason
	}{
		{ContainerExit{Known: true}, 0, Finished, ReasonNone},
		{ContainerExit{Known: true, Code: 3}, 0, Failed, ReasonNone},
		{ContainerExit{Known: true, Signal: 11}, 0, Failed, ReasonNone},
		{ContainerExit{Known: true, Signal: 9, OutOfMemory: true}, 0, Failed, ReasonContainerLimitationMemory},
		{ContainerExit{Known: true, Signal: 15}, ReasonContainerLimitationDisk, Failed, ReasonContainerLimitationDisk},
		{ContainerExit{Known: true}, ReasonContainerLimitationDisk, Failed, ReasonContainerLimitationDisk},
		{ContainerExit{NotStarted: true}, 0, Failed, ReasonContainerLaunchFailed},
		{ContainerExit{}, 0, Failed, ReasonExecutorTerminated},
	} {
		h := newAgentHost(t, AgentConfig{})
		h.register()
		h.launch("t", 1)
		if c.limit != 0 {
			h.agent.Event(ContainerEvent{Container: containerNo(1), Kind: ContainerLimited, Limit: c.limit})
			if out := h.output(); len(out.Stop) != 1 {
				t.Errorf("beyond %d: stops %v", c.limit, out.Stop)
			}
		}
		h.event(1, ContainerEvent{Kind: ContainerExited, Exit: c.exit})
		s := h.last(1)
		if s.State != c.state || s.Reason != c.reason || s.HasExit != c.exit.Known || s.ExitCode != c.exit.Code || s.Signal != c.exit.Signal ||
			c.exit.OutOfMemory != strings.Contains(s.Message, "more memory than it has") {
			t.Errorf("%+v beyond %d: %+v", c.exit, c.limit, s)
		}
	}
}
