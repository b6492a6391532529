package group

import (
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/storage"
)

// Engine is a core with the wire form of its messages and the disk form of its
// state: what differs between the protocols. It is used by the group's actor
// alone, in turns: Saved, Tick, Receive, Applied, PeerLost, ReadIndex, Propose in
// this order, then one Output. It may keep what it returns in Output only until
// the next call of Output, but for Send and Records, which the log keeps longer.
//
// What a method says of terms, indexes and errors is told in package consensus.
type Engine interface {
	// Tick sets the clock at the start of each turn.
	Tick(now consensus.Time)
	// Deadline is when the next turn is due if nothing happens before.
	Deadline() consensus.Time
	// Receive takes one message of a peer. It returns an error for one that no
	// replica of ours sends: ErrMisdirected if it is merely not for this one.
	Receive(m proto.Message) error
	// Propose takes commands into the log from index first on in term. Errors:
	// consensus.ErrNotLeader, ErrOverloaded, ErrTransferring, and ErrSealing, after
	// which the actor keeps the calls and proposes them again in its next turn.
	Propose(commands [][]byte) (first consensus.Index, term consensus.Term, err error)
	// Gather is how many bytes of proposals are worth a turn of their own: 0 is
	// any, math.MaxInt none, as it must be while Propose answers ErrSealing.
	Gather() int
	ReadIndex(ref uint64) error
	// Saved tells that the save of that number and all before it are durable.
	Saved(save uint64)
	// Applied tells how far the state machine is.
	Applied(index consensus.Index)
	// PeerLost tells that the connection to a peer has closed.
	PeerLost(id consensus.ID)

	ChangeMembership(members []consensus.Member, version consensus.Index) (consensus.Index, error)
	TransferLeadership(to consensus.ID) error

	// MetaAt describes a snapshot at an applied index; it reports false if no
	// configuration is known there.
	MetaAt(index consensus.Index) (consensus.SnapshotMeta, bool)
	// SnapshotTaken, SnapshotInstalled and SnapshotFailed tell the end of a
	// snapshot that is durable here, own or received; SnapshotUnsent that a chunk
	// could not be sent to a peer, ChunkWritten how much of one that is received
	// is written.
	SnapshotTaken(meta consensus.SnapshotMeta)
	SnapshotInstalled(meta consensus.SnapshotMeta)
	SnapshotFailed(index consensus.Index)
	SnapshotUnsent(to consensus.ID)
	ChunkWritten(index consensus.Index, end int64)
	// Sending are the snapshots that peers are being sent, by peer: they stay
	// readable.
	Sending() map[consensus.ID]consensus.Index

	Status() consensus.Status
	Role() consensus.Role
	Term() consensus.Term
	Leader() consensus.ID
	Configuration() consensus.Configuration

	// Output returns what the turn asks the actor to do.
	Output() Output
}

// ErrMisdirected is what Receive answers to a message for another replica or
// group. It is counted and not logged.
var ErrMisdirected = errors.New("group: message for another replica")

// ErrOtherEngine is wrapped by what Recovery.Add says of a record that another
// engine has written.
var ErrOtherEngine = errors.New("group: the log was written by another engine")

// Envelope is a message and whom it is for.
type Envelope struct {
	To      consensus.ID
	Message proto.Message
}

// Output is what the actor does at the end of a turn, in the order of the
// fields.
type Output struct {
	// Lease is the end of the leader's lease, 0 is none; it holds from the moment
	// at which LeaseIndex is applied.
	Lease      consensus.Time
	LeaseIndex consensus.Index

	// SendNow leaves at once.
	SendNow []Envelope

	// Records are appended as the save of number Save, which is 0 if there are
	// none; else it is one more than the save before.
	Save    uint64
	Records []storage.Record
	// Entries are those that Records bring to the log.
	Entries []consensus.Entry
	// Base, unless 0, is up to where a witness has let go of its log without a
	// snapshot: once Save is durable, records of lower indexes may be released.
	Base consensus.Index
	// Send leaves when Save, or if that is 0 all earlier saves, are durable.
	Send []Envelope

	// Chunks are written to the snapshot that is received.
	Chunks []consensus.Chunk
	// Apply goes to the state machine.
	Apply []consensus.Entry
	// Reads are those ReadIndex calls that have ended.
	Reads []consensus.Read

	// Loss, unless nil, ends this replica; PeerLosses are peers that have told of
	// theirs.
	Loss       *consensus.Loss
	PeerLosses []consensus.ID
	// Notes are why elections were begun and refused.
	Notes []consensus.Note
	// Alarms are what operators must hear of once, in words.
	Alarms []string

	// SendSnapshots asks for chunks to be read and sent.
	SendSnapshots []consensus.SnapshotRequest
	// Changed: role, term, leader or configuration are others than before.
	Changed bool
}

// Protocol makes the engines of a group: one for each start of its actor. It is
// safe for concurrent use.
type Protocol interface {
	// Check reports what is wrong with the protocol's own configuration.
	Check(c Config) error
	// Recover begins the recovery of a replica.
	Recover(c Config) Recovery
	// Term is what the protocol calls a term, and t as people read it: "term" and
	// "5", or "ballot" and "5.2.0".
	Term(t consensus.Term) (word, text string)
	// EncodeChunk is the message that carries a chunk of a snapshot to the
	// replica that r names.
	EncodeChunk(c Config, r consensus.SnapshotRequest, chunk consensus.Chunk) proto.Message
	// Begin is how a group begins with a snapshot at an index, which no leader of its own
	// has led it to, and one member that votes: the snapshot's meta but for Size and
	// Checksum, and the records to be written once that is durable.
	Begin(g storage.Group, index consensus.Index, first consensus.Member) (consensus.SnapshotMeta, []storage.Record)
}

// Recovery rebuilds an engine from the group's records, which come in the order
// in which they were written.
type Recovery interface {
	// Add takes a record, whose data is lent for the call. It returns ErrOtherEngine
	// for one of a type that its engine never writes.
	Add(record storage.Record) error
	// Bootstrap is the record with which a new group begins.
	Bootstrap(members []consensus.Member) storage.Record
	// Fresh reports whether the records hold no configuration: the replica has
	// never had a place in the group.
	Fresh() bool
	// Engine goes on from the records and the newest whole snapshot, whose Index
	// is 0 if there is none; a witness has only what its records say of one. The log
	// may lack what is at or before released, since a snapshot took its place.
	// Entries are those in the log.
	Engine(snapshot consensus.SnapshotMeta, released consensus.Index) (e Engine, entries []consensus.Entry, err error)
	// Tail is for a replica that will hear of no other one again. It returns all that
	// follows the snapshot, index after index; behind known nothing tells whether it was
	// committed. released is as for Engine.
	Tail(snapshot consensus.SnapshotMeta, released consensus.Index) (entries []consensus.Entry, known consensus.Index, err error)
}
