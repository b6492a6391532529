package storage

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// batcher is what only the writer touches: the goroutine, or in Manual mode the
// caller of Flush.
type batcher struct {
	work     []request // taken from the queue
	next     int       // first request of work that is not answered
	request  int       // position of the next record to encode
	record   int
	encoder  batchEncoder
	sequence uint64 // of the last durable batch
	chain    uint32 // its CRC
	marked   bool   // it was a sync mark
	// stalled says that the disk had no room for a segment at the last attempt.
	stalled bool
	// keepNeeded says that the keeper has something to prepare or to reclaim.
	keepNeeded bool
}

// flush writes one batch: what has queued up, at most MaxBatchBytes of it, or
// with flags an empty one. It calls done for each request that is complete. It
// returns ErrFull, and changes nothing, if a new segment is needed and cannot be
// had; any other error is final.
func (s *Store) flush(flags uint32) error {
	some, err := s.take()
	if err != nil {
		s.answerAll(err)
		return err
	}
	if !some && flags == 0 {
		return nil
	}
	seg, err := s.encode(flags)
	if errors.Is(err, ErrFull) {
		if stampErr := s.stamp(); stampErr != nil {
			s.fail(stampErr)
			s.answerAll(stampErr)
			return stampErr
		}
		return err
	}
	s.stalled = false
	if err == nil && (s.encoder.header.Records > 0 || flags != 0) {
		err = s.write(seg)
	}
	if err != nil {
		s.fail(err)
		s.answerAll(err)
		return err
	}
	s.answerDurable()
	return nil
}

// encode fills the next batch, after a roll to the next segment if the first
// record does not fit into this one.
func (s *Store) encode(flags uint32) (*segment, error) {
	x := &s.index
	x.mu.Lock()
	defer x.mu.Unlock()
	s.skipBarriers()
	seg := x.current()
	need := batchSize(s.nextSize() + len(x.unwritten)*recordHeaderBytes)
	if seg.end > segmentStart && seg.end+int64(need) > seg.Size-stampBytes {
		if len(x.prepared) == 0 {
			return nil, ErrFull
		}
		seg = s.roll()
	}
	h := s.nextHeader(seg)
	h.Flags = flags
	var opening []flaggedRecord
	if seg.end == segmentStart {
		h.Flags |= flagCarry
		opening = x.carried()
	}
	s.encoder.begin(h)
	for _, r := range append(opening, x.marks()...) {
		s.encoder.add(r.Record, r.flags)
	}
	if s.encodeWork(int(seg.Size - stampBytes - seg.end)) {
		s.encoder.header.Flags &^= flagMark // a mark protects, so it cannot need protection
	}
	return seg, nil
}

// nextHeader returns the header of a batch at the end of seg; index.mu is held.
func (s *Store) nextHeader(seg *segment) batchHeader {
	return batchHeader{
		Generation: seg.Generation, Salt: seg.Salt, Offset: seg.end,
		Sequence: s.sequence + 1, Previous: s.chain,
		Oldest: s.index.oldest(), Newest: s.index.newest(),
	}
}

// stampBytes at the end of each segment are kept for one empty batch, for the day
// when the disk is full: it makes a newer Oldest durable, and that is what lets
// dead segments be reused. Each use yields at least one segment.
const stampBytes = BlockBytes

// stamp writes that batch if it would tell anything new.
func (s *Store) stamp() error {
	x := &s.index
	x.mu.Lock()
	seg := x.current()
	useful := x.oldest() > x.stamped && seg.end+stampBytes <= seg.Size
	h := s.nextHeader(seg)
	x.mu.Unlock()
	if !useful {
		return nil
	}
	s.stalled = false
	s.encoder.begin(h)
	return s.write(seg)
}

// nextSize returns how many bytes the next record takes, 0 if there is none.
func (s *Store) nextSize() int {
	if s.request < len(s.work) {
		return recordSize(s.work[s.request].records[s.record].Data)
	}
	return 0
}

// skipBarriers moves the position past requests without records.
func (s *Store) skipBarriers() {
	for s.request < len(s.work) && s.record >= len(s.work[s.request].records) {
		s.request++
		s.record = 0
	}
}

// encodeWork adds records until the batch or the room in the segment is full. One
// record always fits: encode has seen to that. It reports whether it added any.
func (s *Store) encodeWork(room int) bool {
	limit := min(s.options.MaxBatchBytes, room)
	some := false
	for s.request < len(s.work) {
		r := &s.work[s.request].records[s.record]
		size := batchSize(s.encoder.header.Payload + recordSize(r.Data))
		if size > limit && some || size > room {
			break
		}
		s.encoder.add(*r, 0)
		s.record++
		s.skipBarriers()
		some = true
	}
	return some
}

// roll makes the next prepared segment the current one. The old one is full and
// durable; replays open it for themselves. index.mu is held.
func (s *Store) roll() *segment {
	x := &s.index
	old := x.current()
	if old.file != nil {
		_ = old.file.Close() // nothing is left to be written
		old.file = nil
	}
	seg := x.prepared[0]
	x.prepared = x.prepared[1:]
	x.segments = append(x.segments, seg)
	return seg
}

// write makes the encoded batch durable and only then tells the index of it.
func (s *Store) write(seg *segment) error {
	block, sum := s.encoder.finish()
	h := &s.encoder.header
	s.meter.begin()
	n, err := seg.file.WriteAt(block, h.Offset)
	if err == nil && n < len(block) {
		err = io.ErrShortWrite
	}
	if err == nil && !seg.file.Durable() {
		err = seg.file.Sync()
	}
	s.meter.end(h)
	if err != nil {
		return fmt.Errorf("storage: write batch %d to %s: %w", h.Sequence, seg.name, err)
	}
	s.sequence, s.chain, s.marked = h.Sequence, sum, h.Flags&flagMark != 0
	s.position.Store(h.Sequence)
	return s.commit(seg, h)
}

// commit takes the batch that has just become durable into the index.
func (s *Store) commit(seg *segment, h *batchHeader) error {
	x := &s.index
	x.mu.Lock()
	defer x.mu.Unlock()
	to := h.Offset + int64(h.Size)
	for _, r := range s.encoder.records {
		if r.flags&recordCarried == 0 {
			x.apply(seg, r, h.Offset, to)
		}
	}
	seg.end = to
	x.stamped = h.Oldest
	s.keepNeeded = len(x.prepared) == 0 || x.segments[0].Generation < x.stamped
	if x.stateBytes > s.maxState {
		return fmt.Errorf("storage: state of %d bytes: %w", x.stateBytes, ErrTooLarge)
	}
	return nil
}

// run is the writer: exactly one flush at a time, and what arrives meanwhile is
// the next batch.
func (s *Store) run() {
	defer close(s.writerDone)
	idle := time.NewTimer(s.options.MarkAfter)
	defer idle.Stop()
	for {
		flags, more := s.await(idle)
		if !more {
			return
		}
		err := s.flush(flags)
		if errors.Is(err, ErrFull) && flags == 0 && !s.awaitSegment() {
			s.fail(ErrFull)
		}
		if err == nil && s.keepNeeded {
			s.keepNeeded = false
			s.poke()
		}
	}
}

// await sleeps until there is something to write. It returns flagMark when the
// log has been idle for long enough and false when the store is being closed.
func (s *Store) await(idle *time.Timer) (flags uint32, more bool) {
	if s.next < len(s.work) {
		return 0, true
	}
	s.mu.Lock()
	some, closed := len(s.queue.requests) > 0, s.queue.closed
	s.queue.asleep = !some && !closed
	s.mu.Unlock()
	if some || closed {
		return 0, some
	}
	idle.Reset(s.options.MarkAfter)
	for {
		select {
		case <-s.wake:
			return 0, true
		case <-idle.C:
			if s.markNeeded() && s.rouse() {
				return flagMark, true
			}
		}
	}
}

// rouse takes the writer out of its sleep unless an Append has already done so.
func (s *Store) rouse() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.queue.asleep
	s.queue.asleep = false
	return was
}

// markNeeded reports whether a sync mark would tell anything new.
func (s *Store) markNeeded() bool {
	s.mu.Lock()
	failed := s.queue.err != nil
	s.mu.Unlock()
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	return !failed && (!s.marked || len(s.index.unwritten) > 0 || s.index.oldest() > s.index.stamped)
}
