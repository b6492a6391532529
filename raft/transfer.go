package raft

// transfer is a leadership transfer under way (dissertation 3.10).
type transfer struct {
	to    ID
	until Time // when it is given up
	told  Time // when TimeoutNow last left
	sent  bool
	// resign is set when this replica shall not lead even if the transfer
	// fails: it steps down then.
	resign bool
}

// TransferLeadership hands leadership to the voter to, or to the best one if to
// is None. Proposals fail with ErrTransferring from now on. The target is first
// brought up to date; if it does not lead within an Election the transfer is
// given up and this replica goes on leading. It returns ErrNotLeader,
// ErrTransferring if another transfer is under way, ErrUnknownMember, and
// ErrUnavailable if the target does not answer or its disk is stalled.
func (n *Node) TransferLeadership(to ID) error {
	l := n.lead
	switch {
	case l == nil:
		return ErrNotLeader
	case to == n.cfg.ID:
		return nil
	case l.transfer != nil && l.transfer.to == to:
		return nil
	case l.transfer != nil:
		return ErrTransferring
	}
	p := l.peer(to)
	if to == None {
		p = n.bestTarget()
	}
	switch {
	case p == nil && to == None:
		return ErrUnavailable
	case p == nil || !n.mayLead(p.id):
		return ErrUnknownMember
	case !n.active(p) || p.stalled:
		return ErrUnavailable
	}
	n.beginTransfer(p, false)
	return nil
}

func (n *Node) mayLead(id ID) bool {
	m, ok := n.config().Find(id)
	return ok && m.Voter
}

// bestTarget returns the voter that should lead if we do not: one that answers
// and whose disk does, by priority, then by how far its log is. Nil is nobody.
func (n *Node) bestTarget() (best *progress) {
	var priority int32
	for _, m := range n.config().Members {
		p := n.lead.peer(m.ID)
		if p == nil || !m.Voter || !n.active(p) || p.stalled {
			continue
		}
		if best == nil || m.Priority > priority || m.Priority == priority && p.match > best.match {
			best, priority = p, m.Priority
		}
	}
	return best
}

func (n *Node) beginTransfer(p *progress, resign bool) {
	n.lead.transfer = &transfer{to: p.id, until: n.now + n.cfg.Election, resign: resign}
}

// driveTransfer sends TimeoutNow once the target has every entry, and again
// with each heartbeat interval. The lease ends with it until the log has moved on:
// the target may act on it at any later time (lease.go).
func (n *Node) driveTransfer() {
	if n.lead == nil || n.lead.transfer == nil {
		return
	}
	t := n.lead.transfer
	p := n.lead.peer(t.to)
	if p == nil || p.match != n.log.last() || t.sent && n.now-t.told < n.cfg.Heartbeat {
		return
	}
	t.sent, t.told = true, n.now
	n.lead.leaseFrom = n.log.last() + 1
	n.sendNow(t.to, TimeoutNow{Term: n.term, LastIndex: n.log.last()})
}

// transferFailed goes on leading, or steps down if this replica should not. A
// TimeoutNow that has left is void with the next entry.
func (n *Node) transferFailed() {
	t := n.lead.transfer
	n.lead.transfer = nil
	switch {
	case t.resign:
		n.stepDown(n.resigns())
	case t.sent:
		n.appendEntry(EntryNoOp, nil)
	}
}

// onTimeoutNow campaigns at once, without a pre-vote and without regard to the
// promise: the leader itself has given its lease up. It has taken it back if its
// log has moved on since (lease.go).
func (n *Node) onTimeoutNow(from ID, m TimeoutNow) {
	if n.role == Follower && from == n.leader && n.log.last() == m.LastIndex && n.mayCampaign() {
		n.becomeCandidate(true)
	}
}
