package paxos

import (
	"fmt"
	"slices"
)

// AcceptorConfig of an Acceptor.
type AcceptorConfig struct {
	// ID of this node. Required.
	ID ID
	// Scheme, Learners and Distinguished say whom it tells of its votes, beside
	// the proposer. The first of Distinguished comes first. Default: nobody.
	Scheme        Scheme
	Learners      []ID
	Distinguished []ID
	// MaxValueBytes bounds a value. The same at all nodes. Default 1 MiB.
	MaxValueBytes int
}

// AcceptorState must survive a crash before any message that follows from it
// leaves. The zero AcceptorState is a new acceptor's.
type AcceptorState struct {
	// Promised is the highest ballot in which this acceptor has taken part:
	// it takes part in no lower one. Never less than Accepted.Ballot (A1).
	Promised Ballot
	// Accepted is its last vote.
	Accepted Vote
}

// Acceptor is the memory of the decree: it promises and votes. All methods are
// called from one goroutine.
type Acceptor struct {
	cfg   AcceptorConfig
	told  []ID
	state AcceptorState
	// chosen is what it has been told; it may forget it.
	chosen Vote
	// failed is set for good when a save has failed.
	failed bool
}

// NewAcceptor starts an acceptor from what was last saved. It returns a
// *ConfigError or a *StateError.
func NewAcceptor(cfg AcceptorConfig, state AcceptorState) (*Acceptor, error) {
	def(&cfg.MaxValueBytes, defaultMaxValueBytes)
	switch {
	case cfg.ID == None:
		return nil, &ConfigError{"ID", "is missing"}
	case cfg.MaxValueBytes < 0:
		return nil, &ConfigError{"MaxValueBytes", "is negative"}
	case state.Promised.Less(state.Accepted.Ballot):
		return nil, &StateError{state, "the vote is beyond the promise"}
	case state.Accepted.IsZero() != (len(state.Accepted.Value) == 0):
		return nil, &StateError{state, "a ballot without a value or a value without a ballot"}
	}
	if err := cfg.Scheme.check(cfg.Learners, cfg.Distinguished); err != nil {
		return nil, err
	}
	told := slices.Clone(cfg.Scheme.told(cfg.Learners, cfg.Distinguished))
	return &Acceptor{cfg: cfg, told: told, state: state}, nil
}

// State returns what is, or will be when the last Output is carried out, saved.
func (a *Acceptor) State() AcceptorState { return a.state }

// Voting reports whether no save has failed.
func (a *Acceptor) Voting() bool { return !a.failed }

// SaveFailed ends the voting of this acceptor for good (A5): nobody knows what its
// disk holds. The host drops what waited for the save, and what came after it.
func (a *Acceptor) SaveFailed() { a.failed = true }

// Step takes a message. What is not for an acceptor is ignored.
func (a *Acceptor) Step(from ID, m Message) Output {
	var out Output
	switch m := m.(type) {
	case Prepare:
		a.onPrepare(&out, from, m)
	case Accept:
		a.onAccept(&out, from, m)
	case Chosen:
		a.onChosen(&out, from, m)
	case Ask:
		a.onAsk(&out, from)
	}
	return out
}

// onPrepare is phase 1b. A repeated Prepare gets the same answer again without a
// write (A2): its ballot has one owner, who prepares it only once.
func (a *Acceptor) onPrepare(out *Output, from ID, m Prepare) {
	if !a.mayAnswer(out, from, m.Ballot) {
		return
	}
	if m.Ballot.Less(a.state.Promised) {
		a.nack(out, from, m.Ballot, Outbid)
		return
	}
	a.promise(out, m.Ballot)
	out.send(from, Promise{m.Ballot, a.state.Accepted.Ballot, a.state.Accepted.Value})
}

// promise raises the promise to b and saves it, if that is not done.
func (a *Acceptor) promise(out *Output, b Ballot) {
	if a.state.Promised == b {
		return
	}
	a.state.Promised = b
	a.save(out)
}

// onAccept is phase 2b. A vote is a promise too (A3), or else the acceptor could
// afterwards take part in a lower ballot.
func (a *Acceptor) onAccept(out *Output, from ID, m Accept) {
	if !a.mayAnswer(out, from, m.Ballot) {
		return
	}
	vote := Vote(m)
	switch {
	case !vote.valid(a.cfg.MaxValueBytes):
		a.nack(out, from, m.Ballot, Refused)
	case m.Ballot.Less(a.state.Promised):
		a.nack(out, from, m.Ballot, Outbid)
	case m.Ballot == a.state.Accepted.Ballot && !vote.same(a.state.Accepted):
		out.alarm(TwoValues, from, m.Ballot)
		a.nack(out, from, m.Ballot, Refused)
	default:
		a.vote(out, vote)
		a.tell(out, from)
	}
}

// vote accepts and saves, if that is not done.
func (a *Acceptor) vote(out *Output, vote Vote) {
	if a.state.Accepted.Ballot == vote.Ballot {
		return
	}
	a.state.Promised = vote.Ballot
	a.state.Accepted = vote
	a.save(out)
}

// tell sends the vote to the proposer and to the learners of the scheme.
func (a *Acceptor) tell(out *Output, proposer ID) {
	m := Accepted(a.state.Accepted)
	out.send(proposer, m)
	for _, id := range a.told {
		if id != proposer {
			out.send(id, m)
		}
	}
}

// onChosen remembers the value so that later proposers need no round. Whoever
// voted in the chosen ballot or a later one must have voted for this value.
func (a *Acceptor) onChosen(out *Output, from ID, m Chosen) {
	chosen := Vote(m)
	if len(m.Value) == 0 && m.Ballot == a.state.Accepted.Ballot {
		chosen = a.state.Accepted
	}
	if !chosen.valid(a.cfg.MaxValueBytes) {
		return
	}
	vote := a.state.Accepted
	if !vote.Ballot.Less(chosen.Ballot) && !vote.Value.equal(chosen.Value) ||
		!a.chosen.IsZero() && !a.chosen.Value.equal(chosen.Value) {
		out.alarm(TwoChosen, from, m.Ballot)
		return
	}
	if a.chosen.IsZero() {
		a.chosen = chosen
		out.Chosen = &chosen
	}
}

// onAsk tells a learner the last vote, also that there is none.
func (a *Acceptor) onAsk(out *Output, from ID) {
	switch {
	case !a.chosen.IsZero():
		out.send(from, Chosen(a.chosen))
	case !a.failed:
		out.send(from, Accepted(a.state.Accepted))
	}
}

// mayAnswer reports whether a request in ballot b is to be looked at. It answers
// at once what needs no look: the chosen value is known, or the disk has failed.
func (a *Acceptor) mayAnswer(out *Output, from ID, b Ballot) bool {
	switch {
	case !b.valid():
		return false
	case b.Node != from:
		out.alarm(ForeignBallot, from, b)
		return false
	case !a.chosen.IsZero():
		out.send(from, Chosen(a.chosen))
		return false
	case a.failed:
		out.send(from, Nack{Ballot: b, Reason: NotVoting})
		return false
	}
	return true
}

func (a *Acceptor) nack(out *Output, to ID, b Ballot, reason Reason) {
	out.send(to, Nack{b, a.state.Promised, reason})
}

func (a *Acceptor) save(out *Output) {
	if a.state.Promised.Less(a.state.Accepted.Ballot) {
		panic(fmt.Sprintf("paxos: acceptor %d: vote in %v beyond promise %v", a.cfg.ID, a.state.Accepted.Ballot, a.state.Promised))
	}
	state := a.state
	out.Save = &state
}
