package paxos

import (
	"bytes"

	"github.com/synod-go/synod/internal/explore"
)

// The model of one decree that the exhaustive check explores. It drives the real
// cores: a step of the model is a call of Step, Tick, Propose or GiveUp on a copy
// of a core, and what the core says is believed. Cores are pure, so that the
// same state and the same input give the same Output: the model calls a core once
// for each pair and remembers what came of it (cores_test.go).
//
// The network is the set of all messages ever sent: any of them may be delivered
// at any time, again and again, or never. Two reductions leave out states in which
// nothing that matters can happen, and no behaviour:
//
//   - A step of an acceptor that does not change it (a Nack, an answer repeated) is
//     taken as soon as it is possible. It only adds a message, which need not
//     be delivered.
//   - A step of a proposer that sends nothing is taken only right before one that
//     does. Nobody sees the difference, and no message vanishes meanwhile.

// maxContents bounds the distinct messages of a world, not counting to or from
// which acceptor.
const maxContents = 96

// maxSites bounds acceptors.
const maxSites = 4

// loss says how an acceptor whose disk is lost comes back.
type loss uint8

const (
	noLoss        loss = iota
	rejoinEmpty        // under its old ID, once all others say that they have not voted (B18)
	rejoinPromise      // the same, with the highest promise of the others (B19)
	rejoinAnew         // under an ID that no quorum knows
)

// site is one proposer of a world: who it is, whom it counts, and what it proposes
// in its first life and in the one after a crash.
type site struct {
	id       ID
	quorums  Quorums
	maxRound uint64
	values   [2]Value
}

// world is the fixed part of a model.
type world struct {
	acceptors int
	proposers []site
	crashes   int
	loss      loss
	// symmetric counts states that differ only in the names of the first three
	// acceptors once.
	symmetric bool
	// deliverChosen lets acceptors be told the chosen value.
	deliverChosen bool
	// giveUp lets callers give up, at any time.
	giveUp bool
	// agreementOnly checks what a caller sees, and not why it holds.
	agreementOnly bool

	cores
	votesSeen map[string]error
}

// state is one state of a model. A bit of messages[c] says that the message with
// content c was sent to or from that acceptor.
type state struct {
	acceptors [maxSites]uint16
	proposers [2]uint16
	messages  [maxContents]uint8
	crashes   uint8
}

func newWorld(w world) *world {
	w.cores = newCores()
	w.votesSeen = map[string]error{}
	return &w
}

// Initial is that everybody has proposed: Prepare need not be delivered, so that
// nothing is lost by sending it early.
func (w *world) Initial(yield func(state)) {
	var s state
	for a := range s.acceptors {
		alive := a < w.acceptors
		s.acceptors[a] = w.newAcceptor(AcceptorState{}, alive)
	}
	for p := range w.proposers {
		var out Output
		s.proposers[p], out = w.newProposer(p, 0, 0)
		w.send(&s, p, out)
	}
	w.settle(&s)
	yield(s)
}

func (w *world) Next(s state, yield func(explore.Label, state)) {
	for a := range w.sites() {
		w.stepAcceptor(s, a, yield)
	}
	for p := range w.proposers {
		w.stepProposer(s, p, yield)
	}
	if int(s.crashes) == w.crashes {
		return
	}
	for a := range w.sites() {
		w.crashAcceptor(s, a, yield)
	}
	for p := range w.proposers {
		w.crashProposer(s, p, yield)
	}
}

// sites is how many acceptors there are, with the one that comes after a loss.
func (w *world) sites() int {
	if w.loss == rejoinAnew {
		return w.acceptors + 1
	}
	return w.acceptors
}

// arrived reports whether content c can be delivered to, or came from, acceptor a.
// One that comes back under a new ID takes what was sent to the old one.
func (w *world) arrived(s *state, c int, a int) bool {
	if a == w.acceptors {
		return s.messages[c] != 0
	}
	return s.messages[c]&(1<<a) != 0
}

func (w *world) stepAcceptor(s state, a int, yield func(explore.Label, state)) {
	for c := range w.contents {
		if w.contents[c].reply || !w.arrived(&s, c, a) {
			continue
		}
		to, said := w.acceptorStep(s.acceptors[a], c)
		if to == s.acceptors[a] {
			continue // settled
		}
		next := s
		next.acceptors[a] = to
		for _, m := range said {
			next.messages[m] |= 1 << a
		}
		w.settleAcceptor(&next, a)
		yield(explore.Step("acceptor %d: "+w.contents[c].text, a), next)
	}
}

// settle takes every step of acceptors that only adds messages.
func (w *world) settle(s *state) {
	for a := range w.sites() {
		w.settleAcceptor(s, a)
	}
}

func (w *world) settleAcceptor(s *state, a int) {
	for c := range w.contents {
		if w.contents[c].reply || !w.arrived(s, c, a) {
			continue
		}
		if to, said := w.acceptorStep(s.acceptors[a], c); to == s.acceptors[a] {
			for _, m := range said {
				s.messages[m] |= 1 << a
			}
		}
	}
}

func (w *world) stepProposer(s state, p int, yield func(explore.Label, state)) {
	for _, m := range w.proposerMoves(s.proposers[p], p, &s) {
		next := s
		next.proposers[p] = m.to
		for i, c := range m.said {
			next.messages[c] |= m.whom[i]
		}
		if next == s {
			continue
		}
		w.settle(&next)
		yield(explore.Step(m.label), next)
	}
}

func (w *world) crashAcceptor(s state, a int, yield func(explore.Label, state)) {
	restart := func(disk AcceptorState, label string) {
		next := s
		next.crashes++
		next.acceptors[a] = w.newAcceptor(disk, true)
		if next.acceptors[a] == s.acceptors[a] {
			return // a crash that changes nothing is one that does not happen
		}
		w.settleAcceptor(&next, a)
		yield(explore.Step(label, a), next)
	}
	if !w.acceptorAt(s.acceptors[a]).alive {
		return
	}
	if w.loss == noLoss {
		restart(w.acceptorAt(s.acceptors[a]).disk, "acceptor %d restarts")
		return
	}
	highest, voted := w.askOthers(&s, a)
	switch {
	case w.loss == rejoinAnew:
		next := s
		next.crashes++
		next.acceptors[a] = w.newAcceptor(AcceptorState{}, false)
		next.acceptors[w.acceptors] = w.newAcceptor(AcceptorState{}, true)
		w.settle(&next)
		yield(explore.Step("acceptor %d loses its disk and comes back under a new ID", a), next)
	case voted:
	case w.loss == rejoinEmpty:
		restart(AcceptorState{}, "acceptor %d loses its disk, hears that nobody has voted, and votes again")
	case w.loss == rejoinPromise:
		restart(AcceptorState{Promised: highest}, "acceptor %d loses its disk, takes over the highest promise, and votes again")
	}
}

// askOthers is what a quorum of the others knows.
func (w *world) askOthers(s *state, a int) (highest Ballot, voted bool) {
	for other := range w.acceptors {
		if other == a {
			continue
		}
		disk := w.acceptorAt(s.acceptors[other]).disk
		if highest.Less(disk.Promised) {
			highest = disk.Promised
		}
		voted = voted || !disk.Accepted.IsZero()
	}
	return highest, voted
}

func (w *world) crashProposer(s state, p int, yield func(explore.Label, state)) {
	if w.loss != noLoss {
		return
	}
	local := w.proposerAt(s.proposers[p])
	if local.life > 0 {
		return // a caller has two values to propose, not three
	}
	next := s
	next.crashes++
	var out Output
	next.proposers[p], out = w.newProposer(p, local.disk, 1)
	w.send(&next, p, out)
	w.settle(&next)
	yield(explore.Step("proposer %d restarts", p), next)
}

// send adds what a proposer says to the messages.
func (w *world) send(s *state, p int, out Output) {
	for _, e := range out.Send {
		s.messages[w.content(false, w.proposers[p].id, e.Message)] |= 1 << (e.To - 1)
	}
}

// Key is the state with, if the world is symmetric, its acceptors named so that
// the key is the least.
func (w *world) Key(s state, buffer []byte) []byte {
	buffer = w.key(&s, identity[:], buffer)
	if !w.symmetric {
		return buffer
	}
	size := len(buffer)
	for _, names := range permutations {
		buffer = w.key(&s, names[:], buffer)
		if bytes.Compare(buffer[size:], buffer[:size]) < 0 {
			copy(buffer, buffer[size:])
		}
		buffer = buffer[:size]
	}
	return buffer
}

var identity = [3]uint8{0, 1, 2}

// permutations are the other ways to name the first three acceptors.
var permutations = [][3]uint8{{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}

func (w *world) key(s *state, names []uint8, buffer []byte) []byte {
	b := append(buffer, s.crashes)
	for a := range w.sites() {
		old := a
		if a < len(names) {
			old = int(names[a])
		}
		b = append(b, byte(s.acceptors[old]), byte(s.acceptors[old]>>8))
	}
	for p := range w.proposers {
		local := w.renamed(s.proposers[p], names)
		b = append(b, byte(local), byte(local>>8))
	}
	last := len(w.contents) - 1
	for last >= 0 && s.messages[last] == 0 {
		last--
	}
	for _, m := range s.messages[:last+1] {
		if m != 0 && m != 7 && w.symmetric {
			m = m>>names[0]&1 | m>>names[1]&1<<1 | m>>names[2]&1<<2 | m&^7
		}
		b = append(b, m)
	}
	return b
}
