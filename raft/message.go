package raft

// Message is what replicas of one group send to each other. A message is a
// value: the receiver may keep it, nobody may change what it points to.
//
//	candidate                    voters
//	   │── PreVote ────────────────▶│   could I win term+1?   (dissertation 9.6)
//	   │◀─────────── PreVoteReply ──│
//	   │── RequestVote ────────────▶│   vote for me in term   (section 5.2)
//	   │◀─────────────────── Vote ──│   after the vote is on disk
//
//	leader                       followers
//	   │── AppendEntries ─────────▶│   replicate             (section 5.3)
//	   │◀──────────── AppendReply ──│   after the entries are on disk
//	   │── Heartbeat ─────────────▶│   I lead; confirm a read round
//	   │◀───────── HeartbeatReply ──│   at once, never waits for the disk
//	   │── InstallSnapshot ───────▶│   one chunk             (section 7)
//	   │◀────────── SnapshotReply ──│   the next offset wanted
//	   │── TimeoutNow ────────────▶│   campaign at once      (dissertation 3.10)
//
//	follower                     leader
//	   │── ReadIndex ─────────────▶│   a linearizable read on the follower
//	   │◀───────── ReadIndexReply ──│   (dissertation 6.4)
type Message interface{ term() Term }

// PreVote asks whether the sender could win an election in Term. It changes no
// state on either side.
type PreVote struct {
	Term      Term // the term of the election that would follow
	LastIndex Index
	LastTerm  Term
	Priority  int32
}

// PreVoteReply answers PreVote. When granted, Term repeats the asked term; when
// refused, it is the refuser's own.
type PreVoteReply struct {
	Term    Term
	Granted bool
}

// RequestVote asks for the receiver's vote in Term.
type RequestVote struct {
	Term      Term
	LastIndex Index
	LastTerm  Term
	// Transfer is set when the leader itself asked for this election
	// (TimeoutNow): the receiver then does not protect the leader's lease,
	// which the leader has given up.
	Transfer bool
}

// Vote answers RequestVote after the vote is durable.
type Vote struct {
	Term    Term
	Granted bool
}

// AppendEntries replicates Entries, which follow directly on PrevIndex.
type AppendEntries struct {
	Term      Term
	PrevIndex Index
	PrevTerm  Term
	Commit    Index
	Entries   []Entry
}

// AppendReply answers AppendEntries. On success everything up to Match is
// durable at the sender and equal to the leader's log. On a rejection,
// ConflictIndex and ConflictTerm tell where the logs may still agree, so that
// the leader backs up over whole terms at once (end of section 5.3).
type AppendReply struct {
	Term      Term
	Rejected  bool
	PrevIndex Index // of the rejected AppendEntries
	Match     Index
	// ConflictIndex is the last index up to PrevIndex at which the follower
	// has an entry that is not newer than PrevTerm; ConflictTerm is its term.
	ConflictTerm  Term
	ConflictIndex Index
}

// Heartbeat upholds leadership. Sent and Round come back unchanged.
type Heartbeat struct {
	Term   Term
	Commit Index // never beyond what the follower is known to match
	Round  uint64
	Sent   Time  // on the leader's clock: the lease counts from here
	Match  Index // what the follower has acknowledged in this term: see Loss
}

// HeartbeatReply echoes a Heartbeat. It vouches for leadership only, not for
// any entry, and so need not wait for the disk.
type HeartbeatReply struct {
	Term    Term
	Round   uint64
	Sent    Time
	Stalled bool // the sender's disk does not answer: do not hand leadership to it
	Lost    bool // the sender has lost what it had acknowledged: see Loss
}

// InstallSnapshot carries one chunk of a snapshot. Checksum is the CRC32C of
// Data; a chunk that does not match is dropped and asked for again.
type InstallSnapshot struct {
	Term     Term
	Snapshot SnapshotMeta
	Offset   int64
	Data     []byte
	Checksum uint32
}

// SnapshotReply tells the leader how much of the snapshot at Index is there.
// Offset is the next byte wanted; Installed ends the transfer.
type SnapshotReply struct {
	Term      Term
	Index     Index
	Offset    int64
	Installed bool
}

// ReadIndex asks the leader for an index that is safe to read at.
type ReadIndex struct {
	Term Term
	Ref  uint64 // the follower's own number for the request
}

// ReadIndexReply answers ReadIndex once a quorum has confirmed the leader.
// Refused means the receiver of ReadIndex does not lead.
type ReadIndexReply struct {
	Term    Term
	Ref     uint64
	Index   Index
	Refused bool
}

// TimeoutNow tells a caught-up follower to campaign at once, if its log still
// ends with the leader's as it was then.
type TimeoutNow struct {
	Term      Term
	LastIndex Index // of the leader's log
}

func (m PreVote) term() Term         { return m.Term }
func (m PreVoteReply) term() Term    { return m.Term }
func (m RequestVote) term() Term     { return m.Term }
func (m Vote) term() Term            { return m.Term }
func (m AppendEntries) term() Term   { return m.Term }
func (m AppendReply) term() Term     { return m.Term }
func (m Heartbeat) term() Term       { return m.Term }
func (m HeartbeatReply) term() Term  { return m.Term }
func (m InstallSnapshot) term() Term { return m.Term }
func (m SnapshotReply) term() Term   { return m.Term }
func (m ReadIndex) term() Term       { return m.Term }
func (m ReadIndexReply) term() Term  { return m.Term }
func (m TimeoutNow) term() Term      { return m.Term }
