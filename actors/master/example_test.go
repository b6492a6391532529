package master_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/master"
	"github.com/synod-go/synod/mesos"
)

// alone is the registry of a cluster of one node, which leads it.
type alone struct {
	mu       sync.Mutex
	registry *mesos.Registry
	index    uint64
}

func (a *alone) Propose(_ context.Context, command []byte) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.index++
	return a.registry.Apply(a.index, 0, command), nil
}

func (a *alone) SurelyNot(error) bool { return false }

func (a *alone) Read(_ context.Context, _ bool, f func(*mesos.Registry)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a.registry)
	return nil
}

func (a *alone) Leads() bool                      { return true }
func (a *alone) Leader() (uint64, string, string) { return 1, "n1", "n1:4700" }

// A node whose master leads admits an agent and shows it.
func Example() {
	registry, err := mesos.NewRegistry(mesos.RegistryConfig{})
	if err != nil {
		panic(err)
	}
	start := time.Now()
	h, err := master.Spawn(actors.NewSystem(nil), master.Config{Group: &alone{registry: registry}, Name: "n1", Address: "n1:4700",
		Clock: func() time.Duration { return time.Since(start) }}, "master", actors.NewStrategy(actors.StrategyConfig{}))
	if err != nil {
		panic(err)
	}
	for changed := h.Changed(); h.Leads() != nil; changed = h.Changed() {
		<-changed
	}
	link, err := h.Connect()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	register := mesos.Register{Info: mesos.AgentInfo{Hostname: "a1", Address: "a1:4705"}, Boot: "b", Attempt: 1, Sequence: 1}
	if err := link.Deliver(ctx, register); err != nil {
		panic(err)
	}
	messages, err := link.Next(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%T by the master of term %d\n", messages[0], messages[0].(mesos.Registered).Term)
	view, err := h.View(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(view.Agents[0].Info.Hostname, view.Agents[0].State)
	// Output:
	// mesos.Registered by the master of term 1
	// a1 registered
}
