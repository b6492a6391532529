package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/synod-go/synod/coordination"
)

// getKV answers a read, a listing or a watch.
func (s *Server) getKV(w http.ResponseWriter, r *http.Request) {
	switch values := r.URL.Query(); {
	case values.Has("watch"):
		s.watchKV(w, r)
	case values.Has("list"):
		s.listKV(w, r)
	default:
		s.readKV(w, r)
	}
}

func (s *Server) readKV(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "level", "index")
	options := q.read()
	path := r.PathValue("path")
	caller, callerErr := s.caller(r)
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(q.err, checkPath(path), callerErr, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	entry, index, err := s.get(ctx, caller, path, options)
	if index > 0 {
		w.Header().Set(headerIndex, strconv.FormatUint(index, 10))
	}
	if err != nil {
		s.failOrForward(ctx, w, r, nil, err)
		return
	}
	free, err := s.hold(len(entry.Value))
	if err != nil {
		writeError(w, err)
		return
	}
	defer free()
	w.Header().Set(headerVersion, strconv.FormatUint(entry.Version, 10))
	if acceptsJSON(r) {
		s.delivered(r, writeEntry(w, entry))
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(entry.Value)))
	_, err = w.Write(entry.Value)
	s.delivered(r, err)
}

func (s *Server) listKV(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "list", "level", "index", "limit", "after", "recursive")
	q.flag("list")
	options := ListOptions{ReadOptions: q.read(), Recursive: q.flag("recursive"), Limit: q.limit(), After: q.values.Get("after")}
	path := r.PathValue("path")
	caller, callerErr := s.caller(r)
	ctx, cancel, err := s.requestContext(r)
	if path != "" { // "" lists the top
		err = errors.Join(err, checkPath(path))
	}
	if err = errors.Join(q.err, callerErr, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	page, err := s.list(ctx, caller, path, options)
	if err != nil {
		s.failOrForward(ctx, w, r, nil, err)
		return
	}
	free, err := s.hold(bytesOf(page))
	if err != nil {
		writeError(w, err)
		return
	}
	defer free()
	s.delivered(r, writeListing(w, page))
}

// delivered looks at what became of an answer whose client is gone or too slow.
func (s *Server) delivered(r *http.Request, err error) {
	if errors.Is(err, errSlow) {
		s.counters.slowAnswers.Add(1)
	}
	if err != nil {
		s.config.Logger.Debug("answer not delivered", "path", r.URL.Path, "reason", err)
	}
}

func (s *Server) putKV(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "version", "created")
	s.writeKV(w, r, q, coordination.Operation{Kind: coordination.Put, Version: q.expected(true), CreateIndex: q.number("created")})
}

func (s *Server) deleteKV(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "version", "created", "recursive")
	s.writeKV(w, r, q, coordination.Operation{Kind: coordination.Delete, Version: q.expected(false), CreateIndex: q.number("created"),
		Recursive: q.flag("recursive")})
}

// postKV creates a key that must not exist.
func (s *Server) postKV(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "mode", "ttl", "sequential", "need_parent", "acl")
	o := coordination.Operation{Kind: coordination.Create, Mode: q.mode(), TTL: q.milliseconds("ttl"), Sequential: q.flag("sequential"),
		MakeParents: !q.flag("need_parent"), ACL: q.acl()}
	s.writeKV(w, r, q, o)
}

// writeKV carries out o, which lacks its path, data and caller.
func (s *Server) writeKV(w http.ResponseWriter, r *http.Request, q *query, o coordination.Operation) {
	path := r.PathValue("path")
	o.Path = "/" + path
	id, idErr := requestID(r)
	caller, callerErr := s.caller(r)
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(q.err, checkWritten(o), idErr, callerErr, err, checkOwner(o, caller)); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	body, err := s.readBody(w, r)
	if err != nil {
		writeError(w, err)
		return
	}
	defer s.bodies.give(cap(body))
	o.Data, o.Caller = body, caller
	if o.Kind == coordination.Delete {
		o.Data = nil
	}
	done, err := s.write(ctx, o, id)
	if err != nil {
		s.failOrForward(ctx, w, r, body, withRequestID(err, id))
		return
	}
	w.Header().Set(headerIndex, strconv.FormatUint(done.Index, 10))
	if done.Version > 0 {
		w.Header().Set(headerVersion, strconv.FormatUint(done.Version, 10))
	}
	writeJSON(w, http.StatusOK, done)
}

// checkOwner refuses an ephemeral key of nobody: the tree would say that a session is over, and there was none.
func checkOwner(o coordination.Operation, caller coordination.Caller) error {
	if o.Mode != coordination.Ephemeral || caller.Session != 0 {
		return nil
	}
	return &Error{Code: CodeSession, Message: "an ephemeral key needs a session, and none was named: nothing was done",
		Do: []string{headerSession + ": TOKEN, as POST /v1/sessions returns it"}}
}

// checkWritten refuses what the tree would refuse anyway, in better words.
func checkWritten(o coordination.Operation) error {
	path := strings.TrimPrefix(o.Path, "/")
	switch {
	case o.Mode == coordination.TTL && o.TTL == 0:
		return badRequest("mode ttl needs a time", "", "ttl=10s")
	case o.Mode != coordination.TTL && o.TTL != 0:
		return badRequest("a time to live goes with mode ttl only", "")
	case o.Kind == coordination.Create && o.Sequential:
		path += "0000000000" // the tree makes the number
	}
	return checkPath(path)
}

// withRequestID puts the write's id into its error, for the advice to repeat it.
func withRequestID(err error, id RequestID) error {
	e := asError(err)
	if id == (RequestID{}) {
		return e
	}
	copied := *e
	copied.RequestID = id.String()
	return &copied
}

// readBody reads at most MaxValue bytes, and refuses a larger body without reading it.
// The caller gives the capacity of what it returns back to s.bodies.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return s.readUpTo(w, r, s.config.MaxValue)
}

func (s *Server) readUpTo(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close")
		return nil, tooLarge(fmt.Sprintf("%d bytes, the limit is %d bytes", r.ContentLength, limit))
	}
	// A recorder in a test has no deadline; a connection has.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.config.BodyTimeout))
	limited, size := http.MaxBytesReader(netWriter(w), r.Body, limit), r.ContentLength
	if size < 0 {
		size = limit
	}
	body, err := s.bodies.readAll(limited, size)
	if errors.Is(err, errBudget) {
		return nil, &Error{Code: CodeOverloaded, Message: "the write was not done: the node is overloaded", Why: err.Error(),
			Do: []string{"try again a little later, and slower"}}
	}
	if _, is := errors.AsType[*http.MaxBytesError](err); is {
		return nil, tooLarge(fmt.Sprintf("more than the limit of %d bytes", limit))
	}
	if err != nil {
		return nil, badRequest("the body ended early", err.Error())
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return body, nil
}

func tooLarge(why string) *Error {
	return &Error{Code: CodeTooLarge, Message: "the value is too large", Why: why,
		Do: []string{"keep large data elsewhere and write its address here"}}
}

func acceptsJSON(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "application/json")
}
