package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/synod-go/synod/actors/agent"
	"github.com/synod-go/synod/api"
)

// addAgents gives the fleet n agents, which share the machine: each has ports of its own for tasks.
func (f *fleet) addAgents(n int) error {
	for i := range n {
		c := &child{name: fmt.Sprintf("a%d", i+1)}
		if err := f.takePort(c, 0, f.base+10*i+5); err != nil {
			return err
		}
		block, claim, err := claimBlock(f.base == defaultBase)
		if err != nil {
			return err
		}
		c.tasks, f.claims = fmt.Sprintf("[%d-%d]", block, block+blockPorts-2), append(f.claims, claim)
		f.agents = append(f.agents, c)
	}
	return nil
}

// defaultBase is the first port of dev, unless it is told another.
const defaultBase = 4700

// blockPorts is how many ports an agent's tasks have, and one that its fleet holds as a sign.
const blockPorts = 100

// claimBlock finds a block of ports for tasks that no other fleet on this machine has, below those that the
// kernel hands out, or else above. In order: the lowest.
func claimBlock(inOrder bool) (first int, claim net.Listener, err error) {
	var low, high []int
	for block := 31000; block+blockPorts <= 32700; block += blockPorts {
		low = append(low, block)
	}
	for block := 61000; block+blockPorts <= 65500; block += blockPorts {
		high = append(high, block)
	}
	if !inOrder {
		rand.Shuffle(len(low), func(i, j int) { low[i], low[j] = low[j], low[i] })
	}
	for _, block := range append(low, high...) {
		claim, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(block+blockPorts-1)))
		if err != nil {
			continue
		}
		if portFree(block) {
			return block, claim, nil
		}
		claim.Close()
	}
	return 0, nil, &api.Error{Code: api.CodePort, Message: "no free ports for tasks on 127.0.0.1", Do: []string{"end other clusters of dev, or --agents 0"}}
}

// portFree reports whether a port can be listened on.
func portFree(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil {
		l.Close()
	}
	return err == nil
}

// agentArgs are what starts an agent again by hand.
func (f *fleet) agentArgs(c *child) []string {
	zone := string(rune('a' + slices.Index(f.agents, c)))
	return []string{"agent", "--name", c.name, "--work", f.work(c), "--port", strconv.Itoa(c.ports[0]), "--master", strings.Join(f.addrs(), ","),
		"--resources", "cpus:2;mem:1024;ports:" + c.tasks, "--attributes", "zone=" + zone, "--end-tasks"}
}

// lifelineVariable tells an agent that it has a lifeline of its fleet: a pipe on which its tasks end soon after the
// process of the fleet, even if the agent was killed before.
const lifelineVariable = "SYNOD_LIFELINE"

// work is the work directory of an agent.
func (f *fleet) work(c *child) string { return filepath.Join(f.dir, c.name) }

// endTasks ends what agents that were killed have left running, and gives the ports back.
func (f *fleet) endTasks() {
	for _, c := range f.agents {
		ctx, cancel := context.WithTimeout(context.Background(), endPatience)
		_ = agent.EndTasks(ctx, f.work(c), time.Second) // what cannot be ended goes on, and is seen by ps(1)
		cancel()
	}
	for _, claim := range f.claims {
		claim.Close()
	}
	f.alive.Close()
	f.lifeline.Close()
}

// awaitAgents waits until all agents are registered.
func (f *fleet) awaitAgents(ctx context.Context, client *api.Client) error {
	for {
		ask, cancel := context.WithTimeout(ctx, time.Second)
		list, err := client.Agents(ask)
		cancel()
		registered := 0
		for _, a := range list {
			if a.State == "registered" {
				registered++
			}
		}
		if err == nil && registered >= len(f.agents) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, fmt.Errorf("%d of %d agents are registered", registered, len(f.agents)))
		case <-time.After(20 * time.Millisecond):
		}
		if slices.ContainsFunc(f.agents, func(c *child) bool { return c.died() }) {
			return errors.New("an agent has ended")
		}
	}
}
