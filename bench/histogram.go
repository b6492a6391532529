package main

import (
	"math/bits"
	"time"
)

// A histogram counts durations in fixed log-linear buckets: every power of two
// is cut into 64 equal parts, so that a quantile is at most 1.6 % too high. The
// finest bucket is 32 ns wide, and all above 137 s shares the last one.
//
// Each client owns one and records without a lock; merge adds them up when the
// clients have stopped.
type histogram struct {
	counts [histogramBuckets]uint32
	max    time.Duration
}

const (
	histogramUnitBits   = 5 // 32 ns
	histogramPartBits   = 6 // 64 parts for each power of two
	histogramValueBits  = 37
	histogramPowers     = histogramValueBits - histogramUnitBits - histogramPartBits
	histogramBuckets    = (histogramPowers + 1) << histogramPartBits
	histogramPartsOfOne = 1 << histogramPartBits
)

// record counts one duration. A negative one counts as zero.
func (h *histogram) record(d time.Duration) {
	d = max(d, 0)
	h.max = max(h.max, d)
	h.counts[bucketOf(d)]++
}

// merge adds the counts of other.
func (h *histogram) merge(other *histogram) {
	h.max = max(h.max, other.max)
	for i, n := range other.counts {
		h.counts[i] += n
	}
}

// count is the number of recorded durations.
func (h *histogram) count() int64 {
	var n int64
	for _, c := range h.counts {
		n += int64(c)
	}
	return n
}

// quantile returns the upper end of the bucket that holds the q-th part of all
// recorded durations, and never more than the largest of them. It is 0 when
// nothing was recorded.
func (h *histogram) quantile(q float64) time.Duration {
	total := h.count()
	rank := min(int64(q*float64(total))+1, total)
	for i, c := range h.counts {
		if rank -= int64(c); rank <= 0 && c > 0 {
			return min(bucketEnd(i), h.max)
		}
	}
	return 0
}

func bucketOf(d time.Duration) int {
	units := uint64(d) >> histogramUnitBits
	if units < histogramPartsOfOne {
		return int(units)
	}
	power := bits.Len64(units) - histogramPartBits
	part := units>>(power-1) - histogramPartsOfOne
	return min(power<<histogramPartBits+int(part), histogramBuckets-1)
}

// bucketEnd is the first duration that no longer belongs to bucket i.
func bucketEnd(i int) time.Duration {
	if i < histogramPartsOfOne {
		return time.Duration(i+1) << histogramUnitBits
	}
	power, part := i>>histogramPartBits, i&(histogramPartsOfOne-1)
	return time.Duration(histogramPartsOfOne+part+1) << (power - 1 + histogramUnitBits)
}
