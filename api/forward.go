package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/synod-go/synod/cluster"
)

// maxAnswer bounds what a request may bring back, in bytes: a page of the largest
// values, escaped in the worst way. A longer answer is an error, never cut short.
const maxAnswer = 64 << 20

// maxStatus bounds the leader's answer about the group, in bytes.
const maxStatus = 1 << 20

// DialFunc connects, as a net.Dialer's DialContext.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// newForwardClient returns a client that connects by dial, or by itself if that is nil.
func newForwardClient(config *tls.Config, dial DialFunc) *http.Client {
	if dial == nil {
		dial = (&net.Dialer{Timeout: time.Second}).DialContext
	}
	transport := &http.Transport{
		DialContext:         dial,
		MaxIdleConnsPerHost: 256,
		MaxConnsPerHost:     1024,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}
	if config != nil {
		secure := cluster.Dialer(dial, config)
		transport.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := secure(ctx, network, addr)
			if err != nil && !neverSent(err) {
				err = notSent(err)
			}
			return conn, err
		}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// failOrForward sends a request that only the leader can answer there, once.
// Everything else is answered with err.
func (s *Server) failOrForward(ctx context.Context, w http.ResponseWriter, r *http.Request, body []byte, err error) {
	e := asError(err)
	if e.Code == CodeInternal {
		s.config.Logger.Error("request failed", "path", r.URL.Path, "reason", err)
	}
	forwarded := r.Header.Get(headerForwarded) != ""
	if e.Code != CodeNoLeader || e.Leader == nil || e.Leader.API == "" || forwarded {
		writeError(w, e)
		return
	}
	s.counters.forwarded.Add(1)
	s.forward(ctx, w, r, body, *e.Leader)
}

// forward sends r to the leader and passes the answer on. It does not wait for
// a leader that has been deposed: one that is paused or cut off keeps its
// connections.
func (s *Server) forward(ctx context.Context, w http.ResponseWriter, r *http.Request, body []byte, leader Leader) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if r.URL.Path != "/v1/transfer" { // that is meant to change the leader
		go func() {
			select {
			case <-s.backend().LeaderChange():
				cancel(errDeposed)
			case <-ctx.Done():
			}
		}()
	}
	request, err := s.forwardRequest(ctx, r, r.URL, body, leader)
	if err != nil {
		writeError(w, err)
		return
	}
	answer, err := s.forwards.Do(request)
	if err != nil {
		writeError(w, forwardError(r, leader, cmp.Or(deposed(ctx), err)))
		return
	}
	defer answer.Body.Close()
	pieces, free, err := s.answers.readPieces(answer.Body, min(maxAnswer, s.answers.most))
	if err != nil {
		writeError(w, forwardError(r, leader, cmp.Or(deposed(ctx), err)))
		return
	}
	defer free()
	for _, name := range passedOn {
		if value := answer.Header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	s.delivered(r, writePieces(w, r, answer.StatusCode, pieces))
}

// passedOn are the headers of the leader's answer that ours has too.
var passedOn = []string{"Content-Type", "Retry-After", headerIndex, headerVersion, headerLeader, headerNode}

func writePieces(w http.ResponseWriter, r *http.Request, status int, pieces [][]byte) error {
	size := 0
	for _, piece := range pieces {
		size += len(piece)
	}
	if r.Method != http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(size))
	}
	w.WriteHeader(status)
	for _, piece := range pieces {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// errDeposed ends a forwarded request whose leader leads no more.
var errDeposed = errors.New("another node leads now")

// deposed returns errDeposed if that is why ctx has ended.
func deposed(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errDeposed) {
		return errDeposed
	}
	return nil
}

// ask reads a JSON answer from the leader.
func (s *Server) ask(ctx context.Context, r *http.Request, leader Leader, address string, answer any) error {
	request, err := s.forwardRequest(ctx, r, &url.URL{Path: address}, nil, leader)
	if err != nil {
		return err
	}
	response, err := s.forwards.Do(request)
	if err != nil {
		return forwardError(r, leader, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return &Error{Code: CodeNoLeader, Message: "the leader does not answer", Why: response.Status}
	}
	content, err := readAll(response.Body, maxStatus)
	if err != nil {
		return forwardError(r, leader, err)
	}
	return json.Unmarshal(content, answer)
}

func (s *Server) forwardRequest(ctx context.Context, r *http.Request, at *url.URL, body []byte, leader Leader) (*http.Request, error) {
	target := url.URL{Scheme: "http", Host: leader.API, Path: at.Path, RawPath: at.RawPath, RawQuery: at.RawQuery}
	if s.config.ForwardTLS != nil {
		target.Scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, &Error{Code: CodeNoLeader, Message: "the leader cannot be reached from here", Leader: &leader, Why: err.Error()}
	}
	principals, err := s.principals(r)
	if err != nil {
		return nil, err
	}
	request.Header[headerPrincipal] = encodePrincipals(principals)
	for _, name := range []string{"Accept", "Content-Type", headerRequestID, headerSession} {
		if value := r.Header.Get(name); value != "" {
			request.Header.Set(name, value)
		}
	}
	s.gate.passToken(request.Header, r)
	request.Header.Set(headerForwarded, cmp.Or(s.config.Name, "node"))
	if deadline, ok := ctx.Deadline(); ok {
		// The leader gives up a little before we do, so that its answer arrives.
		left := max(time.Until(deadline)*9/10, time.Millisecond)
		request.Header.Set(headerTimeout, left.String())
	}
	return request, nil
}

// forwardError tells a request that surely never left this node from one whose
// answer was lost on the way back.
func forwardError(r *http.Request, leader Leader, err error) *Error {
	why := fmt.Sprintf("the leader %s at %s: %s", leader.Name, leader.API, Reason(err))
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case read && errors.Is(err, errBudget):
		return answerOverload()
	case read && errors.Is(err, errLong):
		return &Error{Code: CodeTooLarge, Message: "the answer is too large to be passed on", Why: why, Leader: &leader,
			Do: []string{"list fewer keys at a time, with limit"}}
	case read || neverSent(err):
		return &Error{Code: CodeNoLeader, Message: "the leader does not answer", Why: why, Leader: &leader,
			Do: []string{"try again in a second: a new leader is being elected"}}
	}
	return &Error{Code: CodeUnknown, Message: fmt.Sprintf("the %s of %q may or may not have happened", r.Method, r.URL.Path), Why: why,
		RequestID: r.Header.Get(headerRequestID), Do: []string{"read it back, or repeat it with the same Synod-Request-Id"}}
}

// neverSent reports whether a request failed before a byte of it could have
// arrived: the connection was never made, or it was given up while it waited here.
func neverSent(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial" || errors.Is(err, errNotSent)
}

// Reason says in words why a connection failed: what errors of package net mean, without
// their Go names.
func Reason(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "given up"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection broke off"
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return "the name " + e.Name + " is not known"
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Err != nil {
		return trimSyscall(e.Err.Error())
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return trimSyscall(e.Err.Error())
	}
	return trimSyscall(err.Error())
}
