package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
)

// sectorBytes is what a disk writes in one piece, if it writes it at all. A
// sector may still come out torn or corrupt: see Survival.
const sectorBytes = 512

// ErrCrashed is what every call returns between a crash fault and Memory.Crash,
// and what handles opened before a crash return for ever.
var ErrCrashed = errors.New("storage: the machine has lost power")

// Memory is a file system in memory that knows what a power cut would leave: each
// file has a current and a durable image, and so has each directory entry. It
// fails on request (Fault) and is full on request (SetCapacity).
//
// The same seed and the same calls give the same survivors. Safe for concurrent
// use, though only calls in one order are reproducible.
type Memory struct {
	// Fault, if set, is asked before each operation, without a lock held, so it
	// may also block to play a slow disk. Set it while nothing runs, or by SetFault.
	Fault func(Operation) Fault
	// Direct makes handles opened with the flag Direct durable on each write, as
	// O_DSYNC does. Without it they need Sync, as on tmpfs. NewMemory sets it.
	Direct bool

	mu       sync.Mutex
	random   *rand.Rand
	files    map[string]*image // what a running process sees
	durable  map[string]*image // what SyncDir has confirmed
	journal  []entryChange     // from durable to files, in order
	dirs     map[string]bool
	locks    map[string]bool
	life     int // handles of an earlier life are dead
	down     bool
	count    int64 // operations so far
	used     int64
	capacity int64
}

// entryChange is one directory operation that no SyncDir has confirmed: to now
// names file (or nothing), and from is gone.
type entryChange struct {
	from, to string
	file     *image
}

// NewMemory returns an empty file system without limit of size.
func NewMemory(seed uint64) *Memory {
	return &Memory{
		Direct:   true,
		random:   rand.New(rand.NewPCG(seed, 0x5eed)),
		files:    map[string]*image{},
		durable:  map[string]*image{},
		dirs:     map[string]bool{},
		locks:    map[string]bool{},
		capacity: 1 << 62,
	}
}

// SetCapacity limits the bytes that all files may hold together. Writes beyond it
// fail with syscall.ENOSPC.
func (m *Memory) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// Used returns how many bytes all files hold together.
func (m *Memory) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// Operations returns how many operations were begun so far.
func (m *Memory) Operations() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}

func (m *Memory) Open(name string, flag OpenFlag) (File, error) {
	kind := OpOpen
	if flag&Create != 0 {
		kind = OpCreate
	}
	fault, err := m.begin(Operation{Kind: kind, Name: name})
	if err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	file, ok := m.files[name]
	switch {
	case flag&Create == 0 && !ok:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case flag&Create != 0 && !m.dirs[path.Dir(name)]:
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrNotExist}
	case flag&Create != 0:
		file = &image{}
		m.change(entryChange{to: name, file: file})
	}
	if flag&Direct != 0 {
		file.evict()
	}
	if err := m.end(fault); err != nil {
		return nil, err
	}
	return &memoryFile{
		fs: m, image: file, life: m.life,
		write:   flag&(Write|Create) != 0,
		durable: m.Direct && flag&Direct != 0,
	}, nil
}

func (m *Memory) Rename(from, to string) error {
	fault, err := m.begin(Operation{Kind: OpRename, Name: from})
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	file, ok := m.files[from]
	if !ok {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	m.change(entryChange{from: from, to: to, file: file})
	return m.end(fault)
}

func (m *Memory) Remove(name string) error {
	fault, err := m.begin(Operation{Kind: OpRemove, Name: name})
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	if _, ok := m.files[name]; !ok {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	m.change(entryChange{from: name})
	return m.end(fault)
}

func (m *Memory) List(dir string) ([]string, error) {
	_, err := m.begin(Operation{Kind: OpList, Name: dir})
	if err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if !m.dirs[dir] {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	var names []string
	for name := range m.files {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// MakeDir makes directories durable at once: losing a whole directory tells
// nothing that losing its entries does not.
func (m *Memory) MakeDir(dir string) error {
	fault, err := m.begin(Operation{Kind: OpMakeDir, Name: dir})
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	for d := dir; !m.dirs[d]; d = path.Dir(d) {
		m.dirs[d] = true
	}
	return m.end(fault)
}

func (m *Memory) SyncDir(dir string) error {
	fault, err := m.begin(Operation{Kind: OpSyncDir, Name: dir})
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	if fault == Lie || fault == CrashNow {
		return m.end(fault)
	}
	kept := m.journal[:0]
	for _, c := range m.journal {
		if path.Dir(c.name()) == dir {
			apply(m.durable, c)
		} else {
			kept = append(kept, c)
		}
	}
	m.journal = kept
	return m.end(fault)
}

func (m *Memory) Lock(name string) (File, error) {
	m.mu.Lock()
	if m.locks[name] {
		m.mu.Unlock()
		return nil, ErrLocked
	}
	_, exists := m.files[name]
	m.mu.Unlock()
	flag := Write
	if !exists {
		flag = Create
	}
	f, err := m.Open(name, flag)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locks[name] = true
	f.(*memoryFile).lock = true
	return f, nil
}

func (m *Memory) Free(string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return 0, ErrCrashed
	}
	return max(0, m.capacity-m.used), nil
}

// name returns the entry by which the change is attributed to a directory.
func (c entryChange) name() string {
	if c.to != "" {
		return c.to
	}
	return c.from
}

func apply(entries map[string]*image, c entryChange) {
	if c.from != "" {
		delete(entries, c.from)
	}
	if c.to != "" {
		entries[c.to] = c.file
	}
}

// change carries out a directory operation in the current image and notes it for
// the next SyncDir. m.mu is held.
func (m *Memory) change(c entryChange) {
	for _, name := range []string{c.from, c.to} {
		if old := m.files[name]; name != "" && old != nil && old != c.file {
			m.used -= int64(len(old.data))
		}
	}
	apply(m.files, c)
	if c.to != "" {
		c.file.name = c.to
	}
	m.journal = append(m.journal, c)
}

// Clone returns an independent copy of the files, durable and not, without
// handles, locks, faults and hooks.
func (m *Memory) Clone(seed uint64) *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMemory(seed)
	copies := map[*image]*image{nil: nil}
	clone := func(i *image) *image {
		if copies[i] == nil && i != nil {
			copies[i] = &image{
				name: i.name, data: slices.Clone(i.data), syncedSize: i.syncedSize,
				undo: slices.Clone(i.undo), lost: slices.Clone(i.lost),
			}
		}
		return copies[i]
	}
	for name, i := range m.files {
		c.files[name] = clone(i)
	}
	for name, i := range m.durable {
		c.durable[name] = clone(i)
	}
	for _, j := range m.journal {
		c.journal = append(c.journal, entryChange{from: j.from, to: j.to, file: clone(j.file)})
	}
	c.dirs = maps.Clone(m.dirs)
	c.Direct, c.used, c.capacity = m.Direct, m.used, m.capacity
	return c
}

func (m *Memory) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("memory: %d files, %d bytes, %d operations", len(m.files), m.used, m.count)
}
