package raft

// # The lease
//
// A leader may answer a read from its own state, without asking anyone, while
// it is certain that no other leader can have been elected. Why the time given
// out by lease is such a time:
//
//  1. A replica that hears a leader (AppendEntries, Heartbeat, InstallSnapshot)
//     promises that for Lease, on its own clock from the Tick after the message
//     arrived, it grants no vote and does not campaign. A replica that starts
//     keeps the promise it may have made before its crash: it begins as if it
//     had just heard a leader.
//  2. A heartbeat carries its send time, read before it left, and the answer
//     brings it back. So whoever answered a heartbeat sent at s promised, at s or
//     later, not to elect another for Lease.
//  3. If a quorum answered heartbeats sent at or after s, every later leader
//     needs the vote of one of them, and gets it no sooner than s+Lease on that
//     one's clock: not before s+Lease-MaxDrift on ours. (A voter that had voted
//     in a newer term before the heartbeat came would not have answered in ours.)
//     We are one of the quorum: a leader votes for nobody, and after it has
//     stepped down it keeps the promise until its last lease is over.
//  4. Quorums of consecutive configurations intersect. Two changes within one
//     lease are sound as well: the second is proposed when a quorum of the first,
//     joint one has answered AppendEntries sent after s, and with that promised.
//  5. RequestVote with Transfer passes over the promise. It follows only from a
//     TimeoutNow of the term before, and a leader gives up its lease before it
//     sends one. The message may arrive at any time, and so may the votes that
//     follow. But it names the last entry of the leader's log, and only a
//     replica whose log ends there, in that term, acts on it: RequestVote then
//     names that entry too. Once a later entry of our term is committed, a
//     quorum holds it and refuses that vote, because the candidate's log is not
//     up to date; and who had granted it before is in the newer term and has
//     acknowledged nothing to us since (Leader Completeness, section 5.4). So
//     whoever was told to campaign, and whenever it does, it is not elected, and
//     the lease is ours again. A leader whose transfer has failed appends an
//     empty entry to have one to commit. Nobody else's election in the newer term,
//     or in one after it, passes over the promise: that takes a TimeoutNow of a
//     leader who was elected there.
//  6. Every write acknowledged before the read was invoked is in the log by the
//     commit index, once an entry of our own term is committed (section 8);
//     LeaseIndex is that index, published before any message or reply that
//     could tell of it.
//
// The dissertation (6.4.1) counts the lease from a round of heartbeats; ours is
// the same with each answer standing for itself. The paper's promise is the
// minimum election timeout (4.2.3); ours is Config.Lease, which may be less, so
// that a leader whose connection closed is replaced sooner.

// lease returns the time until which this leader may read without asking, and
// the index that its state must have reached; 0 if it may not.
func (n *Node) lease() (Time, Index) {
	l := n.lead
	if l == nil || n.commit < l.leaseFrom || l.transfer != nil {
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
	return end, n.commit
}
