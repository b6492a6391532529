package founding

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synod-go/synod/paxos"
)

// Request is what a Founder asks an acceptor: to pin Set, or, if that is zero,
// what it has pinned.
type Request struct {
	To  paxos.ID
	Set Set
}

// Founder finds the founded set, and founds it if nobody has. Any number of them
// may work at the same time.
type Founder struct {
	wanted  []string            // sorted
	hints   map[string]paxos.ID // by name: who may be meant, never who is
	answers map[paxos.ID]answer // of hinted ones and of members of their sets
	founded Set
	refused map[paxos.ID]Reason // of those that were asked
}

type answer struct {
	name string
	set  Set // zero: nothing pinned when it answered
}

// NewFounder makes a Founder for the acceptors with these names. known is the
// founded set that was saved earlier, or zero.
func NewFounder(wanted []string, known Set) (*Founder, error) {
	f := &Founder{wanted: slices.Sorted(slices.Values(wanted)), hints: make(map[string]paxos.ID),
		answers: make(map[paxos.ID]answer), founded: known, refused: make(map[paxos.ID]Reason)}
	switch {
	case len(f.wanted) == 0 || len(f.wanted) > paxos.MaxAcceptors:
		return nil, fmt.Errorf("founding: %d acceptors, want 1 to %d", len(wanted), paxos.MaxAcceptors)
	case len(slices.Compact(slices.Clone(f.wanted))) < len(f.wanted):
		return nil, fmt.Errorf("founding: an acceptor is named twice: %v", f.wanted)
	case !known.IsZero() && !known.isNamed(f.wanted):
		return nil, fmt.Errorf("founding: the acceptors are %v for ever, Config names %v", known, f.wanted)
	}
	return f, nil
}

// Founded returns the founded set, once it is known.
func (f *Founder) Founded() (Set, bool) { return f.founded, !f.founded.IsZero() }

// Hint tells who may be behind a name, from gossip for example.
func (f *Founder) Hint(name string, id paxos.ID) {
	if _, ok := slices.BinarySearch(f.wanted, name); ok && id != paxos.None {
		f.hints[name] = id
	}
}

// Requests returns what to ask now. Call it after every answer, and again from time
// to time until a set is founded: again asks also those that have answered, since
// messages are lost, and since one that had only pinned the set may know by now that
// it is founded, which nobody else may be left to tell. Who has refused is asked
// again only then, or else each refusal would ask for the next.
func (f *Founder) Requests(again bool) []Request {
	if !f.founded.IsZero() {
		return nil
	}
	target := f.target()
	var requests []Request
	for _, name := range f.wanted {
		if id, ok := f.hints[name]; ok && !f.hasAnswered(id) && (again || !f.hasRefused(id)) {
			requests = append(requests, Request{To: id})
		}
	}
	for _, m := range target.members {
		if a := f.answers[m.ID]; again || a.set.IsZero() && !f.hasRefused(m.ID) {
			requests = append(requests, Request{To: m.ID, Set: target})
		}
	}
	return requests
}

func (f *Founder) hasAnswered(id paxos.ID) bool {
	_, ok := f.answers[id]
	return ok
}

func (f *Founder) hasRefused(id paxos.ID) bool { return f.refused[id] != Accepted }

// target is the set to be founded: the one that most have pinned, so that what
// another has begun is completed, or else that of all who have answered, if
// nobody is missing.
func (f *Founder) target() Set {
	if pinned := f.pinned(); len(pinned) > 0 {
		return pinned[0]
	}
	var members []Member
	for id, a := range f.answers {
		if f.hints[a.name] == id {
			members = append(members, Member{a.name, id})
		}
	}
	if len(members) < len(f.wanted) {
		return Set{}
	}
	s, err := NewSet(members...)
	if err != nil {
		return Set{} // two names hinted with one identity
	}
	return s
}

// pinned returns the sets that somebody has pinned, the most often pinned one first.
func (f *Founder) pinned() []Set {
	sets, count := make(map[uint64]Set), make(map[uint64]int)
	for _, a := range f.answers {
		if !a.set.IsZero() {
			digest := a.set.Digest()
			sets[digest] = a.set
			count[digest]++
		}
	}
	order := slices.SortedFunc(maps.Keys(sets), func(a, b uint64) int {
		return cmp.Or(count[b]-count[a], cmp.Compare(a, b))
	})
	var out []Set
	for _, digest := range order {
		out = append(out, sets[digest])
	}
	return out
}

// Pinned takes an acceptor's answer: its name, and its State. What is not of an
// acceptor that was asked, or does not fit to the names, is ignored.
func (f *Founder) Pinned(from paxos.ID, name string, state State) {
	self := Member{name, from}
	switch {
	case !f.founded.IsZero() || !f.isAsked(self):
		return
	case !state.Set.IsZero() && (!state.Set.Contains(self) || !state.Set.isNamed(f.wanted)):
		f.refused[from] = NotWanted
		return
	case state.Set.IsZero() && !f.answers[from].set.IsZero():
		return // late: a pin is for ever
	}
	delete(f.refused, from)
	f.answers[from] = answer{name, state.Set}
	if state.Founded || f.allHavePinned(state.Set) {
		f.founded = state.Set
	}
}

// isAsked reports whether m is hinted or a member of a set that was pinned.
func (f *Founder) isAsked(m Member) bool {
	if f.hints[m.Name] == m.ID {
		return true
	}
	return slices.ContainsFunc(f.pinned(), func(s Set) bool { return s.Contains(m) })
}

func (f *Founder) allHavePinned(s Set) bool {
	for _, m := range s.members {
		if !f.answers[m.ID].set.Equal(s) {
			return false
		}
	}
	return !s.IsZero()
}

// Refused takes an acceptor's refusal, to be told by Waiting.
func (f *Founder) Refused(from paxos.ID, reason Reason) {
	hinted := slices.Contains(slices.Collect(maps.Values(f.hints)), from)
	if hinted || slices.ContainsFunc(f.pinned(), func(s Set) bool { return s.Has(from) }) {
		f.refused[from] = reason
	}
}

// Waiting says for people what is missing until a set is founded, "" if one is.
func (f *Founder) Waiting() string {
	if !f.founded.IsZero() {
		return ""
	}
	if pinned := f.pinned(); len(pinned) > 1 {
		return fmt.Sprintf("two sets of acceptors are pinned, and none can be founded: %v; and %v", pinned[0], pinned[1])
	}
	target := f.target()
	var missing []string
	for _, name := range f.wanted {
		id := f.hints[name]
		switch {
		case id == paxos.None:
			missing = append(missing, name+" is not known")
		case f.hasRefused(id):
			missing = append(missing, name+" "+f.refused[id].String())
		case !target.IsZero() && !target.Contains(Member{name, id}):
			missing = append(missing, name+" has another identity than the one pinned by others: its disk was lost")
		case !f.hasAnswered(id):
			missing = append(missing, name+" has not answered")
		case !target.IsZero() && f.answers[id].set.IsZero():
			missing = append(missing, name+" has not pinned the set")
		}
	}
	return strings.Join(missing, "; ")
}
