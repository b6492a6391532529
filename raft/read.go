package raft

import "slices"

// ReadIndex asks for an index at which a linearizable read may be answered. It
// ends in Output.Reads with the same ref: with the index, with ErrNotLeader if
// leadership is lost meanwhile, or with ErrUnavailable if a follower's leader
// does not answer within an Election. Followers ask their leader. It returns
// ErrNotLeader if no leader is known and ErrOverloaded beyond MaxReads.
func (n *Node) ReadIndex(ref uint64) error {
	if n.lead != nil {
		if n.lead.reads.count() >= n.cfg.MaxReads {
			return ErrOverloaded
		}
		n.lead.reads.waiting = append(n.lead.reads.waiting, read{from: n.cfg.ID, ref: ref})
		return nil
	}
	f := &n.forwards
	switch {
	case n.leader == None:
		return ErrNotLeader
	case len(f.waiting)+len(f.asked) >= n.cfg.MaxReads:
		return ErrOverloaded
	}
	f.waiting = append(f.waiting, forwarded{ref: ref, until: n.now + n.cfg.Election})
	f.at = max(f.at, n.now) // it was not due before it came
	return nil
}

// reads are the ReadIndex calls a leader has to answer (dissertation 6.4): all
// that came while one round was under way share the next one.
type reads struct {
	waiting []read // for the next round
	asked   []read // in the round under way
	// round counts the rounds of this leadership. Heartbeats carry it, and it
	// is never used twice, so an answer confirms exactly the rounds that had
	// begun when its heartbeat was sent.
	round uint64
	open  bool  // a round is under way
	index Index // the commit index when it began
}

// read is one call: our own, or one that a follower forwarded.
type read struct {
	from ID
	ref  uint64
}

func (r *reads) count() int { return len(r.waiting) + len(r.asked) }

// startRound begins a round for the reads that wait, unless one is under way.
// Before an entry of its own term is committed a leader does not know which
// entries are (section 8).
func (n *Node) startRound() {
	r := &n.lead.reads
	if r.open || len(r.waiting) == 0 || n.commit < n.lead.start {
		return
	}
	r.open, r.index = true, n.commit
	r.round++
	r.waiting, r.asked = r.asked[:0], r.waiting
	n.checkRound() // the only voter is a quorum
	if r.open {
		n.broadcastHeartbeat()
	}
}

// checkRound answers the reads of the round once a quorum has confirmed that
// this leader still led after the round began.
func (n *Node) checkRound() {
	l := n.lead
	r := &l.reads
	if !r.open {
		return
	}
	confirmed := n.config().Quorum(func(id ID) uint64 {
		if id == n.cfg.ID {
			return r.round
		}
		if p := l.peer(id); p != nil {
			return p.round
		}
		return 0
	})
	if confirmed < r.round {
		return
	}
	r.open = false
	for _, a := range r.asked {
		if a.from == n.cfg.ID {
			n.out.Reads = append(n.out.Reads, Read{Ref: a.ref, Index: r.index})
		} else {
			n.sendNow(a.from, ReadIndexReply{Term: n.term, Ref: a.ref, Index: r.index})
		}
	}
	r.asked = r.asked[:0]
}

// failReads ends every read that waits when leadership is lost.
func (n *Node) failReads() {
	r := &n.lead.reads
	for _, a := range slices.Concat(r.asked, r.waiting) {
		if a.from == n.cfg.ID {
			n.out.Reads = append(n.out.Reads, Read{Ref: a.ref, Err: ErrNotLeader})
		} else {
			n.sendNow(a.from, ReadIndexReply{Term: n.term, Ref: a.ref, Refused: true})
		}
	}
}

// onReadIndex takes a follower's read like one of our own.
func (n *Node) onReadIndex(from ID, m ReadIndex) {
	if n.lead == nil || n.lead.reads.count() >= n.cfg.MaxReads {
		n.sendNow(from, ReadIndexReply{Term: n.term, Ref: m.Ref, Refused: true})
		return
	}
	n.lead.reads.waiting = append(n.lead.reads.waiting, read{from: from, ref: m.Ref})
}

// forwards are the reads of a follower. One ReadIndex is under way at a time
// and stands for all that waited when it left.
type forwards struct {
	waiting []forwarded
	asked   []forwarded
	to      ID     // the leader that was asked
	ref     uint64 // the number of the question; 0 if none is under way
	last    uint64 // the last number used
	at      Time   // when to ask again
}

type forwarded struct {
	ref   uint64
	until Time
}

// take returns all reads as reads of the leader self, which this replica has
// become.
func (f *forwards) take(self ID) (all []read) {
	for _, r := range slices.Concat(f.asked, f.waiting) {
		all = append(all, read{from: self, ref: r.ref})
	}
	*f = forwards{last: f.last}
	return all
}

// forwardDeadline is when forward has something to do.
func (n *Node) forwardDeadline() Time {
	f := &n.forwards
	at := never
	for _, list := range [][]forwarded{f.asked, f.waiting} {
		if len(list) > 0 {
			at = min(at, list[0].until)
		}
	}
	if f.ref != 0 || len(f.waiting) > 0 && n.leader != None {
		at = min(at, f.at)
	}
	return at
}

// forward asks the leader for those who wait, asks anew when no answer came,
// and gives up after an Election. A question is numbered anew each time and the
// numbers go on with the clock, so that neither a late answer to an earlier
// question nor one to a question before a restart is taken for this one's.
func (n *Node) forward() {
	f := &n.forwards
	if n.lead != nil || len(f.waiting)+len(f.asked) == 0 {
		return
	}
	f.asked = n.expire(f.asked)
	f.waiting = n.expire(f.waiting)
	if len(f.asked) == 0 {
		f.ref = 0
	}
	if f.ref != 0 && (f.to != n.leader || n.now >= f.at) {
		f.again(n.now)
	}
	if f.ref != 0 || len(f.waiting) == 0 || n.leader == None || n.now < f.at {
		return
	}
	f.last = max(f.last+1, uint64(n.now))
	f.ref, f.to, f.at = f.last, n.leader, n.now+2*n.cfg.Heartbeat
	f.asked, f.waiting = f.waiting, f.asked[:0]
	n.sendNow(f.to, ReadIndex{Term: n.term, Ref: f.ref})
}

// again puts the reads of the question under way back to those who wait.
func (f *forwards) again(at Time) {
	f.waiting = slices.Concat(f.asked, f.waiting)
	f.asked = nil
	f.ref, f.at = 0, at
}

// expire ends the reads that have waited too long; the oldest come first.
func (n *Node) expire(list []forwarded) []forwarded {
	for len(list) > 0 && n.now >= list[0].until {
		n.out.Reads = append(n.out.Reads, Read{Ref: list[0].ref, Err: ErrUnavailable})
		list = list[1:]
	}
	return list
}

func (n *Node) onReadIndexReply(from ID, m ReadIndexReply) {
	f := &n.forwards
	if n.lead != nil || f.ref == 0 || m.Ref != f.ref || from != f.to {
		return
	}
	if m.Refused {
		f.again(n.now + n.cfg.Heartbeat)
		return
	}
	for _, r := range f.asked {
		n.out.Reads = append(n.out.Reads, Read{Ref: r.ref, Index: m.Index})
	}
	f.asked, f.ref, f.at = f.asked[:0], 0, n.now
}
