package storage

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// SnapshotReceiver takes in a snapshot that another node sends. Use it from one
// goroutine, and end it with Commit, Abort or Suspend.
type SnapshotReceiver struct {
	store *Store
	meta  SnapshotMeta
	name  string
	part  string
	*chunkWriter
	over bool
}

// ReceiveSnapshot begins to receive the snapshot that meta describes in full, or
// goes on with it where an earlier receiver, even of an earlier process, has left
// off: see Offset. Unfinished snapshots of the group other than this one are
// thrown away.
func (s *Store) ReceiveSnapshot(meta SnapshotMeta) (*SnapshotReceiver, error) {
	if meta.Size < 0 {
		return nil, fmt.Errorf("storage: snapshot of %d bytes: %w", meta.Size, fs.ErrInvalid)
	}
	name := snapshotName(meta)
	if err := s.snapshots.claim(name); err != nil {
		return nil, err
	}
	r := &SnapshotReceiver{store: s, meta: meta, name: name, part: path.Join(s.snapDir, name+partSuffix)}
	err := s.dropOtherParts(meta)
	if err == nil {
		err = r.begin()
	}
	if err != nil {
		s.snapshots.unclaim(name)
		return nil, err
	}
	return r, nil
}

func (s *Store) dropOtherParts(meta SnapshotMeta) error {
	names, err := s.fs.List(s.snapDir)
	if err != nil {
		return fmt.Errorf("storage: list %s: %w", s.snapDir, err)
	}
	for _, name := range names {
		m, ok := parseSnapshotName(name)
		other := ok && strings.HasSuffix(name, partSuffix) && m.Group == meta.Group && snapshotName(m) != snapshotName(meta)
		if !other || s.isBusy(name) {
			continue
		}
		if err := s.fs.Remove(path.Join(s.snapDir, name)); err != nil {
			return fmt.Errorf("storage: remove %s: %w", name, err)
		}
	}
	return nil
}

// begin resumes the file if it is of this very snapshot, else it starts anew.
func (r *SnapshotReceiver) begin() error {
	if f, err := r.store.fs.Open(r.part, Write); err == nil {
		if w := r.resume(f); w != nil {
			r.chunkWriter = w
			return nil
		}
		_ = f.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("storage: open %s: %w", r.part, err)
	}
	w, err := r.store.beginFile(r.part, r.meta)
	r.chunkWriter = w
	return err
}

// resume verifies the chunks that are there and returns a writer behind the last
// good one, or nil if the file is of no use.
func (r *SnapshotReceiver) resume(f File) *chunkWriter {
	head, err := readSnapshotHead(r.part, f)
	m := head.meta
	if err != nil || m.Size != r.meta.Size || m.Checksum != r.meta.Checksum || !slices.Equal(m.Header, r.meta.Header) ||
		snapshotName(m) != r.name {
		return nil
	}
	w := newChunkWriter(f, head, r.store.dropReserve)
	b := make([]byte, head.chunk+chunkSumBytes)
	for w.size+head.chunk <= m.Size {
		chunk, err := head.readChunk(r.part, f, w.number, int(head.chunk), b)
		if err != nil {
			break
		}
		w.sum = crc32.Update(w.sum, castagnoli, chunk)
		w.size += head.chunk
		w.number++
	}
	return w
}

// Offset returns how many bytes of content are there: where to write next.
func (r *SnapshotReceiver) Offset() int64 { return r.size }

// WriteAt takes content in order: offset must be Offset. What was written before
// may come again and is skipped; a gap is an error that changes nothing.
func (r *SnapshotReceiver) WriteAt(p []byte, offset int64) (int, error) {
	switch end := offset + int64(len(p)); {
	case r.over:
		return 0, ErrClosed
	case offset < 0 || offset > r.size || end > r.meta.Size:
		return 0, fmt.Errorf("storage: snapshot bytes [%d, %d) where %d of %d are there: %w", offset, end, r.size, r.meta.Size, fs.ErrInvalid)
	case end <= r.size:
		return len(p), nil
	}
	known := int(r.size - offset)
	n, err := r.chunkWriter.Write(p[known:])
	return known + n, err
}

// Commit checks the content against meta and makes the snapshot durable and
// visible, as SnapshotWriter.Commit does. It returns ErrMismatch, wrapped, if size
// or checksum are not as announced; the bytes are then gone.
func (r *SnapshotReceiver) Commit() (SnapshotMeta, error) {
	if r.over {
		return SnapshotMeta{}, ErrClosed
	}
	if r.err == nil && (r.size != r.meta.Size || r.sum != r.meta.Checksum) {
		got := fmt.Errorf("storage: received %d bytes with checksum %08x, announced %d with %08x: %w",
			r.size, r.sum, r.meta.Size, r.meta.Checksum, ErrMismatch)
		r.Abort()
		return SnapshotMeta{}, got
	}
	r.over = true
	defer r.store.snapshots.unclaim(r.name)
	return r.store.shelve(r.chunkWriter, r.part, r.name)
}

// Suspend ends the receiver but keeps its whole chunks for a later one.
func (r *SnapshotReceiver) Suspend() {
	if r.end() {
		_ = r.file.Close()
		r.store.snapshots.unclaim(r.name)
	}
}

// Abort throws away what was received. After Commit it does nothing.
func (r *SnapshotReceiver) Abort() {
	if r.end() {
		_ = r.file.Close()
		_ = r.store.fs.Remove(r.part)
		r.store.snapshots.unclaim(r.name)
	}
}

func (r *SnapshotReceiver) end() bool {
	was := r.over
	r.over = true
	return !was
}
