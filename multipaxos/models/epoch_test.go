package models

import (
	"fmt"
	"math/bits"

	"github.com/synod-go/synod/internal/explore"
)

// Sealed epochs: two slots, four replicas. Replicas 0, 1 and 2 are the voters of
// epoch 1, which any of its leaders may end by a SEAL; replica 3 is new in epoch
// 2, in the place of 1 or of 0. Slot 1 is fought over by leaders of epoch 1 that
// know of no SEAL and by leaders of epoch 2.
//
// The network is the set of all messages ever sent. Chosen messages and pulls are
// not modelled: a replica learns the next slot whenever a quorum of its epoch has
// voted. A leader is adversarial: it goes on in its epoch, whatever its replica
// has learned meanwhile.
const (
	epochReplicas   = 4
	epochMaxBallots = 5
)

// An epochValue is the ballot that it was first proposed at, times 4, plus what
// it is.
type epochValue = uint8

const (
	epochNoOp = 1 // of whatever ballot
	isCommand = 2
	isSeal    = 3
)

func proposedAt(v epochValue) int     { return int(v >> 2) }
func seals(v epochValue) bool         { return v&3 == isSeal }
func valueOf(b int, kind uint8) uint8 { return uint8(b)<<2 | kind }

// voters are the configurations, a bit for each replica: that of epoch 1, and
// those that a SEAL of an odd or an even ballot begins.
const (
	firstVoters    = 0b0111
	votersWithout1 = 0b1101 // by a SEAL of an odd ballot
	votersWithout0 = 0b1110 // by a SEAL of an even ballot
)

type epochPromise struct {
	sent   bool
	vote   [2]uint8      // ballots
	chosen [2]epochValue // what the acceptor has learned
}

type epochLeader struct {
	phase  uint8 // 0 nothing, 1 has sent Prepare, 2 leads
	from   uint8
	next   uint8
	sealed bool // it has proposed a SEAL, and proposes nothing behind it
	voters uint8
}

// Ballots count from 0 here; the model says to which epoch each belongs.
type epochState struct {
	promised  [epochReplicas]uint8 // one more than the ballot
	vote      [epochReplicas][2]uint8
	log       [epochReplicas][2]epochValue // what each replica has learned, in order
	lost      uint8                        // replicas that have lost their disk
	leaders   [epochMaxBallots]epochLeader
	promises  [epochMaxBallots][epochReplicas]epochPromise
	proposals [epochMaxBallots][2]epochValue
	accepted  [epochMaxBallots][2]uint8
	told      epochValue // a command that was acknowledged too early
}

const (
	promisesBlindly  mutant = "rule 6: an acceptor promises in an epoch whose prefix it has not learned"
	prefixVolatile   mutant = "rule 6: the promise is durable before the prefix is"
	reportsOldVotes  mutant = "votes of the sealed epoch are reported in the new one"
	takesSecondSeal  mutant = "rule 4: a learner takes what is chosen behind the SEAL"
	countsOldVoters  mutant = "a quorum of the old configuration counts in the new epoch"
	votesAfterLoss   mutant = "an acceptor that lost its disk votes under its old identity"
	acknowledgesHole mutant = "M5: a command is acknowledged although an earlier slot is open"
)

type epochModel struct {
	mutant mutant
	// first and second are how many ballots epoch 1 and epoch 2 have.
	first, second int
	// owners are the replicas that the ballots belong to.
	owners [epochMaxBallots]int
	// loss lets replica 0 lose its disk.
	loss bool
	// narrow begins where ballot 0 has proposed a SEAL in slot 0, and has the last
	// leader of epoch 1 propose nothing new.
	narrow bool
}

func (m epochModel) epoch(b int) int {
	if b < m.first {
		return 1
	}
	return 2
}

// configuration returns the epoch that begins behind log and its voters.
func configuration(log [2]epochValue) (epoch int, voters uint8) {
	for _, v := range log {
		switch {
		case seals(v) && proposedAt(v)%2 == 1:
			return 2, votersWithout1
		case seals(v):
			return 2, votersWithout0
		}
	}
	return 1, firstVoters
}

func learned(log [2]epochValue) int {
	switch {
	case log[0] == 0:
		return 0
	case log[1] == 0:
		return 1
	}
	return 2
}

func (m epochModel) quorum(b int, votes, voters uint8) bool {
	if m.mutant == countsOldVoters && m.epoch(b) == 2 && bits.OnesCount8(votes&firstVoters) >= 2 {
		return true
	}
	return bits.OnesCount8(votes&voters) >= 2
}

// Initial has ballot 0 lead epoch 1; see logModel.
func (m epochModel) Initial(yield func(epochState)) {
	s := epochState{promised: [epochReplicas]uint8{1, 1, 1}}
	s.leaders[0] = epochLeader{phase: 2, voters: firstVoters}
	if m.narrow {
		s.leaders[0].next, s.leaders[0].sealed = 1, true
		s.proposals[0][0] = valueOf(0, isSeal)
	}
	yield(s)
}

func (m epochModel) Next(s epochState, yield func(explore.Label, epochState)) {
	for b := range m.first + m.second {
		m.prepare(s, b, yield)
		m.lead(s, b, yield)
		m.propose(s, b, yield)
		m.acknowledge(s, b, yield)
		for r := range epochReplicas {
			m.promise(s, b, r, yield)
			m.vote(s, b, r, yield)
		}
	}
	for r := range epochReplicas {
		m.learn(s, r, yield)
		m.restart(s, r, yield)
	}
	m.lose(s, yield)
}

func (m epochModel) prepare(s epochState, b int, yield func(explore.Label, epochState)) {
	owner := m.owners[b]
	epoch, voters := configuration(s.log[owner])
	from := learned(s.log[owner])
	if s.leaders[b].phase != 0 || epoch != m.epoch(b) || from == 2 || voters>>owner&1 == 0 || !m.votes(s, owner) {
		return
	}
	s.leaders[b] = epochLeader{phase: 1, from: uint8(from), voters: voters}
	yield(explore.Step("replica %d sends Prepare(%d.%d, from %d)", owner, epoch, b, from), s)
}

// votes says whether the replica has a disk of its own.
func (m epochModel) votes(s epochState, r int) bool {
	return s.lost>>r&1 == 0 || m.mutant == votesAfterLoss
}

// takesPart says whether the acceptor is in the ballot's epoch, and a voter there.
func (m epochModel) takesPart(s epochState, b, r int) bool {
	epoch, voters := configuration(s.log[r])
	if m.mutant == promisesBlindly && epoch < m.epoch(b) {
		epoch, voters = m.epoch(b), s.leaders[b].voters
	}
	member := voters>>r&1 == 1 || m.mutant == countsOldVoters
	return epoch == m.epoch(b) && member && m.votes(s, r)
}

func (m epochModel) promise(s epochState, b, r int, yield func(explore.Label, epochState)) {
	if s.leaders[b].phase == 0 || int(s.promised[r]) > b || !m.takesPart(s, b, r) {
		return
	}
	s.promised[r] = uint8(b + 1)
	if s.leaders[b].phase == 1 { // a Promise that comes later changes nothing
		p := epochPromise{sent: true}
		for slot := s.leaders[b].from; slot < 2; slot++ {
			p.chosen[slot] = s.log[r][slot]
			if vote := int(s.vote[r][slot]); vote != 0 && p.chosen[slot] == 0 && m.reports(b, vote-1) {
				p.vote[slot] = uint8(vote)
			}
		}
		s.promises[b][r] = p
	}
	yield(explore.Step("replica %d promises %d.%d", r, m.epoch(b), b), s)
}

func (m epochModel) reports(b, vote int) bool {
	return m.epoch(vote) == m.epoch(b) || m.mutant == reportsOldVotes
}

func (m epochModel) lead(s epochState, b int, yield func(explore.Label, epochState)) {
	if s.leaders[b].phase != 1 {
		return
	}
	for r := range epochReplicas {
		for q := range r {
			both := uint8(1)<<r | uint8(1)<<q
			if s.promises[b][r].sent && s.promises[b][q].sent && m.quorum(b, both, s.leaders[b].voters) {
				next := m.takeOver(s, b, s.promises[b][r], s.promises[b][q])
				yield(explore.Step("%d.%d leads by the Promises of %d and %d", m.epoch(b), b, q, r), next)
			}
		}
	}
}

// takeOver proposes what the two Promises force: what is chosen stays, holes are
// no-ops, and nothing follows a SEAL.
func (m epochModel) takeOver(s epochState, b int, p, q epochPromise) epochState {
	l := &s.leaders[b]
	l.phase, l.next = 2, l.from
	last := l.from
	for slot := l.from; slot < 2; slot++ {
		if p.chosen[slot]|q.chosen[slot]|p.vote[slot]|q.vote[slot] != 0 {
			last = slot + 1
		}
	}
	for ; l.next < last && !l.sealed; l.next++ {
		slot := l.next
		chosen, vote := max(p.chosen[slot], q.chosen[slot]), max(p.vote[slot], q.vote[slot])
		switch {
		case chosen != 0:
			l.sealed = l.sealed || seals(chosen)
			continue
		case vote != 0:
			s.proposals[b][slot] = s.proposals[vote-1][slot]
		default:
			s.proposals[b][slot] = epochNoOp
		}
		l.sealed = l.sealed || seals(s.proposals[b][slot])
	}
	s.promises[b] = [epochReplicas]epochPromise{}
	return s
}

func (m epochModel) propose(s epochState, b int, yield func(explore.Label, epochState)) {
	l := s.leaders[b]
	if l.phase != 2 || l.next == 2 || l.sealed || m.narrow && b == m.first-1 {
		return
	}
	slot := int(l.next)
	s.leaders[b].next++
	s.proposals[b][slot] = valueOf(b, isCommand)
	yield(explore.Step("%d.%d proposes a command in slot %d", m.epoch(b), b, slot), s)
	if m.epoch(b) == 1 {
		s.leaders[b].sealed = true
		s.proposals[b][slot] = valueOf(b, isSeal)
		yield(explore.Step("%d.%d proposes a SEAL in slot %d", m.epoch(b), b, slot), s)
	}
}

func (m epochModel) vote(s epochState, b, r int, yield func(explore.Label, epochState)) {
	if int(s.promised[r]) > b+1 || !m.takesPart(s, b, r) {
		return
	}
	for slot := range 2 {
		if s.proposals[b][slot] == 0 || s.accepted[b][slot]>>r&1 == 1 {
			continue
		}
		next := s
		next.promised[r] = uint8(b + 1)
		next.vote[r][slot] = uint8(b + 1)
		next.accepted[b][slot] |= 1 << r
		yield(explore.Step("replica %d votes at %d.%d in slot %d", r, m.epoch(b), b, slot), next)
	}
}

// learn takes the next slot of a replica's log from a quorum of the epoch that
// the log up to there has begun.
func (m epochModel) learn(s epochState, r int, yield func(explore.Label, epochState)) {
	slot := learned(s.log[r])
	if slot == 2 || s.lost>>r&1 == 1 && m.mutant != votesAfterLoss {
		return
	}
	epoch, voters := configuration(s.log[r])
	for b := range m.first + m.second {
		counts := m.epoch(b) == epoch && m.quorum(b, s.accepted[b][slot], voters)
		if m.mutant == takesSecondSeal {
			counts = counts || m.epoch(b) < epoch && m.quorum(b, s.accepted[b][slot], firstVoters)
		}
		if counts {
			next := s
			next.log[r][slot] = s.proposals[b][slot]
			yield(explore.Step("replica %d learns slot %d, chosen at %d.%d", r, slot, m.epoch(b), b), next)
		}
	}
}

// restart loses what a replica has learned, but for the prefix that it wrote
// before it promised or voted in epoch 2. Votes and promises are durable.
func (m epochModel) restart(s epochState, r int, yield func(explore.Label, epochState)) {
	if m.mutant != prefixVolatile || s.log[r][0] == 0 {
		return
	}
	s.log[r] = [2]epochValue{}
	yield(explore.Step("replica %d restarts without what it had learned", r), s)
}

// lose takes everything from replica 0. What it has sent is still on its way.
func (m epochModel) lose(s epochState, yield func(explore.Label, epochState)) {
	if !m.loss || s.lost != 0 {
		return
	}
	s.lost = 1
	s.promised[0], s.vote[0], s.log[0] = 0, [2]uint8{}, [2]epochValue{}
	yield(explore.Step("replica %d loses its disk", 0), s)
}

// acknowledge tells a client of a command that is chosen in slot 1, although
// slot 0 may be open.
func (m epochModel) acknowledge(s epochState, b int, yield func(explore.Label, epochState)) {
	if m.mutant == acknowledgesHole && s.told == 0 && m.epoch(b) == 1 && m.quorum(b, s.accepted[b][1], firstVoters) {
		s.told = s.proposals[b][1]
		yield(explore.Step("%d.%d acknowledges slot %d", 1, b, 1), s)
	}
}

func (m epochModel) Key(s epochState, key []byte) []byte {
	for r := range epochReplicas {
		key = append(key, s.promised[r]<<4|s.vote[r][0], s.vote[r][1], s.log[r][0], s.log[r][1])
	}
	key = append(key, s.lost, s.told)
	for b := range m.first + m.second {
		l := s.leaders[b]
		key = append(key, l.phase|l.from<<2|l.next<<4, l.voters)
		if l.sealed {
			key[len(key)-1] |= 0x80
		}
		key = append(key, s.proposals[b][0], s.proposals[b][1], s.accepted[b][0]|s.accepted[b][1]<<4)
		for _, p := range s.promises[b] {
			if p.sent {
				key = append(key, 1|p.vote[0]<<1, p.vote[1], p.chosen[0], p.chosen[1])
			} else {
				key = append(key, 0)
			}
		}
	}
	return key
}

// Check holds invariants 1, 7 and 10 of section 8 for epochs, and rule 6.
func (m epochModel) Check(s epochState) error {
	for r := range epochReplicas {
		for q := range r {
			for slot := range 2 {
				if a, b := s.log[r][slot], s.log[q][slot]; a != 0 && b != 0 && a != b {
					return fmt.Errorf("replicas %d and %d differ in slot %d: %d and %d", q, r, slot, b, a)
				}
			}
		}
		if v := s.log[r][1]; seals(s.log[r][0]) && m.epoch(proposedAt(v)) == 1 && v != 0 {
			return fmt.Errorf("replica %d applies in epoch 2 what was proposed in epoch 1", r)
		}
		if s.told != 0 && seals(s.log[r][0]) {
			return fmt.Errorf("a command is acknowledged in slot 1, and for replica %d it is void", r)
		}
	}
	if err := m.oneValue(s); err != nil {
		return err
	}
	return m.prefixIsSafe(s)
}

// oneValue says that no two values have a quorum in one slot of one epoch, even
// if nobody has learned them.
func (m epochModel) oneValue(s epochState) error {
	for epoch := 1; epoch <= 2; epoch++ {
		for slot := range 2 {
			var chosen epochValue
			for b := range m.first + m.second {
				if m.epoch(b) != epoch || !m.quorum(b, s.accepted[b][slot], s.leaders[b].voters) {
					continue
				}
				if v := s.proposals[b][slot]; chosen != 0 && chosen != v {
					return fmt.Errorf("two values chosen in slot %d of epoch %d: %d and %d", slot, epoch, chosen, v)
				}
				chosen = s.proposals[b][slot]
			}
		}
	}
	return nil
}

// prefixIsSafe says that once something is chosen in epoch 2, so that the voters
// of epoch 1 may go, a quorum of its voters has the log through the SEAL, less
// those that have lost their disk since.
func (m epochModel) prefixIsSafe(s epochState) error {
	for b := m.first; b < m.first+m.second; b++ {
		voters := s.leaders[b].voters
		if !m.quorum(b, s.accepted[b][1], voters) {
			continue
		}
		holders := bits.OnesCount8(s.lost & voters)
		for r := range epochReplicas {
			if voters>>r&1 == 1 && seals(s.log[r][0]) {
				holders++
			}
		}
		if holders < 2 {
			return fmt.Errorf("epoch 2 has chosen, and %d of its voters have the log of epoch 1", holders)
		}
	}
	return nil
}
