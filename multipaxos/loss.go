package multipaxos

// # Lost votes
//
// An acknowledgement is a promise to hold the vote for ever. A replica that comes
// back without it (a disk that lied about a flush, a directory restored from an
// older copy) would let a proposer choose another value. Why it is found without
// ever accusing a replica that is whole:
//
//  1. Heartbeat.Match is a slot in which the receiver has acknowledged a vote with
//     this very ballot, or knew, durably, that it is chosen; the leader learned it
//     from the receiver itself.
//  2. A replica drops a vote only for one with a higher ballot, after which it
//     refuses this heartbeat; for the chosen entry; for a snapshot; or with the end
//     of its epoch, after which it refuses this heartbeat too.
//  3. So a slot that is beyond the chosen prefix and holds no vote with this
//     ballot is a loss, however late the heartbeat comes, how often, and in which
//     order.

// findLoss reports whether the heartbeat proves a loss. From then on this replica
// says nothing but that.
func (n *Node) findLoss(from ID, m Heartbeat) bool {
	if Epoch(m.Ballot) != n.epoch() || m.Match <= n.chosen || m.Match > maxIndex {
		return false
	}
	if s := n.log.at(m.Match); s != nil && s.known && (s.vote == m.Ballot || s.chosen) {
		return false
	}
	n.loss = &Loss{Term: m.Ballot, Leader: from, Acknowledged: m.Match, Last: n.log.end}
	n.out.Loss = n.loss
	n.acks, n.loops = nil, nil
	n.tellLoss(from, m)
	return true
}

// tellLoss answers a heartbeat of the leader that has proved the loss, and
// nothing else.
func (n *Node) tellLoss(from ID, m Message) {
	if h, ok := m.(Heartbeat); ok && h.Ballot == n.loss.Term && from == n.loss.Leader {
		n.sendNow(from, HeartbeatReply{Ballot: h.Ballot, Lost: true})
	}
}
