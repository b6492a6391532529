// Package raft is the Raft consensus algorithm as a state machine without a
// clock, a disk, a network or a goroutine: inputs go in, one Output comes back.
//
// # What it leaves to others
//
// A driver owns a Node: it reads the clock, keeps the log and the snapshots on
// disk, carries messages, and runs the replicated state machine. The actor in
// actors/raftnode with actors/group is one, the simulator another. Sessions and exactly-once
// execution are package replica's.
//
// # How to drive a Node
//
// All methods are called from one goroutine (or under one lock):
//
//	for each batch of inputs that has arrived, or when Deadline has come:
//	    now := read the clock             // after the inputs have arrived
//	    node.Tick(now)
//	    node.Step, Propose, ReadIndex, Saved, Applied, ...   // the inputs
//	    out := node.Output()              // once
//	    carry out, in the order of Output's fields
//	    set a timer for node.Deadline()   // at once if it is not after now
//
// The larger the batch, the better: all that was proposed in it shares one save
// and one AppendEntries for each follower. What is due by the clock is done in
// Output, after the inputs, so that a message which waited in the mailbox
// while the process was paused still counts.
//
// The driver promises:
//
//   - The clock does not run backwards and counts the time the machine is
//     suspended. Two clocks drift apart by less than MaxDrift in one Lease.
//   - A save is durable before Saved is called with its number, and then all
//     before it are. Send leaves no sooner. After a failed write the node ends.
//   - What State returns after a restart is what was saved: the newest HardState,
//     the newest snapshot, and the log as Base and Entries made it, which may
//     hold a part of what was not yet durable, but without gaps.
//   - An ID is used by one replica with one disk.
//   - Lease is published before SendNow leaves, and a lease read follows the
//     order told at Output.Lease.
//   - Applied, ChunkWritten and SnapshotInstalled or SnapshotFailed are called
//     in the end: what is handed out ahead of them is bounded.
//   - Messages may be lost, repeated, delayed and reordered; they are not altered.
//
// # A proposal's fate
//
// Propose returns the index of the first command; its term is Status().Term. When
// Apply reaches an index, the command is committed if the entry has that term
// and surely lost if it has another. Until then its fate is unknown, even after
// this replica has ceased to lead.
//
// # Source
//
// Diego Ongaro and John Ousterhout, "In Search of an Understandable Consensus
// Algorithm (Extended Version)", 2014: "section" in a comment is a section of
// it. Diego Ongaro, "Consensus: Bridging Theory and Practice", 2014: the
// dissertation. raft.tla is its specification. Each file is a section: election
// (5.2, 5.4.1; dissertation 9.6), replication and progress (5.3, 5.4.2),
// membership (6), snapshot (7), read and lease (8; dissertation 6.4), transfer
// (dissertation 3.10).
//
// # Differences
//
//   - A pre-vote comes before each election (dissertation 9.6), and a leader that
//     no quorum answers steps down (CheckQuorum).
//   - Every replica keeps a promise to the leader it has heard, for Config.Lease;
//     that is the leader's lease (lease.go). The dissertation uses the minimum
//     election timeout (4.2.3).
//   - The leader's write to its own disk goes on beside replication, and it may
//     commit before its own write is done (dissertation 10.2.1).
//   - Entries are sent ahead of their answers, within a window. A rejected
//     AppendEntries is answered with a hint that passes over whole terms on both
//     sides.
//   - Any change of the voters uses a joint configuration (section 6; the
//     dissertation's single-server change is not used). Raft's learner is called
//     non-voter here.
//   - Snapshots are sent in chunks that the receiver asks for, so that a broken
//     transfer goes on, also with another leader.
//   - A leader whose disk stalls hands over.
package raft
