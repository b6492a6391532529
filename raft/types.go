package raft

import "github.com/synod-go/synod/consensus"

// What both engines call alike is package consensus'.
type (
	ID              = consensus.ID
	Term            = consensus.Term
	Index           = consensus.Index
	Time            = consensus.Time
	Role            = consensus.Role
	EntryKind       = consensus.EntryKind
	Entry           = consensus.Entry
	Member          = consensus.Member
	Configuration   = consensus.Configuration
	SnapshotMeta    = consensus.SnapshotMeta
	Chunk           = consensus.Chunk
	Read            = consensus.Read
	SnapshotRequest = consensus.SnapshotRequest
	Status          = consensus.Status
	PeerStatus      = consensus.PeerStatus
	PeerState       = consensus.PeerState
	Loss            = consensus.Loss
)

// Values of those types.
const (
	None = consensus.None

	Follower     = consensus.Follower
	PreCandidate = consensus.PreCandidate
	Candidate    = consensus.Candidate
	Leader       = consensus.Leader

	EntryCommand = consensus.EntryCommand
	// EntryNoOp is what a new leader appends to commit its predecessors'
	// entries (section 8), and one whose transfer has failed to void TimeoutNow
	// (lease.go).
	EntryNoOp = consensus.EntryNoOp
	// EntryConfiguration holds an encoded Configuration, in force as soon as
	// it is in the log (section 6).
	EntryConfiguration = consensus.EntryConfiguration

	Probe     = consensus.Probe
	Replicate = consensus.Replicate
	Snapshot  = consensus.Snapshot

	MaxMembers   = consensus.MaxMembers
	MaxNameBytes = consensus.MaxNameBytes
)

// HardState must survive a crash before any message that follows from it
// leaves (Figure 2, persistent state; the log is saved beside it).
type HardState struct {
	Term Term
	Vote ID
}
