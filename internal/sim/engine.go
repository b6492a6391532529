package sim

import (
	"fmt"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/storage"
)

// engine is what differs between the protocols that a World can run.
type engine interface {
	// bootstrap is what the first members start from.
	bootstrap(members []consensus.Member) consensus.SnapshotMeta
	// recover begins to read a replica's records.
	recover() recovery
	// newCore makes the core that goes on from a state of this engine's recovery.
	// high is the highest index of any record so far.
	newCore(w *World, n *node, state any, high consensus.Index) (core, error)
	// newOracle watches the protocol.
	newOracle(w *World) oracle
	// chunk carries a piece of a snapshot that was asked for.
	chunk(ask consensus.SnapshotRequest, meta consensus.SnapshotMeta, offset int64, data []byte) message
	// damaged is a chunk with a bit changed, which only the core's own checksum can
	// notice. It reports false for every other message: the link drops those.
	damaged(m message, d draw) (message, bool)
	// hash is what a message adds to the fingerprint of a run, show how it looks.
	hash(m message) uint64
	show(m message) string
	// cast gives a member of a machine the roles that the machine can play.
	cast(w *World, m *consensus.Member)
	// witness reports whether a machine votes and runs no state machine.
	witness(w *World, slot int) bool
	// survives reports whether a group with configuration c works and has lost
	// nothing while only the members for whom in holds are there.
	survives(c *consensus.Configuration, in func(consensus.ID) bool) bool
}

// core is a replica of either engine, as a World drives it.
type core interface {
	Tick(now consensus.Time)
	Deadline() consensus.Time
	step(from consensus.ID, m message)
	Propose(commands [][]byte) (consensus.Index, error)
	ReadIndex(ref uint64) error
	Saved(number uint64)
	Applied(index consensus.Index)
	PeerLost(peer consensus.ID)
	Campaign()
	TransferLeadership(to consensus.ID) error
	ChangeMembership(members []consensus.Member, version consensus.Index) (consensus.Index, error)
	MetaAt(index consensus.Index) (consensus.SnapshotMeta, bool)
	SnapshotTaken(meta consensus.SnapshotMeta)
	SnapshotInstalled(meta consensus.SnapshotMeta)
	SnapshotFailed(index consensus.Index)
	SnapshotUnsent(peer consensus.ID)
	ChunkWritten(index consensus.Index, offset int64)
	Status() consensus.Status
	output() output
}

// message is one of the engine's own.
type message any

type envelope struct {
	to      consensus.ID
	message message
}

// output is what a core asks for, in the order of the fields.
type output struct {
	lease      consensus.Time
	leaseIndex consensus.Index
	sendNow    []envelope
	save       uint64 // 0 if there is nothing to save
	records    []storage.Record
	send       []envelope
	chunks     []consensus.Chunk
	apply      []consensus.Entry
	reads      []consensus.Read
	// ended: the replica has found that its disk has lost something.
	ended         bool
	alarms        []string
	sendSnapshots []consensus.SnapshotRequest
	// base is up to where a witness has let go of its log: the records may be
	// released when the save is durable.
	base consensus.Index
	own  any // the engine's own output, for its oracle
}

// recovery reads what a replica had saved.
type recovery interface {
	// add takes the records in the order in which they were written.
	add(r storage.Record) error
	// high is the highest index of any record.
	high() consensus.Index
	// base is what a witness goes on from in the place of a snapshot.
	base() consensus.SnapshotMeta
	// state joins the log and the newest snapshot. The log may lack what is not
	// after released.
	state(snapshot consensus.SnapshotMeta, released consensus.Index) (any, error)
}

// oracle watches everything that replicas save, send, apply and answer, and
// ends the run when a rule is broken. It sees more than any replica could, so
// that each check is a comparison and no protocol of its own.
type oracle interface {
	begin(c consensus.Configuration)
	// committed is the highest index that is known to be committed.
	committed() consensus.Index
	// liveConfigurations are those that may be in force.
	liveConfigurations() []*consensus.Configuration

	// receives comes before a step, output after a batch, saves before the
	// records of an output are appended, saved when they are durable, leaves
	// when a message leaves, and status after each turn.
	receives(n *node, from consensus.ID, m message)
	output(n *node, out *output)
	saves(n *node, out *output)
	saved(n *node, number uint64)
	leaves(n *node, e envelope)
	status(n *node)

	// applies is an entry handed to a state machine, installs one that jumps to a
	// received snapshot.
	applies(n *node, e consensus.Entry)
	installs(n *node, meta consensus.SnapshotMeta)

	// started is a process that goes on from state, stopped one that ends; torn
	// is a crash in the middle of a write, and lost a replica given up.
	started(n *node, state any)
	stopped(n *node)
	torn(n *node)
	lost(id consensus.ID)
}

// The names of the engines.
const (
	engineRaft  = "raft"
	enginePaxos = "paxos"
)

// engineOf returns the engine that a plan names.
func engineOf(p Plan) engine {
	switch p.Engine {
	case "", engineRaft:
		return raftEngine{}
	case enginePaxos:
		return paxosEngine{}
	}
	panic(fmt.Sprintf("sim: no engine is called %q", p.Engine))
}

func storageRecord(kind uint8, index uint64, data []byte) storage.Record {
	return storage.Record{Group: groupNumber, Type: kind, Index: index, Data: data}
}
