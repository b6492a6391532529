package api

import (
	"io"
	"net"
	"testing"
	"time"
)

// A placeholder is a connection that only closes.
type placeholder struct {
	net.Conn
	closed bool
}

func (p *placeholder) Close() error {
	if p.closed {
		return io.ErrClosedPipe
	}
	p.closed = true
	return nil
}

func TestOfConnectionsThatAreIdleForLongOnlySomeAreKept(t *testing.T) {
	l := limitListener(nil, 2*idleMost)
	idle := func(since time.Duration) (*limitedConn, *limitedConn) {
		c := &limitedConn{Conn: &placeholder{}, listener: l, free: func() {}}
		unwanted := c.setIdle(true)
		c.since = c.since.Add(-since)
		return c, unwanted
	}
	first, _ := idle(2 * idleSpared)
	for range idleMost - 2 {
		idle(0)
	}
	if last, unwanted := idle(0); unwanted != nil {
		t.Fatalf("%d are idle, and one is closed", idleMost)
	} else if last.setIdle(false) != nil { // it has a request
		t.Fatal("a busy connection is to be closed")
	}
	idle(0)
	if _, unwanted := idle(0); unwanted != first {
		t.Fatalf("%d are idle: %v is closed, want the first, idle for %v", idleMost+1, unwanted, 2*idleSpared)
	}
	first.Close()
	if _, unwanted := idle(0); unwanted != nil {
		t.Fatalf("a connection is closed that was idle for a moment")
	}
	if got := l.idle.Len(); got != idleMost+1 {
		t.Errorf("%d connections are known to be idle, want %d", got, idleMost+1)
	}
}
