package multipaxos

import "github.com/synod-go/synod/consensus"

// election is what a replica needs to agree on who shall lead. Safety does not
// depend on it: any number of proposers may prepare at any time.
type election struct {
	// promise: before this time nothing is promised to another proposer and no
	// poll begun. See lease.go.
	promise Time
	// at is when to poll if no leader is heard before.
	at Time
	// timeout is the random wait, so that hearing the leader moves at without
	// drawing again.
	timeout Time
	began   Time // when the poll under way began
	// eager counts the quick polls left after the leader's connection closed.
	eager int
	// votes are the answers of the poll under way: true is granted.
	votes map[ID]bool
	// heard is when the leader heardFrom was heard last, lost that its connection has
	// closed since, asked that somebody wants this replica to lead. For notes alone.
	heard       Time
	heardFrom   ID
	lost, asked bool
}

// eagerPolls is how often a replica that lost its leader asks at short
// intervals: long enough for the promises of the others, which heard the leader
// at most a heartbeat later, to end.
const eagerPolls = 8

// startElectionClock behaves as if a leader had just been heard: before a crash
// one may have been, and its lease still holds. The only acceptor of a group in
// which nothing was ever promised has nobody to wait for.
func (n *Node) startElectionClock() {
	n.pull.stuckSince = n.now
	n.resetElection()
	n.election.promise = n.now + n.cfg.Lease
	if !n.onlyAcceptor() {
		return
	}
	if n.promised == 0 {
		n.election.promise = n.now
	}
	n.election.at = n.election.promise
}

// onlyAcceptor reports whether this replica is a quorum by itself.
func (n *Node) onlyAcceptor() bool {
	for _, m := range n.config().Members {
		if m.Voter && m.ID != n.cfg.ID {
			return false
		}
	}
	return n.config().IsVoter(n.cfg.ID)
}

// resetElection draws a new timeout, from [Election, 2*Election), so that duels
// are rare. Those who should rather not lead wait a little longer.
func (n *Node) resetElection() {
	e := &n.election
	if !n.ticked {
		return
	}
	e.timeout = n.cfg.Election + n.jitter(n.cfg.Election) + n.cfg.Election/2*Time(min(n.outranked(), 2))
	e.at = n.now + e.timeout
}

// jitter returns a random time in [0, limit).
func (n *Node) jitter(limit Time) Time {
	if limit <= 0 {
		return 0
	}
	return Time(n.cfg.Rand.Int64N(int64(limit)))
}

// outranked counts the proposers that should lead rather than this replica, but
// for the leader that is gone.
func (n *Node) outranked() (count int) {
	self := n.self()
	for _, m := range n.config().Members {
		if m.Proposes() && m.Priority > self.Priority && m.ID != n.leader {
			count++
		}
	}
	return count
}

// mayElect reports whether the promise to the last leader is over. A leader
// hears itself at all times.
func (n *Node) mayElect() bool { return n.lead == nil && n.now >= n.election.promise }

// hear notes a message from the leader of ballot b.
func (n *Node) hear(leader ID, b Ballot) {
	if b < n.following || b <= n.ballot || leader == n.cfg.ID {
		return
	}
	n.see(b)
	if n.following != b || n.leader != leader {
		n.abdicate(b)
		n.following, n.leader = b, leader
		n.deferred = deferral{}
		n.resetElection()
	}
	if n.role != Follower {
		n.becomeFollower(leader)
	}
	e := &n.election
	e.eager = 0
	e.heard, e.heardFrom, e.lost, e.asked = n.now, leader, false, false
	if n.ticked {
		e.at = n.now + e.timeout
		e.promise = max(e.promise, n.now+n.cfg.Lease)
	}
}

// becomeFollower follows leader, or nobody yet.
func (n *Node) becomeFollower(leader ID) {
	if n.lead != nil {
		n.leaveOffice()
	}
	n.role, n.leader = Follower, leader
	n.ballot, n.phase1 = 0, nil
	n.election.votes = nil
	n.resetElection()
}

// leaderLost polls as soon as the promise to the lost leader is over. The
// replicas that lost it at the same moment go one after the other, by priority,
// and otherwise a few milliseconds apart.
func (n *Node) leaderLost() {
	e := &n.election
	slot := n.cfg.Heartbeat / 4
	wait := slot*Time(min(n.outranked(), 4)) + n.jitter(slot)
	e.eager, e.lost = eagerPolls, true
	e.at = min(e.at, max(n.now, e.promise)+wait)
}

// Campaign polls as soon as the promise to the last leader allows. A leader and
// a replica that is no proposer do nothing.
func (n *Node) Campaign() {
	if n.lead == nil && n.ticked {
		n.election.at = max(n.now, n.election.promise)
		n.election.asked = true
	}
}

// mayCampaign reports whether this replica could lead: it is a proposer with a
// disk that answers and a state machine.
func (n *Node) mayCampaign() bool {
	return n.self().Proposes() && !n.stalled() && !n.installing() && Round(n.nextBallot()) < maxRound
}

// electionTimeout polls if this replica may. Who may not asks what it has
// missed: its leader may have been cut off from it alone.
func (n *Node) electionTimeout() {
	switch {
	case n.now < n.election.promise:
		n.election.at = n.election.promise
	case !n.mayCampaign():
		n.becomeFollower(None)
		n.announce()
		n.pullFrom(n.nextSource(None))
	default:
		n.poll()
	}
}

// announce tells acceptors and proposers how much is chosen, as an answer to a poll
// would: who is behind pulls. Those that a SEAL has brought may never have heard of
// the group, and those who know the SEAL may all be out of office.
func (n *Node) announce() {
	for _, m := range n.config().Members {
		if (m.Voter || m.Proposes()) && m.ID != n.cfg.ID {
			n.sendNow(m.ID, PollReply{Epoch: n.epoch(), Chosen: n.chosen})
		}
	}
}

// poll asks whether phase 1 could succeed. Only who reaches a quorum that hears
// no other leader goes on: quorum-connectedness elects, so that no two
// replicas depose each other over a link that is cut between them.
func (n *Node) poll() {
	if n.lead != nil || n.role == Candidate {
		n.becomeFollower(None)
	}
	n.role, n.leader = PreCandidate, None
	n.resetElection()
	e := &n.election
	e.began = n.now
	e.votes = map[ID]bool{n.cfg.ID: true}
	if e.eager > 0 {
		e.eager--
		e.at = n.now + n.cfg.Heartbeat/4 + n.jitter(n.cfg.Heartbeat/4)
	}
	n.noteCampaign(consensus.NoteAsks, 0)
	n.askAcceptors(Poll{Epoch: n.epoch(), Chosen: n.chosen, Priority: n.self().Priority})
	n.countPoll()
}

func (n *Node) askAcceptors(m Poll) {
	for _, member := range n.config().Members {
		if member.Voter && member.ID != n.cfg.ID {
			n.sendNow(member.ID, m)
		}
	}
}

func (n *Node) countPoll() {
	if n.role == PreCandidate && n.quorum(func(id ID) bool { return n.election.votes[id] }) {
		n.becomeCandidate(0)
	}
}

// quorum reports whether a majority of the acceptors of this epoch does. Only
// the configuration in force, which came out of the log, says who they are.
func (n *Node) quorum(does func(ID) bool) bool {
	return n.config().Quorum(func(id ID) uint64 {
		if does(id) {
			return 1
		}
		return 0
	}) == 1
}

// onPoll says whether a Prepare would be promised, and changes nothing. A
// proposer that would have to begin below what is trimmed here catches up first.
func (n *Node) onPoll(from ID, m Poll) {
	sender, known := n.config().Find(from)
	reply := PollReply{Epoch: n.epoch(), Chosen: n.chosen}
	reply.Granted = m.Epoch == n.epoch() && known && sender.Proposes() && n.mayPromise(m.Over) && m.Chosen >= n.forgotten()
	if m.Epoch > n.epoch() || m.Chosen > n.chosen && m.Chosen <= maxIndex && n.leader == None {
		n.pullFrom(from)
	}
	if reply.Granted && !n.yields(from, m) {
		reply.Granted = false
	}
	if e := &n.election; reply.Granted && e.eager > 0 {
		// The candidate is ahead of us: give it a moment.
		e.eager--
		e.at = max(e.at, n.now+n.cfg.Heartbeat/4+n.jitter(n.cfg.Heartbeat/4))
	}
	if !reply.Granted {
		n.notePollRefused(from, m)
	}
	n.sendNow(from, reply)
}

// yields decides between two replicas that poll at the same moment, as those do
// who lost one leader: who knows more to be chosen, then priority, then ID goes
// on, the other gives way. It binds only while the question is fresh, so that a
// replica which cannot win does not stand in another's way.
func (n *Node) yields(from ID, m Poll) bool {
	if n.role != PreCandidate || n.now-n.election.began >= n.cfg.Heartbeat/4 {
		return true
	}
	self := n.self()
	switch {
	case m.Chosen > n.chosen:
	case m.Chosen < n.chosen, m.Priority < self.Priority, m.Priority == self.Priority && from < n.cfg.ID:
		return false
	}
	n.role = Follower
	n.election.votes = nil
	return true
}

func (n *Node) onPollReply(from ID, m PollReply) {
	if m.Chosen > maxIndex {
		return
	}
	if m.Chosen > n.chosen && n.role != Leader {
		n.pullFrom(from)
	}
	if !m.Granted || m.Epoch != n.epoch() || n.place(from) < 0 {
		return
	}
	switch {
	case n.role == PreCandidate:
		n.election.votes[from] = true
		n.countPoll()
	case n.role == Follower && n.canvass.over == n.following && n.canvass.votes != nil:
		n.canvass.votes[from] = true
	}
}
