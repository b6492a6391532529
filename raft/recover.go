package raft

import "slices"

// recover takes over what the disk holds.
func (n *Node) recover(s State) error {
	if err := checkSnapshot(s.Snapshot); err != nil {
		return err
	}
	entries := s.Entries
	if err := checkEntries(entries); err != nil {
		return &StateError{firstIndex(entries), err.Error()}
	}
	n.snapshot = s.Snapshot
	n.configs = []Configuration{s.Snapshot.Configuration}
	n.log.reset(s.Snapshot.Index, s.Snapshot.Term)
	if err := n.recoverLog(entries); err != nil {
		return err
	}
	// The term of an entry or a snapshot may be newer than the hard state's if
	// the crash came between their saves. No vote of that term can have left
	// then: a vote waits for its save.
	n.term, n.vote = s.HardState.Term, s.HardState.Vote
	if seen := max(n.log.lastTerm(), s.Snapshot.Term); seen > n.term {
		n.term, n.vote = seen, None
	}
	if n.term > maxTerm {
		return &StateError{n.log.last(), "term out of range"}
	}
	at := s.Snapshot.Index
	n.commit, n.handed, n.applied = at, at, at
	n.saves = saves{durable: n.log.last(), next: n.log.last() + 1, hard: s.HardState, base: n.saves.base}
	return nil
}

// recoverLog joins entries to the snapshot. Those before it stay, for followers
// that are a little behind. If the log does not reach the snapshot or differs
// from it there, it is older than the snapshot and is dropped, on disk too.
func (n *Node) recoverLog(entries []Entry) error {
	at := n.snapshot.Index
	if len(entries) == 0 {
		return nil
	}
	first, last := entries[0].Index, entries[len(entries)-1].Index
	if first > at+1 {
		return &StateError{first, "a gap after the snapshot"}
	}
	if first == at+1 && entries[0].Term < n.snapshot.Term {
		return &StateError{first, "a term older than the snapshot's"}
	}
	differs := first <= at && (last < at || entries[at-first].Term != n.snapshot.Term)
	if differs {
		base := n.snapshot
		n.saves.base = &base
		return nil
	}
	switch {
	case first == 1:
		n.log.reset(0, 0)
	case first <= at:
		// The term before the first entry is not known: it becomes prev itself.
		n.log.reset(first, entries[0].Term)
		entries = entries[1:]
	}
	n.log.append(slices.Clip(entries)...)
	return n.recoverConfigs()
}

// recoverConfigs finds the configurations of the entries after the snapshot.
func (n *Node) recoverConfigs() error {
	for _, e := range n.log.slice(n.snapshot.Index+1, n.log.last()) {
		if e.Kind != EntryConfiguration {
			continue
		}
		c, err := decodeConfigurationEntry(e)
		if err != nil {
			return &StateError{e.Index, err.Error()}
		}
		n.configs = append(n.configs, c)
	}
	return nil
}

func firstIndex(entries []Entry) Index {
	if len(entries) == 0 {
		return 0
	}
	return entries[0].Index
}

// checkSnapshot reports what of a recovered snapshot cannot be.
func checkSnapshot(s SnapshotMeta) error {
	if s.Index > maxIndex || s.Term > maxTerm || s.Size < 0 || s.Configuration.Version > s.Index {
		return &StateError{s.Index, "a snapshot out of range"}
	}
	if len(s.Configuration.Members) == 0 {
		if s.Index > 0 {
			return &StateError{s.Index, "a snapshot without a configuration"}
		}
		return nil
	}
	if err := s.Configuration.Check(); err != nil {
		return &StateError{s.Index, err.Error()}
	}
	return nil
}
