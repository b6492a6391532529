package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A service is a coordination service that can be run and used: what the tool
// knows of it before it runs.
type service interface {
	name() string
	// command is how to start server i of the three, whose own directory is dir.
	// The addresses are clients, then what the servers need among themselves: three
	// for each server, server by server.
	command(i int, dir string, addresses [replicaCount][3]string) ([]string, error)
	// leader is the place of the server that leads, once all three take part.
	leader(ctx context.Context, clients []string) (int, error)
	// open opens a session at the first of the servers that answers; the others are
	// for when that one is lost.
	open(ctx context.Context, clients []string, timeout time.Duration) (session, error)
}

// A session is one client of a coordination service: a connection of its own, and
// signs of life. It is safe for concurrent use.
type session interface {
	create(ctx context.Context, path string, value []byte, k createKind) (string, error)
	set(ctx context.Context, path string, value []byte) error
	get(ctx context.Context, path string, level readLevel) error
	remove(ctx context.Context, path string) error
	// watch returns when changes of what stands at path are told to changed, which
	// must not block. It is told at least once of changes in quick succession.
	watch(ctx context.Context, path string, changed func()) error
	// count is how many children stand directly below path.
	count(ctx context.Context, path string) (int, error)
	// connected is whether a server has lately said that the session is alive.
	connected() bool
	// over is whether the session knows that it has ended.
	over() bool
	close()
}

// A createKind says how a key is created.
type createKind int

const (
	persistent createKind = iota
	ephemeral
	ephemeralSequential
)

// local is the level of a read that one server answers from what it has applied,
// and that never goes back for one session: what ZooKeeper's reads are.
const local readLevel = "local"

// An ensemble is three servers of one service.
type ensemble struct {
	service
	dir       string
	addresses [replicaCount][3]string
	servers   [replicaCount]*daemon
}

const wholePatience = 30 * time.Second

// startEnsemble returns when one server leads the two others. dir is where the
// ensemble makes its own directory.
func startEnsemble(ctx context.Context, s service, dir string) (*ensemble, error) {
	own, err := os.MkdirTemp(dir, s.name()+"-")
	if err != nil {
		return nil, err
	}
	free, err := freeAddresses(3 * replicaCount)
	if err != nil {
		return nil, err
	}
	e := &ensemble{service: s, dir: own}
	for i := range e.addresses {
		e.addresses[i] = [3]string(free[3*i:])
	}
	for i := range e.servers {
		if err := e.startServer(i); err != nil {
			e.stop()
			return nil, err
		}
	}
	if _, err := e.whole(ctx); err != nil {
		err = fmt.Errorf("%w: %s", err, e.servers[0].complaints())
		e.stop()
		return nil, err
	}
	return e, nil
}

// startServer starts a server that does not run, on its old directory if it has one.
func (e *ensemble) startServer(i int) error {
	dir := filepath.Join(e.dir, fmt.Sprintf("server%d", i+1))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	argv, err := e.command(i, dir, e.addresses)
	if err != nil {
		return err
	}
	e.servers[i], err = startDaemon(dir+".log", argv)
	return err
}

// whole waits until all servers take part and returns which leads.
func (e *ensemble) whole(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, wholePatience)
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, time.Second)
		leader, err := e.leader(attempt, e.clients())
		done()
		if err == nil {
			return leader, nil
		}
		for i, d := range e.servers {
			if !d.alive() {
				return 0, fmt.Errorf("%s: server %d has ended: %s", e.name(), i+1, d.complaints())
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return 0, errors.Join(ctx.Err(), err)
		}
	}
}

// clients are the addresses for clients, server by server.
func (e *ensemble) clients() []string {
	var all []string
	for _, a := range e.addresses {
		all = append(all, a[0])
	}
	return all
}

// clientsFrom are the same, beginning with server i.
func (e *ensemble) clientsFrom(i int) []string {
	var all []string
	for k := range replicaCount {
		all = append(all, e.addresses[(i+k)%replicaCount][0])
	}
	return all
}

func (e *ensemble) pids() []int {
	var pids []int
	for _, d := range e.servers {
		pids = append(pids, d.pid())
	}
	return pids
}

// stop ends all servers and removes their data.
func (e *ensemble) stop() {
	for _, d := range e.servers {
		if d != nil {
			d.end()
		}
	}
	if err := os.RemoveAll(e.dir); err != nil {
		report("remove data", err)
	}
}
