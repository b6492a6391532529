package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxBackups is how many backups a node sends at a time: each keeps files open that a
// newer snapshot has taken the place of.
const maxBackups = 2

// getBackup sends the whole cluster's state. The time that the request asks for is that
// until it begins; then each piece has SlowClient to be taken.
func (s *Server) getBackup(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r)
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	select {
	case s.backups <- struct{}{}:
		defer func() { <-s.backups }()
	default:
		writeError(w, &Error{Code: CodeOverloaded, Message: "this node sends as many backups as it can",
			Why: fmt.Sprintf("%d are on their way", maxBackups), Do: []string{"ask another node, or later"}})
		return
	}
	b, err := s.backend().Backup(ctx)
	if err != nil {
		writeError(w, err)
		return
	}
	defer b.Close()
	s.sendBackup(w, r, b)
}

func (s *Server) sendBackup(w http.ResponseWriter, r *http.Request, b Backup) {
	ctx, cancel := s.untilShutdown(r.Context())
	defer cancel()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(b.Size(), 10))
	out := &patientWriter{w: w, control: http.NewResponseController(w), patience: s.config.SlowClient, ctx: ctx}
	if _, err := b.WriteTo(out); err != nil {
		s.config.Logger.Warn("a backup was not sent to its end", "to", r.RemoteAddr, "error", err)
		panic(http.ErrAbortHandler) // the client must not take it for whole
	}
}

// patientWriter gives each piece a deadline of its own, and ends with its context.
type patientWriter struct {
	w        io.Writer
	control  *http.ResponseController
	patience time.Duration
	ctx      context.Context
}

func (p *patientWriter) Write(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	_ = p.control.SetWriteDeadline(time.Now().Add(p.patience)) // a recorder in a test has none
	return p.w.Write(b)
}

// Backup copies the whole cluster's state from the first node that gives it to w, in the
// format of package backup. It is for the caller to verify it. Timeout bounds how long a
// node takes to begin, and how long it may be silent later.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	k := call{method: http.MethodGet, path: "/v1/snapshot", what: "the backup"}
	response, cancel, err := c.open(ctx, k, http.StatusOK)
	if err != nil {
		return err
	}
	defer cancel()
	defer response.Body.Close()
	silence := time.AfterFunc(c.config.Timeout, cancel)
	defer silence.Stop()
	for buffer := make([]byte, 64<<10); ; {
		n, err := response.Body.Read(buffer)
		silence.Reset(c.config.Timeout)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return &Error{Code: CodeReach, Message: "the backup broke off", Why: Reason(err), Do: []string{"try again, or ask another node"}}
		}
	}
}
