package paxos

import (
	"testing"
	"time"

	"github.com/synod-go/synod/internal/explore"
)

func mustMajority(acceptors ...ID) Quorums {
	q, err := Majority(acceptors...)
	if err != nil {
		panic(err)
	}
	return q
}

// standard is three acceptors and two proposers that want different values. With
// two ballots each proposer has one; the third belongs to the first proposer
// again: 1.1 < 1.2 < 2.1.
func standard(ballots int) world {
	q := mustMajority(1, 2, 3)
	x, y := Value("x"), Value("y")
	return world{acceptors: 3, proposers: []site{
		{id: 1, quorums: q, maxRound: uint64(ballots - 1), values: [2]Value{x, y}},
		{id: 2, quorums: q, maxRound: 1, values: [2]Value{y, x}},
	}}
}

func (w *world) chosenIs(value string) func(state) bool {
	return func(s state) bool {
		return w.anyChosen(w.votes(&s), func(v Vote) bool { return string(v.Value) == value })
	}
}

func (w *world) told(p int, fate Fate) func(state) bool {
	return func(s state) bool {
		r := w.proposerAt(s.proposers[p]).result
		return r != nil && r.Fate == fate
	}
}

// explore visits all states of the world.
func (w *world) explore(t *testing.T, sometimes map[string]func(state) bool) explore.Result {
	t.Helper()
	began := time.Now()
	config := explore.Config[state]{Workers: 1, Sometimes: sometimes}
	if w.loss == noLoss {
		config.CheckStep = w.checkStep
	}
	r := explore.Run(w, config)
	t.Logf("%d states, %d transitions, depth %d, %v", r.States, r.Transitions, r.Depth, time.Since(began).Round(time.Millisecond))
	t.Logf("%d states of acceptors, %d of proposers, %d of learners, %d messages, %d sets of votes", len(w.acceptorLocals.list),
		len(w.proposerLocals.list), len(w.learnerLocals.list), len(w.contents), len(w.votesSeen))
	return r
}

// mustHold wants no rule broken in any state, and each of sometimes reached.
func (w *world) mustHold(t *testing.T, sometimes map[string]func(state) bool) explore.Result {
	t.Helper()
	r := w.explore(t, sometimes)
	if r.Violation != nil {
		t.Fatal(r.Violation)
	}
	if !r.Complete {
		t.Errorf("gave up after %d states", r.States)
	}
	for name := range sometimes {
		if _, ok := r.Reached[name]; !ok {
			t.Errorf("not reachable: %s", name)
		}
	}
	return r
}

// outcomes are what must be possible, or the rules would say little.
func (w *world) outcomes() map[string]func(state) bool {
	return map[string]func(state) bool{
		"x is chosen":                   w.chosenIs("x"),
		"y is chosen":                   w.chosenIs("y"),
		"a caller is told: chosen":      w.told(0, ChosenValue),
		"the other is told: chosen":     w.told(1, ChosenValue),
		"a caller is told: surely not":  w.told(0, SurelyNot),
		"the other is told: surely not": w.told(1, SurelyNot),
	}
}

// The smallest world, with everything in it: acceptors are told what is chosen, and
// callers give up.
func TestNoRuleIsBrokenWithTwoBallots(t *testing.T) {
	c := standard(2)
	c.symmetric, c.deliverChosen, c.giveUp, c.crashes = true, true, true, 1
	w := newWorld(c)
	outcomes := w.outcomes()
	outcomes["a caller is told: unknown"] = w.told(0, Unknown)
	w.mustHold(t, outcomes)
}

// Three ballots are the least in which every planted bug can show itself.
func TestNoRuleIsBrokenWithThreeBallots(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	c := standard(3)
	c.symmetric, c.crashes = true, 1
	w := newWorld(c)
	w.mustHold(t, w.outcomes())
}

// Only quorums of different phases need to meet (Flexible Paxos).
func TestNoRuleIsBrokenWithFlexibleQuorums(t *testing.T) {
	for _, sizes := range [][2]int{{3, 2}, {2, 3}, {4, 1}} {
		q, err := Flexible([]ID{1, 2, 3, 4}, sizes[0], sizes[1])
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(fourAcceptors(q, q))
		w.symmetric = true
		w.mustHold(t, map[string]func(state) bool{"x is chosen": w.chosenIs("x"), "y is chosen": w.chosenIs("y")})
	}
}

func fourAcceptors(first, second Quorums) world {
	c := standard(2)
	c.acceptors = 4
	c.proposers[0].quorums, c.proposers[1].quorums = first, second
	return c
}

// An acceptor that has lost its disk may come back, if it is nobody's old self
// (section 2.1 of the study: the other ways back are B18 and B19).
func TestNoRuleIsBrokenByALostDiskUnderANewID(t *testing.T) {
	c := standard(2)
	c.symmetric, c.crashes, c.loss = true, 1, rejoinAnew
	w := newWorld(c)
	outcomes := w.outcomes()
	delete(outcomes, "a caller is told: surely not") // nobody tells it the other value
	w.mustHold(t, outcomes)
}
