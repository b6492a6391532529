package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Document is what one node has answered, as it stands.
type Document struct {
	Node   string // who answered, if it said so
	Status int    // of HTTP
	Body   []byte
	// Cut: the answer was longer than was asked for, or had not ended when the time was up.
	Cut bool
	// Ahead is by how much the node's clock is ahead of ours, known to within Took/2; ClockKnown
	// tells whether the node has told its clock, as GET /livez does.
	Ahead      time.Duration
	ClockKnown bool
	Took       time.Duration // until the answer began
}

// Fetch asks one node once for what stands at path, which may have a query, and returns up to limit bytes
// of it, whatever the status. accept is the form that is wanted. A stream is read until ctx ends.
// The error is that of a node that does not answer.
func (c *Client) Fetch(ctx context.Context, addr, path, accept string, limit int64) (Document, error) {
	at, err := url.Parse(path)
	if err != nil {
		return Document{}, &Error{Code: CodeUsage, Message: path + " cannot be asked for", Why: Reason(err)}
	}
	began := time.Now()
	response, err := c.once(ctx, addr, call{method: http.MethodGet, path: at.EscapedPath(), query: at.Query(),
		header: http.Header{"Accept": {accept}}, what: path})
	if err != nil {
		return Document{}, err
	}
	defer response.Body.Close()
	d := Document{Node: response.Header.Get(headerNode), Status: response.StatusCode, Took: time.Since(began)}
	if micros, err := strconv.ParseInt(response.Header.Get(headerTime), 10, 64); err == nil {
		d.Ahead, d.ClockKnown = time.UnixMicro(micros).Sub(began.Add(d.Took/2)), true
	}
	d.Body, err = io.ReadAll(io.LimitReader(response.Body, limit+1))
	if int64(len(d.Body)) > limit {
		d.Body, d.Cut = d.Body[:limit], true
	}
	d.Cut = d.Cut || ctx.Err() != nil
	if err != nil && !d.Cut && !errors.Is(err, io.ErrUnexpectedEOF) {
		return d, err
	}
	return d, nil
}
