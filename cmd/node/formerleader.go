package main

import (
	"net"
	"time"
)

// formerSilence is silenceTime for a leader that leads no more: it is likely that it was cut off.
const formerSilence = time.Second

// leaderConn is a connection to a leader, which its follower knows until it is closed.
type leaderConn struct {
	*net.TCPConn
	follower *follower
	addr     string
}

// add takes note of a connection.
func (f *follower) add(conn net.Conn, addr string) *leaderConn {
	c := &leaderConn{conn.(*net.TCPConn), f, addr}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns[c] = struct{}{}
	if f.addr != addr && f.addr != "" { // it has changed just now
		go c.former()
	}
	return c
}

// Close closes the connection.
func (c *leaderConn) Close() error {
	c.follower.mu.Lock()
	delete(c.follower.conns, c)
	c.follower.mu.Unlock()
	return c.TCPConn.Close()
}

// former has a connection end soon if its leader, who leads no more, cannot be reached either: whoever waits
// for an answer there is told so, rather than after silenceTime.
func (c *leaderConn) former() {
	raw, err := c.SyscallConn()
	if err != nil {
		return // it is closed
	}
	shortenSilence(raw, formerSilence)
	end := func() {
		if silentFor(raw, formerSilence) {
			_ = c.Close() // who reads from it learns of it
		}
	}
	end()
	time.AfterFunc(formerSilence+formerSilence/10, end) // for what was on its way just now
}
