package storage

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestWhatWasAppendedIsReplayedAfterReopening(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, small(m))
	mustPut(t, s, state(1, 9, "term 1"), entry(1, 1, "a"), entry(2, 1, "other"), entry(1, 2, "b"))
	mustPut(t, s, state(1, 9, "term 2"))
	want(t, contents(t, s, 1), "9/0 term 2", "1/1 a", "1/2 b")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, small(m))
	want(t, contents(t, s, 1), "9/0 term 2", "1/1 a", "1/2 b")
	want(t, contents(t, s, 2), "1/1 other")
	want(t, contents(t, s, 3))
}

func TestStateIsCarriedThroughEveryRoll(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	mustPut(t, s, state(7, 3, "vote"), entry(8, 1, "pin"))
	filler := strings.Repeat("x", 3000)
	for i := range uint64(100) {
		mustPut(t, s, entry(1, i+1, filler))
		s.Release(1, i)
	}
	s.Release(8, 1)
	for i := range uint64(100) {
		mustPut(t, s, entry(1, i+101, filler))
		s.Release(1, i+100)
	}
	if st := s.Stats(); st.Segments > 2 || st.Oldest < 20 {
		t.Fatalf("segments are not recycled: %+v", st)
	}
	m.Crash()
	s = mustOpen(t, tiny(m))
	want(t, contents(t, s, 7), "3/0 vote")
	if got := contents(t, s, 1); len(got) < 1 || got[len(got)-1] != "1/200 "+filler {
		t.Fatalf("group 1 ends with %.20q", got)
	}
}

func TestAForgottenGroupStaysForgottenAndItsNumberIsFree(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	mustPut(t, s, state(5, 1, "old"), entry(5, 70, "old"), entry(6, 1, "keep"))
	s.Release(5, math.MaxUint64)
	mustPut(t, s, entry(6, 2, "more"))
	mustPut(t, s, entry(5, 1, "new"))
	want(t, contents(t, s, 5), "1/1 new")
	m.Crash()
	s = mustOpen(t, tiny(m))
	want(t, contents(t, s, 5), "1/1 new")
	want(t, contents(t, s, 6), "1/1 keep", "1/2 more")
}

func TestAnswersComeInOrderOfTheAppends(t *testing.T) {
	s := mustOpen(t, tiny(NewMemory(1)))
	var order []int
	for i := range 50 {
		s.Append([]Record{entry(1, uint64(i+1), strings.Repeat("y", i*100))}, func(err error) {
			if err != nil {
				t.Error(err)
			}
			order = append(order, i)
		})
		if i%7 == 0 {
			s.Append(nil, nil) // a barrier
		}
	}
	for s.Pending() > 0 {
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	for i, got := range order {
		if got != i {
			t.Fatalf("answered %v", order)
		}
	}
	if len(order) != 50 {
		t.Fatalf("%d of 50 answered", len(order))
	}
}

func TestStatsNameTheGroupThatPinsTheOldestSegment(t *testing.T) {
	s := mustOpen(t, tiny(NewMemory(1)))
	mustPut(t, s, entry(3, 5, "pinned"))
	for i := range uint64(40) {
		mustPut(t, s, entry(1, i+1, strings.Repeat("x", 2000)))
		s.Release(1, i+1)
	}
	st := s.Stats()
	if !st.Pinned || st.PinnedBy != 3 || st.Oldest != 1 || st.Segments < 5 {
		t.Fatalf("got %+v", st)
	}
	s.Release(3, 5)
	mustPut(t, s, entry(1, 41, "next"))
	if st = s.Stats(); st.Oldest == 1 || st.Segments > 2 {
		t.Fatalf("still pinned: %+v", st)
	}
}

// D7: a segment is reused no earlier than when the log itself says durably that it
// no longer counts.
func TestReleaseAloneTouchesNoFile(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	for i := range uint64(40) {
		mustPut(t, s, entry(1, i+1, strings.Repeat("x", 3000)))
	}
	s.Release(1, 40)
	s.index.prepared = nil // so that the keeper needs a file at once
	if err := s.maintain(); err != nil {
		t.Fatal(err)
	}
	m.Crash()
	if got := contents(t, mustOpen(t, tiny(m)), 1); len(got) != 40 {
		t.Fatalf("got %d entries, want all 40: the release was not durable", len(got))
	}
}

// W6: the removal of a dead file may be undone by a crash; what is in it stays dead.
func TestADeadSegmentThatComesBackSaysNothing(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	mustPut(t, s, state(5, 1, "forgotten"), state(6, 1, "old"), entry(5, 1, "forgotten"))
	dead := content(t, m, firstSegment)
	s.Release(5, math.MaxUint64)
	mustPut(t, s, state(6, 1, "new"))
	for i := range uint64(40) {
		mustPut(t, s, entry(1, i+1, strings.Repeat("x", 3000)))
		s.Release(1, i)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	replace(t, m, firstSegment, dead)
	s = mustOpen(t, tiny(m))
	want(t, contents(t, s, 5))
	want(t, contents(t, s, 6), "1/0 new")
}

func TestASegmentIsNotReusedUnderAReplay(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	for i := range uint64(40) {
		mustPut(t, s, entry(1, i+1, strings.Repeat("x", 3000)))
	}
	next, seen := uint64(1), 0
	err := s.Replay(1, func(r Record) error {
		seen++
		s.Release(1, 40)
		for range 10 { // would need the files that are being read
			mustPut(t, s, entry(2, next, strings.Repeat("y", 3000)))
			s.Release(2, next)
			next++
		}
		return nil
	})
	if err != nil || seen != 40 {
		t.Fatalf("saw %d of 40 entries, %v", seen, err)
	}
	mustPut(t, s, entry(2, next, "end"))
	if st := s.Stats(); st.Segments > 2 {
		t.Fatalf("after the replay: %+v", st)
	}
}

func TestWalkShowsEveryRecordOfADirectoryThatIsNotOpen(t *testing.T) {
	m := NewMemory(1)
	logOf(t, tiny(m), 3)
	var got []string
	err := Walk(m, "data", func(r Record) error {
		got = append(got, string(r.Data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, got, "vote", "entry 1", "entry 2", "entry 3")
	stop := errors.New("enough")
	calls := 0
	err = Walk(m, "data", func(Record) error { calls++; return stop })
	if err != stop || calls != 1 {
		t.Fatalf("got %v after %d calls", err, calls)
	}
}

// D2: an owner whose snapshot is damaged must be able to tell an empty log from
// one of which nothing is left.
func TestTheReleaseMarkIsThereAfterReopening(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, small(m))
	mustPut(t, s, entry(1, 1, "a"), entry(1, 2, "b"))
	s.Release(1, 2)
	mustPut(t, s, Record{Group: 1, Type: 9, Data: []byte("state")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, small(m))
	if got := s.Released(1); got != 2 {
		t.Errorf("group 1 was released up to %d, want 2", got)
	}
	if got := s.Released(2); got != 0 {
		t.Errorf("group 2 was released up to %d, want 0", got)
	}
}

func ExampleOpen() {
	s, err := Open("data", Options{FS: NewMemory(1), Node: "n1", SegmentBytes: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	durable := make(chan error, 1)
	s.Append([]Record{
		{Group: 1, Type: 0, Data: []byte("term 7")},          // state: only the newest counts
		{Group: 1, Type: 1, Index: 1, Data: []byte("x = 1")}, // an entry
		{Group: 1, Type: 1, Index: 2, Data: []byte("x = 2")},
	}, func(err error) { durable <- err })
	fmt.Println("durable:", <-durable)

	s.Release(1, 1) // a snapshot covers index 1
	_ = s.Replay(1, func(r Record) error {
		fmt.Printf("type %d index %d: %s\n", r.Type, r.Index, r.Data)
		return nil
	})
	// Output:
	// durable: <nil>
	// type 0 index 0: term 7
	// type 1 index 2: x = 2
}

func TestFlushesAreCountedByHowLongTheyTook(t *testing.T) {
	for i := 1; i < FlushBounds; i++ {
		if FlushBound(i) != 2*FlushBound(i-1) {
			t.Fatalf("bound %d is %v after %v, want twice that", i, FlushBound(i), FlushBound(i-1))
		}
	}
	m := NewMemory(1)
	s := mustOpen(t, small(m))
	m.SetFault(func(o Operation) Fault {
		if o.Kind == OpWrite {
			time.Sleep(2 * FlushBound(1)) // a slow disk
		}
		return 0
	})
	mustPut(t, s, entry(1, 1, "a"))
	st := s.Stats()
	sum := uint64(0)
	for _, n := range st.FlushCounts {
		sum += n
	}
	slow := st.FlushCounts
	clear(slow[:3]) // up to FlushBound(2) at most
	if sum != st.Batches || slow == [FlushBounds + 1]uint64{} {
		t.Fatalf("%d flushes counted by time, %d in all; the slow one is not above %v: %v", sum, st.Batches, FlushBound(2), st.FlushCounts)
	}
}

// progress keeps what a store tells of one stage.
type progress struct{ calls, done, total int64 }

func TestProgressGrowsToTheEndInEachStage(t *testing.T) {
	t.Parallel()
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	for i := range uint64(200) {
		mustPut(t, s, entry(1, i+1, strings.Repeat("x", 500)))
	}
	makeSnapshot(t, s, 100, strings.Repeat("y", 1<<20))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	stages := map[string]progress{}
	o := tiny(m)
	o.Progress = func(stage string, done, total int64) {
		last := stages[stage]
		if done < last.done || done > total {
			t.Errorf("%s: %d of %d after %d", stage, done, total, last.done)
		}
		stages[stage] = progress{last.calls + 1, done, total}
	}
	s = mustOpen(t, o)
	if err := s.Replay(1, func(Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, found, err := s.NewestSnapshot(1, math.MaxUint64); err != nil || !found {
		t.Fatal(found, err)
	}
	for _, stage := range []string{"log", "replay", "snapshot"} {
		p := stages[stage]
		if p.calls < 3 || p.done != p.total || p.total == 0 {
			t.Errorf("%s: %d calls, the last with %d of %d: want several up to the end", stage, p.calls, p.done, p.total)
		}
	}
}
