package raft

import "github.com/synod-go/synod/consensus"

// Output is what the inputs since the last Output ask the host to do. Its
// fields stand in the order in which they are carried out:
//
//  1. Lease and LeaseIndex are told to the readers.
//  2. SendNow leaves at once: it speaks about nothing that must be on disk.
//  3. HardState, Base and Entries are appended to the host's log as one save
//     with the number Save. The host may have many saves under way; they
//     become durable in order. When save n is durable the host calls Saved(n).
//  4. Send leaves when save number Save and all before it are durable.
//  5. Chunks are written to the snapshot being received.
//  6. Apply is handed to the state machine, in order, on another thread.
//  7. Reads, Changed, Loss, SendSnapshots are told to whom they concern.
//
// The zero Output asks for nothing, but that there is no lease.
type Output struct {
	// Lease is the end of the time in which this leader may answer reads from
	// its own state; 0 is no lease. Every Output carries the present value.
	// It may be used once the state machine has applied LeaseIndex. The read
	// must be evaluated first, then Lease loaded, then the clock read: the
	// answer counts only if the clock is still before Lease. LeaseIndex must
	// be loaded after the read was invoked and before it is evaluated.
	Lease      Time
	LeaseIndex Index

	SendNow []Envelope

	// Save numbers the save: 0 if there is nothing new to save, else one more
	// than the save before. If it is 0 and Send is not empty, Send still waits
	// for all earlier saves.
	Save uint64
	// HardState replaces the saved one, unless nil.
	HardState *HardState
	// Base, unless nil, comes before Entries: all saved entries are forgotten
	// and the log goes on after this snapshot, which is already durable.
	Base *SnapshotMeta
	// Entries are appended. If the first one's index is not beyond the last
	// saved entry, they replace everything saved from that index on.
	Entries []Entry

	Send []Envelope

	// Chunks are pieces of the snapshot that is being received. When one is
	// written the host calls ChunkWritten, which asks the leader for more.
	Chunks []Chunk

	// Apply holds committed entries that directly follow those handed out
	// before. Entries here may not yet be durable on this node; they are
	// durable on a quorum, so that no crash of this node takes them back.
	Apply []Entry

	// Reads are finished ReadIndex calls.
	Reads []Read

	// Changed is set when role, term, leader, or configuration differ from the
	// last Output's; the new ones are in Status.
	Changed bool

	// Loss, unless nil, is the end of this replica: the host carries out the
	// rest, reports it and does not start from this log again.
	Loss *Loss
	// PeerLosses are the replicas that have told this leader for the first time
	// that they have found a Loss. It counts on them no more; for operators.
	PeerLosses []ID

	// Notes are why elections were begun and refused; for operators.
	Notes []consensus.Note

	// SendSnapshots asks for chunks to be read and sent as InstallSnapshot.
	SendSnapshots []SnapshotRequest
}

// Envelope is a message and whom it is for.
type Envelope struct {
	To      ID
	Message Message
}
