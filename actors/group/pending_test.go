package group

import (
	"errors"
	"testing"

	"github.com/synod-go/synod/consensus"
)

// run makes commands first..last of one term.
func run(term consensus.Term, first, last consensus.Index) []consensus.Entry {
	var entries []consensus.Entry
	for i := first; i <= last; i++ {
		entries = append(entries, consensus.Entry{Term: term, Index: i})
	}
	return entries
}

func newCalls(n int) []*call {
	calls := make([]*call, n)
	for i := range calls {
		calls[i] = &call{done: make(chan outcome, 1)}
	}
	return calls
}

// ended returns the error a call ended with, and whether it has ended.
func ended(c *call) (error, bool) {
	select {
	case o := <-c.done:
		return o.err, true
	default:
		return nil, false
	}
}

func TestAProposalIsMatchedByIndexAndTerm(t *testing.T) {
	var p pendingCalls
	calls := newCalls(3)
	p.add(calls, 5, 2)
	got := p.take(run(2, 4, 6))
	if len(got) != 3 || got[0] != nil || got[1] != calls[0] || got[2] != calls[1] {
		t.Fatalf("matched %v, want the calls of 5 and 6", got)
	}
	if got := p.take(run(2, 7, 7)); got[0] != calls[2] {
		t.Fatalf("matched %v, want the call of 7", got)
	}
	if p.take(run(2, 8, 8)) != nil {
		t.Fatal("matched something when nothing was pending")
	}
}

// Raft section 5.3, Log Matching: one entry an index; the loser is surely not
// committed, and only then may a caller be told so.
func TestAnOverwrittenProposalEndsAsNotCommittedOnlyWhenAnotherIsCommitted(t *testing.T) {
	var p pendingCalls
	old := newCalls(2)
	p.add(old, 5, 2)
	p.take(run(2, 3, 4))
	if _, is := ended(old[0]); is {
		t.Fatal("a proposal ended before its index was committed")
	}
	young := newCalls(1)
	p.add(young, 6, 4) // leader again, with another entry at index 6
	got := p.take(append(run(2, 5, 5), run(4, 6, 6)...))
	if got[0] != old[0] || got[1] != young[0] {
		t.Fatalf("matched %v, want the old call at 5 and the young one at 6", got)
	}
	if err, is := ended(old[1]); !is || !errors.Is(err, ErrNotCommitted) {
		t.Fatalf("the overwritten proposal ended %v with %v, want ErrNotCommitted", is, err)
	}
}

// M15: a ghost that an engine suppresses is handed out as a no-op. It has not run,
// whoever waits for it.
func TestAProposalWhoseEntryWasSuppressedEndsAsNotCommitted(t *testing.T) {
	var p pendingCalls
	calls := newCalls(1)
	p.add(calls, 5, 2)
	entries := run(2, 5, 5)
	entries[0].Kind = consensus.EntryNoOp
	if got := p.take(entries); got[0] != nil {
		t.Fatal("matched with a no-op")
	}
	if err, is := ended(calls[0]); !is || !errors.Is(err, ErrNotCommitted) {
		t.Fatalf("ended %v with %v, want ErrNotCommitted", is, err)
	}
}

func TestAProposalThatASnapshotPassedIsUnknown(t *testing.T) {
	var p pendingCalls
	calls := newCalls(1)
	p.add(calls, 5, 2)
	p.take(run(3, 9, 9))
	if err, is := ended(calls[0]); !is || !errors.Is(err, ErrUnknown) {
		t.Fatalf("ended %v with %v, want ErrUnknown", is, err)
	}
}

func TestPendingCallsDoNotPileUp(t *testing.T) {
	var p pendingCalls
	for i := consensus.Index(1); i < 1000; i++ {
		p.add(newCalls(1), i, 1)
		p.take(run(1, i, i))
	}
	if cap(p.queue) > 16 {
		t.Fatalf("queue has room for %d calls after one at a time", cap(p.queue))
	}
}
