package cluster

import (
	"slices"
	"testing"
	"time"
)

func TestAConnectionEndsWhenItsCertificateExpires(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ca := authority(t, "prod")
		w.tweak = func(c *LinkConfig) {
			o := nodeOptions(c.Name)
			if c.Name == "node2" {
				o.Start, o.Life = time.Now(), time.Hour
			}
			c.TLS = material(t, ca, o)
		}
		a, b := w.start(1), w.start(2)
		b.echo.Store(true)
		a.send(2, 1)
		time.Sleep(time.Hour - time.Minute)
		a.send(2, 2)
		settle()
		want(t, "answers before it expires", a.terms(), []uint64{1, 2})
		want(t, "events before it expires", a.log(), []string{"up node2"})
		time.Sleep(time.Minute + 2*checkEvery)
		a.send(2, 3)
		settle()
		want(t, "answers after it has expired", a.terms(), []uint64{1, 2})
		if got := a.log(); got[len(got)-1] != "down node2" {
			t.Errorf("node 2 is still up: %v", got)
		}
	})
}

func TestConnectionsOfAnAuthorityThatWasTakenAwayAreMadeAnew(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		old, fresh := authority(t, "prod"), authority(t, "prod")
		both := slices.Concat(old.CertificatePEM, fresh.CertificatePEM)
		holders := map[string]*holder{}
		w.tweak = func(c *LinkConfig) {
			holders[c.Name] = newHolder(t, both, old, nodeOptions(c.Name))
			c.TLS = holders[c.Name].tls
		}
		a, renewed, left := w.start(1), w.start(2), w.start(3)
		for _, n := range []*testNode{renewed, left} {
			n.echo.Store(true)
			a.send(n.id, 1)
		}
		settle()
		holders["node1"].write(t, nil, fresh, nodeOptions("node1"))
		holders["node2"].write(t, nil, fresh, nodeOptions("node2"))
		time.Sleep(5 * lookEvery)
		want(t, "events while both authorities are trusted", sortedEvents(a.log()), []string{"up node2", "up node3"})
		holders["node1"].write(t, fresh.CertificatePEM, nil, IssueOptions{})
		time.Sleep(lookEvery + 2*checkEvery)
		a.send(2, 2)
		a.send(3, 3)
		settle()
		if got := a.terms(); !slices.Contains(got, 2) || slices.Contains(got, 3) {
			t.Errorf("answers %v: want one of node 2, which has a new certificate, and none of node 3", got)
		}
		if got := of("node2", a.log()); len(got) < 3 || got[len(got)-1] != "up node2" {
			t.Errorf("events of node 2: %v: want that it was down and is up", got)
		}
		want(t, "events of node 3", of("node3", a.log()), []string{"up node3", "down node3"})
	})
}

func sortedEvents(list []string) []string {
	slices.Sort(list)
	return list
}

// of are the events of a peer, each run of the same once.
func of(peer string, events []string) []string {
	return slices.Compact(slices.DeleteFunc(events, func(e string) bool { return e != "up "+peer && e != "down "+peer }))
}
