package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/synod-go/synod/actors/master"
	"github.com/synod-go/synod/cluster"
)

// The headers of the interface.
const (
	headerIndex     = "Synod-Index"      // answer: the log index it reflects
	headerVersion   = "Synod-Version"    // answer: the key's version
	headerRequestID = "Synod-Request-Id" // write: a ULID that makes repeating it safe
	headerTime      = "Synod-Time"       // answer of /livez: the clock of the node in Unix microseconds
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
	gate     gate
	node     atomic.Pointer[Backend] // nil while the node starts
	master   atomic.Pointer[master.Handle]
	jobs     atomic.Pointer[jobsHandle]
	page     atomic.Pointer[http.Handler]
	handler  http.Handler
	http     *http.Server
	forwards *http.Client
	toAgents *http.Client
	stopping chan struct{} // closed by Shutdown: watches end
	stop     sync.Once
	hosts    hosts
	watches  chan struct{}
	backups  chan struct{} // one place for each that is being sent
	// dispatcher wakes the watches of streams and of sessions.
	dispatcher *dispatcher
	sessions   sessionConns
	agents     agentConns
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
	s := &Server{config: c, stopping: make(chan struct{}), watches: make(chan struct{}, c.MaxWatches), backups: make(chan struct{}, maxBackups)}
	if c.Backend != nil {
		s.SetBackend(c.Backend)
	}
	s.dispatcher = &dispatcher{backend: s.backend, stopping: s.stopping}
	s.bodies.most, s.answers.most = c.MaxBodies, c.MaxAnswers
	s.forwards, s.toAgents = newForwardClient(c.ForwardTLS, c.Dial), newForwardClient(c.AgentTLS, c.Dial)
	s.gate = newGate(c.TLS, c.Tokens, c.Who)
	s.hosts.what, s.hosts.names, s.hosts.open = "node", c.Hosts, s.gate.open()
	var err error
	if s.handler, err = s.newHandler(s.routes()); err != nil {
		return nil, err
	}
	s.http = s.limits().Server(s.handler)
	return s, nil
}

func (s *Server) limits() ServerLimits {
	c := s.config
	return ServerLimits{Connections: c.MaxConnections, Strangers: c.MaxStrangers, Known: s.gate.known(), Header: c.MaxHeader,
		HeaderTime: c.HeaderTimeout, BodyTime: c.BodyTimeout, IdleTime: c.IdleTimeout, Logger: c.Logger}
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
// loopback address answers only requests for a loopback host or one of Config.Hosts; where nobody has to say who it is,
// another one answers those for an address, a name of one part or one of Config.Hosts.
func (s *Server) Serve(l net.Listener) error {
	s.hosts.listensAt(l.Addr())
	if err := s.http.Serve(s.limits().Listener(l, s.config.TLS)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("api: serve %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown ends watches, lets running requests end until ctx does, then cuts
// what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop.Do(func() { close(s.stopping) })
	s.sessions.stop(nodeStops)
	s.agents.stop()
	defer s.forwards.CloseIdleConnections()
	defer s.toAgents.CloseIdleConnections()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// routes is the table of what there is, each with the role that it takes. There is no other way to a handler.
func (s *Server) routes() []route {
	type methods = map[string]http.HandlerFunc
	const view, use, operate, admin = cluster.RoleView, cluster.RoleUse, cluster.RoleOperate, cluster.RoleAdmin
	return []route{
		{"/livez", anyone, methods{"GET": s.getLive}},
		{"/readyz", anyone, methods{"GET": s.getReady}},
		{"/metrics", view, methods{"GET": s.getMetrics}},
		{"/v1/kv/{path...}", view, methods{"GET": s.getKV}},
		{"/v1/kv/{path...}", use, methods{"POST": s.postKV, "PUT": s.putKV, "DELETE": s.deleteKV}},
		{"/v1/kv", view, methods{"GET": s.getKV}}, // the top, without a redirect
		{"/v1/kv", use, methods{"POST": s.postKV, "PUT": s.putKV, "DELETE": s.deleteKV}},
		{batchPath, view, methods{"POST": s.postBatch}}, // each of its operations takes its own role
		{"/v1/txn", use, methods{"POST": s.postTxn}},
		{"/v1/sessions", view, methods{"GET": s.getSessions}},
		{"/v1/sessions", use, methods{"POST": s.postSession}},
		{"/v1/sessions/{id}", admin, methods{"DELETE": s.endSession}},
		{"/v1/session", use, methods{"DELETE": s.closeSession}},
		{"/v1/session/touch", use, methods{"POST": s.touchSession}},
		{connectPath, use, methods{"GET": s.connectSession}},
		{"/v1/acl/{path...}", view, methods{"GET": s.getACL}},
		{"/v1/acl/{path...}", use, methods{"PUT": s.putACL}},
		{"/v1/quotas", view, methods{"GET": s.getQuotas}},
		{"/v1/quota/{path...}", admin, methods{"PUT": s.putQuota}},
		{"/v1/status", view, methods{"GET": s.getStatus}},
		{"/v1/members", view, methods{"GET": s.getMembers}},
		{"/v1/members/{action}", admin, methods{"POST": s.postMember}},
		{"/v1/transfer", operate, methods{"POST": s.postTransfer}},
		{"/v1/snapshot", admin, methods{"GET": s.getBackup}}, // all keys, whatever their access lists say
		{"/v1/snapshot", operate, methods{"POST": s.postSnapshot}},
		{"/v1/groups/{name}/flight", view, methods{"GET": s.getFlight}},
		{"/v1/events", view, methods{"GET": s.getEvents}},
		{"/v1/faults", view, methods{"GET": s.getFaults}},
		{"/v1/faults", admin, methods{"POST": s.postFault}},
		{agentConnectPath, cluster.RoleAgent, methods{"GET": s.connectAgent}},
		{"/v1/agents", view, methods{"GET": s.leading(s.getAgents)}},
		{"/v1/agents/{id}/{action}", operate, methods{"POST": s.leading(s.postAgent)}},
		{"/v1/frameworks", view, methods{"GET": s.leading(s.getFrameworks)}},
		{"/v1/frameworks/{id}", operate, methods{"DELETE": s.leading(s.deleteFramework)}},
		{"/v1/frameworks/{id}/allow", operate, methods{"POST": s.leading(s.allowFramework)}},
		{"/v1/tasks", view, methods{"GET": s.leading(s.getTasks)}},
		{"/v1/tasks/{framework}/{task}", view, methods{"GET": s.leading(s.getTask)}},
		{"/v1/tasks/{framework}/{task}", operate, methods{"DELETE": s.leading(s.deleteTask)}},
		{"/v1/tasks/{framework}/{task}/logs", view, methods{"GET": s.leading(s.atAgent("logs"))}},
		{"/v1/tasks/{framework}/{task}/files", operate, methods{"GET": s.leading(s.atAgent("files"))}}, // there may be secrets
		{"/v1/tasks/{framework}/{task}/files/{path...}", operate, methods{"GET": s.leading(s.atAgent("files"))}},
		{"/v1/tasks/{framework}/{task}/exec", operate, methods{"POST": s.leading(s.atAgent("exec"))}},
		{"/v1/jobs", view, methods{"GET": s.withJobs(s.getJobs)}},
		{"/v1/jobs", operate, methods{"PUT": s.withJobs(s.putJobs)}},
		{"/v1/jobs/{name}", view, methods{"GET": s.withJobs(s.getJob)}},
		{"/v1/jobs/{name}", operate, methods{"DELETE": s.withJobs(s.deleteJob)}},
		{"/v1/jobs/{name}/{action}", operate, methods{"POST": s.withJobs(s.postJob)}},
		{"/v1/happenings", view, methods{"GET": s.leading(s.getHappenings)}},
		{schedulerPath, operate, methods{"POST": s.leading(s.postScheduler)}},
		{LookPath, view, methods{"GET": s.getLook}},
		{"/{$}", view, methods{"GET": s.getPage}},
		{"/ui/{path...}", view, methods{"GET": s.getPage}},
		{"/v1/page/events", view, methods{"GET": s.getPage}},
		{"/", view, nil}, // what is nowhere else
	}
}

func nothingThere(w http.ResponseWriter, r *http.Request) {
	writeError(w, &Error{Code: CodeNotFound, Message: fmt.Sprintf("there is nothing at %q", r.URL.Path),
		Do: []string{"keys are below /v1/kv/, see docs/api.md"}})
}

// SetPage gives the server its live page, package ui's: it answers at / for browsers, below
// /ui/ and at /v1/page/events. nil: there is none. A stream of it ends with Shutdown.
func (s *Server) SetPage(page http.Handler) { s.page.Store(&page) }

// PageToken is the token that a page shows to the other nodes on behalf of the sender of a request that has come in, as
// a request that is sent on does: without TLS a node has nothing of its own to show them. "": none is needed.
func (s *Server) PageToken(r *http.Request) string { return s.gate.passed(r) }

// getPage has the page answer. A client that asks the top for something other than HTML is no
// browser.
func (s *Server) getPage(w http.ResponseWriter, r *http.Request) {
	page := s.page.Load()
	if page == nil || *page == nil || r.URL.Path == "/" && !strings.Contains(r.Header.Get("Accept"), "text/html") {
		nothingThere(w, r)
		return
	}
	ctx, cancel := s.untilShutdown(r.Context())
	defer cancel()
	(*page).ServeHTTP(w, r.WithContext(ctx))
}

// newHandler registers the table, and refuses one that does not say who may have something.
func (s *Server) newHandler(routes []route) (http.Handler, error) {
	mux, patterns, byPattern := http.NewServeMux(), []string(nil), map[string]map[string]endpoint{}
	for _, r := range routes {
		if r.need != anyone && !slices.Contains([]cluster.Role{cluster.RoleView, cluster.RoleUse, cluster.RoleOperate, cluster.RoleAdmin, cluster.RoleAgent}, r.need) {
			return nil, fmt.Errorf("api: the route %s takes the role %q, which there is not", r.pattern, r.need)
		}
		if byPattern[r.pattern] == nil {
			patterns, byPattern[r.pattern] = append(patterns, r.pattern), map[string]endpoint{}
		}
		for method, handle := range r.methods {
			byPattern[r.pattern][method] = endpoint{r.need, handle}
		}
	}
	for _, pattern := range patterns {
		mux.Handle(pattern, s.guard(byPattern[pattern]))
	}
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &Error{Code: CodeOrigin, Message: "a page of another web origin may not write here",
			Why: "the request comes from " + r.Header.Get("Origin")})
	}))
	return s.timely(s.checkHost(origin.Handler(mux))), nil
}

// endpoint is one method of one address.
type endpoint struct {
	need   cluster.Role
	handle http.HandlerFunc
}

// guard checks the sender's role and the method, and runs the method's handler.
func (s *Server) guard(methods map[string]endpoint) http.Handler {
	allowed := slices.Sorted(maps.Keys(methods))
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set(headerNode, s.config.Name)
		method := q.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		e, takes := methods[method]
		if !takes { // a stranger does not learn what there is
			e.need = cluster.RoleView
		}
		switch {
		case !s.gate.allows(q, e.need):
			writeError(w, s.gate.refuse(w.Header(), q, e.need))
		case len(methods) == 0:
			nothingThere(w, q)
		case s.node.Load() == nil && e.need != anyone:
			writeError(w, s.starting())
		case !takes:
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			writeError(w, &Error{Code: CodeMethod, Message: fmt.Sprintf("%s does not take %s", q.URL.Path, q.Method),
				Do: []string{"use " + strings.Join(allowed, " or ")}})
		default:
			s.counters.request(method)
			s.gate.serve(w, q, e.handle)
		}
	})
}

// agentName is the name that an agent has proven by a certificate or a token, "" if none has to.
func (s *Server) agentName(r *http.Request) string { return s.gate.sender(r).Name }

// checkHost refuses requests whose Host is not ours, see hosts. It refuses an unclean path too, before ServeMux
// redirects it.
func (s *Server) checkHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e := s.hosts.refuse(r); e != nil {
			writeError(w, e)
			return
		}
		if err := uncleanPath(r.URL); err != nil {
			writeError(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
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
