package raft

import "github.com/synod-go/synod/consensus"

// Node is one replica of a group: Raft's state machine without a clock, a disk
// or a network. It is not safe for concurrent use.
type Node struct {
	cfg Config

	// Persistent state on all servers (Figure 2).
	term Term // currentTerm
	vote ID   // votedFor
	log  log  // log[]

	// Volatile state on all servers (Figure 2).
	role    Role  // state
	leader  ID    // whom this replica follows in term; itself if it leads
	commit  Index // commitIndex
	handed  Index // the last entry handed out by Output.Apply
	applied Index // lastApplied, as Applied told

	// configs are the configuration at or before log.prev and those that the
	// log holds after it. The last one is in force, committed or not (section
	// 6); the earlier ones are there to roll back to.
	configs  []Configuration
	snapshot SnapshotMeta // the newest one of our own
	trail    Index        // how far snapshot lets the log go: see keep.go

	now      Time // the clock of the last Tick
	ticked   bool
	election election
	saves    saves
	lead     *leadership // set while role is Leader
	forwards forwards    // reads on their way to the leader
	incoming *incoming   // the snapshot being received

	unapplied   int // bytes committed and not applied
	handedBytes int // bytes handed out and not applied

	left string // why this replica last ceased to lead
	ack  ack    // of the AppendEntries in this batch
	loss *Loss  // found: this replica takes no part any more
	out  Output
	// told is what the last Output with Changed reported.
	told identity
}

// identity is what Output.Changed watches.
type identity struct {
	role    Role
	term    Term
	leader  ID
	version Index
}

// Bootstrap returns the beginning of a new group: what every first member is
// given as State.Snapshot. A replica that joins later is given none.
func Bootstrap(members ...Member) SnapshotMeta {
	return SnapshotMeta{Configuration: Configuration{Members: consensus.SortMembers(members)}}
}

// New returns the replica that goes on from what its disk holds. It returns a
// *ConfigError, or a *StateError if the state cannot be one that was saved.
// The node takes over s; nobody may change its slices.
func New(c Config, s State) (*Node, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	n := &Node{cfg: c, election: election{promise: never, at: never}}
	if err := n.recover(s); err != nil {
		return nil, err
	}
	n.told = n.identity()
	return n, nil
}

// Tick sets the clock. The host calls it at the start of each batch of inputs,
// with a clock read after those inputs had arrived, and when Deadline has come.
// What is due is done in Output, after the inputs of the batch, so that a
// message which has already arrived still counts. A time before the last one
// is taken for the last one.
func (n *Node) Tick(now Time) {
	n.now = max(n.now, now)
	if !n.ticked {
		n.ticked = true
		n.startElectionClock()
	}
}

// Deadline returns when Tick and Output are to be called if nothing arrives
// before: at once if it is not after the last Tick.
func (n *Node) Deadline() Time {
	switch {
	case !n.ticked:
		return 0
	case n.loss != nil:
		return never
	case n.moreToApply():
		return n.now
	case n.role == Leader:
		return n.leaderDeadline()
	}
	return min(n.election.at, n.forwardDeadline())
}

// Step takes one message from another replica. Messages that are stale,
// repeated, malformed or not for this replica change nothing.
func (n *Node) Step(from ID, m Message) {
	if m == nil || from == None || from == n.cfg.ID || m.term() > maxTerm {
		return
	}
	if n.loss != nil {
		n.tellLoss(from, m)
		return
	}
	if !n.admit(from, m) {
		return
	}
	switch m := m.(type) {
	case PreVote:
		n.onPreVote(from, m)
	case PreVoteReply:
		n.onPreVoteReply(from, m)
	case RequestVote:
		n.onRequestVote(from, m)
	case Vote:
		n.onVote(from, m)
	case AppendEntries:
		n.onAppendEntries(from, m)
	case AppendReply:
		n.onAppendReply(from, m)
	case Heartbeat:
		n.onHeartbeat(from, m)
	case HeartbeatReply:
		n.onHeartbeatReply(from, m)
	case InstallSnapshot:
		n.onInstallSnapshot(from, m)
	case SnapshotReply:
		n.onSnapshotReply(from, m)
	case ReadIndex:
		n.onReadIndex(from, m)
	case ReadIndexReply:
		n.onReadIndexReply(from, m)
	case TimeoutNow:
		n.onTimeoutNow(from, m)
	}
}

// admit applies the rule for terms (UpdateTerm in raft.tla) and reports whether
// m is to be handled. A newer term is taken over, except from a pre-vote, which
// is about a term that does not exist yet, and from a candidate against whom
// the lease promise protects the leader. Of an older term only those are
// answered who have to learn the newer one.
func (n *Node) admit(from ID, m Message) bool {
	switch m := m.(type) {
	case PreVote:
		return true
	case PreVoteReply:
		if m.Granted {
			return m.Term == n.term+1 && n.knows(from)
		}
	case RequestVote:
		if m.Term > n.term && !m.Transfer && !n.mayElect() {
			n.noteVoteRefused(from, m)
			return false // dissertation 4.2.3
		}
	case AppendEntries, Heartbeat, InstallSnapshot:
		// Whoever won an election is believed, even if we know no such member.
	default:
		if !n.knows(from) {
			return false
		}
	}
	if m.term() < n.term {
		n.refuseStale(from, m)
		return false
	}
	if m.term() > n.term {
		if n.lead != nil {
			n.left = n.overtaken()
		}
		n.becomeFollower(m.term(), None)
	}
	return true
}

// refuseStale tells a leader or candidate of an old term the present one.
// Without it, a replica that came back with a newer term than its leader's
// would ignore the leader forever.
func (n *Node) refuseStale(from ID, m Message) {
	switch m.(type) {
	case RequestVote:
		n.send(from, Vote{Term: n.term})
	case AppendEntries, InstallSnapshot:
		n.send(from, AppendReply{Term: n.term, Rejected: true})
	case Heartbeat:
		n.send(from, HeartbeatReply{Term: n.term})
	}
}

// knows reports whether id belongs to the group as far as we know.
func (n *Node) knows(id ID) bool {
	if id == n.leader {
		return true
	}
	if _, ok := n.config().Find(id); ok {
		return true
	}
	return n.lead != nil && n.lead.peer(id) != nil
}

// PeerLost tells the core that the connection to peer has closed: of messages
// sent to it some may be lost. If the peer leads, this replica asks for an
// election as soon as its lease promise allows. It is a hint, never a proof.
func (n *Node) PeerLost(peer ID) {
	if n.lead != nil {
		n.lost(peer)
	} else if peer == n.leader && peer != None {
		n.leaderLost()
	}
}

// Output returns what the inputs since the last call ask the host to do. The
// host carries one Output out before it calls for the next.
func (n *Node) Output() Output {
	if n.ticked && n.loss == nil {
		n.fire()
	}
	if n.lead != nil {
		n.startRound()
		n.driveTransfer()
		n.replicate()
	}
	n.forward()
	n.flushAck()
	n.collectSave()
	n.collectApply()
	n.out.Lease, n.out.LeaseIndex = n.lease()
	if is := n.identity(); is != n.told {
		n.told = is
		n.out.Changed = true
	}
	out := n.out
	n.out = Output{}
	return out
}

// fire does what is due at this time.
func (n *Node) fire() {
	if n.lead != nil {
		n.fireLeader()
		return
	}
	if n.now >= n.election.at {
		n.electionTimeout()
	}
}

// send queues a message that leaves after everything so far is durable.
func (n *Node) send(to ID, m Message) {
	n.out.Send = append(n.out.Send, Envelope{To: to, Message: m})
}

// sendNow queues a message that speaks about nothing that must be durable.
func (n *Node) sendNow(to ID, m Message) {
	n.out.SendNow = append(n.out.SendNow, Envelope{To: to, Message: m})
}

func (n *Node) identity() identity {
	return identity{role: n.role, term: n.term, leader: n.leader, version: n.config().Version}
}

// becomeFollower follows leader, or nobody yet, in term. A newer term forgets
// the vote of the old one.
func (n *Node) becomeFollower(term Term, leader ID) {
	if term < n.term {
		panicf("term %d after %d", term, n.term)
	}
	if term > n.term {
		n.term, n.vote = term, None
		n.ack = ack{}
	}
	if n.role == Leader {
		n.leaveOffice()
	}
	n.role, n.leader = Follower, leader
	n.election.votes = nil
	n.resetElection()
}
