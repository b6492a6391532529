package multipaxos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A log with its chunks is a map from slots to entries, whatever is put, forgotten
// and trimmed, at and around the chunks' boundaries.
func TestTheLogIsAMapOfSlots(t *testing.T) {
	near := []Index{1, 2, 509, 510, 511, 512, 513, 1023, 1024, 1025, 1536, 1540}
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 5))
		var l log
		model := map[Index]Entry{}
		for step := range 100 {
			i := near[rng.IntN(len(near))] + Index(rng.IntN(3))
			switch rng.IntN(8) {
			case 0:
				prev := l.prev + Index(rng.IntN(600))
				l.trim(prev)
				for k := range model {
					if k <= prev {
						delete(model, k)
					}
				}
			case 1:
				l.forget(i)
				delete(model, i)
			default:
				if i > l.prev {
					e := Entry{Term: 1 << 40, Index: i, Data: make([]byte, rng.IntN(9))}
					l.put(e, 1<<40)
					model[i] = e
				}
			}
			if why := differs(&l, model); why != "" {
				t.Fatalf("seed %d, step %d: %s", seed, step, why)
			}
		}
	}
}

// Messages, saves and the state machine go on reading what they were given.
func TestASliceOfTheLogNeverChanges(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 6))
		var l log
		var given, copies [][]Entry
		for step := range 60 {
			for range 8 {
				i := l.prev + 1 + Index(rng.IntN(700))
				l.put(Entry{Term: Ballot(step + 1), Index: i, Data: []byte{byte(step)}}, 1<<40)
			}
			switch rng.IntN(6) {
			case 0:
				l.trim(l.prev + Index(rng.IntN(200)))
			case 1:
				l.forget(l.end)
			}
			lo := l.prev + 1 + Index(rng.IntN(700))
			if last, _ := l.upTo(lo, l.end, 1<<30); last >= lo {
				got := l.slice(lo, last)
				for k := range got {
					if want := l.entry(lo + Index(k)); got[k].Index != want.Index || got[k].Term != want.Term {
						t.Fatalf("seed %d, step %d: slot %d is %+v, want %+v", seed, step, want.Index, got[k], *want)
					}
				}
				given, copies = append(given, got), append(copies, slices.Clone(got))
			}
		}
		for k := range given {
			if !slices.EqualFunc(given[k], copies[k], func(a, b Entry) bool { return sameEntry(&a, &b) }) {
				t.Fatalf("seed %d: %+v became %+v", seed, copies[k], given[k])
			}
		}
	}
}

// differs says in what l is not the map model.
func differs(l *log, model map[Index]Entry) string {
	end, bytes := l.prev, 0
	for i, e := range model {
		end = max(end, i)
		bytes += entrySize(&e)
		if !l.knows(i) || len(l.entry(i).Data) != len(e.Data) {
			return fmt.Sprintf("slot %d is not what was put there", i)
		}
	}
	for i := Index(0); i <= end+600; i++ {
		if _, ok := model[i]; l.knows(i) != ok {
			return fmt.Sprintf("slot %d is known: %v", i, !ok)
		}
	}
	if l.end != end || l.bytes != bytes || l.size(1, end) != bytes {
		return fmt.Sprintf("end %d, %d bytes, size %d; want %d, %d", l.end, l.bytes, l.size(1, end), end, bytes)
	}
	return ""
}

// Trimming gives the chunks back, and what stays is where it was.
func TestTrimmingAcrossChunks(t *testing.T) {
	for _, c := range []struct {
		trim Index
		want int // chunks left of slots 1 to 1535, that is 3
	}{{510, 3}, {511, 2}, {512, 2}, {513, 2}, {1022, 2}, {1023, 1}, {1535, 0}, {1 << 40, 0}} {
		var l log
		for i := Index(1); i <= 1535; i++ {
			l.put(Entry{Term: 1, Index: i, Data: []byte{byte(i)}}, 1)
		}
		l.trim(c.trim)
		if len(l.chunks) != c.want || l.prev != c.trim || l.end != max(c.trim, 1535) {
			t.Errorf("trimmed to %d: %d chunks, slots %d to %d; want %d chunks", c.trim, len(l.chunks), l.prev+1, l.end, c.want)
		}
		for i := c.trim + 1; i <= l.end; i++ {
			if l.entry(i).Data[0] != byte(i) {
				t.Fatalf("trimmed to %d: slot %d has moved", c.trim, i)
			}
		}
		l.trim(c.trim - 1)
		l.put(Entry{Term: 1, Index: l.end + 1}, 1)
		if l.at(c.trim) != nil || !l.knows(l.end) {
			t.Errorf("trimmed to %d: cannot go on", c.trim)
		}
	}
}

// upTo stops at a hole and at the bytes; the first entry always goes.
func TestUpToStopsAtHolesAndBytes(t *testing.T) {
	var l log
	for _, i := range []Index{1, 2, 3, 5} {
		l.put(Entry{Term: 1, Index: i, Data: make([]byte, 36)}, 1)
	}
	for _, c := range []struct {
		lo, hi Index
		bytes  int
		last   Index
		size   int
	}{{1, 5, 1000, 3, 300}, {1, 2, 1000, 2, 200}, {1, 5, 200, 2, 200}, {1, 5, 199, 1, 100}, {1, 5, 0, 1, 100}, {4, 5, 1000, 3, 0}, {5, 9, 1000, 5, 100}, {3, 2, 1000, 2, 0}} {
		if last, size := l.upTo(c.lo, c.hi, c.bytes); last != c.last || size != c.size {
			t.Errorf("from %d to %d, %d bytes: up to %d with %d, want %d with %d", c.lo, c.hi, c.bytes, last, size, c.last, c.size)
		}
	}
	if l.tail(250) != 2 || l.tail(1000) != 0 || l.tail(0) != 5 {
		t.Errorf("tails %d, %d, %d; want 2, 0, 5", l.tail(250), l.tail(1000), l.tail(0))
	}
}

// A slot keeps that it is chosen when a later ballot votes for it again, and not who
// had accepted it before.
func TestANewVoteForgetsWhoAcceptedTheOldOne(t *testing.T) {
	var l log
	s := l.put(Entry{Term: 1, Index: 1}, 1)
	s.chosen, s.acks = true, 7
	if s = l.put(Entry{Term: 1, Index: 1}, 2); !s.chosen || s.acks != 0 || s.vote != 2 {
		t.Errorf("%+v, want chosen, no acknowledgements, vote 2", *s)
	}
}
