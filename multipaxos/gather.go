package multipaxos

import "math"

// Gather tells a host that collects proposals when handing them over is of use:
// it returns how many bytes of them, counted like FullFrameBytes, must be proposed
// for any to leave before the next answer of an acceptor or the end of a save. 0
// means at once. It holds until the next call of another method.
//
// Proposals that wait in the host meanwhile lose nothing, since here they would
// wait too, and share one turn, one save and one frame.
func (n *Node) Gather() int {
	l := n.lead
	switch {
	case l == nil:
		return 0
	case n.role != Leader || l.seal != 0:
		return math.MaxInt
	}
	least := math.MaxInt
	if n.onlyAcceptor() {
		if n.saves.durable == n.saves.issued {
			return 0
		}
		least = n.cfg.FullFrameBytes
	}
	for _, p := range l.peers {
		least = min(least, n.gatherFor(p))
	}
	return least
}

// gatherFor is Gather for one replica.
func (n *Node) gatherFor(p *progress) int {
	switch {
	case p.lost || p.silent || !n.active(p), len(p.flights) >= n.cfg.MaxInflightFrames, p.inflight >= n.cfg.MaxInflightBytes:
		return math.MaxInt
	case len(p.flights) == 0:
		return 0
	}
	_, size := n.log.upTo(p.next, n.lead.next-1, n.cfg.FullFrameBytes)
	return max(0, n.cfg.FullFrameBytes-size)
}
