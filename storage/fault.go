package storage

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"sync/atomic"
	"syscall"
)

// Operation is one call to Memory or to one of its files.
type Operation struct {
	Number int64 // from 1, in the order of the calls
	Kind   OperationKind
	Name   string
	Offset int64
	Length int
}

func (o Operation) String() string {
	return fmt.Sprintf("%d %s %s [%d,+%d)", o.Number, o.Kind, path.Base(o.Name), o.Offset, o.Length)
}

// Changes reports whether the operation is meant to change a file or a directory,
// or to make a change durable.
func (o Operation) Changes() bool { return o.Kind >= OpCreate }

// OperationKind tells the operations of Memory apart.
type OperationKind uint8

// The kinds of operations. Those from OpCreate on change something.
const (
	OpOpen OperationKind = iota
	OpRead
	OpList
	OpCreate
	OpWrite
	OpSync
	OpTruncate
	OpRename
	OpRemove
	OpMakeDir
	OpSyncDir
)

func (k OperationKind) String() string {
	return [...]string{"open", "read", "list", "create", "write", "sync", "truncate", "rename", "remove", "makedir", "syncdir"}[k]
}

// Fault is what goes wrong with one operation. The zero value is nothing.
type Fault uint8

// The faults.
const (
	// Fail returns syscall.EIO and changes nothing; a failed sync of a file leaves
	// its bytes readable but marks them as gone at the next crash, as Linux does.
	Fail Fault = 1 + iota
	// Short writes a part and returns syscall.EIO. For a write only.
	Short
	// Flip inverts one bit of what is written or read and reports success.
	Flip
	// Lie reports success of a sync that made nothing durable.
	Lie
	// NoSpace returns syscall.ENOSPC and changes nothing.
	NoSpace
	// CrashNow cuts the power in the middle of the operation: its effect is
	// undecided, it returns ErrCrashed, and so does every call until Crash.
	CrashNow
)

// on returns the fault if it makes sense for the kind of operation, else none.
func (f Fault) on(k OperationKind) Fault {
	switch {
	case f == Short && k != OpWrite,
		f == Flip && k != OpWrite && k != OpRead,
		f == Lie && k != OpSync && k != OpSyncDir:
		return 0
	}
	return f
}

// FailAt returns a function for Memory.Fault that makes the n-th operation from
// now on, counted from 1 and among those that change something, go wrong. It is safe for concurrent use.
func FailAt(n int64, fault Fault) func(Operation) Fault {
	var changes atomic.Int64
	return func(o Operation) Fault {
		if o.Changes() && changes.Add(1) == n {
			return fault
		}
		return 0
	}
}

// SetFault sets Fault while others use the file system; nil takes it away.
func (m *Memory) SetFault(ask func(Operation) Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Fault = ask
}

// begin counts the operation, asks for a fault and takes the lock, unless it
// returns an error.
func (m *Memory) begin(o Operation) (Fault, error) {
	m.mu.Lock()
	if m.down {
		m.mu.Unlock()
		return 0, ErrCrashed
	}
	m.count++
	o.Number = m.count
	ask := m.Fault
	if ask == nil {
		return 0, nil
	}
	m.mu.Unlock()
	fault := ask(o).on(o.Kind)
	m.mu.Lock()
	switch {
	case m.down:
		m.mu.Unlock()
		return 0, ErrCrashed
	case fault == Fail || fault == NoSpace:
		err := error(syscall.EIO)
		if fault == NoSpace {
			err = syscall.ENOSPC
		}
		if o.Kind == OpSync && fault == Fail {
			m.loseUnsynced(o.Name)
		}
		m.mu.Unlock()
		return 0, &fs.PathError{Op: o.Kind.String(), Path: o.Name, Err: err}
	}
	return fault, nil
}

// end finishes an operation; m.mu is held and stays held.
func (m *Memory) end(fault Fault) error {
	if fault == CrashNow {
		m.down = true
		return ErrCrashed
	}
	return nil
}

// loseUnsynced does what Linux does when a sync fails: the bytes stay readable
// and are called clean, but the device does not have them. A later Sync neither
// writes them nor fails.
func (m *Memory) loseUnsynced(name string) {
	if i := m.files[name]; i != nil {
		i.lost = append(i.lost, i.undo...)
		i.undo = nil
	}
}

// evict drops the page cache: what a failed sync has lost is no longer readable.
func (i *image) evict() {
	if len(i.lost) > 0 {
		size := int64(len(i.data))
		revert(i.data, i.lost)
		i.syncedSize, i.lost = max(i.syncedSize, size), nil
	}
}

// revert puts the remembered bytes back, so that the oldest of a place stays.
func revert(data []byte, list []undo) {
	for _, u := range slices.Backward(list) {
		end := min(u.offset+u.length, int64(len(data)))
		if u.offset < end {
			clear(data[u.offset+int64(copy(data[u.offset:end], u.old)) : end])
		}
	}
}

// Survival says what a power cut leaves of what was not durable. Shares are in
// percent of the unsynced sectors, one decision each; the rest is dropped.
type Survival struct {
	Kept    int // written after all
	Torn    int // begins with the new bytes, ends with the old
	Corrupt int // neither the old nor the new bytes
	Entries int // share of unsynced directory changes that are kept
}

// Crash cuts the power and starts the machine again: unsynced sectors and
// directory changes survive or not, each by its own seeded decision, under a
// Survival drawn for this crash. Handles and locks of the earlier life are dead.
// Fault is reset.
func (m *Memory) Crash() {
	m.mu.Lock()
	var s Survival
	switch m.random.IntN(4) {
	case 0: // everything unsynced is lost
	case 1:
		s = Survival{Kept: 100, Entries: 100}
	default:
		s.Kept = m.random.IntN(101)
		s.Torn = m.random.IntN(101-s.Kept) / 2
		s.Corrupt = m.random.IntN(101-s.Kept) / 2
		s.Entries = m.random.IntN(101)
	}
	m.mu.Unlock()
	m.CrashWith(s)
}

// CrashWith is Crash under the given Survival.
func (m *Memory) CrashWith(s Survival) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.restart()
	for _, c := range m.journal {
		if m.random.IntN(100) < s.Entries {
			apply(m.durable, c)
		}
	}
	m.journal = nil
	clear(m.files)
	m.used = 0
	for _, name := range sortedKeys(m.durable) {
		i := m.durable[name]
		i.settle(s, m.random)
		m.files[name] = i
		m.used += int64(len(i.data))
	}
}

// Kill ends the process but not the machine: handles and locks are dead, unsynced
// bytes and entries stay visible and are still lost at a later crash.
func (m *Memory) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.restart()
}

func (m *Memory) restart() {
	m.life++
	m.down = false
	m.Fault = nil
	clear(m.locks)
}

// settle decides each unsynced sector of the file, in order of offset.
func (i *image) settle(s Survival, random *rand.Rand) {
	if len(i.undo)+len(i.lost) == 0 && i.syncedSize == int64(len(i.data)) {
		return
	}
	durable := i.durableImage()
	size := len(durable)
	if len(i.data) != size && random.IntN(100) < s.Kept {
		size = len(i.data)
	}
	out := make([]byte, size)
	copy(out, durable)
	for _, sector := range i.unsynced() {
		start := int(sector * sectorBytes)
		if start < min(size, len(i.data)) {
			decide(out[start:min(start+sectorBytes, size)], i.data[start:], s, random)
		}
	}
	i.data, i.lost = out, nil
	i.sync()
}

// durableImage is the file as if no unsynced write had reached the device.
func (i *image) durableImage() []byte {
	d := make([]byte, max(i.syncedSize, int64(len(i.data))))
	copy(d, i.data)
	revert(d, i.undo)
	revert(d, i.lost)
	return d[:i.syncedSize]
}

// unsynced returns the numbers of the sectors that may or may not have been
// written, in order.
func (i *image) unsynced() []int64 {
	var out []int64
	for _, u := range i.undo {
		for sector := u.offset / sectorBytes; sector*sectorBytes < u.offset+u.length; sector++ {
			if !i.isLost(sector * sectorBytes) {
				out = append(out, sector)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// decide makes one sector, which holds the durable bytes, what a crash leaves of
// it, given what a running process saw.
func decide(sector, current []byte, s Survival, random *rand.Rand) {
	current = current[:min(len(sector), len(current))]
	if bytes.Equal(sector[:len(current)], current) {
		return
	}
	switch draw := random.IntN(100); {
	case draw < s.Kept:
		copy(sector, current)
	case draw < s.Kept+s.Torn:
		copy(sector, current[:random.IntN(len(current))])
	case draw < s.Kept+s.Torn+s.Corrupt:
		for k := range sector {
			sector[k] = byte(random.Uint32())
		}
	}
}

func (i *image) isLost(offset int64) bool {
	return slices.ContainsFunc(i.lost, func(u undo) bool {
		return u.offset < offset+sectorBytes && offset < u.offset+u.length
	})
}

func sortedKeys(m map[string]*image) []string { return slices.Sorted(maps.Keys(m)) }
