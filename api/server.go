package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The headers of the interface.
const (
	headerIndex     = "Synod-Index"      // answer: the log index it reflects
	headerVersion   = "Synod-Version"    // answer: the key's version
	headerRequestID = "Synod-Request-Id" // write: a ULID that makes repeating it safe
	headerForwarded = "Synod-Forwarded"  // request: the node that sends it on; it is not sent on again
	headerLeader    = "Synod-Leader"     // answer: where the leader is, when this node could not help
	headerTimeout   = "Synod-Timeout"    // request: how long to work on it, as "5s"
	headerNode      = "Synod-Node"       // answer: the node that gave it
	headerSession   = "Synod-Session"    // request: the token of the session in which it is done
	headerPrincipal = "Synod-Principal"  // forwarded request: who its sender has shown to be
)

// Server answers HTTP on one node. Its methods are safe for concurrent use.
type Server struct {
	config   Config
	node     atomic.Pointer[Backend] // nil while the node starts
	handler  http.Handler
	http     *http.Server
	forwards *http.Client
	stopping chan struct{} // closed by Shutdown: watches end
	stop     sync.Once
	loopback atomic.Bool // listens on loopback: the Host header is checked
	watches  chan struct{}
	// dispatcher wakes the watches of streams and of sessions.
	dispatcher *dispatcher
	sessions   sessionConns
	bodies     budget
	answers    budget
	counters   counters
}

// NewServer returns a server that does not listen yet.
func NewServer(c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	s := &Server{config: c, stopping: make(chan struct{}), watches: make(chan struct{}, c.MaxWatches)}
	if c.Backend != nil {
		s.SetBackend(c.Backend)
	}
	s.dispatcher = &dispatcher{backend: s.backend, stopping: s.stopping}
	s.bodies.most, s.answers.most = c.MaxBodies, c.MaxAnswers
	s.forwards = newForwardClient(c.ForwardTLS)
	s.handler = s.newHandler()
	s.http = &http.Server{
		Handler:           s.handler,
		TLSConfig:         c.TLS,
		MaxHeaderBytes:    max(1, c.MaxHeader-4096), // net/http lets 4 KiB more through
		ReadHeaderTimeout: c.HeaderTimeout,
		IdleTimeout:       c.IdleTimeout,
		ConnState:         onConnState,
		ErrorLog:          slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// SetBackend ends the start: from now on requests go to backend.
func (s *Server) SetBackend(backend Backend) { s.node.Store(&backend) }

// backend is the node; guard lets no request that needs it through before.
func (s *Server) backend() Backend { return *s.node.Load() }

// starting is the answer to requests before there is a Backend.
func (s *Server) starting() error {
	e := &Error{Code: CodeStarting, Message: "this node is starting", Do: []string{"ask another node, or wait:  node wait"}}
	for _, check := range s.config.Starting() {
		if !check.OK {
			e.Why = check.Reason
		}
	}
	return e
}

// Handler returns the interface for a listener of the caller's own. Limits on
// connections and headers are then the caller's.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers connections of l until Shutdown, and then returns nil. A listener on a
// loopback address answers only requests for a loopback host.
func (s *Server) Serve(l net.Listener) error {
	if host, _, err := net.SplitHostPort(l.Addr().String()); err == nil {
		s.loopback.Store(isLoopback(host))
	}
	l = limitListener(l, s.config.MaxConnections)
	if s.config.TLS != nil {
		l = tls.NewListener(l, s.config.TLS)
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("api: serve %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown ends watches, lets running requests end until ctx does, then cuts
// what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop.Do(func() { close(s.stopping) })
	s.sessions.stop(nodeStops)
	defer s.forwards.CloseIdleConnections()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// access says who may use a route.
type access string

const (
	public access = "public" // anyone who can connect
	member access = "member" // with TLS: a client certificate of the cluster
)

// route is one address with what each method does. Every route names its access.
type route struct {
	pattern string
	access  access
	methods map[string]http.HandlerFunc
}

func (s *Server) routes() []route {
	type methods = map[string]http.HandlerFunc
	return []route{
		{"/v1/kv/{path...}", member, methods{"GET": s.getKV, "POST": s.postKV, "PUT": s.putKV, "DELETE": s.deleteKV}},
		{"/v1/txn", member, methods{"POST": s.postTxn}},
		{"/v1/sessions", member, methods{"GET": s.getSessions, "POST": s.postSession}},
		{"/v1/sessions/{id}", member, methods{"DELETE": s.endSession}},
		{"/v1/session", member, methods{"DELETE": s.closeSession}},
		{"/v1/session/touch", member, methods{"POST": s.touchSession}},
		{connectPath, member, methods{"GET": s.connectSession}},
		{"/v1/acl/{path...}", member, methods{"GET": s.getACL, "PUT": s.putACL}},
		{"/v1/quotas", member, methods{"GET": s.getQuotas}},
		{"/v1/quota/{path...}", member, methods{"PUT": s.putQuota}},
		{batchPath, member, methods{"POST": s.postBatch}},
		{"/v1/status", member, methods{"GET": s.getStatus}},
		{"/v1/members", member, methods{"GET": s.getMembers}},
		{"/v1/members/{action}", member, methods{"POST": s.postMember}},
		{"/v1/transfer", member, methods{"POST": s.postTransfer}},
		{"/v1/snapshot", member, methods{"POST": s.postSnapshot}},
		{"/v1/groups/{name}/flight", member, methods{"GET": s.getFlight}},
		{"/v1/events", member, methods{"GET": s.getEvents}},
		{"/livez", public, methods{"GET": s.getLive}},
		{"/readyz", public, methods{"GET": s.getReady}},
		{"/metrics", member, methods{"GET": s.getMetrics}},
		{"/v1/kv", member, methods{"GET": s.getKV, "POST": s.postKV, "PUT": s.putKV, "DELETE": s.deleteKV}}, // the top, without a redirect
	}
}

func (s *Server) newHandler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern, s.guard(r))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &Error{Code: CodeNotFound, Message: fmt.Sprintf("there is nothing at %q", r.URL.Path),
			Do: []string{"keys are below /v1/kv/, see docs/api.md"}})
	})
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &Error{Code: CodeOrigin, Message: "a page of another web origin may not write here",
			Why: "the request comes from " + r.Header.Get("Origin")})
	}))
	return s.timely(s.checkHost(origin.Handler(mux)))
}

// guard checks access and method, bounds the request's time and runs it.
func (s *Server) guard(r route) http.Handler {
	var allowed []string
	for method := range r.methods {
		allowed = append(allowed, method)
	}
	slices.Sort(allowed)
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set(headerNode, s.config.Name)
		if r.access != public && !s.certified(q) {
			writeError(w, &Error{Code: CodeAccess, Message: "this request needs a client certificate of the cluster",
				Do: []string{"node tls issue NAME --role client, then --tls-cert, --tls-key and --tls-ca"}})
			return
		}
		method := q.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if s.node.Load() == nil && r.access != public {
			writeError(w, s.starting())
			return
		}
		handle := r.methods[method]
		if handle == nil {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			writeError(w, &Error{Code: CodeMethod, Message: fmt.Sprintf("%s does not take %s", q.URL.Path, q.Method),
				Do: []string{"use " + strings.Join(allowed, " or ")}})
			return
		}
		s.counters.request(method)
		handle(w, q)
	})
}

func (s *Server) certified(r *http.Request) bool {
	if s.config.TLS == nil || s.config.Certified == nil {
		return true
	}
	return r.TLS != nil && s.config.Certified(*r.TLS)
}

// checkHost refuses requests whose Host is not ours when we listen on
// loopback: a web page that rebinds its name to 127.0.0.1 could reach us. It
// refuses an unclean path too, before ServeMux redirects it.
func (s *Server) checkHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.loopback.Load() && !s.allowedHost(r.Host) {
			writeError(w, &Error{Code: CodeHost, Message: fmt.Sprintf("this node does not answer for the host %q", r.Host),
				Why: "it listens on loopback only", Do: []string{"use 127.0.0.1 or localhost in the address"}})
			return
		}
		if err := uncleanPath(r.URL); err != nil {
			writeError(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) allowedHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	return isLoopback(host) || slices.Contains(s.config.Hosts, host)
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// requestContext bounds r by the time it asks for, or by the default.
func (s *Server) requestContext(r *http.Request) (context.Context, context.CancelFunc, error) {
	timeout := s.config.RequestTimeout
	if text := r.Header.Get(headerTimeout); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 || d > maxTimeout {
			return nil, nil, badRequest(fmt.Sprintf("%s: %q is not a time to wait", headerTimeout, text),
				"it must be more than 0 and at most 60s", headerTimeout+": 5s")
		}
		timeout = d
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	return ctx, cancel, nil
}
