package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

// follower knows the address of who leads an election, and connects to it.
type follower struct {
	name    string
	mu      sync.Mutex
	addr    string        // "": nobody leads, or without an address
	number  int           // of changes
	changed chan struct{} // closed when addr changes
	conns   map[*leaderConn]struct{}
}

func newFollower(name string) *follower {
	return &follower{name: name, changed: make(chan struct{}), conns: map[*leaderConn]struct{}{}}
}

func (f *follower) set(addr string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if addr != f.addr {
		f.addr = addr
		f.number++
		close(f.changed)
		f.changed = make(chan struct{})
		for c := range f.conns {
			if addr != "" && c.addr != addr {
				go c.former()
			}
		}
	}
}

func (f *follower) now() (addr string, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addr, f.changed
}

// changes is how often the leader has changed.
func (f *follower) changes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.number
}

// noLeaderError says that there was nobody to connect to until the wait was over.
type noLeaderError struct {
	name string
	addr string // of the leader, if there is one
	last error  // of the last attempt to connect to it
}

func (e *noLeaderError) Error() string {
	if e.addr == "" {
		return fmt.Sprintf("nobody leads %q", e.name)
	}
	return fmt.Sprintf("the leader of %q at %s cannot be connected to: %s", e.name, e.addr, api.Reason(e.last))
}

// dialPause is how long after a failed attempt the leader is tried again: it may not listen yet, or
// be dead and not be found out.
const dialPause = 100 * time.Millisecond

// dial connects to the leader, or to the next one, until ctx ends.
func (f *follower) dial(ctx context.Context) (net.Conn, error) {
	failure := &noLeaderError{name: f.name}
	for {
		addr, changed := f.now()
		var pause <-chan time.Time
		if addr != "" {
			conn, err := dialUnless(ctx, addr, changed)
			if err == nil {
				return f.add(conn, addr), nil
			}
			failure.last = err
			pause = time.After(dialPause)
		}
		failure.addr = addr
		select {
		case <-ctx.Done():
			return nil, failure
		case <-changed:
		case <-pause:
		}
	}
}

// dialUnless connects to addr unless changed is closed first.
func dialUnless(ctx context.Context, addr string, changed <-chan struct{}) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return leaderDialer().DialContext(ctx, "tcp", addr)
}

// silenceTime is about how long a connection to a leader outlives a leader that was cut off: one whose process has
// ended is ended by its kernel, and one that nothing comes from any more only by this.
const silenceTime = 5 * time.Second

func leaderDialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silenceTime * 2 / 5, Interval: silenceTime / 5, Count: 3},
		Control:         limitSilence,
	}
}

// watch follows the election until ctx ends, and hands every leader to see. When the cluster cannot be
// asked the last one stays.
func (f *follower) watch(ctx context.Context, client *api.Client, see func(recipes.Leader), cannot func(error)) error {
	for {
		err := recipes.Observe(ctx, client, f.name, func(l recipes.Leader) error { see(l); return nil })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !passing(err) {
			return err
		}
		cannot(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(againPause):
		}
	}
}
