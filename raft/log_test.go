package raft

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTheLogAgreesWithASlice runs random operations on the log and on a plain
// slice, across many chunk borders, and checks that what was handed out stays.
func TestTheLogAgreesWithASlice(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 50 {
		l := log{}
		var model []Entry // of everything ever appended and not truncated
		type loan struct{ got, want []Entry }
		var loans []loan
		for range 200 {
			switch last := l.last(); random.IntN(6) {
			case 0, 1, 2:
				l.append(newEntries(last+1, Term(1+last/100), random.IntN(900))...)
				model = append(model[:last], newEntries(last+1, Term(1+last/100), int(l.last()-last))...)
			case 3:
				if n := last - l.prev; n > 0 {
					to := last - Index(random.IntN(int(min(n, 300))))
					l.truncate(to)
					model = slices.Clone(model[:to])
				}
			case 4:
				if n := last - l.prev; n > 0 {
					l.compact(l.prev + Index(random.IntN(int(n)+1)))
				}
			case 5:
				if n := last - l.prev; n > 0 {
					lo := l.prev + 1 + Index(random.IntN(int(n)))
					hi := lo + Index(random.IntN(int(last-lo)+1))
					loans = append(loans, loan{l.slice(lo, hi), slices.Clone(model[lo-1 : hi])})
				}
			}
			checkLog(t, round, &l, model)
		}
		for _, b := range loans {
			if !slices.EqualFunc(b.got, b.want, sameEntry) {
				t.Fatalf("round %d: entries from %d changed after they were handed out", round, b.want[0].Index)
			}
		}
	}
}

func newEntries(first Index, term Term, n int) []Entry {
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = Entry{Index: first + Index(i), Term: term, Data: make([]byte, int(first)%7)}
	}
	return entries
}

func sameEntry(a, b Entry) bool {
	return a.Index == b.Index && a.Term == b.Term && len(a.Data) == len(b.Data)
}

func checkLog(t *testing.T, round int, l *log, model []Entry) {
	t.Helper()
	if int(l.last()) != len(model) {
		t.Fatalf("round %d: last index %d, want %d", round, l.last(), len(model))
	}
	if got, want := l.slice(l.first(), l.last()), model[l.prev:]; !slices.EqualFunc(got, want, sameEntry) {
		t.Fatalf("round %d: the log differs from the model behind %d", round, l.prev)
	}
	if got, want := l.bytes, l.size(l.first(), l.last()); got != want {
		t.Fatalf("round %d: %d bytes, want %d", round, got, want)
	}
	if l.prev > 0 && l.prevTerm != model[l.prev-1].Term {
		t.Fatalf("round %d: previous term %d, want %d", round, l.prevTerm, model[l.prev-1].Term)
	}
}
