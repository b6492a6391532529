package flight

import (
	"fmt"
	"math/rand/v2"

	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/paxos"
)

// begin makes the core that an event tells of.
func begin(e decree.Event) (func(decree.Event) (paxos.Output, error), error) {
	if e.Start == nil {
		return nil, fmt.Errorf("flight: nothing to begin from")
	}
	switch e.Role {
	case decree.Acceptor:
		return beginAcceptor(e.Node, *e.Start)
	case decree.Proposer:
		return beginProposer(e.Node, *e.Start)
	case decree.Learner:
		return beginLearner(e.Node, *e.Start, e.At)
	}
	return nil, fmt.Errorf("flight: no role %q", e.Role)
}

func beginAcceptor(node paxos.ID, s decree.Start) (func(decree.Event) (paxos.Output, error), error) {
	core, err := paxos.NewAcceptor(paxos.AcceptorConfig{ID: node, Scheme: s.Scheme, Learners: s.Learners,
		Distinguished: s.Distinguished, MaxValueBytes: s.MaxValueBytes}, paxos.AcceptorState{Promised: s.Promised, Accepted: s.Vote})
	return func(e decree.Event) (paxos.Output, error) {
		m, err := message(e)
		if err != nil {
			return paxos.Output{}, err
		}
		return core.Step(e.From, m), nil
	}, err
}

func beginLearner(node paxos.ID, s decree.Start, now paxos.Time) (func(decree.Event) (paxos.Output, error), error) {
	quorums, err := paxos.Majority(s.Acceptors...)
	if err != nil {
		return nil, err
	}
	core, err := paxos.NewLearner(paxos.LearnerConfig{ID: node, Quorums: quorums, Scheme: s.Scheme, Learners: s.Learners,
		Distinguished: s.Distinguished, Proposers: s.Proposers, Timeout: s.Wait, MaxTimeout: s.WaitMost,
		MaxValueBytes: s.MaxValueBytes, Chosen: s.Vote}, now)
	return func(e decree.Event) (paxos.Output, error) {
		if e.Kind == "tick" {
			return core.Tick(e.At), nil
		}
		m, err := message(e)
		if err != nil {
			return paxos.Output{}, err
		}
		return core.Step(e.From, m), nil
	}, err
}

func beginProposer(node paxos.ID, s decree.Start) (func(decree.Event) (paxos.Output, error), error) {
	quorums, err := paxos.Majority(s.Acceptors...)
	if err != nil {
		return nil, err
	}
	core, err := paxos.NewProposer(paxos.ProposerConfig{ID: node, Quorums: quorums, Round: s.Round, Retransmit: s.Wait,
		HoldBack: s.WaitMost, MaxValueBytes: s.MaxValueBytes, Rand: rand.New(noWait{})})
	return func(e decree.Event) (paxos.Output, error) {
		switch {
		case e.Received:
		case e.Kind == "wanted" && len(e.Value) == 0:
			return core.Finish(e.At)
		case e.Kind == "wanted":
			return core.Propose(e.At, e.Value)
		case e.Kind == "gave up":
			return core.GiveUp(e.At), nil
		case e.Kind == "distinguished":
			return core.Distinguish(e.At, e.To), nil
		case e.Kind == "tick":
			return core.Tick(e.At), nil
		}
		m, err := message(e)
		if err != nil {
			return paxos.Output{}, err
		}
		return core.Step(e.At, e.From, m), nil
	}, err
}

// noWait is a source of chance by which every random wait is about nothing: the
// recorded tick ends it.
type noWait struct{}

// Uint64 is the least that rand does not throw away as too small to be even.
func (noWait) Uint64() uint64 { return 1<<32 | 1 }

// message is what an event tells a core.
func message(e decree.Event) (paxos.Message, error) {
	switch value := paxos.Value(e.Value); e.Kind {
	case "prepare":
		return paxos.Prepare{Ballot: e.Ballot}, nil
	case "promise":
		return paxos.Promise{Ballot: e.Ballot, Accepted: e.Other, Value: value}, nil
	case "accept":
		return paxos.Accept{Ballot: e.Ballot, Value: value}, nil
	case "accepted":
		return paxos.Accepted{Ballot: e.Ballot, Value: value}, nil
	case "nack":
		return paxos.Nack{Ballot: e.Ballot, Promised: e.Other, Reason: reason(e.Note)}, nil
	case "chosen":
		return paxos.Chosen{Ballot: e.Ballot, Value: value}, nil
	case "ask":
		return paxos.Ask{}, nil
	case "finish":
		return paxos.Finish{}, nil
	case "propose":
		return paxos.Propose{Value: value}, nil
	}
	return nil, fmt.Errorf("flight: no core takes %q", e.Kind)
}

func reason(note string) paxos.Reason {
	for r := paxos.Outbid; r <= paxos.Refused; r++ {
		if r.String() == note {
			return r
		}
	}
	return paxos.Outbid
}
