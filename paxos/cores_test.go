package paxos

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// cores is what the model has found out about the cores: their states, the
// messages, and what comes of each pair. States and messages are numbered in the
// order in which they are met. Not for use by two goroutines.
type cores struct {
	acceptorLocals numbering[acceptorLocal]
	proposerLocals numbering[proposerLocal]
	learnerLocals  numbering[learnerLocal]
	contents       []content
	contentNumber  map[string]int

	acceptorSteps map[uint32]acceptorResult
	proposerSteps map[uint32]proposerResult
	learnerSteps  map[uint32]uint16
	moves         map[string][]move
	names         map[[5]byte]uint16
	// alarm is the first that a core has raised: honest nodes give no cause.
	alarm string
}

func newCores() cores {
	return cores{
		acceptorLocals: newNumbering[acceptorLocal](), proposerLocals: newNumbering[proposerLocal](),
		learnerLocals: newNumbering[learnerLocal](), contentNumber: map[string]int{},
		acceptorSteps: map[uint32]acceptorResult{}, proposerSteps: map[uint32]proposerResult{},
		learnerSteps: map[uint32]uint16{}, moves: map[string][]move{}, names: map[[5]byte]uint16{},
	}
}

// numbering numbers values by a key that tells them apart.
type numbering[T any] struct {
	list   []T
	number map[string]uint16
}

func newNumbering[T any]() numbering[T] { return numbering[T]{number: map[string]uint16{}} }

func (n *numbering[T]) of(key string, value T) uint16 {
	if i, ok := n.number[key]; ok {
		return i
	}
	if len(n.list) == 1<<16 {
		panic("too many states of one core")
	}
	i := uint16(len(n.list))
	n.list, n.number[key] = append(n.list, value), i
	return i
}

// content is a message without the acceptor that it goes to or comes from.
type content struct {
	reply   bool
	node    ID // the proposer that it comes from or goes to
	message Message
	text    string
}

func (c *cores) content(reply bool, node ID, m Message) int {
	text := fmt.Sprintf("%s to %d", showMessage(m), node)
	if !reply {
		text = fmt.Sprintf("%s from %d", showMessage(m), node)
	}
	if number, ok := c.contentNumber[text]; ok {
		return number
	}
	if len(c.contents) == maxContents {
		panic("too many messages")
	}
	c.contentNumber[text] = len(c.contents)
	c.contents = append(c.contents, content{reply, node, m, text})
	return len(c.contents) - 1
}

// acceptorLocal is an acceptor and its disk. It does not say which: all are alike.
type acceptorLocal struct {
	core  Acceptor
	disk  AcceptorState
	alive bool
}

type acceptorResult struct {
	to   uint16
	said []int // replies
}

func (c *cores) newAcceptor(disk AcceptorState, alive bool) uint16 {
	core, err := NewAcceptor(AcceptorConfig{ID: 1}, disk)
	if err != nil {
		panic(err)
	}
	return c.numberAcceptor(acceptorLocal{*core, disk, alive})
}

func (c *cores) numberAcceptor(l acceptorLocal) uint16 {
	return c.acceptorLocals.of(fmt.Sprint(l.core.state, l.core.chosen, l.disk, l.alive), l)
}

func (c *cores) acceptorAt(number uint16) *acceptorLocal { return &c.acceptorLocals.list[number] }

// acceptorStep hands request number m to the acceptor.
func (c *cores) acceptorStep(number uint16, m int) (to uint16, said []int) {
	key := uint32(number)<<8 | uint32(m)
	if r, ok := c.acceptorSteps[key]; ok {
		return r.to, r.said
	}
	l, r := *c.acceptorAt(number), acceptorResult{to: number}
	if l.alive {
		out := l.core.Step(c.contents[m].node, c.contents[m].message)
		c.raise(out)
		if out.Save != nil {
			l.disk = *out.Save
		}
		r.to = c.numberAcceptor(l)
		for _, e := range out.Send {
			r.said = append(r.said, c.content(true, e.To, e.Message))
		}
	}
	c.acceptorSteps[key] = r
	return r.to, r.said
}

func (c *cores) raise(out Output) {
	if len(out.Alarms) > 0 && c.alarm == "" {
		c.alarm = fmt.Sprintf("%v, %v", out.Alarms[0].Kind, out.Alarms[0].Ballot)
	}
}

// proposerLocal is a proposer, its disk and what its caller was told.
type proposerLocal struct {
	core   Proposer
	disk   uint64
	life   int
	value  Value // what its caller wants
	result *Result
}

func (c *cores) proposerAt(number uint16) *proposerLocal { return &c.proposerLocals.list[number] }

// numberProposer leaves out times, and in phases between two attempts what the
// next attempt clears.
func (c *cores) numberProposer(l proposerLocal) uint16 {
	p := &l.core
	key := fmt.Sprint(p.cfg.ID, l.disk, l.life, l.value, p.phase, p.call, p.sent, max(p.used, p.seen), p.reserved, p.chosen)
	if p.phase == preparing || p.phase == accepting {
		key += fmt.Sprint(p.ballot, p.answered, p.refused, p.found, p.value)
	}
	if l.result != nil {
		key += fmt.Sprint(*l.result)
	}
	return c.proposerLocals.of(key, l)
}

// newProposer starts a proposer with the round that its disk holds, and proposes,
// unless the world has no more rounds for it.
func (w *world) newProposer(p int, disk uint64, life int) (uint16, Output) {
	at := w.proposers[p]
	cfg := ProposerConfig{ID: at.id, Quorums: at.quorums, Round: disk, ReserveRounds: 1}
	core, err := NewProposer(cfg)
	if err != nil {
		panic(err)
	}
	l := proposerLocal{core: *core, disk: disk, life: life}
	out, err := core.Propose(0, at.values[life])
	if err != nil {
		panic(err)
	}
	if core.ballot.Round > at.maxRound {
		return w.numberProposer(l), Output{}
	}
	l.core, l.value = *core, at.values[life]
	if out.SaveRound > 0 {
		l.disk = out.SaveRound
	}
	return w.numberProposer(l), out
}

// proposerResult is what comes of one call of a proposer.
type proposerResult struct {
	to     uint16
	out    Output
	beyond bool // the world has no round for it
}

const (
	tick   = maxContents     // an input beside the messages
	giveUp = maxContents + 1 // another
)

// proposerStep gives the proposer an input: message number m of acceptor a, a
// tick at its deadline, or the caller's giving up.
func (w *world) proposerStep(number uint16, p, m, a int) proposerResult {
	key := uint32(number)<<16 | uint32(m)<<8 | uint32(a)
	if r, ok := w.proposerSteps[key]; ok {
		return r
	}
	l, r := *w.proposerAt(number), proposerResult{}
	switch m {
	case tick:
		r.out = l.core.Tick(l.core.Deadline())
	case giveUp:
		r.out = l.core.GiveUp(0)
	default:
		r.out = l.core.Step(0, ID(a+1), w.contents[m].message)
	}
	w.raise(r.out)
	if r.out.SaveRound > 0 {
		l.disk = r.out.SaveRound
	}
	if r.out.Result != nil {
		l.result = r.out.Result
	}
	r.beyond = l.core.ballot.Round > w.proposers[p].maxRound
	r.to = w.numberProposer(l)
	w.proposerSteps[key] = r
	return r
}

// move is a way of a proposer from one thing that others see to the next.
type move struct {
	to    uint16
	said  []int
	whom  []uint8 // for each of said, the acceptors it goes to
	label string
}

// proposerMoves returns all moves with the messages that are there now.
func (w *world) proposerMoves(number uint16, p int, s *state) []move {
	key := binary.LittleEndian.AppendUint16(make([]byte, 0, 64), number)
	for m := range w.contents {
		if c := &w.contents[m]; c.reply && c.node == w.proposers[p].id && s.messages[m] != 0 {
			key = append(key, byte(m), s.messages[m])
		}
	}
	moves, ok := w.moves[string(key)]
	if !ok {
		moves = w.findMoves(number, p, s)
		w.moves[string(key)] = moves
	}
	return moves
}

// findMoves takes silent steps in every order, up to one that is not silent.
func (w *world) findMoves(number uint16, p int, s *state) (moves []move) {
	type way struct {
		at    uint16
		label string
	}
	known := map[uint16]bool{number: true}
	found := map[string]bool{}
	for open := []way{{number, fmt.Sprintf("proposer %d:", p)}}; len(open) > 0; open = open[1:] {
		w.inputs(open[0].at, p, s, func(m, a int, name string) {
			r := w.proposerStep(open[0].at, p, m, a)
			label := open[0].label + " " + name
			switch {
			case r.beyond:
			case len(r.out.Send) == 0 && r.out.Chosen == nil && r.out.Result == nil:
				if !known[r.to] {
					known[r.to] = true
					open = append(open, way{r.to, label})
				}
			default:
				mv := w.move(r, p, label)
				if key := fmt.Sprint(mv.to, mv.said, mv.whom); !found[key] {
					found[key] = true
					moves = append(moves, mv)
				}
			}
		})
	}
	return moves
}

// inputs yields what can happen to a proposer now.
func (w *world) inputs(number uint16, p int, s *state, yield func(m, a int, name string)) {
	for m := range w.contents {
		c := w.contents[m]
		if !c.reply || c.node != w.proposers[p].id {
			continue
		}
		for from := s.messages[m]; from != 0; from &= from - 1 {
			a := bits.TrailingZeros8(from)
			yield(m, a, fmt.Sprintf("%s of acceptor %d;", c.text, a))
		}
	}
	if w.proposerAt(number).core.Deadline() != never {
		yield(tick, 0, "tick;")
	}
	if w.giveUp && w.proposerAt(number).core.call != noCall {
		yield(giveUp, 0, "the caller gives up;")
	}
}

func (w *world) move(r proposerResult, p int, label string) move {
	mv := move{to: r.to, label: label}
	for _, e := range r.out.Send {
		if _, isChosen := e.Message.(Chosen); isChosen && !w.deliverChosen {
			continue
		}
		mv.said = append(mv.said, w.content(false, w.proposers[p].id, e.Message))
		mv.whom = append(mv.whom, 1<<(e.To-1))
	}
	return mv
}

// renamed returns the proposer with the acceptors named anew: the new name i is
// the old names[i].
func (w *world) renamed(number uint16, names []uint8) uint16 {
	if !w.symmetric {
		return number
	}
	key := [5]byte{byte(number), byte(number >> 8), names[0], names[1], names[2]}
	to, ok := w.names[key]
	if !ok {
		l := *w.proposerAt(number)
		l.core.answered, l.core.refused = l.core.answered.renamed(names), l.core.refused.renamed(names)
		to = w.numberProposer(l)
		w.names[key] = to
	}
	return to
}

func (s set) renamed(names []uint8) (renamed set) {
	for i, old := range names {
		renamed |= s >> old & 1 << i
	}
	return renamed | s&^7
}

// learnerLocal is a learner that every acceptor tells.
type learnerLocal struct{ core Learner }

func (c *cores) numberLearner(l learnerLocal) uint16 {
	return c.learnerLocals.of(fmt.Sprint(l.core.votes, l.core.chosen), l)
}

func (c *cores) learnerStep(number uint16, m, a int) uint16 {
	key := uint32(number)<<16 | uint32(m)<<8 | uint32(a)
	to, ok := c.learnerSteps[key]
	if !ok {
		l := c.learnerLocals.list[number]
		l.core.votes = append([]Vote(nil), l.core.votes...)
		l.core.Step(ID(a+1), c.contents[m].message)
		to = c.numberLearner(l)
		c.learnerSteps[key] = to
	}
	return to
}
