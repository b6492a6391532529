package multipaxos

import (
	"cmp"
	"math/bits"
	"slices"
)

// leadership is what only a leader has, made anew for each of its ballots.
type leadership struct {
	start  Index // the first slot proposed with this ballot
	next   Index // the next slot to propose in
	marker Index // the LEAD marker; 0 if the epoch ends before one
	seal   Index // the SEAL that ends the epoch, if one is proposed; else 0

	acceptors uint64 // by place in the configuration
	majority  int
	peers     []*progress // everybody else, by ID

	heartbeatAt Time
	tellAt      Time // when to tell idle replicas what else is chosen
	preferAt    Time // when to look again for a proposer with a higher priority
	renewAt     Time // when to prepare again for an acceptor that has promised more

	uncommitted int // bytes beyond the chosen prefix
	reads       reads
	transfer    *transfer
	leaseEnd    Time // the latest end of a lease given out
	noLease     bool // given up for good: see lease.go
}

// takeOffice begins a leadership with the present ballot. A leader that has
// prepared again keeps its reads.
func (n *Node) takeOffice() *leadership {
	// This replica votes with the ballot from now on, and so promises it (A1, A3), even
	// if it has not answered our Prepare yet. Who is no acceptor does so no sooner: if
	// the attempt fails it has to follow a leader with a lower one.
	n.promise(n.ballot)
	l := &leadership{start: n.chosen + 1, next: n.chosen + 1,
		heartbeatAt: n.now, tellAt: never, preferAt: max(n.now+n.cfg.Election, n.deferred.until), renewAt: never}
	for i, m := range n.config().Members {
		if m.Voter {
			l.acceptors |= 1 << i
		}
	}
	l.majority = bits.OnesCount64(l.acceptors)/2 + 1
	if old := n.lead; old != nil {
		l.leaseEnd = old.leaseEnd
		l.reads.round = old.reads.round
		l.reads.waiting = slices.Concat(old.reads.asked, old.reads.waiting)
	}
	l.reads.waiting = append(l.reads.waiting, n.forwards.take(n.cfg.ID)...)
	n.lead = l
	n.pull, n.incoming = pull{at: never, stuckSince: n.now}, nil // a leader has all that it needs
	n.syncPeers()
	return l
}

// leaveOffice ends what only a leader does. The promise behind a lease that was
// given out binds this replica too.
func (n *Node) leaveOffice() {
	n.election.promise = max(n.election.promise, n.lead.leaseEnd)
	n.failReads()
	n.lead = nil
	n.compact()
}

// stepDown gives up leadership.
func (n *Node) stepDown(why string) {
	n.left = why
	n.becomeFollower(None)
}

// abdicate makes way for the higher ballot b.
func (n *Node) abdicate(b Ballot) {
	if n.ballot == 0 || b <= n.ballot {
		return
	}
	if n.lead != nil {
		n.left = n.overtaken()
	}
	n.becomeFollower(None)
}

// overtaken says why a leader meets a higher ballot.
func (n *Node) overtaken() string {
	switch t := n.lead.transfer; {
	case t == nil || !t.sent:
		return "there is a higher ballot"
	case t.resign:
		return "handed over: " + n.resigns()
	}
	return "handed over"
}

// resigns says why a leader shall not lead any more.
func (n *Node) resigns() string {
	if !n.self().Proposes() {
		return "no proposer any more"
	}
	return "the disk is stalled"
}

// renew prepares again with a higher ballot, without ceasing to lead if that
// succeeds: in a new epoch, after a transfer that failed, or for an acceptor
// that has promised more. The lease of the old ballot is given up for it.
func (n *Node) renew() {
	n.lead.noLease = true
	n.becomeCandidate(n.following)
}

// syncPeers makes the peers those of the configuration in force.
func (n *Node) syncPeers() {
	l := n.lead
	for _, m := range n.config().Members {
		if m.ID != n.cfg.ID {
			l.peers = append(l.peers, &progress{id: m.ID, place: n.place(m.ID), next: l.start, from: l.start, heard: n.now, patience: n.patience()})
		}
	}
	slices.SortFunc(l.peers, func(a, b *progress) int { return cmp.Compare(a.id, b.id) })
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

// patience is how long an answer may take before the question is sent again; it
// doubles with each try.
func (n *Node) patience() Time { return max(2*n.cfg.Heartbeat, n.cfg.Election/2) }

// fireLeader does what is due on a leader.
func (n *Node) fireLeader() {
	l := n.lead
	if n.now >= l.tellAt {
		n.tellChosen()
	}
	if t := l.transfer; t != nil && n.now >= t.until {
		n.transferFailed()
	}
	if n.role == Leader && n.now >= l.renewAt {
		n.renew()
	}
	if n.role != Leader || n.now < n.lead.heartbeatAt {
		return
	}
	if !n.quorumActive() {
		n.stepDown("no quorum answers")
		return
	}
	n.broadcastHeartbeat()
	n.compact()
	n.relieveStalledDisk()
	n.advanceMembership()
	n.preferHigherPriority()
}

// leaderDeadline is when fireLeader has something to do.
func (n *Node) leaderDeadline() Time {
	l := n.lead
	at := min(l.heartbeatAt, l.tellAt, l.renewAt)
	if t := l.transfer; t != nil {
		at = min(at, t.until)
	}
	return at
}

// quorumActive is whether a quorum has answered within an Election. A leader
// that is cut off must not go on taking proposals.
func (n *Node) quorumActive() bool {
	return n.quorum(func(id ID) bool {
		p := n.lead.peer(id)
		return id == n.cfg.ID || p != nil && n.active(p)
	})
}

// broadcastHeartbeat makes the leader heard by everyone, with the present read
// round, so that a lost heartbeat of a round is repeated by the next one.
func (n *Node) broadcastHeartbeat() {
	l := n.lead
	l.heartbeatAt = n.now + n.cfg.Heartbeat
	safe := n.safe()
	for _, p := range l.peers {
		n.sendHeartbeat(p, safe)
	}
}

func (n *Node) sendHeartbeat(p *progress, safe Index) {
	p.told = max(p.told, n.chosen)
	n.sendNow(p.id, Heartbeat{Ballot: n.ballot, Start: n.lead.start, Chosen: n.chosen,
		Round: n.lead.reads.round, Sent: n.now, Match: p.acked, Safe: safe})
}

// tellChosen tells those who have not learned it from an Accept in the meantime,
// so that an idle group's replicas do not wait for the next heartbeat.
func (n *Node) tellChosen() {
	n.lead.tellAt = never
	for _, p := range n.lead.peers {
		if n.chosen > p.told {
			n.sendHeartbeat(p, 0)
		}
	}
}

// safe is the slot up to which snapshots will outlive any minority of the acceptors:
// one more of those who learn holds one than may fail. Where fewer acceptors learn, all
// of them do, and as many learners altogether. Those that were silent for CatchUpTime
// are not waited for.
func (n *Node) safe() Index {
	var voters, all []Index
	acceptors := 0
	for _, m := range n.config().Members {
		if m.Voter {
			acceptors++
		}
		have := n.snapshot.Index
		if p := n.lead.peer(m.ID); p != nil {
			if have = p.snapshot; n.now-p.heard >= n.cfg.CatchUpTime {
				continue
			}
		}
		if m.Learns() {
			all = append(all, have)
		}
		if m.Learns() && m.Voter {
			voters = append(voters, have)
		}
	}
	least := acceptors - acceptors/2 // a majority is acceptors/2+1
	return min(heldBy(voters, least), heldBy(all, least))
}

// heldBy is what least of them have, or all if they are fewer.
func heldBy(have []Index, least int) Index {
	slices.Sort(have)
	if len(have) == 0 {
		return maxIndex
	}
	return have[len(have)-min(least, len(have))]
}

// onHeartbeat vouches for the leader at once, whatever the disk does. The
// promise of lease.go is made in hear, before the answer.
func (n *Node) onHeartbeat(from ID, m Heartbeat) {
	if !n.owns(from, m.Ballot) || m.Chosen > maxIndex || m.Safe > maxIndex {
		return
	}
	reason := n.refuses(m.Ballot)
	if reason == RefusedSealed || reason == RefusedPromised || m.Ballot < n.following {
		n.nack(from, m.Ballot, max(reason, RefusedPromised))
		return
	}
	n.hear(from, m.Ballot)
	if n.leader != from || n.findLoss(from, m) {
		return
	}
	n.hearChosen(news{from: from, ballot: m.Ballot, start: m.Start, upTo: m.Chosen})
	n.safeUpTo = max(n.safeUpTo, m.Safe)
	n.trimWitness()
	n.sendNow(from, HeartbeatReply{Ballot: m.Ballot, Round: m.Round, Sent: m.Sent,
		Chosen: n.chosen, Snapshot: n.snapshot.Index, Stalled: n.stalled(), Reaches: n.canvassed()})
}

func (n *Node) onHeartbeatReply(from ID, m HeartbeatReply) {
	if n.role != Leader || m.Ballot != n.ballot {
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
	if !n.active(p) {
		n.rewind(p)
	}
	p.heard = n.now
	p.silent = false
	p.stalled, p.reaches = m.Stalled, m.Reaches
	p.sent = max(p.sent, uint64(m.Sent)+1)
	p.round = max(p.round, m.Round)
	p.chosen = max(p.chosen, min(m.Chosen, n.chosen))
	p.snapshot = max(p.snapshot, min(m.Snapshot, n.chosen))
	n.checkRound()
	n.retry(p)
}

// onNack hears that a ballot of ours is refused. A refusal by less than a
// quorum does not abort anything (P7); when phase 2 cannot succeed any more the
// leader steps down (P8).
func (n *Node) onNack(from ID, m Nack) {
	if !n.config().IsVoter(from) {
		return
	}
	n.see(m.Promised)
	if m.Ballot == 0 || m.Ballot != n.ballot || m.Reason == 0 || m.Reason >= reasonsEnd {
		return
	}
	if m.Reason == RefusedSealed {
		n.stepDown("the epoch is over")
		n.pullFrom(from)
		return
	}
	switch n.role {
	case Candidate:
		n.refusedCandidate(from, m)
	case Leader:
		n.refusedLeader(from, m)
	}
}

// refusedCandidate gives up when no quorum can promise. Who is behind is asked
// again when it had time to learn of the epoch.
func (n *Node) refusedCandidate(from ID, m Nack) {
	p := n.phase1
	h := p.heard[from]
	switch {
	case h == nil || h.next == 0:
		return
	case m.Reason == RefusedBehind:
		p.again = min(p.again, n.now+n.cfg.Heartbeat/8)
		return
	}
	h.refused = true
	if !n.quorum(func(id ID) bool { return p.heard[id] != nil && !p.heard[id].refused }) {
		n.failCandidacy("a higher ballot is promised")
	}
}

// refusedLeader steps down when a quorum has promised more, and prepares again
// after a while for one that has: it would vote for nothing of this ballot.
func (n *Node) refusedLeader(from ID, m Nack) {
	l := n.lead
	p := l.peer(from)
	if m.Reason != RefusedPromised || p == nil {
		return
	}
	p.refuses = true
	if !n.quorum(func(id ID) bool { q := l.peer(id); return q == nil || !q.refuses }) {
		n.stepDown("a quorum has promised a higher ballot")
		return
	}
	if l.seal == 0 && l.transfer == nil {
		l.renewAt = min(l.renewAt, n.now+n.cfg.Heartbeat+n.jitter(n.cfg.Election))
	}
}

// relieveStalledDisk hands leadership over when our own disk does not answer
// but another proposer's does.
func (n *Node) relieveStalledDisk() {
	if n.role != Leader || !n.stalled() || n.lead.transfer != nil || n.lead.seal != 0 {
		return
	}
	if to := n.bestTarget(); to != nil {
		n.beginTransfer(to, true)
	}
}
