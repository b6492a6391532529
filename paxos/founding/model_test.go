package founding_test

import (
	"fmt"
	"testing"

	"github.com/synod-go/synod/internal/explore"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
)

// The model drives the real Pin and the real Founder. Each of n acceptors may lose
// its disk once and then has its second identity. Anybody may ask an acceptor to
// pin any of the 2^n sets, in any order: no founder is as bad as that. Answers stay
// in the network for ever. Two founders get any of them in any order.
type model struct {
	n        int
	founders int
	forgets  bool // the mutant: a pin may be replaced while it does not know that its set is founded
	sets     []founding.Set
}

// state holds indexes of sets, from 1; 0 is none.
type state struct {
	second  [3]bool    // the acceptor has lost its disk
	pinned  [3][2]int8 // by identity; of the first one it is what it had
	knows   [3][2]bool // State.Founded
	told    [3][2]int8 // the last answer in the network
	toldAll [3][2]bool // and whether it said Founded
	heard   [2][3][2]int8
	founded [2]int8
}

func newModel(n, founders int) *model {
	m := &model{n: n, founders: founders}
	for bits := range 1 << n {
		var members []founding.Member
		for i := range n {
			members = append(members, founding.Member{Name: names[i], ID: identity(i, bits>>i&1)})
		}
		s, err := founding.NewSet(members...)
		if err != nil {
			panic(err)
		}
		m.sets = append(m.sets, s)
	}
	return m
}

func identity(acceptor, life int) paxos.ID { return paxos.ID(10*acceptor + life + 1) }

func (m *model) set(index int8) founding.Set {
	if index == 0 {
		return founding.Set{}
	}
	return m.sets[index-1]
}

func (m *model) index(s founding.Set) int8 {
	for i := range m.sets {
		if m.sets[i].Equal(s) {
			return int8(i + 1)
		}
	}
	return 0
}

func (m *model) Initial(yield func(state)) { yield(state{}) }

func (m *model) Next(s state, yield func(explore.Label, state)) {
	for a := range m.n {
		life := 0
		if s.second[a] {
			life = 1
		} else {
			lost := s
			lost.second[a] = true
			yield(explore.Step("acceptor %d loses its disk", a), lost)
		}
		for i, set := range m.sets {
			asked := s
			p := m.pin(s, a, life)
			if _, reason := p.Found(set); reason == founding.Accepted {
				asked.pinned[a][life] = m.index(p.State().Set)
				asked.told[a][life] = asked.pinned[a][life]
				asked.toldAll[a][life] = p.State().Founded
				yield(explore.Step("acceptor %d is asked to pin %d", a, i), asked)
			}
		}
		for f := range m.founders {
			if s.founded[f] == 0 {
				continue
			}
			prepared := s
			p := m.pin(s, a, life)
			if _, reason := p.Admit(m.set(s.founded[f]).Digest()); reason == founding.Accepted {
				prepared.knows[a][life] = true
				yield(explore.Step("founder %d sends acceptor %d a prepare", f, a), prepared)
			}
		}
	}
	m.hear(s, yield)
}

// hear gives a founder an answer.
func (m *model) hear(s state, yield func(explore.Label, state)) {
	for f := range m.founders {
		for a := range m.n {
			for life := range 2 {
				said := s.told[a][life]
				if said == 0 || s.founded[f] != 0 || s.heard[f][a][life] == said && !s.toldAll[a][life] {
					continue
				}
				heard := s
				heard.heard[f][a][life] = said
				founder := m.founder(s, f)
				founder.Hint(names[a], identity(a, life))
				founder.Pinned(identity(a, life), names[a], founding.State{Set: m.set(said), Founded: s.toldAll[a][life]})
				if set, done := founder.Founded(); done {
					heard.founded[f] = m.index(set)
				}
				yield(explore.Step("founder %d hears acceptor %d, disk %d", f, a, life), heard)
			}
		}
	}
}

func (m *model) pin(s state, a, life int) *founding.Pin {
	saved := founding.State{Set: m.set(s.pinned[a][life]), Founded: s.knows[a][life]}
	if m.forgets && !saved.Founded {
		saved = founding.State{}
	}
	p, err := founding.NewPin(founding.Member{Name: names[a], ID: identity(a, life)}, names[:m.n], saved)
	if err != nil {
		panic(err)
	}
	return p
}

// founder makes one that has heard what s says.
func (m *model) founder(s state, f int) *founding.Founder {
	founder, err := founding.NewFounder(names[:m.n], founding.Set{})
	if err != nil {
		panic(err)
	}
	for a := range m.n {
		for life, said := range s.heard[f][a] {
			if said != 0 {
				founder.Hint(names[a], identity(a, life))
				founder.Pinned(identity(a, life), names[a], founding.State{Set: m.set(said)})
			}
		}
	}
	return founder
}

func (m *model) Key(s state, buffer []byte) []byte { return fmt.Appendf(buffer, "%v", s) }

// Check: two founded sets are one, unless every acceptor has lost its disk.
func (m *model) Check(s state) error {
	var first int8
	for i := range m.sets {
		index := int8(i + 1)
		if !m.isFounded(s, index) {
			continue
		}
		if first != 0 && !m.allLost(s) {
			return fmt.Errorf("founded are %v and %v, and a disk is left", m.set(first), m.set(index))
		}
		first = index
	}
	return nil
}

// isFounded reports whether all members have pinned the set, or a founder says so.
func (m *model) isFounded(s state, index int8) bool {
	for f := range m.founders {
		if s.founded[f] == index {
			return true
		}
	}
	for a := range m.n {
		if s.pinned[a][(int(index)-1)>>a&1] != index {
			return false
		}
	}
	return true
}

func (m *model) allLost(s state) bool {
	for a := range m.n {
		if !s.second[a] {
			return false
		}
	}
	return true
}

func explored(t *testing.T, m *model) explore.Result {
	t.Helper()
	result := explore.Run(m, explore.Config[state]{Sometimes: map[string]func(state) bool{
		"a set is founded": func(s state) bool { return m.isFounded(s, 1) },
		"another one is founded after a loss": func(s state) bool {
			return s.second[0] && m.isFounded(s, 2)
		},
		"a second one when all disks are lost": func(s state) bool {
			return m.isFounded(s, 1) && m.isFounded(s, int8(len(m.sets)))
		},
	}})
	t.Logf("%d states, depth %d", result.States, result.Depth)
	return result
}

func TestNoTwoSetsAreFoundedAsLongAsADiskIsLeft(t *testing.T) { // B17
	for _, m := range []*model{newModel(3, 0), newModel(2, 2)} {
		result := explored(t, m)
		if result.Violation != nil || !result.Complete {
			t.Fatalf("%d acceptors, %d founders: complete %v, %v", m.n, m.founders, result.Complete, result.Violation)
		}
		if len(result.Reached) != 3 {
			t.Errorf("%d acceptors, %d founders: reached only %v", m.n, m.founders, result.Reached)
		}
	}
}

func TestTheModelFindsAnAcceptorThatForgetsItsPin(t *testing.T) {
	m := newModel(2, 2)
	m.forgets = true
	if result := explored(t, m); result.Violation == nil {
		t.Fatal("an acceptor that pins again founds no second set: the model proves nothing")
	} else {
		t.Log(result.Violation)
	}
}
