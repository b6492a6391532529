package storage

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// history is what a script did and what it was promised.
type history struct {
	appended []string // entries of group 1 in order
	acked    int      // how many of them were acknowledged
	state    int      // number of the last state record that was begun
	stateOK  int      // and acknowledged
	released uint64
	cluster  bool   // SetCluster returned nil
	snapshot uint64 // index of the newest committed snapshot
	started  uint64 // index of the newest one that was begun
}

// play runs a fixed script of about two hundred file operations: open, appends of
// all sizes, rolls, releases, snapshots made and received, a restart in the
// middle. It stops at the first error, as a node does.
func play(o Options, h *history) error {
	s, err := Open("data", o)
	if err != nil {
		return err
	}
	if err = script(s, h, 0); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = Open("data", o); err != nil {
		return err
	}
	if err = script(s, h, 1); err != nil {
		return err
	}
	return s.Close()
}

func script(s *Store, h *history, part int) error {
	if err := s.SetCluster("c"); err != nil {
		return err
	}
	h.cluster = true
	for i := range 28 {
		data := fmt.Sprintf("%d.%d %s", part, i, strings.Repeat("z", (i*i*97)%6000))
		h.appended = append(h.appended, data)
		h.state++
		records := []Record{
			entry(1, uint64(len(h.appended)), data),
			state(2, 1, fmt.Sprint(h.state)),
		}
		if err := put(s, records...); err != nil {
			return err
		}
		h.acked, h.stateOK = len(h.appended), h.state
		if i%5 == 4 {
			if err := snapshotAndRelease(s, h, i%2 == 0); err != nil {
				return err
			}
		}
	}
	return s.Mark()
}

// snapshotAndRelease does what an engine does: a durable snapshot first, then the
// release of what it covers (D10).
func snapshotAndRelease(s *Store, h *history, own bool) error {
	meta := SnapshotMeta{Group: 1, Index: uint64(h.acked) - 1, Term: 1, Header: []byte("h")}
	content := []byte(strings.Repeat("s", 5000))
	h.started = meta.Index
	if own {
		w, err := s.CreateSnapshot(meta)
		if err != nil {
			return err
		}
		defer w.Abort()
		if _, err := w.Write(content); err != nil {
			return err
		}
		if _, err := w.Commit(); err != nil {
			return err
		}
	} else {
		meta.Size, meta.Checksum = int64(len(content)), checksum(content)
		r, err := s.ReceiveSnapshot(meta)
		if err != nil {
			return err
		}
		if _, err := r.WriteAt(content[r.Offset():], r.Offset()); err != nil {
			return err
		}
		if _, err := r.Commit(); err != nil {
			return err
		}
	}
	h.snapshot, h.released = meta.Index, meta.Index
	s.Release(1, meta.Index)
	return nil
}

// verify opens what a crash has left and compares it with the history.
func (h *history) verify(o Options) (*Store, error) {
	s, err := Open("data", o)
	if err != nil {
		return nil, fmt.Errorf("reopen: %w", err)
	}
	if err := h.compare(s); err != nil {
		return s, err
	}
	return s, nil
}

func (h *history) compare(s *Store) error {
	var entries []string
	first := uint64(0)
	err := s.Replay(1, func(r Record) error {
		if first == 0 {
			first = r.Index
		}
		if r.Index != first+uint64(len(entries)) {
			return fmt.Errorf("index %d after %d entries from %d", r.Index, len(entries), first)
		}
		entries = append(entries, string(r.Data))
		return nil
	})
	if err != nil {
		return err
	}
	last := int(first) - 1 + len(entries)
	if first == 0 {
		last = 0
	}
	switch {
	case last < h.acked: // W1: all that was acknowledged
		return fmt.Errorf("entries end at %d, acknowledged up to %d", last, h.acked)
	case last > len(h.appended): // W2: nothing that was never written
		return fmt.Errorf("entries end at %d, only %d were written", last, len(h.appended))
	case len(entries) > 0 && !slices.Equal(entries, h.appended[first-1:last]):
		return errors.New("entries differ from what was written")
	case first > h.released+1: // W7: no gap behind the newest snapshot
		return fmt.Errorf("entries begin at %d, released was %d", first, h.released)
	}
	if err := h.compareState(s); err != nil {
		return err
	}
	return h.compareRest(s)
}

func (h *history) compareState(s *Store) error { // W6
	got := 0
	err := s.Replay(2, func(r Record) error {
		_, err := fmt.Sscan(string(r.Data), &got)
		return err
	})
	if err == nil && (got < h.stateOK || got > h.state) {
		err = fmt.Errorf("state is %d, acknowledged %d, begun %d", got, h.stateOK, h.state)
	}
	return err
}

func (h *history) compareRest(s *Store) error {
	if h.cluster && s.Identity().Cluster != "c" {
		return errors.New("the cluster id was lost")
	}
	snapshots, err := s.Snapshots(1)
	if err != nil {
		return err
	}
	newest := uint64(0)
	if len(snapshots) > 0 {
		newest = snapshots[0].Index
	}
	if newest < h.snapshot || newest > h.started || len(snapshots) > 2 {
		return fmt.Errorf("newest of %d snapshots is %d, committed %d, begun %d", len(snapshots), newest, h.snapshot, h.started)
	}
	return nil
}

// operations returns how many changing operations the whole script has.
func operations(t *testing.T, o func(FS) Options, direct bool) int64 {
	t.Helper()
	m := NewMemory(1)
	m.Direct = direct
	n := int64(0)
	m.Fault = func(op Operation) Fault {
		if op.Changes() {
			n++
		}
		return 0
	}
	if err := play(o(m), &history{}); err != nil {
		t.Fatal(err)
	}
	if n < 200 {
		t.Fatalf("the script has only %d operations", n)
	}
	return n
}

// stride makes the short mode visit some operations instead of all; 11 is no
// multiple of the few operations that each append takes.
func stride() int64 {
	if testing.Short() {
		return 11
	}
	return 1
}

var survivals = []Survival{
	{},                        // nothing unsynced survives
	{Kept: 100, Entries: 100}, // all does
	{Kept: 100},
	{Entries: 100},
	{Kept: 50, Entries: 50},
	{Kept: 50, Torn: 30, Entries: 50},
	{Kept: 40, Torn: 10, Corrupt: 40, Entries: 70},
	{Kept: 90, Corrupt: 10, Entries: 100},
}

// D1, D7, D8, D9, D10, D11, D13; W1, W2, W3, W5, W6, W7.
func TestACrashAtAnyOperationLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	for _, direct := range []bool{true, false} {
		total := operations(t, tiny, direct)
		for n := int64(1); n <= total; n += stride() {
			for k, survival := range survivals {
				crashAt(t, n, uint64(k), survival, direct)
			}
		}
	}
}

func crashAt(t *testing.T, n int64, seed uint64, survival Survival, direct bool) {
	t.Helper()
	name := fmt.Sprintf("operation %d seed %d survival %+v direct %t", n, seed, survival, direct)
	m := NewMemory(seed + uint64(n)<<8)
	m.Direct = direct
	m.Fault = FailAt(n, CrashNow)
	h := &history{}
	if err := play(tiny(m), h); !errors.Is(err, ErrCrashed) {
		t.Fatalf("%s: the script ended with %v", name, err)
	}
	m.CrashWith(survival)
	s, err := h.verify(tiny(m))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	again(t, name, m, s, h)
}

// again checks that what one recovery has shown, the next shows too (W5), even
// after the power has failed once more, and that the log goes on.
func again(t *testing.T, name string, m *Memory, s *Store, h *history) {
	t.Helper()
	first, state := contents(t, s, 1), contents(t, s, 2)
	m.CrashWith(Survival{})
	s, err := h.verify(tiny(m))
	if err != nil {
		t.Fatalf("%s, second recovery: %v", name, err)
	}
	if got := contents(t, s, 1); !slices.Equal(got, first) {
		t.Fatalf("%s: recovered %d entries, then %d", name, len(first), len(got))
	}
	want(t, contents(t, s, 2), state...)
	if err := put(s, entry(1, 99, "goes on")); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	m.CrashWith(Survival{})
	if s, err = Open("data", tiny(m)); err != nil {
		t.Fatalf("%s, third recovery: %v", name, err)
	}
	if got := contents(t, s, 1); got[len(got)-1] != "1/99 goes on" {
		t.Fatalf("%s: the log ends with %.30q", name, got[len(got)-1])
	}
}

// D11, W5: power fails in the script and then again inside Open, at each operation.
func TestACrashInsideRecoveryIsRecoveredFrom(t *testing.T) {
	total := operations(t, tiny, true)
	for n := int64(3); n <= total; n += 7 {
		m := NewMemory(uint64(n))
		m.Fault = FailAt(n, CrashNow)
		h := &history{}
		_ = play(tiny(m), h)
		m.Crash()
		for k := int64(1); ; k++ {
			c := m.Clone(uint64(n*1000 + k))
			c.Fault = FailAt(k, CrashNow)
			s, err := Open("data", tiny(c))
			if err == nil {
				_ = s.Close()
				break
			}
			c.Crash()
			c.Fault = FailAt(max(1, k-2), CrashNow) // and a third time
			if s, err = Open("data", tiny(c)); err == nil {
				_ = s.Close()
			}
			c.Crash()
			if _, err := h.verify(tiny(c)); err != nil {
				t.Fatalf("crash at %d, then at %d inside recovery: %v", n, k, err)
			}
		}
	}
}

// D5, W4: after an error of the log nothing more is acknowledged or written to it,
// and every later Append fails with the same error.
func TestAnErrorAtAnyOperationIsNeverRetried(t *testing.T) {
	t.Parallel()
	for _, direct := range []bool{true, false} {
		for _, fault := range []Fault{Fail, Short} {
			total := operations(t, tiny, direct)
			for n := int64(1); n <= total; n += stride() {
				errorAt(t, n, fault, direct)
			}
		}
	}
}

func errorAt(t *testing.T, n int64, fault Fault, direct bool) {
	t.Helper()
	name := fmt.Sprintf("operation %d fault %d direct %t", n, fault, direct)
	m := NewMemory(uint64(n))
	m.Direct = direct
	m.Fault = FailAt(n, fault)
	h := &history{}
	err := play(tiny(m), h)
	if err == nil && fault == Fail {
		t.Fatalf("%s: the error was swallowed", name)
	}
	// The process ends; then it starts again on the same page cache.
	m.Kill()
	s, err := h.verify(tiny(m))
	if err != nil {
		t.Fatalf("%s, after a restart: %v", name, err)
	}
	again(t, name, m, s, h)
}

func TestAfterAFailedWriteEveryAppendFailsAlike(t *testing.T) { // D5, W4
	for _, direct := range []bool{true, false} {
		m := NewMemory(3)
		m.Direct = direct
		s := mustOpen(t, small(m))
		mustPut(t, s, entry(1, 1, "a"))
		m.Fault = FailAt(1, Fail)
		first := put(s, entry(1, 2, "b"))
		if first == nil {
			t.Fatal("a failed write was acknowledged")
		}
		writes := 0
		m.Fault = func(o Operation) Fault {
			if o.Kind == OpWrite || o.Kind == OpSync {
				writes++
			}
			return 0
		}
		if second := put(s, entry(1, 3, "c")); second != first {
			t.Fatalf("got %v, want %v again", second, first)
		}
		if err := s.Close(); err != first || writes > 0 {
			t.Fatalf("close: %v after %d writes", err, writes)
		}
	}
}

// W5: what a killed process had only in the page cache is made durable before
// recovery shows it to anybody.
func TestWhatRecoveryShowsSurvivesAPowerCut(t *testing.T) {
	m := NewMemory(1)
	m.Direct = false
	s := mustOpen(t, small(m))
	mustPut(t, s, entry(1, 1, "a"))
	m.Fault = func(o Operation) Fault { // the process dies between write and sync
		if o.Kind == OpSync {
			return CrashNow
		}
		return 0
	}
	if err := put(s, entry(1, 2, "b")); !errors.Is(err, ErrCrashed) {
		t.Fatal(err)
	}
	m.Kill()
	s = mustOpen(t, small(m))
	seen := contents(t, s, 1)
	want(t, seen, "1/1 a", "1/2 b")
	m.CrashWith(Survival{})
	want(t, contents(t, mustOpen(t, small(m)), 1), seen...)
}

// W5 again, when the next process writes in another mode: a write that is durable
// by itself does not make durable what an earlier process left in the cache.
func TestADurableFirstBatchDoesNotStandInForTheSync(t *testing.T) {
	m := NewMemory(1)
	m.Direct = false
	s := mustOpen(t, small(m))
	mustPut(t, s, entry(1, 1, "a"))
	m.Fault = func(o Operation) Fault {
		if o.Kind == OpSync {
			return CrashNow
		}
		return 0
	}
	_ = put(s, entry(1, 2, "b"))
	m.Kill()
	m.Direct = true
	seen := contents(t, mustOpen(t, small(m)), 1)
	want(t, seen, "1/1 a", "1/2 b")
	m.CrashWith(Survival{})
	want(t, contents(t, mustOpen(t, small(m)), 1), seen...)
}

// D5: a failed sync leaves pages that look right and are not on the device; a
// restart in the same boot must not believe them.
func TestRecoveryReadsTheDeviceAndNotTheCacheOfAFailedSync(t *testing.T) {
	m := NewMemory(1)
	m.Direct = false
	s := mustOpen(t, small(m))
	mustPut(t, s, entry(1, 1, "a"))
	m.Fault = func(o Operation) Fault {
		if o.Kind == OpSync {
			return Fail
		}
		return 0
	}
	if err := put(s, entry(1, 2, "b")); err == nil {
		t.Fatal("a failed sync was acknowledged")
	}
	m.Kill()
	seen := contents(t, mustOpen(t, small(m)), 1)
	want(t, seen, "1/1 a")
	m.CrashWith(Survival{})
	want(t, contents(t, mustOpen(t, small(m)), 1), seen...)
}
