package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/synod-go/synod/cluster"
)

// ServerLimits bound what one who connects to an HTTP server of ours can take of it. The zero value has the defaults.
type ServerLimits struct {
	// Connections is how many may be open. Default 512. When there are as many, idle ones are closed, and those whose
	// request has not come for a second; more wait to be accepted.
	Connections int
	// Strangers is how many may be open from one address before they have shown who they are. More are closed at once.
	// Default 100. Loopback's addresses are not counted: behind one are all programs of this machine.
	Strangers int
	// Known reports whether a request has shown who its sender is, so that its connection is no stranger's any more.
	// nil: nobody has to, and there are no strangers.
	Known func(r *http.Request) bool
	// Header is how many bytes of headers a request may have. Default 16 KiB.
	Header int
	// HeaderTime is how long headers may take to come, also those of the first request of a new connection, and a TLS
	// handshake. Default 5 s.
	HeaderTime time.Duration
	// BodyTime is how long a body may take to come. 0: as long as the handler waits for it.
	BodyTime time.Duration
	// IdleTime is how long a connection may wait for its next request. Default 60 s.
	IdleTime time.Duration
	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
}

const (
	defaultHeader     = 16 << 10
	defaultHeaderTime = 5 * time.Second
	defaultIdleTime   = 60 * time.Second
	defaultStrangers  = 100
	// leftBehind is how long a body that nobody has read may take to come after the answer: net/http reads some of it,
	// so that its client does not find the connection reset before it has read the answer.
	leftBehind = time.Second
)

func (c ServerLimits) withDefaults() ServerLimits {
	c.Connections = cmp.Or(c.Connections, 512)
	c.Strangers = cmp.Or(c.Strangers, defaultStrangers)
	c.Header = cmp.Or(c.Header, defaultHeader)
	c.HeaderTime = cmp.Or(c.HeaderTime, defaultHeaderTime)
	c.IdleTime = cmp.Or(c.IdleTime, defaultIdleTime)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Server returns a server for handler. It is to serve a listener that Listener has made: how many connections there
// are is not bounded otherwise.
func (c ServerLimits) Server(handler http.Handler) *http.Server {
	c = c.withDefaults()
	return &http.Server{
		Handler:           c.timely(handler),
		MaxHeaderBytes:    max(1, c.Header-4096), // net/http lets 4 KiB more through
		ReadHeaderTimeout: c.HeaderTime,
		IdleTimeout:       c.IdleTime,
		ConnState:         onConnState,
		ConnContext:       withPlace,
		ErrorLog:          slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
	}
}

// Listener bounds the connections of l, and has them speak TLS unless material is nil.
func (c ServerLimits) Listener(l net.Listener, material *tls.Config) net.Listener {
	c = c.withDefaults()
	bounded := limitListener(l, c.Connections)
	if c.Known != nil {
		bounded.strangers = newStrangers(c.Strangers, c.Logger)
	}
	if material == nil {
		return bounded
	}
	return cluster.NewListener(bounded, material, unvouched(c.Logger))
}

// timely notes of each request that it has come and who sends it, and gives its body a time to come.
func (c ServerLimits) timely(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if place := connOf(r); place != nil {
			place.setSilent(false)
			if c.Known != nil && place.isStranger() && c.Known(r) {
				place.noStranger()
			}
		}
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		body := &timelyBody{ReadCloser: r.Body, control: http.NewResponseController(w)}
		if c.BodyTime > 0 {
			body.within(c.BodyTime)
		}
		timed := r.WithContext(r.Context()) // net/http asks its own request whether the body was left behind, and lingers then
		timed.Body = body
		next.ServeHTTP(w, timed)
		if !body.read {
			body.within(leftBehind)
		}
	})
}

// timelyBody is a body that must have come in time. Once it has, its connection may be silent as long as it likes: what
// is answered may be a stream without an end.
type timelyBody struct {
	io.ReadCloser
	control *http.ResponseController
	read    bool // to its end
}

// within sets the time. A recorder in a test has none.
func (b *timelyBody) within(d time.Duration) { _ = b.control.SetReadDeadline(time.Now().Add(d)) }

// Read reads.
func (b *timelyBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && !b.read {
		b.read = true
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// placeKey is the key of a connection in the context of its requests.
type placeKey struct{}

// withPlace is for http.Server: see connOf.
func withPlace(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, placeKey{}, limitedOf(conn))
}

// connOf is the place of the request's connection, nil if it has none.
func connOf(r *http.Request) *limitedConn {
	place, _ := r.Context().Value(placeKey{}).(*limitedConn)
	return place
}
