package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// freeAnswer is up to how many bytes an answer is not counted: those who read
// nothing must not keep others from short answers, and what all connections can
// hold in short ones is bounded by MaxConnections.
const freeAnswer = 16 << 10

// pieceBytes is how much of an answer a client must take within SlowClient.
const pieceBytes = 64 << 10

// timely gives the client of every answer SlowClient to take a piece of it. One that
// does not is cut off: what its answer holds would be held as long as it likes.
func (s *Server) timely(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		timed := &timelyWriter{ResponseWriter: w, server: s, control: http.NewResponseController(w)}
		timed.extend() // net/http itself gives a body leave to go on
		next.ServeHTTP(timed, r)
	})
}

type timelyWriter struct {
	http.ResponseWriter
	server  *Server
	control *http.ResponseController
}

// Unwrap lets http.ResponseController find the connection.
func (w *timelyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *timelyWriter) extend() {
	// A recorder in a test has no deadline; a connection has.
	_ = w.control.SetWriteDeadline(time.Now().Add(w.server.config.SlowClient))
}

// Write writes p in pieces, each with a deadline of its own.
func (w *timelyWriter) Write(p []byte) (written int, err error) {
	for {
		w.extend()
		n, err := w.ResponseWriter.Write(p[written:min(len(p), written+pieceBytes)])
		if written += n; err != nil || written == len(p) {
			return written, slowOr(err)
		}
	}
}

// netWriter is the ResponseWriter that net/http has made: some of its functions want
// to see it.
func netWriter(w http.ResponseWriter) http.ResponseWriter {
	if timed, is := w.(*timelyWriter); is {
		return timed.ResponseWriter
	}
	return w
}

// hold takes n bytes of an answer from the budget, until free is called. It fails
// when other answers hold too much, or n is more than all may.
func (s *Server) hold(n int) (free func(), err error) {
	if n <= freeAnswer {
		return func() {}, nil
	}
	if int64(n) > s.answers.most {
		return nil, answerTooLarge(s.answers.most)
	}
	if !s.answers.take(n) {
		return nil, answerOverload()
	}
	return func() { s.answers.give(n) }, nil
}

func answerOverload() *Error {
	return &Error{Code: CodeOverloaded, Message: "the answer was not given: the node is overloaded",
		Why: "answers that their clients have not read yet hold as many bytes as they may",
		Do:  []string{"try again a little later, or ask another node"}}
}

func answerTooLarge(limit int64) *Error {
	return &Error{Code: CodeTooLarge, Message: "the answer is too large", Why: fmt.Sprintf("the limit is %d bytes", limit),
		Do: []string{"list fewer keys at a time, with limit"}}
}

// errLong says that an answer is longer than anything that we ask for.
var errLong = errors.New("its answer is too long")

// readPieces reads r to its end and takes what is beyond freeAnswer from the
// budget. It never returns a part: an answer of more than most bytes is errLong, one
// for which there is no room errBudget. free gives back what was taken.
func (b *budget) readPieces(r io.Reader, most int64) (pieces [][]byte, free func(), err error) {
	var total, taken int
	free = func() { b.give(taken) }
	for {
		size := pieceBytes
		switch {
		case total == 0:
			size = firstRead
		case total < freeAnswer:
			size = freeAnswer - total
		case !b.take(size):
			free()
			return nil, nil, errBudget
		default:
			taken += size
		}
		piece, err := readPiece(r, size)
		pieces, total = append(pieces, piece), total+len(piece)
		switch {
		case int64(total) > most:
			free()
			return nil, nil, errLong
		case err == io.EOF:
			return pieces, free, nil
		case err != nil:
			free()
			return nil, nil, err
		}
	}
}

// readPiece reads size bytes, or less and why.
func readPiece(r io.Reader, size int) ([]byte, error) {
	piece, n := make([]byte, size), 0
	for n < size {
		m, err := r.Read(piece[n:])
		if n += m; err != nil {
			return piece[:n], err
		}
	}
	return piece, nil
}

// readAll reads r to its end; more than most bytes are errLong, never a part.
func readAll(r io.Reader, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(body)) > most {
		return nil, errLong
	}
	return body, err
}
