package ui

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/api"
)

// world is what is known of all nodes. The goroutine in gather alone uses it.
type world struct {
	self   string // the node that serves the page
	nodes  map[string]*node
	checks checks
	story  story
	dirty  bool
}

// node is one member as far as it has answered.
type node struct {
	name   string
	look   *api.Look // the last one, nil before the first
	silent time.Time // since when it does not answer, zero if it does
	why    string    // it does not
	cursor api.LookOptions
}

func newWorld() *world {
	return &world{nodes: map[string]*node{}, checks: newChecks(), story: newStory(), dirty: true}
}

// begin notes that the nodes are looked at from now on: what happened before is history.
func (w *world) begin(now time.Time) {
	w.story.began, w.dirty = now, true
	for _, n := range w.nodes {
		n.silent = time.Time{}
	}
}

func (w *world) node(name string) *node {
	n := w.nodes[name]
	if n == nil {
		n = &node{name: name}
		w.nodes[name] = n
	}
	return n
}

// cursor is what is known of a node already.
func (w *world) cursor(name string) api.LookOptions {
	if n := w.nodes[name]; n != nil {
		return n.cursor
	}
	return api.LookOptions{}
}

// take adds what came of a look.
func (w *world) take(a answer, now time.Time) {
	w.dirty = true
	if a.node == selfNode {
		if a.err != nil {
			a.node = w.self
		} else {
			a.node, w.self = a.look.Node, a.look.Node
		}
	}
	n := w.node(a.node)
	if a.err != nil {
		n.why = reasonOf(a.err)
		if n.silent.IsZero() {
			n.silent = now
		}
		return
	}
	missed := missedEvents(n, &a.look)
	n.silent, n.why, n.look, n.cursor = time.Time{}, "", &a.look, seen(n.cursor, a.look)
	w.story.addEvents(w, a.look.Events, missed)
	if a.look.Master != nil {
		w.story.addHappenings(a.look.Master.Happenings)
	}
	w.checks.take(n.look)
	a.look.Events = nil // they are in the story
	if a.look.Master != nil {
		a.look.Master.Happenings = nil
	}
}

// reasonOf says in a few words why a node gave no look.
func reasonOf(err error) string {
	e, told := errors.AsType[*api.Error](err)
	if !told {
		return api.Reason(err)
	}
	if e.Code == api.CodeAccess {
		return e.Message + ", and " + e.Why
	}
	why, _, _ := strings.Cut(cmp.Or(e.Why, e.Message), " at ")
	return strings.TrimSuffix(why, ", 1 tries each") // there is one address and one try
}

// missedEvents is how many events of a node were forgotten before they were asked for.
func missedEvents(n *node, l *api.Look) int {
	if n.look == nil || n.cursor.Process != l.Process {
		return 0
	}
	return max(0, int(l.EventCount-n.cursor.Event)-len(l.Events))
}

// others are the nodes to be asked, with their addresses: the members that the serving node
// knows, at most most.
func (w *world) others(most int) map[string]string {
	others := map[string]string{}
	if self := w.nodes[w.self]; self != nil && self.look != nil {
		for _, m := range self.look.Members {
			if m.Name != w.self && m.API != "" && len(others) < most {
				others[m.Name] = m.API
			}
		}
		w.forget(self.look)
	}
	return others
}

// forget drops nodes that are no members any more.
func (w *world) forget(self *api.Look) {
	for name := range w.nodes {
		if name != w.self && !slices.ContainsFunc(self.Members, func(m api.Sighting) bool { return m.Name == name }) {
			delete(w.nodes, name)
		}
	}
}

// publish sends what has changed.
func (w *world) publish(h *hub, now time.Time) {
	lines := w.story.tell(now)
	if !w.dirty && len(lines) == 0 {
		return
	}
	w.dirty = false
	parts := map[string]json.RawMessage{}
	for name, part := range w.parts() {
		data, err := json.Marshal(part)
		if err != nil {
			panic("ui: " + err.Error()) // our own types always encode
		}
		parts[name] = data
	}
	h.publish(parts, lines)
}

// names are all members' names in order.
func (w *world) names() []string {
	names := map[string]bool{}
	for name := range w.nodes {
		names[name] = true
	}
	if self := w.nodes[w.self]; self != nil && self.look != nil {
		for _, m := range self.look.Members {
			names[m.Name] = true
		}
	}
	delete(names, selfNode)
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.SortFunc(sorted, compareNames)
	return sorted
}

// answers reports whether a node has answered the last look.
func (n *node) answers() bool { return n != nil && n.look != nil && n.silent.IsZero() }
