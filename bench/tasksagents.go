package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
)

// A fleet is many agents of this process: real cores on real links, whose containers are
// only a state. They start when they are told to, and end when they are killed.
type fleet struct {
	addresses []string // of the control nodes
	agents    []*simulatedAgent
	begun     time.Time // the zero of their clock
	stop      context.CancelFunc
	ended     sync.WaitGroup

	mutex      sync.Mutex
	term       mesos.Term // the highest with which one was registered
	registered int        // with that
	changed    chan struct{}
}

// simulatedAgent is one of them.
type simulatedAgent struct {
	fleet *fleet
	good  string // the address that took a link last
	mutex sync.Mutex
	core  *mesos.Agent
	link  *agentLink // nil: none
	timer *time.Timer
	known mesos.Term // of the master with which it counts as registered; 0: none
}

// Of each simulated agent.
const simulatedResources = "cpus:32;mem:65536"

// startFleet starts n agents, which look for the leading master by themselves.
func startFleet(ctx context.Context, addresses []string, n int) (*fleet, error) {
	resources, err := mesos.ParseResources(simulatedResources)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	f := &fleet{addresses: addresses, begun: time.Now(), stop: stop, changed: make(chan struct{})}
	for i := range n {
		core, err := mesos.NewAgent(mesos.AgentConfig{
			Info: mesos.AgentInfo{Hostname: fmt.Sprintf("sim-%05d", i), Address: fmt.Sprintf("10.%d.%d.%d:4750", i>>16, i>>8&255, i&255), Resources: resources},
			Boot: fmt.Sprintf("boot-%05d", i),
			Rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		}, nil, 0)
		if err != nil {
			stop()
			return nil, err
		}
		f.agents = append(f.agents, &simulatedAgent{fleet: f, core: core})
	}
	for _, a := range f.agents {
		f.ended.Go(func() { a.run(ctx) })
	}
	return f, nil
}

// end drops all links.
func (f *fleet) end() {
	f.stop()
	for _, a := range f.agents {
		a.mutex.Lock()
		if a.timer != nil {
			a.timer.Stop()
		}
		a.mutex.Unlock()
	}
	f.ended.Wait()
}

// begins counts an agent that has come to be registered with the master of term, ends one
// that is so no more.
func (f *fleet) begins(term mesos.Term) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if term > f.term {
		f.term, f.registered = term, 0
	}
	if term == f.term {
		f.registered++
	}
	f.notify()
}

func (f *fleet) ends(term mesos.Term) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if term == f.term {
		f.registered--
	}
	f.notify()
}

func (f *fleet) notify() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// await returns when n agents are registered with one master, of the given term or later.
func (f *fleet) await(ctx context.Context, term mesos.Term, n int) error {
	for {
		f.mutex.Lock()
		now, changed := f.registered, f.changed
		if f.term < term {
			now = 0
		}
		f.mutex.Unlock()
		if now >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d agents are registered: %w", now, n, ctx.Err())
		}
	}
}

// running is how many of the agents' tasks run.
func (f *fleet) running() (n int) {
	for _, a := range f.agents {
		a.mutex.Lock()
		for _, t := range a.core.Tasks() {
			if t.State == mesos.Running {
				n++
			}
		}
		a.mutex.Unlock()
	}
	return n
}

// Pauses between attempts to reach a master are those of a real agent: random times up to one
// that doubles.
const firstDialPause, mostDialPause = 100 * time.Millisecond, 5 * time.Second

func (a *simulatedAgent) run(ctx context.Context) {
	for pause := firstDialPause; ctx.Err() == nil; pause = min(2*pause, mostDialPause) {
		begun := time.Now()
		if l, err := a.dial(ctx); err == nil {
			a.serve(ctx, l)
			if time.Since(begun) > mostDialPause {
				pause = firstDialPause
			}
		}
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
		}
	}
}

// dial asks the nodes as a real agent does: first the one whose master led last, then the others
// in any order, and whom they name.
func (a *simulatedAgent) dial(ctx context.Context) (l *agentLink, err error) {
	waiting := []string{a.good}
	for _, i := range rand.Perm(len(a.fleet.addresses)) {
		waiting = append(waiting, a.fleet.addresses[i])
	}
	asked := map[string]bool{"": true}
	for len(waiting) > 0 && ctx.Err() == nil {
		address := waiting[0]
		if waiting = waiting[1:]; asked[address] {
			continue
		}
		asked[address] = true
		if l, err = dialLink(ctx, address); err == nil {
			a.good = address
			return l, nil
		}
		if refused, ok := errors.AsType[*api.Error](err); ok && refused.Leader != nil {
			waiting = append([]string{refused.Leader.API}, waiting...)
		}
	}
	return nil, errors.Join(err, ctx.Err())
}

// serve is an agent's life with one link.
func (a *simulatedAgent) serve(ctx context.Context, l *agentLink) {
	defer l.close()
	stop := context.AfterFunc(ctx, l.close)
	defer stop()
	a.do(func() {
		a.link = l
		a.core.Connected(l.term)
	})
	for {
		messages, err := l.receive()
		if err != nil {
			break
		}
		a.do(func() {
			for _, m := range messages {
				a.core.Step(m)
			}
		})
	}
	a.do(func() {
		a.link = nil
		a.core.Disconnected()
	})
}

// do gives the core something and carries out what it says.
func (a *simulatedAgent) do(input func()) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.core.Tick(time.Since(a.fleet.begun), time.Duration(time.Now().UnixNano()))
	input()
	for a.carryOut(a.core.Output()) {
	}
	if a.link != nil && a.link.flush() != nil {
		a.link.close() // whoever reads it comes to know
	}
	a.count()
	a.wakeLater()
}

func (a *simulatedAgent) count() {
	var now mesos.Term
	if a.core.Registered() {
		now = a.core.Term()
	}
	if now == a.known {
		return
	}
	if a.known != 0 {
		a.fleet.ends(a.known)
	}
	if a.known = now; now != 0 {
		a.fleet.begins(now)
	}
}

// carryOut does what an output says, nothing on a disk. It reports whether containers have
// begun or ended by it.
func (a *simulatedAgent) carryOut(out mesos.Output) (again bool) {
	for _, m := range out.Send {
		if a.link != nil && a.link.add(m) != nil {
			a.link.close()
		}
	}
	if out.Detect && a.link != nil {
		a.link.close()
	}
	for _, s := range out.Start {
		a.core.Event(mesos.ContainerEvent{Container: s.Container, Kind: mesos.ContainerStarted})
	}
	for _, s := range out.Stop {
		a.core.Event(mesos.ContainerEvent{Container: s.Container, Kind: mesos.ContainerExited, Exit: mesos.ContainerExit{Known: true, Signal: 15}})
	}
	return len(out.Start)+len(out.Stop) > 0
}

func (a *simulatedAgent) wakeLater() {
	at, ok := a.core.Next()
	if !ok {
		return
	}
	in := max(0, at-time.Since(a.fleet.begun))
	if a.timer == nil {
		a.timer = time.AfterFunc(in, func() { a.do(func() {}) })
		return
	}
	a.timer.Reset(in)
}
