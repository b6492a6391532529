package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// small returns options for tests: 64 KiB segments and reproducible numbers.
func small(fsys FS) Options {
	random := rand.New(rand.NewPCG(1, 2))
	return Options{
		FS: fsys, Node: "n1", Manual: true, SegmentBytes: 64 << 10,
		MaxBatchBytes: 16 << 10, Random: random.Uint64,
	}
}

// tiny has the smallest segments, so that rolls and reuse are frequent.
func tiny(fsys FS) Options {
	o := small(fsys)
	o.SegmentBytes, o.MaxBatchBytes = minSegmentBytes, 8<<10
	return o
}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open("data", o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

// put appends and flushes until all is durable.
func put(s *Store, records ...Record) error {
	var result error
	answered := false
	s.Append(records, func(err error) { result, answered = err, true })
	for !answered {
		if err := s.Flush(); errors.Is(err, ErrFull) {
			return err
		}
	}
	return result
}

func mustPut(t testing.TB, s *Store, records ...Record) {
	t.Helper()
	if err := put(s, records...); err != nil {
		t.Fatalf("append: %v", err)
	}
}

func entry(g Group, index uint64, data string) Record {
	return Record{Group: g, Type: 1, Index: index, Data: []byte(data)}
}

func state(g Group, kind uint8, data string) Record {
	return Record{Group: g, Type: kind, Data: []byte(data)}
}

// contents returns what Replay tells, as text: states first, then entries.
func contents(t testing.TB, s *Store, g Group) []string {
	t.Helper()
	out, err := replayAll(s, g)
	if err != nil {
		t.Fatalf("replay: %v", err)
	}
	return out
}

func replayAll(s *Store, g Group) ([]string, error) {
	var out []string
	err := s.Replay(g, func(r Record) error {
		out = append(out, fmt.Sprintf("%d/%d %s", r.Type, r.Index, r.Data))
		return nil
	})
	return out, err
}

func want(t testing.TB, got []string, wanted ...string) {
	t.Helper()
	if !slices.Equal(got, wanted) {
		t.Fatalf("got %q, want %q", got, wanted)
	}
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

func le32(b []byte, v uint32) { binary.LittleEndian.PutUint32(b, v) }
