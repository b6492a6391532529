package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// Error is the answer to a request that failed, on the wire and in Go: what
// happened, why, what to do, and a code.
type Error struct {
	Code Code `json:"code"`
	// Message says what happened, with the name of the thing.
	Message string `json:"error"`
	// Why is what the node saw; it may be empty.
	Why string `json:"why,omitempty"`
	// Do is what to try, each line something that can be pasted or a short
	// sentence; it may be empty.
	Do []string `json:"do,omitempty"`
	// Leader is the node to ask instead, if one is known.
	Leader *Leader `json:"leader,omitempty"`
	// RequestID is the id of the write, if it had one: repeating the write
	// with it is safe.
	RequestID string `json:"request_id,omitempty"`
	// Version is the version found by a compare-and-set that was lost.
	Version *uint64 `json:"version,omitempty"`
	// Failed is the place, from 0, of the operation for which a transaction was refused.
	Failed *int `json:"failed,omitempty"`
}

// Leader says where the leader is.
type Leader struct {
	Name string `json:"name"`
	API  string `json:"api"` // host:port
}

// Error returns the code and what happened.
func (e *Error) Error() string {
	text := string(e.Code) + ": " + e.Message
	if e.Why != "" {
		text += ": " + e.Why
	}
	return text
}

// Is reports whether target is an *Error with the same code, so that
// errors.Is(err, &Error{Code: CodeNotFound}) works.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code
}

// CodeOf returns the code of err, "" for nil, and CodeInternal for an error that
// has none.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// asError returns err as an *Error. One without a code is an internal error.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: CodeInternal, Message: "the node failed in a way nobody planned for", Why: err.Error(),
		Do: []string{"please report it with the node's log"}}
}

func badRequest(message, why string, do ...string) *Error {
	return &Error{Code: CodeRequest, Message: message, Why: why, Do: do}
}

// retryAfterSeconds is what the Retry-After header asks for: an election takes
// well under a second, and the header has no finer unit.
const retryAfterSeconds = 1

func writeError(w http.ResponseWriter, err error) {
	e := asError(err)
	info := e.Code.Info()
	if info.Status == 0 {
		info.Status = http.StatusInternalServerError
	}
	if info.Retry {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	}
	if e.Leader != nil {
		w.Header().Set(headerLeader, e.Leader.API)
	}
	writeJSON(w, info.Status, e)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"code":"E-INTERNAL","error":"the answer cannot be encoded"}`)
	}
	writeBody(w, status, body)
}

// writeAnswer answers with v, which may be long.
func (s *Server) writeAnswer(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		writeError(w, fmt.Errorf("api: encode the answer: %w", err))
		return
	}
	free, err := s.hold(len(body))
	if err != nil {
		writeError(w, err)
		return
	}
	defer free()
	writeBody(w, http.StatusOK, body)
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	w.Write(append(body, '\n')) // a client that has gone is found by net/http
}
