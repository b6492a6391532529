package raft

import "slices"

// progress is what a leader knows of one other replica.
type progress struct {
	id    ID
	match Index // matchIndex: its log is durable and equal to ours up to here
	next  Index // nextIndex: the next entry to send
	state PeerState

	// waiting is set while an answer to a probe is awaited.
	waiting bool
	// flights are the AppendEntries under way while replicating.
	flights  []flight
	inflight int // their bytes
	// progressAt is when something was last sent into an empty window or
	// answered; patience is how long to wait from then before probing anew.
	progressAt Time
	patience   Time

	told    Index  // the commit index it was last told
	heard   Time   // when its last answer in this term came
	sent    uint64 // one more than the newest Heartbeat.Sent it has answered; 0 is none
	round   uint64 // the newest read round it has confirmed
	stalled bool   // its disk does not answer

	// lost is set when it has lost entries that it had acknowledged: it counts
	// for nothing any more in this term.
	lost bool

	// removed is set when it has left the configuration; it is served until
	// then, so that it learns of that.
	removed bool
	until   Time

	install install
}

// flight is one AppendEntries that is not yet answered.
type flight struct {
	last  Index
	bytes int
}

// probe goes back to one AppendEntries at a time from the last entry known to
// agree.
func (p *progress) probe(next Index) {
	p.state = Probe
	p.next = next
	p.waiting = false
	p.clearFlights()
}

func (p *progress) clearFlights() {
	p.flights, p.inflight = p.flights[:0], 0
}

// acknowledge takes over that the follower's log is durable up to match.
func (p *progress) acknowledge(match Index) {
	p.match = max(p.match, match)
	p.next = max(p.next, p.match+1)
	done := 0
	for done < len(p.flights) && p.flights[done].last <= match {
		p.inflight -= p.flights[done].bytes
		done++
	}
	p.flights = slices.Delete(p.flights, 0, done)
}

// busy reports whether something is under way that may have been lost.
func (p *progress) busy() bool {
	switch p.state {
	case Probe:
		return p.waiting
	case Replicate:
		return len(p.flights) > 0
	default:
		return true
	}
}

// active reports whether the follower has answered within an Election.
func (n *Node) active(p *progress) bool {
	return n.now-p.heard < n.cfg.Election && !p.lost
}
