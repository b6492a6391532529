package multipaxos

// slot is what a replica knows of one instance of the Synod.
type slot struct {
	entry  *Entry // what is known of the value; never written to, as others read it too
	vote   Ballot // with which entry was accepted; 0 if it was only learned
	chosen bool
	known  bool   // there is an entry
	acks   uint64 // on the leader: who has accepted entry with the leader's ballot, by place in the configuration
}

// log is the slots after prev that are in memory. Slots are sparse beyond the
// chosen prefix: acceptors vote out of order. Slices of its entries are shared
// with messages, saves and the state machine.
type log struct {
	prev   Index // slots up to here are trimmed
	end    Index // the last known slot, or prev
	chunks []*chunk
	bytes  int // sum of entrySize
}

// chunk is a row of slots. Their entries stand side by side in one array, whose
// elements are written once: an entry that comes second to a place stands elsewhere.
type chunk struct {
	slots   [chunkSlots]slot
	entries *[chunkSlots]Entry
	patched bool // an entry is elsewhere
}

// chunkSlots is the length of a chunk. Chunk k begins with the slot whose index
// is the k-th multiple of it, counted from the one that prev+1 lies in.
const chunkSlots = 512

// slotOverhead is what a slot counts beyond its data in every bound.
const slotOverhead = 64

func entrySize(e *Entry) int { return len(e.Data) + slotOverhead }

// at returns slot i for reading and writing, or nil if it is trimmed or beyond
// what the log has room for yet.
func (l *log) at(i Index) *slot {
	if i <= l.prev {
		return nil
	}
	k := int(i/chunkSlots - (l.prev+1)/chunkSlots)
	if k >= len(l.chunks) || l.chunks[k] == nil {
		return nil
	}
	return &l.chunks[k].slots[i%chunkSlots]
}

// entry returns the entry of slot i, which is known.
func (l *log) entry(i Index) *Entry {
	s := l.at(i)
	if s == nil || !s.known {
		panicf("slot %d is not known, the log holds %d to %d", i, l.prev+1, l.end)
	}
	return s.entry
}

// knows reports whether there is an entry in slot i.
func (l *log) knows(i Index) bool {
	s := l.at(i)
	return s != nil && s.known
}

// stands reports whether slot i holds a vote with b, or if b is 0 a chosen entry.
func (l *log) stands(i Index, b Ballot) bool {
	s := l.at(i)
	return s != nil && s.known && (s.vote == b || b == 0 && s.chosen)
}

// put replaces the entry of a slot that is not trimmed, and returns the slot.
func (l *log) put(e Entry, vote Ballot) *slot {
	k := int(e.Index/chunkSlots - (l.prev+1)/chunkSlots)
	for k >= len(l.chunks) {
		l.chunks = append(l.chunks, nil)
	}
	if l.chunks[k] == nil {
		l.chunks[k] = &chunk{entries: new([chunkSlots]Entry)}
	}
	c, at := l.chunks[k], e.Index%chunkSlots
	s := &c.slots[at]
	if s.known {
		l.bytes -= entrySize(s.entry)
	}
	l.bytes += entrySize(&e)
	*s = slot{entry: c.place(e), vote: vote, known: true, chosen: s.chosen}
	l.end = max(l.end, e.Index)
	return s
}

// place writes e down and returns where.
func (c *chunk) place(e Entry) *Entry {
	at := &c.entries[e.Index%chunkSlots]
	if at.Index != 0 {
		at, c.patched = new(Entry), true
	}
	*at = e
	return at
}

// forget drops the entry of slot i.
func (l *log) forget(i Index) {
	if s := l.at(i); s != nil && s.known {
		l.bytes -= entrySize(s.entry)
		*s = slot{}
	}
	for l.end > l.prev && !l.knows(l.end) {
		l.end--
	}
}

// trim drops everything up to prev, and with it the memory.
func (l *log) trim(prev Index) {
	if prev <= l.prev {
		return
	}
	for i := l.prev + 1; i <= min(prev, l.end); i++ {
		if s := l.at(i); s != nil && s.known {
			l.bytes -= entrySize(s.entry)
			*s = slot{}
		}
	}
	gone := int((prev+1)/chunkSlots - (l.prev+1)/chunkSlots)
	l.chunks = append([]*chunk(nil), l.chunks[min(gone, len(l.chunks)):]...)
	if len(l.chunks) > 0 && l.chunks[0] != nil {
		l.chunks[0].renew()
	}
	l.prev = prev
	l.end = max(l.end, prev)
}

// renew gives a chunk another array, so that what it does not know any more is
// let go of. Who reads the old one keeps it.
func (c *chunk) renew() {
	c.entries, c.patched = new([chunkSlots]Entry), false
	for i := range c.slots {
		if s := &c.slots[i]; s.known {
			s.entry = c.place(*s.entry)
		}
	}
}

// slice returns the entries of slots lo to hi, all known, for others to read and
// keep. Those of several chunks are copied.
func (l *log) slice(lo, hi Index) []Entry {
	if lo > hi {
		return nil
	}
	if lo/chunkSlots == hi/chunkSlots {
		c := l.chunks[lo/chunkSlots-(l.prev+1)/chunkSlots]
		if at, n := lo%chunkSlots, hi-lo+1; !c.patched {
			return c.entries[at : at+n : at+n]
		}
	}
	out := make([]Entry, 0, hi-lo+1)
	for i := lo; i <= hi; i++ {
		out = append(out, *l.entry(i))
	}
	return out
}

// upTo returns how far from lo one can go without passing hi, an unknown slot,
// or taking more than bytes; the first entry always goes. It also returns the
// bytes taken.
func (l *log) upTo(lo, hi Index, bytes int) (last Index, size int) {
	last = lo - 1
	for i := lo; i <= hi; i++ {
		at := l.at(i)
		if at == nil || !at.known {
			break
		}
		s := entrySize(at.entry)
		if i > lo && size+s > bytes {
			break
		}
		size += s
		last = i
	}
	return last, size
}

// size is the sum of the sizes of slots lo to hi.
func (l *log) size(lo, hi Index) (size int) {
	for i := max(lo, l.prev+1); i <= min(hi, l.end); i++ {
		if s := l.at(i); s != nil && s.known {
			size += entrySize(s.entry)
		}
	}
	return size
}

// fills reports whether the slots from lo to hi take at least bytes, or are no
// longer all here.
func (l *log) fills(lo, hi Index, bytes int) bool {
	if lo <= l.prev {
		return true
	}
	for i := lo; i <= hi && bytes > 0; i++ {
		bytes -= entrySize(l.entry(i))
	}
	return bytes <= 0
}

// tail returns the slot behind which the log takes no more than bytes.
func (l *log) tail(bytes int) Index {
	at := l.prev
	for rest := l.bytes; rest > bytes && at < l.end; {
		at++
		rest -= l.size(at, at)
	}
	return at
}
