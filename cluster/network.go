package cluster

import (
	"cmp"
	"context"
	"net"
	"time"
)

// Network is what a Link needs of a network: TCP, or a MemoryNetwork's Host in
// tests and in-process clusters. Connections must be reliable byte streams
// with deadlines; Close must end a blocked Read and Write.
type Network interface {
	// Listen accepts connections at addr.
	Listen(addr string) (net.Listener, error)
	// Dial connects to addr; it gives up when ctx ends.
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// TCP is the real Network. The zero value works.
type TCP struct {
	// SilentTimeout is how long sent bytes may stay unacknowledged, or an idle
	// peer silent, before the kernel breaks the connection. Default 10 s.
	SilentTimeout time.Duration
}

var _ Network = TCP{}

// Listen listens on a TCP address; port 0 picks one.
func (t TCP) Listen(addr string) (net.Listener, error) {
	config := net.ListenConfig{KeepAliveConfig: t.keepAlive()}
	listener, err := config.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	return tuningListener{listener, t}, nil
}

// Dial connects to a TCP address.
func (t TCP) Dial(ctx context.Context, addr string) (net.Conn, error) {
	dialer := net.Dialer{KeepAliveConfig: t.keepAlive()}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return t.tuned(conn), nil
}

func (t TCP) timeout() time.Duration { return cmp.Or(t.SilentTimeout, 10*time.Second) }

func (t TCP) keepAlive() net.KeepAliveConfig {
	step := max(t.timeout()/4, time.Second)
	return net.KeepAliveConfig{Enable: true, Idle: step, Interval: step, Count: 3}
}

// tuned sets what Go has no portable call for. Go itself sets TCP_NODELAY. A
// socket that refuses still works.
func (t TCP) tuned(conn net.Conn) net.Conn {
	if c, ok := conn.(*net.TCPConn); ok {
		tuneSocket(c, t.timeout())
	}
	return conn
}

type tuningListener struct {
	net.Listener
	network TCP
}

func (l tuningListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.network.tuned(conn), nil
}
