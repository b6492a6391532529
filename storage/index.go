package storage

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"
)

// logIndex is what the store knows of its log: which segments there are, where
// the records of each group stand, and what must be carried into a new segment.
// All of it describes only what is durable.
type logIndex struct {
	mu         sync.Mutex
	segments   []*segment // from the oldest that counts to the current one
	prepared   []*segment // ready to be written, with a durable name
	spare      []string   // dead files, kept for reuse
	stamped    uint64     // Oldest of the last durable batch: files below it are dead
	state      map[stateKey][]byte
	stateBytes int // that the carried state takes in a batch
	released   map[Group]uint64
	unwritten  []Group // whose release mark is not in the log yet
}

// stateKey names a state record: only the newest of each counts.
type stateKey struct {
	group Group
	kind  uint8
}

func (x *logIndex) reset() {
	x.state = map[stateKey][]byte{}
	x.released = map[Group]uint64{}
	x.stateBytes = 0
}

// apply takes in a record of a durable batch at [from, to) of seg.
func (x *logIndex) apply(seg *segment, r flaggedRecord, from, to int64) {
	switch {
	case r.flags&recordRelease != 0 && r.Index == math.MaxUint64:
		x.forget(r.Group)
	case r.flags&recordRelease != 0:
		x.setReleased(r.Group, r.Index)
	case r.Index == 0:
		x.setState(stateKey{r.Group, r.Type}, r.Data)
	default:
		seg.note(r.Group, r.Index, x.released[r.Group], from, to)
	}
}

func (x *logIndex) setState(k stateKey, data []byte) {
	old, ok := x.state[k]
	if !ok {
		x.stateBytes += recordHeaderBytes
	}
	x.stateBytes += len(data) - len(old)
	x.state[k] = append(old[:0], data...)
}

// setReleased raises the release mark of a group and reports whether it rose.
func (x *logIndex) setReleased(g Group, index uint64) bool {
	old, ok := x.released[g]
	if index <= old {
		return false
	}
	if !ok {
		x.stateBytes += recordHeaderBytes
	}
	x.released[g] = index
	for _, seg := range x.segments {
		seg.release(g, index)
	}
	return true
}

// forget drops all that is known of a group: its records, its state, its mark.
func (x *logIndex) forget(g Group) {
	if _, ok := x.released[g]; ok {
		x.stateBytes -= recordHeaderBytes
		delete(x.released, g)
	}
	for k, data := range x.state {
		if k.group == g {
			x.stateBytes -= recordSize(data)
			delete(x.state, k)
		}
	}
	for _, seg := range x.segments {
		seg.forget(g)
	}
}

// current returns the segment that is being written.
func (x *logIndex) current() *segment { return x.segments[len(x.segments)-1] }

// oldest returns the first generation with a live record, or the current one.
func (x *logIndex) oldest() uint64 {
	for _, seg := range x.segments {
		if seg.live > 0 {
			return seg.Generation
		}
	}
	return x.current().Generation
}

// newest returns the highest generation whose file surely exists.
func (x *logIndex) newest() uint64 {
	if n := len(x.prepared); n > 0 {
		return x.prepared[n-1].Generation
	}
	return x.current().Generation
}

// carried returns the records that open a new segment, in a fixed order.
func (x *logIndex) carried() []flaggedRecord {
	out := make([]flaggedRecord, 0, len(x.released)+len(x.state))
	for _, g := range slices.Sorted(maps.Keys(x.released)) {
		out = append(out, flaggedRecord{Record{Group: g, Index: x.released[g]}, recordRelease | recordCarried})
	}
	keys := slices.SortedFunc(maps.Keys(x.state), func(a, b stateKey) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.kind, b.kind))
	})
	for _, k := range keys {
		out = append(out, flaggedRecord{Record{Group: k.group, Type: k.kind, Data: x.state[k]}, recordCarried})
	}
	return out
}

// marks returns and clears the release marks that are not in the log yet.
func (x *logIndex) marks() []flaggedRecord {
	var out []flaggedRecord
	for _, g := range x.unwritten {
		out = append(out, flaggedRecord{Record{Group: g, Index: x.released[g]}, recordRelease})
	}
	x.unwritten = x.unwritten[:0]
	return out
}
