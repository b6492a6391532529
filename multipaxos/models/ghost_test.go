package models

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"github.com/synod-go/synod/internal/explore"
)

// Ghosts: two slots, three ballots, three acceptors, two learners, all of them
// apart. Every entry carries its origin, the ballot that first proposed it. A new
// leader re-proposes what it finds, with its own ballot and the old origin, then
// proposes LEAD in the next slot, then commands. A command whose origin is less
// than the last LEAD before it has no effect.
//
// The network is the set of all messages ever sent; a learner takes the next slot
// whenever a quorum has voted for it, or the snapshot of the other one. States
// that differ only in the names of acceptors or of learners are one.
const (
	ghostLearners = 2
	ghostSlots    = 2
	ghostBallots  = 3
)

// ghostValue is what it is (0 to 3), the ballot of the client's call in bits 2
// and 3, and the origin that the entry claims in bits 4 and 5.
type ghostValue = uint8

const (
	ghostNoOp    = 1
	ghostCommand = 2
	ghostLead    = 3
)

func ghostEntry(kind uint8, b int) ghostValue { return kind | uint8(b+1)<<2 | uint8(b+1)<<4 }
func kindOf(v ghostValue) uint8               { return v & 3 }
func calledAt(v ghostValue) uint8             { return v >> 2 & 3 } // in truth
func originOf(v ghostValue) uint8             { return v >> 4 }     // as the entry says

type ghostPromise struct {
	sent bool
	vote [ghostSlots]uint8
}

type ghostLeader struct {
	phase uint8 // 0 nothing, 1 has sent Prepare, 2 leads, 3 has proposed its LEAD
	next  uint8
}

// machine is the state machine of one learner. A snapshot is a copy of it.
type machine struct {
	applied uint8
	lead    uint8 // the LEAD in force: one more than its ballot
	effects uint8 // a bit for each slot whose command had an effect
}

// Ballots count from 0 here; numbers in a state are one more.
type ghostState struct {
	promised  [3]uint8
	vote      [3][ghostSlots]uint8
	machines  [ghostLearners]machine
	leaders   [ghostBallots]ghostLeader
	promises  [ghostBallots][3]ghostPromise
	proposals [ghostBallots][ghostSlots]ghostValue
	accepted  [ghostBallots][ghostSlots]uint8
}

const (
	renewsOrigin    mutant = "the origin is replaced at re-proposal"
	snapshotForgets mutant = "the LEAD in force is not in the snapshot"
	noMarker        mutant = "M15: a new leader proposes no LEAD"
	takesSomeVote   mutant = "B8: some vote that is found instead of that of the highest ballot"
)

type ghostModel struct{ mutant mutant }

// Initial has ballot 0 lead with its LEAD behind it; see logModel.
func (ghostModel) Initial(yield func(ghostState)) {
	s := ghostState{promised: [3]uint8{1, 1, 1}}
	s.leaders[0].phase = 3
	yield(s)
}

func (m ghostModel) Next(s ghostState, yield func(explore.Label, ghostState)) {
	for b := range ghostBallots {
		m.prepare(s, b, yield)
		m.lead(s, b, yield)
		m.propose(s, b, yield)
		for r := range 3 {
			m.promise(s, b, r, yield)
			m.vote(s, b, r, yield)
		}
	}
	for r := range ghostLearners {
		m.apply(s, r, yield)
		m.restore(s, r, yield)
	}
}

func (m ghostModel) prepare(s ghostState, b int, yield func(explore.Label, ghostState)) {
	if s.leaders[b].phase == 0 {
		s.leaders[b].phase = 1
		yield(explore.Step("proposer %d sends Prepare(%d)", b, b), s)
	}
}

func (m ghostModel) promise(s ghostState, b, r int, yield func(explore.Label, ghostState)) {
	if s.leaders[b].phase == 0 || int(s.promised[r]) > b {
		return
	}
	s.promised[r] = uint8(b + 1)
	if s.leaders[b].phase == 1 {
		s.promises[b][r] = ghostPromise{sent: true, vote: s.vote[r]}
	}
	yield(explore.Step("acceptor %d promises %d", r, b), s)
}

func (m ghostModel) lead(s ghostState, b int, yield func(explore.Label, ghostState)) {
	if s.leaders[b].phase != 1 {
		return
	}
	for without := range 3 {
		p, q := (without+1)%3, (without+2)%3
		if s.promises[b][p].sent && s.promises[b][q].sent {
			next := m.takeOver(s, b, s.promises[b][p].vote, s.promises[b][q].vote)
			yield(explore.Step("%d leads by the Promises of %d and %d", b, p, q), next)
		}
	}
}

func (m ghostModel) takeOver(s ghostState, b int, p, q [ghostSlots]uint8) ghostState {
	l := &s.leaders[b]
	l.phase = 2
	for slot := range uint8(ghostSlots) {
		if p[slot]|q[slot] != 0 {
			l.next = slot + 1
		}
	}
	for slot := range l.next {
		vote := max(p[slot], q[slot])
		if m.mutant == takesSomeVote && p[slot] != 0 {
			vote = p[slot]
		}
		if vote == 0 {
			s.proposals[b][slot] = ghostNoOp
			continue
		}
		v := s.proposals[vote-1][slot]
		if m.mutant == renewsOrigin && kindOf(v) != ghostNoOp {
			v = v&0xf | uint8(b+1)<<4
		}
		s.proposals[b][slot] = v
	}
	s.promises[b] = [3]ghostPromise{}
	return s
}

func (m ghostModel) propose(s ghostState, b int, yield func(explore.Label, ghostState)) {
	l := &s.leaders[b]
	if l.phase < 2 || l.next == ghostSlots {
		return
	}
	slot, kind := int(l.next), uint8(ghostCommand)
	if l.phase == 2 && m.mutant != noMarker {
		kind = ghostLead
	}
	l.phase, l.next = 3, l.next+1
	s.proposals[b][slot] = ghostEntry(kind, b)
	yield(explore.Step("%d proposes kind %d in slot %d", b, int(kind), slot), s)
}

func (m ghostModel) vote(s ghostState, b, r int, yield func(explore.Label, ghostState)) {
	if int(s.promised[r]) > b+1 {
		return
	}
	for slot := range ghostSlots {
		if s.proposals[b][slot] == 0 || s.accepted[b][slot]>>r&1 == 1 {
			continue
		}
		next := s
		next.promised[r] = uint8(b + 1)
		next.vote[r][slot] = uint8(b + 1)
		next.accepted[b][slot] |= 1 << r
		yield(explore.Step("acceptor %d votes at %d in slot %d", r, b, slot), next)
	}
}

// apply has a learner learn and apply its next slot.
func (m ghostModel) apply(s ghostState, r int, yield func(explore.Label, ghostState)) {
	x := &s.machines[r]
	slot := int(x.applied)
	if slot == ghostSlots {
		return
	}
	v := chosenEntry(s, slot)
	if v == 0 {
		return
	}
	x.applied++
	switch kindOf(v) {
	case ghostLead:
		x.lead = max(x.lead, originOf(v))
	case ghostCommand:
		if originOf(v) >= x.lead {
			x.effects |= 1 << slot
		}
	}
	yield(explore.Step("learner %d applies slot %d", r, slot), s)
}

// restore takes the snapshot of the learner that is ahead.
func (m ghostModel) restore(s ghostState, r int, yield func(explore.Label, ghostState)) {
	for q := range ghostLearners {
		if s.machines[q].applied <= s.machines[r].applied {
			continue
		}
		next := s
		next.machines[r] = s.machines[q]
		if m.mutant == snapshotForgets {
			next.machines[r].lead = s.machines[r].lead
		}
		yield(explore.Step("learner %d restores the snapshot of %d", r, q), next)
	}
}

// chosenEntry is what has the votes of a quorum, at the least ballot.
func chosenEntry(s ghostState, slot int) ghostValue {
	for b := range ghostBallots {
		if bits.OnesCount8(s.accepted[b][slot]) >= 2 {
			return s.proposals[b][slot]
		}
	}
	return 0
}

// Key sorts acceptors and learners, each of whose state is one number.
func (ghostModel) Key(s ghostState, key []byte) []byte {
	var acceptors [3]uint32
	for r := range acceptors {
		a := uint32(s.promised[r]) | uint32(s.vote[r][0])<<2 | uint32(s.vote[r][1])<<4
		for b := range ghostBallots {
			a = a<<2 | uint32(s.accepted[b][0]>>r&1) | uint32(s.accepted[b][1]>>r&1)<<1
			if p := s.promises[b][r]; p.sent {
				a = a<<5 | 1 | uint32(p.vote[0])<<1 | uint32(p.vote[1])<<3
			} else {
				a <<= 5
			}
		}
		acceptors[r] = a
	}
	slices.Sort(acceptors[:])
	for _, a := range acceptors {
		key = binary.LittleEndian.AppendUint32(key, a)
	}
	var learners [ghostLearners]uint8
	for r, x := range s.machines {
		learners[r] = x.applied | x.lead<<2 | x.effects<<4
	}
	slices.Sort(learners[:])
	key = append(key, learners[:]...)
	for b := range ghostBallots {
		key = append(key, s.leaders[b].phase|s.leaders[b].next<<2, s.proposals[b][0], s.proposals[b][1])
	}
	return key
}

// Check holds invariants 1, 7 and 13 of section 8. The last is about the call in
// truth, not about the origin that the entry claims. In slot 0 a later leader's
// first entry is its LEAD, unless it proposes none.
func (ghostModel) Check(s ghostState) error {
	for slot := range ghostSlots {
		for b := range ghostBallots {
			v := s.proposals[b][slot]
			if chosen := chosenEntry(s, slot); bits.OnesCount8(s.accepted[b][slot]) >= 2 && (v^chosen)&0xf != 0 {
				return fmt.Errorf("two values chosen in slot %d: %d and %d", slot, chosen, v)
			}
		}
	}
	for r := range ghostLearners {
		for slot := 1; slot < int(s.machines[r].applied); slot++ {
			before, v := chosenEntry(s, slot-1), chosenEntry(s, slot)
			if kindOf(v) == ghostCommand && calledAt(v) < calledAt(before) && s.machines[r].effects>>slot&1 == 1 {
				return fmt.Errorf("learner %d: a ghost of ballot %d has an effect behind an entry of %d", r, calledAt(v)-1, calledAt(before)-1)
			}
		}
		for q := range r {
			both := uint8(1)<<min(s.machines[r].applied, s.machines[q].applied) - 1
			if (s.machines[r].effects^s.machines[q].effects)&both != 0 {
				return fmt.Errorf("learners %d and %d differ in which commands had an effect", q, r)
			}
		}
	}
	return nil
}

var ghostConfig = explore.Config[ghostState]{
	Sometimes: map[string]func(ghostState) bool{
		"a ghost is chosen and has no effect": func(s ghostState) bool {
			v := chosenEntry(s, 1)
			return s.machines[0].applied == 2 && s.machines[0].effects == 0 && kindOf(v) == ghostCommand
		},
		"a command behind the LEAD of its own leader has an effect": func(s ghostState) bool {
			return kindOf(chosenEntry(s, 0)) == ghostLead && s.machines[0].effects == 0b10
		},
		"a re-proposed command has an effect": func(s ghostState) bool {
			v := chosenEntry(s, 0)
			return s.machines[0].effects&1 == 1 && calledAt(v) == 1 && bits.OnesCount8(s.accepted[0][0]) < 2
		},
	},
}

func TestNoGhostHasAnEffect(t *testing.T) {
	holds(t, ghostModel{}, ghostConfig)
}

func TestGhostsWithoutOneOfTheRulesHaveAnEffect(t *testing.T) {
	for broken, want := range map[mutant]string{
		renewsOrigin:    "has an effect",
		snapshotForgets: "has an effect",
		noMarker:        "has an effect",
		takesSomeVote:   "two values chosen",
	} {
		t.Run(string(broken), func(t *testing.T) {
			fails(t, ghostModel{broken}, ghostConfig, want)
		})
	}
}
