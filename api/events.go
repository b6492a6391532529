package api

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// EventOptions say which events of a node are wanted.
type EventOptions struct {
	// After is the Sequence of the last that is known, 0 for all that are remembered. nil
	// begins with what happens from now on.
	After *uint64
	// Past ends with the newest: what happens from then on is not waited for.
	Past bool
}

// getEvents streams what happens on this node: from now on, or after the event whose
// Sequence is "after" or the header Last-Event-ID.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "after", "past")
	o := EventOptions{Past: q.flag("past")}
	if q.values.Has("after") || o.Past {
		after := q.number("after")
		o.After = &after
	}
	if last, err := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		o.After = &last
	}
	if q.err != nil {
		writeError(w, q.err)
		return
	}
	release, err := s.takeWatch()
	if err != nil {
		writeError(w, err)
		return
	}
	defer release()
	ctx, cancel := s.untilShutdown(r.Context())
	defer cancel()
	if err := s.pumpEvents(ctx, o, newStream(w, r, s.config.SlowClient)); errors.Is(err, errSlow) {
		s.counters.slow.Add(1)
	}
}

// pumpEvents sends events until the client goes, the server stops, or all are sent.
func (s *Server) pumpEvents(ctx context.Context, o EventOptions, out *stream) error {
	if err := out.send("start", 0, map[string]string{"node": s.config.Name}); err != nil {
		return err
	}
	events := make(chan Event)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(events)
		s.backend().Events(ctx, o, func(e Event) bool {
			select {
			case events <- e:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	beat := time.NewTicker(s.config.Heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case e, more := <-events:
			if !more && ctx.Err() == nil {
				return out.send("done", 0, map[string]string{"node": s.config.Name})
			}
			if !more {
				return out.end(endOf(ctx))
			}
			err = out.send(e.Kind, e.Sequence, e)
		case <-beat.C:
			err = out.heartbeat(0)
		case <-ctx.Done():
			return out.end(endOf(ctx))
		}
		if err != nil {
			return err
		}
	}
}

// Events calls f with the events of the first node that answers, in order, until ctx ends, the connection
// breaks, or f returns an error, which it returns; with o.Past until all are told, and then returns nil.
func (c *Client) Events(ctx context.Context, o EventOptions, f func(Event) error) error {
	values := url.Values{}
	if o.After != nil {
		values.Set("after", strconv.FormatUint(*o.After, 10))
	}
	if o.Past {
		values.Set("past", "true")
	}
	response, cancel, err := c.open(ctx, call{method: http.MethodGet, path: "/v1/events", query: values,
		header: http.Header{"Accept": {"application/x-ndjson"}}, what: "the events"}, http.StatusOK)
	if err != nil {
		return err
	}
	defer cancel()
	defer response.Body.Close()
	alarm := time.AfterFunc(silence, cancel)
	defer alarm.Stop()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		alarm.Reset(silence)
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var line struct {
			Event string          `json:"event"`
			Data  json.RawMessage `json:"data"`
		}
		var e Event
		if json.Unmarshal(lines.Bytes(), &line) != nil || json.Unmarshal(line.Data, &e) != nil {
			return notSynod(response)
		}
		switch {
		case line.Event == "done":
			return nil
		case e.Sequence == 0: // start, or end
			continue
		}
		if err := f(e); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return &Error{Code: CodeReach, Message: "the events of the node broke off", Why: Reason(cmp.Or(lines.Err(), io.EOF)), Do: []string{"ask again"}}
}
