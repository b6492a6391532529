package multipaxos

import (
	"math/bits"
	"slices"
)

// Propose gives commands the next slots, all or none, and returns the first;
// the others follow on it. Their term is the present ballot, Term(). A command
// is chosen when Apply holds its slot with this term, and surely not when it
// holds the slot with another. The caller may not change commands or their
// bytes afterwards.
//
// It returns ErrNotLeader, ErrSealing while the log changes its epoch,
// ErrTransferring while leadership is handed over, and ErrOverloaded when the
// window is full.
func (n *Node) Propose(commands [][]byte) (first Index, err error) {
	l := n.lead
	switch {
	case l == nil:
		return 0, ErrNotLeader
	case n.role != Leader || l.seal != 0:
		return 0, ErrSealing
	case l.transfer != nil:
		return 0, ErrTransferring
	}
	size := len(commands) * slotOverhead
	for _, c := range commands {
		size += len(c)
	}
	open := int(l.next - n.chosen - 1)
	limit := n.cfg.MaxUnchosenBytes
	if l.uncommitted > 0 && (l.uncommitted+size > limit || open+len(commands) > n.cfg.Window) || n.unapplied > limit {
		return 0, ErrOverloaded
	}
	first = l.next
	for _, c := range commands {
		n.propose(Entry{Term: n.ballot, Index: l.next, Kind: EntryCommand, Data: c})
	}
	return first, nil
}

// propose is phase 2a for the next slot: one entry for this ballot, ever (P3).
// Our own acceptor votes like any other, and is counted when that is durable.
func (n *Node) propose(e Entry) Index {
	l := n.lead
	if e.Index != l.next {
		panicf("slot %d proposed, the next is %d", e.Index, l.next)
	}
	l.next++
	n.log.put(e, n.ballot)
	n.saves.mark(e.Index, n.ballot)
	n.acknowledge(n.cfg.ID, n.ballot, e.Index)
	l.uncommitted += entrySize(&e)
	return e.Index
}

// progress is what a leader knows of one other replica.
type progress struct {
	id    ID
	place int   // in the configuration
	next  Index // the next slot to send
	from  Index // it was sent every slot from here to next; what it lacks before, it has to learn

	// flights are the Accepts under way. progressAt is when something was last
	// sent into an empty window or answered; patience is how long to wait from
	// then before sending again.
	flights    []flight
	inflight   int // their bytes
	progressAt Time
	patience   Time
	silent     bool // its connection has closed: wait for its next answer

	acked    Index  // the greatest slot in which it has acknowledged a vote for this ballot
	told     Index  // the chosen prefix it was last told
	chosen   Index  // the chosen prefix it has
	snapshot Index  // the newest snapshot it has
	heard    Time   // when its last answer to this ballot came
	sent     uint64 // one more than the newest Heartbeat.Sent it has answered; 0 is none
	round    uint64 // the newest read round it has confirmed
	stalled  bool   // its disk does not answer
	reaches  bool   // it should rather lead, and reaches a quorum: see preference.go
	refuses  bool   // it has promised more
	lost     bool   // it has lost what it had acknowledged: it counts for nothing any more
}

type flight struct {
	first, last Index
	bytes       int
	at          Time // when it was sent
	passed      bool // one that was sent later is acknowledged
}

func (n *Node) active(p *progress) bool { return !p.lost && n.now-p.heard < n.cfg.Election }

// replicate packs what every replica's window has room for. It runs once a
// batch, so that all that was proposed in the batch shares Accepts.
func (n *Node) replicate() {
	var shared row
	for _, p := range n.lead.peers {
		if !p.lost && !p.silent && n.active(p) {
			n.sendWindow(p, &shared)
		}
	}
}

// row is the entries that were sent last: mostly the next one is sent the same.
type row struct {
	first, last Index
	entries     []Entry
}

func (r *row) of(l *log, first, last Index) []Entry {
	if r.entries == nil || r.first != first || r.last != last {
		*r = row{first, last, l.slice(first, last)}
	}
	return r.entries
}

// sendWindow sends slots ahead of their answers, until too much is under way
// that is not yet durable: deep batches with a shallow pipeline cost an acceptor
// the fewest flushes. Slots that are trimmed by now it has to learn.
func (n *Node) sendWindow(p *progress, shared *row) {
	l := n.lead
	if p.next <= n.log.prev {
		p.next = n.chosen + 1
		p.from = p.next
	}
	for p.next < l.next && len(p.flights) < n.cfg.MaxInflightFrames && p.inflight < n.cfg.MaxInflightBytes {
		if len(p.flights) == 0 {
			p.progressAt = n.now
		} else if !n.log.fills(p.next, l.next-1, n.cfg.FullFrameBytes) {
			return // gather more
		}
		last, size := n.log.upTo(p.next, l.next-1, n.cfg.MaxAcceptBytes)
		n.sendNow(p.id, Accept{Ballot: n.ballot, Start: l.start, Chosen: n.chosen, Entries: shared.of(&n.log, p.next, last)})
		p.told = max(p.told, n.chosen)
		p.flights = append(p.flights, flight{first: p.next, last: last, bytes: size, at: n.now})
		p.inflight += size
		p.next = last + 1
	}
}

// retry sends again what was not acknowledged for long. What is chosen by now
// the replica learns by itself: no acceptor is asked to vote for that.
func (n *Node) retry(p *progress) {
	if len(p.flights) == 0 || p.stalled || n.now-p.progressAt < p.patience && !n.leftBehind(p) {
		return
	}
	p.patience = min(2*p.patience, 8*n.patience())
	n.rewind(p)
}

// leftBehind reports whether an Accept was lost among others that went through: as
// long as those are acknowledged it would never be too late.
func (n *Node) leftBehind(p *progress) bool {
	f := &p.flights[0]
	return f.passed && n.now-f.at >= p.patience
}

func (n *Node) rewind(p *progress) {
	p.next = p.match() + 1
	if p.next <= n.chosen {
		p.next = n.chosen + 1
		p.from = p.next
	}
	p.flights, p.inflight = nil, 0
	p.progressAt = n.now
}

// lost takes note that messages to a replica are lost with its connection.
func (n *Node) lost(id ID) {
	l := n.lead
	if p := l.peer(id); p != nil {
		p.patience = n.patience()
		n.rewind(p)
		p.silent = true
	}
	if t := l.transfer; t != nil && t.to == id {
		n.transferFailed()
	}
}

// onAccepted counts votes: a slot is chosen when a quorum of distinct acceptors
// of this epoch has voted for it with this ballot (L1, P4).
func (n *Node) onAccepted(from ID, m Accepted) {
	l := n.lead
	if n.role != Leader || m.Ballot != n.ballot || m.First < l.start || m.Last >= l.next || m.First > m.Last {
		return
	}
	place := n.place(from)
	if place < 0 {
		return
	}
	if p := l.peer(from); p != nil {
		if p.lost {
			return
		}
		p.heard, p.silent = n.now, false
		p.acknowledged(m, n.now, n.patience())
	}
	for i := max(m.First, n.chosen+1); i <= m.Last; i++ {
		s := n.log.at(i)
		s.acks |= 1 << place
		s.chosen = s.chosen || bits.OnesCount64(s.acks&l.acceptors) >= l.majority
	}
	n.advance()
}

// acknowledged ends the flights that m answers.
func (p *progress) acknowledged(m Accepted, now, patience Time) {
	p.acked = max(p.acked, m.Last)
	p.flights = slices.DeleteFunc(p.flights, func(f flight) bool {
		if f.first < m.First || f.last > m.Last {
			return false
		}
		p.inflight -= f.bytes
		p.progressAt, p.patience = now, patience
		return true
	})
	for i := range p.flights {
		f := &p.flights[i]
		f.passed = f.passed || f.last < m.First
	}
}

// match is the slot up to which p has acknowledged what it was sent, from p.from on.
func (p *progress) match() Index {
	if len(p.flights) > 0 {
		return p.flights[0].first - 1
	}
	return p.next - 1
}

// holds is the slot up to which p is known to have everything.
func (p *progress) holds() Index {
	if p.chosen+1 < p.from {
		return p.chosen
	}
	return p.match()
}

// discount makes p count for nothing: not for votes, reads or leases.
func (p *progress) discount() {
	p.lost = true
	p.sent, p.round = 0, 0
	p.flights, p.inflight = nil, 0
}
