package multipaxos

import (
	"fmt"

	"github.com/synod-go/synod/consensus"
)

// What both engines call alike is package consensus'.
type (
	ID              = consensus.ID
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
	Loss            = consensus.Loss // see loss.go
)

// Values of those types.
const (
	None = consensus.None

	Follower     = consensus.Follower
	PreCandidate = consensus.PreCandidate // polls: asks whether a Prepare would be promised
	Candidate    = consensus.Candidate    // phase 1 is under way
	Leader       = consensus.Leader       // the distinguished proposer

	EntryCommand = consensus.EntryCommand
	EntryNoOp    = consensus.EntryNoOp
	EntrySeal    = consensus.EntryConfiguration // the SEAL of an epoch
	EntryLead    = consensus.EntryLead
)

// Ballot numbers an attempt to lead: (epoch, round, proposer), ordered in that
// order. The proposer is its place in the epoch's configuration, whose members
// are named by the incarnation of their storage; the round is durable before a
// Prepare with it leaves. So no two attempts ever share a ballot. The zero
// Ballot is none.
//
//	bits 40 to 61  epoch
//	bits  8 to 39  round
//	bits  0 to  7  proposer
type Ballot = consensus.Term

const (
	roundBits    = 32
	proposerBits = 8
	maxEpoch     = 1<<22 - 1
	maxRound     = 1<<roundBits - 1
)

func ballot(epoch, round uint32, proposer int) Ballot {
	return Ballot(epoch)<<(roundBits+proposerBits) | Ballot(round)<<proposerBits | Ballot(proposer)
}

// Epoch, Round and Proposer are the parts of b.
func Epoch(b Ballot) uint32 { return uint32(b >> (roundBits + proposerBits)) }

// Round is the second part of b.
func Round(b Ballot) uint32 { return uint32(b >> proposerBits) }

// Proposer is the third part of b: a place in the epoch's configuration.
func Proposer(b Ballot) int { return int(b & (1<<proposerBits - 1)) }

// FormatBallot returns b for people: epoch.round.proposer, and - for none.
func FormatBallot(b Ballot) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%d.%d.%d", Epoch(b), Round(b), Proposer(b))
}

// HardState must survive a crash before any message that follows from it leaves.
type HardState struct {
	Promised Ballot // acceptor: nothing below it is promised or voted for any more
	Proposed Ballot // proposer: the last ballot it has prepared
}

// Run is a row of consecutive slots that were voted for with one ballot, or
// that are chosen.
type Run struct {
	Ballot  Ballot // of the votes; 0 if they are chosen
	Chosen  bool
	Entries []Entry
}

// State is what a replica read from its disk: see Recovery.
type State struct {
	HardState HardState
	// Snapshot is the newest valid one. A new group starts from Bootstrap's.
	Snapshot SnapshotMeta
	// Runs are the saved votes and chosen entries in the order in which they
	// were saved: a later one replaces what an earlier one says of a slot.
	Runs []Run
	// Chosen is the last slot of the prefix that was known to be chosen.
	Chosen Index
}

// Bounds of numbers that come from outside. No honest replica comes near, and
// below them no sum overflows.
const (
	maxBallot = consensus.MaxTerm - 1
	maxIndex  = consensus.MaxIndex
	// never is a deadline that does not come.
	never Time = 1<<63 - 1
)

// Bootstrap returns the beginning of a new group: what every first member is
// given as State.Snapshot. A replica that joins later is given none.
func Bootstrap(members ...Member) SnapshotMeta {
	return SnapshotMeta{Configuration: Configuration{Epoch: 1, Members: consensus.SortMembers(members)}}
}
