package framework_test

import (
	"context"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/actors/agent"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/framework"
	"github.com/synod-go/synod/mesos"
)

// world is a cluster in this process: real nodes, in memory, with their HTTP interfaces, and
// agents whose containers are only a state.
type world struct {
	*synod.LocalCluster
	addrs   []string
	servers []*api.Server
	away    gate // while it is locked agents do not come back
	end     context.CancelFunc
	ended   sync.WaitGroup
}

func newWorld(ctx context.Context, nodes, agents int) (*world, error) {
	tree, err := api.NewTree(coordination.Config{})
	if err != nil {
		return nil, err
	}
	w := &world{}
	listeners := make([]net.Listener, nodes)
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, err
		}
		w.addrs = append(w.addrs, listeners[i].Addr().String())
	}
	newRegistry := func() synod.StateMachine {
		registry, err := mesos.NewRegistry(mesos.RegistryConfig{})
		if err != nil {
			panic(err)
		}
		return registry
	}
	w.LocalCluster, err = synod.NewLocalClusterAt(ctx, w.addrs, slog.New(slog.DiscardHandler),
		synod.GroupConfig{Name: "coordination", Sessions: true, New: func() synod.StateMachine { return tree.New() }},
		synod.GroupConfig{Name: "registry", Engine: synod.Paxos, New: newRegistry, Master: &synod.MasterConfig{
			Master: mesos.MasterConfig{AllocationInterval: 50 * time.Millisecond}}})
	if err != nil {
		return nil, err
	}
	for i, listener := range listeners {
		backend, err := api.NewBackend(w.Node(i), "coordination", tree)
		if err != nil {
			return nil, err
		}
		server, err := api.NewServer(api.Config{Backend: backend, Name: w.Node(i).Name()})
		if err != nil {
			return nil, err
		}
		server.SetMaster(w.Node(i).Group("registry").Master())
		w.servers = append(w.servers, server)
		go server.Serve(listener)
	}
	ctx, w.end = context.WithCancel(context.Background())
	for i := range agents {
		a, err := newSimulated(&w.away, w.addrs, i)
		if err != nil {
			return nil, err
		}
		w.ended.Go(func() { a.run(ctx) })
	}
	return w, nil
}

// kill ends a node like a power cut, and its interface with it.
func (w *world) kill(i int) {
	w.LocalCluster.Kill(i)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = w.servers[i].Shutdown(ended) // which cuts what is open
}

func (w *world) stop() {
	w.end()
	for i := range w.servers {
		w.kill(i)
	}
	w.LocalCluster.Stop()
	w.ended.Wait()
}

// leader is the node whose master leads.
func (w *world) leader(t *testing.T) int {
	t.Helper()
	_, i, err := w.Leader(t.Context(), "registry")
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func start(t *testing.T, nodes, agents int) *world {
	t.Helper()
	w, err := newWorld(t.Context(), nodes, agents)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.stop)
	return w
}

func (w *world) client(t *testing.T) *api.Client {
	t.Helper()
	c, err := api.NewClient(api.ClientConfig{Addrs: w.addrs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// example starts one node and one agent in this process and returns a client of them.
func example() (client *api.Client, stop func()) {
	w, err := newWorld(context.Background(), 1, 1)
	if err != nil {
		log.Fatal(err)
	}
	if client, err = api.NewClient(api.ClientConfig{Addrs: w.addrs}); err != nil {
		log.Fatal(err)
	}
	return client, func() { client.Close(); w.stop() }
}

type gate struct{ sync.RWMutex }

// pass waits while the gate is locked.
func (g *gate) pass() {
	g.RLock()
	defer g.RUnlock()
}

// simulated is an agent's core on a real link. A task whose command begins with "echo" ends
// at once, every other when it is killed.
type simulated struct {
	dial  agent.Dial
	away  *gate
	begun time.Time

	mu    sync.Mutex
	core  *mesos.Agent
	link  agent.Link // nil: none
	timer *time.Timer
}

func newSimulated(away *gate, addrs []string, i int) (*simulated, error) {
	resources, err := mesos.ParseResources("cpus:8;mem:8192;ports:[31000-31099]")
	if err != nil {
		return nil, err
	}
	dial, err := api.DialMaster(addrs, nil)
	if err != nil {
		return nil, err
	}
	core, err := mesos.NewAgent(mesos.AgentConfig{
		Info: mesos.AgentInfo{Hostname: "sim", Address: "10.0.0." + string(rune('1'+i)) + ":4750", Resources: resources},
		Boot: "boot", Rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		RegisterFactor: 20 * time.Millisecond, RegisterMost: 200 * time.Millisecond, RetryFirst: 200 * time.Millisecond,
	}, nil, 0)
	return &simulated{dial: dial, away: away, begun: time.Now(), core: core}, err
}

func (a *simulated) run(ctx context.Context) {
	for ctx.Err() == nil {
		a.away.pass()
		link, err := a.dial(ctx)
		if err != nil {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		cut := context.AfterFunc(ctx, func() { link.Close() })
		a.do(func() { a.link = link; a.core.Connected(link.Term()) })
		for {
			m, err := link.Receive()
			if err != nil {
				break
			}
			a.do(func() { a.core.Step(m) })
		}
		a.do(func() { a.link = nil; a.core.Disconnected() })
		cut()
		link.Close()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
	}
}

// do gives the core something and carries out what it says.
func (a *simulated) do(input func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.core.Tick(time.Since(a.begun), time.Duration(time.Now().UnixNano()))
	input()
	for more := true; more; {
		more = a.carryOut(a.core.Output())
	}
	if at, ok := a.core.Next(); ok {
		if a.timer != nil {
			a.timer.Stop()
		}
		a.timer = time.AfterFunc(at-time.Since(a.begun), func() { a.do(func() {}) })
	}
}

func (a *simulated) carryOut(out mesos.Output) (more bool) {
	for _, m := range out.Send {
		if a.link != nil && a.link.Send(m) != nil {
			a.link.Close()
		}
	}
	if out.Detect && a.link != nil {
		a.link.Close()
	}
	exited := func(c mesos.ContainerID, exit mesos.ContainerExit) {
		a.core.Event(mesos.ContainerEvent{Container: c, Kind: mesos.ContainerExited, Exit: exit})
	}
	for _, s := range out.Start {
		a.core.Event(mesos.ContainerEvent{Container: s.Container, Kind: mesos.ContainerStarted})
		if strings.HasPrefix(s.Task.Command.Value, "echo") {
			exited(s.Container, mesos.ContainerExit{Known: true})
		}
	}
	for _, s := range out.Stop {
		exited(s.Container, mesos.ContainerExit{Known: true, Signal: 15})
	}
	return len(out.Start)+len(out.Stop) > 0
}

// soon waits for c.
func soon[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(40 * time.Second):
		t.Fatalf("%s does not come", what)
		panic("unreachable")
	}
}

var _ framework.Scheduler = (*once)(nil)
