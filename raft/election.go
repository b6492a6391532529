package raft

import "github.com/synod-go/synod/consensus"

// election is what a replica needs to choose a leader (section 5.2).
type election struct {
	// promise: before this time no vote or pre-vote is granted and no campaign
	// begun. See lease.go.
	promise Time
	// at is when to campaign if no leader is heard before.
	at Time
	// timeout is the random wait of this term, so that hearing the leader
	// moves at without drawing again.
	timeout Time
	// began is when the pre-vote under way began.
	began Time
	// eager counts the quick campaigns left after the leader's connection
	// closed.
	eager int
	// votes are the answers of the election under way: true is granted.
	votes map[ID]bool
	// ownSave is the save that makes the vote for ourselves durable.
	ownSave uint64
	// heard is when the leader heardFrom was heard last, lost that its connection has
	// closed since, asked that somebody wants this replica to lead. For notes alone.
	heard       Time
	heardFrom   ID
	lost, asked bool
}

// eagerCampaigns is how often a replica that lost its leader asks at short
// intervals: long enough for the promises of the others, which heard the leader
// at most a heartbeat later, to end.
const eagerCampaigns = 8

// startElectionClock behaves as if a leader had just been heard: before a crash
// one may have been, and its lease still holds. That goes for the only voter
// too, who may have promised it to a leader that has just made it the only one
// and is leaving. A voter in term 0 has never heard anybody. The only voter has
// nobody to wait for but its promise.
func (n *Node) startElectionClock() {
	n.resetElection()
	n.election.promise = n.now + n.cfg.Lease
	if !n.onlyVoter() {
		return
	}
	if n.term == 0 {
		n.election.promise = n.now
	}
	n.election.at = n.election.promise
}

// resetElection draws a new election timeout, from [Election, 2*Election), so
// that split votes are rare (section 5.2). Those who should rather not lead
// wait a little longer.
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

// outranked counts the voters that should lead rather than this replica, but
// for the leader that is gone.
func (n *Node) outranked() (count int) {
	self, _ := n.config().Find(n.cfg.ID)
	for _, m := range n.config().Members {
		if (m.Voter || m.Outgoing) && m.Priority > self.Priority && m.ID != n.leader {
			count++
		}
	}
	return count
}

// mayElect reports whether the lease promise is over, so that another leader
// may be elected. A leader hears itself at all times.
func (n *Node) mayElect() bool {
	return n.role != Leader && n.now >= n.election.promise
}

// hear notes a message from the leader of this term. It returns false for a
// second leader of one term, which Raft rules out: whoever claims that is not
// believed.
func (n *Node) hear(leader ID) bool {
	if n.role == Leader || (n.leader != None && n.leader != leader) {
		return false
	}
	if n.leader != leader || n.role != Follower {
		n.becomeFollower(n.term, leader)
	}
	e := &n.election
	e.eager = 0
	e.heard, e.heardFrom, e.lost, e.asked = n.now, leader, false, false
	if n.ticked {
		e.at = n.now + e.timeout
		e.promise = max(e.promise, n.now+n.cfg.Lease)
	}
	return true
}

// leaderLost asks for an election as soon as the promise to the lost leader is
// over. The replicas that lost it at the same moment go one after the other, by
// priority, and otherwise a few milliseconds apart.
func (n *Node) leaderLost() {
	e := &n.election
	slot := n.cfg.Heartbeat / 4
	wait := slot*Time(min(n.outranked(), 4)) + n.jitter(slot)
	e.eager, e.lost = eagerCampaigns, true
	e.at = min(e.at, max(n.now, e.promise)+wait)
}

// Campaign asks for an election as soon as the lease promise allows. A leader
// and a replica without a vote do nothing.
func (n *Node) Campaign() {
	if n.role != Leader && n.ticked {
		n.election.at = max(n.now, n.election.promise)
		n.election.asked = true
	}
}

// mayCampaign reports whether this replica could lead: it has a vote, a disk
// that answers and a state machine. A voter that the newest configuration
// leaves out may still have to lead until that one is committed, because only
// its log may hold it (dissertation 4.2.2).
func (n *Node) mayCampaign() bool {
	if n.stalled() || n.installing() {
		return false
	}
	for i := len(n.configs) - 1; i >= 0; i-- {
		if n.configs[i].IsVoter(n.cfg.ID) {
			return true
		}
		if n.configs[i].Version <= n.commit {
			break
		}
	}
	return false
}

// electionTimeout begins an election, with a pre-vote, if this replica may.
func (n *Node) electionTimeout() {
	switch {
	case n.now < n.election.promise:
		n.election.at = n.election.promise
	case !n.mayCampaign():
		n.becomeFollower(n.term, None)
	default:
		n.becomePreCandidate()
	}
}

// becomePreCandidate asks whether an election in the next term could be won. It
// changes no term and no vote, so that a replica which was cut off does not
// disturb the others when it is back (dissertation 9.6).
func (n *Node) becomePreCandidate() {
	n.role, n.leader = PreCandidate, None
	n.resetElection()
	e := &n.election
	e.began = n.now
	e.votes = map[ID]bool{n.cfg.ID: true}
	if e.eager > 0 {
		e.eager--
		e.at = n.now + n.cfg.Heartbeat/4 + n.jitter(n.cfg.Heartbeat/4)
	}
	n.noteCampaign(consensus.NoteAsks, n.term+1)
	self, _ := n.config().Find(n.cfg.ID)
	n.toVoters(n.sendNow, PreVote{
		Term: n.term + 1, LastIndex: n.log.last(), LastTerm: n.log.lastTerm(), Priority: self.Priority,
	})
	n.countVotes()
}

// becomeCandidate begins an election: a new term, and our vote for ourselves.
// RequestVote leaves only when both are durable, and the log that it speaks
// of: after a crash we might otherwise collect votes for entries that are gone.
func (n *Node) becomeCandidate(transfer bool) {
	if transfer {
		n.out.Notes = append(n.out.Notes, consensus.Note{Kind: consensus.NoteElection, Term: n.term + 1, Why: consensus.WhyTransfer, Other: n.leader})
	} else {
		n.noteCampaign(consensus.NoteElection, n.term+1)
	}
	n.role, n.leader = Candidate, None
	n.term++
	n.vote = n.cfg.ID
	n.ack = ack{}
	n.resetElection()
	n.election.votes = map[ID]bool{}
	n.election.ownSave = 0
	n.toVoters(n.send, RequestVote{
		Term: n.term, LastIndex: n.log.last(), LastTerm: n.log.lastTerm(), Transfer: transfer,
	})
}

// toVoters sends m to every other voter.
func (n *Node) toVoters(send func(ID, Message), m Message) {
	for _, member := range n.config().Members {
		if (member.Voter || member.Outgoing) && member.ID != n.cfg.ID {
			send(member.ID, m)
		}
	}
}

// ownVoteIssued and ownVoteSaved count the vote for ourselves once it is
// durable, like everybody else's.
func (n *Node) ownVoteIssued(number uint64) {
	if n.role == Candidate && n.election.ownSave == 0 {
		n.election.ownSave = number
	}
}

func (n *Node) ownVoteSaved(number uint64) {
	e := &n.election
	if n.role == Candidate && e.ownSave != 0 && number >= e.ownSave {
		e.votes[n.cfg.ID] = true
		n.countVotes()
	}
}

// countVotes moves on to the next stage once a quorum has granted this one.
func (n *Node) countVotes() {
	won := n.config().Quorum(func(id ID) uint64 {
		if n.election.votes[id] {
			return 1
		}
		return 0
	})
	switch {
	case won == 0:
	case n.role == PreCandidate:
		n.becomeCandidate(false)
	case n.role == Candidate:
		n.becomeLeader()
	}
}

// upToDate reports whether a log that ends with (index, term) ends at or after
// ours: the later last term wins, then the longer log (section 5.4.1).
func (n *Node) upToDate(index Index, term Term) bool {
	if own := n.log.lastTerm(); term != own {
		return term > own
	}
	return index >= n.log.last()
}

// onPreVote says whether we would vote for the candidate, and saves nothing.
func (n *Node) onPreVote(from ID, m PreVote) {
	granted := m.Term > n.term && n.mayElect() && n.upToDate(m.LastIndex, m.LastTerm) && n.yields(from, m)
	if !granted {
		n.notePreVoteRefused(from, m)
		n.sendNow(from, PreVoteReply{Term: n.term})
		return
	}
	if e := &n.election; e.eager > 0 {
		// The candidate is ahead of us: give its election a moment.
		e.eager--
		e.at = max(e.at, n.now+n.cfg.Heartbeat/4+n.jitter(n.cfg.Heartbeat/4))
	}
	n.sendNow(from, PreVoteReply{Term: m.Term, Granted: true})
}

// yields decides between two replicas that ask each other at the same moment,
// as those do who lost one leader: the one with the better log, then priority,
// then ID goes on, the other gives way. Else both would become candidates and
// split the vote. It binds only while the question is fresh, so that a replica
// which cannot win does not stand in another's way.
func (n *Node) yields(from ID, m PreVote) bool {
	if n.role != PreCandidate || n.now-n.election.began >= n.cfg.Heartbeat/4 {
		return true
	}
	self, _ := n.config().Find(n.cfg.ID)
	switch {
	case m.LastTerm != n.log.lastTerm() || m.LastIndex != n.log.last():
	case m.Priority < self.Priority, m.Priority == self.Priority && from < n.cfg.ID:
		return false
	}
	n.role = Follower
	n.election.votes = nil
	return true
}

func (n *Node) onPreVoteReply(from ID, m PreVoteReply) {
	if n.role != PreCandidate || !m.Granted {
		return
	}
	n.election.votes[from] = true
	n.countVotes()
}

// onRequestVote grants at most one vote a term, first come, and never to a
// candidate that may miss a committed entry (HandleRequestVoteRequest in
// raft.tla; sections 5.2 and 5.4.1).
func (n *Node) onRequestVote(from ID, m RequestVote) {
	free := n.vote == None || n.vote == from
	promised := !m.Transfer && !n.mayElect()
	granted := free && !promised && n.leader == None && n.upToDate(m.LastIndex, m.LastTerm)
	if granted {
		n.vote = from
		n.resetElection()
	} else {
		n.noteVoteRefused(from, m)
	}
	n.send(from, Vote{Term: n.term, Granted: granted})
}

func (n *Node) onVote(from ID, m Vote) {
	if n.role != Candidate || !m.Granted {
		return
	}
	n.election.votes[from] = true
	n.countVotes()
}
