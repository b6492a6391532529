package replica

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	year    = 365 * 24 * int64(time.Hour/time.Millisecond)
	present = 1_800_000_000_000
)

func TestAWallClockThatIsSetMovesLogTimeByNothingAtOnce(t *testing.T) {
	for _, jump := range []int64{year, -year, 120_000, -120_000, 50 * year, -50 * year} {
		c := NewLogClock(0, time.Hour)
		if got := c.Stamp(time.Hour, present, 0); got != present {
			t.Fatalf("first stamp %d, want the wall clock's %d", got, int64(present))
		}
		if got := c.Stamp(time.Hour, present+jump, present); got != present {
			t.Errorf("jump by %d ms: log time moved by %d at once", jump, got-present)
		}
		got := c.Stamp(time.Hour+time.Minute, present+60_000+jump, present) - present
		want := int64(120_000)
		if jump < 0 {
			want = 60_000 - 60
		}
		if got != want {
			t.Errorf("jump by %d ms: log time went on by %d in a minute, want %d", jump, got, want)
		}
	}
}

func TestLogTimeComesBackToTheWallClock(t *testing.T) {
	c := NewLogClock(present-90_000, 0) // an outage of 90 s
	if got := c.Stamp(90*time.Second, present+90_000, 0); got != present+90_000 {
		t.Errorf("after as long as the outage took: %d behind", present+90_000-got)
	}
	c = NewLogClock(present+1000, 0) // a leader ahead by a second was here
	if got := c.Stamp(1000*time.Second, present+1000_000, 0); got != present+1000_000 {
		t.Errorf("after 1000 s: %d ahead", got-present-1000_000)
	}
}

func TestAClockThatHadNotBeenSetIsBelievedOnceItIs(t *testing.T) {
	c := NewLogClock(0, 0)
	c.Stamp(time.Second, 5_000, 0) // a machine without a battery, before NTP
	if got := c.Stamp(2*time.Second, present, 5_000); got != present {
		t.Errorf("log time %d, want %d", got, int64(present))
	}
}

// Whatever leaders and wall clocks there are: never back, never faster than
// twice as fast as real time, and not slower than real time but for a thousandth.
func TestLogTimeKeepsItsSpeed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		clock := func() int64 { return present + rapid.Int64Range(-year, year).Draw(rt, "wall") }
		stamp := int64(present) // applied everywhere
		now, seen := int64(0), int64(0)
		c := NewLogClock(stamp, 0)
		for range rapid.IntRange(1, 30).Draw(rt, "stamps") {
			step := rapid.Int64Range(0, 100_000).Draw(rt, "step")
			now += step
			if rapid.Bool().Draw(rt, "another leader") {
				c = NewLogClock(stamp, time.Duration(seen)*time.Millisecond)
			}
			next := c.Stamp(time.Duration(now)*time.Millisecond, clock(), stamp)
			if went := next - stamp; went < step-step/slowest-1 || went > 2*step {
				rt.Fatalf("log time went on by %d in %d ms", went, step)
			}
			stamp, seen = next, now
		}
	})
}
