package mesos_test

import (
	"fmt"
	"time"

	"github.com/synod-go/synod/mesos"
)

// The store crashes, and with it what needs it is started again, a second later.
func ExampleSupervisor() {
	supervisor, err := mesos.NewSupervisor(mesos.SupervisorConfig{
		Strategy: mesos.RestForOne, Intensity: 3, Period: time.Minute, Backoff: mesos.Backoff{Initial: time.Second},
		Children: []mesos.ChildSpec{{ID: "clock"}, {ID: "store"}, {ID: "cache", Restart: mesos.Transient}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	show := func(what string, out mesos.SupervisorOutput) {
		fmt.Print(what, ":")
		for _, o := range out.Orders {
			fmt.Print(" ", o.Kind, " ", o.Child, " (run ", o.Run, ")")
		}
		fmt.Println()
	}
	show("start", supervisor.Start(0))
	show("store crashed", supervisor.Exited(9*time.Second, "store", 2, mesos.ExitCrash))
	show("cache is down", supervisor.Exited(9*time.Second, "cache", 3, mesos.ExitShutdown))
	at, _ := supervisor.Next()
	show(fmt.Sprint("at ", at), supervisor.Tick(at))
	// Output:
	// start: start clock (run 1) start store (run 2) start cache (run 3)
	// store crashed: stop cache (run 3)
	// cache is down:
	// at 10s: start store (run 4) start cache (run 5)
}
