package founding

import (
	"fmt"
	"slices"
)

// Reason says why an acceptor looks at nothing of what it was sent. It is no
// Nack: no ballot has to do with it, and no other ballot helps.
type Reason uint8

const (
	// Accepted is no refusal.
	Accepted Reason = iota
	// NotWanted: the set has other names than the acceptor's Config.
	NotWanted
	// OtherIdentity: the set has the acceptor's name, with another identity. Its
	// disk is not the one that pinned the set: it was lost, and it never votes.
	OtherIdentity
	// OtherSet: the acceptor has pinned another set.
	OtherSet
	// NothingPinned: the acceptor has not pinned any set, so its disk is not the
	// one of the set that the message speaks of.
	NothingPinned
	// Full: the acceptor remembers as many decrees, or as many bytes of them, as
	// its Config allows. It still serves those that it knows.
	Full
)

// String says it in words.
func (r Reason) String() string {
	switch r {
	case Accepted:
		return "accepted"
	case NotWanted:
		return "configured with other acceptors"
	case OtherIdentity:
		return "has another identity than in the set: its disk was lost, it never votes"
	case OtherSet:
		return "belongs to another set of acceptors"
	case NothingPinned:
		return "has pinned no set of acceptors: its disk is new, it never votes"
	case Full:
		return "remembers as many decrees as it may"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// State is what an acceptor must never forget.
type State struct {
	Set Set
	// Founded: a proposer that knew the set to be founded has sent a message, so
	// whoever asks need not ask the others.
	Founded bool
}

// Pin is the acceptor's part: it belongs to one set for ever.
type Pin struct {
	self   Member
	wanted []string // sorted
	state  State
}

// NewPin makes the acceptor's part from what was saved. wanted are the names of
// all acceptors in its Config, its own among them.
func NewPin(self Member, wanted []string, saved State) (*Pin, error) {
	p := &Pin{self: self, wanted: slices.Sorted(slices.Values(wanted)), state: saved}
	switch {
	case !slices.Contains(wanted, self.Name):
		return nil, fmt.Errorf("founding: %s is not among the acceptors %v", self.Name, wanted)
	case !saved.Set.IsZero() && !saved.Set.Contains(self):
		return nil, fmt.Errorf("founding: %s/%016x has pinned a set without itself: %v", self.Name, uint64(self.ID), saved.Set)
	case !saved.Set.IsZero() && !saved.Set.isNamed(p.wanted):
		return nil, fmt.Errorf("founding: the acceptors are %v for ever, Config names %v", saved.Set, p.wanted)
	}
	return p, nil
}

// State returns what is or will be saved.
func (p *Pin) State() State { return p.state }

// Found takes a request to pin s; the zero Set only asks. Unless it is refused,
// the answer is State, once save, if it is not nil, is durable. A pinned set that
// differs from s is an answer too.
func (p *Pin) Found(s Set) (save *State, reason Reason) {
	switch {
	case s.IsZero() || !p.state.Set.IsZero():
		return nil, Accepted
	case !s.isNamed(p.wanted):
		return nil, NotWanted
	case !s.Contains(p.self):
		return nil, OtherIdentity
	}
	p.state.Set = s
	return p.saved(), Accepted
}

// Admit says whether the acceptor may look at a message about a decree of the set
// with this digest. The first one proves the set founded, which is to be saved
// before any answer.
func (p *Pin) Admit(digest uint64) (save *State, reason Reason) {
	switch {
	case p.state.Set.IsZero():
		return nil, NothingPinned
	case p.state.Set.Digest() != digest:
		return nil, OtherSet
	case p.state.Founded:
		return nil, Accepted
	}
	p.state.Founded = true
	return p.saved(), Accepted
}

func (p *Pin) saved() *State {
	state := p.state
	return &state
}
