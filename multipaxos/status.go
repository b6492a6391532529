package multipaxos

import "github.com/synod-go/synod/consensus"

// Status returns a picture of the node. It costs one allocation on a leader
// and none elsewhere.
func (n *Node) Status() Status {
	s := Status{
		ID: n.cfg.ID, Role: n.Role(), Term: n.Term(), Leader: n.leader,
		Commit: n.chosen, Applied: n.applied,
		FirstIndex: n.log.prev + 1, LastIndex: n.log.end, Snapshot: n.snapshot.Index,
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
		state := consensus.Replicate
		if p.silent || !n.active(p) {
			state = consensus.Probe
		}
		s.Peers = append(s.Peers, PeerStatus{ID: p.id, Match: p.holds(), Next: p.next, State: state,
			Active: n.active(p), Stalled: p.stalled, Inflight: p.inflight})
	}
	return s
}

// Role returns what this replica is; like the next three it costs nothing, for
// hosts that ask at every turn. A leader that prepares again still leads.
func (n *Node) Role() Role {
	if n.lead != nil {
		return Leader
	}
	return n.role
}

// Term returns the ballot that this replica leads with, or else the highest it
// has promised or heard a leader use.
func (n *Node) Term() Ballot {
	if n.lead != nil {
		return n.following
	}
	return max(n.promised, n.following)
}

// Leader returns whom this replica follows, itself if it leads, or None.
func (n *Node) Leader() ID { return n.leader }

// Configuration returns the configuration in force; read only.
func (n *Node) Configuration() Configuration { return *n.config() }

// Reading are the snapshots that peers get from this replica, by peer: the host
// keeps them readable.
func (n *Node) Reading() map[ID]Index {
	reading := make(map[ID]Index, len(n.readers))
	for id, r := range n.readers {
		reading[id] = r.after
	}
	return reading
}

// Slot is one instance of the Synod as this replica knows it.
type Slot struct {
	Entry  Entry  // its value, which nobody may change
	Vote   Ballot // the ballot in which this acceptor has accepted the value; 0 if it has only learned it
	Chosen bool   // this replica knows that it is chosen
}

// Promised is the ballot below which this acceptor promises and accepts nothing more.
func (n *Node) Promised() Ballot { return n.promised }

// Tail returns the last slots that are in memory and known, at most most of them, in order.
func (n *Node) Tail(most int) []Slot {
	first := n.log.prev + 1
	if n.log.end >= Index(most) {
		first = max(first, n.log.end-Index(most)+1)
	}
	var tail []Slot
	for i := first; i <= n.log.end; i++ {
		if s := n.log.at(i); s != nil && s.known {
			tail = append(tail, Slot{Entry: *s.entry, Vote: s.vote, Chosen: i <= n.chosen})
		}
	}
	return tail
}
