package main

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/synod-go/synod/api"
)

// topLook is what "top" has seen of a cluster at one moment.
type topLook struct {
	at     time.Time
	status api.Status
	nodes  map[string]api.Look // of those that have answered, by name
	agents []api.Agent
	jobs   []api.Job
	tasks  []api.Task // that have not ended
	// unmanaged is why agents, jobs and tasks are not known: no master leads, for example.
	unmanaged error
}

// lookAtAll asks the leaders and, all at once, each node. It fails if no node can say how the cluster is.
func lookAtAll(ctx context.Context, client *api.Client) (l topLook, err error) {
	l.at = time.Now()
	if l.status, err = client.Status(ctx, false); err != nil {
		if l.status, err = client.Status(ctx, true); err != nil { // a node without a leader knows its groups
			return l, err
		}
	}
	l.nodes = lookAtNodes(ctx, client, l.status.Members)
	if l.agents, l.unmanaged = client.Agents(ctx); l.unmanaged != nil {
		return l, nil
	}
	if l.jobs, l.unmanaged = client.Jobs(ctx); l.unmanaged != nil {
		return l, nil
	}
	l.tasks, l.unmanaged = client.Tasks(ctx, api.TaskFilter{})
	return l, nil
}

func lookAtNodes(ctx context.Context, client *api.Client, members []api.MemberStatus) map[string]api.Look {
	ctx, cancel := context.WithTimeout(ctx, checksPatience)
	defer cancel()
	var mu sync.Mutex
	var wait sync.WaitGroup
	looks := map[string]api.Look{}
	for _, m := range members {
		if m.API == "" || m.State == "down" {
			continue
		}
		wait.Go(func() {
			document, err := client.Fetch(ctx, m.API, api.LookPath, "application/json", 4<<20)
			var l api.Look
			if err != nil || json.Unmarshal(document.Body, &l) != nil || l.Node == "" {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			looks[m.Name] = l
		})
	}
	wait.Wait()
	return looks
}
