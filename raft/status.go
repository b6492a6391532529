package raft

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

// Status returns a picture of the node. It costs one allocation on a leader
// and none elsewhere.
func (n *Node) Status() Status {
	s := Status{
		ID: n.cfg.ID, Role: n.role, Term: n.term, Leader: n.leader,
		Commit: n.commit, Applied: n.applied,
		FirstIndex: n.log.first(), LastIndex: n.log.last(), Snapshot: n.snapshot.Index,
		LogBytes: n.log.bytes, Configuration: *n.config(), Stalled: n.stalled(), Left: n.left,
	}
	if n.lead == nil {
		return s
	}
	if t := n.lead.transfer; t != nil {
		s.TransferTo = t.to
	}
	s.Peers = make([]PeerStatus, 0, len(n.lead.peers))
	for _, p := range n.lead.peers {
		s.Peers = append(s.Peers, PeerStatus{
			ID: p.id, Match: p.match, Next: p.next, State: p.state,
			Active: n.active(p), Stalled: p.stalled, Inflight: p.inflight,
		})
		if p.state == Snapshot {
			s.Peers[len(s.Peers)-1].Snapshot = p.install.index
		}
	}
	return s
}

// Role returns what this replica is in its term; like the next three it costs
// nothing, for hosts that ask at every turn.
func (n *Node) Role() Role { return n.role }

// Term returns the current term.
func (n *Node) Term() Term { return n.term }

// Leader returns whom this replica follows, itself if it leads, or None.
func (n *Node) Leader() ID { return n.leader }

// Configuration returns the configuration in force; read only.
func (n *Node) Configuration() Configuration { return *n.config() }
