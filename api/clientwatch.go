package api

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WatchOptions say what to watch.
type WatchOptions struct {
	// Recursive watches everything below the path too.
	Recursive bool
	// Children watches the direct children's coming and going, and the path's own end.
	Children bool
	// Once ends the watch, with a nil error, after the changes of the first index.
	Once bool
	// From is the log index of the first change wanted; 0: from now on.
	From uint64
}

// Watch calls f with every change of path, in order, until ctx ends or f returns an
// error, which it returns. A lost connection is made again at any node, and
// goes on where it broke off: no change is missed and none comes twice. Only if the rest of an index
// is hidden from the client meanwhile, the last change that it was told comes again, without More.
// CodeGone: the history does not go back that far; list again, then watch from
// the listing's index. CodeReach: no node has answered from the beginning on.
func (c *Client) Watch(ctx context.Context, path string, o WatchOptions, f func(Change) error) error {
	if path != "" || !o.Recursive && !o.Children {
		if err := checkPath(strings.TrimPrefix(path, "/")); err != nil {
			return err
		}
	}
	w := &watcher{client: c, path: path, options: o, f: f}
	if o.From > 0 {
		w.id, w.hasID = o.From-1, true
	}
	failures := 0
	for {
		progress, err := w.connect(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case w.stopped != nil || w.done:
			return w.stopped
		case err != nil && !w.reconnects(err):
			return err
		case progress:
			failures, w.connected = 0, true
		}
		failures++
		if !w.connected && failures >= c.config.Rounds && errors.Is(err, errNoAnswer) {
			return c.unreachable(&attempts{lost: w.lost, at: w.at, rounds: failures})
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(time.Duration(failures)*retryPause, time.Second)):
		}
	}
}

// watcher is the state of one watch over its reconnects.
type watcher struct {
	client  *Client
	path    string
	options WatchOptions
	f       func(Change) error
	id      uint64 // the last id seen: all changes up to here were delivered
	hasID   bool
	// delivered are the changes of the index after id that were delivered. Those of them that
	// were before the connection broke come again, unless somebody has hidden them meanwhile,
	// and are skipped. last is the last of them.
	delivered, again []told
	last             Change
	stopped          error // what f returned
	done             bool  // it was to end after one index, whose changes have all come
	connected        bool  // once at least
	lost             error // the last failure to connect
	at               string
}

func (w *watcher) reconnects(err error) bool {
	code := CodeOf(err)
	return errors.Is(err, errNoAnswer) || code.Info().Retry
}

// connect runs one connection; progress: something arrived.
func (w *watcher) connect(ctx context.Context) (progress bool, err error) {
	values := url.Values{"watch": {"true"}}
	for name, wanted := range map[string]bool{"recursive": w.options.Recursive, "children": w.options.Children, "once": w.options.Once} {
		if wanted {
			values.Set(name, "true")
		}
	}
	k := call{method: http.MethodGet, path: kvPath(w.path), query: values, header: http.Header{"Accept": {"text/event-stream"}}, what: "the watch of " + w.path}
	if w.hasID {
		k.header.Set("Last-Event-ID", strconv.FormatUint(w.id, 10))
	}
	err = errNoAnswer
	var refused error // by TLS at one node
	for _, addr := range w.client.order() {
		attempt, cancel := context.WithCancel(ctx)
		// A paused node takes connections too, and does not answer.
		alarm := time.AfterFunc(w.client.config.Timeout, cancel)
		response, failure := w.client.once(attempt, addr, k)
		alarm.Stop()
		if failure != nil {
			cancel()
			w.lost, w.at = failure, addr
			refused = cmp.Or(refused, tlsError(addr, failure))
			continue
		}
		if response.StatusCode != http.StatusOK {
			err = decode(response, k, &struct{}{})
			cancel()
			if !w.reconnects(err) {
				return false, err
			}
			continue
		}
		w.client.remember(addr)
		err = w.read(response, cancel)
		cancel()
		return true, err
	}
	if refused != nil && errors.Is(err, errNoAnswer) {
		return false, refused
	}
	return false, err
}

// silence is how long a stream may say nothing, heartbeats included, before it is
// taken for dead: a paused node keeps its connections open.
const silence = 15 * time.Second

func (w *watcher) read(response *http.Response, cancel context.CancelFunc) error {
	defer response.Body.Close()
	alarm := time.AfterFunc(silence, cancel)
	defer alarm.Stop()
	w.again = w.delivered
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxEvent)
	var e sentEvent
	for lines.Scan() {
		alarm.Reset(silence)
		if !e.add(lines.Bytes()) {
			continue
		}
		if err := w.dispatch(e); err != nil {
			return err
		}
		e = sentEvent{}
	}
	return errNoAnswer
}

// maxEvent bounds one line of a stream, in bytes: a value of the largest size,
// escaped in the worst way.
const maxEvent = 8 << 20

// dispatch handles one complete event.
func (w *watcher) dispatch(e sentEvent) error {
	switch e.name {
	case "created", "changed", "deleted":
		var change Change
		if err := json.Unmarshal(e.data.Bytes(), &change); err != nil {
			return errNoAnswer
		}
		change.More = !e.hasID
		if err := w.deliver(change); err != nil {
			return err
		}
	case "gone", "end":
		var failure Error
		if err := json.Unmarshal(e.data.Bytes(), &failure); err != nil {
			return errNoAnswer
		}
		return &failure
	}
	if !e.hasID || w.hasID && e.id <= w.id {
		return nil
	}
	if w.done = w.options.Once && (len(w.delivered) > 0 || e.name == "done"); w.done {
		return cmp.Or(w.complete(e.id), errNoAnswer)
	}
	return w.complete(e.id)
}

// told is what tells the changes of one index apart.
type told struct {
	kind, path string
	version    uint64
}

func (w *watcher) deliver(change Change) error {
	if w.last.More && change.Index > w.last.Index { // the rest of that index is hidden
		w.done = w.options.Once
		if err := w.complete(w.last.Index); err != nil || w.done {
			return cmp.Or(err, errNoAnswer)
		}
	}
	this := told{change.Kind, change.Path, change.Version}
	if i := slices.Index(w.again, this); i >= 0 {
		w.again = w.again[i+1:]
		return nil
	}
	w.delivered = append(w.delivered, this)
	w.last = change
	w.stopped = w.f(change)
	return w.stopped
}

// complete notes that all changes up to an index have come.
func (w *watcher) complete(id uint64) error {
	last := w.last
	w.id, w.hasID, w.delivered, w.again, w.last = id, true, w.delivered[:0], nil, Change{}
	if !last.More {
		return nil
	}
	last.More = false
	w.stopped = w.f(last)
	return w.stopped
}

// sentEvent collects the lines of one server-sent event.
type sentEvent struct {
	name  string
	id    uint64
	hasID bool
	data  bytes.Buffer
}

// add takes one line and reports whether the event is complete.
func (e *sentEvent) add(line []byte) bool {
	field, value, _ := strings.Cut(string(line), ":")
	value = strings.TrimPrefix(value, " ")
	switch {
	case len(line) == 0:
		return true
	case field == "event":
		e.name = value
	case field == "data":
		e.data.WriteString(value)
	case field == "id":
		if id, err := strconv.ParseUint(value, 10, 64); err == nil {
			e.id, e.hasID = id, true
		}
	}
	return false
}
