package raft

import (
	"cmp"
	"slices"
)

// leadership is what only a leader has: volatile state on leaders (Figure 2),
// made anew for each term.
type leadership struct {
	start Index       // the no-op that began the term
	peers []*progress // everybody else, by ID

	heartbeatAt Time
	tellAt      Time // when to tell idle followers a newer commit index
	preferAt    Time // when to look again for a voter with a higher priority

	uncommitted int // bytes beyond the commit index
	reads       reads
	transfer    *transfer
	leaseEnd    Time  // the latest end of a lease given out
	leaseFrom   Index // no lease until this entry is committed: see lease.go
}

// becomeLeader takes office. Its first entry is empty: with it everything of
// earlier terms becomes committed (section 8).
func (n *Node) becomeLeader() {
	n.election.heardFrom, n.election.asked = None, false
	n.role, n.leader = Leader, n.cfg.ID
	n.election.votes = nil
	l := &leadership{
		start:       n.log.last() + 1,
		heartbeatAt: n.now, tellAt: never, preferAt: n.now + n.cfg.Election,
		uncommitted: n.log.size(n.commit+1, n.log.last()),
	}
	l.leaseFrom = l.start
	n.lead = l
	n.syncPeers()
	n.appendEntry(EntryNoOp, nil)
	l.reads.waiting = n.forwards.take(n.cfg.ID)
}

// leaveOffice ends what only a leader does. The promise behind a lease that was
// given out binds this replica too.
func (n *Node) leaveOffice() {
	l := n.lead
	n.election.promise = max(n.election.promise, l.leaseEnd)
	n.failReads()
	n.lead = nil
	n.ack = ack{}
	n.compact()
}

// stepDown gives up leadership within the term.
func (n *Node) stepDown(why string) {
	n.left = why
	n.becomeFollower(n.term, None)
}

// overtaken says why a leader meets a newer term.
func (n *Node) overtaken() string {
	switch t := n.lead.transfer; {
	case t == nil || !t.sent:
		return "there is a newer term"
	case t.resign:
		return "handed over: " + n.resigns()
	}
	return "handed over"
}

// resigns says why a leader shall not lead any more.
func (n *Node) resigns() string {
	if !n.config().IsVoter(n.cfg.ID) {
		return "no voter any more"
	}
	return "the disk is stalled"
}

// peer returns the progress of id, or nil.
func (l *leadership) peer(id ID) *progress {
	for _, p := range l.peers {
		if p.id == id {
			return p
		}
	}
	return nil
}

// syncPeers makes the peers those of the configuration in force. Who has left
// is served a little longer, so that it learns that it has been removed.
func (n *Node) syncPeers() {
	l := n.lead
	for _, m := range n.config().Members {
		if m.ID == n.cfg.ID {
			continue
		}
		if p := l.peer(m.ID); p != nil {
			p.removed = false
			continue
		}
		l.peers = append(l.peers, &progress{
			id: m.ID, next: n.log.last() + 1, heard: n.now, patience: n.patience(),
		})
	}
	slices.SortFunc(l.peers, func(a, b *progress) int { return cmp.Compare(a.id, b.id) })
	for _, p := range l.peers {
		if _, ok := n.config().Find(p.id); !ok && !p.removed {
			p.removed, p.until = true, n.now+2*n.cfg.Election
		}
	}
}

// patience is how long the answer to an AppendEntries or a chunk may take
// before it is sent again; it doubles with each try.
func (n *Node) patience() Time { return max(2*n.cfg.Heartbeat, n.cfg.Election/2) }

// fireLeader does what is due on a leader.
func (n *Node) fireLeader() {
	l := n.lead
	if n.now >= l.tellAt {
		n.tellCommit()
	}
	if t := l.transfer; t != nil && n.now >= t.until {
		n.transferFailed()
	}
	if n.lead == nil || n.now < l.heartbeatAt {
		return
	}
	if !n.quorumActive() {
		n.stepDown("no quorum answers")
		return
	}
	n.broadcastHeartbeat()
	l.peers = slices.DeleteFunc(l.peers, func(p *progress) bool {
		return p.removed && n.now >= p.until
	})
	n.compact()
	n.relieveStalledDisk()
	n.advanceMembership()
	n.preferHigherPriority()
}

// leaderDeadline is when fireLeader has something to do. A transfer that may go
// on is due at once.
func (n *Node) leaderDeadline() Time {
	l := n.lead
	at := min(l.heartbeatAt, l.tellAt)
	if t := l.transfer; t != nil {
		at = min(at, t.until)
	}
	return at
}

// quorumActive is CheckQuorum: whether a quorum has answered within an
// Election. A leader that is cut off must not go on refusing votes and
// accepting proposals (dissertation 6.2).
func (n *Node) quorumActive() bool {
	l := n.lead
	return n.config().Quorum(func(id ID) uint64 {
		if p := l.peer(id); id == n.cfg.ID || p != nil && n.active(p) {
			return 1
		}
		return 0
	}) == 1
}

// broadcastHeartbeat makes the leader heard by everyone, with the present read
// round, so that a lost heartbeat of a round is repeated by the next one.
func (n *Node) broadcastHeartbeat() {
	l := n.lead
	l.heartbeatAt = n.now + n.cfg.Heartbeat
	for _, p := range l.peers {
		n.sendHeartbeat(p)
	}
}

// sendHeartbeat tells p no commit index beyond what it is known to have:
// entries after that may still differ from ours.
func (n *Node) sendHeartbeat(p *progress) {
	p.told = max(p.told, min(n.commit, p.match))
	n.sendNow(p.id, Heartbeat{
		Term: n.term, Commit: min(n.commit, p.match), Round: n.lead.reads.round, Sent: n.now, Match: p.match,
	})
}

// tellCommit tells the commit index to those who have not learned it from
// AppendEntries in the meantime, so that an idle group's followers do not wait
// for the next heartbeat.
func (n *Node) tellCommit() {
	n.lead.tellAt = never
	for _, p := range n.lead.peers {
		if min(n.commit, p.match) > p.told {
			n.sendHeartbeat(p)
		}
	}
}

// onHeartbeat vouches for the leader at once, whatever the disk does. The
// promise of lease.go is made in hear, before the answer.
func (n *Node) onHeartbeat(from ID, m Heartbeat) {
	if !n.hear(from) || n.findLoss(from, m) {
		return
	}
	if m.Commit <= n.log.last() && !n.installing() {
		n.commitTo(m.Commit)
	}
	n.sendNow(from, HeartbeatReply{Term: n.term, Round: m.Round, Sent: m.Sent, Stalled: n.stalled()})
}

func (n *Node) onHeartbeatReply(from ID, m HeartbeatReply) {
	if n.lead == nil {
		return
	}
	p := n.lead.peer(from)
	if p == nil || m.Sent > n.now || m.Sent < 0 || m.Round > n.lead.reads.round {
		return // nothing that this leader has sent
	}
	if m.Lost && !p.lost {
		p.discount()
		n.out.PeerLosses = append(n.out.PeerLosses, from)
	}
	if p.lost {
		return
	}
	p.heard = n.now
	p.stalled = m.Stalled
	p.sent = max(p.sent, uint64(m.Sent)+1)
	p.round = max(p.round, m.Round)
	n.checkRound()
	n.retry(p)
}

// relieveStalledDisk hands leadership over when our own disk does not answer
// but another voter's does: a leader that cannot write must not hold the group
// up just because its heartbeats still leave.
func (n *Node) relieveStalledDisk() {
	if n.lead == nil || !n.stalled() || n.lead.transfer != nil {
		return
	}
	if to := n.bestTarget(); to != nil {
		n.beginTransfer(to, true)
	}
}

// preferHigherPriority hands leadership to a voter that should rather lead,
// once it has caught up.
func (n *Node) preferHigherPriority() {
	l := n.lead
	if l == nil || l.transfer != nil || n.now < l.preferAt || n.commit < l.start {
		return
	}
	self, _ := n.config().Find(n.cfg.ID)
	p := n.bestTarget()
	if p == nil {
		return
	}
	m, _ := n.config().Find(p.id)
	if m.Priority <= self.Priority || p.match+Index(n.cfg.PromoteWithin) < n.log.last() {
		return
	}
	l.preferAt = n.now + 10*n.cfg.Election
	n.beginTransfer(p, false)
}
