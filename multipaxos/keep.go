package multipaxos

import "maps"

// MetaAt describes a snapshot of the state machine at an applied index: the LEAD
// marker and the configuration in force behind it. The host adds Size and
// Checksum. It returns false if the index is not applied or older than the newest
// snapshot, or if no configuration is known there yet, as on a replica that has
// just joined.
func (n *Node) MetaAt(index Index) (SnapshotMeta, bool) {
	switch {
	case index == n.snapshot.Index:
		return n.snapshot, true
	case index > n.applied || index < n.snapshot.Index:
		return SnapshotMeta{}, false
	}
	c := n.configAt(index)
	return SnapshotMeta{Index: index, Term: n.leadAt(index + 1), Configuration: c}, len(c.Members) > 0
}

// SnapshotTaken tells the core that a snapshot of our own is durable. What is
// applied and in the snapshot is trimmed, but for TrailingEntries and
// TrailingBytes, and what is kept for peers that catch up. A snapshot that MetaAt
// does not describe, or not newer than the last, changes nothing.
func (n *Node) SnapshotTaken(meta SnapshotMeta) {
	own, ok := n.MetaAt(meta.Index)
	if !ok || own.Index <= n.snapshot.Index {
		return
	}
	own.Size, own.Checksum = meta.Size, meta.Checksum
	n.snapshot = own
	n.forgetBefore(own)
	n.compact()
}

// compact trims the slots that nobody needs any more. It runs with each new
// snapshot, and on a leader with each heartbeat.
func (n *Node) compact() {
	at := n.trailed()
	within := n.log.tail(n.cfg.CatchUpBytes)
	maps.DeleteFunc(n.readers, func(_ ID, r *catchUp) bool { return n.now >= r.until || r.after >= n.chosen })
	for _, r := range n.readers {
		if r.after >= within {
			at = min(at, r.after)
		}
	}
	if at > n.log.prev {
		n.gone = max(n.gone, at)
		n.log.trim(at)
	}
}

// trailed returns how far the newest snapshot lets the slots go.
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

// forgotten is the slot up to which there may have been something here that is gone:
// a proposer that would begin below it has to learn what is chosen there first. A
// witness that has taken a base in the place of nothing has forgotten nothing.
func (n *Node) forgotten() Index {
	if n.witness() {
		return n.gone
	}
	return n.log.prev
}

// witness reports whether this replica votes and runs no state machine.
func (n *Node) witness() bool {
	m, ok := n.config().Find(n.cfg.ID)
	return n.cfg.Witness || ok && !m.Learns()
}

// trimWitness lets go, on a replica without a state machine, of what snapshots hold
// that will outlive a minority, as soon as it is worth a base: as many slots, or
// bytes, as stay behind one.
func (n *Node) trimWitness() {
	safe, base := min(n.safeUpTo, n.applied), n.snapshot.Index
	if !n.witness() || safe <= base ||
		safe < base+Index(n.cfg.TrailingEntries) && !n.log.fills(base+1, safe, n.cfg.TrailingBytes) {
		return
	}
	meta, ok := n.MetaAt(safe)
	if !ok {
		return
	}
	n.snapshot = meta
	n.forgetBefore(meta)
	n.saves.base = &meta
	n.compact()
}
