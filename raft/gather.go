package raft

import "math"

// Gather tells a host that collects proposals when handing them over is of use:
// it returns how many bytes of them, counted like FullFrameBytes, must be
// proposed for any to leave before the next answer of a follower or the end of a
// save. 0 means at once. It holds until the next call of another method.
//
// Proposals that wait in the host meanwhile lose nothing, since here they would
// wait too, and share one turn, one save and one frame.
func (n *Node) Gather() int {
	l := n.lead
	if l == nil {
		return 0
	}
	least := math.MaxInt
	if n.decidesAlone() {
		if n.saves.durable == n.log.last() {
			return 0
		}
		least = n.cfg.FullFrameBytes
	}
	for _, p := range l.peers {
		least = min(least, n.gatherFor(p))
	}
	return least
}

// gatherFor is Gather for one follower.
func (n *Node) gatherFor(p *progress) int {
	switch {
	case p.lost: // nothing is sent to it any more
		return math.MaxInt
	case p.state == Snapshot, p.state == Probe && p.waiting,
		len(p.flights) >= n.cfg.MaxInflightFrames, p.inflight >= n.cfg.MaxInflightBytes:
		return math.MaxInt
	case p.state == Probe, len(p.flights) == 0:
		return 0
	}
	return max(0, n.cfg.FullFrameBytes-n.log.size(p.next, n.log.last()))
}

// decidesAlone reports whether this leader's own disk is a quorum.
func (n *Node) decidesAlone() bool {
	return n.config().Quorum(func(id ID) uint64 {
		if id == n.cfg.ID {
			return 1
		}
		return 0
	}) == 1
}
