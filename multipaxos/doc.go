// Package multipaxos is the replicated log of Paxos as a state machine without a
// clock, a disk, a network or a goroutine: inputs go in, one Output comes back. It
// keeps the same contract as package raft (see package consensus); one decree alone
// is package paxos.
//
// # One command, one failure
//
// A leader, the distinguished proposer, has a ballot that a quorum of acceptors has
// promised for every slot from some one on (phase 1). A command gets the next slot
// and goes to all acceptors in one Accept (phase 2), many slots in a row, several
// rows ahead of the answers. An acceptor votes as soon as the vote is on its disk,
// out of order if it must. When a quorum has voted, the slot is chosen; when all
// before it are, the state machine applies it. The others hear of it with the next
// Accept or Heartbeat.
//
// The leader dies. A proposer that no longer hears it polls the acceptors; one that
// reaches a quorum, none of which hears a leader, prepares a higher ballot. The
// promises report every vote, and the new leader proposes those again, fills the
// holes with no-ops, and puts a LEAD marker behind them. Behind that its own
// commands go. What the old leader had proposed beyond, and nobody of that quorum
// has seen, is void if it ever turns up again (ghost.go).
//
// # What it leaves to others
//
// A driver owns a Node: it reads the clock, keeps votes and snapshots on disk,
// carries messages, and runs the replicated state machine. The actor in
// actors/group is one, the simulator another. Sessions and exactly-once execution
// are package replica's.
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
// The driver promises what package raft's does: a clock that does not run backwards
// and drifts by less than MaxDrift in one Lease; saves that become durable in order;
// Send that leaves no sooner than its save; State with everything that was reported
// as saved, and nothing that was not asked for (Writer and Recovery do that for a log
// of records); an ID that is used by one replica with one disk.
//
// # Source
//
// Leslie Lamport, "The Part-Time Parliament", 1998, and "Paxos Made Simple", 2001.
// The rules A1 to A8, P1 to P10 and L1 to L6 in comments and tests are those of the
// papers, spelled out. Quorum-connected election: Ng, Haridi and Carbone,
// "Omni-Paxos", 2023.
//
// # Differences
//
//   - A ballot names the epoch, the round and the proposer's place in the epoch's
//     configuration, packed into one number.
//   - Configurations change by sealed epochs (membership.go), not by a window of
//     slots.
//   - Acceptor and learner of a replica share the slots: what is chosen needs no
//     vote any more, and a promise reports it as chosen.
//   - The leader is the distinguished learner; others learn from what it says is
//     chosen, from their own votes for exactly its ballot, and for the rest from any
//     peer, in bulk (catchup.go).
//   - An entry keeps the ballot that first proposed it, so that late ghosts of old
//     leaders are void (ghost.go).
package multipaxos
