package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// errSlow ends a stream whose client does not read.
var errSlow = errors.New("api: the client of a stream does not read")

// stream writes server-sent events, or one JSON object a line (NDJSON) when
// the client asks for application/x-ndjson. It is used by one goroutine.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	ndjson  bool
	slow    time.Duration
	buffer  bytes.Buffer
}

func newStream(w http.ResponseWriter, r *http.Request, slow time.Duration) *stream {
	s := &stream{w: w, control: http.NewResponseController(w), slow: slow}
	s.ndjson = strings.Contains(r.Header.Get("Accept"), "application/x-ndjson")
	w.Header().Set("Content-Type", "text/event-stream")
	if s.ndjson {
		w.Header().Set("Content-Type", "application/x-ndjson")
	}
	w.WriteHeader(http.StatusOK)
	return s
}

// send writes one event. id 0 leaves the client's last id as it was.
func (s *stream) send(event string, id uint64, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("api: encode event %s: %w", event, err)
	}
	s.buffer.Reset()
	if s.ndjson {
		fmt.Fprintf(&s.buffer, `{"event":%q,"data":%s}`+"\n", event, body)
		return s.flush()
	}
	if id > 0 {
		fmt.Fprintf(&s.buffer, "id: %d\n", id)
	}
	fmt.Fprintf(&s.buffer, "event: %s\ndata: %s\n\n", event, body)
	return s.flush()
}

// heartbeat shows that the stream lives, and moves the client's last id on to
// index: an id without data is no event, but is remembered.
func (s *stream) heartbeat(index uint64) error {
	s.buffer.Reset()
	switch {
	case s.ndjson:
		s.buffer.WriteString("\n")
	case index > 0:
		fmt.Fprintf(&s.buffer, ": heartbeat\nid: %d\n\n", index)
	default:
		s.buffer.WriteString(": heartbeat\n\n")
	}
	return s.flush()
}

// end sends why the stream ends: "gone" when the history is, else "end".
func (s *stream) end(err error) error {
	e := asError(err)
	event := "end"
	if e.Code == CodeGone {
		event = "gone"
	}
	return s.send(event, 0, e)
}

func (s *stream) flush() error {
	// A recorder in a test has no deadline; a connection has.
	_ = s.control.SetWriteDeadline(time.Now().Add(s.slow))
	if _, err := s.w.Write(s.buffer.Bytes()); err != nil {
		return slowOr(err)
	}
	return slowOr(s.control.Flush())
}

func slowOr(err error) error {
	if err != nil && isTimeout(err) {
		return errSlow
	}
	return err
}
