package api

import (
	"bufio"
	"encoding/json"
	"net/http"
	"time"
)

// lineStream writes one JSON object a line, and an empty line as a sign of life.
type lineStream struct {
	out     *bufio.Writer
	encoder *json.Encoder
	control *http.ResponseController
	slow    time.Duration
}

func newLineStream(w http.ResponseWriter, slow time.Duration) *lineStream {
	out := bufio.NewWriterSize(w, streamBuffer)
	return &lineStream{out: out, encoder: json.NewEncoder(out), control: http.NewResponseController(w), slow: slow}
}

func (s *lineStream) add(v any) { _ = s.encoder.Encode(v) } // flush tells what is wrong

func (s *lineStream) quiet() { s.out.WriteByte('\n') }

func (s *lineStream) flush() error {
	_ = s.control.SetWriteDeadline(time.Now().Add(s.slow)) // a recorder in a test has none
	if err := s.out.Flush(); err != nil {
		return slowOr(err)
	}
	return slowOr(s.control.Flush())
}
