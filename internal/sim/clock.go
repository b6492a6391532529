package sim

import "github.com/synod-go/synod/consensus"

// clock is one machine's own idea of time: a line through (world, local) with
// a rate in parts per million of the world's time. It never runs backwards and
// goes on while the process is paused or dead, as CLOCK_BOOTTIME does.
type clock struct {
	world int64
	local int64
	ppm   int64
}

const million = 1_000_000

// at is what the machine's clock shows at a moment of the world.
func (c *clock) at(world int64) consensus.Time {
	return consensus.Time(c.local + (world-c.world)*c.ppm/million)
}

// when is the first moment of the world at which the clock shows local or more.
func (c *clock) when(local consensus.Time) int64 {
	if local == never {
		return never
	}
	ahead := int64(local) - c.local
	return c.world + (ahead*million+c.ppm-1)/c.ppm
}

// jump moves the clock forward.
func (c *clock) jump(now, by int64) {
	c.local = int64(c.at(now)) + by
	c.world = now
}

// setRate changes how fast the clock runs from now on.
func (c *clock) setRate(now, ppm int64) {
	c.jump(now, 0)
	c.ppm = ppm
}

const never = 1<<63 - 1

// newClock is a machine's clock as the weather has them.
func (c *course) newClock(d draw) clock {
	k := clock{local: d.between(1, 1000*second), ppm: million}
	switch {
	case c.has(ClockRate):
		k.ppm = d.split().split().between(500_000, 2_000_000)
	case c.has(Lease): // any two clocks keep to MaxDrift, a tenth of the lease
		k.ppm = d.split().split().between(960_000, 1_040_000)
	}
	return k
}
