package storage

import (
	"bytes"
	"slices"
	"testing"
)

// FuzzBatch feeds arbitrary bytes to the reader of batches and records. Whatever
// it accepts must encode to the same bytes again.
func FuzzBatch(f *testing.F) {
	var e batchEncoder
	e.begin(batchHeader{Generation: 1, Salt: 2, Offset: 4096, Sequence: 3, Oldest: 1, Newest: 2})
	f.Add(slices.Clone(first(e.finish())))
	e.add(entry(1, 7, "data"), 0)
	e.add(state(2, 1, "state"), recordCarried)
	f.Add(slices.Clone(first(e.finish())))
	f.Add([]byte(batchMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parseHeader(b)
		if !ok {
			return
		}
		if h.Size < batchHeaderBytes+h.Payload+trailerBytes {
			t.Fatalf("header %+v does not fit", h)
		}
		b = b[:min(len(b), h.Size)]
		if len(b) < h.Size {
			return
		}
		var again batchEncoder
		again.begin(h)
		err := eachRecord(h, b, func(r Record, flags uint8) error {
			again.add(r, flags)
			return nil
		})
		if _, ok := checkBatch(b); !ok || err != nil {
			return
		}
		if !bytes.Equal(first(again.finish())[:80+h.Payload], b[:80+h.Payload]) {
			t.Fatal("encodes to something else")
		}
	})
}

func first(b []byte, _ uint32) []byte { return b }

// FuzzRecords skips the checksums of the batch, which a fuzzer cannot guess.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("records"), 1)
	f.Add(make([]byte, 100), 4)
	f.Fuzz(func(t *testing.T, payload []byte, count int) {
		h := batchHeader{Payload: len(payload), Records: min(max(count, 0), 1<<16)}
		b := append(make([]byte, batchHeaderBytes), payload...)
		_ = eachRecord(h, b, func(r Record, _ uint8) error {
			if len(r.Data) > len(payload) {
				t.Fatal("data from nowhere")
			}
			return nil
		})
	})
}

// FuzzIdentity: arbitrary bytes are refused, or are what the identity encodes to.
func FuzzIdentity(f *testing.F) {
	f.Add(Identity{Node: "n", Cluster: "c", Incarnation: 1, Format: 1}.encode(), false)
	f.Add([]byte(identityMagic), true)
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		b = slices.Clone(b)
		if seal && len(b) >= 24 {
			copy(b, identityMagic)
			le32(b[12:], identitySum(b))
		}
		if i, err := decodeIdentity("identity", b); err == nil && !bytes.Equal(i.encode(), b) {
			t.Fatalf("%+v encodes to something else", i)
		}
	})
}

// FuzzSnapshot: an arbitrary file is damage, or a snapshot that reads to its end.
func FuzzSnapshot(f *testing.F) {
	m := NewMemory(1)
	s := mustOpen(f, small(m))
	meta := makeSnapshot(f, s, 1, "content")
	f.Add(content(f, m, "data/snapshots/"+snapshotName(meta)+snapshotSuffix), false)
	f.Add([]byte(snapshotMagic), true)
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		b = slices.Clone(b)
		if seal && len(b) >= snapshotHeaderBytes {
			copy(b, snapshotMagic)
			le32(b[8:], snapshotFormat)
			le32(b[52:], 0)
			le32(b[12:], identitySum(b[:snapshotHeaderBytes]))
		}
		c := NewMemory(1)
		if err := c.MakeDir("d"); err != nil {
			t.Fatal(err)
		}
		replace(t, c, "d/x.snap", b)
		meta, err := verifySnapshot(c, "d/x.snap", func(int64, int64) {})
		if err == nil && meta.Size > int64(len(b)) {
			t.Fatalf("%d bytes of content in a file of %d", meta.Size, len(b))
		}
	})
}

// FuzzLog: a log with arbitrary bytes in it is opened or refused.
func FuzzLog(f *testing.F) {
	m := NewMemory(1)
	logOf(f, tiny(m), 3)
	whole := content(f, m, firstSegment)
	f.Add(uint16(5000), []byte("x"))
	f.Fuzz(func(t *testing.T, at uint16, b []byte) {
		c := m.Clone(1)
		broken := slices.Clone(whole)
		copy(broken[int(at)%len(broken):], b)
		replace(t, c, firstSegment, broken)
		if err := unharmed(c, []string{"9/0 vote", "1/1 entry 1", "1/2 entry 2", "1/3 entry 3"}); err != nil {
			t.Fatal(err)
		}
	})
}
