package raft

import (
	"slices"
	"sort"
)

// log is the part of log[] (Figure 2) that is in memory: everything after prev.
// Slices of it are shared with messages, saves and the state machine, so no
// element is ever written twice: truncation and compaction leave the old array
// to those who still read it.
type log struct {
	prev     Index // the entry before the first one here; compacted
	prevTerm Term
	entries  []Entry
	bytes    int // sum of entrySize
}

// entryOverhead is what an entry counts beyond its data in every bound.
const entryOverhead = 32

func entrySize(e *Entry) int { return len(e.Data) + entryOverhead }

func (l *log) first() Index { return l.prev + 1 }
func (l *log) last() Index  { return l.prev + Index(len(l.entries)) }

// term returns the term of entry i; false if i is compacted or beyond the end.
func (l *log) term(i Index) (Term, bool) {
	switch {
	case i == l.prev:
		return l.prevTerm, true
	case i < l.prev || i > l.last():
		return 0, false
	}
	return l.entries[i-l.prev-1].Term, true
}

// has reports whether the log is known to hold the entry (i, t).
func (l *log) has(i Index, t Term) bool {
	own, ok := l.term(i)
	return ok && own == t
}

func (l *log) lastTerm() Term {
	if len(l.entries) == 0 {
		return l.prevTerm
	}
	return l.entries[len(l.entries)-1].Term
}

// append adds entries, which directly follow on the last one.
func (l *log) append(entries ...Entry) {
	if len(entries) > 0 && entries[0].Index != l.last()+1 {
		panicf("entry %d appended after %d", entries[0].Index, l.last())
	}
	l.entries = append(l.entries, entries...)
	for i := range entries {
		l.bytes += entrySize(&entries[i])
	}
}

// truncate drops everything after last. The capacity goes too: an append must
// not write over what others still read.
func (l *log) truncate(last Index) {
	keep := int(last - l.prev)
	for i := range l.entries[keep:] {
		l.bytes -= entrySize(&l.entries[keep+i])
	}
	l.entries = l.entries[:keep:keep]
}

// compact drops everything up to prev, and with it the memory.
func (l *log) compact(prev Index) {
	if prev <= l.prev {
		return
	}
	drop := int(prev - l.prev)
	for i := range l.entries[:drop] {
		l.bytes -= entrySize(&l.entries[i])
	}
	l.prevTerm = l.entries[drop-1].Term
	l.prev = prev
	rest := l.entries[drop:]
	l.entries = append(make([]Entry, 0, len(rest)+len(rest)/4), rest...)
}

// reset drops everything: the log goes on after (prev, term).
func (l *log) reset(prev Index, term Term) {
	*l = log{prev: prev, prevTerm: term}
}

// slice returns entries lo to hi, both included, for others to keep.
func (l *log) slice(lo, hi Index) []Entry {
	if lo > hi {
		return nil
	}
	return slices.Clip(l.entries[lo-l.prev-1 : hi-l.prev])
}

// upTo returns how far from lo one can go without passing hi or taking more
// than bytes; the first entry always goes. It also returns the bytes taken.
func (l *log) upTo(lo, hi Index, bytes int) (last Index, size int) {
	last = lo - 1
	for i := lo; i <= hi; i++ {
		s := entrySize(&l.entries[i-l.prev-1])
		if i > lo && size+s > bytes {
			break
		}
		size += s
		last = i
	}
	return last, size
}

// fills reports whether the entries from lo on take at least bytes, or are no
// longer all here.
func (l *log) fills(lo Index, bytes int) bool {
	if lo <= l.prev {
		return true
	}
	for i := lo; i <= l.last() && bytes > 0; i++ {
		bytes -= entrySize(&l.entries[i-l.prev-1])
	}
	return bytes <= 0
}

// size is the sum of the sizes of entries lo to hi.
func (l *log) size(lo, hi Index) (size int) {
	for i := lo; i <= hi; i++ {
		size += entrySize(&l.entries[i-l.prev-1])
	}
	return size
}

// lastNotNewer returns the greatest index up to i whose entry's term is not
// newer than t. Terms never go back along a log, so everything after it, up to
// i, is newer. Below prev it cannot tell and returns i or prev.
func (l *log) lastNotNewer(i Index, t Term) Index {
	if i <= l.prev {
		return i
	}
	i = min(i, l.last())
	n := sort.Search(int(i-l.prev), func(k int) bool { return l.entries[k].Term > t })
	return l.prev + Index(n)
}
