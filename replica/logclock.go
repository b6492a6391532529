package replica

import "time"

// LogClock makes a leader's stamps. It goes on from the last stamp by a clock
// that cannot be set, and only leans towards the wall clock: log time runs at
// most at twice and at least at 999 thousandths of the speed of real time, and
// never back, so a wall clock that is set, by a second or by a year, changes
// nothing at once. An error of the wall clocks that lasts for d moves log time
// by d at most.
//
// It takes the wall clock as it is in two cases: for the first stamp of a group,
// and when log time lies before 2020, because the clocks had not been set yet.
// The value of NewLogClock is owned by one goroutine.
type LogClock struct {
	at   int64 // what the monotonic clock showed, in microseconds
	time int64 // log time then, in microseconds
}

// NewLogClock goes on from a stamp, in Unix milliseconds, that was applied when
// the monotonic clock showed at. Stamp 0 is none.
func NewLogClock(stamp int64, at time.Duration) LogClock {
	return LogClock{at: at.Microseconds(), time: stamp * 1000}
}

// unset is the time before which a wall clock has not been set: 2020-01-01.
const unset = 1_577_836_800_000

// slowest is the part of the elapsed time by which log time may fall back
// behind a wall clock. A clock that is far behind for days must not make right
// ones look as if they were far ahead.
const slowest = 1000

// Stamp returns log time in Unix milliseconds, for [SetTime]. now is what the
// monotonic clock shows, wall the wall clock in Unix milliseconds, and known
// the greatest stamp in the log, as far as it is known ([Replica.LogTime]).
func (c *LogClock) Stamp(now time.Duration, wall, known int64) int64 {
	elapsed := max(now.Microseconds()-c.at, 0)
	t := max(c.time+elapsed, known*1000)
	switch wall := min(max(wall, 0), MaxTime) * 1000; {
	case t < unset*1000:
		t = max(t, wall)
	case wall > t:
		t += min(wall-t, elapsed)
	default:
		t -= min(t-wall, elapsed/slowest)
	}
	c.at += elapsed
	c.time = min(max(t, c.time, known*1000), MaxTime*1000)
	return c.time / 1000
}
