package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Open opens the data directory, or makes it if it is empty, and recovers the
// log. It returns ErrLocked if somebody else has it open, ErrReadOnly if it cannot
// be written, *IdentityError if it belongs to another node or cluster,
// *FormatError if a newer version wrote it, *DamageError if what was durable is no
// longer there, and *LostError if Condemn or Quarantine has marked it. A full disk is no reason not to open a directory that exists.
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
	if err := readLost(s.fs, s.dir); err != nil {
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
		s.log.Info("store created", "dir", s.dir, "incarnation", s.identity.Incarnation)
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
		return fmt.Errorf("storage: %s: %w: its lock file cannot be opened for writing", s.dir, ErrReadOnly)
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
	scan, err := s.recoverLog()
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
