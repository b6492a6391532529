package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// MemoryNetwork is a network inside one process, for tests and in-process
// clusters. Hosts are names; each gets its own Network from Host, so that
// Cut, Heal and Kill can tell who talks to whom. It waits on sync.Cond and
// channels only and so runs inside synctest bubbles. Safe for concurrent use.
type MemoryNetwork struct {
	mu        sync.Mutex
	listeners map[string]*memoryListener
	conns     map[*memoryConn]struct{}
	cuts      map[direction]bool
	delay     time.Duration
	changed   chan struct{} // closed and replaced when a dial may go on
}

type direction struct{ from, to string }

// NewMemoryNetwork makes a network on which every host reaches every other.
func NewMemoryNetwork() *MemoryNetwork {
	return &MemoryNetwork{
		listeners: map[string]*memoryListener{},
		conns:     map[*memoryConn]struct{}{},
		cuts:      map[direction]bool{},
		changed:   make(chan struct{}),
	}
}

// Host returns the network as name sees it. Addresses are arbitrary strings,
// one listener each.
func (n *MemoryNetwork) Host(name string) Network { return memoryHost{n, name} }

// Cut stops all bytes between a and b, both ways: like a pulled cable, it
// breaks no connection. Bytes under way arrive after Heal.
func (n *MemoryNetwork) Cut(a, b string) {
	n.CutOneWay(a, b)
	n.CutOneWay(b, a)
}

// CutOneWay stops the bytes from one host to another, not those coming back.
func (n *MemoryNetwork) CutOneWay(from, to string) { n.setCut(from, to, true) }

// Heal undoes Cut and CutOneWay between a and b.
func (n *MemoryNetwork) Heal(a, b string) {
	n.setCut(a, b, false)
	n.setCut(b, a, false)
}

// HealAll undoes every cut.
func (n *MemoryNetwork) HealAll() {
	n.mu.Lock()
	cuts := n.cuts
	n.mu.Unlock()
	for d := range cuts {
		n.setCut(d.from, d.to, false)
	}
}

// Kill closes everything host has open, as the kernel does for a process that
// ends: the other ends see their connections closed at once, or after Heal if
// they are cut off.
func (n *MemoryNetwork) Kill(host string) {
	n.mu.Lock()
	var closing []io.Closer
	for _, l := range n.listeners {
		if l.host == host {
			closing = append(closing, l)
		}
	}
	for c := range n.conns {
		if c.host == host {
			closing = append(closing, c)
		}
	}
	n.mu.Unlock()
	for _, c := range closing {
		_ = c.Close()
	}
}

// Delay makes every write from now on arrive d later. Default 0.
func (n *MemoryNetwork) Delay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
}

func (n *MemoryNetwork) setCut(from, to string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if cut {
		n.cuts[direction{from, to}] = true
	} else {
		next := make(map[direction]bool, len(n.cuts)) // HealAll ranges over the old one
		for d := range n.cuts {
			next[d] = true
		}
		delete(next, direction{from, to})
		n.cuts = next
	}
	for c := range n.conns {
		if c.host == from && c.peer == to {
			c.out.setCut(cut)
		}
	}
	n.wakeDials()
}

func (n *MemoryNetwork) wakeDials() {
	close(n.changed)
	n.changed = make(chan struct{})
}

type memoryHost struct {
	network *MemoryNetwork
	name    string
}

func (h memoryHost) Listen(addr string) (net.Listener, error) {
	n := h.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, taken := n.listeners[addr]; taken {
		return nil, fmt.Errorf("listen %s: %w", addr, syscall.EADDRINUSE)
	}
	l := &memoryListener{network: n, host: h.name, addr: memoryAddr(addr),
		backlog: make(chan net.Conn, 128), closed: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

func (h memoryHost) Dial(ctx context.Context, addr string) (net.Conn, error) {
	for {
		conn, retry, err := h.network.connect(h.name, addr)
		if retry == nil {
			return conn, err
		}
		select {
		case <-retry:
		case <-ctx.Done():
			return nil, fmt.Errorf("dial %s: %w", addr, ctx.Err())
		}
	}
}

// connect returns a channel to wait on while the hosts are cut off.
func (n *MemoryNetwork) connect(host, addr string) (net.Conn, <-chan struct{}, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l, ok := n.listeners[addr]
	if !ok {
		return nil, nil, fmt.Errorf("dial %s: %w", addr, syscall.ECONNREFUSED)
	}
	if n.cuts[direction{host, l.host}] || n.cuts[direction{l.host, host}] {
		return nil, n.changed, nil
	}
	there, back := newPipe(), newPipe()
	dialled := newMemoryConn(n, host, l.host, memoryAddr(host), l.addr, back, there)
	accepted := newMemoryConn(n, l.host, host, l.addr, memoryAddr(host), there, back)
	select {
	case l.backlog <- accepted:
	default:
		return nil, nil, fmt.Errorf("dial %s: %w", addr, syscall.ECONNREFUSED)
	}
	n.conns[dialled], n.conns[accepted] = struct{}{}, struct{}{}
	return dialled, nil, nil
}

type memoryAddr string

func (memoryAddr) Network() string  { return "memory" }
func (a memoryAddr) String() string { return string(a) }

type memoryListener struct {
	network *MemoryNetwork
	host    string
	addr    memoryAddr
	backlog chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case conn := <-l.backlog:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, string(l.addr))
		l.network.mu.Unlock()
		close(l.closed)
		for {
			select {
			case conn := <-l.backlog:
				_ = conn.Close()
			default:
				return
			}
		}
	})
	return nil
}

func (l *memoryListener) Addr() net.Addr { return l.addr }

// memoryConn is one end of a connection.
type memoryConn struct {
	network       *MemoryNetwork
	host, peer    string
	local, remote memoryAddr
	in, out       *pipe
}

func newMemoryConn(n *MemoryNetwork, host, peer string, local, remote memoryAddr, in, out *pipe) *memoryConn {
	return &memoryConn{network: n, host: host, peer: peer, local: local, remote: remote, in: in, out: out}
}

func (c *memoryConn) Read(b []byte) (int, error) { return c.in.read(b) }

func (c *memoryConn) Write(b []byte) (int, error) {
	c.network.mu.Lock()
	delay := c.network.delay
	c.network.mu.Unlock()
	return c.out.write(b, delay)
}

func (c *memoryConn) Close() error {
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
	c.in.closeReader()
	c.out.closeWriter()
	return nil
}

func (c *memoryConn) LocalAddr() net.Addr  { return c.local }
func (c *memoryConn) RemoteAddr() net.Addr { return c.remote }

func (c *memoryConn) SetDeadline(t time.Time) error {
	c.in.reading.set(c.in, t)
	c.out.writing.set(c.out, t)
	return nil
}

func (c *memoryConn) SetReadDeadline(t time.Time) error {
	c.in.reading.set(c.in, t)
	return nil
}

func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	c.out.writing.set(c.out, t)
	return nil
}
