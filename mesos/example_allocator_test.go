package mesos_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/synod-go/synod/mesos"
)

// Two frameworks share 9 CPUs and 18 GB: a's tasks need 1 CPU and 4 GB each, b's 3 CPUs and
// 1 GB. Of what dominates its tasks each gets two thirds (DRF section 4.1).
func ExampleAllocator() {
	allocator := mesos.NewAllocator(mesos.AllocatorConfig{Rand: rand.New(rand.NewPCG(1, 2))})
	machine, _ := mesos.ParseResources("cpus:9;mem:18432")
	allocator.AddAgent("machine", machine)

	task := map[mesos.FrameworkID]mesos.Resources{}
	task["a"], _ = mesos.ParseResources("cpus:1;mem:4096")
	task["b"], _ = mesos.ParseResources("cpus:3;mem:1024")
	allocator.AddFramework("a", nil)
	allocator.AddFramework("b", nil)

	tasks := map[mesos.FrameworkID]int{}
	for offers := allocator.Allocate(0); len(offers) > 0; offers = allocator.Allocate(0) {
		o := offers[0]
		rest, fits := o.Resources.Sub(task[o.Framework])
		if !fits {
			allocator.Recover(o.Framework, o.Role, o.Agent, o.Resources, time.Hour, 0) // declined for an hour
			continue
		}
		tasks[o.Framework]++
		allocator.Recover(o.Framework, o.Role, o.Agent, rest, 0, 0) // what the task does not need
	}
	fmt.Println("a:", tasks["a"], "b:", tasks["b"], "left:", allocator.Available("machine"))
	// Output: a: 3 b: 2 left: mem:4096
}
