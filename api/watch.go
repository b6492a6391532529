package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// watchKV streams the changes of a path. Each change is an event
// "created", "changed" or "deleted" whose data is a Change. The id of an event is its log index; where
// one index has several changes only the last carries it, so that a client that
// reconnects with Last-Event-ID never misses half of them. Because the
// server reads the tree's history at the client's pace, it keeps no queue a
// watch: a client that falls behind the history gets a final event "gone".
func (s *Server) watchKV(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "watch", "recursive", "from")
	q.flag("watch")
	recursive, path := q.flag("recursive"), r.PathValue("path")
	after, resumed, err := resumePoint(q, r)
	if path != "" || !recursive {
		err = errors.Join(err, checkPath(path))
	}
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
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
	if !resumed {
		if after, err = s.watchStart(ctx, path); err != nil {
			writeError(w, err)
			return
		}
	}
	out := newStream(w, r, s.config.SlowClient)
	err = s.pump(ctx, out, path, recursive, after)
	if errors.Is(err, errSlow) {
		s.counters.slow.Add(1)
		s.config.Logger.Info("watch dropped", "path", path, "reason", "its client does not read")
	}
}

// watchStart returns the index from which a watch without a resume point goes on: what this
// node has applied.
func (s *Server) watchStart(ctx context.Context, path string) (uint64, error) {
	_, index, err := s.backend().Get(ctx, path, ReadOptions{Level: Stale})
	if err != nil && CodeOf(err) != CodeNotFound {
		return 0, err
	}
	return index, nil
}

// pump sends changes until the client goes, the server stops or the history ends.
func (s *Server) pump(ctx context.Context, out *stream, path string, recursive bool, after uint64) error {
	if err := out.send("start", after, map[string]uint64{"index": after}); err != nil {
		return err
	}
	for {
		wait, cancel := context.WithTimeout(ctx, s.config.Heartbeat)
		next, err := s.backend().Changes(wait, path, recursive, after)
		cancel()
		switch {
		case err != nil:
			return out.end(err)
		case ctx.Err() != nil && len(next.Changes) == 0:
			return out.end(&Error{Code: CodeStopped, Message: "this node is stopping", Do: []string{"go on at another node from the last id"}})
		}
		if err := sendChanges(out, next); err != nil {
			return err
		}
		after = max(after, next.Index)
	}
}

func sendChanges(out *stream, next Changes) error {
	for i, change := range next.Changes {
		last := i+1 == len(next.Changes) || next.Changes[i+1].Index != change.Index
		id := change.Index
		if !last {
			id = 0
		}
		if err := out.send(change.Kind, id, change); err != nil {
			return err
		}
	}
	if len(next.Changes) == 0 {
		return out.heartbeat(next.Index)
	}
	return nil
}

// resumePoint is the index after which a watch goes on: the last event that the
// client has seen, or the one before ?from.
func resumePoint(q *query, r *http.Request) (after uint64, given bool, err error) {
	if text := r.Header.Get("Last-Event-ID"); text != "" {
		after, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, false, badRequest(fmt.Sprintf("Last-Event-ID %q is not a log index", text), "")
		}
		return after, true, nil
	}
	if !q.values.Has("from") {
		return 0, false, nil
	}
	from := q.number("from")
	return max(from, 1) - 1, true, nil
}

func (s *Server) takeWatch() (release func(), err error) {
	select {
	case s.watches <- struct{}{}:
		return func() { <-s.watches }, nil
	default:
		return nil, &Error{Code: CodeOverloaded, Message: "this node has as many watches as it takes",
			Why: fmt.Sprintf("%d are open", s.config.MaxWatches), Do: []string{"ask another node"}}
	}
}

// untilShutdown returns a context that also ends when the server stops.
func (s *Server) untilShutdown(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
