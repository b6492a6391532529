package multipaxos

// recover takes over what the disk holds.
func (n *Node) recover(s State) error {
	if err := checkSnapshot(s.Snapshot); err != nil {
		return err
	}
	h := s.HardState
	if h.Promised > maxBallot || h.Proposed > maxBallot {
		return &StateError{s.Snapshot.Index, "a ballot out of range"}
	}
	at := s.Snapshot.Index
	n.snapshot = s.Snapshot
	n.configs = []Configuration{s.Snapshot.Configuration}
	n.leads = []lead{{at: at, ballot: s.Snapshot.Term}}
	n.log.trim(at)
	n.gone = at
	n.chosen, n.handed, n.applied = at, at, at
	n.promised, n.proposed = h.Promised, h.Proposed
	for _, r := range s.Runs {
		if err := n.recoverRun(r); err != nil {
			return err
		}
	}
	n.dropVotes(at, n.epoch()) // the snapshot may be newer than they are
	n.see(max(h.Promised, h.Proposed))
	// A crash between two saves cannot come between a vote and its promise: they
	// are one save. But a promise may be newer than the votes.
	n.saves.hard = h
	return n.recoverChosen(s.Chosen)
}

// maxGap is more slots than any window leaves open, so that a damaged index does not
// ask for memory.
const maxGap = 1 << 26

// recoverRun takes votes or chosen entries over, in the order in which they were
// saved.
func (n *Node) recoverRun(r Run) error {
	if err := checkEntries(r.Entries); err != nil || !r.Chosen && Epoch(r.Ballot) == 0 || r.Ballot > maxBallot {
		return &StateError{firstIndex(r.Entries), "a damaged vote"}
	}
	if r.Ballot > n.promised { // they are one save
		return &StateError{firstIndex(r.Entries), "a vote above the promise"}
	}
	for _, e := range r.Entries {
		if e.Index > n.log.end+maxGap {
			return &StateError{e.Index, "a slot far beyond all others"}
		}
		if e.Index > n.snapshot.Index {
			s := n.log.put(e, r.Ballot)
			s.chosen = r.Chosen
		}
	}
	return nil
}

// recoverChosen goes through the chosen prefix, as choose did before the crash.
// What was learned comes in order, so chosen entries behind a hole in it are
// damage.
func (n *Node) recoverChosen(upTo Index) error {
	for i := n.chosen + 1; ; i++ {
		s := n.log.at(i)
		known := s != nil && s.known
		if i <= upTo && !known {
			return &StateError{i, "a chosen entry is missing"}
		}
		if !known || i > upTo && !s.chosen {
			break
		}
		n.choose(s)
	}
	for i := n.chosen + 1; i <= n.log.end; i++ {
		if s := n.log.at(i); s != nil && s.known && s.chosen {
			return &StateError{i, "a chosen entry behind a hole"}
		}
	}
	n.saves.chosen = n.chosen
	return nil
}

func firstIndex(entries []Entry) Index {
	if len(entries) == 0 {
		return 0
	}
	return entries[0].Index
}
