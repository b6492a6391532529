package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// boundConn is a connection that gives back its place among the bounded when it is closed.
type boundConn struct {
	*net.TCPConn
	slots chan struct{}
	once  sync.Once
}

func (c *boundConn) Close() error {
	err := c.TCPConn.Close()
	c.once.Do(func() { <-c.slots })
	return err
}

// serveTCP passes connections on until ctx ends. It returns ctx.Err() then.
func serveTCP(ctx context.Context, l net.Listener, f *follower, wait time.Duration) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // out of file descriptors, most likely: others are closed soon
			select {
			case <-ctx.Done():
			case <-time.After(dialPause):
			}
			continue
		}
		go passOn(ctx, conn.(*boundConn), f, wait)
	}
}

// passOn joins a connection with one to the leader, until both are done or ctx ends.
func passOn(ctx context.Context, client *boundConn, f *follower, wait time.Duration) {
	defer client.Close()
	dialing, cancel := context.WithTimeout(ctx, wait)
	conn, err := f.dial(dialing)
	cancel()
	if err != nil {
		return
	}
	leader := conn.(*leaderConn)
	defer leader.Close()
	defer context.AfterFunc(ctx, func() { client.Close(); leader.Close() })()
	var both sync.WaitGroup
	both.Go(func() { pump(leader.TCPConn, client.TCPConn) })
	pump(client.TCPConn, leader.TCPConn)
	both.Wait()
}

// pump copies until from ends, and then ends to in this direction alone. If one of the two
// breaks, both are done.
func pump(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	_ = to.CloseWrite() // whoever has gone already needs no end
}
