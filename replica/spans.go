package replica

import (
	"cmp"
	"slices"
)

// span is a range of times of request ids, both ends included.
type span struct{ from, to int64 }

// spans are the times of the ids that are no longer kept: what lies in one may
// have run. They are in order and do not touch. They only grow, so what they
// refuse is refused for good.
type spans []span

// Times of forgotten ids closer than spanGap milliseconds share a span, and there
// are at most maxSpans, the nearest two of which are joined to make room: usually
// one up to the retention ago, and one for each clock that was far off.
const (
	spanGap  = 60_000
	maxSpans = 64
)

// has reports whether an id of the time at may have been forgotten.
func (s spans) has(at int64) bool {
	i := s.after(at)
	return i > 0 && s[i-1].to >= at
}

// after is the first span that begins after at.
func (s spans) after(at int64) int {
	i, _ := slices.BinarySearchFunc(s, at, func(x span, at int64) int {
		if x.from <= at {
			return -1
		}
		return 1
	})
	return i
}

// add notes that an id of the time at is forgotten.
func (s *spans) add(at int64) {
	i := s.after(at)
	switch {
	case i > 0 && (*s)[i-1].to >= at:
		return
	case i > 0 && at-(*s)[i-1].to <= spanGap:
		(*s)[i-1].to = at
		i--
	default:
		*s = slices.Insert(*s, i, span{at, at})
	}
	if i+1 < len(*s) && (*s)[i+1].from-at <= spanGap {
		s.join(i)
	}
	if len(*s) > maxSpans {
		s.join(s.nearest())
	}
}

// join makes one of the i-th span and the next.
func (s *spans) join(i int) {
	(*s)[i].to = (*s)[i+1].to
	*s = slices.Delete(*s, i+1, i+2)
}

// nearest is the span with the least distance to its successor.
func (s spans) nearest() (at int) {
	for i := range s[:len(s)-1] {
		if cmp.Less(s[i+1].from-s[i].to, s[at+1].from-s[at].to) {
			at = i
		}
	}
	return at
}

// valid reports whether a snapshot's spans can be ours.
func (s spans) valid() bool {
	for i, x := range s {
		if !validTime(x.from) || !validTime(x.to) || x.from > x.to || i > 0 && x.from <= s[i-1].to {
			return false
		}
	}
	return len(s) <= maxSpans
}
