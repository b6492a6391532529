package storage

import (
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

func verifySnapshot(fsys FS, name string, progress func(done, total int64)) (SnapshotMeta, error) {
	r, err := openSnapshotFile(fsys, name)
	if err != nil {
		return SnapshotMeta{}, err
	}
	defer r.Close()
	sum, total := uint32(0), r.head.meta.Size
	for done := int64(0); done < total; {
		r.mu.Lock()
		chunk, err := r.load(done / r.head.chunk)
		r.mu.Unlock()
		if err != nil {
			return SnapshotMeta{}, err
		}
		sum = crc32.Update(sum, castagnoli, chunk)
		done += int64(len(chunk))
		progress(done, total)
	}
	if sum != r.head.meta.Checksum {
		return SnapshotMeta{}, damagedSnapshot(name, 0, "snapshot as a whole is not what was written", nil)
	}
	return r.head.meta, nil
}

// SnapshotReader reads a snapshot. Every byte it returns has been verified (D14);
// what is damaged ends in *DamageError. ReadAt may be called from any goroutine.
// A reader stays good when its snapshot is removed.
type SnapshotReader struct {
	name   string
	head   snapshotHead
	file   File
	mu     sync.Mutex // guards what follows
	loaded int64      // chunk in content, -1: none
	chunk  []byte     // its verified content
	buffer []byte
	offset int64 // of Read
}

// OpenSnapshot opens the snapshot of a group at an index, the one with the highest
// term if there are two. It returns ErrNotFound, wrapped, if there is none.
func (s *Store) OpenSnapshot(g Group, index uint64) (*SnapshotReader, error) {
	names, err := s.fs.List(s.snapDir)
	if err != nil {
		return nil, fmt.Errorf("storage: list %s: %w", s.snapDir, err)
	}
	for _, name := range slices.Backward(names) {
		m, ok := parseSnapshotName(name)
		if ok && m.Group == g && m.Index == index && strings.HasSuffix(name, snapshotSuffix) {
			return openSnapshotFile(s.fs, path.Join(s.snapDir, name))
		}
	}
	return nil, fmt.Errorf("storage: snapshot of group %d at index %d: %w", g, index, ErrNotFound)
}

// openSnapshotFile checks header and footer; chunks are checked when read.
func openSnapshotFile(fsys FS, name string) (*SnapshotReader, error) {
	f, err := fsys.Open(name, 0)
	if err != nil {
		return nil, fmt.Errorf("storage: open snapshot: %w", err)
	}
	head, err := readSnapshotHead(name, f)
	if err == nil {
		err = head.readFooter(name, f)
	}
	if err == nil {
		if m, ok := parseSnapshotName(path.Base(name)); ok && snapshotName(m) != snapshotName(head.meta) {
			err = damagedSnapshot(name, 0, "snapshot stands under the name of another", nil)
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &SnapshotReader{name: name, head: head, file: f, loaded: -1}, nil
}

// Meta returns what the snapshot is.
func (r *SnapshotReader) Meta() SnapshotMeta { return r.head.meta }

// load returns a verified chunk; r.mu is held.
func (r *SnapshotReader) load(number int64) ([]byte, error) {
	if r.loaded == number {
		return r.chunk, nil
	}
	if r.buffer == nil {
		r.buffer = make([]byte, r.head.chunk+chunkSumBytes)
	}
	r.loaded = -1
	n := int(min(r.head.chunk, r.head.meta.Size-number*r.head.chunk))
	chunk, err := r.head.readChunk(r.name, r.file, number, n, r.buffer)
	if err == nil {
		r.loaded, r.chunk = number, chunk
	}
	return chunk, err
}

// ReadAt reads content; see io.ReaderAt.
func (r *SnapshotReader) ReadAt(p []byte, offset int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if offset < 0 {
		return 0, fmt.Errorf("storage: read snapshot %s at %d: %w", r.name, offset, fs.ErrInvalid)
	}
	n := 0
	for n < len(p) && offset < r.head.meta.Size {
		chunk, err := r.load(offset / r.head.chunk)
		if err != nil {
			return n, err
		}
		got := copy(p[n:], chunk[offset%r.head.chunk:])
		n += got
		offset += int64(got)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Read reads on from where the last Read ended. For one goroutine.
func (r *SnapshotReader) Read(p []byte) (int, error) {
	n, err := r.ReadAt(p, r.offset)
	r.offset += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// Close closes the reader.
func (r *SnapshotReader) Close() error { return r.file.Close() }
