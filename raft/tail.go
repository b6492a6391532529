package raft

// Tail returns the entries that follow s's snapshot in its log, committed or not: what a
// replica knows that will hear of no other one again. It returns a *StateError for a
// state that New would refuse.
func (s State) Tail() ([]Entry, error) {
	n, err := New(Config{ID: anyID}, s)
	if err != nil {
		return nil, err
	}
	return n.log.slice(n.snapshot.Index+1, n.log.last()), nil
}

// anyID is no member's: New needs one, and recover does not look at it.
const anyID ID = 1<<64 - 1
