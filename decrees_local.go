package synod

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/storage"
)

// LocalDecrees is a network and disks within one program, for processes that pass
// decrees in tests and examples: the network can be cut, the disks survive Kill as
// a real disk survives a power cut. It is safe for concurrent use.
type LocalDecrees struct {
	network *cluster.MemoryNetwork

	mu        sync.Mutex
	disks     map[string]*storage.Memory // by the process's name
	lives     uint64                     // of disks: seeds
	processes map[string]*Decrees        // that were opened last under each name
	seen      map[string]cluster.Member  // what gossip would tell

	tamper atomic.Pointer[tamper] // nil: nobody
}

// tamper is handed each message instead of the network.
type tamper func(m *messages.DecreeMessage, send func())

// NewLocalDecrees makes a network on which everybody reaches everybody, and no disk.
func NewLocalDecrees() *LocalDecrees {
	return &LocalDecrees{network: cluster.NewMemoryNetwork(), disks: make(map[string]*storage.Memory),
		processes: make(map[string]*Decrees), seen: make(map[string]cluster.Member)}
}

// disk returns a process's disk, a new one if it has none.
func (l *LocalDecrees) disk(name string) storage.FS {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.disks[name] == nil {
		l.lives++
		l.disks[name] = storage.NewMemory(l.lives)
	}
	return l.disks[name]
}

// started tells a process where the others are, and the others where it is. Nobody
// is ever told that one has gone.
func (l *LocalDecrees) started(d *Decrees, self cluster.Member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.processes[d.cfg.Name], l.seen[self.Name] = d, self
	members := slices.Collect(maps.Values(l.seen))
	for _, p := range l.processes {
		for _, m := range members {
			p.net.book.Learn(m.ID, m.Meta.GetLink())
		}
		p.onMembers(members)
	}
}

// Kill ends a process like a power cut: what it had not flushed is lost. OpenDecrees
// with its name starts it again on what its disk holds.
func (l *LocalDecrees) Kill(name string) {
	l.mu.Lock()
	d, disk := l.processes[name], l.disks[name]
	delete(l.processes, name)
	l.mu.Unlock()
	if d == nil {
		return
	}
	l.network.Kill(name)
	disk.Crash()
	d.end(ErrStopped)
}

// LoseDisk throws away the disk of a process that does not run.
func (l *LocalDecrees) LoseDisk(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.disks, name)
}

// Cut cuts the network between two processes, both ways.
func (l *LocalDecrees) Cut(a, b string) { l.network.Cut(a, b) }

// Heal mends all cuts.
func (l *LocalDecrees) Heal() { l.network.HealAll() }
