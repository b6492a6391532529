package multipaxos

import "slices"

// phase1 is what a candidate has heard: promises for every slot from from on.
type phase1 struct {
	from  Index // the first slot that was not known to be chosen when it began
	over  Ballot
	until Time // when it is given up
	again Time // when to ask those who are silent again
	heard map[ID]*promiser
	// votes are the highest of those reported, by slot: rule P5.
	votes map[Index]vote
	last  Index // the greatest slot of votes
	bytes int
}

// aboveAll stands for the ballot of a chosen entry: no vote replaces it.
const aboveAll Ballot = maxBallot + 1

type promiser struct {
	next    Index // where the next piece begins; 0 if the promise is whole
	refused bool
}

type vote struct {
	ballot Ballot
	entry  Entry
}

// nextBallot is higher than every ballot of this epoch that was heard of, and
// was never used by this replica.
func (n *Node) nextBallot() Ballot {
	round := uint32(0)
	for _, b := range []Ballot{n.seen, n.promised, n.proposed, n.following} {
		if Epoch(b) == n.epoch() {
			round = max(round, Round(b))
		}
	}
	return ballot(n.epoch(), min(round, maxRound-1)+1, max(0, n.place(n.cfg.ID)))
}

// becomeCandidate begins phase 1 with a new ballot. Prepare leaves when the
// ballot is durable, so that it is never used again. over is the ballot of the
// leader that has made way for this replica, itself perhaps; else 0.
func (n *Node) becomeCandidate(over Ballot) {
	b := n.nextBallot()
	if Round(b) >= maxRound || n.installing() {
		n.becomeFollower(None)
		return
	}
	n.noteCandidacy(b, over)
	n.role = Candidate
	if n.lead == nil {
		n.leader = None
	}
	n.ballot, n.proposed = b, b
	n.see(b)
	n.resetElection()
	n.election.votes = nil
	n.phase1 = &phase1{from: n.chosen + 1, over: over, until: n.now + n.cfg.Election, again: n.now + n.patience(),
		heard: make(map[ID]*promiser), votes: make(map[Index]vote), last: n.chosen}
	for _, m := range n.config().Members {
		if m.Voter {
			n.phase1.heard[m.ID] = &promiser{next: n.phase1.from}
			n.prepare(m.ID)
		}
	}
}

func (n *Node) prepare(id ID) {
	p := n.phase1
	n.send(id, Prepare{Ballot: n.ballot, From: p.heard[id].next, Over: p.over})
}

// prepareAgain asks those who are silent (P7), and gives up in the end: the
// next attempt begins with a poll.
func (n *Node) prepareAgain() {
	p := n.phase1
	if n.now >= p.until {
		n.failCandidacy("no quorum promises")
		return
	}
	p.again = min(p.until, n.now+n.patience())
	for _, m := range n.config().Members {
		if h := p.heard[m.ID]; h != nil && h.next != 0 && m.ID != n.cfg.ID {
			h.refused = false
			n.prepare(m.ID)
		}
	}
}

// failCandidacy waits a random time before the next attempt.
func (n *Node) failCandidacy(why string) {
	if n.lead != nil {
		n.left = why
	}
	n.becomeFollower(None)
}

// onPromise takes one piece of a promise. Only promises of this very ballot
// count (P5), each acceptor's once (P4), and none after the quorum (P6).
func (n *Node) onPromise(from ID, m Promise) {
	p := n.phase1
	if n.role != Candidate || p == nil || m.Ballot != n.ballot || !n.validPromise(m) {
		return
	}
	h := p.heard[from]
	if h == nil || h.next != m.From {
		return
	}
	if m.Trimmed >= n.chosen+1 {
		// What it has trimmed cannot be told any more: learn it first.
		n.failCandidacy("slots it lacks are trimmed")
		n.pullFrom(from)
		return
	}
	for _, r := range m.Runs {
		n.takeReport(r)
	}
	if n.phase1 != p {
		return // a SEAL was among it: the epoch is over
	}
	h.next, h.refused = m.Next, false
	switch {
	case p.bytes > 2*n.cfg.MaxUnchosenBytes+n.cfg.CatchUpBytes, p.last > n.chosen+4*Index(n.cfg.Window):
		n.failCandidacy("more votes are reported than a window holds")
	case m.Next != 0:
		// A long promise takes as long as its pieces keep coming.
		n.resetElection()
		p.until = n.now + n.cfg.Election
		n.prepare(from)
	case n.quorum(func(id ID) bool { return p.heard[id] != nil && p.heard[id].next == 0 }):
		n.becomeLeader()
	}
}

// validPromise reports whether an acceptor could have sent m.
func (n *Node) validPromise(m Promise) bool {
	at := m.From
	if m.From == 0 || m.From > maxIndex || m.Chosen > maxIndex || m.Trimmed > m.Chosen || m.Next > maxIndex {
		return false
	}
	for _, r := range m.Runs {
		switch {
		case len(r.Entries) == 0 || checkEntries(r.Entries) != nil || r.Entries[0].Index < at:
			return false
		case !r.Chosen && (r.Ballot == 0 || r.Ballot >= m.Ballot || Epoch(r.Ballot) != Epoch(m.Ballot)):
			return false
		case !r.Chosen && slices.ContainsFunc(r.Entries, func(e Entry) bool { return e.Term > r.Ballot }):
			return false
		}
		at = r.Entries[len(r.Entries)-1].Index + 1
	}
	return m.Next == 0 || m.Next >= at && len(m.Runs) > 0
}

// takeReport keeps, of each slot, the vote with the highest ballot. Chosen
// entries are learned.
func (n *Node) takeReport(r Run) {
	if r.Chosen {
		n.learn(r.Entries)
		r.Ballot = aboveAll // what cannot be learned yet, for something between is not known, still stands
	}
	p := n.phase1
	if p == nil {
		return
	}
	for _, e := range r.Entries {
		old, ok := p.votes[e.Index]
		if e.Index <= n.chosen || ok && old.ballot >= r.Ballot {
			continue
		}
		p.bytes += entrySize(&e)
		if ok {
			p.bytes -= entrySize(&old.entry)
		}
		p.votes[e.Index] = vote{ballot: r.Ballot, entry: e}
		p.last = max(p.last, e.Index)
	}
}

// becomeLeader proposes again what the quorum has reported, each entry with the
// ballot it first had, fills the holes, and begins its own part of the log with
// a LEAD marker. Behind a SEAL nothing is proposed in this epoch: what was voted
// for there is void.
func (n *Node) becomeLeader() {
	n.election.heardFrom, n.election.asked = None, false
	p := n.phase1
	n.phase1 = nil
	n.role, n.leader, n.following = Leader, n.cfg.ID, n.ballot
	l := n.takeOffice()
	for i := n.chosen + 1; i <= p.last; i++ {
		v, ok := p.votes[i]
		if !ok {
			v.entry = Entry{Term: n.ballot, Index: i, Kind: EntryNoOp}
		}
		n.propose(v.entry)
		if n.sealsEpoch(v.entry) {
			l.seal = i
			return
		}
	}
	l.marker = n.propose(Entry{Term: n.ballot, Index: l.next, Kind: EntryLead})
}

// sealsEpoch reports whether e, proposed again, ends the epoch: a SEAL that no
// LEAD marker before it makes a ghost, and that holds a configuration.
func (n *Node) sealsEpoch(e Entry) bool {
	if e.Kind != EntrySeal {
		return false
	}
	if _, err := decodeSeal(e, n.epoch()); err != nil {
		return false
	}
	in := n.leadAt(n.chosen + 1)
	for i := n.chosen + 1; i < e.Index; i++ {
		if o := n.log.entry(i); o.Kind == EntryLead && o.Term >= in {
			in = o.Term
		}
	}
	return e.Term >= in
}
