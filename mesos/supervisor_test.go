package mesos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// supervised drives a supervisor by hand: orders are noted, and obeyed only when the test says so.
type supervised struct {
	t    *testing.T
	s    *Supervisor
	now  time.Duration
	runs map[string]uint64 // the last run of each child
	end  End
	gave bool
}

func supervise(t *testing.T, c SupervisorConfig, children ...ChildSpec) *supervised {
	t.Helper()
	c.Children = children
	s, err := NewSupervisor(c)
	if err != nil {
		t.Fatal(err)
	}
	return &supervised{t: t, s: s, runs: make(map[string]uint64)}
}

// orders notes an output and returns it as text: "stop c, start a".
func (b *supervised) orders(out SupervisorOutput) string {
	var list []string
	for _, o := range out.Orders {
		if o.Kind == OrderStart {
			if o.Run <= b.runs[o.Child] {
				b.t.Fatalf("run %d of %q started after run %d", o.Run, o.Child, b.runs[o.Child])
			}
			b.runs[o.Child] = o.Run
		} else if o.Run != b.runs[o.Child] {
			b.t.Fatalf("%v is for run %d of %q, which is in run %d", o.Kind, o.Run, o.Child, b.runs[o.Child])
		}
		list = append(list, o.Kind.String()+" "+o.Child)
	}
	if out.End != EndNot {
		if b.end != EndNot {
			b.t.Fatalf("ended as %d and again as %d", b.end, out.End)
		}
		b.end = out.End
	}
	b.gave = b.gave || out.GaveUp
	return strings.Join(list, ", ")
}

func (b *supervised) exits(child string, reason ExitReason) string {
	return b.orders(b.s.Exited(b.now, child, b.runs[child], reason))
}

func (b *supervised) tick(d time.Duration) string {
	b.now += d
	return b.orders(b.s.Tick(b.now))
}

func (b *supervised) want(got, want string) {
	b.t.Helper()
	if got != want {
		b.t.Fatalf("at %v: orders %q, want %q", b.now, got, want)
	}
}

func (b *supervised) wantEnd(want End) {
	b.t.Helper()
	if b.end != want {
		b.t.Fatalf("at %v: ended as %d, want %d", b.now, b.end, want)
	}
}

func childrenOf(r Restart, ids ...string) []ChildSpec {
	var list []ChildSpec
	for _, id := range ids {
		list = append(list, ChildSpec{ID: id, Restart: r})
	}
	return list
}

// manyRestarts allows restarts enough for tests that are not about their number.
var manyRestarts = SupervisorConfig{Intensity: 100, Period: time.Hour}

func withStrategy(s Strategy) SupervisorConfig {
	c := manyRestarts
	c.Strategy = s
	return c
}

func TestChildrenStartInOrderAndStopOneAfterTheOtherInReverse(t *testing.T) {
	b := supervise(t, manyRestarts, childrenOf(Permanent, "a", "b", "c")...)
	b.want(b.orders(b.s.Start(0)), "start a, start b, start c")
	b.want(b.orders(b.s.Stop(0)), "stop c")
	b.want(b.tick(time.Second), "")
	b.want(b.exits("c", ExitShutdown), "stop b")
	b.want(b.exits("b", ExitCrash), "stop a")
	b.wantEnd(EndNot)
	b.want(b.exits("a", ExitNormal), "")
	b.wantEnd(EndStopped)
	if b.gave {
		t.Fatal("a supervisor that was stopped gave up")
	}
	if at, ok := b.s.Next(); ok {
		t.Fatalf("the supervisor has ended and wants a tick at %v", at)
	}
}

func TestWhoIsRestartedAfterWhatExit(t *testing.T) {
	for _, c := range []struct {
		restart                 Restart
		normal, shutdown, crash bool // is it started again
	}{
		{Permanent, true, true, true},
		{Transient, false, false, true},
		{Temporary, false, false, false},
	} {
		for reason, again := range map[ExitReason]bool{ExitNormal: c.normal, ExitShutdown: c.shutdown, ExitCrash: c.crash} {
			b := supervise(t, manyRestarts, ChildSpec{ID: "a", Restart: c.restart})
			b.orders(b.s.Start(0))
			want := ""
			if again {
				want = "start a"
			}
			if got := b.exits("a", reason); got != want {
				t.Errorf("restart %d, exit %d: orders %q, want %q", c.restart, reason, got, want)
			}
			if known := len(b.s.Children()) == 1; known != (c.restart != Temporary) {
				t.Errorf("restart %d, exit %d: the child is known: %t", c.restart, reason, known)
			}
		}
	}
}

func TestOneForOneRestartsTheChildAlone(t *testing.T) {
	b := supervise(t, withStrategy(OneForOne), childrenOf(Permanent, "a", "b", "c")...)
	b.orders(b.s.Start(0))
	b.want(b.exits("b", ExitCrash), "start b")
}

func TestOneForAllStopsAllOthersInReverseAndStartsAllInOrder(t *testing.T) {
	b := supervise(t, withStrategy(OneForAll), childrenOf(Permanent, "a", "b", "c")...)
	b.orders(b.s.Start(0))
	b.want(b.exits("b", ExitCrash), "stop c")
	b.want(b.exits("c", ExitShutdown), "stop a")
	b.want(b.exits("a", ExitShutdown), "start a, start b, start c")
}

func TestRestForOneLeavesTheChildrenBefore(t *testing.T) {
	b := supervise(t, withStrategy(RestForOne), childrenOf(Permanent, "a", "b", "c", "d")...)
	b.orders(b.s.Start(0))
	b.want(b.exits("b", ExitCrash), "stop d")
	b.want(b.exits("d", ExitShutdown), "stop c")
	b.want(b.exits("c", ExitShutdown), "start b, start c, start d")
}

func TestRestForOneWithAnEarlierChildExitingMeanwhileBecomesOneRestart(t *testing.T) {
	c := SupervisorConfig{Strategy: RestForOne, Intensity: 2, Period: time.Hour}
	b := supervise(t, c, childrenOf(Permanent, "a", "b", "c", "d")...)
	b.orders(b.s.Start(0))
	b.want(b.exits("c", ExitCrash), "stop d")
	b.want(b.exits("a", ExitCrash), "")
	b.want(b.exits("d", ExitShutdown), "stop b")
	b.want(b.exits("b", ExitShutdown), "start a, start b, start c, start d")
	b.exits("d", ExitCrash)
	if !b.gave {
		t.Fatal("the third of two restarts went through: each exit is to count")
	}
}

func TestTwoRestartsThatAreDoneAsOneWaitForTheLongerOne(t *testing.T) {
	c := withStrategy(RestForOne)
	c.Backoff = Backoff{Initial: time.Second, Factor: 10}
	b := supervise(t, c, childrenOf(Permanent, "a", "b", "c")...)
	b.orders(b.s.Start(0))
	b.exits("c", ExitCrash)
	b.want(b.tick(time.Second), "start c")
	b.want(b.exits("c", ExitCrash), "") // waits 10 s
	b.want(b.exits("a", ExitCrash), "stop b")
	b.want(b.exits("b", ExitShutdown), "")
	b.want(b.tick(10*time.Second-1), "")
	b.want(b.tick(1), "start a, start b, start c")
}

func TestAGroupStaysTheSameWhenAnEarlierChildIsForgotten(t *testing.T) {
	b := supervise(t, withStrategy(RestForOne), ChildSpec{ID: "a", Restart: Temporary}, ChildSpec{ID: "b"}, ChildSpec{ID: "c"}, ChildSpec{ID: "d"})
	b.orders(b.s.Start(0))
	b.want(b.exits("c", ExitCrash), "stop d")
	b.want(b.exits("a", ExitCrash), "")
	b.want(b.exits("d", ExitShutdown), "start c, start d")
}

func TestWhileItEndsNoExitIsARestart(t *testing.T) {
	b := supervise(t, SupervisorConfig{Intensity: NoRestarts}, childrenOf(Permanent, "a", "b", "c")...)
	b.orders(b.s.Start(0))
	b.want(b.orders(b.s.Stop(0)), "stop c")
	b.want(b.exits("a", ExitCrash), "")
	b.want(b.exits("c", ExitCrash), "stop b")
	b.exits("b", ExitShutdown)
	b.wantEnd(EndStopped)
	if b.gave {
		t.Fatal("it gave up though it was stopped")
	}
}

func TestATemporaryChildIsNotRestartedWithItsSiblings(t *testing.T) {
	for _, strategy := range []Strategy{OneForAll, RestForOne} {
		b := supervise(t, withStrategy(strategy), ChildSpec{ID: "a"}, ChildSpec{ID: "b", Restart: Temporary}, ChildSpec{ID: "c"})
		b.orders(b.s.Start(0))
		b.want(b.exits("a", ExitCrash), "stop c")
		b.want(b.exits("c", ExitShutdown), "stop b")
		b.want(b.exits("b", ExitShutdown), "start a, start c")
	}
}

// The restart of a group starts all of its children, also one that was done or stopped.
func TestATransientChildThatWasDoneIsStartedAgainWithItsSiblings(t *testing.T) {
	b := supervise(t, withStrategy(OneForAll), ChildSpec{ID: "a"}, ChildSpec{ID: "b", Restart: Transient}, ChildSpec{ID: "c"})
	b.orders(b.s.Start(0))
	b.want(b.exits("b", ExitNormal), "")
	out, err := b.s.StopChild(0, "c")
	b.want(b.orders(out), "stop c")
	b.want(b.exits("c", ExitShutdown), "")
	b.want(b.exits("a", ExitCrash), "start a, start b, start c")
	if err != nil {
		t.Fatal(err)
	}
}

func TestASiblingThatCrashesWhileItIsToBeStoppedCountsNoRestart(t *testing.T) {
	b := supervise(t, SupervisorConfig{Strategy: OneForAll, Intensity: 1, Period: time.Hour}, childrenOf(Permanent, "a", "b", "c")...)
	b.orders(b.s.Start(0))
	b.want(b.exits("a", ExitCrash), "stop c")
	b.want(b.exits("b", ExitCrash), "") // on its own account, before its turn
	b.want(b.exits("c", ExitCrash), "start a, start b, start c")
	if b.gave {
		t.Fatal("the siblings' exits counted as restarts")
	}
}

func TestMoreRestartsThanTheIntensityInThePeriodEndTheSupervisor(t *testing.T) {
	b := supervise(t, SupervisorConfig{Intensity: 2, Period: 10 * time.Second}, childrenOf(Permanent, "a", "b")...)
	b.orders(b.s.Start(0))
	b.want(b.exits("a", ExitCrash), "start a")
	b.tick(time.Second)
	b.want(b.exits("b", ExitCrash), "start b") // the count is of all children together
	b.tick(9 * time.Second)                    // the first is exactly a period ago, and counts
	b.want(b.exits("a", ExitCrash), "stop b")
	if !b.gave {
		t.Fatal("the supervisor did not say that it gives up")
	}
	b.wantEnd(EndNot)
	b.want(b.exits("b", ExitShutdown), "")
	b.wantEnd(EndIntensity)
}

func TestRestartsOfLongerAgoThanThePeriodDoNotCount(t *testing.T) {
	b := supervise(t, SupervisorConfig{Intensity: 2, Period: 10 * time.Second}, childrenOf(Permanent, "a")...)
	b.orders(b.s.Start(0))
	for range 20 {
		b.want(b.exits("a", ExitCrash), "start a")
		b.tick(5*time.Second + 1)
	}
}

func TestOneRestartInFiveSecondsIsTheDefault(t *testing.T) {
	b := supervise(t, SupervisorConfig{}, ChildSpec{ID: "a"}) // permanent, one for one
	b.orders(b.s.Start(0))
	b.want(b.exits("a", ExitNormal), "start a")
	b.tick(5*time.Second + 1)
	b.want(b.exits("a", ExitNormal), "start a")
	b.tick(5 * time.Second)
	b.want(b.exits("a", ExitNormal), "")
	b.wantEnd(EndIntensity)
}

func TestNoRestartsGivesUpAtTheFirst(t *testing.T) {
	b := supervise(t, SupervisorConfig{Intensity: NoRestarts}, childrenOf(Permanent, "a")...)
	b.orders(b.s.Start(0))
	b.want(b.exits("a", ExitCrash), "")
	b.wantEnd(EndIntensity)
}

func TestAChildThatIsNotDownInTimeIsKilled(t *testing.T) {
	b := supervise(t, manyRestarts, ChildSpec{ID: "a"}, ChildSpec{ID: "b", Shutdown: 2 * time.Second},
		ChildSpec{ID: "c", Shutdown: BrutalKill}, ChildSpec{ID: "d", Shutdown: Infinity})
	b.orders(b.s.Start(0))
	b.now = time.Second
	b.want(b.orders(b.s.Stop(b.now)), "stop d")
	if at, ok := b.s.Next(); ok {
		t.Fatalf("a child with all the time is waited for until %v", at)
	}
	b.want(b.tick(1000*time.Hour), "")
	b.want(b.exits("d", ExitShutdown), "kill c")
	b.want(b.exits("c", ExitCrash), "stop b")
	if at, ok := b.s.Next(); !ok || at != b.now+2*time.Second {
		t.Fatalf("next tick at %v, %t, want in 2s", at, ok)
	}
	b.want(b.tick(2*time.Second-1), "")
	b.want(b.tick(1), "kill b")
	b.want(b.tick(time.Hour), "") // a kill is final: nothing is left to be done but wait
	b.want(b.exits("b", ExitCrash), "stop a")
	b.want(b.tick(5*time.Second-1), "") // the default
	b.want(b.tick(1), "kill a")
	b.exits("a", ExitCrash)
	b.wantEnd(EndStopped)
}

func TestBackoffGrowsUpToItsMaximumAndStartsAnewAfterAHealthyTime(t *testing.T) {
	c := manyRestarts
	c.Backoff = Backoff{Initial: time.Second, Factor: 3, Max: 10 * time.Second, Healthy: 20 * time.Second}
	b := supervise(t, c, childrenOf(Permanent, "a", "b")...)
	b.orders(b.s.Start(0))
	crash := func(wait time.Duration) {
		t.Helper()
		b.want(b.exits("a", ExitCrash), "")
		if at, ok := b.s.Next(); !ok || at != b.now+wait {
			t.Fatalf("restart at %v, %t, want in %v", at-b.now, ok, wait)
		}
		b.want(b.tick(wait-1), "")
		b.want(b.tick(1), "start a")
	}
	for _, wait := range []time.Duration{1, 3, 9, 10, 10} {
		crash(wait * time.Second)
	}
	b.tick(20*time.Second - 1)
	crash(10 * time.Second)
	b.tick(20 * time.Second)
	crash(time.Second)
	b.want(b.exits("b", ExitCrash), "") // each child has a wait of its own
	b.want(b.tick(time.Second), "start b")
}

func TestJitterMakesAWaitShorterByUpToItsShare(t *testing.T) {
	run := func(seed uint64) (waits []time.Duration) {
		c := manyRestarts
		c.Backoff = Backoff{Initial: time.Second, Factor: 1, JitterPercent: 50}
		c.Rand = rand.New(rand.NewPCG(seed, 0))
		b := supervise(t, c, childrenOf(Permanent, "a")...)
		b.orders(b.s.Start(0))
		for range 50 {
			b.exits("a", ExitCrash)
			at, _ := b.s.Next()
			waits = append(waits, at-b.now)
			b.want(b.tick(at-b.now), "start a")
		}
		return waits
	}
	waits, again := run(1), run(1)
	low, high := time.Hour, time.Duration(0)
	for i, w := range waits {
		if low, high = min(low, w), max(high, w); w != again[i] {
			t.Fatalf("wait %d is %v and, from the same seed, %v", i, w, again[i])
		}
	}
	if low < 500*time.Millisecond || high > time.Second || low > 600*time.Millisecond || high < 900*time.Millisecond {
		t.Fatalf("waits of %v to %v, want about 500ms to 1s", low, high)
	}
}

func TestSiblingsStayDownWhileAGroupWaits(t *testing.T) {
	c := withStrategy(OneForAll)
	c.Backoff.Initial = time.Second
	b := supervise(t, c, childrenOf(Permanent, "a", "b")...)
	b.orders(b.s.Start(0))
	b.want(b.exits("a", ExitCrash), "stop b")
	b.want(b.tick(3*time.Second), "") // the wait is over, but not everything is down
	b.want(b.exits("b", ExitShutdown), "start a, start b")
	b.tick(time.Minute)
	b.want(b.exits("b", ExitCrash), "stop a")
	b.want(b.exits("a", ExitShutdown), "")
	b.want(b.tick(time.Second), "start a, start b")
}

func TestStopWhileARestartWaitsStartsNothingMore(t *testing.T) {
	for _, strategy := range []Strategy{OneForOne, OneForAll, RestForOne} {
		c := withStrategy(strategy)
		c.Backoff.Initial = time.Second
		b := supervise(t, c, childrenOf(Permanent, "a", "b")...)
		b.orders(b.s.Start(0))
		b.exits("b", ExitCrash)
		got := b.orders(b.s.Stop(0))
		if strategy == OneForAll {
			b.want(got, "") // a is being stopped
		} else {
			b.want(got, "stop a")
		}
		if at, ok := b.s.Next(); !ok || at != 5*time.Second {
			t.Fatalf("strategy %d: next tick at %v, %t, want that of the kill", strategy, at, ok)
		}
		b.want(b.tick(2*time.Second), "")
		b.want(b.exits("a", ExitShutdown), "")
		b.wantEnd(EndStopped)
	}
}

func TestAnExitOfAnEarlierRunChangesNothing(t *testing.T) {
	b := supervise(t, manyRestarts, childrenOf(Permanent, "a")...)
	b.orders(b.s.Start(0))
	first := b.runs["a"]
	b.want(b.exits("a", ExitCrash), "start a")
	b.want(b.orders(b.s.Exited(0, "a", first, ExitCrash)), "")
	b.want(b.orders(b.s.Exited(0, "nobody", 1, ExitCrash)), "")
	b.orders(b.s.Stop(0))
	b.exits("a", ExitShutdown)
	b.want(b.exits("a", ExitShutdown), "") // said twice
	b.wantEnd(EndStopped)
}

func TestAStartThatFails(t *testing.T) {
	t.Run("to begin with ends the supervisor", func(t *testing.T) {
		b := supervise(t, manyRestarts, childrenOf(Permanent, "a", "b")...)
		b.orders(b.s.Start(0))
		b.want(b.exits("b", ExitNotStarted), "stop a")
		b.exits("a", ExitShutdown)
		b.wantEnd(EndNotStarted)
	})
	t.Run("at a restart counts as another one", func(t *testing.T) {
		b := supervise(t, SupervisorConfig{Intensity: 2, Period: time.Hour}, childrenOf(Transient, "a")...)
		b.orders(b.s.Start(0))
		b.want(b.exits("a", ExitCrash), "start a")
		b.want(b.exits("a", ExitNotStarted), "start a")
		b.want(b.exits("a", ExitNotStarted), "")
		b.wantEnd(EndIntensity)
	})
	t.Run("forgets a child that was added", func(t *testing.T) {
		b := supervise(t, manyRestarts)
		b.orders(b.s.Start(0))
		out, err := b.s.AddChild(0, ChildSpec{ID: "a"})
		b.want(b.orders(out), "start a")
		b.want(b.exits("a", ExitNotStarted), "")
		if err != nil || len(b.s.Children()) != 0 {
			t.Fatalf("%v, children %v", err, b.s.Children())
		}
	})
	t.Run("by hand leaves it down", func(t *testing.T) {
		b := supervise(t, manyRestarts, childrenOf(Transient, "a")...)
		b.orders(b.s.Start(0))
		b.exits("a", ExitNormal)
		out, err := b.s.RestartChild(0, "a")
		b.want(b.orders(out), "start a")
		b.want(b.exits("a", ExitNotStarted), "")
		if err != nil || b.s.Children()[0].State != ChildDown {
			t.Fatalf("%v, children %v", err, b.s.Children())
		}
	})
}

func TestConfigsThatMakeNoSense(t *testing.T) {
	for i, c := range []SupervisorConfig{
		{Strategy: 3}, {Intensity: -2}, {Period: -1}, {MaxChildren: -1},
		{Backoff: Backoff{Initial: -1}}, {Backoff: Backoff{Initial: 2, Max: 1}}, {Backoff: Backoff{Factor: 101}},
		{Backoff: Backoff{JitterPercent: 10}}, {Backoff: Backoff{JitterPercent: 101}, Rand: rand.New(rand.NewPCG(1, 1))},
		{Children: childrenOf(Permanent, "a", "a")}, {Children: childrenOf(Permanent, "")}, {Children: childrenOf(3, "a")},
		{Children: childrenOf(Permanent, "a", "b"), MaxChildren: 1}, {Children: []ChildSpec{{ID: "a", Shutdown: -2}}},
	} {
		if _, err := NewSupervisor(c); err == nil {
			t.Errorf("case %d: %+v was taken", i, c)
		}
	}
}

func TestChildrenByHand(t *testing.T) {
	b := supervise(t, withStrategy(OneForAll), childrenOf(Permanent, "a", "b")...)
	b.orders(b.s.Start(0))
	do := func(want string, wantErr error) func(SupervisorOutput, error) {
		return func(out SupervisorOutput, err error) {
			t.Helper()
			if got := b.orders(out); got != want || !errors.Is(err, wantErr) {
				t.Fatalf("orders %q, %v, want %q, %v", got, err, want, wantErr)
			}
		}
	}
	do("", ErrNoChild)(b.s.StopChild(0, "x"))
	do("", ErrNoChild)(b.s.RestartChild(0, "x"))
	do("", ErrChildRuns)(b.s.RestartChild(0, "a"))
	do("", ErrChildExists)(b.s.AddChild(0, ChildSpec{ID: "a"}))
	do("start c", nil)(b.s.AddChild(0, ChildSpec{ID: "c"}))
	if err := b.s.DeleteChild("c"); !errors.Is(err, ErrChildRuns) {
		t.Fatalf("a child that runs was deleted: %v", err)
	}
	do("stop b", nil)(b.s.StopChild(0, "b"))
	b.want(b.exits("b", ExitCrash), "") // stopped is stopped, whatever it says
	do("start b", nil)(b.s.RestartChild(0, "b"))

	b.want(b.exits("a", ExitCrash), "stop c") // while that goes on:
	do("", nil)(b.s.AddChild(0, ChildSpec{ID: "d"}))
	do("", nil)(b.s.StopChild(0, "b"))
	b.want(b.exits("c", ExitShutdown), "stop b")
	b.want(b.exits("b", ExitShutdown), "start a, start c, start d")
	b.want(b.exits("d", ExitCrash), "stop c") // the next time b is started with the others
	b.want(b.exits("c", ExitShutdown), "stop a")
	b.want(b.exits("a", ExitShutdown), "start a, start b, start c, start d")
	do("stop b", nil)(b.s.StopChild(0, "b"))
	b.exits("b", ExitShutdown)
	if err := b.s.DeleteChild("b"); err != nil {
		t.Fatal(err)
	}
	b.orders(b.s.Stop(0))
	do("", ErrSupervisorEnding)(b.s.AddChild(0, ChildSpec{ID: "e"}))
	if got := fmt.Sprint(len(b.s.Children())); got != "3" || reflect.DeepEqual(b.s.Children()[0], ChildStatus{}) {
		t.Fatalf("children %v", b.s.Children())
	}
}
