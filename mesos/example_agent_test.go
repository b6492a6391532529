package mesos_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/synod-go/synod/mesos"
)

// An agent is killed after it has saved a task and told to start it. The next one finds out
// from the container's run directory what has become of it, and starts nothing.
func ExampleAgent() {
	resources, _ := mesos.ParseResources("cpus:4;mem:1024")
	config := func(seed uint64) mesos.AgentConfig {
		return mesos.AgentConfig{
			Info: mesos.AgentInfo{Hostname: "rack-1", Address: "10.0.0.1:4701", Resources: resources},
			Boot: "4c1b", Rand: rand.New(rand.NewPCG(seed, 0)), // a host takes a seed that is never used again
		}
	}
	now := 10 * time.Second
	agent, err := mesos.NewAgent(config(1), nil, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	var disk mesos.Checkpoint
	carryOut := func() {
		out := agent.Output()
		disk = append(disk, out.Save...) // durable, before all that follows
		for _, c := range out.Bar {
			fmt.Println("bar", c)
		}
		for _, s := range out.Start {
			fmt.Println("start", s.Task.Command.Value)
		}
		for _, m := range out.Send {
			switch m := m.(type) {
			case mesos.Register:
				fmt.Printf("register with %d tasks\n", len(m.Tasks))
				agent.Step(mesos.Registered{Agent: "agent-1", Term: 7, Attempt: m.Attempt}) // as the master answers
			case mesos.StatusUpdate:
				fmt.Println("update", m.Status.Task.Task, m.Status.State)
			}
		}
	}
	register := func() {
		agent.Connected(7)
		for !agent.Registered() {
			now, _ = agent.Next()
			agent.Tick(now, 0)
			carryOut()
		}
		carryOut()
	}
	register()
	agent.Step(mesos.Launch{Term: 7, Sequence: 1, Container: mesos.ContainerID{1}, Framework: mesos.FrameworkInfo{ID: "f"},
		Task: mesos.TaskInfo{ID: "web", Agent: "agent-1", Command: mesos.Command{Value: "serve"}}})
	carryOut()

	fmt.Println("killed")
	agent, err = mesos.NewAgent(config(2), disk, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range agent.Unobserved() {
		agent.Observed(mesos.ObservedContainer{Container: c, Facts: mesos.Facts{Locked: true, Started: true, ShimAlive: true}})
	}
	carryOut()
	register()

	// Output:
	// register with 0 tasks
	// start serve
	// killed
	// register with 1 tasks
	// update web RUNNING
}
