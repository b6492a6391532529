package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/synod-go/synod"
)

// An engine is one process's part of a replicated map from uint64 to bytes: a
// replica, or, where kind.newClient made it, a client of three replicas in other
// processes.
type engine interface {
	// start returns when the engine listens or has connected. Replicas are
	// started at the same time and find each other on their own.
	start(engineConfig) error
	// leads reports whether this replica believes to be the leader and takes
	// writes. A client always leads.
	leads() bool
	// write returns nil once the write is durable on a majority and applied
	// here. The engine may keep neither ctx nor value.
	write(ctx context.Context, key uint64, value []byte) error
	// read looks key up with the given guarantee. A key never written reads as
	// empty, which is no error.
	read(ctx context.Context, key uint64, level readLevel) error
	stop()
}

// engineConfig says who this process is among the three replicas.
type engineConfig struct {
	ID      int      `json:"id"`      // 1 to 3; 0 for a client
	Dir     string   `json:"dir"`     // empty, this process's own, on the disk under test
	Peers   []string `json:"peers"`   // replica i+1 talks to the others at Peers[i]
	Clients []string `json:"clients"` // replica i+1 serves clients at Clients[i]
	Gossip  []string `json:"gossip"`  // and gossips, if it does, at Gossip[i]
	Leader  int      `json:"leader"`  // for a client: the replica that leads
	// SnapshotBytes of log make a snapshot, of an engine of ours; 0: its default.
	SnapshotBytes int `json:"snapshot_bytes,omitempty"`
}

// A readLevel is the guarantee of a read.
type readLevel string

const (
	linearizable readLevel = "linearizable" // confirmed by a quorum for this read
	lease        readLevel = "lease"        // confirmed by the leader's unexpired lease
)

var errNotLeader = errors.New("this replica does not lead")

// A kind is what the tool knows of an engine before it runs.
type kind struct {
	name      string
	newServer func() engine
	newClient func() engine // nil: clients are goroutines in the leader process
	levels    []readLevel   // what read can do
	// deadline says that the engine's calls insist on a context that ends. All
	// other engines get one that never does, as arming a timer for each call
	// would cost them time.
	deadline bool
	// compare names the class: only engines of one class compete for "of best
	// peer". It is empty for the ceiling, which competes with nobody.
	class string
	// ours marks Synod: it has peers and is not one.
	ours bool
	// beside is the engine of ours that this one shall equal; empty: none.
	beside string
	// variants are the kinds of which the better is reported under this name.
	variants []string
	// drill says that the kind takes part in the fail-over drill by default.
	drill bool
}

const (
	inProcess   = "in process"
	overNetwork = "over the network"
)

// kinds lists every engine in the order in which a round runs them.
var kinds = []kind{
	{name: "bare", newServer: func() engine { return new(bareEngine) }, levels: []readLevel{linearizable, lease}},
	{name: "bare-calls", newServer: func() engine { return &bareEngine{calls: true} }, levels: []readLevel{linearizable, lease}},
	{name: "synod", newServer: newSynodEngine(synod.Raft), levels: []readLevel{linearizable, lease}, class: inProcess, ours: true, drill: true},
	{name: "synod-paxos", newServer: newSynodEngine(synod.Paxos), levels: []readLevel{linearizable, lease}, class: inProcess, ours: true, beside: "synod", drill: true},
	{name: "etcdraft", newServer: func() engine { return new(etcdraftEngine) }, levels: []readLevel{linearizable}, class: inProcess, drill: true},
	{name: "hashicorp", variants: []string{"hashicorp-plain", "hashicorp-batch"}, class: inProcess},
	{name: "hashicorp-plain", newServer: func() engine { return &hashicorpEngine{} }, levels: []readLevel{linearizable}, class: inProcess, drill: true},
	{name: "hashicorp-batch", newServer: func() engine { return &hashicorpEngine{batch: true} }, levels: []readLevel{linearizable}, class: inProcess},
	{name: "dragonboat", newServer: func() engine { return new(dragonboatEngine) }, levels: []readLevel{linearizable}, class: inProcess, deadline: true, drill: true},
	{name: "etcd-inproc", newServer: func() engine { return new(etcdEngine) }, levels: []readLevel{linearizable}, class: inProcess, drill: true},
	{name: "etcd", newServer: func() engine { return new(etcdEngine) }, newClient: func() engine { return new(etcdClient) }, levels: []readLevel{linearizable}, class: overNetwork},
	{name: "synod-http", newServer: newSynodHTTPEngine, newClient: newSynodHTTPClient, levels: []readLevel{linearizable, lease}, class: overNetwork, ours: true},
}

// findKind returns the kind with the given name.
func findKind(name string) (kind, error) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		var names []string
		for _, k := range kinds {
			names = append(names, k.name)
		}
		return kind{}, fmt.Errorf("no engine %q: there are %s", name, strings.Join(names, ", "))
	}
	return kinds[i], nil
}

// A command is what the library engines replicate: the key, then the value.
const keyBytes = 8

func appendCommand(b []byte, key uint64, value []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, key)
	return append(b, value...)
}

// A table is the state machine of every engine that has none of its own: a map
// that copies what is put, so that no engine has its log kept alive.
type table struct {
	mutex  sync.RWMutex
	values map[uint64][]byte
}

func newTable() *table { return &table{values: make(map[uint64][]byte)} }

// put applies commands under one lock.
func (t *table) put(commands ...[]byte) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for _, c := range commands {
		t.putLocked(c)
	}
}

func (t *table) putLocked(command []byte) {
	if len(command) < keyBytes {
		return
	}
	key := binary.LittleEndian.Uint64(command)
	t.values[key] = append(t.values[key][:0], command[keyBytes:]...)
}

// get reads the length of a value: what a caller that uses the value in place
// would pay.
func (t *table) get(key uint64) int {
	t.mutex.RLock()
	defer t.mutex.RUnlock()
	return len(t.values[key])
}

// The default timers of etcd, given to every engine that has no default of its
// own: 100 ms a tick, ten ticks to an election.
const (
	tickInterval  = 100 * time.Millisecond
	electionTicks = 10
)
