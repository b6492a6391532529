package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/synod-go/synod/actors/master"
)

// SetMaster makes the node's master known: before it is, or with nil, requests that need it
// end with CodeNoState.
func (s *Server) SetMaster(h *master.Handle) { s.master.Store(h) }

// electionWait is how long a request waits for a leading master, if it does not say less.
const electionWait = 3 * time.Second

// leading has handle answer a request where the leading master is: here, or it is sent on,
// once, with whatever is a stream or is upgraded. handle may rely on nothing but that the
// master has led: see masterError.
func (s *Server) leading(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := s.master.Load()
		if h == nil {
			writeError(w, noMaster())
			return
		}
		ctx, cancel, err := s.requestContext(r)
		if err != nil {
			writeError(w, err)
			return
		}
		defer cancel()
		for {
			changed := h.Changed()
			not := awaitMaster(ctx, h)
			switch {
			case not == nil:
				handle(w, r)
				return
			case not.API == "" || r.Header.Get(headerForwarded) != "":
				writeError(w, masterError(not, ""))
				return
			}
			s.counters.forwarded.Add(1)
			if s.proxy(w, r, h, not, func() bool { return waitUntil(ctx, changed) }) {
				return
			}
		}
	}
}

// waitUntil reports whether changed was closed before ctx has ended and a little more.
func waitUntil(ctx context.Context, changed <-chan struct{}) bool {
	ctx, cancel := context.WithTimeout(ctx, electionWait)
	defer cancel()
	select {
	case <-changed:
		return true
	case <-ctx.Done():
		return false
	}
}

// noMaster is the answer of a node that has no part of the registry.
func noMaster() *Error {
	return &Error{Code: CodeNoState, Message: "this node has no master",
		Why: "it is an acceptor alone, or of a version that has none", Do: []string{"ask another node:  node members"}}
}

// awaitMaster returns nil when this node's master leads, and otherwise who leads. It waits a
// little while nobody does.
func awaitMaster(ctx context.Context, h *master.Handle) *master.NotLeadingError {
	ctx, cancel := context.WithTimeout(ctx, electionWait)
	defer cancel()
	for {
		changed := h.Changed()
		not, is := errors.AsType[*master.NotLeadingError](h.Leads())
		if !is || !not.Starting && not.API != "" {
			return not
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return not
		}
	}
}

// masterError says for people and programs what an error of a master's Handle means.
func masterError(err error, what string) error {
	what = cmp.Or(what, "the request")
	if not, is := errors.AsType[*master.NotLeadingError](err); is {
		e := &Error{Code: CodeNoLeader, Message: what + " was not done: no master leads", Do: []string{"try again in a second; if that does not help, look which nodes are down:  node status"}}
		switch {
		case not.Starting:
			e.Message, e.Why = what+" was not done: the leading master is starting", "it reads the registry"
			e.Do = []string{"try again"}
		case not.Name != "":
			e.Message, e.Why = what+" was not done: this node's master does not lead", not.Name+" does"
			e.Leader = &Leader{Name: not.Name, API: not.API}
		}
		return e
	}
	switch {
	case errors.Is(err, master.ErrOverloaded):
		return &Error{Code: CodeOverloaded, Message: what + " was not done: the master is overloaded", Do: []string{"try again a little later, and slower"}}
	case errors.Is(err, master.ErrUnknownOutcome):
		return &Error{Code: CodeUnknown, Message: what + " may or may not have happened", Why: "the master lost the leadership meanwhile",
			Do: []string{"look what has become of it, or repeat it"}}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeUnknown, Message: what + " may or may not have happened", Why: "the master has not answered in time",
			Do: []string{"look what has become of it, or repeat it"}}
	}
	return nodeError(err, what)
}

// proxy sends a request on to the node of the leading master, with all that follows on its
// connection. It is given up when another master leads. If it was surely never sent, as a
// node that has just died does not answer, and again says so, it returns false.
func (s *Server) proxy(w http.ResponseWriter, r *http.Request, h *master.Handle, to *master.NotLeadingError, again func() bool) (done bool) {
	done = true
	leader := Leader{Name: to.Name, API: to.API}
	principals, err := s.principals(r)
	if err != nil {
		writeError(w, err)
		return done
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	go giveUp(ctx, cancel, h, to.Leader)
	var answered atomic.Bool
	wait := s.config.RequestTimeout
	if d, err := time.ParseDuration(r.Header.Get(headerTimeout)); err == nil {
		wait = d // it was checked
	}
	late := time.AfterFunc(wait, func() {
		if !answered.Load() {
			cancel(context.DeadlineExceeded)
		}
	})
	defer late.Stop()
	target := &url.URL{Scheme: "http", Host: to.API}
	if s.config.ForwardTLS != nil {
		target.Scheme = "https"
	}
	p := &httputil.ReverseProxy{
		Rewrite: func(q *httputil.ProxyRequest) {
			q.SetURL(target)
			s.gate.passToken(q.Out.Header, r) // who it is says headerPrincipal, or the token
			q.Out.Header.Del("Origin")
			q.Out.Header[headerPrincipal] = encodePrincipals(principals)
			q.Out.Header.Set(headerForwarded, cmp.Or(s.config.Name, "node"))
			q.Out.Header.Set(headerTimeout, max(wait*9/10, time.Millisecond).String())
		},
		Transport:     s.forwards.Transport,
		FlushInterval: -1,
		ModifyResponse: func(*http.Response) error {
			answered.Store(true)
			w.Header().Del(headerNode) // the other node's is passed on
			w.Header().Del("Cache-Control")
			w.Header().Del("X-Content-Type-Options")
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if cause := context.Cause(ctx); cause != nil && r.Context().Err() != nil {
				err = cause
			}
			if r.ContentLength == 0 && neverSent(err) && again() {
				done = false
				return
			}
			writeError(w, forwardError(r, leader, err))
		},
	}
	p.ServeHTTP(w, r.WithContext(ctx))
	return done
}

// giveUp cancels a request that was sent on to the node of a master that leads no more.
func giveUp(ctx context.Context, cancel context.CancelCauseFunc, h *master.Handle, leader uint64) {
	for {
		changed := h.Changed()
		not, is := errors.AsType[*master.NotLeadingError](h.Leads())
		if !is || not.Starting || not.Leader != 0 && not.Leader != leader {
			cancel(errDeposed)
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
