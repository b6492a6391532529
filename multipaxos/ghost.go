package multipaxos

import "slices"

// # Ghosts
//
// A leader that dies leaves votes behind which its successor may not see, if no
// acceptor of its quorum has them. A later leader may find them and, as phase 1
// demands, propose them again: commands whose callers have long given up would
// come back behind everything that was answered since. Raft does not show that
// once a new leader has committed.
//
// So every entry keeps the ballot of the leader that first proposed it (its
// Term), however often it is proposed again, and each leader begins with a LEAD
// marker. An entry behind a marker whose own ballot is lower than the marker's
// is void: it is a ghost. That is a function of the chosen prefix alone, so all
// replicas agree on it; the marker in force is part of a snapshot (its Term).

// lead is a LEAD marker in the chosen prefix.
type lead struct {
	at     Index
	ballot Ballot
}

// leadAt returns the ballot of the marker in force at slot i, of those before it.
func (n *Node) leadAt(i Index) Ballot {
	k := len(n.leads) - 1
	for k > 0 && n.leads[k].at >= i {
		k--
	}
	return n.leads[k].ballot
}

// void reports whether e, the last of the chosen prefix, is a ghost.
func (n *Node) void(e *Entry) bool { return e.Term < n.leadAt(e.Index) }

// withoutGhosts returns entries with no-ops in the places of the ghosts.
func (n *Node) withoutGhosts(entries []Entry) []Entry {
	own := false
	k := 0
	for i := range entries {
		for k+1 < len(n.leads) && n.leads[k+1].at < entries[i].Index {
			k++
		}
		if entries[i].Term >= n.leads[k].ballot {
			continue
		}
		if !own {
			entries, own = slices.Clone(entries), true
		}
		entries[i] = Entry{Index: entries[i].Index, Kind: EntryNoOp}
	}
	return entries
}
