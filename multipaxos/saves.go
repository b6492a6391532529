package multipaxos

// saves is what the core knows of its disk: which saves it has asked for, and
// what no save has carried yet.
type saves struct {
	issued  uint64 // the number of the newest save
	durable uint64 // the newest that is durable
	pending []save // asked for and not yet durable, oldest first

	hard   HardState // as the newest save has it
	chosen Index     // likewise
	told   Index     // acknowledged as chosen, without a vote: see loss.go
	base   *SnapshotMeta
	dirty  []dirty // slots to save, in the order in which they changed
}

// save is one save under way.
type save struct {
	number uint64
	at     Time // when it was asked for
}

// dirty is a row of slots that changed alike.
type dirty struct {
	first, last Index
	vote        Ballot // 0 for chosen entries
}

// mark notes that slot i is to be saved: a vote with b, or, if b is 0, an entry
// that was learned.
func (s *saves) mark(i Index, b Ballot) {
	if k := len(s.dirty) - 1; k >= 0 && s.dirty[k].vote == b && s.dirty[k].last+1 == i {
		s.dirty[k].last = i
		return
	}
	s.dirty = append(s.dirty, dirty{first: i, last: i, vote: b})
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
		done++
	}
	s.pending = append(s.pending[:0], s.pending[done:]...)
	s.durable = max(s.durable, number)
	if n.loss == nil {
		n.deliverLoops(s.durable)
	}
}

// stalled reports whether the oldest save takes longer than DiskStall.
func (n *Node) stalled() bool {
	pending := n.saves.pending
	return len(pending) > 0 && n.now-pending[0].at > n.cfg.DiskStall
}

// collectSave puts what must become durable into the output. What this replica
// has looped to itself waits for it, and comes at once if there is nothing to
// wait for.
func (n *Node) collectSave() {
	s := &n.saves
	for !n.unsaved() {
		n.numberLoops(max(s.issued, 1))
		if s.durable < s.issued || len(n.loops) == 0 {
			return
		}
		n.deliverLoops(max(s.issued, 1))
	}
	s.issued++
	n.out.Save = s.issued
	if hard := n.hardState(); hard != s.hard {
		s.hard = hard
		n.out.HardState = &hard
	}
	n.out.Base, s.base = s.base, nil
	n.out.Runs = n.dirtyRuns()
	s.dirty = s.dirty[:0]
	if n.chosen > s.chosen {
		s.chosen = n.chosen
		n.out.Chosen = n.chosen
	}
	s.pending = append(s.pending, save{number: s.issued, at: n.now})
	n.numberLoops(s.issued)
}

func (n *Node) hardState() HardState { return HardState{Promised: n.promised, Proposed: n.proposed} }

// unsaved reports whether anything must become durable. The chosen prefix goes
// along, unless an acknowledgement stands on it.
func (n *Node) unsaved() bool {
	s := &n.saves
	return n.hardState() != s.hard || s.base != nil || len(s.dirty) > 0 || s.told > s.chosen
}

// dirtyRuns returns the slots to save. Some may have changed again since they
// were marked, or be gone: then a later mark tells, or nobody needs them.
func (n *Node) dirtyRuns() (runs []Run) {
	for _, d := range n.saves.dirty {
		from := d.first
		for i := d.first; i <= d.last+1; i++ {
			if i <= d.last && n.log.stands(i, d.vote) {
				continue
			}
			if from < i {
				runs = append(runs, Run{Ballot: d.vote, Chosen: d.vote == 0, Entries: n.log.slice(from, i-1)})
			}
			from = i + 1
		}
	}
	return runs
}
