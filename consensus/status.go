package consensus

// Status is what a replica knows of itself and its group.
type Status struct {
	ID            ID
	Role          Role
	Term          Term
	Leader        ID // None if not known
	Commit        Index
	Applied       Index
	FirstIndex    Index // the first entry in memory; LastIndex+1 if there is none
	LastIndex     Index
	Snapshot      Index         // of the newest own snapshot
	LogBytes      int           // memory that the entries take, about
	Configuration Configuration // in force, perhaps not yet committed; read only
	Stalled       bool          // the oldest save takes longer than DiskStall
	TransferTo    ID            // to whom leadership is being handed; None if not
	Left          string        // why this replica last ceased to lead, for people; "" if it never led
	Peers         []PeerStatus  // on the leader only: everybody else, by ID
}

// PeerStatus is what a leader knows of another replica.
type PeerStatus struct {
	ID       ID
	Match    Index // its log is durable and equal to the leader's up to here
	Next     Index
	State    PeerState
	Snapshot Index // the one that is being sent, in state Snapshot
	Active   bool  // it has answered within an Election
	Stalled  bool  // its disk does not answer
	Inflight int   // bytes sent and not yet acknowledged
}

// PeerState is how a leader replicates to one follower.
type PeerState uint8

const (
	// Probe: where the logs agree is not known. One AppendEntries at a time.
	Probe PeerState = iota
	// Replicate: entries are sent ahead of their answers.
	Replicate
	// Snapshot: the entries that the follower lacks are compacted.
	Snapshot
)

// String returns the name of the state.
func (s PeerState) String() string {
	switch s {
	case Replicate:
		return "replicate"
	case Snapshot:
		return "snapshot"
	default:
		return "probe"
	}
}
