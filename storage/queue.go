package storage

import (
	"time"
)

// request is one Append on its way to the disk.
type request struct {
	records []Record
	done    func(error)
	bytes   int64
}

// queue is what waits for the writer. Append only takes its lock, appends, and
// wakes the writer if that sleeps.
type queue struct {
	requests []request
	bytes    int64 // waiting or being written
	since    time.Time
	err      error // final: all later requests fail with it
	closed   bool
	asleep   bool
}

// Append queues records for the log. It never blocks and never waits for the
// disk. done, which may be nil, is called once all records of the call and of all
// earlier calls are durable, in the order of the calls, on the writer's goroutine
// (in Manual mode: inside Flush, Mark or Close); it must not block, nor call
// Flush, Mark or Close. After a crash a prefix of what was appended is there:
// all that is durable, and possibly more.
//
// records and their Data belong to the store until done is called. No records is
// a barrier: done is called when all earlier ones are durable.
//
// An error is final: something may or may not have been written, nothing will be
// any more, and every later Append fails with the same error. It is ErrClosed
// after Close, ErrOverloaded or ErrTooLarge if a limit was broken, otherwise what
// the disk said. The only way on is to Open again. Safe for concurrent use.
func (s *Store) Append(records []Record, done func(error)) {
	r := request{records: records, done: done}
	tooLarge := false
	for i := range records {
		r.bytes += int64(recordSize(records[i].Data))
		tooLarge = tooLarge || len(records[i].Data) > s.maxRecord
	}
	s.mu.Lock()
	q := &s.queue
	if q.closed {
		s.mu.Unlock()
		r.answer(ErrClosed)
		return
	}
	if q.bytes == 0 && !s.options.Manual {
		q.since = time.Now()
	}
	q.requests = append(q.requests, r)
	q.bytes += r.bytes
	if q.err == nil && tooLarge {
		q.err = ErrTooLarge
	}
	if q.err == nil && q.bytes > s.options.MaxPendingBytes {
		// Refusing this one alone would leave a hole before the next.
		q.err = ErrOverloaded
	}
	wake := q.asleep
	q.asleep = false
	s.mu.Unlock()
	if wake {
		s.wake <- struct{}{}
	}
}

func (r *request) answer(err error) {
	if r.done != nil {
		r.done(err)
	}
}

// take fetches what has queued up, unless the last batch was too small for all of
// what was fetched before. It reports whether there is anything to do.
func (s *Store) take() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == len(s.work) {
		clear(s.work)
		s.work, s.queue.requests = s.queue.requests, s.work[:0]
		s.next, s.request, s.record = 0, 0, 0
	}
	return len(s.work) > 0, s.queue.err
}

// answerDurable calls done of the requests whose last record has been written.
func (s *Store) answerDurable() {
	var bytes int64
	first := s.next
	for _, r := range s.work[first:s.request] {
		bytes += r.bytes
	}
	s.next = s.request
	s.settle(bytes)
	for i := first; i < s.next; i++ {
		s.work[i].answer(nil)
	}
}

func (s *Store) settle(bytes int64) {
	s.mu.Lock()
	s.queue.bytes -= bytes
	if !s.options.Manual {
		s.queue.since = time.Now()
	}
	s.mu.Unlock()
}

// answerAll fails everything that waits.
func (s *Store) answerAll(err error) {
	for {
		rest := s.work[s.next:]
		s.next = len(s.work)
		for i := range rest {
			s.settle(rest[i].bytes)
			rest[i].answer(err)
		}
		if some, _ := s.take(); !some {
			return
		}
	}
}

// fail makes err the final answer to every later Append, unless there is one.
func (s *Store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue.err == nil {
		s.queue.err = err
	}
}
