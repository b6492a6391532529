package paxos

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
)

// script turns bytes into inputs of the roles: whatever a peer or a host could do.
type script struct{ rest []byte }

func (s *script) byte() byte {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return b
}

// number is mostly small, and sometimes as large as it gets.
func (s *script) number() uint64 {
	switch b := s.byte(); {
	case b < 250:
		return uint64(b % 8)
	case b == 250:
		return math.MaxUint64
	case b == 251:
		return MaxRound
	case b == 252:
		return MaxRound - 1
	default:
		var eight [8]byte
		copy(eight[:], s.rest)
		s.rest = s.rest[min(8, len(s.rest)):]
		return binary.LittleEndian.Uint64(eight[:])
	}
}

func (s *script) ballot() Ballot { return Ballot{s.number(), ID(s.number())} }

// value is none, one that is too large, or one of a few.
func (s *script) value() Value {
	switch b := s.byte() % 8; b {
	case 0:
		return nil
	case 1:
		return Value("too large")
	default:
		return Value{'a' + b%3}
	}
}

func (s *script) message() Message {
	switch s.byte() % 10 {
	case 0:
		return Prepare{s.ballot()}
	case 1:
		return Promise{s.ballot(), s.ballot(), s.value()}
	case 2:
		return Promise{Ballot: s.ballot()}
	case 3:
		return Accept{s.ballot(), s.value()}
	case 4:
		return Accepted{s.ballot(), s.value()}
	case 5:
		return Nack{s.ballot(), s.ballot(), Reason(s.byte())}
	case 6:
		return Chosen{s.ballot(), s.value()}
	case 7:
		return Ask{}
	case 8:
		return Finish{}
	default:
		return Propose{s.value()}
	}
}

// fuzzNode is one node in all roles, and what it has done so far.
type fuzzNode struct {
	t        testing.TB
	now      Time
	round    uint64
	acceptor *Acceptor
	proposer *Proposer
	learner  *Learner
	log      []byte
}

func (n *fuzzNode) start(state AcceptorState) {
	var errs [3]error
	q, ids := mustMajority(1, 2, 3), []ID{1, 2}
	n.acceptor, errs[0] = NewAcceptor(AcceptorConfig{ID: 1, Scheme: SomeLearners, Learners: ids, Distinguished: ids, MaxValueBytes: 4}, state)
	n.proposer, errs[1] = NewProposer(ProposerConfig{ID: 1, Quorums: q, Round: n.round, ReserveRounds: 3, MaxValueBytes: 4})
	n.learner, errs[2] = NewLearner(LearnerConfig{ID: 1, Quorums: q, Scheme: SomeLearners, Learners: ids, Distinguished: ids,
		Proposers: ids, MaxValueBytes: 4}, n.now)
	for _, err := range errs {
		if err != nil {
			n.t.Fatalf("does not start again from its own state: %v", err)
		}
	}
}

func (n *fuzzNode) play(s *script) {
	before, b := n.acceptor.State(), s.byte()
	switch b % 12 {
	case 0:
		n.now += Time(s.byte()) * 10 * millisecond
		n.take(n.proposer.Tick(n.now))
		n.take(n.learner.Tick(n.now))
	case 1:
		out, err := n.proposer.Propose(n.now, s.value())
		n.log = fmt.Appendln(n.log, err)
		n.take(out)
	case 2:
		out, _ := n.proposer.Finish(n.now)
		n.take(out)
	case 3:
		n.take(n.proposer.GiveUp(n.now))
	case 4:
		n.take(n.proposer.Distinguish(n.now, ID(s.number())))
	case 5:
		if s.byte() == 0 {
			n.acceptor.SaveFailed()
		}
	case 6:
		n.start(n.acceptor.State())
	default:
		from, m := ID(s.number()), s.message()
		n.take(n.acceptor.Step(from, m))
		n.take(n.proposer.Step(n.now, from, m))
		n.take(n.learner.Step(from, m))
	}
	if after := n.acceptor.State(); after.Promised.Less(before.Promised) || after.Accepted.Ballot.Less(before.Accepted.Ballot) ||
		after.Promised.Less(after.Accepted.Ballot) || len(after.Accepted.Value) > 4 {
		n.t.Errorf("from %+v to %+v", before, after)
	}
}

// take looks at what no message from outside may bring about.
func (n *fuzzNode) take(out Output) {
	n.log = fmt.Appendf(n.log, "%+v %v %v %+v\n", out.Send, out.Save, out.Result, out.Alarms)
	n.round = max(n.round, out.SaveRound)
	for _, e := range out.Send {
		if m, ok := e.Message.(Prepare); ok && (m.Ballot.Round > n.round || m.Ballot.Node != 1) {
			n.t.Errorf("Prepare %v, and round %d is saved", m.Ballot, n.round)
		}
	}
}

func playScript(t testing.TB, data []byte) string {
	n := &fuzzNode{t: t}
	n.start(AcceptorState{})
	for s := (&script{data}); len(s.rest) > 0; {
		n.play(s)
	}
	return string(n.log)
}

// FuzzRoles feeds a node with whatever peers could send and a host could do, in any
// order: it never panics, keeps its promises, and does the same twice.
func FuzzRoles(f *testing.F) {
	f.Add([]byte{1, 2, 7, 1, 2, 1, 1, 7, 2, 2, 1, 1, 7, 1, 4, 1, 1, 2, 7, 2, 4, 1, 1, 2})
	f.Add([]byte{7, 2, 0, 1, 2, 7, 2, 3, 1, 2, 2, 6, 7, 3, 0, 251, 3, 0, 255, 2, 0, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		if first, second := playScript(t, data), playScript(t, data); first != second {
			t.Errorf("two runs of the same inputs differ:\n%s\n%s", first, second)
		}
	})
}
