package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/synod-go/synod/coordination"
)

// watchKV streams the changes of a path. Each change is an event
// "created", "changed" or "deleted" whose data is a Change. The id of an event is its log index; where
// one index has several changes only the last carries it, so that a client that
// reconnects with Last-Event-ID never misses half of them. What a listing would hide from the
// caller is left out, and the ids pass it over. Because the
// server reads the tree's history at the client's pace, it keeps no queue a
// watch: a client that falls behind the history gets a final event "gone".
func (s *Server) watchKV(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "watch", "recursive", "children", "once", "from")
	q.flag("watch")
	path := r.PathValue("path")
	v := &viewing{server: s, watch: coordination.Watch{Path: "/" + path, Scope: q.scope(), Limit: changesPage},
		once: q.flag("once"), wakes: make(chan struct{}, 1)}
	caller, callerErr := s.caller(r)
	after, resumed, err := resumePoint(q, r)
	if path != "" || v.watch.Scope == coordination.OnNode {
		err = errors.Join(err, checkPath(path))
	}
	if err = errors.Join(q.err, callerErr, err); err != nil {
		writeError(w, err)
		return
	}
	v.caller, v.after = caller, after
	release, err := s.takeWatch()
	if err != nil {
		writeError(w, err)
		return
	}
	defer release()
	ctx, cancel := s.untilShutdown(r.Context())
	defer cancel()
	leave, err := v.begin(ctx, resumed)
	if err != nil {
		writeError(w, err)
		return
	}
	defer leave()
	err = v.pump(ctx, newStream(w, r, s.config.SlowClient))
	if errors.Is(err, errSlow) {
		s.counters.slow.Add(1)
		s.config.Logger.Info("watch dropped", "path", path, "reason", "its client does not read")
	}
}

// viewing is a watch that has a stream of its own. Only wake is called by others.
type viewing struct {
	server *Server
	caller coordination.Caller
	watch  coordination.Watch
	once   bool
	after  uint64 // everything up to here has been sent
	wakes  chan struct{}

	mu    sync.Mutex
	woken uint64 // the first index told since the last look
	blind bool   // or some before it may be of interest
}

func (v *viewing) wake(index uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.woken == 0 {
		v.woken = index
	}
	v.blind = v.blind || index == 0
	select {
	case v.wakes <- struct{}{}:
	default: // it knows
	}
}

// begin finds out where to begin, and sees to it that it is woken from there on.
func (v *viewing) begin(ctx context.Context, resumed bool) (leave func(), err error) {
	d := v.server.dispatcher
	id := d.join(v)
	if _, err := d.add(ctx, id, v.watch); err != nil {
		d.leave(id)
		return nil, err
	}
	leave = func() { d.remove(id, v.watch); d.leave(id) }
	if resumed {
		v.mu.Lock()
		v.blind = true // it was not woken for what lies between after and now
		v.mu.Unlock()
		return leave, nil
	}
	if v.after, err = v.server.applied(ctx); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// applied is the log index that this node's tree reflects.
func (s *Server) applied(ctx context.Context) (index uint64, err error) {
	err = s.backend().View(ctx, ReadOptions{Level: Stale}, func(_ *coordination.Tree, at uint64) { index = at })
	return index, err
}

// pump sends changes until the client goes, the server stops or the history ends.
func (v *viewing) pump(ctx context.Context, out *stream) error {
	if err := out.send("start", v.after, map[string]uint64{"index": v.after}); err != nil {
		return err
	}
	heartbeat := time.NewTicker(v.server.config.Heartbeat)
	defer heartbeat.Stop()
	for {
		done, err := v.send(ctx, out)
		if done || err != nil {
			return err
		}
		heartbeat.Reset(v.server.config.Heartbeat)
		select {
		case <-v.wakes:
		case <-heartbeat.C:
			if err := out.heartbeat(v.quiet()); err != nil {
				return err
			}
		case <-ctx.Done():
			return out.end(endOf(ctx))
		}
	}
}

// send sends what has come since after; done: it was the last.
func (v *viewing) send(ctx context.Context, out *stream) (done bool, err error) {
	v.mu.Lock()
	if v.woken > 0 && !v.blind { // nothing before it was of interest
		v.after = max(v.after, v.woken-1)
	}
	v.woken, v.blind = 0, false
	v.mu.Unlock()
	for more := true; more; {
		var page portion
		page, err = v.server.changes(ctx, ReadOptions{Level: Stale}, v.caller, v.watch, v.after, nil)
		switch {
		case ctx.Err() != nil:
			return false, nil
		case err != nil:
			return true, out.end(err)
		case v.once:
			page.onlyFirst()
		}
		if err := sendChanges(out, page.changes); err != nil {
			return true, err
		}
		if v.once && len(page.changes) > 0 {
			return true, out.send("done", page.next, map[string]uint64{"index": page.next})
		}
		v.after, more = page.next, page.more
	}
	return false, nil
}

// quiet moves after on while nothing happens that is of interest.
func (v *viewing) quiet() uint64 {
	at := v.server.dispatcher.at.Load()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.woken == 0 && !v.blind {
		v.after = max(v.after, at)
	}
	return v.after
}

// portion is what a watch sends at a time.
type portion struct {
	changes []Change
	next    uint64 // everything up to here has been looked at
	more    bool   // there is more to look at
}

// onlyFirst leaves the changes of the first index.
func (p *portion) onlyFirst() {
	for i, c := range p.changes {
		if c.Index != p.changes[0].Index {
			p.changes, p.next = p.changes[:i], p.changes[0].Index
			return
		}
	}
}

// changes reads what has happened after an index, as the caller may see it. wanted says what of
// it several watches want, of which each then asks Change.shows; nil: it is for watch alone.
func (s *Server) changes(ctx context.Context, o ReadOptions, caller coordination.Caller, watch coordination.Watch, after uint64,
	wanted func(coordination.Event) bool) (p portion, err error) {
	var failed error
	err = s.backend().View(ctx, o, func(tree *coordination.Tree, index uint64) {
		var page coordination.Events
		page, failed = tree.EventsSince(after, watch)
		p = portion{next: page.Next, more: page.More}
		if !page.More {
			p.next = max(after, index)
		}
		for _, e := range page.Events {
			if wanted != nil && !wanted(e) {
				continue
			}
			if c := shown(tree, e, watch.Path, caller); wanted != nil || c.shows(watch) {
				p.changes = append(p.changes, c)
			}
		}
	})
	switch {
	case err != nil:
		return p, err
	case failed != nil:
		return p, treeError(failed, watch.Path[1:])
	}
	return p, nil
}

// shown is an event as the caller may see it from top, which is where it happened or above.
func shown(tree *coordination.Tree, e coordination.Event, top string, caller coordination.Caller) Change {
	c := changeOf(e)
	if e.Kind != coordination.Deleted && !tree.Permits(e.Path, coordination.MayRead, caller) {
		c.Value, c.Denied = nil, true
	}
	for at := e.Path; len(at) > len(top) && c.inside == 0; {
		if at = parentOf(at); !tree.Permits(at, coordination.MayRead, caller) {
			c.inside = len(at)
		}
	}
	return c
}

// shows reports whether a watch that wants the change may tell of it: like a listing, none looks
// into a key that the caller may not read. A watch that begins below such a key knows the
// names that lead there.
func (c Change) shows(w coordination.Watch) bool { return len(w.Path) > c.inside }

func sendChanges(out *stream, changes []Change) error {
	for i, change := range changes {
		last := i+1 == len(changes) || changes[i+1].Index != change.Index
		id := change.Index
		if !last {
			id = 0
		}
		if err := out.send(change.Kind, id, change); err != nil {
			return err
		}
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
