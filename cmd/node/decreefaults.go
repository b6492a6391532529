package main

import (
	"slices"
	"sync"
)

// fault is what becomes of some messages that leave a process for another. Empty
// fields are any.
type fault struct {
	Do     string `json:"do"` // hold, until no fault holds it any more; or lose
	To     string `json:"to,omitempty"`
	Kind   string `json:"kind,omitempty"`
	Decree string `json:"decree,omitempty"`
}

// faultChange is the body of PUT /v1/faults.
type faultChange struct {
	Faults []fault `json:"faults"`
	// Release lets all that is held leave first.
	Release bool `json:"release"`
}

// leaving is what faults know of a message.
type leaving struct{ to, kind, decree string }

func (f fault) hits(m leaving) bool {
	return (f.To == "" || f.To == m.to) && (f.Kind == "" || f.Kind == m.kind) && (f.Decree == "" || f.Decree == m.decree)
}

// faults hold and lose messages. Safe for concurrent use.
type faults struct {
	mu    sync.Mutex
	rules []fault
	held  []heldMessage
}

type heldMessage struct {
	message leaving
	send    func()
}

// maxHeld bounds what is held; what is more is lost, as on a network.
const maxHeld = 1 << 16

func (f *faults) intercept(m leaving, send func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch f.fate(m) {
	case "hold":
		if len(f.held) < maxHeld {
			f.held = append(f.held, heldMessage{m, send})
		}
	case "":
		send()
	}
}

// fate is what the first fault does that hits a message.
func (f *faults) fate(m leaving) string {
	if i := slices.IndexFunc(f.rules, func(r fault) bool { return r.hits(m) }); i >= 0 {
		return f.rules[i].Do
	}
	return ""
}

// set replaces the faults. What none of them holds any more leaves now, in the order
// in which it was held; with release all that is held leaves before.
func (f *faults) set(rules []fault, release bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = rules
	if release {
		for _, h := range f.held {
			h.send()
		}
		f.held = nil
	}
	f.held = slices.DeleteFunc(f.held, func(h heldMessage) bool {
		fate := f.fate(h.message)
		if fate == "" {
			h.send()
		}
		return fate != "hold"
	})
}
