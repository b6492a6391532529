package raft

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

// Role returns what this replica is in its term; like the next four it costs
// nothing, for hosts that ask at every turn.
func (n *Node) Role() Role { return n.role }

// Term returns the current term.
func (n *Node) Term() Term { return n.term }

// Leader returns whom this replica follows, itself if it leads, or None.
func (n *Node) Leader() ID { return n.leader }

// Commit returns the commit index.
func (n *Node) Commit() Index { return n.commit }

// Configuration returns the configuration in force; read only.
func (n *Node) Configuration() Configuration { return *n.config() }

// Tail returns the last entries of the log that are in memory, at most most of them. Nobody
// may change them.
func (n *Node) Tail(most int) []Entry {
	first := n.log.first()
	if last := n.log.last(); last >= Index(most) {
		first = max(first, last-Index(most)+1)
	}
	return n.log.slice(first, n.log.last())
}
