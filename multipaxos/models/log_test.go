package models

import (
	"fmt"
	"math/bits"
	"testing"

	"github.com/synod-go/synod/internal/explore"
)

// The log within one epoch: three replicas, two slots, two ballots. Ballot 1 is
// replica 0's, ballot 2 is replica 1's. The network is the set of all messages
// ever sent, so it delays, doubles, reorders and loses.
const (
	logSlots   = 2
	logBallots = 2
)

// Values: 0 is none, 1 the no-op, then one command for each ballot and slot.
const noOp = 1

func command(ballot, slot int) uint8 { return uint8(2*ballot + slot) }

// logPromise is a Promise that was sent: for each slot the ballot of the vote,
// or the value if the acceptor knows that it is chosen.
type logPromise struct {
	sent   bool
	vote   [logSlots]uint8
	chosen [logSlots]uint8
}

type logLeader struct {
	phase uint8 // 0 nothing, 1 has sent Prepare, 2 leads
	from  uint8 // the first slot that its Prepare asks for
	next  uint8 // the next slot to propose in
}

// Ballots count from 1: [b-1].
type logState struct {
	promised  [3]uint8
	vote      [3][logSlots]uint8 // the ballot; its value is the proposal's
	chosen    [3][logSlots]uint8 // what each replica takes as chosen
	leaders   [logBallots]logLeader
	promises  [logBallots][3]logPromise
	proposals [logBallots][logSlots]uint8 // Accept messages
	accepted  [logBallots][logSlots]uint8 // Accepted messages: a bit for each replica
	announced [logBallots]uint8           // Chosen messages: a bit for each watermark
}

const (
	omitsApplied    mutant = "M1: Promise leaves out slots that are applied"
	ignoresOwnMark  mutant = "M2: next slot from reported votes only"
	ignoresBallot   mutant = "M3: Chosen taken without comparing ballots"
	skipsHoles      mutant = "M4: holes are skipped"
	announcesPulled mutant = "Chosen speaks of a slot that the leader has not counted"
)

type logModel struct {
	mutant      mutant
	fromNothing bool
}

// Initial has ballot 1 lead. Its phase 1 finds nothing in any case, and a leader
// that comes late is a slow one.
func (m logModel) Initial(yield func(logState)) {
	if m.fromNothing {
		yield(logState{})
		return
	}
	yield(logState{promised: [3]uint8{1, 1, 1}, leaders: [logBallots]logLeader{{phase: 2}}})
}

func (m logModel) Next(s logState, yield func(explore.Label, logState)) {
	for b := range logBallots {
		m.prepare(s, b, yield)
		m.lead(s, b, yield)
		m.propose(s, b, yield)
		m.announce(s, b, yield)
		for r := range 3 {
			m.promise(s, b, r, yield)
			m.vote(s, b, r, yield)
			m.onChosen(s, b, r, yield)
		}
	}
	for r := range 3 {
		m.pull(s, r, yield)
	}
}

func (m logModel) prepare(s logState, b int, yield func(explore.Label, logState)) {
	if s.leaders[b].phase != 0 {
		return
	}
	from := watermark(s.chosen[b])
	s.leaders[b] = logLeader{phase: 1, from: from}
	yield(explore.Step("replica %d sends Prepare(%d, from %d)", b, b+1, int(from)), s)
}

func (m logModel) promise(s logState, b, r int, yield func(explore.Label, logState)) {
	if s.leaders[b].phase == 0 || int(s.promised[r]) > b {
		return
	}
	s.promised[r] = uint8(b + 1)
	p := logPromise{sent: true}
	for slot := int(s.leaders[b].from); slot < logSlots; slot++ {
		if m.mutant == omitsApplied && slot < int(watermark(s.chosen[r])) {
			continue
		}
		p.chosen[slot] = s.chosen[r][slot]
		if p.chosen[slot] == 0 {
			p.vote[slot] = s.vote[r][slot]
		}
	}
	s.promises[b][r] = p
	yield(explore.Step("replica %d promises %d", r, b+1), s)
}

// lead counts the Promises of two replicas, and proposes what they force.
func (m logModel) lead(s logState, b int, yield func(explore.Label, logState)) {
	if s.leaders[b].phase != 1 {
		return
	}
	for without := range 3 {
		p, q := s.promises[b][(without+1)%3], s.promises[b][(without+2)%3]
		if p.sent && q.sent {
			yield(explore.Step("%d leads by the Promises of %d and %d", b+1, (without+1)%3, (without+2)%3), m.takeOver(s, b, p, q))
		}
	}
}

func (m logModel) takeOver(s logState, b int, p, q logPromise) logState {
	l := &s.leaders[b]
	l.phase = 2
	if m.mutant != ignoresOwnMark {
		l.next = max(l.from, watermark(s.chosen[b]))
	}
	for slot := range uint8(logSlots) {
		if p.chosen[slot]|q.chosen[slot]|p.vote[slot]|q.vote[slot] != 0 {
			l.next = max(l.next, slot+1)
		}
	}
	for slot := l.from; slot < l.next; slot++ {
		vote := max(p.vote[slot], q.vote[slot])
		switch chosen := max(p.chosen[slot], q.chosen[slot]); {
		case s.chosen[b][slot] != 0:
		case chosen != 0:
			s.chosen[b][slot] = chosen
		case vote != 0:
			s.proposals[b][slot] = s.proposals[vote-1][slot]
		case m.mutant != skipsHoles:
			s.proposals[b][slot] = noOp
		}
	}
	return s
}

func (m logModel) propose(s logState, b int, yield func(explore.Label, logState)) {
	l := &s.leaders[b]
	if l.phase != 2 || l.next == logSlots {
		return
	}
	slot := int(l.next)
	s.proposals[b][slot] = command(b+1, slot)
	l.next++
	yield(explore.Step("%d proposes a command in slot %d", b+1, slot), s)
}

func (m logModel) vote(s logState, b, r int, yield func(explore.Label, logState)) {
	if int(s.promised[r]) > b+1 {
		return
	}
	for slot := range logSlots {
		if s.proposals[b][slot] == 0 || s.accepted[b][slot]>>r&1 == 1 {
			continue
		}
		next := s
		next.promised[r] = uint8(b + 1)
		next.vote[r][slot] = uint8(b + 1)
		next.accepted[b][slot] |= 1 << r
		yield(explore.Step("replica %d votes at %d in slot %d", r, b+1, slot), next)
	}
}

// announce is the leader's count of votes, and its short Chosen.
func (m logModel) announce(s logState, b int, yield func(explore.Label, logState)) {
	for slot := range logSlots {
		if s.chosen[b][slot] == 0 && bits.OnesCount8(s.accepted[b][slot]) >= 2 {
			next := s
			next.chosen[b][slot] = s.proposals[b][slot]
			yield(explore.Step("replica %d counts a quorum at %d in slot %d", b, b+1, slot), next)
		}
	}
	mark := m.mayAnnounce(s, b)
	if s.leaders[b].phase == 2 && mark > firstProposed(s.proposals[b]) && s.announced[b]>>mark&1 == 0 {
		s.announced[b] |= 1 << mark
		yield(explore.Step("replica %d sends Chosen(%d, up to %d)", b, b+1, mark), s)
	}
}

// mayAnnounce is the watermark of a leader's Chosen. Behind the first slot that
// the leader has proposed in, it ends before one that the leader knows to be
// chosen from anybody else: at its own ballot it has proposed or may yet propose
// something else there, for which others may have voted.
func (m logModel) mayAnnounce(s logState, b int) int {
	mark := watermark(s.chosen[b])
	if m.mutant == announcesPulled {
		return int(mark)
	}
	for slot := firstProposed(s.proposals[b]); slot < int(mark); slot++ {
		foundAtTakeover := s.proposals[b][slot] == 0 && slot < int(s.leaders[b].next)
		if counted := bits.OnesCount8(s.accepted[b][slot]) >= 2; !counted && !foundAtTakeover {
			return slot
		}
	}
	return int(mark)
}

func (m logModel) onChosen(s logState, b, r int, yield func(explore.Label, logState)) {
	for mark := 1; mark <= logSlots; mark++ {
		next := s
		for slot := firstProposed(s.proposals[b]); slot < mark && s.announced[b]>>mark&1 == 1; slot++ {
			vote := s.vote[r][slot]
			if s.chosen[r][slot] == 0 && vote != 0 && (int(vote) == b+1 || m.mutant == ignoresBallot) {
				next.chosen[r][slot] = s.proposals[vote-1][slot]
			}
		}
		if next != s {
			yield(explore.Step("replica %d takes Chosen(%d, up to %d)", r, b+1, mark), next)
		}
	}
}

// pull takes the next chosen entry from any replica that has it.
func (m logModel) pull(s logState, r int, yield func(explore.Label, logState)) {
	slot := int(watermark(s.chosen[r]))
	if slot == logSlots {
		return
	}
	if chosen := max(s.chosen[0][slot], s.chosen[1][slot], s.chosen[2][slot]); chosen != 0 {
		s.chosen[r][slot] = chosen
		yield(explore.Step("replica %d pulls slot %d", r, slot), s)
	}
}

func (logModel) Key(s logState, key []byte) []byte {
	for r := range 3 {
		key = append(key, s.promised[r])
		for slot := range logSlots {
			key = append(key, s.vote[r][slot]|s.chosen[r][slot]<<4)
		}
	}
	for b := range logBallots {
		l := s.leaders[b]
		key = append(key, l.phase|l.from<<2|l.next<<4, s.announced[b])
		for slot := range logSlots {
			key = append(key, s.proposals[b][slot]|s.accepted[b][slot]<<4)
		}
		for _, p := range s.promises[b] {
			if !p.sent {
				key = append(key, 0xff)
				continue
			}
			for slot := range logSlots {
				key = append(key, p.vote[slot]|p.chosen[slot]<<4)
			}
		}
	}
	return key
}

// Check holds invariants 1 and 6 of section 8: one value a slot has the votes of
// a quorum at one ballot, and whatever a replica takes as chosen is that value.
func (logModel) Check(s logState) error {
	for slot := range logSlots {
		chosen, err := chosenByVotes(s, slot)
		if err != nil {
			return err
		}
		for r := range 3 {
			if taken := s.chosen[r][slot]; taken != 0 && taken != chosen {
				return fmt.Errorf("replica %d takes value %d as chosen in slot %d, where %d is", r, taken, slot, chosen)
			}
		}
	}
	return nil
}

// chosenByVotes is the value that is chosen in truth, 0 if there is none.
func chosenByVotes(s logState, slot int) (chosen uint8, err error) {
	for b := range logBallots {
		if bits.OnesCount8(s.accepted[b][slot]) < 2 {
			continue
		}
		value := s.proposals[b][slot]
		if chosen != 0 && chosen != value {
			return 0, fmt.Errorf("two values chosen in slot %d: %d and %d", slot, chosen, value)
		}
		chosen = value
	}
	return chosen, nil
}

// everythingIsApplied says that where nothing more can happen, a chosen slot is
// applied on every replica: no slot before it has remained open.
func everythingIsApplied(s logState) error {
	for slot := range logSlots {
		chosen, _ := chosenByVotes(s, slot)
		for r := range 3 {
			if mark := watermark(s.chosen[r]); chosen != 0 && int(mark) <= slot {
				return fmt.Errorf("slot %d is chosen, and replica %d stays at %d", slot, r, mark)
			}
		}
	}
	return nil
}

// watermark is how many slots from the first on are chosen without a gap.
func watermark(chosen [logSlots]uint8) (mark uint8) {
	for int(mark) < logSlots && chosen[mark] != 0 {
		mark++
	}
	return mark
}

func firstProposed(proposals [logSlots]uint8) (slot int) {
	for slot < logSlots && proposals[slot] == 0 {
		slot++
	}
	return slot
}

var logConfig = explore.Config[logState]{
	Terminal: everythingIsApplied,
	Sometimes: map[string]func(logState) bool{
		"a command of each ballot is applied": func(s logState) bool {
			return s.chosen[2] == [logSlots]uint8{command(1, 0), command(2, 1)}
		},
		"a hole is filled with a no-op and applied": func(s logState) bool {
			return s.chosen[2] == [logSlots]uint8{noOp, command(1, 1)}
		},
		"a re-proposed command is chosen at ballot 2": func(s logState) bool {
			return bits.OnesCount8(s.accepted[1][0]) >= 2 && s.proposals[1][0] == command(1, 0)
		},
	},
}

func TestALogOfTwoSlotsIsSafe(t *testing.T) {
	holds(t, logModel{fromNothing: *large}, logConfig)
}

func TestALogWithoutOneOfItsRulesIsNot(t *testing.T) {
	for broken, want := range map[mutant]string{
		omitsApplied:    "two values chosen",
		ignoresOwnMark:  "two values chosen",
		ignoresBallot:   "takes value",
		skipsHoles:      "stays at",
		announcesPulled: "takes value",
	} {
		t.Run(string(broken), func(t *testing.T) {
			fails(t, logModel{mutant: broken}, logConfig, want)
		})
	}
}
