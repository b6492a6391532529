package sim

import (
	"fmt"
	"runtime/debug"

	"github.com/synod-go/synod/consensus"
)

// course is what every kind of world has: a plan and what its seed draws, the
// time, and what has happened so far.
type course struct {
	plan    Plan
	weather weather
	dice    dice
	net     network

	now       int64 // nanoseconds of the world
	steps     uint64
	print     uint64 // rolling hash of everything that happened
	faults    [32]uint64
	healed    bool // the liveness phase has begun
	healedAt  int64
	finished  bool
	sometimes sometimes
	stats     Stats
	tracer    *tracer
}

func newCourse(p Plan) course {
	c := course{plan: p, dice: dice{seed: p.Seed}}
	c.weather = drawWeather(&c.dice, p)
	return c
}

// firstMembers are the voters that the group begins with.
func (c *course) firstMembers() (members []consensus.Member) {
	for slot := range c.weather.voters {
		m := consensus.Member{ID: consensus.ID(slot + 1), Voter: true}
		if d := c.dice.at(streamPlan, 1, uint64(slot)+1); d.perMille(200) && !c.weather.plain {
			m.Priority = int32(d.split().below(3))
		}
		if c.weather.ranked && slot == 0 {
			m.Priority = 9
		}
		members = append(members, m)
	}
	return members
}

// has reports whether a class of faults happens at this time.
func (c *course) has(f Fault) bool { return !c.healed && c.weather.on&f != 0 }

// over reports whether the run has done what its plan says.
func (c *course) over() bool {
	return c.finished || c.plan.Stop != 0 && c.steps >= c.plan.Stop
}

// begin is the beginning of an event.
func (c *course) begin(at int64, kind eventKind, slot int) {
	c.now = max(c.now, at)
	c.steps++
	c.fold(uint64(c.now)<<8 ^ uint64(kind)<<4 ^ uint64(slot))
}

// diskDelay is how long the next flush or read of a machine's disk takes.
func (c *course) diskDelay(slot int) int64 {
	d := c.dice.roll(streamDisk, slot)
	t := 20*micro + d.around(c.weather.flush)
	if c.has(SlowDisk) {
		if d = d.split(); d.perMille(c.weather.slowFlushes) {
			t += d.split().around(c.weather.slowFlush)
		}
	}
	return t
}

// fold adds to the fingerprint of the run.
func (c *course) fold(x uint64) { c.print = mix(c.print ^ x) }

// comes reports whether the n-th fault of a class happens, and counts it: the
// plan may leave it out.
func (c *course) comes(class Fault, number uint64) bool {
	for _, s := range c.plan.Skip {
		if s.Class == class && s.N == number {
			return false
		}
	}
	c.faults[bit(class)]++
	c.trace("fault     %v:%d", class, number)
	return true
}

// trace adds a line, if the run is traced.
func (c *course) trace(format string, args ...any) {
	if c.tracer != nil {
		c.tracer.add(fmt.Sprintf("%9d %11.6f  ", c.steps, float64(c.now)/1e9) + fmt.Sprintf(format, args...))
	}
}

func (c *course) result() Result {
	c.stats.Steps = c.steps
	c.stats.Faults = map[string]uint64{}
	for i, n := range c.faults {
		if n > 0 {
			c.stats.Faults[faultNames[i]] = n
		}
	}
	return Result{Plan: c.plan, Print: c.print, Stats: c.stats, Sometimes: c.sometimes, On: c.weather.on}
}

// failure makes a Failure of what a run panicked with.
func (c *course) failure(r any) *Failure {
	f := &Failure{Rule: "panic", Step: c.steps, At: c.now, Transcript: c.tracer.all()}
	if v, ok := r.(violation); ok {
		f.Rule, f.Text = v.rule, v.text
		return f
	}
	f.Text = fmt.Sprintf("%v\n%s", r, debug.Stack())
	return f
}
