package sessions

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/messages"
)

const s = time.Second

// inTown runs a test in virtual time, with three nodes that the first one leads.
func inTown(t *testing.T, adapt func(*Config), f func(t *testing.T, w *town)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, 3, adapt)
		w.lead(0, 1, 0, 1, 2)
		f(t, w)
	})
}

// touch is one sign of life at a node, which must be answered within a second.
func (w *town) touch(node int, id, connection uint64) coordination.Sign {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), s)
	defer cancel()
	sign, err := w.homes[node].keeper.Touch(ctx, id, connection)
	if err != nil {
		w.t.Fatalf("node %d, session %d: %v", node+1, id, err)
	}
	return sign
}

func TestASignAtAnyNodeIsAnsweredByTheLeader(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		id := w.open(10*s, s)
		for node, connection := range []uint64{2, 3, 4} {
			if sign := w.touch(node, id, connection); sign != coordination.Alive {
				t.Fatalf("node %d: %v", node+1, sign)
			}
		}
		if sign := w.touch(1, id, 3); sign != coordination.Moved {
			t.Fatalf("an older connection: %v", sign)
		}
		if sign := w.touch(1, 99, 3); sign != coordination.Over {
			t.Fatalf("no session: %v", sign)
		}
		w.locked(func() { delete(w.sessions, id) }) // it was closed
		if sign := w.touch(2, id, 9); sign != coordination.Over {
			t.Fatalf("a closed session: %v", sign)
		}
	})
}

func TestWhoIsSilentEndsInTimeAndWhoShowsItselfDoesNot(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		silent, alive := w.open(10*s, s), w.open(10*s, s)
		stop := w.shows(alive, 3*s, 0, 1, 2)
		time.Sleep(60 * s)
		stop()
		if at := w.ended(silent); at < 10*s || at > 11*s {
			t.Fatalf("the silent session of 10 s ended at %v", at)
		}
		if !w.isOpen(alive) {
			t.Fatalf("the other one ended at %v", w.ended(alive))
		}
		time.Sleep(12 * s)
		if w.isOpen(alive) {
			t.Fatal("it lives on without a sign of life")
		}
	})
}

func TestAClosedConnectionEndsTheSessionAfterItsLinger(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		dead, moved := w.open(10*s, s), w.open(10*s, s)
		w.touch(1, dead, 1)
		w.touch(1, moved, 1)
		w.touch(2, moved, 2)
		w.homes[1].keeper.Gone(dead, 1)
		w.homes[1].keeper.Gone(moved, 1)
		time.Sleep(1100 * time.Millisecond)
		if w.isOpen(dead) || !w.isOpen(moved) {
			t.Fatalf("open: %v and %v, want the second alone", w.isOpen(dead), w.isOpen(moved))
		}
	})
}

func TestANewLeaderKnowsWhichConnectionIsTheLast(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		dead, moved, unbound := w.open(10*s, s), w.open(10*s, s), w.open(10*s, s)
		w.touch(1, dead, 2)
		w.touch(1, moved, 1)
		w.touch(2, moved, 2)
		w.touch(1, unbound, 0)
		w.lead(1, 2, 0, 1, 2)
		w.homes[1].keeper.Gone(dead, 2)
		w.homes[1].keeper.Gone(moved, 1) // it comes late
		w.homes[1].keeper.Gone(unbound, 1)
		if sign, err := w.homes[1].keeper.Touch(t.Context(), moved, 1); sign != coordination.Moved || err != nil {
			t.Fatalf("a sign of the connection before the last: %v, %v", sign, err)
		}
		time.Sleep(1200 * time.Millisecond)
		if w.isOpen(dead) || !w.isOpen(moved) || !w.isOpen(unbound) {
			t.Fatalf("open: %v, %v and %v, want the last two alone", w.isOpen(dead), w.isOpen(moved), w.isOpen(unbound))
		}
	})
}

func TestAConnectionIsConfirmedOnlyWhenTheTreeKnowsIt(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		id := w.open(10*s, s)
		w.homes[0].onPropose(func(o coordination.Operation) error {
			if o.Kind == coordination.AttachSessions && w.clock()%s < s/2 {
				return errUnknown
			}
			return nil
		})
		for connection := range uint64(3) {
			time.Sleep(s - w.clock()%s) // to the next second, in which half a second is refused
			at := w.clock()
			w.touch(1, id, 2-connection)
			if took, waits := w.clock()-at, connection != 1; (took >= s/2) != waits {
				t.Fatalf("connection %d is confirmed after %v", 2-connection, took)
			}
		}
		if session := w.sessions[id]; session.Connection != 2 || !session.Unbound {
			t.Fatalf("%+v", session)
		}
	})
}

func TestOthersAreConfirmedWhenTheLogTakesNoWrites(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		known, moved := w.open(10*s, s), w.open(10*s, s)
		w.touch(1, known, 1)
		w.homes[0].onPropose(func(coordination.Operation) error { return errNotLeader }) // such as a full disk
		waits, err := w.homes[1].keeper.StartTouch(moved, 2)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			time.Sleep(s / 10)
			w.touch(1, known, 1)
			if waits.Ended() {
				t.Fatal("a connection is confirmed that the tree does not know")
			}
		}
		w.homes[0].onPropose(nil)
		ctx, cancel := context.WithTimeout(t.Context(), s)
		defer cancel()
		if sign, err := waits.Wait(ctx); sign != coordination.Alive || err != nil {
			t.Fatalf("after that: %v, %v", sign, err)
		}
	})
}

func TestANewLeaderGivesEverySessionItsFullTimeout(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		silent, alive := w.open(10*s, s), w.open(10*s, s)
		stop := w.shows(alive, 3*s, 1, 2)
		time.Sleep(9 * s)
		w.locked(func() { // it is dead
			w.homes[0].deaf, w.homes[0].unread = true, true
			w.homes[0].propose = func(coordination.Operation) error { return errNotLeader }
		})
		w.lead(1, 2, 1, 2)
		claimed := w.clock()
		time.Sleep(20 * s)
		stop()
		if at := w.ended(silent); at < claimed+10*s || at > claimed+11*s {
			t.Fatalf("the silent session ended at %v, the claim was at %v", at, claimed)
		}
		if !w.isOpen(alive) {
			t.Fatalf("a session that showed itself ended at %v", w.ended(alive))
		}
	})
}

func TestSignsUnderWayGoToTheNewLeaderAtOnce(t *testing.T) {
	inTown(t, func(c *Config) { c.RepeatAfter = time.Hour }, func(t *testing.T, w *town) {
		id := w.open(10*s, s)
		w.locked(func() { w.homes[0].deaf = true })
		answers := make(chan coordination.Sign, 1)
		go func() { sign, _ := w.homes[2].keeper.Touch(t.Context(), id, 1); answers <- sign }()
		synctest.Wait()
		if len(answers) > 0 {
			t.Fatal("answered without the leader")
		}
		w.lead(1, 2, 1, 2)
		if len(answers) == 0 || <-answers != coordination.Alive {
			t.Fatal("not answered by the new leader")
		}
	})
}

func TestAnAnswerThatWasLostIsAskedForAgain(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		id := w.open(10*s, s)
		w.locked(func() { w.homes[2].deaf = true })
		time.AfterFunc(500*time.Millisecond, func() { w.locked(func() { w.homes[2].deaf = false }) })
		sign, err := w.homes[2].keeper.Touch(t.Context(), id, 1)
		if err != nil || sign != coordination.Alive || w.homes[2].keeper.Metrics().Repeated != 1 {
			t.Fatalf("%v, %v, %+v", sign, err, w.homes[2].keeper.Metrics())
		}
	})
}

// The old leader has not heard of the new one: it can neither read nor end anything.
func TestALeaderOfThePastConfirmsNothingAndEndsNothing(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		silent := w.open(10*s, s)
		time.Sleep(s)
		w.locked(func() {
			w.homes[0].unread = true
			w.homes[0].propose = func(coordination.Operation) error { return nil } // they reach the log late
		})
		time.Sleep(8 * s)
		w.lead(1, 2, 1, 2)
		claimed := w.clock()
		ctx, cancel := context.WithTimeout(t.Context(), 3*s)
		defer cancel()
		if sign, err := w.homes[0].keeper.Touch(ctx, silent, 1); err == nil {
			t.Fatalf("the old leader confirmed: %v", sign)
		}
		time.Sleep(5 * s)
		if at := w.ended(silent); at != 0 {
			t.Fatalf("ended at %v, by the old leader: the new one has claimed at %v", at, claimed)
		}
	})
}

// It reads nothing fresh, but its own tree shows that another has claimed.
func TestALeaderThatSeesANewerClaimAnswersOnlyAfterItsOwn(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		id := w.open(10*s, s)
		time.Sleep(9 * s)
		w.locked(func() { w.index++; w.epoch = w.index })
		claims := w.homes[0].keeper.Metrics().Claims
		if sign := w.touch(2, id, 1); sign != coordination.Alive {
			t.Fatal(sign)
		}
		var epoch uint64
		w.locked(func() { epoch = w.epoch })
		if now := w.homes[0].keeper.Metrics(); now.Claims != claims+1 || now.Epoch != epoch {
			t.Fatalf("answered under epoch %d, the tree has %d", now.Epoch, epoch)
		}
	})
}

func TestManySessionsEndInSmallOperationsOneAfterTheOther(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		w.homes[0].onPropose(func(coordination.Operation) error { time.Sleep(10 * time.Millisecond); return nil })
		for range 3000 {
			w.open(10*s, s)
		}
		big := w.open(10*s, s)
		w.locked(func() { x := w.sessions[big]; x.Ephemerals = 100_000; w.sessions[big] = x })
		time.Sleep(13 * s)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.sessions) > 0 || w.most != 1 {
			t.Fatalf("%d sessions are left, %d expiries were under way at once", len(w.sessions), w.most)
		}
		for _, ids := range w.expiries {
			if len(ids) > 256 || slices.Contains(ids, big) && len(ids) > 1 {
				t.Fatalf("%d sessions in one operation", len(ids))
			}
		}
	})
}

func TestSessionsThatAreTooManyForOneExpiryEndInTheNext(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		w.locked(func() { w.fits = 3 })
		for range 10 {
			w.open(2*s, s)
		}
		time.Sleep(4 * s)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.sessions) > 0 || len(w.expiries) != 4 {
			t.Fatalf("%d sessions are left after %d expiries", len(w.sessions), len(w.expiries))
		}
	})
}

func TestAnExpiryOfUnknownOutcomeIsProposedAgain(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		id := w.open(2*s, s)
		tries := 0
		w.homes[0].onPropose(func(o coordination.Operation) error {
			if o.Kind == coordination.ExpireSessions && tries < 2 {
				tries++
				return errUnknown
			}
			return nil
		})
		time.Sleep(4 * s)
		if w.isOpen(id) || w.homes[0].keeper.Metrics().Expired != 1 {
			t.Fatalf("open %v, %+v", w.isOpen(id), w.homes[0].keeper.Metrics())
		}
	})
}

func TestASessionWhoseExpiryWasSurelyNotDoneMayLiveOn(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		wakes, sleeps := w.open(2*s, s), w.open(2*s, s)
		failed := make(chan struct{}, 100)
		w.homes[0].onPropose(func(o coordination.Operation) error {
			if o.Kind == coordination.ExpireSessions && w.clock() < 4*s {
				failed <- struct{}{}
				return errors.New("overloaded")
			}
			return nil
		})
		<-failed
		synctest.Wait()
		if sign := w.touch(2, wakes, 1); sign != coordination.Alive {
			t.Fatal(sign)
		}
		stop := w.shows(wakes, s, 2)
		time.Sleep(5 * s)
		stop()
		if !w.isOpen(wakes) || w.isOpen(sleeps) {
			t.Fatalf("open: %v and %v, want the first alone", w.isOpen(wakes), w.isOpen(sleeps))
		}
	})
}

func TestSessionsThatWereClosedAreNotTrackedForTheirTimeout(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		alive := w.open(time.Hour, time.Hour)
		for range 12 {
			for range pageSessions {
				w.open(time.Hour, time.Hour)
			}
			time.Sleep(s) // the leader has looked
			w.locked(func() { w.sessions = map[uint64]coordination.SessionInfo{alive: w.sessions[alive]} })
		}
		if n := w.homes[0].keeper.Metrics().Sessions; n > 5*pageSessions {
			t.Fatalf("%d sessions are tracked, one is open", n)
		}
		if sign := w.touch(1, alive, 1); sign != coordination.Alive {
			t.Fatalf("the open one: %v", sign)
		}
	})
}

func TestAClaimIsTriedAgainAsLongAsTheNodeLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, 1, nil)
		w.homes[0].onPropose(func(o coordination.Operation) error {
			if w.clock() < 5*s {
				return errors.New("overloaded")
			}
			return nil
		})
		id := w.open(10*s, s)
		w.lead(0, 1, 0)
		sign, err := w.homes[0].keeper.Touch(t.Context(), id, 1)
		if at := w.clock(); err != nil || sign != coordination.Alive || at < 5*s || at > 7*s {
			t.Fatalf("%v, %v at %v", sign, err, at)
		}
	})
}

func TestNodesAreReapedWhenTheirTTLHasPassed(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		w.locked(func() { w.ttl = 20_000 })
		time.Sleep(19 * s)
		if w.homes[0].keeper.Metrics().Reaped > 0 {
			t.Fatal("reaped too early")
		}
		time.Sleep(2 * s)
		if n := w.homes[0].keeper.Metrics().Reaped; n != 1 {
			t.Fatalf("reaped %d", n)
		}
	})
}

func TestSignsThatNobodyWaitsForDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, 1, func(c *Config) { c.MaxWaiting = 10 }) // nobody leads
		touch := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), s/2)
			defer cancel()
			_, err := w.homes[0].keeper.Touch(ctx, 1, 1)
			return err
		}
		for range 10 {
			go touch()
		}
		synctest.Wait()
		if err := touch(); !errors.Is(err, ErrOverloaded) {
			t.Fatalf("the eleventh: %v", err)
		}
		time.Sleep(3 * s)
		if n := w.homes[0].keeper.Metrics().Waiting; n > 10 {
			t.Fatalf("%d wait", n)
		}
		w.lead(0, 1, 0)
		if n := w.homes[0].keeper.Metrics().Waiting; n != 0 {
			t.Fatalf("%d wait for nobody", n)
		}
	})
}

func TestAKeeperThatPanicsGoesOn(t *testing.T) {
	for _, broken := range []int{0, 2} { // the leader's, and another
		inTown(t, nil, func(t *testing.T, w *town) {
			id := w.open(10*s, s)
			stop := w.shows(id, s, 2)
			for range 5 {
				time.Sleep(7 * s)
				w.homes[broken].keeper.tell(task(func() { panic("planted") }))
			}
			stop()
			if !w.isOpen(id) {
				t.Fatalf("node %d broken: ended at %v", broken+1, w.ended(id))
			}
		})
	}
}

func TestTheEndOfANodeEndsWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, 1, nil)
		k := w.homes[0].keeper
		done := make(chan error, 1)
		go func() { _, err := k.Touch(context.Background(), 1, 1); done <- err }()
		synctest.Wait()
		_ = k.system.Root.StopFuture(k.PID()).Wait()
		if err := <-done; !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
		if _, err := k.Touch(context.Background(), 1, 1); !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
	})
}

func TestMalformedRoundsAreIgnored(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		id := w.open(10*s, s)
		for _, m := range []*messages.SignsOfLife{
			{},
			{From: 3, Group: 6, Round: 1, Sessions: []uint64{id}, Connections: []uint64{7}},
			{From: 3, Group: 5, Round: 1, Sessions: []uint64{id}},
			{From: 3, Group: 5, Round: 1, Connections: []uint64{7}},
			{From: 3, Group: 5, Round: 1, Sessions: make([]uint64, maxRoundSigns+1), Connections: make([]uint64, maxRoundSigns+1)},
			{From: 2, Group: 5, Round: 1, Sessions: []uint64{0}, Connections: []uint64{7}, Gone: []uint32{9, 0, 9}},
		} {
			w.homes[0].keeper.tell(m)
		}
		w.homes[2].keeper.tell(&messages.SignsAnswered{From: 2, Group: 5, Round: 1, Over: []uint32{0, 77}})
		if sign := w.touch(2, id, 6); sign != coordination.Alive {
			t.Fatal(sign)
		}
		if w.homes[0].keeper.Metrics().Claims != 1 {
			t.Fatal("the keeper has begun again")
		}
	})
}

func TestTheAnswerToAnEarlierRoundCountsForNothing(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		w.answersTheLastRoundAgain(func() {})
	})
}

func TestTheAnswerToARoundOfBeforeTheNodeBeganAgainCountsForNothing(t *testing.T) {
	inTown(t, nil, func(t *testing.T, w *town) {
		time.Sleep(s)
		w.answersTheLastRoundAgain(func() {
			w.homes[2].begin()
			time.Sleep(s)
		})
	})
}

// answersTheLastRoundAgain lets the answer to a round of the third node come late: what happens
// meanwhile is for the caller to say.
func (w *town) answersTheLastRoundAgain(meanwhile func()) {
	w.t.Helper()
	id := w.open(10*s, s)
	w.touch(2, id, 1)
	late := &messages.SignsAnswered{From: 1, Group: 5, Round: w.homes[2].keeper.gather.round}
	meanwhile()
	w.locked(func() { w.homes[0].deaf = true })
	answers := make(chan coordination.Sign, 1)
	go func() { sign, _ := w.homes[2].keeper.Touch(w.t.Context(), id, 1); answers <- sign }()
	synctest.Wait()
	w.homes[2].keeper.tell(late)
	synctest.Wait()
	if len(answers) > 0 {
		w.t.Fatalf("round %d was answered by the answer to round %d: %v", w.homes[2].keeper.gather.round, late.Round, <-answers)
	}
	w.locked(func() { w.homes[0].deaf = false })
	if sign := <-answers; sign != coordination.Alive {
		w.t.Fatal(sign)
	}
}
