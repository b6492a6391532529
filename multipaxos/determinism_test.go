package multipaxos

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The same seed and the same inputs give the same outputs, byte for byte.
func TestTheSameInputsGiveTheSameOutputs(t *testing.T) {
	for seed := range uint64(20) {
		if a, b := recordNetwork(t, seed), recordNetwork(t, seed); a != b {
			t.Fatalf("seed %d: two runs differ: %s", seed, firstDifference(a, b))
		}
	}
}

// recordNetwork returns everything that the replicas of a random group did.
func recordNetwork(t *testing.T, seed uint64) string {
	var log []byte
	w := newNetwork(t, voters(3), 5, func(c *Config) {
		c.Rand = rand.New(rand.NewPCG(seed, uint64(c.ID)))
		c.MaxAcceptBytes, c.TrailingEntries, c.PromoteWithin, c.MaxChunkBytes = 300, 4, 4, 8
	})
	w.trace = func(format string, args ...any) { log = fmt.Appendf(log, format+"\n", args...) }
	rng := rand.New(rand.NewPCG(seed, 9))
	for step := range 400 {
		d := w.drivers[rng.IntN(len(w.drivers))]
		switch c := rng.IntN(16); {
		case c < 4:
			w.run(Time(rng.IntN(60)) * millisecond)
		case c < 8 && d.node != nil:
			d.propose(fmt.Sprint(step), "x")
		case c == 8 && d.node != nil:
			d.turn(func(n *Node) { n.ReadIndex(uint64(step)) })
		case c == 9 && d.node != nil:
			d.turn(func(n *Node) { n.TransferLeadership(ID(rng.IntN(4))) })
		case c == 10 && d.node != nil:
			d.snapshot()
		case c == 11 && d.node != nil:
			members := append(voters(3), Member{ID: ID(4 + rng.IntN(2)), Promote: rng.IntN(2) == 0})
			d.turn(func(n *Node) { n.ChangeMembership(members, n.Configuration().Version) })
		case c == 12:
			w.isolate(d.id)
		case c == 13:
			w.heal()
		case c == 14 && d.node != nil:
			d.crash()
		case d.node == nil:
			d.start()
		}
	}
	return string(log)
}

// Proposing ten times as much takes about ten times as much memory, and nothing of
// it is copied more than a few times: the work is linear.
func TestProposingIsLinear(t *testing.T) {
	few, many := allocationsOf(t, 1000), allocationsOf(t, 10000)
	if many > 20*few || many > 10000 {
		t.Errorf("%v allocations for 1000 commands, %v for 10000", few, many)
	}
}

func allocationsOf(t *testing.T, count int) float64 {
	return testing.AllocsPerRun(2, func() {
		r := newSolo(t, 1, voters(3), State{})
		b := r.isElected(2)
		commands := make([][]byte, count/100)
		for range 100 {
			if _, err := r.Propose(commands); err != nil {
				t.Fatal(err)
			}
		}
		for r.chosen < r.lead.next-1 || r.handed < r.chosen {
			out := r.save()
			if n := len(out.Apply); n > 0 {
				r.Applied(out.Apply[n-1].Index)
			}
			for _, e := range out.SendNow {
				if a, ok := e.Message.(Accept); ok && e.To == 2 && len(a.Entries) > 0 {
					r.Step(2, Accepted{b, a.Entries[0].Index, a.Entries[len(a.Entries)-1].Index})
				}
			}
		}
		if r.chosen != Index(count)+1 || r.unapplied != 0 || r.handedBytes != 0 || r.lead.uncommitted != 0 {
			t.Fatalf("chosen %d of %d; %d bytes unapplied, %d handed out, %d uncommitted", r.chosen, count, r.unapplied, r.handedBytes, r.lead.uncommitted)
		}
	})
}
