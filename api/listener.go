package api

import (
	"container/list"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// limited lets at most so many connections be open; more wait in the kernel's queue.
// When all places are taken, the connection that has been idle longest loses its own:
// clients keep connections for later, and one that comes now must not wait for that.
// Of those that have been idle for a while it keeps only some, as each costs some 17 KiB.
// When none is idle the place goes that has been silent longest: whose client has not sent the
// headers of a request, or any byte, for a second.
type limited struct {
	net.Listener
	slots     chan struct{}
	closed    chan struct{}
	once      sync.Once
	strangers *strangers // nil: there are none

	mu   sync.Mutex
	idle list.List // of *limitedConn that wait for a request, the longest first
	full bool      // Accept waits for a place
	// silent are those of which a request is to come or is coming, the longest first.
	silent list.List
}

const (
	// idleMost is how many connections may be idle for longer than idleSpared.
	idleMost   = 256
	idleSpared = time.Second
	// silentSpared is how long a client has for its request's headers while others wait for a place, and
	// silentLook how often those are looked at then.
	silentSpared = time.Second
	silentLook   = 100 * time.Millisecond
)

func limitListener(l net.Listener, n int) *limited {
	return &limited{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	if err := l.takePlace(); err != nil {
		return nil, err
	}
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		leave, ok := l.strangers.admit(conn.RemoteAddr())
		if !ok {
			conn.Close()
			continue
		}
		place := &limitedConn{Conn: conn, listener: l, free: sync.OnceFunc(func() { <-l.slots })}
		if leave != nil {
			place.leave.Store(&leave)
		}
		return place, nil
	}
}

func (l *limited) takePlace() error {
	for {
		select {
		case l.slots <- struct{}{}:
			return nil
		default:
		}
		l.makeRoom()
		look := time.NewTimer(silentLook)
		select {
		case l.slots <- struct{}{}:
			look.Stop()
			l.mu.Lock()
			l.full = false
			l.mu.Unlock()
			return nil
		case <-l.closed:
			look.Stop()
			return net.ErrClosed
		case <-look.C:
		}
	}
}

// makeRoom closes the connection that has been idle longest, or the one that has been silent
// longest, or, if all are busy, the first that will be idle.
func (l *limited) makeRoom() {
	l.mu.Lock()
	longest := l.idle.Front()
	if first := l.silent.Front(); longest == nil && first != nil && time.Since(first.Value.(*limitedConn).since) > silentSpared {
		longest = first
	}
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
	waiting  *list.Element          // in listener.idle; guarded by listener.mu
	coming   *list.Element          // in listener.silent; guarded by listener.mu
	since    time.Time              // it is in one of them; guarded by listener.mu
	leave    atomic.Pointer[func()] // it is a stranger's, until this is called; nil: it is none's
}

// isStranger reports whether nobody has shown yet whose connection it is.
func (c *limitedConn) isStranger() bool { return c.leave.Load() != nil }

// noStranger counts it no more among its address's strangers.
func (c *limitedConn) noStranger() {
	if leave := c.leave.Swap(nil); leave != nil {
		(*leave)()
	}
}

func (c *limitedConn) Close() error {
	defer c.free()
	c.noStranger()
	c.setIdle(false)
	c.setSilent(false)
	return c.Conn.Close()
}

// setSilent notes that a request is to come, or that it has come.
func (c *limitedConn) setSilent(silent bool) {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case silent && c.coming == nil:
		c.coming, c.since = l.silent.PushBack(c), time.Now()
	case !silent && c.coming != nil:
		l.silent.Remove(c.coming)
		c.coming = nil
	}
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

// unvouched has log told why connections end.
func unvouched(log *slog.Logger) func(net.Addr, error) {
	return func(remote net.Addr, reason error) {
		log.Info("connection ended: its certificate holds no more", "remote", remote.String(), "reason", reason)
	}
}

// limitedOf is the connection below conn that a limited listener has made, or nil.
func limitedOf(conn net.Conn) *limitedConn {
	for {
		above, is := conn.(interface{ NetConn() net.Conn })
		if !is {
			break
		}
		conn = above.NetConn()
	}
	place, _ := conn.(*limitedConn)
	return place
}

// onConnState is for http.Server: it tells which connections wait for a request.
func onConnState(conn net.Conn, state http.ConnState) {
	place := limitedOf(conn)
	if place == nil {
		return
	}
	if unwanted := place.setIdle(state == http.StateIdle); unwanted != nil {
		unwanted.Close()
		if unwanted == place {
			return
		}
	}
	place.setSilent(state == http.StateNew || state == http.StateActive)
}
