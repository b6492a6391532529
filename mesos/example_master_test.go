package mesos_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/synod-go/synod/mesos"
)

// A master is elected, an agent registers, and a scheduler starts a task with what it is
// offered. The loop stands for the host: it commits to the registry and carries messages.
func ExampleMaster() {
	registry, _ := mesos.NewRegistry(mesos.RegistryConfig{})
	master, err := mesos.NewMaster(mesos.MasterConfig{Name: "node-1", Rand: rand.New(rand.NewPCG(1, 2))}, 1, 0, 1_700_000_000*time.Second)
	if err != nil {
		fmt.Println(err)
		return
	}
	now, index := time.Duration(0), uint64(0)
	host := func() {
		for out := master.Output(); ; out = master.Output() {
			for _, a := range out.ToAgents {
				switch v := a.Message.(type) {
				case mesos.Registered:
					fmt.Println("to the agent: registered as", v.Agent)
					master.AgentMessage(now, a.Link, mesos.Pong{Agent: v.Agent, Term: 1, Sequence: 1})
				case mesos.Launch:
					fmt.Println("to the agent: launch", v.Task.ID, "with", v.Task.Resources)
				}
			}
			for _, e := range out.ToSchedulers {
				switch v := e.Event.(type) {
				case mesos.SubscribedEvent:
					fmt.Println("to the scheduler: subscribed as", v.Framework)
				case mesos.OffersEvent:
					o := v.Offers[0]
					fmt.Println("to the scheduler: offered", o.Resources, "of", o.Agent)
					one, _ := mesos.ParseResources("cpus:1;mem:512")
					task := mesos.TaskInfo{ID: "web", Agent: o.Agent, Resources: one, Command: mesos.Command{Value: "httpd", Shell: true}}
					master.Call(now, mesos.Call{Stream: e.Stream, Framework: o.Framework,
						Body: mesos.AcceptCall{Offers: []mesos.OfferID{o.ID}, Launch: []mesos.TaskInfo{task}}})
				}
			}
			if len(out.Commit) == 0 {
				if len(out.ToAgents)+len(out.ToSchedulers) == 0 {
					return
				}
				continue
			}
			index++
			command := mesos.RegistryCommand{Term: 1, Operations: out.Commit}
			master.Committed(now, registry.Carry(index, command).Results...)
		}
	}
	host()
	master.Loaded(now, registry.Clone())

	all, _ := mesos.ParseResources("cpus:4;mem:8192")
	info := mesos.AgentInfo{Hostname: "a", Address: "10.0.0.2:4701", Resources: all}
	master.AgentMessage(now, 1, mesos.Register{Info: info, Boot: "b", Attempt: 1, Sequence: 1, Term: 1})
	master.Call(now, mesos.Call{Stream: "s", Body: mesos.SubscribeCall{Info: mesos.FrameworkInfo{Name: "web"}}})
	host()
	now += 10 * time.Millisecond
	master.Tick(now)
	host()
	// Output:
	// to the agent: registered as 1-A1
	// to the scheduler: subscribed as 1-F1
	// to the scheduler: offered cpus:4;mem:8192 of 1-A1
	// to the agent: launch web with cpus:1;mem:512
}
