package api

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// errSlow ends an answer or a stream whose client does not read.
var errSlow = errors.New("api: the client does not read")

// stream writes server-sent events, or one JSON object a line (NDJSON) when
// the client asks for application/x-ndjson. It is used by one goroutine.
type stream struct {
	out     encoder
	control *http.ResponseController
	ndjson  bool
	slow    time.Duration
}

// streamBuffer is what an open stream keeps for encoding, in bytes.
const streamBuffer = 4 << 10

func newStream(w http.ResponseWriter, r *http.Request, slow time.Duration) *stream {
	s := &stream{out: encoder{bufio.NewWriterSize(w, streamBuffer)}, control: http.NewResponseController(w), slow: slow}
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
	if s.ndjson {
		fmt.Fprintf(s.out, `{"event":%q,"data":`, event)
		s.data(data)
		s.out.WriteString("}\n")
		return s.flush()
	}
	if id > 0 {
		fmt.Fprintf(s.out, "id: %d\n", id)
	}
	fmt.Fprintf(s.out, "event: %s\ndata: ", event)
	s.data(data)
	s.out.WriteString("\n\n")
	return s.flush()
}

func (s *stream) data(data any) {
	if change, is := data.(Change); is {
		s.out.change(change)
		return
	}
	s.out.value(data)
}

// heartbeat shows that the stream lives, and moves the client's last id on to
// index: an id without data is no event, but is remembered.
func (s *stream) heartbeat(index uint64) error {
	switch {
	case s.ndjson:
		s.out.WriteString("\n")
	case index > 0:
		fmt.Fprintf(s.out, ": heartbeat\nid: %d\n\n", index)
	default:
		s.out.WriteString(": heartbeat\n\n")
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
	if err := s.out.Flush(); err != nil {
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
