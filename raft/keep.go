package raft

// # How much log a leader keeps
//
// A snapshot lets the log before it go (section 7). But a follower that receives
// a snapshot needs the log after that one: if the leader takes and compacts
// newer ones meanwhile, the transfer ends before a gap, and the next one begins,
// without end while the leader writes fast. So compaction stops short of what a
// follower that makes progress still needs, and a transfer goes on with the
// snapshot it began with for as long as the log reaches back to that. Memory is
// worth more than one slow follower: CatchUpBytes and CatchUpTime bound what is
// kept, and a transfer that they leave behind starts over with the newest
// snapshot.

// trailed returns how far the newest snapshot lets the log go: up to the
// snapshot, but for a trail.
func (n *Node) trailed() Index {
	at, bytes := n.snapshot.Index, 0
	for trail := 0; at > n.log.prev && trail < n.cfg.TrailingEntries; trail++ {
		bytes += n.log.size(at, at)
		if bytes > n.cfg.TrailingBytes {
			break
		}
		at--
	}
	return at
}

// compact drops the entries that nobody needs any more. It runs with each new
// snapshot, and on a leader with each heartbeat, so that what was kept for a
// follower goes soon after.
func (n *Node) compact() {
	at := n.trail
	if at <= n.log.prev {
		return
	}
	if n.lead == nil {
		n.log.compact(at)
		return
	}
	within := n.log.tail(n.cfg.CatchUpBytes)
	for _, p := range n.lead.peers {
		if after, needed := n.needs(p); needed && after >= within {
			at = min(at, after)
		}
	}
	n.log.compact(at)
	for _, p := range n.lead.peers {
		if p.state == Snapshot && p.install.index < n.log.prev {
			n.beginInstall(p)
		}
	}
}

// needs returns the entry behind which p still needs the log, and whether it is
// kept for p: a transfer must have moved within CatchUpTime, and who takes
// entries must answer and have a disk that does.
func (n *Node) needs(p *progress) (after Index, needed bool) {
	if p.state == Snapshot {
		return p.install.index, n.now-p.install.moved < n.cfg.CatchUpTime
	}
	return p.match, n.active(p) && !p.stalled
}
