package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync"
	"time"
)

const (
	// checkEvery is how often an open connection is asked whether its peer's certificate still holds.
	checkEvery = time.Second
	// maxVouched is how many certificates are remembered to be signed by an authority that holds now.
	maxVouched = 4096
)

// Server is [tls.Server], but the connection ends about a second after config would not let its peer in any more: an
// authority was taken away, or the certificate has expired. ended, unless nil, is told why.
func Server(conn net.Conn, config *tls.Config, ended func(remote net.Addr, reason error)) *tls.Conn {
	g := &guarded{Conn: conn, ended: ended}
	return tls.Server(g, g.watching(config))
}

// Client is [tls.Client] with a connection that ends as that of [Server] does.
func Client(conn net.Conn, config *tls.Config, ended func(remote net.Addr, reason error)) *tls.Conn {
	g := &guarded{Conn: conn, ended: ended}
	return tls.Client(g, g.watching(config))
}

// NewListener is [tls.NewListener] with connections that end as those of [Server] do.
func NewListener(l net.Listener, config *tls.Config, ended func(remote net.Addr, reason error)) net.Listener {
	return guardingListener{l, config, ended}
}

// Dialer dials by dial and shakes hands as a [Client].
func Dialer(dial func(ctx context.Context, network, addr string) (net.Conn, error), config *tls.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		plain, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		named := config.Clone()
		if named.ServerName == "" {
			named.ServerName, _, _ = net.SplitHostPort(addr)
		}
		conn := Client(plain, named, nil)
		if err := conn.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

type guardingListener struct {
	net.Listener
	config *tls.Config
	ended  func(net.Addr, error)
}

func (l guardingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return Server(conn, l.config, l.ended), nil
}

// guarded is what TLS runs over. It has to be closed by its own Close, which ends the checks.
type guarded struct {
	net.Conn
	ended func(net.Addr, error)

	mu     sync.Mutex
	timer  *time.Timer // nil: the peer has not shown a certificate
	closed bool
}

// NetConn is the connection below.
func (g *guarded) NetConn() net.Conn { return g.Conn }

// Close ends the connection and its checks.
func (g *guarded) Close() error {
	g.mu.Lock()
	g.closed = true
	if g.timer != nil {
		g.timer.Stop()
	}
	g.mu.Unlock()
	return g.Conn.Close()
}

// watching is config that starts the checks of the connection when it lets the peer in.
func (g *guarded) watching(config *tls.Config) *tls.Config {
	verify := config.VerifyConnection
	if verify == nil {
		return config
	}
	own := config.Clone()
	own.VerifyConnection = func(state tls.ConnectionState) error {
		err := verify(state)
		if err == nil && len(state.PeerCertificates) > 0 {
			g.watch(func() error { return verify(state) })
		}
		return err
	}
	return own
}

// watch closes the connection once verify fails.
func (g *guarded) watch(verify func() error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.timer != nil {
		return
	}
	g.timer = time.AfterFunc(checkEvery, func() {
		err := verify() // may wait for a disk: without the lock
		g.mu.Lock()
		defer g.mu.Unlock()
		switch {
		case g.closed:
		case err == nil:
			g.timer.Reset(checkEvery)
		default:
			_ = g.Conn.Close() // whoever reads from it reports the loss
			if g.ended != nil {
				g.ended(g.RemoteAddr(), err)
			}
		}
	})
}

// vouched is what one certificate is good for.
type vouched struct {
	certificate *x509.Certificate
	usage       x509.ExtKeyUsage
}

// holds says why a certificate with its chain does not hold now. Its signatures are looked at once, however long its
// connections live.
func (m *tlsMaterial) holds(chain []*x509.Certificate, usage x509.ExtKeyUsage) error {
	now, key := time.Now(), vouched{chain[0], usage}
	m.mu.Lock()
	until, known := m.vouched[key]
	m.mu.Unlock()
	if known && now.Before(until) {
		return nil
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	chains, err := chain[0].Verify(x509.VerifyOptions{Roots: m.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.vouched == nil || len(m.vouched) >= maxVouched {
		m.vouched = map[vouched]time.Time{}
	}
	m.vouched[key] = lastUntil(chains)
	return nil
}

// lastUntil is when the last of the chains expires.
func lastUntil(chains [][]*x509.Certificate) (last time.Time) {
	for _, chain := range chains {
		until := chain[0].NotAfter
		for _, c := range chain[1:] {
			if c.NotAfter.Before(until) {
				until = c.NotAfter
			}
		}
		if until.After(last) {
			last = until
		}
	}
	return last
}
