package jobs_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/mesos"
)

// A service gets a task: its document is saved before the offer is accepted.
func ExampleJobs() {
	now := 1_700_000_000 * time.Second
	j, err := jobs.New(jobs.Config{}, now, slices.Values([]mesos.Document(nil)))
	if err != nil {
		fmt.Println(err)
		return
	}
	carryOut := func() {
		for range 3 {
			out := j.Output()
			for _, s := range out.Save {
				if d, ok := s.Operation.(mesos.PutDocument); ok {
					fmt.Println("save", d.Name)
				}
				j.Saved(now, s.Number, true)
			}
			for _, c := range out.Calls {
				fmt.Printf("call %T\n", c)
			}
			for _, a := range out.Answers {
				fmt.Println("version", a.Version)
			}
		}
	}
	j.Event(now, mesos.SubscribedEvent{Framework: jobs.FrameworkID})
	j.Put(now, 1, jobs.Spec{Name: "web", Count: 1, Command: mesos.Command{Value: "serve"}}, 0)
	now += time.Second
	carryOut()

	resources, _ := mesos.ParseResources("cpus:4;mem:1024")
	j.Event(now, mesos.OffersEvent{Offers: []mesos.OfferInfo{{ID: "o1", Role: "*", Agent: "a1", Hostname: "rack-1", Resources: resources}}})
	carryOut()
	j.Event(now, mesos.UpdateEvent{Status: mesos.TaskStatus{Task: mesos.TaskKey{Framework: jobs.FrameworkID, Task: "web.0.1"}, Agent: "a1",
		State: mesos.Running, ID: mesos.UpdateID{1}}})
	carryOut()
	status, _ := j.Status("web")
	fmt.Println(status.State, status.Instances[0].State, status.Instances[0].Agent)

	// Output:
	// save jobs.job.web
	// save jobs.number
	// call mesos.ReconcileCall
	// call mesos.SuppressCall
	// call mesos.ReviveCall
	// version 1
	// save jobs.task.web.0
	// call mesos.AcceptCall
	// call mesos.SuppressCall
	// call mesos.AcknowledgeCall
	// running RUNNING a1
}
