package recipes

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/synod-go/synod/api"
)

// waiting starts n contenders, one after the other, each of a session of its own.
func waiting(t *testing.T, w *world, path string, n int) (sessions []*member, calls []<-chan acquired) {
	for range n {
		s := w.session()
		sessions, calls = append(sessions, s), append(calls, locking(t.Context(), s, path))
		synctest.Wait()
	}
	return sessions, calls
}

func endAll(sessions []*member) {
	for _, s := range sessions {
		s.end()
	}
	synctest.Wait()
}

func TestALockGoesToThoseWhoWaitInTheOrderOfArrivalAndItsTokenGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		sessions, calls := waiting(t, w, "a/b", 5)
		last := uint64(0)
		for i, call := range calls {
			synctest.Wait()
			got := <-call
			if got.err != nil || got.held.Token() <= last {
				t.Fatalf("contender %d: token %v after %d, %v", i, got.held, last, got.err)
			}
			last = got.held.Token()
			for j, other := range calls[i+1:] {
				if len(other) > 0 {
					t.Fatalf("contender %d holds the lock together with %d", i+1+j, i)
				}
			}
			mustRelease(t, got.held)
			if !closed(got.held.Lost()) || !errors.Is(got.held.Err(), ErrReleased) {
				t.Fatalf("a released lock is not lost: %v", got.held.Err())
			}
		}
		if len(w.keys) > 1 || w.keys["a"] == nil { // a is no queue's path
			t.Errorf("%v is left of a lock that nobody holds", w.keys)
		}
		endAll(sessions)
	})
}

func TestAReleaseWakesOneWaiterAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		sessions, calls := waiting(t, w, "a", 50)
		before := w.lists
		for i := range 10 {
			mustRelease(t, (<-calls[i]).held)
			synctest.Wait()
		}
		if looked := w.lists - before; looked != 10 {
			t.Errorf("10 releases made the 40 who wait look %d times, want 10", looked)
		}
		endAll(sessions)
	})
}

func TestWhoStandsBehindOneThatGivesUpWaitsForTheHolderStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b, c := w.session(), w.session(), w.session()
		held := mustLock(t, a, "x")
		ctx, giveUp := context.WithCancelCause(t.Context())
		second := locking(ctx, b, "x")
		synctest.Wait()
		third := locking(t.Context(), c, "x")
		synctest.Wait()
		why := errors.New("no patience")
		giveUp(why)
		if got := <-second; !errors.Is(got.err, why) {
			t.Errorf("who gave up got %v", got.err)
		}
		synctest.Wait()
		if len(w.queue("x")) != 2 || len(third) > 0 || closed(held.Lost()) {
			t.Fatalf("queue %q, third let in: %v", w.queue("x"), len(third) > 0)
		}
		mustRelease(t, held)
		if got := <-third; got.err != nil {
			t.Error(got.err)
		}
		endAll([]*member{a, b, c})
	})
}

func TestALostAnswerToACreationLeavesOneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		lost := 0
		w.failing(func(op, path string) fault {
			if op == "create" && lost < 4 {
				lost++
				return fault{err: failure(api.CodeUnknown), done: lost%2 == 0} // not sent, and not answered
			}
			return fault{}
		})
		s := w.session()
		held := mustLock(t, s, "a")
		if q := w.queue("a"); len(q) != 1 || q[0] != held.Path() || w.keys[q[0]].created != held.Token() {
			t.Errorf("queue %q, the holder is %s %d", q, held.Path(), held.Token())
		}
		mustRelease(t, held)
		s.end()
	})
}

func TestAPlaceWhoseCreationIsUnderWayWhenTheCallerGivesUpIsGivenUpToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, hung := newWorld(), 0
		w.failing(func(op, path string) fault {
			if op == "create" && strings.HasPrefix(path, "a/") && hung == 0 {
				hung++
				return fault{hang: true, late: time.Minute}
			}
			// What is under way overtakes nothing: a repetition waits behind it.
			if op == "create" && hung == 1 {
				return fault{late: 2 * time.Minute}
			}
			return fault{}
		})
		w.keys["a"] = &key{}
		s := w.session()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := lock(ctx, s, "a", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		if took := time.Since(start); took > time.Second+abandonWait {
			t.Errorf("giving up took %v", took)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if w.made != 1 || len(w.queue("a")) != 0 {
			t.Errorf("%d places made, left: %q", w.made, w.queue("a"))
		}
		s.end()
	})
}

func TestAPlaceThatMayHaveBeenMadeIsGivenUpWhateverIsAnsweredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := newWorld(), 0
		w.keys["a"] = &key{}
		heals := time.Now().Add(time.Minute)
		w.failing(func(op, path string) fault {
			if n++; op == "create" && n == 1 {
				return fault{err: failure(api.CodeUnknown), done: true}
			} else if time.Now().Before(heals) {
				return fault{err: failure(api.CodeNoLeader)}
			}
			return fault{}
		})
		s := w.session()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := lock(ctx, s, "a", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if q := w.queue("a"); w.made != 1 || len(q) != 0 {
			t.Errorf("%d places made, left: %q", w.made, q)
		}
		s.end()
	})
}

func TestWhoseKeyIsDeletedIsNotTheFirstOfThoseWhoAreLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		sessions, calls := waiting(t, w, "a", 2)
		first := (<-calls[0]).held
		var second string
		for _, k := range w.queue("a") {
			if k != first.Path() {
				second = k
			}
		}
		w.failing(func(op, path string) fault {
			if op == "watch" && path == second { // the second does not hear of itself
				return fault{err: failure(api.CodeReach)}
			}
			return fault{}
		})
		w.deleteByHand(second)
		mustRelease(t, first)
		if got := <-calls[1]; !errors.Is(got.err, ErrDeleted) {
			t.Errorf("got %v, %v", got.held, got.err)
		}
		endAll(sessions)
	})
}

func TestAReleaseWhoseOutcomeIsUnknownGoesOnByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.session()
		held := mustLock(t, s, "a")
		heals := time.Now().Add(time.Minute)
		w.failing(func(op, path string) fault {
			if op == "delete" && time.Now().Before(heals) {
				return fault{err: failure(api.CodeUnknown)}
			}
			return fault{}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := held.Release(ctx); !errors.Is(err, context.DeadlineExceeded) || !closed(held.Lost()) {
			t.Errorf("released: %v", err)
		}
		if len(w.queue("a")) != 1 {
			t.Fatal("void: the key is gone at once")
		}
		time.Sleep(2 * time.Minute)
		if len(w.queue("a")) != 0 {
			t.Error("the key is there for ever")
		}
		s.end()
	})
}

func TestAnOperationThatIsOverWithTheSessionIsNotRepeatedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.session()
		held := mustLock(t, s, "a")
		w.failing(func(op, path string) fault { return fault{err: failure(api.CodeNoLeader)} })
		released := make(chan error, 1)
		go func() { released <- held.Release(t.Context()) }()
		entering := locking(t.Context(), s, "a")
		time.Sleep(time.Minute)
		if len(released)+len(entering) > 0 {
			t.Fatal("void: nothing waits")
		}
		s.end()
		if err := <-released; err != nil {
			t.Errorf("the release of a lock that is void: %v", err)
		}
		if got := <-entering; api.CodeOf(got.err) != api.CodeSession {
			t.Errorf("locking without a session: %v", got.err)
		}
	})
}

func TestAnExpiredRequestIdIsNoReasonToForgetAPlace(t *testing.T) {
	for _, made := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w, n := newWorld(), 0
			w.keys["a"] = &key{}
			w.failing(func(op, path string) fault {
				if n++; op == "create" && n == 1 {
					return fault{err: failure(api.CodeUnknown), done: made}
				} else if op == "create" {
					return fault{err: failure(api.CodeExpired)}
				}
				return fault{}
			})
			s := w.session()
			held, err := lock(t.Context(), s, "a", nil)
			if made && (err != nil || held.Token() != w.index) || !made && api.CodeOf(err) != api.CodeExpired {
				t.Errorf("made %v: %v, %v", made, held, err)
			}
			s.end()
		})
	}
}

func TestAHolderWhoseKeyIsDeletedByHandHasLostTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		sessions, calls := waiting(t, w, "a", 3)
		first := (<-calls[0]).held
		queue := w.queue("a")
		third := slices.DeleteFunc(slices.Clone(queue), func(k string) bool { return w.keys[k].owner != sessions[2] })[0]
		w.deleteByHand(third)
		if got := <-calls[2]; !errors.Is(got.err, ErrDeleted) {
			t.Errorf("who waits in vain got %v", got.err)
		}
		w.deleteByHand(first.Path())
		<-first.Lost()
		if !errors.Is(first.Err(), ErrDeleted) {
			t.Error(first.Err())
		}
		second := (<-calls[1]).held
		w.deleteByHand("a") // with all that is below
		<-second.Lost()
		if again := mustLock(t, sessions[0], "a"); again.Token() <= second.Token() {
			t.Errorf("token %d after %d in a path that was deleted and came again", again.Token(), second.Token())
		}
		if err := first.Release(t.Context()); err != nil {
			t.Errorf("release of what was lost: %v", err)
		}
		endAll(sessions)
	})
}

func TestADeletionThatTheHistoryDoesNotShowIsFoundAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		sessions, calls := waiting(t, w, "a", 2)
		first := (<-calls[0]).held
		var cut atomic.Bool
		cut.Store(true)
		w.failing(func(op, path string) fault {
			if op == "watch" && cut.Load() {
				return fault{err: failure(api.CodeReach)}
			}
			return fault{}
		})
		w.forget()
		w.mu.Lock()
		w.index++
		w.wake() // all watches break
		w.mu.Unlock()
		time.Sleep(time.Minute)
		if closed(first.Lost()) || len(calls[1]) > 0 {
			t.Fatal("a lost connection ended a lock")
		}
		w.deleteByHand(first.Path())
		w.forget()
		cut.Store(false)
		<-first.Lost()
		if got := <-calls[1]; got.err != nil {
			t.Error(got.err)
		}
		endAll(sessions)
	})
}

func TestAHolderHasLostTheLockWhenItsSessionHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		sessions, calls := waiting(t, w, "a", 3)
		held := (<-calls[0]).held
		close(sessions[0].lost) // the client gives up; the cluster has not ended it yet
		synctest.Wait()
		if !closed(held.Lost()) || api.CodeOf(held.Err()) != api.CodeSession {
			t.Errorf("the holder of a lost session: %v", held.Err())
		}
		if len(calls[1]) > 0 {
			t.Error("another holds the lock before the session is over in the cluster")
		}
		sessions[1].end()
		if got := <-calls[1]; api.CodeOf(got.err) != api.CodeSession {
			t.Errorf("who waited in a lost session got %v", got.err)
		}
		sessions[0].expire()
		if got := <-calls[2]; got.err != nil {
			t.Error(got.err)
		}
		endAll(sessions)
	})
}

func TestTryLockDoesNotDisturbTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.session(), w.session()
		held, err := tryLock(t.Context(), a, "x", nil)
		if held == nil || err != nil {
			t.Fatal(held, err)
		}
		made := w.made
		for _, s := range []*member{a, b} {
			if second, err := tryLock(t.Context(), s, "x", nil); second != nil || err != nil {
				t.Errorf("the lock that is held: %v, %v", second, err)
			}
		}
		if w.made != made {
			t.Error("in vain it made a key")
		}
		mustRelease(t, held)
		// Another comes between the look and the key.
		var rival *Held
		w.failing(func(op, path string) fault {
			if op == "create" && rival == nil {
				w.fault = nil
				return fault{before: func() { rival = mustLock(t, a, "x") }}
			}
			return fault{}
		})
		if second, err := tryLock(t.Context(), b, "x", nil); second != nil || err != nil {
			t.Errorf("the lock that another has taken: %v, %v", second, err)
		}
		if q := w.queue("x"); len(q) != 1 || q[0] != rival.Path() || closed(rival.Lost()) {
			t.Errorf("queue %q, want the rival's %s alone", q, rival.Path())
		}
		endAll([]*member{a, b})
	})
}

func TestWhatIsNoPlaceDoesNotStandInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for _, name := range []string{"a/0000000001", "a/readme", "a/" + api.NewRequestID().String() + "x"} {
			if _, err := w.Create(t.Context(), name, nil, api.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		s := w.session()
		if held, err := tryLock(t.Context(), s, "a", nil); held == nil || err != nil {
			t.Error(held, err)
		}
		s.end()
	})
}

func TestAQueueOfManyPagesIsReadWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.page = 2
		sessions, calls := waiting(t, w, "a", 7)
		mustRelease(t, (<-calls[0]).held)
		synctest.Wait()
		for i, call := range calls[1:] {
			if let := len(call) > 0; let != (i == 0) {
				t.Errorf("contender %d let in: %v", i+1, let)
			}
		}
		endAll(sessions)
	})
}

func TestBadInputIsRefused(t *testing.T) {
	w := newWorld()
	s := w.session()
	for _, path := range []string{"", "/"} {
		_, err := lock(t.Context(), s, path, nil)
		_, tried := tryLock(t.Context(), s, path, nil)
		_, met := meet(t.Context(), s, path, 2)
		observed := observe(t.Context(), w, path, nil)
		awaited := awaitBarrier(t.Context(), w, path)
		for _, err := range []error{err, tried, met, observed, awaited} {
			if api.CodeOf(err) != api.CodeRequest {
				t.Errorf("path %q: %v", path, err)
			}
		}
	}
	if _, err := lock(t.Context(), s, "a", make([]byte, MaxValue+1)); api.CodeOf(err) != api.CodeTooLarge {
		t.Errorf("a long value: %v", err)
	}
	for _, count := range []int{-1, 0, MaxRendezvous + 1} {
		if _, err := meet(t.Context(), s, "a", count); api.CodeOf(err) != api.CodeRequest {
			t.Errorf("%d meet: %v", count, err)
		}
	}
	w.failing(func(op, path string) fault { return fault{err: failure(api.CodeDenied)} })
	if _, err := lock(t.Context(), s, "a", nil); api.CodeOf(err) != api.CodeDenied {
		t.Errorf("what does not pass: %v", err)
	}
	if len(w.keys) > 0 {
		t.Errorf("%v was made", w.keys)
	}
}
