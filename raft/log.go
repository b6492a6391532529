package raft

import (
	"slices"
	"sort"
)

// log is the part of log[] (Figure 2) that is in memory: everything after prev.
// Slices of it are shared with messages, saves and the state machine, so no
// element is ever written twice: truncation and compaction leave the old array
// to those who still read it. It grows by chunks, so that a long log costs no
// copying when it gets longer.
type log struct {
	prev     Index // the entry before the first one here; compacted
	prevTerm Term
	end      Index // the last entry, or prev
	chunks   [][]Entry
	bytes    int // sum of entrySize
}

// chunkEntries is the length of a chunk. Chunk k ends with the entry whose index
// is the k-th multiple of it after prev; the first and the last may be shorter.
const chunkEntries = 1024

// locate returns in which chunk entry i is, and where in it.
func (l *log) locate(i Index) (chunk, at int) {
	chunk = int((i-1)/chunkEntries - l.prev/chunkEntries)
	if chunk == 0 {
		return 0, int(i - l.prev - 1)
	}
	return chunk, int((i - 1) % chunkEntries)
}

func (l *log) at(i Index) *Entry {
	chunk, at := l.locate(i)
	return &l.chunks[chunk][at]
}

// entryOverhead is what an entry counts beyond its data in every bound.
const entryOverhead = 32

func entrySize(e *Entry) int { return len(e.Data) + entryOverhead }

func (l *log) first() Index { return l.prev + 1 }
func (l *log) last() Index  { return l.end }

// term returns the term of entry i; false if i is compacted or beyond the end.
func (l *log) term(i Index) (Term, bool) {
	switch {
	case i == l.prev:
		return l.prevTerm, true
	case i < l.prev || i > l.last():
		return 0, false
	}
	return l.at(i).Term, true
}

// has reports whether the log is known to hold the entry (i, t).
func (l *log) has(i Index, t Term) bool {
	own, ok := l.term(i)
	return ok && own == t
}

func (l *log) lastTerm() Term {
	term, _ := l.term(l.end)
	return term
}

// append adds entries, which directly follow on the last one.
func (l *log) append(entries ...Entry) {
	if len(entries) > 0 && entries[0].Index != l.last()+1 {
		panicf("entry %d appended after %d", entries[0].Index, l.last())
	}
	for i := range entries {
		l.bytes += entrySize(&entries[i])
	}
	for len(entries) > 0 {
		chunk, at := l.locate(l.end + 1)
		if chunk == len(l.chunks) {
			l.chunks = append(l.chunks, nil)
		}
		room := chunkEntries - int(l.end%chunkEntries)
		n := min(room, len(entries))
		l.chunks[chunk] = append(l.chunks[chunk][:at], entries[:n]...)
		l.end += Index(n)
		entries = entries[n:]
	}
}

// truncate drops everything after last. The capacity goes too: an append must
// not write over what others still read.
func (l *log) truncate(last Index) {
	l.bytes -= l.size(last+1, l.end)
	chunk, at := l.locate(last + 1)
	if at > 0 {
		l.chunks[chunk] = l.chunks[chunk][:at:at]
		chunk++
	}
	clear(l.chunks[min(chunk, len(l.chunks)):])
	l.chunks = l.chunks[:min(chunk, len(l.chunks))]
	l.end = last
}

// compact drops everything up to prev, and with it the memory.
func (l *log) compact(prev Index) {
	if prev <= l.prev {
		return
	}
	l.bytes -= l.size(l.prev+1, prev)
	term, _ := l.term(prev)
	if prev == l.end {
		*l = log{prev: prev, prevTerm: term, end: prev}
		return
	}
	chunk, at := l.locate(prev + 1)
	l.chunks = slices.Clone(l.chunks[chunk:])
	l.chunks[0] = slices.Clone(l.chunks[0][at:])
	l.prev, l.prevTerm = prev, term
}

// reset drops everything: the log goes on after (prev, term).
func (l *log) reset(prev Index, term Term) {
	*l = log{prev: prev, prevTerm: term, end: prev}
}

// slice returns entries lo to hi, both included, for others to keep. Those of
// several chunks are copied.
func (l *log) slice(lo, hi Index) []Entry {
	if lo > hi {
		return nil
	}
	chunk, at := l.locate(lo)
	n := int(hi-lo) + 1
	if rest := l.chunks[chunk][at:]; n <= len(rest) {
		return rest[:n:n]
	}
	out := make([]Entry, 0, n)
	for ; len(out) < n; chunk++ {
		rest := l.chunks[chunk][at:]
		out = append(out, rest[:min(len(rest), n-len(out))]...)
		at = 0
	}
	return out
}

// upTo returns how far from lo one can go without passing hi or taking more
// than bytes; the first entry always goes. It also returns the bytes taken.
func (l *log) upTo(lo, hi Index, bytes int) (last Index, size int) {
	last = lo - 1
	for i := lo; i <= hi; i++ {
		s := entrySize(l.at(i))
		if i > lo && size+s > bytes {
			break
		}
		size += s
		last = i
	}
	return last, size
}

// tail returns the index behind which the log takes no more than bytes.
func (l *log) tail(bytes int) Index {
	at := l.prev
	for rest := l.bytes; rest > bytes && at < l.end; {
		at++
		rest -= entrySize(l.at(at))
	}
	return at
}

// fills reports whether the entries from lo on take at least bytes, or are no
// longer all here.
func (l *log) fills(lo Index, bytes int) bool {
	if lo <= l.prev {
		return true
	}
	for i := lo; i <= l.last() && bytes > 0; i++ {
		bytes -= entrySize(l.at(i))
	}
	return bytes <= 0
}

// size is the sum of the sizes of entries lo to hi.
func (l *log) size(lo, hi Index) (size int) {
	for i := lo; i <= hi; i++ {
		size += entrySize(l.at(i))
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
	n := sort.Search(int(i-l.prev), func(k int) bool { return l.at(l.prev+1+Index(k)).Term > t })
	return l.prev + Index(n)
}
