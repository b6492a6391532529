package consensus

// ID names one replica of a group. The host makes it at random together with
// the data directory, so that a replica which lost its disk comes back under
// another ID and can never vote twice under the old one. None is no replica.
type ID uint64

// None is the zero ID: no vote, no leader.
const None ID = 0

// Term orders leaderships: Raft's logical clock (Raft section 5.1), and a ballot
// of the Paxos log, packed into a number (package multipaxos). No two leaders of
// a group have the same.
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
	PreCandidate      // asks whether an election could be won (Raft dissertation 9.6)
	Candidate         // asks for votes, or for promises
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
	// EntryNoOp changes nothing. It carries no data.
	EntryNoOp
	// EntryConfiguration holds an encoded Configuration. In the Paxos log it is
	// the SEAL that ends an epoch.
	EntryConfiguration
	// EntryLead is the marker of the Paxos log behind which a new leader's own
	// commands begin. It carries no data.
	EntryLead
)

// Entry is one position of the log. Term is that of the leader who first
// proposed it. Data is shared with the host and with
// other entries of a batch: nobody may change it.
type Entry struct {
	Term  Term
	Index Index
	Kind  EntryKind
	Data  []byte
}

// Member is one replica in a Configuration.
type Member struct {
	ID ID
	// Voter counts in the only, or in a joint configuration the new, quorum. In
	// Paxos' words it is an acceptor.
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
	// Roles are what the member is to be in a Paxos group; 0 is the usual: all
	// three for a voter, a learner otherwise. A Raft group knows no other.
	Roles Roles
	// Name and Address are for the host, which finds the replica by them. The
	// core does not read them.
	Name    string
	Address string
}

// Configuration is who belongs to the group. It is joint while any member is
// Outgoing: then an election and a commit need a majority of both halves
// (Raft section 6, C-old,new).
type Configuration struct {
	// Version is the index of the entry that brought this configuration:
	// ChangeMembership compares it, so that two administrators cannot undo
	// each other unseen. Zero for a configuration given at bootstrap.
	Version Index
	// Epoch counts the configurations of a Paxos group from 1; 0 in a Raft group.
	Epoch uint32
	// Members are sorted by ID, each ID once.
	Members []Member
}

// SnapshotMeta describes a snapshot of the state machine that replaces the log
// up to and including Index. Term is
// that of its last entry in Raft, and the last leader's ballot in the Paxos log.
type SnapshotMeta struct {
	Index         Index
	Term          Term
	Configuration Configuration
	// Size is the length of the snapshot in bytes and Checksum its CRC32C;
	// the host checks them before it calls SnapshotInstalled.
	Size     int64
	Checksum uint32
}

// Same reports whether two descriptions are of the same bytes, so that a
// transfer begun with one sender goes on with another.
func (s SnapshotMeta) Same(o SnapshotMeta) bool {
	return s.Index == o.Index && s.Term == o.Term && s.Size == o.Size && s.Checksum == o.Checksum
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
