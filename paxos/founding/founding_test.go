package founding_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
)

var names = []string{"a", "b", "c"}

func set(t *testing.T, ids ...paxos.ID) founding.Set {
	t.Helper()
	var members []founding.Member
	for i, id := range ids {
		members = append(members, founding.Member{Name: names[i], ID: id})
	}
	s, err := founding.NewSet(members...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pin(t *testing.T, name string, id paxos.ID, saved founding.State) *founding.Pin {
	t.Helper()
	p, err := founding.NewPin(founding.Member{Name: name, ID: id}, names, saved)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAnAcceptorPinsTheFirstSetWithItselfForEver(t *testing.T) {
	first, other := set(t, 1, 2, 3), set(t, 1, 2, 4)
	p := pin(t, "a", 1, founding.State{})
	if save, reason := p.Found(founding.Set{}); save != nil || reason != founding.Accepted || !p.State().Set.IsZero() {
		t.Fatalf("a question pinned %v (%v)", p.State(), reason)
	}
	save, reason := p.Found(first)
	if reason != founding.Accepted || save == nil || !save.Set.Equal(first) {
		t.Fatalf("pinned %v, %v; want %v saved", save, reason, first)
	}
	p = pin(t, "a", 1, *save)
	if save, reason := p.Found(other); save != nil || reason != founding.Accepted || !p.State().Set.Equal(first) {
		t.Fatalf("after a second set: save %v, %v, pinned %v; want the first one told", save, reason, p.State().Set)
	}
	if save, reason := p.Admit(other.Digest()); save != nil || reason != founding.OtherSet {
		t.Fatalf("a message of another set: %v, %v", save, reason)
	}
	if save, reason := p.Admit(first.Digest()); reason != founding.Accepted || save == nil || !save.Founded {
		t.Fatalf("a message of the pinned set: %v, %v; want it founded on disk", save, reason)
	}
}

func TestAnAcceptorThatLostItsDiskNeverVotes(t *testing.T) { // B18, B19
	p := pin(t, "a", 9, founding.State{})
	if save, reason := p.Admit(set(t, 1, 2, 3).Digest()); save != nil || reason != founding.NothingPinned {
		t.Fatalf("a prepare for the set of its old disk: %v, %v", save, reason)
	}
	if save, reason := p.Found(set(t, 1, 2, 3)); save != nil || reason != founding.OtherIdentity {
		t.Fatalf("the set of its old disk: %v, %v", save, reason)
	}
	four, err := founding.NewSet(founding.Member{Name: "a", ID: 9}, founding.Member{Name: "d", ID: 4})
	if err != nil {
		t.Fatal(err)
	}
	if save, reason := p.Found(four); save != nil || reason != founding.NotWanted {
		t.Fatalf("a set of other names: %v, %v", save, reason)
	}
}

func TestAPinWithoutItselfOrOfOtherNamesIsNotTakenUp(t *testing.T) {
	if _, err := founding.NewPin(founding.Member{Name: "a", ID: 9}, names, founding.State{Set: set(t, 1, 2, 3)}); err == nil {
		t.Error("it took up the pin of another disk")
	}
	if _, err := founding.NewPin(founding.Member{Name: "a", ID: 1}, names[:1], founding.State{Set: set(t, 1, 2, 3)}); err == nil {
		t.Error("it took up another Config than it had pinned")
	}
	if _, err := founding.NewPin(founding.Member{Name: "d", ID: 1}, names, founding.State{}); err == nil {
		t.Error("it is no acceptor by its Config")
	}
}

// world is acceptors that answer a Founder at once.
type world map[paxos.ID]*founding.Pin

func (w world) run(f *founding.Founder, rounds int) {
	for range rounds {
		for _, r := range f.Requests(false) {
			p, ok := w[r.To]
			if !ok {
				continue
			}
			if _, reason := p.Found(r.Set); reason != founding.Accepted {
				f.Refused(r.To, reason)
				continue
			}
			f.Pinned(r.To, names[(r.To-1)%10], p.State())
		}
	}
}

func founder(t *testing.T, ids ...paxos.ID) *founding.Founder {
	t.Helper()
	f, err := founding.NewFounder(names, founding.Set{})
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		f.Hint(names[i], id)
	}
	return f
}

func newWorld(t *testing.T) world {
	return world{1: pin(t, "a", 1, founding.State{}), 2: pin(t, "b", 2, founding.State{}), 3: pin(t, "c", 3, founding.State{})}
}

func TestAFounderFoundsWhenAllHaveAnsweredAndNotBefore(t *testing.T) {
	w := newWorld(t)
	f := founder(t, 1, 2)
	w.run(f, 5)
	if _, done := f.Founded(); done || !w[1].State().Set.IsZero() || f.Waiting() != "c is not known" {
		t.Fatalf("without c: founded %v, a pinned %v, waiting for %q", done, w[1].State().Set, f.Waiting())
	}
	f.Hint("c", 3)
	w.run(f, 5)
	if s, done := f.Founded(); !done || !s.Equal(set(t, 1, 2, 3)) || f.Waiting() != "" {
		t.Fatalf("founded %v %v, waiting for %q", s, done, f.Waiting())
	}
	if len(f.Requests(true)) != 0 {
		t.Error("it still asks")
	}
}

func TestAFounderCompletesWhatAnotherHasBegun(t *testing.T) {
	w := newWorld(t)
	w[2].Found(set(t, 1, 2, 3))
	f := founder(t, 1, 2, 3)
	f.Pinned(2, "b", w[2].State())
	if _, done := f.Founded(); done {
		t.Fatal("one pin of three founded")
	}
	w.run(f, 5)
	if s, done := f.Founded(); !done || !s.Equal(set(t, 1, 2, 3)) {
		t.Fatalf("founded %v %v", s, done)
	}
}

func TestWhoStartsLaterLearnsTheSetFromAnyMemberThatHasSeenAPrepare(t *testing.T) {
	w, s := newWorld(t), set(t, 1, 2, 3)
	for _, p := range w {
		p.Found(s)
	}
	f := founder(t, 0, 2, 0)
	f.Pinned(2, "b", w[2].State())
	if _, done := f.Founded(); done {
		t.Fatal("a pin alone founded")
	}
	w[2].Admit(s.Digest())
	asked := false
	for _, r := range f.Requests(true) { // b has answered, but is asked again
		if r.To == 2 {
			asked = true
			f.Pinned(2, "b", w[2].State())
		}
	}
	if got, done := f.Founded(); !asked || !done || !got.Equal(s) {
		t.Fatalf("asked again: %v, founded %v %v", asked, got, done)
	}
}

func TestWhoHasRefusedIsAskedOnlyAgain(t *testing.T) {
	w, wrong := newWorld(t), founding.State{Set: set(t, 1, 2)}
	delete(w, 3)
	f := founder(t, 1, 2, 3)
	f.Pinned(3, "c", founding.State{})
	w.run(f, 5) // a and b have pinned it
	asks := func(again bool) bool {
		return slices.ContainsFunc(f.Requests(again), func(r founding.Request) bool { return r.To == 3 })
	}
	if !asks(false) {
		t.Fatal("c has pinned nothing and is not asked to")
	}
	f.Refused(3, founding.NotWanted)
	if asks(false) || !asks(true) || f.Waiting() != "c configured with other acceptors" {
		t.Errorf("c has refused: asked at once %v, asked again %v, waiting for %q", asks(false), asks(true), f.Waiting())
	}
	f = founder(t, 1, 2, 3)
	f.Pinned(3, "c", wrong)
	if asks(false) || !asks(true) {
		t.Errorf("c has pinned another set: asked at once %v, asked again %v", asks(false), asks(true))
	}
}

func TestALostDiskBeforeTheEndOfTheFoundingIsSaid(t *testing.T) {
	w := newWorld(t)
	w[1].Found(set(t, 1, 2, 3))
	delete(w, 3)
	w[13] = pin(t, "c", 13, founding.State{})
	f := founder(t, 1, 2, 13)
	w.run(f, 5)
	if _, done := f.Founded(); done {
		t.Fatal("founded without c's old disk")
	}
	if said := f.Waiting(); !strings.Contains(said, "c has another identity") {
		t.Fatalf("waiting for %q", said)
	}
}

func TestAnAnswerThatFitsNobodyAskedIsIgnored(t *testing.T) {
	f := founder(t, 1, 2, 3)
	s := set(t, 1, 2, 3)
	f.Pinned(4, "a", founding.State{Set: s, Founded: true})            // not hinted, not a member
	f.Pinned(1, "b", founding.State{Set: s, Founded: true})            // another name
	f.Pinned(2, "b", founding.State{Set: set(t, 1, 7, 3)})             // a set without itself
	f.Pinned(1, "a", founding.State{Set: set(t, 1, 2), Founded: true}) // other names
	if got, done := f.Founded(); done {
		t.Fatalf("founded %v", got)
	}
}

func TestASetIsReadAsItWasWritten(t *testing.T) {
	s := set(t, 3, 2, 1)
	got, err := founding.DecodeSet(s.Encode())
	if err != nil || !got.Equal(s) || got.Digest() != s.Digest() || s.Digest() == set(t, 1, 2, 3).Digest() {
		t.Fatalf("read %v, %v; want %v", got, err, s)
	}
	for n := range len(s.Encode()) {
		if cut, err := founding.DecodeSet(s.Encode()[:n]); err == nil && n > 0 && slices.Equal(cut.IDs(), s.IDs()) {
			t.Errorf("%d bytes of %v read as %v", n, s, cut)
		}
	}
	for _, wrong := range [][]founding.Member{nil, {{Name: "a"}}, {{ID: 1}}, {{"a", 1}, {"a", 2}}, {{"a", 1}, {"b", 1}}} {
		if got, err := founding.NewSet(wrong...); err == nil {
			t.Errorf("%v became %v", wrong, got)
		}
	}
}
