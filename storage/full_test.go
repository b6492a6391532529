package storage

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
)

// D6: with the disk nearly full, Full is true before anything fails; what must be
// written still is, as long as segment and reserve last; then nothing fails but
// everything waits; and when space returns all of it goes on by itself.
func TestAFullDiskRefusesEarlyLosesNothingAndRecovers(t *testing.T) {
	m := NewMemory(1)
	m.SetCapacity(12 * minSegmentBytes)
	s := mustOpen(t, tiny(m))
	mustPut(t, s, entry(9, 1, "pin"))
	index, atFull := uint64(0), uint64(0)
	for {
		if s.Full() && atFull == 0 {
			atFull = index
		}
		if err := put(s, entry(1, index+1, strings.Repeat("f", 3000)), state(2, 1, fmt.Sprint(index+1))); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatalf("record %d: %v", index+1, err)
			}
			break
		}
		index++
	}
	if atFull == 0 || index-atFull < 15 {
		t.Fatalf("full was said after %d of %d records", atFull, index)
	}
	if st := s.Stats(); !st.Full || st.ReserveHeld || st.Pending == 0 || st.Err != nil {
		t.Fatalf("got %+v", st)
	}
	if err := s.Flush(); !errors.Is(err, ErrFull) { // again, and without harm
		t.Fatal(err)
	}
	m.SetCapacity(1 << 30)
	for s.Pending() > 0 {
		if err := s.Flush(); err != nil {
			t.Fatalf("after space came back: %v", err)
		}
	}
	mustPut(t, s, state(2, 1, "last"))
	if st := s.Stats(); st.Full || !st.ReserveHeld {
		t.Fatalf("still full: %+v", st)
	}
	m.Crash()
	s = mustOpen(t, tiny(m))
	if got := contents(t, s, 1); uint64(len(got)) != index+1 {
		t.Fatalf("got %d entries, want %d", len(got), index+1)
	}
	want(t, contents(t, s, 2), "1/0 last")
}

// D6: on a full disk compaction alone is enough to go on: the release reaches the
// log through the block that each segment keeps for it.
func TestReleaseFreesAFullLog(t *testing.T) {
	m := NewMemory(1)
	m.SetCapacity(8 * minSegmentBytes)
	s := mustOpen(t, tiny(m))
	for round := range 5 {
		index := uint64(round * 1000)
		for put(s, entry(1, index+1, strings.Repeat("f", 3000))) == nil {
			index++
		}
		for range 3 { // restarts must not use that block up
			m.Crash()
			s = mustOpen(t, tiny(m))
			if err := put(s, entry(1, index+1, strings.Repeat("f", 3000))); !errors.Is(err, ErrFull) {
				t.Fatalf("round %d: got %v", round, err)
			}
		}
		makeSnapshot(t, s, index, "snapshot")
		s.Release(1, index)
		if err := s.Flush(); err != nil {
			t.Fatalf("round %d: after the release: %v", round, err)
		}
		mustPut(t, s, state(1, 1, "goes on"))
		if s.Stats().Segments > 3 {
			t.Fatalf("round %d: %+v", round, s.Stats())
		}
		s.Release(1, index+1)
	}
}

// D6: a node that died on a full disk starts on it again.
func TestAStoreOpensOnAFullDisk(t *testing.T) {
	for extra := int64(0); extra < 4; extra++ {
		m := NewMemory(1)
		s := mustOpen(t, tiny(m))
		for i := range uint64(30) {
			mustPut(t, s, entry(1, i+1, strings.Repeat("f", int(extra)*1000+500)))
		}
		m.SetCapacity(m.Used())
		m.Crash()
		s = mustOpen(t, tiny(m))
		if got := len(contents(t, s, 1)); got != 30 {
			t.Fatalf("got %d entries", got)
		}
		if !s.Full() {
			t.Fatal("not full")
		}
		mustPut(t, s, state(2, 1, "vote"))
	}
}

// D6: the reserve lets a snapshot be written on a full disk, so that the log can
// be released.
func TestTheReserveServesASnapshot(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	mustPut(t, s, entry(1, 1, "x"))
	m.SetCapacity(m.Used())
	makeSnapshot(t, s, 1, strings.Repeat("s", 20<<10))
	if s.Stats().ReserveHeld || !s.Full() {
		t.Fatal("the reserve was not used")
	}
	w, err := s.CreateSnapshot(SnapshotMeta{Group: 1, Index: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 1<<20)); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want ENOSPC", err)
	}
	w.Abort()
	if metas, err := s.Snapshots(1); err != nil || len(metas) != 1 {
		t.Fatalf("got %v %v", metas, err)
	}
}

// D6: no space at any one operation is either ridden out or a clear error, and
// costs nothing acknowledged.
func TestNoSpaceAtAnyOperationLosesNothing(t *testing.T) {
	total := operations(t, tiny, true)
	ridden := 0
	for n := int64(1); n <= total; n++ {
		m := NewMemory(uint64(n))
		m.Fault = FailAt(n, NoSpace)
		h := &history{}
		if err := play(tiny(m), h); err == nil {
			ridden++
		}
		m.Crash()
		if _, err := h.verify(tiny(m)); err != nil {
			t.Fatalf("no space at operation %d: %v", n, err)
		}
	}
	if ridden < 10 {
		t.Fatalf("only %d of %d were ridden out", ridden, total)
	}
}

// W8: however long it runs, the disk holds the live records and a constant.
func TestDiskUseIsBounded(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	const bound = 8 * minSegmentBytes // retained, current, prepared, spare, reserve, snapshots
	for i := range uint64(2000) {
		mustPut(t, s, entry(1, i+1, strings.Repeat("w", 1500)), state(1, 1, fmt.Sprint(i)))
		if i%20 == 19 {
			makeSnapshot(t, s, i+1, strings.Repeat("s", 5000))
			s.Release(1, i+1)
		}
		if m.Used() > bound {
			t.Fatalf("%d bytes after %d records, want at most %d", m.Used(), i+1, bound)
		}
		if i%97 == 0 {
			m.Crash()
			s = mustOpen(t, tiny(m))
		}
	}
}

func TestTooManySegmentsAskForCompaction(t *testing.T) {
	o := tiny(NewMemory(1))
	o.MaxSegments = 3
	s := mustOpen(t, o)
	i := uint64(0)
	for ; !s.Full(); i++ {
		mustPut(t, s, entry(1, i+1, strings.Repeat("x", 3000)))
		if i > 100 {
			t.Fatal("never full")
		}
	}
	s.Release(1, i)
	mustPut(t, s, state(1, 1, "x"))
	mustPut(t, s, state(1, 1, "y"))
	if st := s.Stats(); st.Full {
		t.Fatalf("still full: %+v", st)
	}
}

func TestALimitThatIsBrokenIsFinal(t *testing.T) {
	o := small(NewMemory(1))
	o.MaxPendingBytes = 10000
	s := mustOpen(t, o)
	mustPut(t, s, entry(1, 1, "x"))
	var results []error
	for i := range uint64(20) {
		s.Append([]Record{entry(1, i+2, strings.Repeat("x", 1000))}, func(err error) { results = append(results, err) })
	}
	if err := s.Flush(); !errors.Is(err, ErrOverloaded) || len(results) != 20 {
		t.Fatalf("got %v and %d answers", err, len(results))
	}
	if err := put(s, entry(1, 2, "x")); !errors.Is(err, ErrOverloaded) {
		t.Fatalf("got %v: a hole before it would go unseen", err)
	}

	s = mustOpen(t, small(NewMemory(1)))
	if err := put(s, entry(1, 1, strings.Repeat("x", s.MaxRecordBytes()))); err != nil {
		t.Fatalf("the largest record: %v", err)
	}
	if err := put(s, entry(1, 1, strings.Repeat("x", s.MaxRecordBytes()+1))); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("got %v, want ErrTooLarge", err)
	}
	s = mustOpen(t, small(NewMemory(1)))
	var err error
	for i := uint8(0); err == nil && i < 100; i++ {
		err = put(s, state(1, i, strings.Repeat("x", 1000)))
	}
	if !errors.Is(err, ErrTooLarge) {
		t.Fatalf("state without end: %v", err)
	}
}

func TestLargeRecordsAndStatesFillSegmentsToTheBrim(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	for i := range uint8(7) {
		mustPut(t, s, state(1, i, strings.Repeat("s", 1000)))
	}
	for i := range uint64(60) {
		mustPut(t, s, entry(1, i+1, strings.Repeat("x", s.MaxRecordBytes()-int(i)*37)))
		s.Release(1, i)
		if i%9 == 0 {
			m.Crash()
			s = mustOpen(t, tiny(m))
		}
	}
	if got := contents(t, s, 1); len(got) < 8 {
		t.Fatalf("got %d records", len(got))
	}
}

func TestAReceivedSnapshotIsResumedAndChecked(t *testing.T) { // D10
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	body := []byte(strings.Repeat("0123456789abcdef", 40<<10)) // 5 chunks
	meta := SnapshotMeta{Group: 1, Index: 9, Term: 2, Header: []byte("h"), Size: int64(len(body)), Checksum: checksum(body)}
	r, err := s.ReceiveSnapshot(meta)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReceiveSnapshot(meta); err == nil {
		t.Fatal("two receivers of one snapshot")
	}
	if _, err := r.WriteAt(body[:10], 10); err == nil {
		t.Fatal("a gap was accepted")
	}
	if _, err := r.WriteAt(body[:300<<10], 0); err != nil {
		t.Fatal(err)
	}
	r.Suspend()
	_ = s.Close()
	s = mustOpen(t, tiny(m))
	if r, err = s.ReceiveSnapshot(meta); err != nil || r.Offset() != 256<<10 {
		t.Fatalf("resumed at %d: %v", r.Offset(), err)
	}
	if n, err := r.WriteAt(body[200<<10:], 200<<10); err != nil || n != len(body)-200<<10 {
		t.Fatalf("wrote %d: %v", n, err)
	}
	if got, err := r.Commit(); err != nil || got.Checksum != meta.Checksum {
		t.Fatalf("got %+v, %v", got, err)
	}
	read, err := s.OpenSnapshot(1, 9)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(read); err != nil || string(got) != string(body) {
		t.Fatalf("read %d bytes, %v", len(got), err)
	}
	meta.Index, meta.Checksum = 10, meta.Checksum+1
	if r, err = s.ReceiveSnapshot(meta); err != nil {
		t.Fatal(err)
	}
	_, _ = r.WriteAt(body, 0)
	if _, err := r.Commit(); !errors.Is(err, ErrMismatch) {
		t.Fatalf("got %v, want ErrMismatch", err)
	}
	if _, err := s.OpenSnapshot(1, 10); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
	if metas, _ := s.Snapshots(1); len(metas) != 1 || metas[0].Index != 9 {
		t.Fatalf("got %v", metas)
	}
}
