package api

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// limited lets at most so many connections be open; more wait in the kernel's queue.
// When all places are taken, the connection that has been idle longest loses its own:
// clients keep connections for later, and one that comes now must not wait for that.
type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	idle list.List // of *limitedConn that wait for a request, the longest first
	full bool      // Accept waits for a place
}

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
}

func (c *limitedConn) Close() error {
	defer c.free()
	c.setIdle(false)
	return c.Conn.Close()
}

// setIdle enters the connection among the idle ones or takes it out. It reports whether
// the connection is to be closed, as another one needs its place.
func (c *limitedConn) setIdle(idle bool) (unwanted bool) {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.waiting != nil {
		l.idle.Remove(c.waiting)
		c.waiting = nil
	}
	if !idle {
		return false
	}
	if l.full {
		l.full = false
		return true
	}
	c.waiting = l.idle.PushBack(c)
	return false
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
	if place := limitedOf(conn); place != nil && place.setIdle(state == http.StateIdle) {
		place.Close()
	}
}
