package recipes

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/synod-go/synod/api"
)

type met struct {
	r   *Rendezvous
	err error
}

func meeting(ctx context.Context, s session, count int) <-chan met {
	c := make(chan met, 1)
	go func() {
		r, err := meet(ctx, s, "r", count)
		c <- met{r, err}
	}()
	time.Sleep(time.Second)
	return c
}

func leaving(ctx context.Context, r *Rendezvous) <-chan error {
	c := make(chan error, 1)
	go func() { c <- r.Leave(ctx) }()
	time.Sleep(time.Second)
	return c
}

func TestAllBeginTogetherAndEndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var sessions []*member
		var calls []<-chan met
		for i := range 3 {
			for j, c := range calls {
				if len(c) > 0 {
					t.Fatalf("number %d begins when %d are there", j, i)
				}
			}
			sessions = append(sessions, w.session())
			calls = append(calls, meeting(t.Context(), sessions[i], 3))
		}
		var left []<-chan error
		for i, c := range calls {
			got := <-c
			if got.err != nil {
				t.Fatal(got.err)
			}
			for j, l := range left {
				if len(l) > 0 {
					t.Fatalf("number %d has left before number %d", j, i)
				}
			}
			left = append(left, leaving(t.Context(), got.r))
		}
		for _, l := range left {
			if err := <-l; err != nil {
				t.Error(err)
			}
		}
		if len(w.keys) > 0 {
			t.Errorf("left: %v", w.keys)
		}
		endAll(sessions)
	})
}

func TestWhoCannotBeginWaitsForTheNextRoundUntilAllHaveLeftThisOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var sessions []*member
		var calls []<-chan met
		for i := range 5 {
			sessions = append(sessions, w.session())
			calls = append(calls, meeting(t.Context(), sessions[i], 2))
		}
		first, second := (<-calls[0]).r, (<-calls[1]).r
		if len(calls[2])+len(calls[3])+len(calls[4]) > 0 {
			t.Fatal("more than two begin together")
		}
		leave := leaving(t.Context(), first)
		if len(leave) > 0 || len(calls[2]) > 0 {
			t.Fatal("a round is over, or the next one begins, before all have left")
		}
		sessions[1].end() // second is gone without leaving
		if err := <-leave; err != nil {
			t.Error(err)
		}
		if err := second.Leave(t.Context()); api.CodeOf(err) != api.CodeSession {
			t.Errorf("leaving without a session: %v", err)
		}
		for _, c := range calls[2:4] {
			if got := <-c; got.err != nil {
				t.Error(got.err)
			}
		}
		synctest.Wait()
		if len(calls[4]) > 0 {
			t.Error("more than two begin together")
		}
		sessions[2].end() // the whole round is gone without leaving
		sessions[3].end()
		sixth := w.session()
		last := meeting(t.Context(), sixth, 2)
		if got := <-calls[4]; got.err != nil {
			t.Error(got.err)
		}
		if got := <-last; got.err != nil {
			t.Error(got.err)
		}
		endAll(append(sessions, sixth))
	})
}

func TestWhoIsGoneBeforeTheStartDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b, c := w.session(), w.session(), w.session()
		one := meeting(t.Context(), a, 2)
		a.end()
		if got := <-one; api.CodeOf(got.err) != api.CodeSession {
			t.Error(got.err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		two := meeting(ctx, b, 2)
		if got := <-two; !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("one alone: %v", got.err)
		}
		three := meeting(t.Context(), c, 2)
		if len(three) > 0 {
			t.Error("those who have gone count")
		}
		// One is there when the start is decided, and gone when it is done.
		d := w.session()
		w.failing(func(op, _ string) fault {
			if op == "commit" {
				w.fault = nil
				return fault{before: c.end}
			}
			return fault{}
		})
		four := meeting(t.Context(), d, 2)
		if len(four) > 0 {
			t.Error("one begins with another that was gone before the start")
		}
		if got := <-three; api.CodeOf(got.err) != api.CodeSession {
			t.Error(got.err)
		}
		five := meeting(t.Context(), b, 2)
		for _, c := range []<-chan met{four, five} {
			if got := <-c; got.err != nil {
				t.Error(got.err)
			}
		}
		endAll([]*member{a, b, c, d})
	})
}

func TestAStartWhoseOutcomeIsUnknownIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := newWorld(), 0
		a, b := w.session(), w.session()
		w.failing(func(op, _ string) fault {
			if n++; op == "commit" && n%3 > 0 {
				return fault{err: failure(api.CodeUnknown), done: n%3 == 2}
			}
			return fault{}
		})
		one, two := meeting(t.Context(), a, 2), meeting(t.Context(), b, 2)
		first, second := <-one, <-two
		if first.err != nil || second.err != nil || first.r.created != second.r.created {
			t.Error(first, second)
		}
		endAll([]*member{a, b})
	})
}

func TestWhoEndsARoundLateDoesNotEndTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.session()
		r, err := meet(t.Context(), s, "r", 1)
		if err != nil {
			t.Fatal(err)
		}
		w.failing(func(op, _ string) fault {
			if op != "commit" {
				return fault{}
			}
			w.fault = nil
			return fault{before: func() { // another has ended it, and a new one has begun
				w.deleteByHand("r/round")
				if _, err := w.Create(t.Context(), "r/round", []byte("next"), api.CreateOptions{}); err != nil {
					t.Error(err)
				}
			}}
		})
		if err := r.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		if k := w.keys["r/round"]; k == nil || string(k.value) != "next" {
			t.Error("the next round is ended")
		}
		s.end()
	})
}
