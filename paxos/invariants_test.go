package paxos

import (
	"fmt"
	"math/bits"
)

// The invariants that hold in every state of a world, numbered as in the list of
// the reliability study. The first and the sixth are what Paxos promises; the
// others are why it can.

// vote is a vote ever cast: one that was answered, by the acceptors in by.
type castVote struct {
	number int // of the content
	vote   Vote
	by     uint8
}

func (w *world) votes(s *state) (votes []castVote) {
	for c := range w.contents {
		if m, ok := w.contents[c].message.(Accepted); ok && s.messages[c] != 0 {
			votes = append(votes, castVote{c, Vote(m), s.messages[c]})
		}
	}
	return votes
}

// isChosen reports whether a phase-2 quorum of the ballot's proposer has cast the vote.
func (w *world) isChosen(v castVote) bool {
	q := w.quorumsOf(v.vote.Ballot)
	return q.members(v.by).count() >= q.accept
}

func (w *world) quorumsOf(b Ballot) Quorums {
	for _, p := range w.proposers {
		if p.id == b.Node {
			return p.quorums
		}
	}
	return w.proposers[0].quorums
}

// members returns the acceptors of by, a bit for each site, that are of q.
func (q Quorums) members(by uint8) (members set) {
	for ; by != 0; by &= by - 1 {
		members |= q.bit(ID(bits.TrailingZeros8(by) + 1))
	}
	return members
}

func (w *world) Check(s state) error {
	votes := w.votes(&s)
	if err := w.checkVotes(votes); err != nil {
		return err
	}
	if err := w.checkProposers(&s, votes); err != nil || w.agreementOnly {
		return err
	}
	if err := w.checkBallots(&s, votes); err != nil {
		return err
	}
	if w.alarm != "" {
		return fmt.Errorf("alarm among honest nodes: %s", w.alarm)
	}
	return w.checkAnswers(&s)
}

// checkVotes is invariant 1, agreement, and 6 for learners. It depends on nothing
// but the votes.
func (w *world) checkVotes(votes []castVote) error {
	key := make([]byte, 0, 32)
	for _, v := range votes {
		key = append(key, byte(v.number), v.by)
	}
	err, ok := w.votesSeen[string(key)]
	if !ok {
		err = w.agreement(votes)
		if err == nil {
			err = w.checkLearner(votes)
		}
		w.votesSeen[string(key)] = err
	}
	return err
}

func (w *world) agreement(votes []castVote) error {
	var chosen Vote
	for _, v := range votes {
		if !w.isChosen(v) {
			continue
		}
		if !chosen.IsZero() && !chosen.Value.equal(v.vote.Value) {
			return fmt.Errorf("chose both %q in %v and %q in %v", chosen.Value, chosen.Ballot, v.vote.Value, v.vote.Ballot)
		}
		chosen = v.vote
	}
	return nil
}

// checkLearner hands the votes to a learner in every order, with repetitions.
func (w *world) checkLearner(votes []castVote) error {
	q := w.proposers[0].quorums
	core, err := NewLearner(LearnerConfig{ID: 1, Quorums: q}, 0)
	if err != nil {
		panic(err)
	}
	first := w.numberLearner(learnerLocal{*core})
	known := map[uint16]bool{first: true}
	for open := []uint16{first}; len(open) > 0; open = open[1:] {
		if learned := w.learnerLocals.list[open[0]].core.chosen; !w.countsAsChosen(q, votes, learned) {
			return fmt.Errorf("a learner learned %q, which is not chosen in %v", learned.Value, learned.Ballot)
		}
		for _, v := range votes {
			for by := v.by; by != 0; by &= by - 1 {
				to := w.learnerStep(open[0], v.number, bits.TrailingZeros8(by))
				if !known[to] {
					known[to] = true
					open = append(open, to)
				}
			}
		}
	}
	return nil
}

func (w *world) countsAsChosen(q Quorums, votes []castVote, learned Vote) bool {
	for _, v := range votes {
		if v.vote.same(learned) && q.members(v.by).count() >= q.accept {
			return true
		}
	}
	return learned.IsZero()
}

// checkProposers is invariant 6 for proposers: what they have learned is chosen,
// and what they have told their callers is true (P10).
func (w *world) checkProposers(s *state, votes []castVote) error {
	for p := range w.proposers {
		l := w.proposerAt(s.proposers[p])
		learned := l.core.chosen
		if !learned.IsZero() && !w.anyChosen(votes, func(v Vote) bool { return v.same(learned) }) {
			return fmt.Errorf("proposer %d learned %q, which is not chosen in %v", p, learned.Value, learned.Ballot)
		}
		if l.result == nil {
			continue
		}
		own := w.anyChosen(votes, func(v Vote) bool { return v.Value.equal(l.value) })
		if l.result.Fate == ChosenValue && !own || l.result.Fate == SurelyNot && own && !w.alsoProposed(s, p, l.value) {
			return fmt.Errorf("proposer %d told the caller of %q: %v", p, l.value, l.result.Fate)
		}
	}
	return nil
}

// alsoProposed reports whether another than p has proposed the same value: what is
// told of a value is told of this proposal of it.
func (w *world) alsoProposed(s *state, p int, v Value) bool {
	for other, at := range w.proposers {
		for life := range w.proposerAt(s.proposers[other]).life + 1 {
			if other != p && at.values[life].equal(v) {
				return true
			}
		}
	}
	return false
}

func (w *world) anyChosen(votes []castVote, matches func(Vote) bool) bool {
	for _, v := range votes {
		if matches(v.vote) && w.isChosen(v) {
			return true
		}
	}
	return false
}

// checkBallots is invariants 2 and 3: one value to a ballot, and a quorum has
// promised it and made the value safe.
func (w *world) checkBallots(s *state, votes []castVote) error {
	var sent []Vote
	for c := range w.contents {
		m, ok := w.contents[c].message.(Accept)
		if !ok || s.messages[c] == 0 {
			continue
		}
		for _, other := range sent {
			if other.Ballot == m.Ballot && !other.Value.equal(m.Value) {
				return fmt.Errorf("both %q and %q under ballot %v", other.Value, m.Value, m.Ballot)
			}
		}
		sent = append(sent, Vote(m))
		if !w.isSafe(s, Vote(m)) {
			return fmt.Errorf("no quorum has promised ballot %v and made %q safe", m.Ballot, m.Value)
		}
	}
	for _, v := range votes {
		if !w.anyOf(sent, v.vote) {
			return fmt.Errorf("a vote for %q in %v that nobody asked for", v.vote.Value, v.vote.Ballot)
		}
	}
	return nil
}

func (w *world) anyOf(list []Vote, v Vote) bool {
	for _, other := range list {
		if other.same(v) {
			return true
		}
	}
	return false
}

// isSafe reports whether some quorum of promises for the ballot reports no vote, or
// this value in the highest one.
func (w *world) isSafe(s *state, v Vote) bool {
	highest := []Ballot{{}} // candidates for the highest vote that the quorum reports
	for c := range w.contents {
		if m, ok := w.contents[c].message.(Promise); ok && m.Ballot == v.Ballot && s.messages[c] != 0 &&
			m.Accepted.Less(v.Ballot) && m.Value.equal(v.Value) {
			highest = append(highest, m.Accepted)
		}
	}
	for _, h := range highest {
		var by uint8
		for c := range w.contents {
			if m, ok := w.contents[c].message.(Promise); ok && m.Ballot == v.Ballot && !h.Less(m.Accepted) {
				by |= s.messages[c]
			}
		}
		if q := w.quorumsOf(v.Ballot); q.members(by).count() >= q.prepare {
			return true
		}
	}
	return false
}

// checkAnswers is invariants 4 and 5: a promise is never less than a vote, and no
// answer speaks of what its acceptor's disk does not hold.
func (w *world) checkAnswers(s *state) error {
	for a := range w.acceptors {
		l := w.acceptorAt(s.acceptors[a])
		if l.disk.Promised.Less(l.disk.Accepted.Ballot) {
			return fmt.Errorf("acceptor %d has voted in %v and promised %v", a, l.disk.Accepted.Ballot, l.disk.Promised)
		}
		for c := range w.contents {
			if w.contents[c].reply && l.alive && s.messages[c]&(1<<a) != 0 && !w.stands(w.contents[c].message, l.disk) {
				return fmt.Errorf("acceptor %d said %s, and its disk holds promise %v and vote %v", a,
					w.contents[c].text, l.disk.Promised, l.disk.Accepted.Ballot)
			}
		}
	}
	return nil
}

func (w *world) stands(m Message, disk AcceptorState) bool {
	switch m := m.(type) {
	case Promise:
		return !disk.Promised.Less(m.Ballot) && !disk.Accepted.Ballot.Less(m.Accepted)
	case Accepted:
		return !disk.Accepted.Ballot.Less(m.Ballot) && !disk.Promised.Less(m.Ballot)
	case Nack:
		return !disk.Promised.Less(m.Promised)
	default:
		return true
	}
}

// checkStep is invariant 4: promise and vote never decrease, also over a restart.
func (w *world) checkStep(from, to state) error {
	for a := range w.acceptors {
		before, after := w.acceptorAt(from.acceptors[a]), w.acceptorAt(to.acceptors[a])
		if after.alive && (after.disk.Promised.Less(before.disk.Promised) || after.disk.Accepted.Ballot.Less(before.disk.Accepted.Ballot)) {
			return fmt.Errorf("acceptor %d went back from promise %v and vote %v to %v and %v", a, before.disk.Promised,
				before.disk.Accepted.Ballot, after.disk.Promised, after.disk.Accepted.Ballot)
		}
	}
	return nil
}
