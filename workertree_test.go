package synod

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/synod-go/synod/mesos"
)

// events gathers what a tree tells, as lines.
type treeEvents []string

func (l *treeEvents) add(e SupervisionEvent) {
	line := fmt.Sprintf("%s %s", e.Path, e.Kind)
	if e.Err != nil {
		line += ": " + e.Err.Error()
	}
	*l = append(*l, line)
}

// steady runs until it is told to stop.
func steady(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// failing fails at each start up to some, and is steady then.
func failing(times int, fail func() error) func(context.Context) error {
	return func(ctx context.Context) error {
		if times--; times >= 0 {
			return fail()
		}
		return steady(ctx)
	}
}

func mustSupervise(t *testing.T, c Supervision) *Supervised {
	t.Helper()
	tree, err := Supervise(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestStrategiesRestartWhoTheySay(t *testing.T) {
	for strategy, want := range map[Strategy][]int{OneForOne: {1, 2, 1}, OneForAll: {2, 2, 2}, RestForOne: {1, 2, 2}} {
		synctest.Test(t, func(t *testing.T) {
			var events treeEvents
			tree := mustSupervise(t, Supervision{Strategy: strategy, Event: events.add, Children: []Child{
				{ID: "a", Run: steady}, {ID: "b", Run: failing(1, func() error { panic("boom") })}, {ID: "c", Run: steady}}})
			synctest.Wait()
			var got []int
			for _, c := range tree.Tree().Children {
				got = append(got, c.Starts)
			}
			if !slices.Equal(got, want) {
				t.Errorf("strategy %d: the starts are %v, want %v: %v", strategy, got, want, events)
			}
			if err := tree.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			if n := len(events); !slices.Equal(events[n-6:], []string{"root/c told to stop", "root/c ended", "root/b told to stop", "root/b ended",
				"root/a told to stop", "root/a ended"}) {
				t.Errorf("they are not stopped the last one first: %v", events[n-6:])
			}
		})
	}
}

func TestIntensityAndPeriodAreKept(t *testing.T) {
	for every, survives := range map[time.Duration]bool{time.Second: false, 4 * time.Second: true} {
		synctest.Test(t, func(t *testing.T) {
			failures := 0
			tree := mustSupervise(t, Supervision{Intensity: 2, Period: 5 * time.Second, Children: []Child{{ID: "a", Run: func(ctx context.Context) error {
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(every):
					failures++
					return errors.New("again")
				}
			}}}})
			time.Sleep(time.Minute)
			synctest.Wait()
			var e *EscalationError
			if err := tree.Err(); survives != (err == nil) {
				t.Errorf("a failure every %v: %v after %d", every, err, failures)
			} else if !survives && (!errors.As(err, &e) || failures != 3 || e.Restarts != 2 || e.Child != "a") {
				t.Errorf("it gave up with %v after %d", err, failures)
			}
			_ = tree.Stop(t.Context())
		})
	}
}

func TestABackoffPutsARestartOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		begin := time.Now()
		tree := mustSupervise(t, Supervision{Intensity: 10, Period: time.Hour, Backoff: Backoff{Initial: time.Second, Max: 4 * time.Second},
			Children: []Child{{ID: "a", Run: func(ctx context.Context) error {
				if at = append(at, time.Since(begin)); len(at) < 5 {
					return errors.New("no")
				}
				return steady(ctx)
			}}}})
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Equal(at, []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second, 11 * time.Second}) {
			t.Errorf("it was started at %v", at)
		}
		_ = tree.Stop(t.Context())
	})
}

func TestASupervisorThatGivesUpIsRestartedByItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events treeEvents
		below := Supervision{Intensity: 1, Children: []Child{{ID: "db", Run: steady}, {ID: "pump", Run: failing(2, func() error { panic("dry") })}}}
		tree := mustSupervise(t, Supervision{Name: "app", Event: events.add, Children: []Child{{ID: "web", Run: steady}, {ID: "store", Supervise: &below}}})
		synctest.Wait()
		top := tree.Tree()
		if store := top.Children[1]; top.Children[0].Starts != 1 || store.Starts != 2 || len(store.Children) != 2 || !store.Supervisor {
			t.Errorf("the tree is %+v", top)
		}
		var e *EscalationError
		if !errors.As(top.Children[1].Failure, &e) || e.Supervisor != "app/store" || e.Child != "pump" {
			t.Errorf("the store failed by %v", top.Children[1].Failure)
		}
		if !slices.ContainsFunc(events, func(s string) bool { return strings.HasPrefix(s, "app/store gave up: panic: dry") }) {
			t.Errorf("nobody was told: %v", events)
		}
		if err := tree.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestTheTopEndsWithTheLastFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		leaf := Supervision{Children: []Child{{ID: "leaf", Run: failing(100, func() error { return broken })}}}
		tree := mustSupervise(t, Supervision{Children: []Child{{ID: "other", Run: steady}, {ID: "below", Supervise: &leaf}}})
		if err := tree.Wait(t.Context()); !errors.Is(err, broken) || tree.Tree().State != mesos.ChildDown {
			t.Errorf("it ended with %v", err)
		}
	})
}

func TestATreeEndsWhenAllHaveDoneTheirWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := func(context.Context) error { return nil }
		tree := mustSupervise(t, Supervision{Children: []Child{{ID: "a", Restart: Transient, Run: done},
			{ID: "b", Restart: Temporary, Run: func(context.Context) error { panic(1) }}}})
		if err := tree.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAGoroutineThatIsEndedIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := mustSupervise(t, Supervision{Intensity: mesos.NoRestarts, Children: []Child{{ID: "a", Run: func(context.Context) error {
			runtime.Goexit()
			return nil
		}}}})
		var p *PanicError
		if err := tree.Wait(t.Context()); !errors.As(err, &p) {
			t.Errorf("it ended with %v", err)
		}
	})
}

// A function that does not return is waited for, and shown: it must not run twice.
func TestAFunctionThatHangsIsNotStartedBesideItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, runs := make(chan struct{}), 0
		tree := mustSupervise(t, Supervision{Strategy: OneForAll, Children: []Child{
			{ID: "hangs", Shutdown: time.Second, Run: func(ctx context.Context) error {
				if runs++; runs > 1 {
					return steady(ctx)
				}
				<-release
				return nil
			}},
			{ID: "b", Run: failing(1, func() error { panic("boom") })}}})
		time.Sleep(time.Minute)
		synctest.Wait()
		if c := tree.Tree().Children[0]; c.State != mesos.ChildKilling || runs != 1 {
			t.Errorf("it is %+v after %d runs", c, runs)
		}
		close(release)
		synctest.Wait()
		if c := tree.Tree().Children[0]; c.State != mesos.ChildRunning || runs != 2 {
			t.Errorf("it is %+v after %d runs", c, runs)
		}
		_ = tree.Stop(t.Context())
	})
}

func TestATreeThatMakesNoSenseIsRefused(t *testing.T) {
	for name, c := range map[string]Supervision{
		"nothing to run":   {Children: []Child{{ID: "a"}}},
		"two of a name":    {Children: []Child{{ID: "a", Run: steady}, {ID: "a", Run: steady}}},
		"no name":          {Children: []Child{{Run: steady}}},
		"the same, below":  {Children: []Child{{ID: "a", Supervise: &Supervision{Children: []Child{{ID: "b"}}}}}},
		"negative backoff": {Backoff: Backoff{Initial: -1}},
	} {
		if _, err := Supervise(t.Context(), c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
