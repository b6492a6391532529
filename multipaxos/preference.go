package multipaxos

// # Priority
//
// A leader hands over to a proposer with a higher priority, but only to one that
// reaches a quorum: another would depose it for nothing, again and again, as a
// corner of a star does to its middle. A link cannot be seen from its far ends, so
// the proposer itself asks, with a poll for the case that its leader makes way, and
// tells in its HeartbeatReply. Neither is of any weight for safety.

// canvass is what a follower knows that should rather lead than its leader.
type canvass struct {
	over    Ballot // the leader in whose place it would be
	began   Time
	votes   map[ID]bool // of the poll under way
	reaches bool        // a quorum granted the poll before
}

// canvassed reports whether a quorum would lately have promised to this replica, if
// the leader made way: at most four heartbeats ago. Who has no higher priority than
// the leader does not ask.
func (n *Node) canvassed() bool {
	leader, _ := n.config().Find(n.leader)
	self := n.self()
	if n.role != Follower || !self.Proposes() || self.Priority <= leader.Priority {
		return false
	}
	c := &n.canvass
	if c.over != n.following || n.now-c.began >= 2*n.cfg.Heartbeat {
		*c = canvass{over: n.following, began: n.now, votes: map[ID]bool{n.cfg.ID: true}, reaches: c.over == n.following && n.granted()}
		n.askAcceptors(Poll{Epoch: n.epoch(), Chosen: n.chosen, Priority: self.Priority, Over: n.following})
	}
	return c.reaches || n.granted()
}

func (n *Node) granted() bool {
	return n.quorum(func(id ID) bool { return n.canvass.votes[id] })
}

// deferral is how long proposers with a higher priority are left alone after one was
// to take over. It may have failed for a reason that nobody sees.
type deferral struct {
	until, wait Time
}

// deferPreference doubles the time until the next attempt, up to an hour or so. It
// starts over when another leader is heard.
func (n *Node) deferPreference() {
	d := &n.deferred
	d.wait = min(max(2*d.wait, 10*n.cfg.Election), 10_000*n.cfg.Election)
	d.until = n.now + d.wait
}

// preferHigherPriority hands leadership to a proposer that should rather lead, once
// it has caught up.
func (n *Node) preferHigherPriority() {
	l := n.lead
	if n.role != Leader || l.transfer != nil || l.seal != 0 || n.now < l.preferAt || n.chosen < l.marker {
		return
	}
	if p := n.preferred(); p != nil {
		n.deferPreference()
		l.preferAt = n.deferred.until
		n.beginTransfer(p, false)
	}
}

// preferred returns the proposer with the highest priority, above our own, of those
// that could take over at once. Nil is nobody.
func (n *Node) preferred() (best *progress) {
	priority := n.self().Priority
	for _, m := range n.config().Members {
		p := n.lead.peer(m.ID)
		if p == nil || !m.Proposes() || m.Priority <= priority || !n.active(p) || p.stalled || !p.reaches || p.chosen+Index(n.cfg.PromoteWithin) < n.chosen {
			continue
		}
		best, priority = p, m.Priority
	}
	return best
}
