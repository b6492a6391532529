package storage

import (
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// image is the content of a file; names refer to it as they do to an inode.
type image struct {
	name       string // the newest of its names
	data       []byte
	syncedSize int64
	undo       []undo // durable bytes that unsynced writes have replaced, oldest first
	lost       []undo // the same, of writes whose sync has failed: gone for good
}

// undo holds what the durable image has at offset. What is beyond the durable
// image's size has no bytes here: it was never there.
type undo struct {
	offset int64
	length int64
	old    []byte
}

// memoryFile is an open handle.
type memoryFile struct {
	fs      *Memory
	image   *image
	life    int
	write   bool
	durable bool
	lock    bool
	closed  bool
}

func (f *memoryFile) begin(o Operation) (Fault, error) {
	f.fs.mu.Lock()
	o.Name = f.image.name
	f.fs.mu.Unlock()
	fault, err := f.fs.begin(o)
	if err != nil {
		return 0, err
	}
	err = f.usable()
	if err == nil && o.Kind != OpRead && o.Kind != OpSync && !f.write {
		err = &fs.PathError{Op: "write", Path: f.image.name, Err: fs.ErrPermission}
	}
	if err != nil {
		f.fs.mu.Unlock()
	}
	return fault, err
}

func (f *memoryFile) usable() error {
	switch {
	case f.life != f.fs.life:
		return ErrCrashed
	case f.closed:
		return fs.ErrClosed
	}
	return nil
}

func (f *memoryFile) ReadAt(p []byte, offset int64) (int, error) {
	fault, err := f.begin(Operation{Kind: OpRead, Offset: offset, Length: len(p)})
	if err != nil {
		return 0, err
	}
	defer f.fs.mu.Unlock()
	if offset >= int64(len(f.image.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.image.data[offset:])
	if fault == Flip && n > 0 {
		bit := f.fs.random.IntN(n * 8)
		p[bit/8] ^= 1 << (bit % 8)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) WriteAt(p []byte, offset int64) (int, error) {
	fault, err := f.begin(Operation{Kind: OpWrite, Offset: offset, Length: len(p)})
	if err != nil {
		return 0, err
	}
	defer f.fs.mu.Unlock()
	if fault == Short {
		p = p[:f.fs.random.IntN(len(p)+1)]
	}
	if grow := offset + int64(len(p)) - int64(len(f.image.data)); grow > 0 {
		room := f.fs.capacity - f.fs.used
		if grow > room {
			return 0, &fs.PathError{Op: "write", Path: f.image.name, Err: syscall.ENOSPC}
		}
	}
	settled := f.durable && fault == 0
	f.image.write(p, offset, settled, f.fs)
	if fault == Flip && len(p) > 0 {
		bit := f.fs.random.IntN(len(p) * 8)
		f.image.data[offset+int64(bit/8)] ^= 1 << (bit % 8)
		if f.durable {
			f.image.sync()
		}
	}
	if fault == Short {
		return len(p), &fs.PathError{Op: "write", Path: f.image.name, Err: syscall.EIO}
	}
	return len(p), f.fs.end(fault)
}

// write changes the current image, and the durable one too if settled. m.mu is held.
func (i *image) write(p []byte, offset int64, settled bool, m *Memory) {
	size := int64(len(i.data))
	end := offset + int64(len(p))
	i.evict()
	if !settled {
		i.remember(offset, end)
	}
	if end > size {
		i.data = slices.Grow(i.data, int(end-size))[:end]
		clear(i.data[size:])
		m.used += end - size
	}
	copy(i.data[offset:], p)
	if settled {
		// A durable write leaves what other writes have not synced as it is:
		// only this range and the size are confirmed.
		i.forget(offset, end)
		i.syncedSize = max(i.syncedSize, end)
	}
}

// remember keeps the durable bytes of [offset, end) before they are replaced.
func (i *image) remember(offset, end int64) {
	u := undo{offset: offset, length: end - offset}
	if known := min(end, int64(len(i.data))); known > offset {
		u.old = slices.Clone(i.data[offset:known])
	}
	i.undo = append(i.undo, u)
}

// forget drops what was remembered of [offset, end): those bytes are durable now.
func (i *image) forget(offset, end int64) {
	var rest []undo
	for _, u := range i.undo {
		if u.offset+u.length <= offset || u.offset >= end {
			rest = append(rest, u)
			continue
		}
		if u.offset < offset {
			rest = append(rest, u.part(u.offset, offset))
		}
		if u.offset+u.length > end {
			rest = append(rest, u.part(end, u.offset+u.length))
		}
	}
	i.undo = rest
}

func (u undo) part(from, to int64) undo {
	p := undo{offset: from, length: to - from}
	if low := from - u.offset; low < int64(len(u.old)) {
		p.old = u.old[low:min(to-u.offset, int64(len(u.old)))]
	}
	return p
}

func (i *image) sync() {
	i.undo = i.undo[:0]
	i.syncedSize = int64(len(i.data))
}

func (f *memoryFile) Sync() error {
	fault, err := f.begin(Operation{Kind: OpSync})
	if err != nil {
		return err
	}
	defer f.fs.mu.Unlock()
	if fault == 0 {
		f.image.sync()
	}
	return f.fs.end(fault)
}

func (f *memoryFile) Durable() bool { return f.durable }

func (f *memoryFile) Truncate(size int64) error {
	fault, err := f.begin(Operation{Kind: OpTruncate, Offset: size})
	if err != nil {
		return err
	}
	defer f.fs.mu.Unlock()
	i, old := f.image, int64(len(f.image.data))
	if size > old {
		if size-old > f.fs.capacity-f.fs.used {
			return &fs.PathError{Op: "truncate", Path: f.image.name, Err: syscall.ENOSPC}
		}
		i.write(nil, size, false, f.fs)
		return f.fs.end(fault)
	}
	i.remember(size, old)
	i.data = i.data[:size]
	f.fs.used -= old - size
	return f.fs.end(fault)
}

func (f *memoryFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usable(); err != nil {
		return 0, err
	}
	return int64(len(f.image.data)), nil
}

func (f *memoryFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usable(); err != nil {
		return err
	}
	f.closed = true
	if f.lock {
		delete(f.fs.locks, f.image.name)
	}
	return nil
}
