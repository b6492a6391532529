package multipaxos

// Tail returns what follows s's snapshot in the log of a replica that will hear of no
// other one again, slot after slot: what is chosen, up to known, and behind it what it
// has voted for last. Any of that may have been chosen, or something else in its place
// that only others know. A slot of which it knows nothing, and a ghost, is a no-op. It
// returns a *StateError for a state that New would refuse.
func (s State) Tail() (entries []Entry, known Index, err error) {
	n, err := New(Config{ID: anyID}, s)
	if err != nil {
		return nil, 0, err
	}
	known = n.chosen
	for i := known + 1; i <= n.log.end; i++ { // choose may shorten the log
		at := n.log.at(i)
		if at == nil || !at.known {
			at = n.log.put(Entry{Term: n.leadAt(i), Index: i, Kind: EntryNoOp}, 0)
		}
		n.choose(at)
	}
	return n.withoutGhosts(n.log.slice(n.snapshot.Index+1, n.chosen)), known, nil
}

// anyID is no member's: New needs one, and recover does not look at it.
const anyID ID = 1<<64 - 1
