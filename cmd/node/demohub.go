package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/synod-go/synod"
)

// hub collects the events of all processes of a demo.
type hub[L ~[]E, E any] struct {
	when    func(E) time.Time
	mu      sync.Mutex
	events  L
	changed chan struct{} // closed and replaced with each event
}

func newHub[L ~[]E, E any](when func(E) time.Time) *hub[L, E] {
	return &hub[L, E]{when: when, changed: make(chan struct{})}
}

func newPaxosHub() *hub[eventList, synod.DecreeEvent] {
	return newHub[eventList](func(e synod.DecreeEvent) time.Time { return e.Time })
}

func (h *hub[L, E]) add(e E) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	close(h.changed)
	h.changed = make(chan struct{})
}

// mark is a place in the events: after all that has arrived.
func (h *hub[L, E]) mark() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.events)
}

// since returns the events after a mark.
func (h *hub[L, E]) since(mark int) L {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events[mark:len(h.events):len(h.events)]
}

// await waits until the events after a mark are good.
func (h *hub[L, E]) await(ctx context.Context, mark int, what string, good func(L) bool) (L, error) {
	for {
		h.mu.Lock()
		events, changed := h.events[mark:len(h.events):len(h.events)], h.changed
		h.mu.Unlock()
		if good(events) {
			return events, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("not seen: %s", what)
		case <-changed:
		}
	}
}

// writer takes the standard output of one process, line by line. What is torn when the
// process is killed is left out.
func (h *hub[L, E]) writer() io.Writer { return &eventReader[L, E]{hub: h} }

type eventReader[L ~[]E, E any] struct {
	hub  *hub[L, E]
	rest []byte
}

func (r *eventReader[L, E]) Write(p []byte) (int, error) {
	r.rest = append(r.rest, p...)
	for {
		line, rest, whole := bytes.Cut(r.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		r.rest = rest
		var e E
		if err := json.Unmarshal(line, &e); err == nil {
			r.hub.add(e)
		}
	}
}

// eventList is events, to be looked through.
type eventList []synod.DecreeEvent

func (s eventList) filter(keep func(synod.DecreeEvent) bool) (kept eventList) {
	for _, e := range s {
		if keep(e) {
			kept = append(kept, e)
		}
	}
	return kept
}

// sent are the messages and findings of one kind that have left.
func (s eventList) sent(kind string) eventList {
	return s.filter(func(e synod.DecreeEvent) bool { return e.Kind == kind && !e.Received })
}

func (s eventList) received(kind string) eventList {
	return s.filter(func(e synod.DecreeEvent) bool { return e.Kind == kind && e.Received })
}

func (s eventList) of(decree string) eventList {
	return s.filter(func(e synod.DecreeEvent) bool { return e.Decree == decree })
}

func (s eventList) by(names ...string) eventList {
	return s.filter(func(e synod.DecreeEvent) bool { return slices.Contains(names, e.Name) })
}

func (s eventList) to(names ...string) eventList {
	return s.filter(func(e synod.DecreeEvent) bool { return slices.Contains(names, e.ToName) })
}

func (s eventList) from(name string) eventList {
	return s.filter(func(e synod.DecreeEvent) bool { return e.FromName == name })
}

// last is the last of them; the zero Event if there is none.
func (s eventList) last() (e synod.DecreeEvent) {
	if len(s) > 0 {
		e = s[len(s)-1]
	}
	return e
}

// pairs counts who has sent something to whom, repetitions once.
func (s eventList) pairs() int {
	type pair struct{ from, to string }
	pairs := map[pair]bool{}
	for _, e := range s {
		pairs[pair{e.FromName, e.ToName}] = true
	}
	return len(pairs)
}

// names are of those whose events they are, sorted.
func (s eventList) names() []string {
	names := map[string]bool{}
	for _, e := range s {
		names[e.Name] = true
	}
	return sortedKeys(names)
}

// follow hands events to show in the order of their time, a little later than they
// happened, since each process's arrive when they like; shown is how many were. It ends
// when ctx does, after all that has arrived.
func (h *hub[L, E]) follow(ctx context.Context, shown *int, show func(L)) {
	for ending := false; !ending; {
		select {
		case <-ctx.Done():
			ending = true
		case <-time.After(settle):
		}
		events := h.since(*shown)
		if !ending {
			old := time.Now().Add(-settle)
			if i := slices.IndexFunc(events, func(e E) bool { return h.when(e).After(old) }); i >= 0 {
				events = events[:i]
			}
		}
		*shown += len(events)
		events = slices.Clone(events)
		slices.SortStableFunc(events, func(a, b E) int { return h.when(a).Compare(h.when(b)) })
		show(events)
	}
}

// settle is how long an event waits for older ones to arrive.
const settle = 30 * time.Millisecond
