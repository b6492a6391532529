package multipaxos

// transfer is a hand-over of leadership under way.
type transfer struct {
	to    ID
	until Time // when it is given up
	told  Time // when Campaign last left
	sent  bool
	// resign is set when this replica shall not lead even if the transfer
	// fails: it steps down then.
	resign bool
}

// TransferLeadership hands leadership to the proposer to, or to the best one if
// to is None. Proposals fail with ErrTransferring from now on. What is under way
// is first chosen; if the target does not lead within an Election this replica
// prepares again. It returns ErrNotLeader, ErrSealing while the log changes its epoch,
// ErrTransferring if another transfer is under way, ErrUnknownMember, and
// ErrUnavailable if the target does not answer or its disk is stalled.
func (n *Node) TransferLeadership(to ID) error {
	l := n.lead
	switch {
	case l == nil:
		return ErrNotLeader
	case to == n.cfg.ID:
		return nil
	case n.role != Leader || l.seal != 0:
		return ErrSealing
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
	return ok && m.Proposes()
}

// bestTarget returns the proposer that should lead if we do not: one that
// answers and whose disk does, by priority, then by how much it has learned. Nil
// is nobody.
func (n *Node) bestTarget() (best *progress) {
	var priority int32
	for _, m := range n.config().Members {
		p := n.lead.peer(m.ID)
		if p == nil || !m.Proposes() || !n.active(p) || p.stalled {
			continue
		}
		if best == nil || m.Priority > priority || m.Priority == priority && p.chosen > best.chosen {
			best, priority = p, m.Priority
		}
	}
	return best
}

func (n *Node) beginTransfer(p *progress, resign bool) {
	n.lead.transfer = &transfer{to: p.id, until: n.now + n.cfg.Election, resign: resign}
}

// driveTransfer sends Campaign once nothing is under way any more, and again with
// each heartbeat interval. The lease ends with it, for good: the target may act on
// it at any later time (lease.go). A leader whose disk does not answer does not
// wait for what is under way.
func (n *Node) driveTransfer() {
	if n.role != Leader || n.lead.transfer == nil {
		return
	}
	l := n.lead
	t := l.transfer
	if l.next-1 > n.chosen && !t.resign || t.sent && n.now-t.told < n.cfg.Heartbeat {
		return
	}
	t.sent, t.told = true, n.now
	l.noLease = true
	if p := l.peer(t.to); p != nil && p.told < n.chosen {
		n.sendHeartbeat(p, 0)
	}
	n.sendNow(t.to, Campaign{Ballot: n.ballot})
}

// transferFailed goes on leading, with a new ballot if the target may still act
// on the old one, or steps down if this replica should not lead.
func (n *Node) transferFailed() {
	t := n.lead.transfer
	n.lead.transfer = nil
	switch {
	case t.resign:
		n.stepDown(n.resigns())
	case t.sent:
		n.renew()
	}
}

// onCampaign prepares at once, without a poll and without regard to the promise:
// the leader itself has given its lease up.
func (n *Node) onCampaign(from ID, m Campaign) {
	if n.role == Follower && from == n.leader && m.Ballot == n.following && m.Ballot != 0 && n.mayCampaign() {
		n.becomeCandidate(m.Ballot)
	}
}
