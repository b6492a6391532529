package chaos

import (
	"testing"
	"time"
)

// After a cut between all nodes there is a leader again within the time of some
// elections, however long it was: no connection sleeps on.
func TestALongCutHealsSoon(t *testing.T) {
	needs(t, true, "ip", "nft")
	c := smallCluster(t, 3, func(c *ClusterConfig) { c.Separate = true })
	if !boundsResending() {
		t.Skip("needs Linux 6.15 for a bound on the waits of TCP")
	}
	var all []Rule
	for from := range c.Nodes {
		for to := range c.Nodes {
			if from != to {
				all = append(all, Rule{from, to, 100})
			}
		}
	}
	for _, length := range []time.Duration{3500 * time.Millisecond, 7 * time.Second} {
		write(t, c, "before", length.String(), 10*time.Second)
		if err := c.Network.Apply(all); err != nil {
			t.Fatal(err)
		}
		if err := hold(t.Context(), length); err != nil {
			t.Fatal(err)
		}
		if err := c.Network.Apply(nil); err != nil {
			t.Fatal(err)
		}
		healed := time.Now()
		write(t, c, "after", length.String(), 30*time.Second)
		wait := time.Since(healed)
		t.Logf("after a cut of %v writes are acknowledged within %v", length, wait.Round(time.Millisecond))
		if limit := leadershipLimit + requestLimit; wait > limit { // one write may have gone to who just loses the lead
			t.Errorf("after a cut of %v it took %v, want %v", length, wait, limit)
		}
	}
}
