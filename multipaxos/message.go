package multipaxos

// Message is what replicas of one group send to each other. A message is a
// value: the receiver may keep it, nobody may change what it points to.
//
//	proposer                     acceptors
//	   │── Poll ──────────────────▶│   would you promise? can I reach a quorum?
//	   │◀───────────── PollReply ──│
//	   │── Prepare ───────────────▶│   phase 1, for all slots from one on
//	   │◀─────────────── Promise ──│   after the promise is on disk; piece by piece
//	   │── Accept ────────────────▶│   phase 2, for a row of slots
//	   │◀────────────── Accepted ──│   after the votes are on disk
//	   │◀────────────────── Nack ──│   refused, and why
//	   │── Heartbeat ─────────────▶│   I lead; this much is chosen; confirm a read round
//	   │◀──────── HeartbeatReply ──│   at once, never waits for the disk
//	   │── Campaign ──────────────▶│   take over from me
//
//	learner                      any replica
//	   │── Learn ─────────────────▶│   what is chosen from this slot on?
//	   │◀─────────────── Learned ──│   entries, or a snapshot in their place
//	   │── Fetch ─────────────────▶│   that snapshot, from this offset on
//	   │◀─────── InstallSnapshot ──│   one chunk
//
//	replica                      leader
//	   │── ReadIndex ─────────────▶│   a linearizable read elsewhere
//	   │◀───────── ReadIndexReply ──│
type Message interface{ kind() }

// Poll asks whether a Prepare in Epoch would be promised. It changes no state
// on either side: a replica that was cut off does not disturb the others when
// it is back, and only one that reaches a quorum campaigns.
type Poll struct {
	Epoch    uint32
	Chosen   Index // the sender's chosen prefix
	Priority int32
	// Over asks for the case that the leader of this ballot makes way (see
	// preference.go). 0 asks for now.
	Over Ballot
}

// PollReply answers Poll. A sender that is behind Chosen pulls. A replica that has
// no leader and may not campaign tells it unasked.
type PollReply struct {
	Epoch   uint32 // of the answer's sender
	Granted bool
	Chosen  Index
}

// Prepare is phase 1 for all slots from From on. Repeated with the same ballot
// and another From it asks for the next piece of the Promise.
type Prepare struct {
	Ballot Ballot
	From   Index
	// Over is the ballot of the leader that has given up its lease for this
	// Prepare: it passes over the promise to that leader (lease.go).
	Over Ballot
}

// Promise answers Prepare: never again will the sender vote below Ballot. It
// reports every slot from From up to, not including, Next, which is 0 if
// nothing follows: votes of this epoch, and chosen entries. Slots it leaves out
// have neither.
type Promise struct {
	Ballot  Ballot
	From    Index
	Runs    []Run
	Next    Index
	Chosen  Index // the sender's chosen prefix
	Trimmed Index // slots up to here are chosen and not here any more
}

// Accept proposes Entries, which are consecutive.
type Accept struct {
	Ballot  Ballot
	Start   Index // the first slot that was proposed with Ballot
	Chosen  Index // the leader's chosen prefix
	Entries []Entry
}

// Accepted tells that the votes for the slots First to Last are durable.
type Accepted struct {
	Ballot Ballot
	First  Index
	Last   Index
}

// Reason says why a Nack refuses.
type Reason uint8

const (
	// RefusedPromised: a higher ballot is promised.
	RefusedPromised Reason = iota + 1
	// RefusedLease: a leader was heard a moment ago.
	RefusedLease
	// RefusedBehind: the sender has not learned of this epoch yet.
	RefusedBehind
	// RefusedSealed: the epoch is over.
	RefusedSealed
	// RefusedNotVoting: the sender is no acceptor of this epoch.
	RefusedNotVoting
	reasonsEnd
)

// String returns the reason for people.
func (r Reason) String() string {
	switch r {
	case RefusedPromised:
		return "promised"
	case RefusedLease:
		return "lease"
	case RefusedBehind:
		return "behind"
	case RefusedSealed:
		return "sealed"
	case RefusedNotVoting:
		return "not voting"
	}
	return "unknown"
}

// Nack refuses a Prepare, an Accept or a Heartbeat with Ballot.
type Nack struct {
	Ballot   Ballot
	Promised Ballot // the ballot to beat
	Reason   Reason
	Chosen   Index // the sender's chosen prefix
}

// Heartbeat upholds leadership. Sent and Round come back unchanged.
type Heartbeat struct {
	Ballot Ballot
	Start  Index // as in Accept
	Chosen Index
	Round  uint64
	Sent   Time  // on the leader's clock: the lease counts from here
	Match  Index // the receiver has acknowledged its votes from Start up to here
	Safe   Index // snapshots up to here will outlive any minority of the acceptors
}

// HeartbeatReply echoes a Heartbeat. It vouches that no higher ballot is
// promised, and for no vote, and so need not wait for the disk.
type HeartbeatReply struct {
	Ballot   Ballot
	Round    uint64
	Sent     Time
	Chosen   Index
	Snapshot Index // the sender's newest
	Stalled  bool  // the sender's disk does not answer: do not hand leadership to it
	Reaches  bool  // the sender has a higher priority, and a quorum would promise to it
	Lost     bool  // the sender has lost what it had acknowledged
}

// Learn asks for chosen entries from From on, as many as fit into one answer.
type Learn struct{ From Index }

// Learned answers Learn with consecutive chosen entries. If the sender has
// trimmed From, Snapshot describes what takes their place.
type Learned struct {
	Entries  []Entry
	Chosen   Index // the sender's chosen prefix
	Snapshot SnapshotMeta
}

// Fetch asks for the sender's snapshot at Index from Offset on.
type Fetch struct {
	Index  Index
	Offset int64
}

// InstallSnapshot carries one chunk. Checksum is the CRC32C of Data; a chunk
// that does not match is dropped and asked for again.
type InstallSnapshot struct {
	Snapshot SnapshotMeta
	Offset   int64
	Data     []byte
	Checksum uint32
}

// ReadIndex asks the leader for an index that is safe to read at.
type ReadIndex struct{ Ref uint64 }

// ReadIndexReply answers ReadIndex once a quorum has confirmed the leader.
// Refused means the receiver of ReadIndex does not lead.
type ReadIndexReply struct {
	Ref     uint64
	Index   Index
	Refused bool
}

// Campaign tells a proposer to prepare at once, in the place of the sender, who
// has led with Ballot and given up its lease for good.
type Campaign struct{ Ballot Ballot }

func (Poll) kind()            {}
func (PollReply) kind()       {}
func (Prepare) kind()         {}
func (Promise) kind()         {}
func (Accept) kind()          {}
func (Accepted) kind()        {}
func (Nack) kind()            {}
func (Heartbeat) kind()       {}
func (HeartbeatReply) kind()  {}
func (Learn) kind()           {}
func (Learned) kind()         {}
func (Fetch) kind()           {}
func (InstallSnapshot) kind() {}
func (ReadIndex) kind()       {}
func (ReadIndexReply) kind()  {}
func (Campaign) kind()        {}
