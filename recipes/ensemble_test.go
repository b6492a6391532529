package recipes_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/coordination"
)

const group = "coordination"

// ensemble is a cluster in this process: real nodes, in memory, with their HTTP interfaces.
type ensemble struct {
	*synod.LocalCluster
	addrs   []string
	servers []*api.Server
}

func newEnsemble(ctx context.Context, n int) (*ensemble, error) {
	tree, err := api.NewTree(coordination.Config{})
	if err != nil {
		return nil, err
	}
	e := &ensemble{servers: make([]*api.Server, n)}
	listeners := make([]net.Listener, n)
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, err
		}
		e.addrs = append(e.addrs, listeners[i].Addr().String())
	}
	e.LocalCluster, err = synod.NewLocalClusterAt(ctx, e.addrs, slog.New(slog.DiscardHandler),
		synod.GroupConfig{Name: group, Sessions: true, New: func() synod.StateMachine { return tree.New() }})
	if err != nil {
		return nil, err
	}
	for i, listener := range listeners {
		backend, err := api.NewBackend(e.Node(i), group, tree)
		if err != nil {
			return nil, err
		}
		if e.servers[i], err = api.NewServer(api.Config{Backend: backend, Name: e.Node(i).Name()}); err != nil {
			return nil, err
		}
		go e.servers[i].Serve(listener)
	}
	return e, nil
}

// client is one that knows all nodes, those of first first.
func (e *ensemble) client(first ...int) (*api.Client, error) {
	var addrs []string
	for _, i := range first {
		addrs = append(addrs, e.addrs[i])
	}
	return api.NewClient(api.ClientConfig{Addrs: append(addrs, e.addrs...)})
}

// kill ends a node like a power cut, and its interface with it.
func (e *ensemble) kill(i int) {
	e.LocalCluster.Kill(i)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = e.servers[i].Shutdown(ended) // which cuts what is open
}

func (e *ensemble) stop() {
	for i := range e.servers {
		e.kill(i)
	}
	e.LocalCluster.Stop()
}

// start is newEnsemble for a test.
func start(t *testing.T, n int) *ensemble {
	t.Helper()
	e, err := newEnsemble(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.stop)
	return e
}

// open is a session of a client of its own.
func (e *ensemble) open(t *testing.T, timeout time.Duration, first ...int) *api.Session {
	t.Helper()
	c, err := e.client(first...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.OpenSession(t.Context(), api.SessionOptions{Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Close(ctx) // the cluster may be down
		c.Close()
	})
	return s
}

func (e *ensemble) leader(t *testing.T) int {
	t.Helper()
	_, i, err := e.Leader(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// within fails the test when c is not ready in time.
func within[T any](t *testing.T, d time.Duration, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
		return v
	case <-time.After(d):
		t.Fatalf("%s: nothing in %v", what, d)
		return v
	}
}
