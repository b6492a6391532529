package paxos

import "slices"

// LearnerConfig of a Learner. The zero value of each field but ID and Quorums
// means its default.
type LearnerConfig struct {
	// ID of this node. Required.
	ID ID
	// Quorums of the decree's acceptors. Required.
	Quorums Quorums
	// Scheme, Learners and Distinguished say who tells whom, as the acceptors'
	// do. All nodes have the same, in the same order.
	Scheme        Scheme
	Learners      []ID
	Distinguished []ID
	// Proposers are asked in turn to finish a round that has stopped halfway.
	// Default: nobody is.
	Proposers []ID
	// Timeout is how long a learner waits, for the choice and for each answer,
	// before it asks the next (L4). It doubles when all have been asked, up to
	// MaxTimeout. Defaults 300 ms and 5 s.
	Timeout    Time
	MaxTimeout Time
	// MaxValueBytes bounds a value. The same at all nodes. Default 1 MiB.
	MaxValueBytes int
	// Chosen is what this learner had saved of Output.Chosen before a restart;
	// it then has nothing to ask (L6). The zero Vote is nothing.
	Chosen Vote
}

func (c LearnerConfig) withDefaults() LearnerConfig {
	def(&c.Timeout, 300*millisecond)
	def(&c.MaxTimeout, max(5000*millisecond, c.Timeout))
	def(&c.MaxValueBytes, defaultMaxValueBytes)
	return c
}

func (c LearnerConfig) check() error {
	switch {
	case c.ID == None:
		return &ConfigError{"ID", "is missing"}
	case len(c.Quorums.acceptors) == 0:
		return &ConfigError{"Quorums", "is missing"}
	case !sane(c.Timeout) || !sane(c.MaxTimeout) || c.MaxTimeout < c.Timeout:
		return &ConfigError{"Timeout", "is not within (0, MaxTimeout], or MaxTimeout is more than 100 days"}
	case c.MaxValueBytes < 0:
		return &ConfigError{"MaxValueBytes", "is negative"}
	case !c.Chosen.IsZero() && !c.Chosen.valid(c.MaxValueBytes):
		return &ConfigError{"Chosen", "is no vote"}
	}
	return c.Scheme.check(c.Learners, c.Distinguished)
}

// Learner finds out which value is chosen. All methods are called from one
// goroutine; now is read from the host's clock before each.
type Learner struct {
	cfg LearnerConfig
	// votes holds the last vote known of each acceptor. An older one is not
	// missed: Ask brings the last votes, and if they differ a proposer must act.
	votes  []Vote // by position in Quorums
	chosen Vote

	peers    []ID // the distinguished learners, asked in this order
	turn     int  // whose turn it is to be asked: peers, all acceptors, a proposer
	cycle    int  // how often all were asked
	deadline Time
}

// NewLearner starts a learner that waits for the choice from now on. It returns a
// *ConfigError.
func NewLearner(cfg LearnerConfig, now Time) (*Learner, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	l := &Learner{cfg: cfg, chosen: cfg.Chosen, deadline: now + cfg.Timeout}
	l.votes = make([]Vote, len(cfg.Quorums.acceptors))
	if cfg.Scheme != AllLearners {
		l.peers = slices.DeleteFunc(slices.Clone(cfg.Distinguished), func(id ID) bool { return id == cfg.ID })
	}
	return l, nil
}

// Chosen returns the chosen value, if this learner knows it.
func (l *Learner) Chosen() (Value, bool) { return l.chosen.Value, !l.chosen.IsZero() }

// Deadline is when Tick is to be called next.
func (l *Learner) Deadline() Time {
	if !l.chosen.IsZero() {
		return never
	}
	return l.deadline
}

// Tick lets time pass.
func (l *Learner) Tick(now Time) Output {
	var out Output
	if now >= l.Deadline() {
		l.ask(&out, now)
	}
	return out
}

// ask asks the next of those who may know (L4): each distinguished learner, then
// all acceptors for their votes, then, if a vote has been cast, a proposer, which
// completes the round.
func (l *Learner) ask(out *Output, now Time) {
	switch {
	case l.turn < len(l.peers):
		out.send(l.peers[l.turn], Ask{})
	case l.turn == len(l.peers):
		for _, id := range l.cfg.Quorums.acceptors {
			out.send(id, Ask{})
		}
	case len(l.cfg.Proposers) > 0 && l.sawVote():
		out.send(l.cfg.Proposers[l.cycle%len(l.cfg.Proposers)], Finish{})
	}
	wait := l.cfg.MaxTimeout
	if l.cycle < 32 && l.cfg.Timeout <= wait>>l.cycle {
		wait = l.cfg.Timeout << l.cycle
	}
	l.deadline = now + wait
	if l.turn++; l.turn > len(l.peers)+1 {
		l.turn, l.cycle = 0, l.cycle+1
	}
}

func (l *Learner) sawVote() bool {
	return slices.ContainsFunc(l.votes, func(v Vote) bool { return !v.IsZero() })
}

// Step takes a message. What is not for a learner is ignored.
func (l *Learner) Step(from ID, m Message) Output {
	var out Output
	switch m := m.(type) {
	case Accepted:
		l.onAccepted(&out, from, m)
	case Chosen:
		l.onChosen(&out, from, m)
	case Ask:
		if !l.chosen.IsZero() {
			out.send(from, Chosen(l.chosen))
		}
	}
	return out
}

// onAccepted counts: a value is chosen when a quorum of distinct acceptors has
// voted for it in one ballot (L1).
func (l *Learner) onAccepted(out *Output, from ID, m Accepted) {
	acceptor, vote := l.position(from), Vote(m)
	if acceptor < 0 || !l.chosen.IsZero() || !vote.valid(l.cfg.MaxValueBytes) ||
		vote.Ballot.Less(l.votes[acceptor].Ballot) {
		return
	}
	if known, ok := l.valueOf(vote.Ballot); ok && !known.equal(vote.Value) {
		out.alarm(TwoValues, from, vote.Ballot)
		return
	}
	l.votes[acceptor] = vote
	count := 0
	for _, v := range l.votes {
		if v.Ballot == vote.Ballot {
			count++
		}
	}
	if count >= l.cfg.Quorums.accept {
		l.learn(out, vote)
		l.tell(out)
	}
}

// valueOf returns what the acceptors have voted for in ballot b, if one is known
// to have: a ballot has one value (P3).
func (l *Learner) valueOf(b Ballot) (Value, bool) {
	for _, v := range l.votes {
		if v.Ballot == b {
			return v.Value, true
		}
	}
	return nil, false
}

// tell passes the choice on, if that is this learner's part in the scheme: what it
// has counted itself, or was told by an acceptor when it asked, since the votes of
// which it heard too few may be all that were sent. Not what a distinguished
// learner has told it, which has told all.
func (l *Learner) tell(out *Output) {
	if l.cfg.Scheme == AllLearners || !slices.Contains(l.cfg.Distinguished, l.cfg.ID) {
		return
	}
	for _, id := range l.cfg.Learners {
		if id != l.cfg.ID {
			out.send(id, Chosen(l.chosen))
		}
	}
}

// onChosen believes who has counted. Without a value it takes that of a vote in
// exactly this ballot, and asks for it if it knows none (L3).
func (l *Learner) onChosen(out *Output, from ID, m Chosen) {
	vote := Vote(m)
	known, ok := l.valueOf(m.Ballot)
	if len(m.Value) == 0 && ok {
		vote.Value = known
	}
	switch {
	case len(vote.Value) == 0 && l.chosen.IsZero() && m.Ballot.valid():
		out.send(from, Ask{})
	case !vote.valid(l.cfg.MaxValueBytes):
	case !l.chosen.IsZero() && !l.chosen.Value.equal(vote.Value), ok && !known.equal(vote.Value):
		out.alarm(TwoChosen, from, m.Ballot)
	case l.chosen.IsZero():
		l.learn(out, vote)
		if !slices.Contains(l.cfg.Distinguished, from) {
			l.tell(out)
		}
	}
}

func (l *Learner) learn(out *Output, vote Vote) {
	l.chosen = vote
	out.Chosen = &vote
}

// position returns the acceptor's place in Quorums, or -1 for a stranger.
func (l *Learner) position(id ID) int {
	i, ok := slices.BinarySearch(l.cfg.Quorums.acceptors, id)
	if !ok {
		return -1
	}
	return i
}
