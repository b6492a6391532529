package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/synod-go/synod/coordination"
)

const (
	// defaultSessionTimeout is that of a session whose client does not say.
	defaultSessionTimeout = 10 * time.Second
	// maxSessionRequest bounds the body of POST /v1/sessions, in bytes.
	maxSessionRequest = 4 << 10
)

// openJSON asks for a session.
type openJSON struct {
	Timeout string `json:"timeout,omitempty"`
	Linger  string `json:"linger,omitempty"`
	// Key is that of a password that the client keeps to itself, in hexadecimal. Without
	// it the node makes the password, and its answer has the whole token.
	Key string `json:"key,omitempty"`
}

// openedJSON is the answer.
type openedJSON struct {
	Session uint64 `json:"session"`
	Token   string `json:"token,omitempty"`
	Timeout string `json:"timeout"`
	Linger  string `json:"linger"`
	Index   uint64 `json:"index"`
}

func (j openJSON) operation() (o coordination.Operation, made password, err error) {
	o.Kind = coordination.OpenSession
	if o.Timeout, err = parseMilliseconds("timeout", j.Timeout); err != nil {
		return o, made, err
	}
	if o.Linger, err = parseMilliseconds("linger", j.Linger); err != nil {
		return o, made, err
	}
	if o.Timeout == 0 {
		o.Timeout = defaultSessionTimeout.Milliseconds()
	}
	if o.Linger == 0 {
		o.Linger = o.Timeout
	}
	if j.Key == "" {
		made = newPassword()
		o.Caller.Key = made.key()
		return o, made, nil
	}
	if len(j.Key) != hex.EncodedLen(len(o.Caller.Key)) {
		return o, made, badKey()
	}
	if _, err := hex.Decode(o.Caller.Key[:], []byte(j.Key)); err != nil {
		return o, made, badKey()
	}
	return o, made, nil
}

func badKey() error {
	return badRequest("the key cannot be read", "it is the first 16 bytes of the SHA-256 of a password of 16 bytes, in hexadecimal",
		"leave it out: the node then makes a password")
}

// postSession opens a session.
func (s *Server) postSession(w http.ResponseWriter, r *http.Request) {
	id, idErr := requestID(r)
	principals, principalsErr := s.principals(r)
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(newQuery(r).err, idErr, principalsErr, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	body, err := s.readUpTo(w, r, maxSessionRequest)
	if err != nil {
		writeError(w, err)
		return
	}
	defer s.bodies.give(cap(body))
	o, made, err := decodeOpen(body, id)
	if err != nil {
		writeError(w, err)
		return
	}
	o.Caller.Principals = principals
	opened, err := s.open(ctx, o, made, id)
	if err != nil {
		s.failOrForward(ctx, w, r, body, withRequestID(err, id))
		return
	}
	w.Header().Set(headerIndex, strconv.FormatUint(opened.Index, 10))
	writeJSON(w, http.StatusOK, opened)
}

// decodeOpen reads a request, of which nothing at all is fine too. A repetition finds the
// session that the first attempt has opened, so both must have the same key.
func decodeOpen(body []byte, id RequestID) (o coordination.Operation, made password, err error) {
	var j openJSON
	if len(body) > 0 {
		if err := unmarshalStrictly(body, &j); err != nil {
			return o, made, badRequest("the request for a session cannot be read", err.Error(), `{"timeout":"10s","linger":"10s"}`)
		}
	}
	if id != (RequestID{}) && j.Key == "" {
		return o, made, badRequest("a session that is opened with a request id needs a key", "a repetition would get another password",
			"leave out the request id, or send the key of a password of your own")
	}
	return j.operation()
}

func (s *Server) open(ctx context.Context, o coordination.Operation, made password, id RequestID) (openedJSON, error) {
	r, err := s.backend().Propose(ctx, o, id)
	if err != nil {
		return openedJSON{}, err
	}
	if r.Err() != nil {
		return openedJSON{}, treeError(r.Err(), "")
	}
	opened := openedJSON{Session: r.Session.ID, Index: r.Index,
		Timeout: milliseconds(r.Session.Timeout).String(), Linger: milliseconds(r.Session.Linger).String()}
	if made != (password{}) {
		opened.Token = sessionToken(r.Session.ID, made)
	}
	return opened, nil
}

func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// closeSession ends the caller's own session.
func (s *Server) closeSession(w http.ResponseWriter, r *http.Request) {
	id, idErr := requestID(r)
	caller, callerErr := s.inSession(r)
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(newQuery(r).err, idErr, callerErr, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	s.end(ctx, w, r, coordination.Operation{Kind: coordination.CloseSession, Caller: caller}, id)
}

// end proposes what ends a session and answers.
func (s *Server) end(ctx context.Context, w http.ResponseWriter, r *http.Request, o coordination.Operation, id RequestID) {
	result, err := s.backend().Propose(ctx, o, id)
	if err == nil && result.Err() != nil {
		err = sessionOver(result.Err())
	}
	if err != nil {
		s.failOrForward(ctx, w, r, nil, withRequestID(err, id))
		return
	}
	w.Header().Set(headerIndex, strconv.FormatUint(result.Index, 10))
	writeJSON(w, http.StatusOK, Done{Index: result.Index})
}

// sessionOver is the error of what was done to a session itself.
func sessionOver(err error) *Error {
	switch {
	case errors.Is(err, coordination.ErrSession):
		return &Error{Code: CodeSession, Message: "the session is over", Do: []string{"open another session"}}
	case errors.Is(err, coordination.ErrSessionKey):
		return &Error{Code: CodeSession, Message: "the token is not that of the session", Do: []string{"open a session of your own"}}
	}
	return treeError(err, "")
}

// epochTries is how often an operator's wish is repeated while leaders change.
const epochTries = 3

// endSession ends any session, for an operator.
func (s *Server) endSession(w http.ResponseWriter, r *http.Request) {
	session, idErr := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if idErr != nil {
		idErr = badRequest(fmt.Sprintf("%.100q is not the number of a session", r.PathValue("id")), "it is a whole number", "GET /v1/sessions")
	}
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(newQuery(r).err, idErr, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	done, err := s.expire(ctx, session)
	if err != nil {
		s.failOrForward(ctx, w, r, nil, err)
		return
	}
	writeJSON(w, http.StatusOK, done)
}

// expire ends a session in the name of the leader, which alone may: it goes by the epoch.
func (s *Server) expire(ctx context.Context, session uint64) (Done, error) {
	var refused error
	for range epochTries {
		var epoch uint64
		var open bool
		if err := s.backend().View(ctx, ReadOptions{}, func(tree *coordination.Tree, _ uint64) {
			epoch = tree.Epoch()
			_, open = tree.Session(session)
		}); err != nil {
			return Done{}, err
		}
		if !open {
			return Done{}, &Error{Code: CodeNotFound, Message: fmt.Sprintf("there is no session %d", session), Do: []string{"GET /v1/sessions"}}
		}
		r, err := s.backend().Propose(ctx, coordination.Operation{Kind: coordination.ExpireSessions, Sessions: []uint64{session}, Epoch: epoch}, RequestID{})
		if err != nil {
			return Done{}, err
		}
		if refused = r.Err(); refused == nil {
			return Done{Index: r.Index}, nil
		}
	}
	return Done{}, treeError(refused, "")
}

// touchSession is a sign of life without a connection.
func (s *Server) touchSession(w http.ResponseWriter, r *http.Request) {
	caller, callerErr := s.inSession(r)
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(newQuery(r).err, callerErr, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	if _, err := s.holds(ctx, caller); err != nil {
		s.failOrForward(ctx, w, r, nil, err)
		return
	}
	sign, err := s.backend().Touch(ctx, caller.Session, 0)
	if err == nil && sign == coordination.Over {
		err = sessionOver(coordination.ErrSession)
	}
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]bool{"alive": true})
}

// holds returns the session whose token the caller has shown. A node that has not seen it
// opened yet asks the leader how far the log is.
func (s *Server) holds(ctx context.Context, caller coordination.Caller) (info coordination.SessionInfo, err error) {
	for _, level := range []Level{Stale, Linearizable} {
		held := false
		if err := s.backend().View(ctx, ReadOptions{Level: level}, func(tree *coordination.Tree, _ uint64) {
			if held = tree.HoldsKey(caller.Session, caller.Key); held {
				info, _ = tree.Session(caller.Session)
			}
		}); err != nil {
			return info, err
		}
		if held {
			return info, nil
		}
	}
	return info, &Error{Code: CodeSession, Message: "the session is over, or the token is not its own", Do: []string{"open another session"}}
}

// getSessions lists the open sessions in pages.
func (s *Server) getSessions(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "after", "limit")
	after, limit := q.number("after"), q.limit()
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	list := sessionListJSON{Sessions: []SessionStatus{}}
	err = s.backend().View(ctx, ReadOptions{}, func(tree *coordination.Tree, index uint64) {
		list = sessionListJSON{Sessions: []SessionStatus{}, Index: index}
		for _, info := range tree.SessionsAfter(after, limit) {
			list.Sessions = append(list.Sessions, sessionStatusOf(info))
		}
	})
	if err != nil {
		s.failOrForward(ctx, w, r, nil, err)
		return
	}
	s.writeAnswer(w, list)
}

type sessionListJSON struct {
	Sessions []SessionStatus `json:"sessions"`
	Index    uint64          `json:"index"`
}

func sessionStatusOf(info coordination.SessionInfo) SessionStatus {
	return SessionStatus{ID: info.ID, Timeout: milliseconds(info.Timeout), Linger: milliseconds(info.Linger),
		Opened: time.UnixMilli(info.Opened).UTC(), Ephemeral: info.Ephemerals}
}

// sessionStatusJSON is a SessionStatus on the wire: times as "10s".
type sessionStatusJSON struct {
	ID        uint64    `json:"id"`
	Timeout   string    `json:"timeout"`
	Linger    string    `json:"linger"`
	Opened    time.Time `json:"opened"`
	Ephemeral int       `json:"ephemeral"`
}

// MarshalJSON writes the times as "10s".
func (s SessionStatus) MarshalJSON() ([]byte, error) {
	return json.Marshal(sessionStatusJSON{s.ID, s.Timeout.String(), s.Linger.String(), s.Opened, s.Ephemeral})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *SessionStatus) UnmarshalJSON(data []byte) error {
	var j sessionStatusJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	timeout, timeoutErr := time.ParseDuration(j.Timeout)
	linger, lingerErr := time.ParseDuration(j.Linger)
	*s = SessionStatus{j.ID, timeout, linger, j.Opened, j.Ephemeral}
	return errors.Join(timeoutErr, lingerErr)
}
