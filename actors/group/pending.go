package group

import (
	"slices"

	"github.com/synod-go/synod/consensus"
)

// pendingCalls are the proposals whose entries are not committed yet, in the
// order of their indexes. A proposal stays here when this replica stops
// leading: its entry may still be committed by the next leader.
type pendingCalls struct {
	queue []*call
	// stale are those of former leaderships: their entry may have been
	// overwritten by one that is in queue.
	stale []*call
}

// add notes that calls were proposed from first on in term.
func (p *pendingCalls) add(calls []*call, first consensus.Index, term consensus.Term) {
	if len(p.queue) > 0 && p.queue[len(p.queue)-1].term != term {
		p.stale = append(p.stale, p.queue...)
		p.queue = nil
	}
	for i, c := range calls {
		c.index, c.term, c.command = first+consensus.Index(i), term, nil
		p.queue = append(p.queue, c)
	}
}

// take returns the calls that entries, which are committed, decide: the i-th
// belongs to the i-th entry, nil if nobody here waits for it. A call whose
// place was taken by an entry of another term is finished: it will never be
// committed (the Log Matching Property, Raft section 5.3).
func (p *pendingCalls) take(entries []consensus.Entry) []*call {
	if len(p.queue) == 0 && len(p.stale) == 0 {
		return nil
	}
	matched := make([]*call, len(entries))
	p.stale = slices.DeleteFunc(p.stale, func(c *call) bool { return decide(c, entries, matched) })
	n := 0
	for n < len(p.queue) && decide(p.queue[n], entries, matched) {
		n++
	}
	clear(p.queue[:n])
	p.queue = p.queue[n:]
	return matched
}

// passed ends the calls whose entries a received snapshot has gone past.
func (p *pendingCalls) passed(snapshot consensus.Index) {
	gone := func(c *call) bool {
		if c.index > snapshot {
			return false
		}
		c.finish(outcome{err: ErrUnknown})
		return true
	}
	p.stale = slices.DeleteFunc(p.stale, gone)
	p.queue = slices.DeleteFunc(p.queue, gone)
}

// decide reports whether entries tell what becomes of c.
func decide(c *call, entries []consensus.Entry, matched []*call) bool {
	first, last := entries[0].Index, entries[len(entries)-1].Index
	switch {
	case c.index > last:
		return false
	case c.index < first:
		// A snapshot went past it: the entry is not here to be compared.
		c.finish(outcome{err: ErrUnknown})
	case entries[c.index-first].Term == c.term && entries[c.index-first].Kind == consensus.EntryCommand:
		matched[c.index-first] = c
	default:
		c.finish(outcome{err: ErrNotCommitted})
	}
	return true
}
