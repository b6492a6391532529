package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// recoverLog applies what the scanner reads to an empty Store.
func (s *Store) recoverLog() (*scanner, error) {
	byGeneration := map[uint64]*segment{}
	visit := func(g *scanned, h batchHeader, b []byte) error {
		seg := byGeneration[g.Generation]
		if seg == nil {
			seg = newSegment(s.logDir, g.segmentHeader, nil)
			byGeneration[g.Generation] = seg
			s.index.segments = append(s.index.segments, seg)
		}
		if h.Flags&flagCarry != 0 {
			s.index.reset()
		}
		to := h.Offset + int64(h.Size)
		err := eachRecord(h, b, func(r Record, flags uint8) error {
			s.index.apply(seg, flaggedRecord{r, flags}, h.Offset, to)
			return nil
		})
		seg.end = to
		return err
	}
	scan := &scanner{
		fs: s.fs, dir: s.logDir, incarnation: s.identity.Incarnation, visit: visit,
		progress: func(done, total int64) { s.options.Progress("log", done, total) },
	}
	if err := scan.run(); err != nil {
		return nil, err
	}
	if err := scan.verdict(); err != nil {
		return nil, err
	}
	if !scan.valid {
		return nil, &DamageError{File: s.logDir, Reason: "the log holds no batch, though the store was once complete"}
	}
	return scan, nil
}

// resume makes the recovered log ready for writing. What was read may have been
// only in the page cache, if it was the process and not the machine that died, so
// it is made durable before anybody acts on it.
func (s *Store) resume(scan *scanner) error {
	for _, name := range scan.temps {
		if err := s.fs.Remove(name); err != nil {
			return fmt.Errorf("storage: remove %s: %w", name, err)
		}
	}
	s.sequence, s.chain = scan.last.Sequence, scan.crc
	s.position.Store(s.sequence)
	s.index.stamped = scan.last.Oldest
	for _, g := range scan.segments {
		if err := s.adopt(scan, g); err != nil {
			return err
		}
	}
	s.index.segments = slices.DeleteFunc(s.index.segments, func(seg *segment) bool {
		return seg.Generation < scan.last.Oldest
	})
	if err := s.fs.SyncDir(s.logDir); err != nil {
		return fmt.Errorf("storage: sync %s: %w", s.logDir, err)
	}
	if scan.torn {
		s.log.Info("torn tail cut", "segment", scan.tail.name, "offset", scan.tail.end, "bytes", scan.tornSize)
	}
	return nil
}

// adopt takes a scanned segment as spare, as the current one or as prepared.
func (s *Store) adopt(scan *scanner, g *scanned) error {
	switch {
	case g.Generation < scan.last.Oldest:
		s.index.spare = append(s.index.spare, g.name)
		return nil
	case g.Generation < scan.tail.Generation && g.Generation != scan.last.Generation:
		return nil
	}
	f, err := s.fs.Open(g.name, Write|Direct)
	if err != nil {
		return fmt.Errorf("storage: open segment %s: %w", g.name, err)
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return fmt.Errorf("storage: sync segment %s: %w", g.name, err)
	}
	switch {
	case g.Generation < scan.tail.Generation:
		return f.Close() // synced is all it needed
	case g.Generation > scan.tail.Generation:
		s.index.prepared = append(s.index.prepared, newSegment(s.logDir, g.segmentHeader, f))
		return nil
	}
	last := s.index.segments[len(s.index.segments)-1]
	if last.Generation != g.Generation { // the torn batch opens this segment
		last = newSegment(s.logDir, g.segmentHeader, nil)
		s.index.segments = append(s.index.segments, last)
	}
	last.file = f
	return nil
}

func isReadOnly(err error) bool {
	return errors.Is(err, fs.ErrPermission) || isReadOnlyMount(err)
}
