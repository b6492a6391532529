package paxos

import "fmt"

// attempt begins a new attempt, or hands the caller's value to the distinguished
// proposer.
func (p *Proposer) attempt(out *Output, now Time) {
	other := p.distinguished != None && p.distinguished != p.cfg.ID
	if other && !p.impatient && p.call == proposeCall && len(p.handed) == 0 {
		p.patience = now + p.cfg.HoldBack
		p.hand(out, now)
		return
	}
	p.prepare(out, now)
}

// hand forwards the caller's value, once more if it was done before (P8).
func (p *Proposer) hand(out *Output, now Time) {
	p.phase, p.sent = forwarding, true
	p.deadline = min(now+p.cfg.Retransmit, p.patience)
	out.send(p.distinguished, Propose{p.own})
}

// prepare is phase 1a with a ballot that was never used (P1): beyond all rounds
// that this proposer has used, in this life or before, and all that it has seen.
// The round is reserved on disk before Prepare leaves (P2).
func (p *Proposer) prepare(out *Output, now Time) {
	round := max(p.used, p.seen) + 1
	if round > MaxRound {
		p.end(out, p.fate())
		p.rest()
		return
	}
	p.used = round
	if round > p.reserved {
		p.reserved = min(round+p.cfg.ReserveRounds-1, MaxRound)
		out.SaveRound = p.reserved
	}
	p.phase, p.deadline = preparing, now+p.cfg.Retransmit
	p.ballot = Ballot{round, p.cfg.ID}
	p.answered, p.refused, p.found, p.value, p.fresh = 0, 0, Vote{}, nil, true
	p.sendToSilent(out)
}

// onPromise is the end of phase 1, if it completes a quorum. A promise for
// another ballot, or one that comes after Accept, changes nothing (P5, P6).
func (p *Proposer) onPromise(out *Output, now Time, from ID, m Promise) {
	acceptor := p.cfg.Quorums.bit(from)
	if p.phase != preparing || m.Ballot != p.ballot || acceptor == 0 || p.answered&acceptor != 0 {
		return
	}
	vote := Vote{m.Accepted, m.Value}
	switch {
	case vote.IsZero() && len(m.Value) == 0:
	case !m.Accepted.Less(p.ballot):
		out.alarm(ImpossibleVote, from, m.Ballot)
		return
	case !vote.valid(p.cfg.MaxValueBytes):
		return
	case m.Accepted == p.found.Ballot && !vote.same(p.found):
		out.alarm(TwoValues, from, m.Accepted)
		return
	}
	p.answered |= acceptor
	if p.found.Ballot.Less(vote.Ballot) {
		p.found = vote
	}
	if p.answered.count() >= p.cfg.Quorums.prepare {
		p.accept(out, now)
	}
}

// accept is phase 2a: the value of the highest vote that the quorum has reported,
// or the proposer's own if it has reported none (P5). It is the only value this
// ballot ever has (P3).
func (p *Proposer) accept(out *Output, now Time) {
	value := p.found.Value
	if p.found.IsZero() {
		value = p.wish()
	}
	switch {
	case len(value) > 0:
	case p.call == finishCall && !p.fresh:
		p.prepare(out, now) // the promises may be older than the call
		return
	default:
		p.end(out, Undecided)
		p.rest()
		return
	}
	p.phase, p.deadline, p.value = accepting, now+p.cfg.Retransmit, value
	p.answered, p.refused = 0, 0
	p.sent = p.sent || p.call == proposeCall && value.equal(p.own)
	p.sendToSilent(out)
}

// wish returns the value to propose where the decree is free, nil if there is none.
func (p *Proposer) wish() Value {
	if p.call == proposeCall {
		return p.own
	}
	return p.handed
}

// onAccepted counts distinct acceptors that have voted in this ballot (P4, L1).
func (p *Proposer) onAccepted(out *Output, from ID, m Accepted) {
	acceptor := p.cfg.Quorums.bit(from)
	if p.phase != accepting || m.Ballot != p.ballot || acceptor == 0 {
		return
	}
	if !m.Value.equal(p.value) {
		out.alarm(TwoValues, from, m.Ballot)
		return
	}
	p.answered |= acceptor
	if p.answered.count() >= p.cfg.Quorums.accept {
		p.tellAcceptors(out)
		p.learn(out, Vote{p.ballot, p.value})
	}
}

// tellAcceptors lets every acceptor answer for the value. Who has voted in this
// ballot has the value already.
func (p *Proposer) tellAcceptors(out *Output) {
	for i, id := range p.cfg.Quorums.acceptors {
		m := Chosen{Ballot: p.ballot}
		if p.answered&(1<<i) == 0 {
			m.Value = p.value
		}
		out.send(id, m)
	}
}

// onChosen ends all attempts.
func (p *Proposer) onChosen(out *Output, from ID, m Chosen) {
	vote, mine := Vote(m), p.phase == accepting && m.Ballot == p.ballot
	if mine && len(m.Value) == 0 {
		vote.Value = p.value
	}
	switch {
	case len(vote.Value) == 0 && p.phase != idle && m.Ballot.valid():
		out.send(from, Ask{})
	case !vote.valid(p.cfg.MaxValueBytes):
	case !p.chosen.IsZero() && !p.chosen.Value.equal(vote.Value), mine && !vote.Value.equal(p.value):
		out.alarm(TwoChosen, from, m.Ballot)
	case p.chosen.IsZero():
		p.learn(out, vote)
	}
}

// learn ends the caller's wait and everybody else's.
func (p *Proposer) learn(out *Output, vote Vote) {
	p.chosen = vote
	out.Chosen = &vote
	for _, id := range p.asking {
		out.send(id, Chosen(vote))
	}
	p.end(out, p.fate())
	p.rest()
	p.asking, p.handed = nil, nil
}

// onNack counts who can no longer take part in this ballot. It is given up when
// those that are left are no quorum (P7, P8); who has answered before stays counted.
func (p *Proposer) onNack(now Time, from ID, m Nack) {
	acceptor := p.cfg.Quorums.bit(from)
	if p.phase != preparing && p.phase != accepting || m.Ballot != p.ballot || acceptor == 0 {
		return
	}
	if m.Promised.valid() {
		p.seen = max(p.seen, m.Promised.Round)
	}
	p.refused |= acceptor &^ p.answered
	needed := p.cfg.Quorums.prepare
	if p.phase == accepting {
		needed = p.cfg.Quorums.accept
	}
	if (p.cfg.Quorums.all() &^ p.refused).count() < needed {
		p.retreat(now)
	}
}

// retreat waits at random before the next attempt, so that of two proposers that
// outbid each other one gets through: full jitter, with the span doubled from
// attempt to attempt (P7). Nobody but learners waiting, it leaves the decree to
// whoever has outbid it.
func (p *Proposer) retreat(now Time) {
	if p.call == noCall && len(p.handed) == 0 {
		p.rest()
		return
	}
	p.outbid++
	span := p.cfg.MaxBackoff
	if p.outbid < 32 && p.cfg.Backoff <= span>>p.outbid {
		span = p.cfg.Backoff << p.outbid
	}
	p.phase = backingOff
	p.deadline = now + Time(p.cfg.Rand.Int64N(int64(span)))
}

// remind asks the silent acceptors again, in the same ballot (P7). If some refuse
// and the rest does not answer, another ballot may get a quorum where this cannot.
func (p *Proposer) remind(out *Output, now Time) {
	if p.refused != 0 {
		p.retreat(now)
		return
	}
	p.deadline = now + p.cfg.Retransmit
	p.sendToSilent(out)
}

// sendToSilent sends the request of this phase to whom has not answered it.
func (p *Proposer) sendToSilent(out *Output) {
	if p.phase == accepting && len(p.value) == 0 {
		panic(fmt.Sprintf("paxos: proposer %d: no value for ballot %v", p.cfg.ID, p.ballot))
	}
	for i, id := range p.cfg.Quorums.acceptors {
		switch {
		case p.answered&(1<<i) != 0:
		case p.phase == preparing:
			out.send(id, Prepare{p.ballot})
		case p.phase == accepting:
			out.send(id, Accept{p.ballot, p.value})
		}
	}
}

// fate is what can be told to the caller now (P10).
func (p *Proposer) fate() Fate {
	switch {
	case p.call == finishCall && !p.chosen.IsZero(), p.chosen.Value.equal(p.own) && !p.chosen.IsZero():
		return ChosenValue
	case p.call == proposeCall && (!p.chosen.IsZero() || !p.sent):
		return SurelyNot
	default:
		return Unknown
	}
}

// end tells the caller, if there is one.
func (p *Proposer) end(out *Output, fate Fate) {
	if p.call != noCall {
		out.Result = &Result{fate, p.chosen.Value}
	}
	p.call, p.own, p.sent = noCall, nil, false
}

// rest ends the attempt. What answers it from now on is ignored.
func (p *Proposer) rest() {
	p.phase, p.deadline, p.outbid = idle, never, 0
}
