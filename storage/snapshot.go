package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
)

const (
	snapshotSuffix = ".snap"
	partSuffix     = ".part" // a snapshot that is being received
	snapshotsKept  = 2
)

// snapshotShelf knows what was found out about snapshot files.
type snapshotShelf struct {
	mu       sync.Mutex
	verified map[string]SnapshotMeta // read from end to end and right
	damaged  map[string]bool
	busy     map[string]bool // being written
}

func (h *snapshotShelf) init() {
	h.verified, h.damaged, h.busy = map[string]SnapshotMeta{}, map[string]bool{}, map[string]bool{}
}

// claim reserves a file name for one writer.
func (h *snapshotShelf) claim(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy[name] {
		return fmt.Errorf("storage: snapshot %s is already being written", name)
	}
	h.busy[name] = true
	return nil
}

func (h *snapshotShelf) unclaim(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.busy, name)
}

func (h *snapshotShelf) forget(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.verified, name)
	delete(h.damaged, name)
}

func snapshotName(m SnapshotMeta) string {
	return fmt.Sprintf("%08x-%016x-%016x", uint32(m.Group), m.Index, m.Term)
}

// parseSnapshotName reads group, index and term back; any suffix may follow.
func parseSnapshotName(name string) (SnapshotMeta, bool) {
	var m SnapshotMeta
	base, _, _ := strings.Cut(name, ".")
	n, err := fmt.Sscanf(base, "%08x-%016x-%016x", (*uint32)(&m.Group), &m.Index, &m.Term)
	return m, err == nil && n == 3 && snapshotName(m) == base
}

// openShelf removes what an interrupted process has left. A snapshot that was
// being received stays, if it is newer than what there is: it may be resumed.
func (s *Store) openShelf() error {
	names, err := s.fs.List(s.snapDir)
	if err != nil {
		return fmt.Errorf("storage: list %s: %w", s.snapDir, err)
	}
	newest := map[Group]SnapshotMeta{}
	for _, name := range names {
		if m, ok := parseSnapshotName(name); ok && strings.HasSuffix(name, snapshotSuffix) {
			newest[m.Group] = m // names sort by group, index, term
		}
		if !strings.HasSuffix(name, tempSuffix) && !s.stalePart(name, names) {
			continue
		}
		if err := s.fs.Remove(path.Join(s.snapDir, name)); err != nil {
			return fmt.Errorf("storage: remove %s: %w", name, err)
		}
	}
	for _, g := range slices.Sorted(maps.Keys(newest)) {
		// A crash may have brought back what was removed.
		if err := s.prune(newest[g]); err != nil {
			return err
		}
	}
	return nil
}

// stalePart reports whether name is an unfinished snapshot that a finished one has
// overtaken.
func (s *Store) stalePart(name string, names []string) bool {
	part, ok := parseSnapshotName(name)
	if !ok || !strings.HasSuffix(name, partSuffix) {
		return false
	}
	return slices.ContainsFunc(names, func(other string) bool {
		m, ok := parseSnapshotName(other)
		return ok && strings.HasSuffix(other, snapshotSuffix) && m.Group == part.Group && !m.before(part)
	})
}

// SnapshotWriter writes a snapshot made here. Use it from one goroutine, and end
// it with Commit or Abort.
type SnapshotWriter struct {
	store *Store
	name  string // without directory and suffix
	temp  string
	*chunkWriter
	over bool
}

// CreateSnapshot begins a snapshot of meta.Group at meta.Index and meta.Term with
// the owner's meta.Header; Size and Checksum are found out. Nothing of it is
// visible before Commit. It waits for the disk, as all that has to do with
// snapshots; different snapshots may be written at the same time.
func (s *Store) CreateSnapshot(meta SnapshotMeta) (*SnapshotWriter, error) {
	meta.Size, meta.Checksum = sizeUnknown, 0
	name := snapshotName(meta)
	if err := s.snapshots.claim(name); err != nil {
		return nil, err
	}
	temp := path.Join(s.snapDir, name+tempSuffix)
	w, err := s.beginFile(temp, meta)
	if err != nil {
		s.snapshots.unclaim(name)
		return nil, err
	}
	return &SnapshotWriter{store: s, name: name, temp: temp, chunkWriter: w}, nil
}

// beginFile creates a snapshot file and writes its header.
func (s *Store) beginFile(name string, meta SnapshotMeta) (*chunkWriter, error) {
	if len(meta.Header) > maxSnapshotHeader {
		return nil, fmt.Errorf("storage: snapshot header of %d bytes: at most %d", len(meta.Header), maxSnapshotHeader)
	}
	f, err := s.fs.Open(name, Create)
	if err != nil {
		return nil, fmt.Errorf("storage: create snapshot %s: %w", name, err)
	}
	b, sum := encodeSnapshotHeader(meta)
	w := newChunkWriter(f, snapshotHead{meta: meta, sum: sum, chunk: chunkBytes, length: int64(len(b))}, s.dropReserve)
	w.put(b, 0)
	if w.err != nil {
		_ = f.Close()
		_ = s.fs.Remove(name)
		return nil, fmt.Errorf("storage: create snapshot %s: %w", name, w.err)
	}
	return w, nil
}

// Write appends content. Its first error is final.
func (w *SnapshotWriter) Write(p []byte) (int, error) {
	if w.over {
		return 0, ErrClosed
	}
	return w.chunkWriter.Write(p)
}

// Commit makes the snapshot durable and visible, drops all but the newest two of
// the group, and returns the whole meta. On an error the snapshot is gone and the
// older ones are untouched.
func (w *SnapshotWriter) Commit() (SnapshotMeta, error) {
	if w.over {
		return SnapshotMeta{}, ErrClosed
	}
	w.over = true
	defer w.store.snapshots.unclaim(w.name)
	return w.store.shelve(w.chunkWriter, w.temp, w.name)
}

// Abort throws the snapshot away. After Commit it does nothing.
func (w *SnapshotWriter) Abort() {
	if w.over {
		return
	}
	w.over = true
	_ = w.file.Close()
	_ = w.store.fs.Remove(w.temp)
	w.store.snapshots.unclaim(w.name)
}

// shelve finishes a snapshot file and gives it its name: fsync, rename, fsync of
// the directory; only then are older ones removed (D10).
func (s *Store) shelve(w *chunkWriter, temp, name string) (SnapshotMeta, error) {
	err := errors.Join(w.finish(), w.file.Close())
	final := path.Join(s.snapDir, name+snapshotSuffix)
	if err == nil {
		s.snapshots.forget(final)
		err = s.fs.Rename(temp, final)
	}
	if err == nil {
		err = s.fs.SyncDir(s.snapDir)
	}
	if err != nil {
		_ = s.fs.Remove(temp)
		return SnapshotMeta{}, fmt.Errorf("storage: commit snapshot %s: %w", name, err)
	}
	meta := w.head.meta
	meta.Size, meta.Checksum = w.size, w.sum
	s.snapshots.mu.Lock()
	s.snapshots.verified[final] = meta
	s.snapshots.mu.Unlock()
	return meta, s.prune(meta)
}

// prune removes all but the newest two snapshots of a group that are not known to
// be damaged, and unfinished ones that have been overtaken.
func (s *Store) prune(newest SnapshotMeta) error {
	names, err := s.fs.List(s.snapDir)
	if err != nil {
		return fmt.Errorf("storage: list %s: %w", s.snapDir, err)
	}
	kept := 0
	for _, name := range slices.Backward(names) { // newest first: names sort so
		m, ok := parseSnapshotName(name)
		if !ok || m.Group != newest.Group || s.isBusy(name) {
			continue
		}
		whole := path.Join(s.snapDir, name)
		if strings.HasSuffix(name, snapshotSuffix) {
			if newest.before(m) || kept < snapshotsKept && s.looksWhole(whole) {
				kept++
				continue
			}
		} else if !s.stalePart(name, names) {
			continue
		}
		s.snapshots.forget(whole)
		if err := s.fs.Remove(whole); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("storage: remove snapshot %s: %w", name, err)
		}
	}
	return nil
}

func (s *Store) isBusy(name string) bool {
	base, suffix, _ := strings.Cut(name, ".")
	s.snapshots.mu.Lock()
	defer s.snapshots.mu.Unlock()
	return s.snapshots.busy[base] && "."+suffix != snapshotSuffix
}

// looksWhole checks header and footer, not the chunks.
func (s *Store) looksWhole(name string) bool {
	s.snapshots.mu.Lock()
	damaged := s.snapshots.damaged[name]
	s.snapshots.mu.Unlock()
	if damaged {
		return false
	}
	r, err := openSnapshotFile(s.fs, name)
	if err == nil {
		_ = r.Close()
	}
	return err == nil
}

// Snapshots returns the valid snapshots of a group, newest first. Each is read
// from end to end once in the life of the Store; a damaged one is passed over.
func (s *Store) Snapshots(g Group) ([]SnapshotMeta, error) {
	names, err := s.fs.List(s.snapDir)
	if err != nil {
		return nil, fmt.Errorf("storage: list %s: %w", s.snapDir, err)
	}
	var out []SnapshotMeta
	for _, name := range slices.Backward(names) {
		m, ok := parseSnapshotName(name)
		if !ok || m.Group != g || !strings.HasSuffix(name, snapshotSuffix) {
			continue
		}
		if meta, err := s.verify(path.Join(s.snapDir, name)); err == nil {
			out = append(out, meta)
		}
	}
	return out, nil
}

// NewestSnapshot returns the newest valid snapshot of a group at an index below
// before, and whether there is one. It reads no older ones than it must.
func (s *Store) NewestSnapshot(g Group, before uint64) (meta SnapshotMeta, found bool, err error) {
	names, err := s.fs.List(s.snapDir)
	if err != nil {
		return SnapshotMeta{}, false, fmt.Errorf("storage: list %s: %w", s.snapDir, err)
	}
	for _, name := range slices.Backward(names) {
		m, ok := parseSnapshotName(name)
		if !ok || m.Group != g || m.Index >= before || !strings.HasSuffix(name, snapshotSuffix) {
			continue
		}
		if meta, err := s.verify(path.Join(s.snapDir, name)); err == nil {
			return meta, true, nil
		}
	}
	return SnapshotMeta{}, false, nil
}

// verify reads a snapshot from end to end, unless that was done before.
func (s *Store) verify(name string) (SnapshotMeta, error) {
	s.snapshots.mu.Lock()
	meta, ok := s.snapshots.verified[name]
	s.snapshots.mu.Unlock()
	if ok {
		return meta, nil
	}
	meta, err := verifySnapshot(s.fs, name, func(done, total int64) { s.options.Progress("snapshot", done, total) })
	s.snapshots.mu.Lock()
	defer s.snapshots.mu.Unlock()
	if err == nil {
		s.snapshots.verified[name] = meta
		delete(s.snapshots.damaged, name)
		return meta, nil
	}
	if damage := (*DamageError)(nil); errors.As(err, &damage) && !s.snapshots.damaged[name] {
		s.snapshots.damaged[name] = true
		s.log.Error("snapshot is damaged, falling back to the one before", "file", name, "offset", damage.Offset, "reason", damage.Reason)
	}
	return SnapshotMeta{}, err
}
