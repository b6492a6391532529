package storage

import (
	"sync"
	"time"
)

// Stats is a picture of the log at one moment.
type Stats struct {
	Batches    uint64 // written since Open
	Records    uint64 // in them, including carried state
	Bytes      uint64 // of those batches on disk, with padding
	FlushTotal time.Duration
	FlushMax   time.Duration // since Open
	FlushLast  time.Duration
	// FlushCounts are the flushes by how long they took: the i-th counts those up
	// to FlushBound(i) and above the bound before, the last one all that are longer.
	FlushCounts  [FlushBounds + 1]uint64
	Flushing     time.Time // since when the flush in progress runs; zero if none does (D12)
	Pending      int64     // bytes that wait or are being written
	PendingSince time.Time // since when, at most; zero if nothing waits and in Manual mode

	Segments int    // retained: from the oldest that counts to the current one
	Prepared int    // ready to be written next
	Spare    int    // dead files kept for reuse
	Oldest   uint64 // generation of the oldest retained segment
	Newest   uint64 // generation of the current segment
	// Pinned tells that the oldest retained segment is kept for PinnedBy, the
	// group with the lowest number among those that have live records in it.
	Pinned   bool
	PinnedBy Group

	Full        bool
	ReserveHeld bool
	FreeBytes   int64 // when last measured
	Durable     bool  // writes are durable by themselves (O_DSYNC); false: write and sync
	Err         error // the final error, nil while the log works
}

// FlushBounds is how many bounds there are for the time of a flush.
const FlushBounds = 16

// FlushBound returns the i-th bound: 64 µs, doubled i times.
func FlushBound(i int) time.Duration { return 64 * time.Microsecond << i }

// meter measures flushes. The writer reports, anybody reads.
type meter struct {
	mu    sync.Mutex
	stats Stats
}

func (m *meter) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Flushing = time.Now()
}

func (m *meter) end(h *batchHeader) {
	m.mu.Lock()
	defer m.mu.Unlock()
	took := time.Since(m.stats.Flushing)
	m.stats.Flushing = time.Time{}
	m.stats.Batches++
	m.stats.Records += uint64(h.Records)
	m.stats.Bytes += uint64(h.Size)
	m.stats.FlushLast = took
	i := 0
	for i < FlushBounds && took > FlushBound(i) {
		i++
	}
	m.stats.FlushCounts[i]++
	m.stats.FlushTotal += took
	m.stats.FlushMax = max(m.stats.FlushMax, took)
}

// Stats returns the figures of the log. It does not wait for the disk.
func (s *Store) Stats() Stats {
	s.meter.mu.Lock()
	out := s.meter.stats
	s.meter.mu.Unlock()
	s.mu.Lock()
	out.Pending, out.Err = s.queue.bytes, s.queue.err
	if out.Pending > 0 {
		out.PendingSince = s.queue.since
	}
	s.mu.Unlock()
	out.Full, out.ReserveHeld, out.FreeBytes = s.full.Load(), s.reserve.Load(), s.freeBytes.Load()
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	x := &s.index
	out.Segments, out.Prepared, out.Spare = len(x.segments), len(x.prepared), len(x.spare)
	first := x.segments[0]
	out.Oldest, out.Newest = first.Generation, x.current().Generation
	out.Durable = x.current().file != nil && x.current().file.Durable()
	for g, held := range first.groups {
		if held.live && (!out.Pinned || g < out.PinnedBy) {
			out.Pinned, out.PinnedBy = true, g
		}
	}
	return out
}
