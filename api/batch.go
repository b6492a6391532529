package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/synod-go/synod/cluster"
)

const (
	// maxBatch is how many operations a batch holds at most, maxBatchBytes how long
	// its request is, and maxBatchReads what all its reads may bring back, in bytes.
	maxBatch      = 1024
	maxBatchBytes = 4 << 20
	maxBatchReads = 8 << 20

	batchPath = "/v1/batch"
	kvPrefix  = "/v1/kv/"
)

// batchOperation is one line of a batch: an operation on a key as it would come
// alone. The operations of a batch are independent of each other: they are carried
// out side by side, in no order, and each has an answer of its own.
type batchOperation struct {
	Method string `json:"method"` // GET, POST, PUT or DELETE
	// Path is what stands behind /v1/kv/ in the address, escaped and with the
	// query: "colour?version=2".
	Path      string `json:"path"`
	RequestID string `json:"request_id,omitempty"` // header Synod-Request-Id
	Timeout   string `json:"timeout,omitempty"`    // header Synod-Timeout
	Session   string `json:"session,omitempty"`    // header Synod-Session
	valueJSON
}

// batchAnswer is one line of the answer, in the order of the operations.
type batchAnswer struct {
	Status int             `json:"status"`          // the HTTP status
	Index  uint64          `json:"index,omitempty"` // header Synod-Index
	Answer json.RawMessage `json:"answer"`          // the body
}

// postBatch carries out a batch.
func (s *Server) postBatch(w http.ResponseWriter, r *http.Request) {
	body, err := s.readUpTo(w, r, maxBatchBytes)
	if err != nil {
		writeError(w, err)
		return
	}
	defer s.bodies.give(cap(body))
	operations, err := decodeBatch(body)
	if err != nil {
		writeError(w, err)
		return
	}
	answers, room := make([]recorded, len(operations)), &budget{most: maxBatchReads}
	defer func() {
		for i := range answers {
			s.answers.give(answers[i].held)
		}
	}()
	var wait sync.WaitGroup
	for i := range operations {
		answers[i] = recorded{server: s, room: room, read: operations[i].Method == http.MethodGet}
		wait.Go(func() { s.runBatched(&answers[i], r, &operations[i]) })
	}
	wait.Wait()
	var lines []byte
	for i := range answers {
		lines = answers[i].appendLine(lines, &operations[i])
	}
	s.answers.held.Add(int64(len(lines))) // room or not: what was done must be told
	defer s.answers.give(len(lines))
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Content-Length", strconv.Itoa(len(lines)))
	_, err = w.Write(lines)
	s.delivered(r, err)
}

func decodeBatch(body []byte) (operations []batchOperation, err error) {
	if err := CheckDepth(body); err != nil {
		return nil, badRequest("the batch cannot be read", err.Error())
	}
	for d := json.NewDecoder(bytes.NewReader(body)); ; {
		d.DisallowUnknownFields()
		var o batchOperation
		switch err := d.Decode(&o); {
		case errors.Is(err, io.EOF):
			return operations, nil
		case err != nil:
			return nil, badRequest(fmt.Sprintf("operation %d of the batch cannot be read", len(operations)+1), err.Error(),
				`one JSON document a line: {"method":"PUT","path":"colour","value":"blue"}`)
		case len(operations) == maxBatch:
			return nil, badRequest("the batch is too long", fmt.Sprintf("it holds at most %d operations", maxBatch))
		}
		operations = append(operations, o)
	}
}

// runBatched carries out one operation by the handler that it would have alone.
func (s *Server) runBatched(w *recorded, r *http.Request, o *batchOperation) {
	defer func() {
		if reason := recover(); reason != nil { // net/http looks after its own goroutine only
			s.config.Logger.Error("operation of a batch failed", "path", o.Path, "reason", reason)
			w.header, w.status, w.body = nil, 0, nil
			writeError(w, o.lost("the node failed in a way nobody planned for"))
		}
	}()
	request, handle, err := s.single(r, o)
	if err != nil {
		writeError(w, err)
		return
	}
	s.counters.request(request.Method)
	handle(w, request)
}

// single returns the request that an operation would be alone.
func (s *Server) single(r *http.Request, o *batchOperation) (*http.Request, http.HandlerFunc, error) {
	handle := map[string]http.HandlerFunc{"GET": s.readKV, "POST": s.postKV, "PUT": s.putKV, "DELETE": s.deleteKV}[o.Method]
	if o.Method != http.MethodGet && !s.gate.allows(r, cluster.RoleUse) { // the batch itself may be all reads
		return nil, nil, s.gate.refuse(http.Header{}, r, cluster.RoleUse)
	}
	if handle == nil {
		return nil, nil, badRequest(fmt.Sprintf("method %q does not go into a batch", o.Method), "", "use GET, POST, PUT or DELETE")
	}
	at, err := url.Parse(kvPrefix + o.Path)
	if err != nil || at.Fragment != "" {
		return nil, nil, badRequest(fmt.Sprintf("path %.100q cannot be read", o.Path), "it is not an address, escaped and without #")
	}
	value := o.valueJSON.bytes()
	header := http.Header{"Accept": {"application/json"}}
	for name, text := range map[string]string{headerRequestID: o.RequestID, headerTimeout: o.Timeout, headerSession: o.Session,
		headerForwarded: r.Header.Get(headerForwarded), "Authorization": r.Header.Get("Authorization")} {
		if text != "" {
			header[name] = []string{text}
		}
	}
	if brought := r.Header[headerPrincipal]; len(brought) > 0 {
		header[headerPrincipal] = brought
	}
	request := (&http.Request{Method: o.Method, URL: at, Header: header, Host: r.Host, RemoteAddr: r.RemoteAddr, TLS: r.TLS,
		Body: io.NopCloser(bytes.NewReader(value)), ContentLength: int64(len(value))}).WithContext(r.Context())
	request.SetPathValue("path", strings.TrimPrefix(at.Path, kvPrefix))
	return request, handle, nil
}

// lost is the answer to an operation whose own answer was lost.
func (o *batchOperation) lost(why string) error {
	if o.Method == http.MethodGet {
		return &Error{Code: CodeInternal, Message: "the read failed", Why: why}
	}
	return &Error{Code: CodeUnknown, Message: fmt.Sprintf("the %s of %q may or may not have happened", o.Method, o.Path), Why: why,
		RequestID: o.RequestID, Do: []string{"read it back, or repeat it with the same request id"}}
}

// recorded is an answer that waits for the others of its batch. What it holds counts
// in the budget for answers; a read is refused when there is no room for it, what
// became of a write is always told.
type recorded struct {
	server *Server
	room   *budget // of the batch, for reads
	read   bool
	header http.Header
	status int
	body   []byte
	held   int
	full   bool // the read was refused
}

// Header implements http.ResponseWriter.
func (w *recorded) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter.
func (w *recorded) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *recorded) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.full:
		return 0, errBudget
	case !w.read || w.status != http.StatusOK:
		w.server.answers.held.Add(int64(len(p)))
	case !w.room.take(len(p)) || !w.server.answers.take(len(p)):
		w.header, w.status, w.body = nil, 0, nil
		writeError(w, answerOverload())
		w.full = true
		return 0, errBudget
	}
	w.held += len(p)
	w.body = append(w.body, p...)
	return len(p), nil
}

// appendLine adds the answer's line. A leader that was asked in turn, or net/http
// there, may have answered in another language.
func (w *recorded) appendLine(b []byte, o *batchOperation) []byte {
	if w.Header().Get("Content-Type") != "application/json" || len(w.body) == 0 {
		why := "the leader answered " + strconv.Itoa(w.status)
		w.header, w.status, w.body = nil, 0, nil
		writeError(w, o.lost(why))
	}
	b = append(b, `{"status":`...)
	b = strconv.AppendInt(b, int64(w.status), 10)
	if index := w.Header().Get(headerIndex); index != "" {
		b = append(append(b, `,"index":`...), index...)
	}
	b = append(append(b, `,"answer":`...), bytes.TrimSpace(w.body)...)
	return append(b, "}\n"...)
}
