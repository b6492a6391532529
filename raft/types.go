package raft

// ID names one replica of a group. The host makes it at random together with
// the data directory, so that a replica which lost its disk comes back under
// another ID and can never vote twice under the old one. None is no replica.
type ID uint64

// None is the zero ID: no vote, no leader.
const None ID = 0

// Term is Raft's logical clock (section 5.1).
type Term uint64

// Index is a position in the log; the first entry has index 1.
type Index uint64

// Time is a moment on the host's own clock in nanoseconds, not negative. The
// clock must never run backwards and should count the time a machine is suspended
// (CLOCK_BOOTTIME). Times of two nodes are never compared.
type Time int64

// Role is what a node is in its current term. The zero Role is Follower.
type Role uint8

const (
	Follower     Role = iota
	PreCandidate      // asks whether an election could be won (dissertation 9.6)
	Candidate
	Leader
)

// String returns the role as the paper writes it.
func (r Role) String() string {
	switch r {
	case PreCandidate:
		return "pre-candidate"
	case Candidate:
		return "candidate"
	case Leader:
		return "leader"
	default:
		return "follower"
	}
}

// EntryKind says who reads an entry's data.
type EntryKind uint8

const (
	// EntryCommand holds a command of the state machine.
	EntryCommand EntryKind = iota
	// EntryNoOp is what a new leader appends to commit its predecessors'
	// entries (section 8), and one whose transfer has failed to void TimeoutNow
	// (lease.go). It carries no data.
	EntryNoOp
	// EntryConfiguration holds an encoded Configuration, in force as soon as
	// it is in the log (section 6).
	EntryConfiguration
)

// Entry is one position of the log. Data is shared with the host and with
// other entries of a batch: nobody may change it.
type Entry struct {
	Term  Term
	Index Index
	Kind  EntryKind
	Data  []byte
}

// HardState must survive a crash before any message that follows from it
// leaves (Figure 2, persistent state; the log is saved beside it).
type HardState struct {
	Term Term
	Vote ID
}

// Member is one replica in a Configuration.
type Member struct {
	ID ID
	// Voter counts in the only, or in a joint configuration the new, quorum.
	Voter bool
	// Outgoing counts in the old quorum of a joint configuration.
	Outgoing bool
	// Promote asks the leader to make this non-voter a voter by itself once it
	// has caught up.
	Promote bool
	// Leaving marks a member of a joint configuration that is gone from the one
	// that follows: an outgoing voter that is removed, not demoted. Only the
	// core sets it.
	Leaving bool
	// Replaces is removed in the same change that promotes this member: how a
	// replica that lost its disk takes its own old place. None replaces nobody.
	Replaces ID
	// Priority orders candidates: of the caught-up voters the one with the
	// highest priority should lead. Default 0.
	Priority int32
	// Name and Address are for the host, which finds the replica by them. The
	// core does not read them.
	Name    string
	Address string
}

// Configuration is who belongs to the group. It is joint while any member is
// Outgoing: then an election and a commit need a majority of both halves
// (section 6, C-old,new).
type Configuration struct {
	// Version is the index of the entry that brought this configuration:
	// ChangeMembership compares it, so that two administrators cannot undo
	// each other unseen. Zero for a configuration given at bootstrap.
	Version Index
	// Members are sorted by ID, each ID once.
	Members []Member
}

// SnapshotMeta describes a snapshot of the state machine that replaces the log
// up to and including Index (section 7).
type SnapshotMeta struct {
	Index         Index
	Term          Term
	Configuration Configuration
	// Size is the length of the snapshot in bytes and Checksum its CRC32C;
	// the host checks them before it calls SnapshotInstalled.
	Size     int64
	Checksum uint32
}
