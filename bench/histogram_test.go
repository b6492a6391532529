package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestEveryDurationFallsIntoABucketThatEndsJustAboveIt(t *testing.T) {
	for d := time.Duration(0); d < 100*time.Second; d += d/97 + 1 {
		i := bucketOf(d)
		if end := bucketEnd(i); end <= d {
			t.Fatalf("%v: bucket %d ends at %v, which is not above it", d, i, end)
		}
		if i == 0 {
			continue
		}
		if begin := bucketEnd(i - 1); begin > d {
			t.Fatalf("%v: bucket %d begins at %v, which is above it", d, i, begin)
		}
		if width := bucketEnd(i) - bucketEnd(i-1); d > time.Microsecond*4 && float64(width) > 0.016*float64(d) {
			t.Fatalf("%v: its bucket is %v wide, want at most 1.6 %%", d, width)
		}
	}
}

func TestAnHourCountsInTheLastBucket(t *testing.T) {
	var h histogram
	h.record(time.Hour)
	if got := h.counts[histogramBuckets-1]; got != 1 {
		t.Fatalf("last bucket holds %d, want 1", got)
	}
}

func TestQuantilesOfMergedHistogramsAreThoseOfAllValues(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	parts := make([]histogram, 3)
	var all []time.Duration
	for range 30_000 {
		d := time.Duration(random.ExpFloat64() * float64(time.Millisecond))
		parts[random.IntN(len(parts))].record(d)
		all = append(all, d)
	}
	slices.Sort(all)
	var whole histogram
	for i := range parts {
		whole.merge(&parts[i])
	}
	if got := whole.count(); got != int64(len(all)) {
		t.Fatalf("count is %d, want %d", got, len(all))
	}
	for _, q := range []float64{0.5, 0.99, 0.999} {
		want := all[int(q*float64(len(all)))]
		got := whole.quantile(q)
		if got < want || float64(got) > 1.017*float64(want) {
			t.Errorf("quantile %v is %v, want %v or up to 1.7 %% more", q, got, want)
		}
	}
	if got, want := whole.quantile(1), all[len(all)-1]; got != want {
		t.Errorf("quantile 1 is %v, want the largest, %v", got, want)
	}
}

func TestAnEmptyHistogramHasQuantileZero(t *testing.T) {
	if got := new(histogram).quantile(0.5); got != 0 {
		t.Fatalf("quantile is %v, want 0", got)
	}
}
