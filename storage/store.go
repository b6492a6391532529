package storage

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
)

// Group numbers a replicated log, or anything else whose records are kept apart.
type Group uint32

// Record is what the log keeps.
//
// With Index > 0 it is about log positions up to Index and lives until Release of
// its group reaches Index. With Index == 0 it is state: of each (Group, Type)
// only the newest counts, and that one is never lost to Release.
type Record struct {
	Group Group
	Type  uint8 // the owner's; any value
	Index uint64
	Data  []byte // at most Store.MaxRecordBytes
}

const (
	lockName    = "lock"
	logDirName  = "wal"
	snapDirName = "snapshots"
)

// Store is an open data directory: its log, its snapshots, its identity.
type Store struct {
	fs      FS
	dir     string
	logDir  string
	snapDir string
	options Options
	log     *slog.Logger
	lock    File

	identityMu sync.Mutex
	identity   Identity
	abandoned  bool // the lock is given up; with identityMu

	mu    sync.Mutex // guards queue only: Append waits for nothing else
	queue queue
	batcher
	index     logIndex
	meter     meter
	maxRecord int
	maxState  int

	position      atomic.Uint64 // batcher.sequence, for everybody
	overwriteTorn bool          // the tail holds a torn batch until the first batch is written

	keeping   sync.Mutex // one maintain at a time
	reserve   atomic.Bool
	full      atomic.Bool
	freeBytes atomic.Int64

	wake         chan struct{}
	keeperWake   chan struct{}
	segmentReady chan struct{}
	quit         chan struct{}
	writerDone   chan struct{}
	keeperDone   chan struct{}

	snapshots snapshotShelf
}

// Pending returns how many bytes wait for the disk or are being written. A caller
// that appends without end must hold back while it is high. Safe for concurrent use.
func (s *Store) Pending() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.bytes
}

// MaxRecordBytes returns the largest Data that a record may have.
func (s *Store) MaxRecordBytes() int { return s.maxRecord }

// Full reports that the disk, or what the log may take of it, is nearly full: new
// proposals should be refused until it is false again. Records that must be
// written still can be, as long as the reserve lasts. Safe for concurrent use.
func (s *Store) Full() bool { return s.full.Load() }

// Flush makes durable what was appended before. In Manual mode it writes one
// batch, which Pending shows to be all or not, calls done of the requests that it
// completes, and returns ErrFull, with everything still queued, if the disk has
// no room for a segment. Otherwise it waits for the writer. Every error but
// ErrFull in Manual mode is final.
func (s *Store) Flush() error {
	if s.options.Manual {
		return s.step(0)
	}
	answered := make(chan error, 1)
	s.Append(nil, func(err error) { answered <- err })
	return <-answered
}

// Mark, in Manual mode, writes what is queued and then a sync mark: a batch that
// says that all before it was durable, so that damage there is told from a torn
// tail. With the writer running marks come by themselves, and Mark is Flush.
func (s *Store) Mark() error {
	if !s.options.Manual {
		return s.Flush()
	}
	for s.Pending() > 0 {
		if err := s.step(0); err != nil {
			return err
		}
	}
	return s.step(flagMark)
}

// step is one round of the writer and the keeper in Manual mode.
func (s *Store) step(flags uint32) error {
	s.mu.Lock()
	closed := s.queue.closed
	s.mu.Unlock()
	if closed {
		return ErrClosed
	}
	err := s.flush(flags)
	if errors.Is(err, ErrFull) {
		if err = s.maintain(); err == nil {
			err = s.flush(flags)
		}
	}
	if err != nil {
		if !errors.Is(err, ErrFull) {
			s.fail(err)
		}
		return err
	}
	if err := s.maintain(); err != nil {
		s.fail(err)
		return err
	}
	return nil
}

// Close writes what is queued, then a sync mark, and gives up the lock. It returns
// the final error of the log, if there was one. Later calls return ErrClosed.
func (s *Store) Close() error {
	if !s.shut() {
		return ErrClosed
	}
	var err error
	if s.options.Manual {
		err = s.drain()
	} else {
		<-s.writerDone
		close(s.quit)
		<-s.keeperDone
		s.mu.Lock()
		err = s.queue.err
		s.mu.Unlock()
	}
	if err == nil && s.markNeeded() {
		err = s.flush(flagMark)
		if errors.Is(err, ErrFull) {
			err = nil // no room for the mark: nothing is lost but the mark
		}
	}
	s.abandon()
	return err
}

// shut stops further Appends and wakes the writer. It reports false if that was
// done before.
func (s *Store) shut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue.closed {
		return false
	}
	s.queue.closed = true
	if s.queue.asleep {
		s.queue.asleep = false
		s.wake <- struct{}{}
	}
	return true
}

// drain writes all that is queued, in Manual mode.
func (s *Store) drain() error {
	for {
		some, err := s.take()
		if err == nil && !some {
			return nil
		}
		if err := s.flush(0); err != nil {
			if errors.Is(err, ErrFull) && s.maintain() == nil && len(s.index.prepared) > 0 {
				continue
			}
			s.fail(err)
			s.answerAll(err)
			return err
		}
	}
}

// abandon closes all handles, the lock last. Nothing is written.
func (s *Store) abandon() {
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	for _, seg := range append(s.index.segments, s.index.prepared...) {
		if seg.file != nil {
			_ = seg.file.Close()
			seg.file = nil
		}
	}
	s.identityMu.Lock()
	defer s.identityMu.Unlock()
	s.abandoned = true
	if s.lock != nil {
		_ = s.lock.Close()
	}
}
