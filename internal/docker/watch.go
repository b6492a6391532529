package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/moby/moby/client"
)

const (
	// minBackoff and maxBackoff bound the time between two attempts to follow an engine's events.
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
	// lookEvery is how often all are told to look without an event: an engine drops events for whom it
	// finds too slow, and says nothing of it.
	lookEvery = time.Minute
)

// watch knows who waits for which container.
type watch struct {
	mu      sync.Mutex
	waiting map[string]map[chan struct{}]bool // by id, "" for all
}

// Changed returns a channel that gets a value, of which one is kept, when something may have become of a container:
// at its events, when the watch was broken and works again, and at least once in a minute. Of id "" it is of
// every container. Call it before Inspect or List, and nothing is missed between that look and the value. It is to
// be given back by done.
func (e *Engine) Changed(id string) (changed <-chan struct{}, done func()) {
	w := &e.watch
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting = map[string]map[chan struct{}]bool{}
	}
	if w.waiting[id] == nil {
		w.waiting[id] = map[chan struct{}]bool{}
	}
	w.waiting[id][c] = true
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.waiting[id], c)
		if len(w.waiting[id]) == 0 {
			delete(w.waiting, id)
		}
	}
}

// tell tells who waits for one container, or for all.
func (w *watch) tell(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, waiting := range []map[chan struct{}]bool{w.waiting[id], w.waiting[""]} {
		give(waiting)
	}
}

func (w *watch) tellAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, waiting := range w.waiting {
		give(waiting)
	}
}

func give(waiting map[chan struct{}]bool) {
	for c := range waiting {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// follow follows the engine's events until ctx ends.
func (e *Engine) follow(ctx context.Context) {
	defer close(e.ended)
	go e.lookAgain(ctx)
	lost := e.conn.Load() == nil // since the log has heard of it
	backoff := minBackoff
	for {
		begins := func() {
			backoff = minBackoff
			if lost {
				e.cfg.Logger.Info("follows the events of the Docker engine again", "version", e.Version())
			}
			lost = false
		}
		err := e.followOnce(ctx, begins)
		if ctx.Err() != nil {
			return
		}
		if !lost {
			e.cfg.Logger.Warn("the events of the Docker engine have ended", "reason", err)
		}
		lost = true
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(backoff):
			}
			backoff = min(2*backoff, maxBackoff)
			// It may be another engine than before, of another version.
			if conn, err := connect(ctx, e.cfg.Host, e.Version() != ""); err == nil {
				if was := e.conn.Load(); was != nil {
					conn.cpus = cmp.Or(conn.cpus, was.cpus)
				}
				e.conn.Store(conn)
				break
			}
		}
	}
}

// lookAgain tells all to look once in a while, whether or not there are events.
func (e *Engine) lookAgain(ctx context.Context) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			e.watch.tellAll()
		case <-ctx.Done():
			return
		}
	}
}

// eventsOf are what is followed. Commands that run beside a container's process have events too.
var eventsOf = []string{"create", "start", "die", "oom", "pause", "unpause", "destroy"}

var errNoEvents = errors.New("no events came")

// followOnce follows events from one connection and calls begins when there are any to come. An engine
// answers before it counts us as listening. So we ask it for what is past, too: it keeps the last 256
// events and gives us those and the next ones without a gap. An event before the answer is found
// by who looks after the answer, of which all are told.
func (e *Engine) followOnce(ctx context.Context, begins func()) error {
	conn, err := e.connected("events")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(connectTimeout, func() { cancel(errNoEvents) })
	defer late.Stop()
	var once sync.Once
	opened := make(chan struct{})
	ctx = context.WithValue(ctx, begun{}, func() { once.Do(func() { close(opened) }) })
	events := conn.api.Events(ctx, client.EventsListOptions{Since: "1", Filters: e.ours().Add("type", "container").Add("event", eventsOf...)})
	for {
		select {
		case <-opened:
			late.Stop()
			opened = nil
			begins()
			e.watch.tellAll()
		case m := <-events.Messages:
			if id, ours := e.id(m.Actor.Attributes["name"], m.Actor.Attributes); ours {
				e.watch.tell(id)
			}
		case err := <-events.Err:
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return fmt.Errorf("docker: events: %.1024s", fmt.Sprint(err))
		}
	}
}
