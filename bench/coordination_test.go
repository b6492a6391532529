package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// coordMade is a run of one second, half a second of the servers' CPU and two of
// the clients'.
func coordMade(service string, round int, operations int64) coordRun {
	return coordRun{coordCell: coordCell{setOperation, 1, 16}, Service: service, Round: round,
		Result: &loadResult{Operations: operations, Seconds: 1, P50Micros: 1000, P99Micros: 2000, CPUSeconds: []float64{0.25, 0.125, 0.125, 2}}}
}

func TestServicesAreComparedRoundByRound(t *testing.T) {
	runs := []coordRun{
		coordMade("synod", 1, 300), coordMade(theirs, 1, 100),
		coordMade("synod", 2, 20), coordMade(theirs, 2, 10), // the machine was slow
		coordMade("synod", 3, 500), coordMade(theirs, 3, 100),
	}
	rate, cpu := coordRatios(good(runs, runs[0].coordCell, "synod"), good(runs, runs[0].coordCell, theirs))
	if rate != 3 || int(1000*cpu) != 333 {
		t.Errorf("ours has %v of their rate and %v of their CPU, want 3 and a third", rate, cpu)
	}
	if got, want := runs[0].serverMicros(), 0.5e6/300; got != want {
		t.Errorf("a call costs the servers %v µs, want %v: the clients' time does not count", got, want)
	}
}

func TestAVoidComparisonCountsForNothingButIsShown(t *testing.T) {
	bad := coordMade("synod", 2, 1_000_000)
	bad.Error = "lost its leader"
	var out strings.Builder
	writeCoordTables(&out, &coordReport{
		Runs:      []coordRun{coordMade("synod", 1, 300), bad},
		TakeOvers: []takeOver{{Service: theirs, New: 2000, Follower: 1000, Leader: 1500}, {Service: theirs, Error: "no session"}},
	})
	for _, want := range []string{"| set       | 1 × 16           | synod   | 300 ", "void: lost its leader", "void: no session", "| zookeeper | 2000        | 1000                  | 1500                  | 1     |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in:\n%s", want, &out)
		}
	}
}

func TestAZooKeeperClientTriesItsServersInOrder(t *testing.T) {
	h := &inOrder{servers: []string{"a", "b", "c"}}
	next := func(want string, again bool) {
		t.Helper()
		if got, all := h.Next(); got != want || all != again {
			t.Fatalf("next is %s, all tried: %v; want %s, %v", got, all, want, again)
		}
	}
	next("a", false)
	next("b", false)
	h.Connected()
	next("c", false)
	next("a", false)
	next("b", true)
}

// A heldSession answers for the prober and the holder.
type heldSession struct {
	session
	refuse  atomic.Bool
	adrift  atomic.Bool
	written chan struct{}
}

func (s *heldSession) set(ctx context.Context, _ string, _ []byte) error {
	if s.refuse.Load() {
		return errors.New("no leader")
	}
	select {
	case s.written <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *heldSession) close()          {}
func (s *heldSession) connected() bool { return !s.adrift.Load() }

func TestAProberKnowsItsLongestPauseAndForgetsItOnceAsked(t *testing.T) {
	p := &prober{last: time.Unix(100, 0)}
	p.acknowledged(time.Unix(101, 0))
	p.acknowledged(time.Unix(104, 0))
	p.acknowledged(time.Unix(105, 0))
	p.last = time.Now()
	if got := p.longest(); got != 3*time.Second {
		t.Errorf("longest pause is %v, want 3s", got)
	}
	if got := p.longest(); got >= 3*time.Second {
		t.Errorf("the pause of before counts again: %v", got)
	}
	p.last = time.Now().Add(-time.Minute)
	if got := p.longest(); got < time.Minute {
		t.Errorf("longest pause is %v, want the one that goes on, a minute", got)
	}
}

func TestARefusedWriteOfAProberIsNoAcknowledgement(t *testing.T) {
	s := &heldSession{written: make(chan struct{})}
	s.refuse.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	begun := time.Now().Add(-time.Hour)
	p := &prober{session: s, cancel: cancel, last: begun}
	p.ended.Go(func() { p.write(ctx) })
	if p.longest() < time.Hour {
		t.Error("a refused write counts")
	}
	s.refuse.Store(false)
	<-s.written
	<-s.written // so the first is noted
	p.stop()
	if !p.last.After(begun) {
		t.Error("no write was noted")
	}
}

func TestSessionsAdriftAreCountedUntilTheyAreBack(t *testing.T) {
	h := &holder{}
	for range 10 {
		h.sessions = append(h.sessions, &heldSession{})
	}
	for _, s := range h.sessions[:6] {
		s.(*heldSession).adrift.Store(true)
	}
	w := &adriftWatch{holder: h}
	w.note(time.Second)
	for _, s := range h.sessions[:4] {
		s.(*heldSession).adrift.Store(false)
	}
	w.note(2 * time.Second)
	h.sessions[4].(*heldSession).adrift.Store(false)
	w.note(3 * time.Second)
	if w.most != 6 || w.half != time.Second || w.all != 2*time.Second {
		t.Errorf("most %d, half until %v, all until %v; want 6, 1s, 2s", w.most, w.half, w.all)
	}
}

func TestWhatIsDoneInParallelIsDoneOnceAndStopsAtAnError(t *testing.T) {
	var calls [100]atomic.Int32
	if err := inParallel(7, len(calls), func(i int) error { calls[i].Add(1); return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range calls {
		if n := calls[i].Load(); n != 1 {
			t.Errorf("call %d was made %d times", i, n)
		}
	}
	wrong := errors.New("wrong")
	var made atomic.Int32
	err := inParallel(1, 100, func(i int) error {
		made.Add(1)
		if i == 3 {
			return wrong
		}
		return nil
	})
	if err != wrong || made.Load() != 4 {
		t.Errorf("got %v after %d calls, want %v after 4", err, made.Load(), wrong)
	}
}
