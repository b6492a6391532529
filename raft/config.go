package raft

import "math/rand/v2"

// Config of a Node. The zero value of each field but ID means its default.
// Durations are on the host's clock (Time, nanoseconds).
type Config struct {
	// ID of this replica. Required.
	ID ID

	// Heartbeat is how often a leader makes itself heard. Default 50 ms.
	Heartbeat Time
	// Election is how long a follower waits for its leader before it
	// campaigns: a random time in [Election, 2*Election). Default 300 ms, at
	// least 3*Heartbeat.
	Election Time
	// Lease is how long a replica that heard its leader refuses to elect
	// another, and, less MaxDrift, how long the leader may read without
	// asking. It is also the least time from a leader's death to the next
	// leader. At most Election. Default Election/2.
	Lease Time
	// MaxDrift bounds how far two clocks may drift apart within one Lease.
	// Default Lease/10.
	MaxDrift Time
	// DiskStall is how long a save may take before the node counts its disk as
	// stalled: a leader hands over, a follower does not campaign. Default
	// 2*Election.
	DiskStall Time

	// MaxAppendBytes bounds the entries of one AppendEntries. Default 1 MiB; a
	// single larger entry still goes alone.
	MaxAppendBytes int
	// MaxInflightBytes and MaxInflightFrames bound what one follower has been
	// sent and has not yet acknowledged as durable. Deep batches with a
	// shallow pipeline use the disk best. Defaults 8 MiB and 3.
	MaxInflightBytes  int
	MaxInflightFrames int
	// MaxUncommittedBytes bounds the entries a leader takes beyond its commit
	// index; more is ErrOverloaded. Default 64 MiB.
	MaxUncommittedBytes int
	// MaxApplyBytes bounds Apply of one Output. Default 4 MiB.
	MaxApplyBytes int
	// MaxReads bounds waiting ReadIndex calls. Default 65536.
	MaxReads int
	// MaxChunkBytes is the size of a snapshot chunk. Default 256 KiB.
	MaxChunkBytes int

	// TrailingEntries stay in memory behind a snapshot so that a follower a
	// little behind needs no snapshot. Default 4096 entries, at most
	// TrailingBytes of them. Default 16 MiB.
	TrailingEntries int
	TrailingBytes   int

	// PromoteWithin is how close, in entries, a non-voter's log must be to the
	// leader's to be promoted. Default 256.
	PromoteWithin int

	// Rand is the source of the election jitter. The same source state and the
	// same inputs give the same outputs. Default: seeded from ID.
	Rand *rand.Rand
}

// State is what a replica read from its disk.
type State struct {
	HardState HardState
	// Snapshot is the newest valid snapshot; the zero value is none. A new
	// group starts from a SnapshotMeta with Index 0 and the bootstrap
	// Configuration.
	Snapshot SnapshotMeta
	// Entries are the log; those up to Snapshot.Index may be missing.
	Entries []Entry
}
