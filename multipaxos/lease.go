package multipaxos

// # The lease
//
// A leader may answer a read from its own state, without asking anyone, while it
// is certain that no other leader can have had anything chosen. Why the time
// given out by lease is such a time:
//
//  1. An acceptor that hears a leader (Accept, Heartbeat) promises nothing to
//     another proposer for Lease, on its own clock from the Tick after the
//     message arrived. One that starts keeps what it may have promised before its
//     crash: it begins as if it had just heard a leader.
//  2. A heartbeat carries its send time, read before it left, and the answer
//     brings it back. So whoever answered a heartbeat sent at s promised, at s or
//     later, not to help another for Lease.
//  3. If a quorum answered heartbeats sent at or after s, every later ballot needs
//     the promise of one of them, and gets it no sooner than s+Lease on that one's
//     clock: not before s+Lease-MaxDrift on ours. One that had promised a higher
//     ballot before the heartbeat came refuses it. We are one of the quorum, if we
//     are an acceptor, and keep the promise after we have stepped down.
//  4. A Prepare with Over = b passes over the promise of an acceptor whose last
//     heard leader has exactly ballot b. It exists only if the leader of b has
//     given its lease up for good, whatever becomes of the Prepare and whenever it
//     arrives: before it sent Campaign, or prepared again itself. If it is to
//     lease again, it needs a higher ballot first. Whom it has heard is on no
//     disk: for a Lease after its start an acceptor passes over its promise for
//     nobody, or a late Heartbeat of b would make it forget a later leader.
//  5. A leader that has proposed a SEAL gives its lease up for good too: the next
//     epoch has acceptors of its own. A SEAL of a predecessor is proposed again
//     before there is a lease.
//  6. Every write acknowledged before the read was invoked is in the log by the
//     chosen prefix, once our own LEAD marker is chosen; LeaseIndex is that index,
//     published before any message or reply that could tell of it.

// mayPromise reports whether the promise to the last leader lets this replica
// promise to another, who passes over the leader of ballot over if that is not 0.
func (n *Node) mayPromise(over Ballot) bool {
	return n.mayElect() || over != 0 && over == n.following && n.now >= n.started+n.cfg.Lease
}

// lease returns the time until which this leader may read without asking, and
// the index that its state must have reached; 0 if it may not.
func (n *Node) lease() (Time, Index) {
	l := n.lead
	if n.role != Leader || l.noLease || l.seal != 0 || n.chosen < l.marker || l.transfer != nil {
		return 0, 0
	}
	// One more than the send time, so that 0 is "has not answered".
	sent := n.config().Quorum(func(id ID) uint64 {
		if id == n.cfg.ID {
			return uint64(n.now) + 1
		}
		if p := l.peer(id); p != nil {
			return p.sent
		}
		return 0
	})
	if sent == 0 {
		return 0, 0
	}
	end := Time(sent-1) + n.cfg.Lease - n.cfg.MaxDrift
	if end <= n.now {
		return 0, 0
	}
	l.leaseEnd = max(l.leaseEnd, end)
	return end, n.chosen
}
