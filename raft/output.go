package raft

// Output is what the steps since the last Output ask the host to do. Its
// fields stand in the order in which they are carried out:
//
//  1. SendNow leaves at once: it speaks about nothing that must be on disk.
//  2. HardState, Entries (and Base) are appended to the host's log as one save
//     with the number Save. The host may have many saves under way; they
//     become durable in order. When save n is durable the host calls Saved(n).
//  3. Send leaves when save number Save and all before it are durable.
//  4. Chunk is written to the snapshot being received.
//  5. Apply is handed to the state machine, in order, on another thread.
//  6. Reads, Changed, SendSnapshots, Lease are told to whom they concern.
//
// The zero Output asks for nothing.
type Output struct {
	SendNow []Envelope

	// Save numbers the save: 0 if Send waits for nothing new, else one more
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

	// Chunk is a piece of a snapshot that is being received, or nil.
	Chunk *Chunk

	// Apply holds committed entries that directly follow those handed out
	// before. Entries here may not yet be durable on this node; they are on a
	// quorum.
	Apply []Entry

	// Reads are finished ReadIndex calls.
	Reads []Read

	// Changed is set when role, term, leader, or configuration differ from the
	// last Output's; the new ones are in Status.
	Changed bool

	// SendSnapshots asks for chunks to be read and sent as InstallSnapshot.
	SendSnapshots []SnapshotRequest

	// Lease is the end of the time in which this leader may answer reads from
	// its own state; 0 is no lease. It may be used once the state machine has
	// applied LeaseIndex. The read must be evaluated first and the clock read
	// after it: the answer counts only if the clock is still before Lease.
	Lease      Time
	LeaseIndex Index
}

// Envelope is a message and whom it is for.
type Envelope struct {
	To      ID
	Message Message
}

// Chunk is a piece of a snapshot for the receiving host to write at Offset.
// Offsets come without gaps from 0; Offset 0 starts over. When Last is set the
// snapshot is whole: the host checks Size and Checksum, makes it durable,
// restores the state machine from it and calls SnapshotInstalled, or
// SnapshotFailed to start over.
type Chunk struct {
	Snapshot SnapshotMeta
	Offset   int64
	Data     []byte
	Last     bool
}

// Read is the end of a ReadIndex call. If Err is nil a linearizable read may be
// answered from a state that has applied Index.
type Read struct {
	Ref   uint64
	Index Index
	Err   error
}

// SnapshotRequest asks the host to read up to MaxChunkBytes at Offset of its
// snapshot at Index (or, if that is gone, of its newest from offset 0) and to
// send them to To as InstallSnapshot in Term. If the host has none or cannot
// read it, it calls SnapshotUnsent.
type SnapshotRequest struct {
	To     ID
	Term   Term
	Index  Index
	Offset int64
}
