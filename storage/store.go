package storage

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
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

// Options says how to open a store. The zero value of each field is its default,
// except Node, which is needed.
type Options struct {
	FS FS // default OS()
	// Node is the operator's name of this node, 1 to 255 bytes. A directory keeps
	// the first one it was opened with and refuses another.
	Node string
	// Cluster, if set, must be the directory's, once it has one.
	Cluster string
	// Manual runs everything inside Flush, Mark and Close, on the caller's
	// goroutine: no goroutine, no timer, no clock that matters. For simulators.
	// Only one goroutine may then use the log.
	Manual bool
	// SegmentBytes is the size of each segment file, a multiple of BlockBytes from
	// 48 KiB to 1 GiB. Default 64 MiB. It may change between openings.
	SegmentBytes int64
	// MaxBatchBytes bounds one write; a larger single record is written alone.
	// Default 4 MiB.
	MaxBatchBytes int
	// MaxPendingBytes bounds what may wait in memory; beyond it the log fails with
	// ErrOverloaded. A caller that watches Pending never gets there. Default 256 MiB.
	MaxPendingBytes int64
	// ReserveBytes is given back to a full disk, so that votes and snapshots can
	// still be written. Default SegmentBytes; negative: none.
	ReserveBytes int64
	// MinFreeBytes is the low-water mark below which Full is true. Default twice
	// SegmentBytes; negative: 0.
	MinFreeBytes int64
	// MaxSegments is how many segments may be retained before Full is true, as a
	// request for compaction. Default 64.
	MaxSegments int
	// MarkAfter is how long the log is idle before a sync mark is written. Default
	// 50 ms. Without meaning in Manual mode.
	MarkAfter time.Duration
	// Logger gets a few lines for the operator. Default: none.
	Logger *slog.Logger
	// Progress is told how far Open has come: stage "log", bytes read, bytes to
	// read; and how far Snapshots has come with a file: stage "snapshot". It runs
	// on the goroutine of that call. Default: none.
	Progress func(stage string, done, total int64)
	// Random returns random numbers for the incarnation and for salts. Default
	// crypto/rand. A simulator gives its own, to be reproducible.
	Random func() uint64
}

func (o Options) withDefaults() Options {
	setDefault := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
		*v = max(*v, 0)
	}
	if o.FS == nil {
		o.FS = OS()
	}
	setDefault(&o.SegmentBytes, 64<<20)
	setDefault(&o.MaxPendingBytes, 256<<20)
	setDefault(&o.ReserveBytes, o.SegmentBytes)
	setDefault(&o.MinFreeBytes, 2*o.SegmentBytes)
	if o.MaxBatchBytes <= 0 {
		o.MaxBatchBytes = 4 << 20
	}
	if o.MaxSegments <= 0 {
		o.MaxSegments = 64
	}
	if o.MarkAfter <= 0 {
		o.MarkAfter = 50 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	if o.Random == nil {
		o.Random = randomNumber
	}
	return o
}

func (o Options) check() error {
	if len(o.Node) == 0 || len(o.Node) > maxNameBytes || len(o.Cluster) > maxNameBytes {
		return fmt.Errorf("storage: node name of %d bytes and cluster id of %d: want 1 to %d and at most %d",
			len(o.Node), len(o.Cluster), maxNameBytes, maxNameBytes)
	}
	if o.SegmentBytes < minSegmentBytes || o.SegmentBytes > maxSegmentBytes || o.SegmentBytes%BlockBytes != 0 {
		return fmt.Errorf("storage: segment of %d bytes: want a multiple of %d from %d to %d",
			o.SegmentBytes, BlockBytes, minSegmentBytes, maxSegmentBytes)
	}
	return nil
}

func randomNumber() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
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

	mu    sync.Mutex // guards queue only: Append waits for nothing else
	queue queue
	batcher
	index     logIndex
	meter     meter
	maxRecord int
	maxState  int

	overwriteTorn bool // the tail holds a torn batch until the first batch is written

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

// Open opens the data directory, or makes it if it is empty, and recovers the
// log. It returns ErrLocked if somebody else has it open, ErrReadOnly if it cannot
// be written, *IdentityError if it belongs to another node or cluster,
// *FormatError if a newer version wrote it, and *DamageError if what was durable is
// no longer there. A full disk is no reason not to open a directory that exists.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	dir = filepath.ToSlash(filepath.Clean(dir))
	s := &Store{
		fs: o.FS, dir: dir, logDir: path.Join(dir, logDirName), snapDir: path.Join(dir, snapDirName),
		options: o, log: o.Logger,
		wake: make(chan struct{}, 1), keeperWake: make(chan struct{}, 1), segmentReady: make(chan struct{}, 1),
		quit: make(chan struct{}), writerDone: make(chan struct{}), keeperDone: make(chan struct{}),
	}
	s.index.reset()
	s.snapshots.init()
	if err := s.open(); err != nil {
		s.abandon()
		if isReadOnly(err) && !errors.Is(err, ErrReadOnly) {
			err = fmt.Errorf("storage: open %s: %w: %w", dir, ErrReadOnly, err)
		}
		return nil, err
	}
	if !o.Manual {
		go s.run()
		go s.keep()
		s.poke()
	}
	return s, nil
}

func (s *Store) open() error {
	if err := s.makeDirs(); err != nil {
		return err
	}
	if err := s.takeLock(); err != nil {
		return err
	}
	known, err := s.establish()
	if err != nil {
		return err
	}
	if !known {
		if err := s.create(); err != nil {
			return err
		}
	} else if err := s.reopen(); err != nil {
		return err
	}
	s.limit()
	if err := s.writeOpening(); err != nil {
		return err
	}
	if !known {
		if err := writeIdentity(s.fs, s.dir, s.identity); err != nil {
			return err
		}
		s.log.Info("store created", "dir", s.dir, "node", s.identity.Node, "incarnation", s.identity.Incarnation)
	}
	if err := s.openShelf(); err != nil {
		return err
	}
	if s.options.Manual {
		return s.maintain()
	}
	return nil
}

// writeOpening writes the first batch. It stands where a torn one stood, if there
// was one, so that this can never come back. On a full disk there may be no room;
// then no torn one is there either, and the batch can be done without.
func (s *Store) writeOpening() error {
	err := s.flush(flagOpen)
	if errors.Is(err, ErrFull) && !s.overwriteTorn {
		return nil
	}
	if errors.Is(err, ErrFull) {
		seg := s.index.current()
		h := s.nextHeader(seg)
		h.Flags = flagOpen
		s.encoder.begin(h)
		err = s.write(seg)
	}
	if err != nil {
		return fmt.Errorf("storage: first batch after opening: %w", err)
	}
	return nil
}

func (s *Store) makeDirs() error {
	for _, d := range []string{s.logDir, s.snapDir} {
		if err := s.fs.MakeDir(d); err != nil {
			return fmt.Errorf("storage: make %s: %w", d, err)
		}
	}
	// A parent that we may not read cannot be synced; it is not ours either.
	if err := s.fs.SyncDir(path.Dir(s.dir)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("storage: sync %s: %w", path.Dir(s.dir), err)
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		return fmt.Errorf("storage: sync %s: %w", s.dir, err)
	}
	return nil
}

func (s *Store) takeLock() error {
	name := path.Join(s.dir, lockName)
	f, err := s.fs.Lock(name)
	if errors.Is(err, ErrLocked) {
		return fmt.Errorf("storage: %s: %w%s", s.dir, ErrLocked, lockHolder(s.fs, name))
	}
	if err != nil {
		return fmt.Errorf("storage: lock %s: %w", s.dir, err)
	}
	s.lock = f
	text := strconv.Itoa(os.Getpid()) + "\n"
	err = f.Truncate(0)
	if errors.Is(err, syscall.EINVAL) { // Lock has opened what it cannot write
		return fmt.Errorf("storage: %s: %w: %w", s.dir, ErrReadOnly, err)
	}
	if err != nil {
		return fmt.Errorf("storage: write %s: %w", name, err)
	}
	if _, err := f.WriteAt([]byte(text), 0); err != nil && !isNoSpace(err) {
		return fmt.Errorf("storage: write %s: %w", name, err)
	}
	return nil
}

// lockHolder says which process wrote the lock file last, for the error text.
func lockHolder(fsys FS, name string) string {
	b, err := readFile(fsys, name, 32)
	if pid := strings.TrimSpace(string(b)); err == nil && pid != "" {
		return fmt.Sprintf(" by process %s", pid)
	}
	return ""
}

// create makes the log of a new directory. The identity is written last: without
// it a directory is unfinished, and whatever is in it may be thrown away, unless
// it holds records; then it is the identity that was lost.
func (s *Store) create() error {
	if err := s.clearUnfinished(); err != nil {
		return err
	}
	s.identity = Identity{Node: s.options.Node, Cluster: s.options.Cluster, Format: identityFormat}
	for s.identity.Incarnation == 0 {
		s.identity.Incarnation = s.options.Random()
	}
	seg, err := s.nextSegment(1)
	if err != nil {
		return fmt.Errorf("storage: create the log: %w", err)
	}
	s.index.segments = []*segment{seg}
	return nil
}

func (s *Store) clearUnfinished() error {
	records := 0
	scan := &scanner{
		fs: s.fs, dir: s.logDir, progress: func(int64, int64) {},
		visit: func(_ *scanned, h batchHeader, _ []byte) error { records += h.Records; return nil },
	}
	if err := scan.run(); err != nil {
		return err
	}
	if err := scan.verdict(); err != nil {
		return err
	}
	snapshots, err := s.fs.List(s.snapDir)
	if err != nil {
		return fmt.Errorf("storage: list %s: %w", s.snapDir, err)
	}
	if records > 0 || len(snapshots) > 0 {
		return &DamageError{File: path.Join(s.dir, identityName), Reason: "identity is missing, though the directory holds data"}
	}
	for _, g := range scan.segments {
		scan.temps = append(scan.temps, g.name)
	}
	for _, name := range scan.temps {
		if err := s.fs.Remove(name); err != nil {
			return fmt.Errorf("storage: remove %s: %w", name, err)
		}
	}
	return nil
}

// reopen recovers the log of a complete directory.
func (s *Store) reopen() error {
	start := time.Now()
	scan, err := s.recover()
	if err != nil {
		return err
	}
	if err := s.resume(scan); err != nil {
		return err
	}
	if err := s.findReserve(); err != nil {
		return err
	}
	s.overwriteTorn = scan.torn
	if s.index.current().end+stampBytes >= s.index.current().Size {
		if err := s.prepare(); err != nil && !isNoSpace(err) {
			return err
		}
	}
	s.log.Info("log recovered", "dir", s.dir, "segments", len(s.index.segments), "batches", s.sequence, "torn", scan.torn, "took", time.Since(start))
	return nil
}

func (s *Store) findReserve() error {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return fmt.Errorf("storage: list %s: %w", s.dir, err)
	}
	for _, name := range names {
		switch {
		case name == reserveName && s.options.ReserveBytes > 0:
			s.reserve.Store(true)
		case name == reserveName || strings.HasSuffix(name, tempSuffix):
			if err := s.fs.Remove(path.Join(s.dir, name)); err != nil {
				return fmt.Errorf("storage: remove %s: %w", name, err)
			}
		}
	}
	return nil
}

// limit derives how large records and state may be from the smallest segment that
// may come next: half for a record, a quarter for the state.
func (s *Store) limit() {
	size := s.options.SegmentBytes
	for _, seg := range s.index.prepared {
		size = min(size, seg.Size)
	}
	s.maxRecord = int(size/2) - 3*BlockBytes
	s.maxState = int(size / 4)
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

// Mark writes a sync mark in Manual mode: a batch that says that all before it was
// durable, so that damage there is told from a torn tail. With the writer running
// marks come by themselves, and Mark is Flush.
func (s *Store) Mark() error {
	if s.options.Manual {
		return s.step(flagMark)
	}
	return s.Flush()
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
	if s.lock != nil {
		_ = s.lock.Close()
	}
}
