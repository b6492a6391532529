package raft

// # A lost suffix
//
// An acknowledgement is a promise to hold the entries for ever: the leader may
// have committed them on its strength. A replica that comes back without them (a
// disk that lied about a flush, a directory restored from an older copy) would
// vote for a leader that lacks them. Why it is found without ever accusing a
// replica that is whole:
//
//  1. Heartbeat.Match is what the follower has acknowledged to this leader in
//     this term. The leader learned it from the follower itself and never
//     lowers it.
//  2. A follower drops entries only where they conflict with its leader's. What
//     it has acknowledged in a term agrees with that term's leader, so within
//     the term its log never again ends before it. The same holds for a log that
//     is replaced by a snapshot, because it is dropped only if it differs from
//     what is committed, which this leader has.
//  3. So Match beyond the end of the log, in one's own term, is a loss, however
//     late the heartbeat comes, how often, and in which order. A rejected
//     AppendEntries is no such proof: it may be older than the acknowledgement.
//
// A loss that is found only in a later term is not seen by this rule.

// findLoss reports whether the heartbeat proves a loss. From then on this
// replica says nothing but that.
func (n *Node) findLoss(from ID, m Heartbeat) bool {
	if m.Match <= n.log.last() {
		return false
	}
	n.loss = &Loss{Term: n.term, Leader: from, Acknowledged: m.Match, Last: n.log.last()}
	n.out.Loss = n.loss
	n.ack = ack{}
	n.tellLoss(from, m)
	return true
}

// tellLoss answers a heartbeat of the term in which the loss was found, and
// nothing else.
func (n *Node) tellLoss(from ID, m Message) {
	if h, ok := m.(Heartbeat); ok && h.Term == n.loss.Term && from == n.loss.Leader {
		n.sendNow(from, HeartbeatReply{Term: n.term, Lost: true})
	}
}

// doubt waits for word from a follower whose rejection denies what it had
// acknowledged: either the rejection is older, or it has lost the entries, and
// then the heartbeat tells it so.
func (n *Node) doubt(p *progress) {
	p.probe(p.match + 1)
	p.waiting = true
	p.progressAt = n.now
	n.sendHeartbeat(p)
}

// discount makes p count for nothing: not for commits, reads, leases or
// CheckQuorum, and not as a target of promotion or transfer.
func (p *progress) discount() {
	p.lost = true
	p.sent, p.round = 0, 0
	p.clearFlights()
}
