// Keeps three copies of a command running on the agents of a cluster:
//
//	node dev --agents 2
//	go run ./examples/framework    in two terminals: one leads, the other stands by
//
// Kill the one that leads, or any node: the copies run on, and none is started twice.
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/framework"
	"github.com/synod-go/synod/mesos"
)

// keeper writes each copy down, below path, before it is started.
type keeper struct {
	client *api.Client
	copies map[mesos.TaskID]bool
}

const (
	path   = "frameworks/keeper/copies/"
	wanted = 3
)

func (k *keeper) Subscribed(ctx context.Context, s *framework.Session) (known []mesos.ReconcileTask, err error) {
	list, err := k.client.List(ctx, path[:len(path)-1], api.ListOptions{Limit: 1000})
	k.copies = map[mesos.TaskID]bool{}
	for _, e := range list.Entries {
		id := mesos.TaskID(e.Path[len(path):])
		k.copies[id], known = true, append(known, mesos.ReconcileTask{Task: id})
	}
	if api.CodeOf(err) == api.CodeNotFound { // there was none yet
		err = nil
	}
	fmt.Printf("leads %s, which has %d copies\n", s.Framework(), len(known))
	return known, err
}

func (k *keeper) Offers(ctx context.Context, s *framework.Session, offers []mesos.OfferInfo) error {
	cpu, err := mesos.ParseResources("cpus:0.1;mem:32")
	for _, o := range offers {
		var start []mesos.TaskInfo
		for len(k.copies) < wanted && err == nil && len(start) == 0 && o.Resources.Contains(cpu) {
			id := mesos.TaskID(api.NewRequestID().String())
			_, err = k.client.Put(ctx, path+string(id), nil, api.WriteOptions{})
			k.copies[id] = true
			start = append(start, mesos.TaskInfo{ID: id, Name: "copy", Agent: o.Agent, Resources: cpu,
				Command: mesos.Command{Value: "sleep", Arguments: []string{"1d"}}})
		}
		refuse := framework.DefaultRefuse
		if len(start) > 0 {
			refuse = 0 // there may be room for another one
		}
		if err == nil {
			err = s.Accept(ctx, []mesos.OfferID{o.ID}, start, refuse)
		}
	}
	return err
}

func (k *keeper) Update(ctx context.Context, s *framework.Session, status mesos.TaskStatus) (err error) {
	fmt.Println(status.Task.Task, status.State, status.Message)
	if id := status.Task.Task; (status.State.Terminal() || status.State == mesos.Unknown) && k.copies[id] {
		if _, err = k.client.Delete(ctx, path+string(id), api.WriteOptions{}); err == nil {
			delete(k.copies, id)
			err = s.Revive(ctx)
		}
	}
	return err
}

func main() {
	client, err := api.NewClient(api.ClientConfig{Addrs: append(os.Args[1:], "127.0.0.1:4700")})
	if err != nil {
		log.Fatal(err)
	}
	config := framework.Config{Client: client, Info: mesos.FrameworkInfo{Name: "keeper"}, Logger: slog.Default()}
	log.Fatal(framework.StandBy(context.Background(), config, &keeper{client: client}))
}
