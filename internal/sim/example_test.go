package sim_test

import (
	"fmt"

	"github.com/synod-go/synod/internal/sim"
)

// A run is a function of its plan: three replicas under loss and crashes, and
// every rule holds.
func ExampleRun() {
	calm := sim.AllFaults &^ (sim.Loss | sim.Crash)
	r := sim.Run(sim.Plan{Seed: 1, Steps: 5000, Voters: 3, Off: calm}, false)
	fmt.Println("broken:", r.Failure != nil)
	// Output: broken: false
}
