package jobs

import (
	"fmt"
	"slices"
	"testing"

	"github.com/synod-go/synod/mesos"
)

// 1,000 jobs of 10 instances are put, placed on 500 agents and told to run.
func BenchmarkTenThousandInstances(b *testing.B) {
	for b.Loop() {
		j, err := New(Config{}, unixStart, slices.Values([]mesos.Document(nil)))
		if err != nil {
			b.Fatal(err)
		}
		j.Event(unixStart, mesos.SubscribedEvent{})
		for n := range 1000 {
			j.Put(unixStart, 1, Spec{Name: fmt.Sprint("job-", n), Count: 10, Command: mesos.Command{Value: "x"}}, 0)
		}
		settle := func() (launched int) {
			for range 6 {
				out := j.Output()
				for _, s := range out.Save {
					j.Saved(unixStart, s.Number, true)
				}
				for _, c := range out.Calls {
					a, ok := c.(mesos.AcceptCall)
					if !ok {
						continue
					}
					launched += len(a.Launch)
					for _, t := range a.Launch {
						j.Event(unixStart, mesos.UpdateEvent{Status: mesos.TaskStatus{Task: mesos.TaskKey{Task: t.ID}, Agent: t.Agent, State: mesos.Running}})
					}
				}
			}
			return launched
		}
		settle()
		r, err := mesos.ParseResources("cpus:32;mem:65536")
		if err != nil {
			b.Fatal(err)
		}
		launched := 0
		for round := 0; launched < 10_000 && round < 10; round++ {
			var e mesos.OffersEvent
			for n := range 500 {
				e.Offers = append(e.Offers, mesos.OfferInfo{ID: mesos.OfferID(fmt.Sprint(round, "-", n)), Role: "*", Agent: mesos.AgentID(fmt.Sprint("a", n)), Resources: r})
			}
			j.Event(unixStart, e)
			launched += settle()
		}
		if launched < 10_000 {
			b.Fatalf("launched %d", launched)
		}
	}
}
