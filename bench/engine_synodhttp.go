package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/coordination"
)

// A synodHTTPEngine is a node with the coordination tree and the HTTP interface,
// as cmd/node runs it. A synodHTTPClient in another process drives it.
type synodHTTPEngine struct {
	synodEngine
	server *api.Server
}

const synodTreeGroup = "tree"

var errOverHTTP = errors.New("synod-http: clients are in another process")

func newSynodHTTPEngine() engine { return new(synodHTTPEngine) }

func (e *synodHTTPEngine) start(c engineConfig) error {
	tree, err := api.NewTree(coordination.Config{})
	if err != nil {
		return err
	}
	group := synod.GroupConfig{Name: synodTreeGroup, New: func() synod.StateMachine { return tree.New() }}
	if e.node, err = startSynod(c, group); err != nil {
		return err
	}
	e.group = e.node.Group(synodTreeGroup)
	backend, err := api.NewBackend(e.node, synodTreeGroup, tree)
	if err != nil {
		return err
	}
	if e.server, err = api.NewServer(api.Config{Backend: backend, Name: e.node.Name()}); err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.Clients[c.ID-1])
	if err != nil {
		return err
	}
	go func() {
		if err := e.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			report("synod-http: serve", err)
		}
	}()
	return nil
}

func (e *synodHTTPEngine) write(context.Context, uint64, []byte) error   { return errOverHTTP }
func (e *synodHTTPEngine) read(context.Context, uint64, readLevel) error { return errOverHTTP }

func (e *synodHTTPEngine) stop() {
	if e.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
		defer cancel()
		if err := e.server.Shutdown(ctx); err != nil {
			report("synod-http: stop", err)
		}
	}
	e.synodEngine.stop()
}

// A synodHTTPClient calls the leader through eight clients of package api. HTTP/1.1
// carries one request on a connection at a time, so that there are as many
// connections as calls under way.
type synodHTTPClient struct {
	clients [8]*api.Client
	next    atomic.Uint32
}

const synodHTTPTimeout = 10 * time.Second

func newSynodHTTPClient() engine { return new(synodHTTPClient) }

func (e *synodHTTPClient) start(c engineConfig) error {
	for i := range e.clients {
		client, err := api.NewClient(api.ClientConfig{Addrs: []string{c.Clients[c.Leader-1]}, Timeout: synodHTTPTimeout})
		if err != nil {
			return err
		}
		e.clients[i] = client
	}
	return nil
}

func (e *synodHTTPClient) leads() bool { return true }

func (e *synodHTTPClient) client() *api.Client {
	return e.clients[e.next.Add(1)%uint32(len(e.clients))]
}

func synodPath(key uint64) string { return "bench-" + strconv.FormatUint(key, 10) }

func (e *synodHTTPClient) write(ctx context.Context, key uint64, value []byte) error {
	_, err := e.client().Put(ctx, synodPath(key), value, api.WriteOptions{})
	return err
}

func (e *synodHTTPClient) read(ctx context.Context, key uint64, level readLevel) error {
	wanted := api.Linearizable
	if level == lease {
		wanted = api.Lease
	}
	if _, _, err := e.client().Get(ctx, synodPath(key), api.ReadOptions{Level: wanted}); err != nil {
		return fmt.Errorf("get: %w", err)
	}
	return nil
}

func (e *synodHTTPClient) stop() {
	for _, c := range e.clients {
		if c != nil {
			c.Close()
		}
	}
}
