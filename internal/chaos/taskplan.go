package chaos

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Unit is a piece of work that is to be done once, whatever becomes of the tasks that do it:
// one that never started, or was ended with its shim, is followed by another task.
type Unit struct {
	Number int
	// Time is how long its task works if nobody disturbs it, and Code how it exits.
	Time time.Duration
	Code int
	// Deaf tasks take no notice of SIGTERM.
	Deaf bool
	// KillAfter, unless 0, is how long after it runs the scheduler kills the task, which
	// completes the unit too.
	KillAfter time.Duration
}

// Name is the unit's, of which its ledger and its tasks have theirs.
func (u Unit) Name() string { return fmt.Sprintf("unit%d", u.Number) }

// PlanUnits draws units of mixed length: half are over in three seconds, a few take as long as
// the longest.
func PlanUnits(seed uint64, count int, longest time.Duration) []Unit {
	random := rand.New(rand.NewPCG(seed, 0x756e697473))
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(random.Int64N(int64(max(most-least, 1))))
	}
	units := make([]Unit, count)
	for n := range units {
		u := Unit{Number: n, Code: [...]int{0, 0, 0, 1, 7, 255}[random.IntN(6)], Deaf: random.IntN(5) == 0}
		switch random.IntN(8) {
		case 0, 1, 2, 3:
			u.Time = between(50*time.Millisecond, 3*time.Second)
		case 4, 5, 6:
			u.Time = between(3*time.Second, longest/3)
		default:
			u.Time = between(longest/3, longest)
		}
		if random.IntN(10) == 0 {
			u.KillAfter = between(0, 2*time.Second)
		}
		units[n] = u
	}
	return units
}
