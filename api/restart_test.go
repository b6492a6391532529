package api

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/coordination"
)

// process is a node with its HTTP interface, on addresses of its own.
type process struct {
	config   synod.Config
	tree     *Tree
	node     *synod.Node
	server   *Server
	listener net.Listener
}

func newProcess(t *testing.T, dir, name string) *process {
	t.Helper()
	tree, err := NewTree(coordination.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return &process{tree: tree, config: synod.Config{Name: name, ClusterName: "restart", Dir: filepath.Join(dir, name),
		Listen: synod.Addresses{API: freeAddress(t), Link: freeAddress(t), Gossip: freeAddress(t)},
		Groups: []synod.GroupConfig{{Name: "g", New: func() synod.StateMachine { return tree.New() }}}}}
}

// freeAddress is one that nobody listens at, for TCP and UDP, below those that the kernel hands out.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp", address)
		l.Close()
		if err == nil {
			udp.Close()
			return address
		}
	}
}

func (p *process) start(t *testing.T, ctx context.Context, join ...string) {
	t.Helper()
	p.config.Join = join
	var err error
	if p.node, err = synod.Start(ctx, p.config); err != nil {
		t.Fatal(err)
	}
	backend, err := NewBackend(p.node, "g", p.tree)
	if err != nil {
		t.Fatal(err)
	}
	if p.server, err = NewServer(Config{Backend: backend, Name: p.config.Name}); err != nil {
		t.Fatal(err)
	}
	if p.listener, err = net.Listen("tcp", p.config.Listen.API); err != nil {
		t.Fatal(err)
	}
	go p.server.Serve(p.listener)
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := p.node.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// status waits until good holds of what p itself sees.
func (p *process) status(t *testing.T, ctx context.Context, good func(Status) bool) Status {
	t.Helper()
	client := p.client(t)
	for {
		status, err := client.Status(ctx, true)
		if err == nil && good(status) {
			return status
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s waits in vain: %+v, %v", p.config.Name, status, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *process) client(t *testing.T) *Client {
	t.Helper()
	client, err := NewClient(ClientConfig{Addrs: []string{p.config.Listen.API}})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestAllNodesFindEachOtherAgainWithoutSeeds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	all := []*process{newProcess(t, dir, "n1"), newProcess(t, dir, "n2"), newProcess(t, dir, "n3")}
	all[0].config.Bootstrap = true
	for _, p := range all {
		p.start(t, ctx, all[0].config.Listen.Gossip)
	}
	for _, p := range all {
		p.status(t, ctx, func(s Status) bool { return s.Leader != "" && s.Voters == 3 })
	}
	for _, p := range all {
		p.stop(t)
	}
	for _, p := range all {
		p.config.Bootstrap = false
		p.start(t, ctx)
	}
	defer func() {
		for _, p := range all {
			p.stop(t)
		}
	}()
	for _, p := range all {
		status := p.status(t, ctx, func(s Status) bool { return s.Leader != "" })
		if status.Role == "leader" {
			continue
		}
		if _, err := p.client(t).Put(ctx, "from/"+p.config.Name, []byte("x"), WriteOptions{}); err != nil {
			t.Errorf("a write through %s, which follows: %v", p.config.Name, err)
		}
	}
	for _, p := range all {
		p.status(t, ctx, func(s Status) bool {
			for _, m := range s.Members {
				if m.Gossip != "alive" {
					return false
				}
			}
			return len(s.Members) == 3
		})
	}
}
