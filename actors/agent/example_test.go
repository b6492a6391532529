//go:build linux

package agent_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/synod-go/synod/actors/agent"
	"github.com/synod-go/synod/mesos"
)

// An agent that reaches no master yet: it waits for one, and says so.
func ExampleStart() {
	work, err := os.MkdirTemp("", "agent")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(work)
	resources, _ := mesos.ParseResources("cpus:2;mem:2048")
	a, err := agent.Start(context.Background(), agent.Config{
		Work: work,
		Info: mesos.AgentInfo{Hostname: "a1", Address: "127.0.0.1:4705", Resources: resources},
		Dial: func(context.Context) (agent.Link, error) { return nil, errors.New("no master leads") }, // api.DialMaster
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := a.Status(context.Background())
	fmt.Println(s.Info.Hostname, "has", s.Info.Resources, "registered:", s.Registered)

	_, err = agent.Start(context.Background(), agent.Config{Work: work, Dial: func(context.Context) (agent.Link, error) { return nil, nil }})
	_, second := errors.AsType[*agent.LockedError](err)
	fmt.Println("a second one in the same directory is refused:", second)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println("stopped:", a.Stop(ctx)) // tasks would run on
	// Output:
	// a1 has cpus:2;mem:2048 registered: false
	// a second one in the same directory is refused: true
	// stopped: <nil>
}
