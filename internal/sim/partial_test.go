package sim

import (
	"fmt"
	"testing"

	"github.com/synod-go/synod/consensus"
)

// links says which links of a group stand while it is partly cut. Machines are
// counted from the one that led before.
type links struct {
	name     string
	machines int
	stands   func(a, b int) bool
	keeps    bool // the leader still reaches a quorum and must stay
}

var partial = []links{
	{"one link of the leader is cut", 3, func(a, b int) bool { return a+b != 1 }, true},
	{"a chain with the leader at its end", 3, func(a, b int) bool { return a+b != 2 }, true},
	{"one link of the leader is cut", 5, func(a, b int) bool { return a+b != 1 }, true},
	{"one link of others is cut", 5, func(a, b int) bool { return a+b != 3 || a*b == 0 }, true},
	{"a star around another", 5, func(a, b int) bool { return a == 1 || b == 1 }, false},
	{"a chain with the leader at its end", 5, func(a, b int) bool { return a-b == 1 || b-a == 1 }, false},
	{"the leader reaches one alone", 5, func(a, b int) bool { return a*b != 0 || a+b == 4 }, false},
	{"the leader is cut off", 3, func(a, b int) bool { return a*b != 0 }, false},
	{"a ring", 5, func(a, b int) bool { return (a-b+5)%5 == 1 || (b-a+5)%5 == 1 }, true},
}

// TestWhoReachesAQuorumLeads cuts links for good. Within four of the longest
// election timeouts something must be chosen again, and then one leader stay: two
// replicas that do not hear each other must not depose each other in turns.
func TestWhoReachesAQuorumLeads(t *testing.T) {
	for _, l := range partial {
		t.Run(fmt.Sprintf("%s of %d", l.name, l.machines), func(t *testing.T) {
			var worst float64
			seeds := uint64(3)
			if *seedsFlag > 0 {
				seeds = uint64(*seedsFlag)
			}
			for seed := uint64(1); seed <= seeds; seed++ {
				worst = max(worst, underLinks(t, l, seed))
			}
			t.Logf("at most %.2f election timeouts", worst)
		})
	}
}

// TestWhoHasPriorityAndReachesNoQuorumDoesNotLead is the same with a leader that has
// a higher priority than all others: from behind the cut it must not depose who can
// lead. When the links are back, it leads again.
func TestWhoHasPriorityAndReachesNoQuorumDoesNotLead(t *testing.T) {
	for _, l := range partial {
		t.Run(fmt.Sprintf("%s of %d", l.name, l.machines), func(t *testing.T) {
			for seed := uint64(1); seed <= max(2, uint64(*seedsFlag)); seed++ {
				w := newPartial(l, seed)
				w.weather.ranked = true
				afterCut(t, w, l)
				w.net = network{}
				until(w, w.now+12*2*int64(w.weather.election))
				if s := w.nodes[0].core.Status(); s.Role != consensus.Leader {
					t.Errorf("seed %d: after the cut the first replica does not lead: %+v", seed, s)
				}
			}
		})
	}
}

// underLinks returns how many election timeouts it took.
func underLinks(t *testing.T, l links, seed uint64) float64 {
	w := newPartial(l, seed)
	w.weather.plain = true
	return afterCut(t, w, l)
}

func newPartial(l links, seed uint64) *World {
	w := newWorld(Plan{Seed: seed, Engine: enginePaxos, Voters: l.machines, Clients: 6, Off: AllFaults, Steps: 1 << 40})
	timeout := 2 * int64(w.weather.election)
	w.weather.patience, w.weather.think = timeout/8, timeout/8 // so that the clients do not take longer than the group
	return w
}

func afterCut(t *testing.T, w *World, l links) float64 {
	t.Helper()
	seed, timeout := w.plan.Seed, 2*int64(w.weather.election)
	w.build()
	for _, n := range w.nodes[l.machines:] { // nobody else is there
		w.stop(n)
		n.lost = true
	}
	until(w, 20*timeout)
	leader := w.leader(w.nodes[0])
	if leader.core.Status().Role != consensus.Leader {
		t.Fatalf("seed %d: nobody leads before anything is cut", seed)
	}
	w.cutLinks(l, leader.slot)
	cut, elections, chosen := w.now, w.stats.Elections, w.oracle.committed()
	for w.now < cut+4*timeout && w.oracle.committed() < chosen+3 {
		w.step()
	}
	if w.oracle.committed() < chosen+3 {
		w.summaryTo(t)
		t.Fatalf("seed %d: nothing is chosen four election timeouts after the cut", seed)
	}
	took := float64(w.now-cut) / float64(timeout)
	until(w, w.now+timeout)
	if l.keeps && w.stats.Elections > elections {
		t.Errorf("seed %d: the leader reached a quorum, and there were %d elections", seed, w.stats.Elections-elections)
	}
	settled, chosen := w.stats.Elections, w.oracle.committed()
	until(w, w.now+20*timeout)
	if w.stats.Elections > settled {
		t.Errorf("seed %d: %d elections in 20 timeouts in which nothing changed", seed, w.stats.Elections-settled)
	}
	if w.oracle.committed() < chosen+20 {
		t.Errorf("seed %d: only %d slots are chosen in 20 timeouts", seed, w.oracle.committed()-chosen)
	}
	return took
}

func until(w *World, at int64) {
	for w.now < at {
		w.step()
	}
}

// cutLinks cuts what does not stand.
func (w *World) cutLinks(l links, leader int) {
	for a := range l.machines {
		for b := range l.machines {
			if a != b && !l.stands(a, b) {
				w.net.cut[(a+leader)%l.machines][(b+leader)%l.machines]++
			}
		}
	}
}

func (w *World) summaryTo(t *testing.T) {
	for _, n := range w.nodes {
		if n.up {
			t.Logf("%+v", n.core.Status())
		}
	}
}
