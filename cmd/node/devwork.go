package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/synod-go/synod/api"
)

// bringUpWork waits for the agents, runs the service, and returns what is to be told of them. What does not
// come up is told, and no reason to end: the rest of the cluster is there.
func (d *dev) bringUpWork(ctx context.Context) (told string) {
	if d.agents == 0 {
		return ""
	}
	if err := d.fleet.awaitAgents(ctx, d.client); err != nil {
		d.say("agents do not come up: %s; the reason is in the lines above", plain(err))
		return ""
	}
	told = ", " + many(d.agents, "agent")
	if d.bare {
		return told
	}
	at, err := d.runHello(ctx)
	if err != nil {
		d.say("the service hello does not run: %s", plain(err))
		return told
	}
	return told + ", hello at http://" + at
}

// helloPatience is how long dev waits for its service.
const helloPatience = 15 * time.Second

// runHello runs the service and returns where it can be reached.
func (d *dev) runHello(ctx context.Context) (at string, err error) {
	ctx, cancel := context.WithTimeout(ctx, helloPatience)
	defer cancel()
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	if _, err := d.client.PutJobs(ctx, helloJob(program), 0); err != nil {
		return "", err
	}
	why := ""
	for {
		ask, cancel := context.WithTimeout(ctx, time.Second)
		j, err := d.client.Job(ask, "hello")
		cancel()
		if err == nil && j.State == "running" && allRun(j) && len(j.Instances) > 0 && len(j.Instances[0].Ports) > 0 {
			return fmt.Sprintf("127.0.0.1:%d", j.Instances[0].Ports[0]), nil
		}
		for _, i := range j.Instances {
			why = strings.TrimSuffix(i.Pending+"; "+reasonOf(i.Message, i.Exit, i.Signal), "; ")
		}
		select {
		case <-ctx.Done():
			return "", &api.Error{Code: api.CodeUnhealthy, Message: "it does not run after " + helloPatience.String(), Why: why}
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// serviceRows are the lines about what runs.
func (d *dev) serviceRows() [][]string {
	if d.agents == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	list, err := d.client.Jobs(ctx)
	if err != nil {
		return nil
	}
	names, err := d.agentNames(ctx, d.client)
	if err != nil {
		return nil
	}
	rows := [][]string{{"TASK", "STATE", "AGENT", "AT"}}
	for _, j := range list {
		for _, i := range j.Instances {
			at := "-"
			if len(i.Ports) > 0 && i.State == "RUNNING" {
				at = fmt.Sprintf("http://127.0.0.1:%d", i.Ports[0])
			}
			row := instanceRow(j, i, names)
			rows = append(rows, []string{row.Name, row.State, names.of(i.Agent), at})
		}
	}
	return rows
}

// lines are what to type.
func (d *dev) lines(service [][]string) []string {
	list := []string{"kv put colour blue", "kv get colour", "status"}
	if len(service) > 1 {
		list = append(list, "ps", "scale hello=3", "logs hello")
	}
	return list
}
