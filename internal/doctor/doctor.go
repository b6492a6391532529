// Package doctor looks at the machine on which a node or an agent is to run, and says of each thing
// that has kept others from running whether it is well, why that matters, and what to do about it.
//
// It changes nothing but for a file of 4 KiB in the data directory, which is gone at once.
package doctor

import (
	"context"
	"fmt"
	"time"
)

// State says how well something is.
type State string

// What is Fail keeps a node from running, or from running safely; what is Warn will be missed some day.
const (
	OK   State = "ok"
	Warn State = "warn"
	Fail State = "fail"
)

// Finding is what a probe has found.
type Finding struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	Value string `json:"value"` // what was seen
	Why   string `json:"why"`   // why it matters
	// Do is a command or a change that mends it, if it is not well.
	Do string `json:"do,omitempty"`
}

// Machine is what a node is to be started with.
type Machine struct {
	// Dir is the data directory, which need not be there.
	Dir string
	// Listen and Advertise are hosts, as the flags have them. Advertise "" is Listen.
	Listen, Advertise string
	// Ports are those of the API, the link and gossip.
	Ports [3]int
	// Running names the node that holds the ports now, because it is the one that is looked at. "" for none.
	Running string
	// Peers are HOST:PORT of others: names in them must resolve, and requests to them must not go by a proxy.
	Peers []string
	// Docker is the engine's address. "" is DOCKER_HOST, or the socket at its usual place.
	Docker string
}

// ProbeTimeout bounds each probe.
const ProbeTimeout = time.Second

// probe is one of the things that are looked at. It returns when ctx ends.
type probe struct {
	name, why string
	look      func(context.Context, Machine) Finding
}

// probes are in the order in which they bite.
var probes = []probe{
	{"ports", "a node that cannot listen does not start", ports},
	{"data directory", "what is acknowledged is written here first, and a slow disk makes slow writes and false elections", dataDir},
	{"disk space", "a node whose disk is full takes no writes", space},
	{"clock", "leases and timetables rely on clocks that run alike", clock},
	{"gossip by UDP", "without it the nodes hold each other for dead", datagrams},
	{"open files", "each client and each task takes some", openFiles},
	{"cgroups", "without them a task may take more memory and processors than it has", cgroups},
	{"docker", "tasks that are containers need an engine", engine},
	{"proxy", "requests to the nodes must not go by a proxy", proxies},
	{"pidfd", "it tells the end of a task at once", pidfd},
	{"names", "the others find this node at its advertised address", names},
}

// Look runs all probes at once and returns what they have found, in the order in which they bite, within
// about ProbeTimeout.
func Look(ctx context.Context, m Machine) []Finding {
	ctx, cancel := context.WithTimeout(ctx, ProbeTimeout)
	defer cancel()
	found := make([]chan Finding, len(probes))
	for i, p := range probes {
		found[i] = make(chan Finding, 1)
		go func() { found[i] <- p.look(ctx, m) }()
	}
	list := make([]Finding, len(probes))
	for i, p := range probes {
		list[i] = p.await(ctx, found[i])
		list[i].Name, list[i].Why = p.name, p.why
	}
	return list
}

// patience is for a probe to say what it has when its time is up.
const patience = time.Second

// await takes what a probe says. One that says nothing hangs in a call of the system.
func (p probe) await(ctx context.Context, found <-chan Finding) Finding {
	select {
	case f := <-found:
		return f
	case <-ctx.Done():
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case f := <-found:
		return f
	case <-late.C:
		return Finding{State: Fail, Value: fmt.Sprintf("the system does not answer within %v", ProbeTimeout), Do: "look whether a disk or a file system hangs:  dmesg | tail"}
	}
}
