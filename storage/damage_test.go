package storage

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"
	"testing"
)

// content returns and replaces the bytes of a file of a Memory.
func content(t testing.TB, m *Memory, name string) []byte {
	t.Helper()
	b, err := readFile(m, name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func replace(t testing.TB, m *Memory, name string, b []byte) {
	t.Helper()
	f, err := m.Open(name, Create)
	if err == nil {
		_, err = f.WriteAt(b, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = m.SyncDir(path.Dir(name))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// logOf makes a closed log of a few small batches, and returns what it holds.
func logOf(t testing.TB, o Options, batches int) []string {
	t.Helper()
	s := mustOpen(t, o)
	mustPut(t, s, state(1, 9, "vote"))
	for i := range batches {
		mustPut(t, s, entry(1, uint64(i+1), fmt.Sprintf("entry %d", i+1)))
	}
	all := contents(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

const firstSegment = "data/wal/0000000000000001.log"

func isDamage(err error) bool {
	var damage *DamageError
	return errors.As(err, &damage)
}

// unharmed opens the store and accepts all of the log or a clear refusal.
func unharmed(m *Memory, all []string) error {
	s, err := Open("data", tiny(m))
	var format *FormatError
	if isDamage(err) || errors.As(err, &format) {
		return nil
	}
	if err != nil {
		return err
	}
	got, err := replayAll(s, 1)
	if err != nil {
		return err
	}
	if !slices.Equal(got, all) {
		return fmt.Errorf("got %q without an error", got)
	}
	return nil
}

// D2, D3, D13: of a log that was closed, no flipped bit passes unnoticed.
func TestEachFlippedBitIsNoticedOrHarmless(t *testing.T) {
	t.Parallel()
	m := NewMemory(1)
	all := logOf(t, tiny(m), 3)
	for _, name := range []string{firstSegment, "data/wal/0000000000000002.log", "data/identity"} {
		whole := content(t, m, name)
		for bit := 0; bit < len(whole)*8; bit += strideOf(bit / 8) {
			c := m.Clone(1)
			broken := slices.Clone(whole)
			broken[bit/8] ^= 1 << (bit % 8)
			replace(t, c, name, broken)
			if err := unharmed(c, all); err != nil {
				t.Fatalf("bit %d of byte %d of %s: %v", bit%8, bit/8, name, err)
			}
		}
	}
}

// strideOf visits every bit where something may be, and some of the padding.
func strideOf(at int) int {
	if at%BlockBytes < 136 || at%BlockBytes > BlockBytes-10 {
		return 1
	}
	if testing.Short() {
		return 4001
	}
	return 509
}

// D1, D2: a segment file that ends early at any byte is refused: its whole size
// was durable before its first use.
func TestASegmentTruncatedAtAnyByteIsRefused(t *testing.T) {
	m := NewMemory(1)
	logOf(t, tiny(m), 3)
	whole := content(t, m, firstSegment)
	for n := 0; n < len(whole); n += strideOf(n) {
		c := m.Clone(1)
		replace(t, c, firstSegment, whole[:n])
		if _, err := Open("data", tiny(c)); !isDamage(err) {
			t.Fatalf("%d of %d bytes: got %v, want *DamageError", n, len(whole), err)
		}
	}
}

// D1, W1, W3: a log of fifty batches whose bytes end at any place, as a torn
// append leaves them, comes back as a prefix of whole batches.
func TestALogTornAtAnyByteComesBackAsAPrefix(t *testing.T) {
	t.Parallel()
	large := func(m *Memory) Options {
		o := small(m)
		o.SegmentBytes, o.ReserveBytes = 256<<10, -1
		return o
	}
	m := NewMemory(1)
	s := mustOpen(t, large(m))
	for i := range uint64(50) {
		mustPut(t, s, entry(1, i+1, fmt.Sprint("entry ", i+1)))
	}
	all := contents(t, s, 1)
	m.Kill()
	whole := content(t, m, firstSegment)
	end := 4096 + 51*4096
	for n := 2 * BlockBytes; n <= end; n += strideOf(n) {
		c := m.Clone(1)
		torn := slices.Clone(whole)
		clear(torn[n:])
		replace(t, c, firstSegment, torn)
		s, err := Open("data", large(c))
		if err != nil {
			t.Fatalf("torn at %d: %v", n, err)
		}
		wanted := (n - 2*BlockBytes) / BlockBytes
		if got := contents(t, s, 1); !slices.Equal(got, all[:wanted]) {
			t.Fatalf("torn at %d: got %d entries, want %d", n, len(got), wanted)
		}
	}
}

// D2, W3: each batch but the last is protected by the one after it.
func TestADamagedBatchBeforeAValidOneIsNeverCut(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	for i := range uint64(4) {
		mustPut(t, s, entry(1, i+1, "x"))
	}
	m.Kill() // no sync mark
	whole := content(t, m, firstSegment)
	for block := 1; block <= 5; block++ {
		for _, wipe := range []bool{true, false} {
			c := m.Clone(1)
			broken := slices.Clone(whole)
			if b := broken[block*BlockBytes : (block+1)*BlockBytes]; wipe {
				clear(b)
			} else {
				b[batchHeaderBytes+5] ^= 1
			}
			replace(t, c, firstSegment, broken)
			s, err := Open("data", tiny(c))
			if last := block == 5; last != (err == nil) {
				t.Fatalf("block %d wiped %t: %v", block, wipe, err)
			}
			if err == nil {
				want(t, contents(t, s, 1), "1/1 x", "1/2 x", "1/3 x")
			} else if !isDamage(err) {
				t.Fatalf("block %d: %v", block, err)
			}
			if again := content(t, c, firstSegment); err != nil && !slices.Equal(again, broken) {
				t.Fatal("a damaged log was written to")
			}
		}
	}
}

// The sync mark: after it, damage of the last acknowledged batch is damage, too.
func TestAfterASyncMarkTheLastBatchIsProtected(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	mustPut(t, s, entry(1, 1, "x"))
	if err := s.Mark(); err != nil {
		t.Fatal(err)
	}
	m.Kill()
	whole := content(t, m, firstSegment)
	whole[2*BlockBytes+batchHeaderBytes] ^= 1
	replace(t, m, firstSegment, whole)
	if _, err := Open("data", tiny(m)); !isDamage(err) {
		t.Fatalf("got %v, want *DamageError", err)
	}
}

// A batch with records cannot protect itself, so it never counts as a mark.
func TestAMarkHoldsNoRecords(t *testing.T) {
	s := mustOpen(t, tiny(NewMemory(1)))
	s.Append([]Record{entry(1, 1, "x")}, nil)
	if err := s.flush(flagMark); err != nil || s.marked {
		t.Fatalf("marked %t, %v", s.marked, err)
	}
	for i := range uint64(9) {
		s.Append([]Record{entry(1, i+2, strings.Repeat("x", 3000))}, nil)
	}
	if err := s.Mark(); err != nil || !s.marked || s.Pending() > 0 {
		t.Fatalf("marked %t, %d bytes pending, %v", s.marked, s.Pending(), err)
	}
}

// D3: a batch that stands in another's place is not taken for it.
func TestSwappedAndStaleBlocksAreNoticed(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	before := content(t, m, firstSegment)
	for i := range uint64(4) {
		mustPut(t, s, entry(1, i+1, "x"))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := content(t, m, firstSegment)
	block := func(b []byte, n int) []byte { return b[n*BlockBytes : (n+1)*BlockBytes] }
	for a := 1; a <= 4; a++ {
		swapped := slices.Clone(whole)
		copy(block(swapped, a), block(whole, a+1))
		copy(block(swapped, a+1), block(whole, a))
		stale := slices.Clone(whole)
		copy(block(stale, a+1), block(before, a+1))
		for name, b := range map[string][]byte{"swapped": swapped, "stale": stale} {
			c := m.Clone(1)
			replace(t, c, firstSegment, b)
			if _, err := Open("data", tiny(c)); !isDamage(err) {
				t.Fatalf("block %d %s: got %v", a, name, err)
			}
		}
	}
}

// D3: the batches of a recycled segment's former life are not taken for new ones.
func TestBatchesOfAFormerLifeAreIgnored(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	for i := range uint64(60) {
		mustPut(t, s, entry(1, i+1, strings.Repeat("f", 2500)))
		s.Release(1, i)
	}
	m.Crash()
	s = mustOpen(t, tiny(m))
	got := contents(t, s, 1)
	if len(got) > 2 || !strings.HasPrefix(got[len(got)-1], "1/60 ") {
		t.Fatalf("got %d entries ending with %.10q", len(got), got[len(got)-1])
	}
	stale := 0
	for _, seg := range s.index.segments {
		b := content(t, m, seg.name)
		for at := int(seg.end); at < len(b); at += BlockBytes {
			if h, ok := parseHeader(b[at:]); ok && h.Generation != seg.Generation {
				stale++
			}
		}
	}
	if stale == 0 {
		t.Fatal("no former batch was left to be mistaken: the test proves nothing")
	}
}

// D2: a whole segment that is missing is damage, wherever it was.
func TestAMissingSegmentIsNoticed(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	for i := range uint64(40) {
		mustPut(t, s, entry(1, i+1, strings.Repeat("f", 3000)))
	}
	if s.Stats().Segments < 4 {
		t.Fatal("too few segments")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, _ := m.List("data/wal")
	for _, name := range names {
		c := m.Clone(1)
		if err := c.Remove("data/wal/" + name); err != nil {
			t.Fatal(err)
		}
		if _, err := Open("data", tiny(c)); !isDamage(err) {
			t.Fatalf("without %s: got %v, want *DamageError", name, err)
		}
	}
}

// W2, W5: what was cut does not come back, even if the bytes that made it invalid
// turn out to be right after all; also when the batch was the first of a segment.
func TestWhatWasCutStaysCut(t *testing.T) {
	for _, before := range []int{1, 2} { // with 2 the last batch opens the second segment
		m := NewMemory(1)
		s := mustOpen(t, tiny(m))
		for i := range before {
			mustPut(t, s, entry(1, uint64(i+1), strings.Repeat("b", 12000)))
		}
		mustPut(t, s, entry(1, uint64(before+1), strings.Repeat("c", 12200)))
		last := s.index.current()
		if (last.Generation == 2) != (before == 2) {
			t.Fatalf("the last batch is in segment %d", last.Generation)
		}
		at := last.end - 5000 // in a block behind the batch's first
		m.Kill()
		flip := func() {
			b := content(t, m, last.name)
			b[at] ^= 1
			replace(t, m, last.name, b)
		}
		flip()
		cut := contents(t, mustOpen(t, tiny(m)), 1)
		if len(cut) != before {
			t.Fatalf("%d entries, want %d", len(cut), before)
		}
		m.Kill()
		flip()
		want(t, contents(t, mustOpen(t, tiny(m)), 1), cut...)
	}
}

// D3: a batch that is right in itself but does not continue the one before it.
func TestABrokenChainIsDamage(t *testing.T) {
	m := NewMemory(1)
	logOf(t, tiny(m), 3)
	whole := content(t, m, firstSegment)
	for block := 2; block <= 4; block++ {
		broken := slices.Clone(whole)
		b := broken[block*BlockBytes : (block+1)*BlockBytes]
		h, ok := parseHeader(b)
		if !ok {
			t.Fatalf("no batch in block %d", block)
		}
		h.Previous++
		h.put(b)
		le32(b[BlockBytes-4:], checksum(b[:BlockBytes-4]))
		c := m.Clone(1)
		replace(t, c, firstSegment, broken)
		if _, err := Open("data", tiny(c)); !isDamage(err) {
			t.Fatalf("block %d: got %v, want *DamageError", block, err)
		}
	}
}

// D14: what was right at Open is verified again when it is read.
func TestReplayVerifiesWhatItReads(t *testing.T) {
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	mustPut(t, s, entry(1, 1, "a"))
	mustPut(t, s, entry(1, 2, "b"))
	for n := range int64(12) {
		reads := int64(0)
		m.Fault = func(o Operation) Fault {
			if o.Kind == OpRead {
				reads++
			}
			if o.Kind == OpRead && reads == n {
				return Flip
			}
			return 0
		}
		got, err := replayAll(s, 1)
		if err == nil && !slices.Equal(got, []string{"1/1 a", "1/2 b"}) || err != nil && !isDamage(err) {
			t.Fatalf("flip in read %d: %q, %v", n, got, err)
		}
	}
	whole := content(t, m, firstSegment)
	whole[2*BlockBytes+batchHeaderBytes+3] ^= 1
	f, _ := m.Open(firstSegment, Write)
	if _, err := f.WriteAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := replayAll(s, 1); !isDamage(err) {
		t.Fatalf("got %v, want *DamageError", err)
	}
}

// D2: a sector that cannot be read is damage, not the end of the log.
func TestAnUnreadableBlockIsDamage(t *testing.T) {
	m := NewMemory(1)
	logOf(t, tiny(m), 3)
	m.Fault = func(o Operation) Fault {
		if o.Kind == OpRead && strings.HasSuffix(o.Name, ".log") {
			return Fail
		}
		return 0
	}
	if _, err := Open("data", tiny(m)); !isDamage(err) {
		t.Fatalf("got %v, want *DamageError", err)
	}
}

// D4: a disk that lies about syncs is outside the promise; what can be seen of it
// is seen, and nothing false is shown.
func TestALyingDiskShowsAPrefixOrDamage(t *testing.T) {
	for seed := range uint64(200) {
		m := NewMemory(seed)
		s := mustOpen(t, tiny(m))
		var all []string
		m.Fault = func(o Operation) Fault { return Lie }
		m.Direct = false
		_ = s.Close()
		s = mustOpen(t, tiny(m))
		for i := range uint64(12) {
			mustPut(t, s, entry(1, i+1, strings.Repeat("l", int(seed)*20)))
			all = contents(t, s, 1)
		}
		m.Crash()
		s, err := Open("data", tiny(m))
		if err != nil {
			if !isDamage(err) {
				t.Fatalf("seed %d: %v", seed, err)
			}
			continue
		}
		got := contents(t, s, 1)
		if len(got) > len(all) || !slices.Equal(got, all[:len(got)]) {
			t.Fatalf("seed %d: recovered what was never written", seed)
		}
	}
}

// D10, D14: each flipped bit of a snapshot is noticed, and the one before serves.
func TestADamagedSnapshotFallsBackToTheOneBefore(t *testing.T) {
	t.Parallel()
	m := NewMemory(1)
	s := mustOpen(t, tiny(m))
	for i := range uint64(3) {
		makeSnapshot(t, s, i+1, strings.Repeat(fmt.Sprint(i), 300))
	}
	metas, err := s.Snapshots(1)
	if err != nil || len(metas) != 2 || metas[0].Index != 3 || metas[1].Index != 2 {
		t.Fatalf("got %v %v, want indexes 3 and 2", metas, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	name := "data/snapshots/" + snapshotName(metas[0]) + snapshotSuffix
	whole := content(t, m, name)
	for bit := 0; bit < len(whole)*8; bit += int(stride()) {
		c := m.Clone(1)
		broken := slices.Clone(whole)
		broken[bit/8] ^= 1 << (bit % 8)
		replace(t, c, name, broken)
		s := mustOpen(t, tiny(c))
		metas, err := s.Snapshots(1)
		if err != nil || len(metas) != 1 || metas[0].Index != 2 {
			t.Fatalf("bit %d: got %v %v", bit, metas, err)
		}
		if r, err := s.OpenSnapshot(1, 3); err == nil {
			if _, err = io.ReadAll(r); !isDamage(err) {
				t.Fatalf("bit %d: read with %v", bit, err)
			}
		}
		makeSnapshot(t, s, 4, "new")
		if metas, _ = s.Snapshots(1); len(metas) != 2 || metas[1].Index != 2 {
			t.Fatalf("bit %d: the good one was dropped for the damaged: %v", bit, metas)
		}
	}
	for n := range whole {
		c := m.Clone(1)
		replace(t, c, name, whole[:n])
		s := mustOpen(t, tiny(c))
		if meta, found, err := s.NewestSnapshot(1, math.MaxUint64); err != nil || !found || meta.Index != 2 {
			t.Fatalf("truncated at %d: newest snapshot %+v, %v, %v, want the one at 2", n, meta, found, err)
		}
		if _, found, err := s.NewestSnapshot(1, 2); err != nil || found {
			t.Fatalf("truncated at %d: %v, %v: a snapshot before the oldest", n, found, err)
		}
		if metas, _ := s.Snapshots(1); len(metas) != 1 || metas[0].Index != 2 {
			t.Fatalf("truncated at %d: got %v", n, metas)
		}
	}
}

func makeSnapshot(t testing.TB, s *Store, index uint64, text string) SnapshotMeta {
	t.Helper()
	w, err := s.CreateSnapshot(SnapshotMeta{Group: 1, Index: index, Term: 1, Header: []byte("conf")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	meta, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return meta
}
