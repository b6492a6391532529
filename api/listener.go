package api

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// limited lets at most so many connections be open; more wait in the kernel's queue.
// When all places are taken, the connection that has been idle longest loses its own:
// clients keep connections for later, and one that comes now must not wait for that.
// Of those that have been idle for a while it keeps only some, as each costs some 17 KiB.
type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	idle list.List // of *limitedConn that wait for a request, the longest first
	full bool      // Accept waits for a place
}

const (
	// idleMost is how many connections may be idle for longer than idleSpared.
	idleMost   = 256
	idleSpared = time.Second
)

func limitListener(l net.Listener, n int) *limited {
	return &limited{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	default:
		l.makeRoom()
		select {
		case l.slots <- struct{}{}:
			l.mu.Lock()
			l.full = false
			l.mu.Unlock()
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, listener: l, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// makeRoom closes the connection that has been idle longest, or, if all are busy, the
// first that will be idle.
func (l *limited) makeRoom() {
	l.mu.Lock()
	longest := l.idle.Front()
	l.full = longest == nil
	l.mu.Unlock()
	if longest != nil {
		longest.Value.(*limitedConn).Close()
	}
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitedConn is a connection with its place among the open ones.
type limitedConn struct {
	net.Conn
	listener *limited
	free     func()
	waiting  *list.Element // in listener.idle; guarded by listener.mu
	since    time.Time     // it is there; guarded by listener.mu
}

func (c *limitedConn) Close() error {
	defer c.free()
	c.setIdle(false)
	return c.Conn.Close()
}

// setIdle enters the connection among the idle ones or takes it out. It returns one that
// is to be closed, or nil: this one, as another needs its place, or one of too many.
func (c *limitedConn) setIdle(idle bool) (unwanted *limitedConn) {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.waiting != nil {
		l.idle.Remove(c.waiting)
		c.waiting = nil
	}
	if !idle {
		return nil
	}
	if l.full {
		l.full = false
		return c
	}
	c.waiting, c.since = l.idle.PushBack(c), time.Now()
	if longest := l.idle.Front().Value.(*limitedConn); l.idle.Len() > idleMost && c.since.Sub(longest.since) > idleSpared {
		return longest
	}
	return nil
}

// limitedOf is the connection below conn that a limited listener has made, or nil.
func limitedOf(conn net.Conn) *limitedConn {
	if secured, is := conn.(*tls.Conn); is {
		conn = secured.NetConn()
	}
	place, _ := conn.(*limitedConn)
	return place
}

// onConnState is for http.Server: it tells which connections wait for a request.
func onConnState(conn net.Conn, state http.ConnState) {
	if place := limitedOf(conn); place != nil {
		if unwanted := place.setIdle(state == http.StateIdle); unwanted != nil {
			unwanted.Close()
		}
	}
}
