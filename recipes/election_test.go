package recipes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/synod-go/synod/api"
)

// telling collects what an observer is told, as lines.
type telling struct {
	told  chan string
	ended chan error
	stop  context.CancelFunc
}

func observing(t *testing.T, w *world, path string) *telling {
	ctx, cancel := context.WithCancel(t.Context())
	o := &telling{make(chan string, 1000), make(chan error, 1), cancel}
	go func() {
		o.ended <- observe(ctx, w, path, func(l Leader) error {
			o.told <- fmt.Sprintf("%s %v", l.Value, l.Token > 0)
			return nil
		})
	}()
	synctest.Wait()
	return o
}

func groupOf(ctx context.Context, f func(context.Context, func([]Member) error) error) *telling {
	ctx, cancel := context.WithCancel(ctx)
	o := &telling{make(chan string, 1000), make(chan error, 1), cancel}
	go func() {
		o.ended <- f(ctx, func(all []Member) error {
			var line []string
			for i, m := range all {
				text := string(m.Value)
				if m.Self {
					text += "*"
				}
				if m.Rank != i || i > 0 && m.Token <= all[i-1].Token {
					text += " out of order"
				}
				line = append(line, text)
			}
			o.told <- strings.Join(line, " ")
			return nil
		})
	}()
	return o
}

// drain returns what was told since.
func (o *telling) drain() (lines []string) {
	for {
		select {
		case line := <-o.told:
			lines = append(lines, line)
		default:
			return lines
		}
	}
}

func (o *telling) want(t *testing.T, what string, want ...string) {
	t.Helper()
	time.Sleep(time.Second)
	synctest.Wait()
	if got := o.drain(); !slices.Equal(got, want) {
		t.Errorf("%s: told %q, want %q", what, got, want)
	}
}

func mustJoin(t *testing.T, s session, path, value string) *Membership {
	t.Helper()
	m, err := join(t.Context(), s, path, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAnObserverIsToldEachLeaderOnceAndNoCandidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b, c := w.session(), w.session(), w.session()
		o := observing(t, w, "e") // there is no such path yet
		o.want(t, "in the beginning", " false")
		first, err := lock(t.Context(), a, "e", []byte("a"))
		if err != nil {
			t.Fatal(err)
		}
		o.want(t, "a leads", "a true")
		second := mustJoin(t, b, "e", "b")
		mustJoin(t, c, "e", "c")
		o.want(t, "others stand in line")
		if err := second.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		o.want(t, "one gives up")
		mustRelease(t, first)
		o.want(t, "a resigns", "c true")
		c.end()
		o.want(t, "nobody is left", " false")
		o.stop()
		if err := <-o.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
		endAll([]*member{a, b})
	})
}

func TestAnObserverGoesOnOverLostConnectionsAndALostHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.session(), w.session()
		mustJoin(t, a, "e", "a")
		mustJoin(t, b, "e", "b")
		o := observing(t, w, "e")
		o.want(t, "in the beginning", "a true")
		var cut atomic.Bool
		cut.Store(true)
		w.failing(func(op, _ string) fault {
			if cut.Load() && op != "create" {
				return fault{err: failure(api.CodeReach)}
			}
			return fault{}
		})
		a.end()
		o.want(t, "cut off")
		w.forget()
		cut.Store(false)
		o.want(t, "healed, without the history", "b true")
		o.stop()
		<-o.ended
		b.end()
	})
}

func TestWhoGoesAtTheSameIndexAsTheOneBeforeNeverLed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.session(), w.session()
		for _, value := range []string{"1", "2", "3"} {
			mustJoin(t, a, "e", value)
		}
		mustJoin(t, b, "e", "4")
		w.failing(func(op, _ string) fault {
			if op == "told" { // the observer has all the time it wants
				return fault{before: func() { time.Sleep(time.Millisecond) }}
			}
			return fault{}
		})
		o := observing(t, w, "e")
		o.want(t, "in the beginning", "1 true")
		a.end()
		o.want(t, "three go at one index", "4 true")
		mustJoin(t, b, "e", "5")
		b.end()
		o.want(t, "all go, and the path with them", " false")
		o.stop()
		<-o.ended
	})
}

func TestAnIndexOfWhichOnlyAPartHasComeIsForgottenWhenTheQueueIsListedAnew(t *testing.T) {
	b := &board{path: "e", changed: make(chan struct{}, 1)}
	b.set(nil)
	b.apply(api.Change{Kind: "created", Path: "e/" + api.NewRequestID().String(), Index: 1, More: true})
	b.set(nil) // it has gone
	b.apply(api.Change{Kind: "deleted", Path: "e", Index: 3})
	if list := b.list(); len(list) > 0 {
		t.Errorf("the queue is %v, want nobody", list)
	}
}

func TestWhatAnObserverReturnsEndsTheObserving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, enough := newWorld(), errors.New("enough")
		if err := observe(t.Context(), w, "e", func(Leader) error { return enough }); err != enough {
			t.Errorf("got %v", err)
		}
		w.failing(func(op, _ string) fault { return fault{err: failure(api.CodeReach)} })
		if err := observe(t.Context(), w, "e", nil); api.CodeOf(err) != api.CodeReach {
			t.Errorf("no node answers: %v", err)
		}
	})
}

func TestRanksAreTheOrderOfJoiningAndMoveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.page = 2
		var sessions []*member
		var all []*Membership
		for i := range 5 {
			sessions = append(sessions, w.session())
			all = append(all, mustJoin(t, sessions[i], "g", fmt.Sprint(i)))
		}
		self := groupOf(t.Context(), all[2].Watch)
		stranger := groupOf(t.Context(), func(ctx context.Context, f func([]Member) error) error { return members(ctx, w, "g", "", f) })
		self.want(t, "in the beginning", "0 1 2* 3 4")
		if err := all[1].Leave(t.Context()); err != nil || !closed(all[1].Lost()) || !errors.Is(all[1].Err(), ErrReleased) {
			t.Error(err, all[1].Err())
		}
		self.want(t, "1 left", "0 2* 3 4")
		mustJoin(t, sessions[1], "g", "1")
		sessions[0].end()
		self.want(t, "1 came again, 0 died", "2* 3 4 1")
		stranger.want(t, "a stranger", "0 1 2 3 4", "0 2 3 4", "2 3 4 1")
		w.deleteByHand(all[2].Path())
		if err := <-self.ended; !errors.Is(err, ErrDeleted) {
			t.Errorf("who is no member any more got %v", err)
		}
		stranger.stop()
		<-stranger.ended
		endAll(sessions)
	})
}

func TestWhoLeavesWhileAGroupIsReadIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, lists := newWorld(), 0
		w.page = 2
		s := w.session()
		for range 4 {
			mustJoin(t, s, "g", "x")
		}
		w.failing(func(op, _ string) fault {
			if op == "list" {
				lists++
			}
			if op == "list" && lists == 2 { // between the pages, one of the first goes
				return fault{before: func() { w.deleteByHand(w.queue("g")[0]) }}
			}
			return fault{}
		})
		o := groupOf(t.Context(), func(ctx context.Context, f func([]Member) error) error { return members(ctx, w, "g", "", f) })
		o.want(t, "read in two pages", "x x x x", "x x x")
		o.stop()
		<-o.ended
		s.end()
	})
}

func TestABurstOfChangesIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.session()
		var all []*Membership
		for i := range 100 {
			all = append(all, mustJoin(t, s, "g", fmt.Sprint(i)))
		}
		o := groupOf(t.Context(), func(ctx context.Context, f func([]Member) error) error { return members(ctx, w, "g", "", f) })
		synctest.Wait()
		if lines := o.drain(); len(lines) != 1 || len(strings.Fields(lines[0])) != 100 {
			t.Fatalf("void: told %q", lines)
		}
		for _, m := range all[:50] { // one after the other
			if err := m.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(burst / 100)
		}
		time.Sleep(time.Second)
		if lines := o.drain(); len(lines) != 1 || len(strings.Fields(lines[0])) != 50 {
			t.Errorf("50 left within %v: told %q", burst/2, lines)
		}
		s.end() // the others, at one index
		o.want(t, "all have gone", "")
		o.stop()
		<-o.ended
	})
}

func TestABarrierHoldsBackUntilItIsLifted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		if err := awaitBarrier(t.Context(), w, "b"); err != nil {
			t.Fatalf("there is no barrier: %v", err)
		}
		raise := func() {
			if _, err := w.Create(t.Context(), "b", nil, api.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		raise()
		passed := make(chan error, 1)
		var cut atomic.Bool
		w.failing(func(op, _ string) fault {
			if cut.Load() {
				return fault{err: failure(api.CodeNoLeader)}
			}
			return fault{}
		})
		go func() { passed <- awaitBarrier(t.Context(), w, "b") }()
		time.Sleep(time.Hour)
		if len(passed) > 0 {
			t.Fatal("passed a barrier")
		}
		cut.Store(true)
		w.deleteByHand("b")
		time.Sleep(time.Minute)
		cut.Store(false)
		raise() // at once: who was waiting passes
		if err := <-passed; err != nil {
			t.Error(err)
		}
	})
}
