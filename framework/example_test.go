package framework_test

import (
	"context"
	"fmt"

	"github.com/synod-go/synod/framework"
	"github.com/synod-go/synod/mesos"
)

// once runs one task to its end.
type once struct {
	launched bool
	told     mesos.TaskState
}

func (o *once) Subscribed(context.Context, *framework.Session) ([]mesos.ReconcileTask, error) {
	return nil, nil // it knows of no task: it keeps nothing for its successor
}

func (o *once) Offers(ctx context.Context, s *framework.Session, offers []mesos.OfferInfo) error {
	for _, offer := range offers {
		var tasks []mesos.TaskInfo
		if !o.launched {
			tasks = append(tasks, mesos.TaskInfo{ID: "hello-1", Name: "hello", Agent: offer.Agent, Resources: offer.Resources,
				Command: mesos.Command{Value: "echo hello", Shell: true}})
		}
		if err := s.Accept(ctx, []mesos.OfferID{offer.ID}, tasks, framework.DefaultRefuse); err != nil {
			return err
		}
		o.launched = true
	}
	return nil
}

func (o *once) Update(_ context.Context, _ *framework.Session, status mesos.TaskStatus) error {
	if status.State != o.told { // an update may come twice
		fmt.Println(status.Task.Task, status.State)
		o.told = status.State
	}
	if status.State.Terminal() {
		return framework.ErrStop
	}
	return nil
}

func Example() {
	client, stop := example()
	defer stop()
	info := mesos.FrameworkInfo{Name: "hello"}
	err := framework.Run(context.Background(), framework.Config{Client: client, Info: info}, &once{told: mesos.Staging})
	fmt.Println(err)
	// Output:
	// hello-1 RUNNING
	// hello-1 FINISHED
	// framework: stop
}
