package raft

// saves is what the core knows of its disk: which saves it has asked for, and
// up to where the log is durable.
type saves struct {
	issued  uint64 // the number of the newest save
	pending []save // asked for and not yet durable, oldest first

	durable Index     // everything up to here is durable
	next    Index     // the first entry that no save has carried yet
	hard    HardState // as the newest save has it
	base    *SnapshotMeta
}

// save is one save under way. What it makes durable shrinks when the log is
// truncated before it is done.
type save struct {
	number uint64
	last   Index
	at     Time // when it was asked for
}

// Saved tells the core that save number and all before it are durable. Numbers
// may be skipped; a number that is already known changes nothing. It panics if
// no Output has carried the number.
func (n *Node) Saved(number uint64) {
	s := &n.saves
	if number > s.issued {
		panicf("save %d reported, newest asked for is %d", number, s.issued)
	}
	done := 0
	for done < len(s.pending) && s.pending[done].number <= number {
		s.durable = max(s.durable, s.pending[done].last)
		done++
	}
	s.pending = append(s.pending[:0], s.pending[done:]...)
	n.ownVoteSaved(number)
	n.advanceCommit()
}

// keep notes that the log ends at last for now: whatever a save under way
// holds beyond it is about to be replaced.
func (s *saves) keep(last Index) {
	for i := range s.pending {
		s.pending[i].last = min(s.pending[i].last, last)
	}
	s.durable = min(s.durable, last)
	s.next = min(s.next, last+1)
}

// stalled reports whether the oldest save takes longer than DiskStall.
func (n *Node) stalled() bool {
	pending := n.saves.pending
	return len(pending) > 0 && n.now-pending[0].at > n.cfg.DiskStall
}

// collectSave puts what must become durable into the output.
func (n *Node) collectSave() {
	s := &n.saves
	hard := HardState{Term: n.term, Vote: n.vote}
	last := n.log.last()
	if hard == s.hard && s.base == nil && s.next > last {
		return
	}
	s.issued++
	n.out.Save = s.issued
	if hard != s.hard {
		s.hard = hard
		n.out.HardState = &hard
		n.ownVoteIssued(s.issued)
	}
	n.out.Base, s.base = s.base, nil
	n.out.Entries = n.log.slice(s.next, last)
	s.next = last + 1
	s.pending = append(s.pending, save{number: s.issued, last: last, at: n.now})
}
