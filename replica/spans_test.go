package replica

import (
	"testing"

	"pgregory.net/rapid"
)

// What was added is in a span for ever, spans stay in order and few, and a time
// far from all others is not taken along while there is room.
func TestSpansHoldWhatIsForgotten(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s spans
		var added []int64
		for range rapid.IntRange(1, 3*maxSpans).Draw(rt, "times") {
			at := rapid.Int64Range(0, 300).Draw(rt, "gap") * spanGap / 2
			s.add(at)
			added = append(added, at)
			if !s.valid() || len(s) > maxSpans {
				rt.Fatalf("after %d: %d spans, %v", at, len(s), s)
			}
		}
		for _, at := range added {
			if !s.has(at) {
				rt.Fatalf("%d is forgotten, but not in %v", at, s)
			}
		}
	})
}

func TestTheNearestSpansAreJoined(t *testing.T) {
	const away = 10 * maxSpans * spanGap
	for _, far := range []int64{0, 2 * away} { // before and after the others
		var s spans
		s.add(far)
		for i := range int64(maxSpans) {
			s.add(away + i*3*spanGap)
		}
		if len(s) != maxSpans || !s.has(far) || !s.has(away) || s.has(far-1) || s.has(far+1) {
			t.Errorf("%d spans, %d was taken along: %v", len(s), far, s)
		}
	}
}
