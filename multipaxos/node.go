package multipaxos

// Node is one replica of a group: the three roles of Paxos over one log,
// without a clock, a disk or a network. It is not safe for concurrent use.
//
// Roles talk to each other by messages only, also within one Node: what it
// sends to itself comes back to it when it is durable (loop.go). Acceptor and
// learner share the slots.
type Node struct {
	cfg Config
	log log // the slots: votes, and chosen entries

	// Acceptor.
	promised Ballot // nothing below it is promised or voted for
	acks     []Accepted

	// Learner.
	chosen   Index // the chosen prefix: everything up to here is chosen and known
	handed   Index // the last slot handed out by Output.Apply
	applied  Index // the last slot applied, as Applied told
	news     news  // what the newest leader says is chosen
	configs  []Configuration
	leads    []lead
	snapshot SnapshotMeta // the newest of our own
	pull     pull
	incoming *incoming // the snapshot being received
	// suspended is one whose sender fell silent: the host still has what came of it.
	suspended  *incoming
	readers    map[ID]*catchUp // who catches up from us
	offers     map[ID]Index    // the snapshots that peers have offered to a witness since gatedSince
	gatedSince Time            // since when a witness waits for a base that outlives a minority
	gone       Index           // up to here a witness may have let go of votes
	safeUpTo   Index           // what a leader has said that snapshots hold: Heartbeat.Safe

	// Proposer.
	proposed Ballot // the last ballot prepared
	seen     Ballot // the highest ballot heard of in an epoch while that was ours
	role     Role
	ballot   Ballot // as candidate and leader: our own
	phase1   *phase1
	lead     *leadership // set while role is Leader, and while a leader prepares again

	leader    ID     // whom this replica follows; itself if it leads
	following Ballot // the ballot of the leader heard last

	now      Time // the clock of the last Tick
	ticked   bool
	started  Time // the clock of the first Tick
	election election
	saves    saves
	loops    []looped
	forwards forwards // reads on their way to the leader

	unapplied   int // bytes chosen and not applied
	handedBytes int // bytes handed out and not applied

	deferred deferral // of leaders with a higher priority
	canvass  canvass  // as such a one

	left string // why this replica last ceased to lead
	loss *Loss  // found: this replica takes no part any more
	out  Output
	told identity
}

// identity is what Output.Changed watches.
type identity struct {
	role    Role
	term    Ballot
	leader  ID
	version Index
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
	n.pull.at = never
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
		n.ticked, n.started = true, n.now
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
	}
	at := n.pull.at
	if n.role == Leader {
		return min(at, n.leaderDeadline())
	}
	at = min(at, n.election.at, n.forwardDeadline())
	if n.phase1 != nil {
		at = min(at, n.phase1.again)
	}
	return at
}

// Step takes one message from another replica. Messages that are stale,
// repeated, malformed or not for this replica change nothing.
func (n *Node) Step(from ID, m Message) {
	if m == nil || from == None || from == n.cfg.ID {
		return
	}
	if n.loss != nil {
		n.tellLoss(from, m)
		return
	}
	n.step(from, m)
}

func (n *Node) step(from ID, m Message) {
	switch m := m.(type) {
	case Poll:
		n.onPoll(from, m)
	case PollReply:
		n.onPollReply(from, m)
	case Prepare:
		n.onPrepare(from, m)
	case Promise:
		n.onPromise(from, m)
	case Accept:
		n.onAccept(from, m)
	case Accepted:
		n.onAccepted(from, m)
	case Nack:
		n.onNack(from, m)
	case Heartbeat:
		n.onHeartbeat(from, m)
	case HeartbeatReply:
		n.onHeartbeatReply(from, m)
	case Learn:
		n.onLearn(from, m)
	case Learned:
		n.onLearned(from, m)
	case Fetch:
		n.onFetch(from, m)
	case InstallSnapshot:
		n.onInstallSnapshot(from, m)
	case ReadIndex:
		n.onReadIndex(from, m)
	case ReadIndexReply:
		n.onReadIndexReply(from, m)
	case Campaign:
		n.onCampaign(from, m)
	}
}

// PeerLost tells the core that the connection to peer has closed: of messages
// sent to it some may be lost. If the peer leads, this replica polls as soon as
// its promise to the leader allows. It is a hint, never a proof.
func (n *Node) PeerLost(peer ID) {
	n.pullLost(peer)
	if n.role == Leader {
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
	if n.role == Leader {
		n.startRound()
		n.driveTransfer()
		n.replicate()
	}
	n.forward()
	n.firePull()
	n.flushAcks()
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
	switch {
	case n.role == Leader:
		n.fireLeader()
	case n.now >= n.election.at:
		n.electionTimeout()
	case n.phase1 != nil && n.now >= n.phase1.again:
		n.prepareAgain()
	}
}

// send queues a message that leaves after everything so far is durable.
func (n *Node) send(to ID, m Message) {
	if to == n.cfg.ID {
		n.loop(m)
		return
	}
	n.out.Send = append(n.out.Send, Envelope{To: to, Message: m})
}

// sendNow queues a message that speaks about nothing that must be durable.
func (n *Node) sendNow(to ID, m Message) {
	if to == n.cfg.ID {
		panicf("%T to ourselves that does not wait for the disk", m)
	}
	n.out.SendNow = append(n.out.SendNow, Envelope{To: to, Message: m})
}

// alarm reports a message that no correct replica sends.
func (n *Node) alarm(from ID, at Index, b Ballot, what string) {
	if len(n.out.Alarms) < maxAlarms {
		n.out.Alarms = append(n.out.Alarms, Alarm{From: from, Index: at, Ballot: b, What: what})
	}
}

// maxAlarms bounds the alarms of one Output.
const maxAlarms = 16

func (n *Node) identity() identity {
	return identity{role: n.Role(), term: n.Term(), leader: n.leader, version: n.config().Version}
}

// config is the configuration in force: the newest of the chosen prefix.
func (n *Node) config() *Configuration { return &n.configs[len(n.configs)-1] }

// epoch is the epoch that this replica takes part in; 0 if it knows none yet.
func (n *Node) epoch() uint32 { return n.config().Epoch }

// place returns where id stands in the configuration in force, or -1.
func (n *Node) place(id ID) int {
	for i := range n.config().Members {
		if n.config().Members[i].ID == id {
			return i
		}
	}
	return -1
}

func (n *Node) self() Member {
	m, _ := n.config().Find(n.cfg.ID)
	return m
}

// owns reports whether b can be a ballot of from: a proposer whose place in the
// epoch's configuration is in b. Of an epoch that this replica has not reached it
// cannot tell, and believes it.
func (n *Node) owns(from ID, b Ballot) bool {
	if b == 0 || b > maxBallot || Epoch(b) == 0 {
		return false
	}
	if Epoch(b) != n.epoch() {
		return true
	}
	at := n.place(from)
	return at >= 0 && at == Proposer(b) && n.config().Members[at].Proposes()
}

// see notes a ballot of this epoch, so that the next one of our own is higher.
func (n *Node) see(b Ballot) {
	if b <= maxBallot && Epoch(b) == n.epoch() {
		n.seen = max(n.seen, b)
	}
}
