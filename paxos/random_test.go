package paxos

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// course is a random run of a network: messages take their time, some are lost or
// doubled, nodes crash and start again. After calm none of it happens any more.
type course struct {
	*network
	rand   *rand.Rand
	flight []arrival
	calm   Time
}

type arrival struct {
	at Time
	packet
}

const second = 1000 * millisecond

// launch gives what was sent its times of arrival.
func (c *course) launch() {
	for _, p := range c.queue {
		copies := 1
		if c.now < c.calm {
			copies = []int{0, 0, 1, 1, 1, 1, 1, 2}[c.rand.IntN(8)]
		}
		for range copies {
			c.flight = append(c.flight, arrival{c.now + 1 + Time(c.rand.Int64N(int64(12*millisecond))), p})
		}
	}
	c.queue = c.queue[:0]
	slices.SortStableFunc(c.flight, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
}

// step lets the next thing happen: a message arrives or a deadline comes.
func (c *course) step() {
	c.launch()
	if len(c.flight) > 0 && !c.tick(c.flight[0].at) {
		p := c.flight[0].packet
		c.flight = c.flight[1:]
		c.hand(p)
	} else if len(c.flight) == 0 {
		c.tick(c.now + second)
	}
	if c.now < c.calm && c.rand.IntN(60) == 0 {
		n := c.nodes[c.rand.IntN(len(c.nodes))]
		if n.crash(); c.rand.IntN(4) > 0 {
			c.restart(n)
		}
	}
}

// restart begins again from the disk; a caller proposes again what it wanted.
func (c *course) restart(n *node) {
	n.start()
	if n.proposer != nil {
		c.propose(n)
	}
}

func (c *course) propose(n *node) {
	out, err := n.proposer.Propose(c.now, Value{'a' + byte(n.id)})
	if err != nil {
		c.t.Fatal(err)
	}
	n.carryOut("proposer", out)
}

// settled reports whether everybody who waits knows the value, and what it is.
func (c *course) settled() bool {
	return !slices.ContainsFunc(c.nodes, func(n *node) bool {
		_, proposer := knows(n.proposer)
		_, learner := knows(n.learner)
		return !proposer || !learner
	})
}

func knows[R interface {
	comparable
	Chosen() (Value, bool)
}](role R) (Value, bool) {
	var none R
	if role == none {
		return nil, true
	}
	return role.Chosen()
}

// agreed looks that nobody knows another value than somebody else.
func (c *course) agreed(t *testing.T, seed uint64) {
	var value Value
	for _, n := range c.nodes {
		for _, known := range []Value{n.known.Value, first(knows(n.proposer)), first(knows(n.learner))} {
			if len(known) > 0 && len(value) > 0 && !known.equal(value) {
				t.Fatalf("seed %d: chose both %q and %q", seed, value, known)
			}
			if len(known) > 0 {
				value = known
			}
		}
	}
}

func first(v Value, _ bool) Value { return v }

// Three proposers duel over a bad network, nodes crash; when it gets better,
// everybody learns one value soon, in every scheme. One distinguished learner and
// one acceptor stay dead.
func TestDuelsEndAndEverybodyLearns(t *testing.T) {
	for seed := range uint64(3000) {
		c := &course{rand: rand.New(rand.NewPCG(seed, 0)), calm: second / 2}
		c.network = newNetwork(t, setup{
			acceptors: []ID{1, 2, 3}, proposers: []ID{3, 7, 8}, learners: []ID{7, 21, 22, 23},
			scheme: Scheme(seed % 3), distinguished: []ID{22, 21},
		})
		for _, id := range []ID{3, 7, 8} {
			c.propose(c.node(id))
		}
		for c.now < c.calm {
			c.step()
			c.agreed(t, seed)
		}
		for _, n := range c.nodes {
			if n.acceptor == nil && n.proposer == nil && n.learner == nil {
				c.restart(n)
			}
		}
		for _, id := range []ID{2, 22} {
			c.node(id).crash()
		}
		for !c.settled() {
			if c.step(); c.now > c.calm+5*second {
				t.Fatalf("seed %d: not everybody knows the value 5 s after the faults have stopped", seed)
			}
			c.agreed(t, seed)
		}
	}
}
