package main

import (
	"strings"
	"testing"

	"github.com/synod-go/synod/api"
)

func TestImagesAreShownWhereThereAreContainers(t *testing.T) {
	web := api.Job{Name: "web", Instances: []api.Instance{{Task: "web.0.1", State: "RUNNING", Ports: []uint16{31000}, Image: "web:1"}}}
	db := api.Job{Name: "db", Instances: []api.Instance{{Task: "db.0.2", State: "RUNNING"}}}
	for _, c := range []struct {
		jobs []api.Job
		want []string
	}{
		{[]api.Job{db}, []string{"NAME STATE HEALTH AGENT SINCE RESTARTS PORTS", "db.0 running - - - 0 -"}},
		{[]api.Job{db, web}, []string{"NAME STATE HEALTH AGENT SINCE RESTARTS PORTS IMAGE", "db.0 running - - - 0 - -", "web.0 running - - - 0 31000 web:1"}},
	} {
		var text strings.Builder
		showRows(&text, rowsOf(c.jobs, nil, nil, false))
		for i, line := range strings.Split(strings.TrimSpace(text.String()), "\n") {
			if got := strings.Join(strings.Fields(line), " "); i >= len(c.want) || got != c.want[i] {
				t.Errorf("line %d is %q, want %q", i, got, c.want)
			}
		}
	}
}

func TestATaskThatTheMasterKnowsToRunIsNotShownAsStaging(t *testing.T) {
	job := api.Job{Name: "web", Instances: []api.Instance{{Index: 0, Task: "web.0.1", State: "STAGING"}, {Index: 1, Task: "web.1.2", State: "STAGING"}}}
	tasks := []api.Task{{Framework: builtin, ID: "web.0.1", State: "RUNNING", Health: "healthy", Since: 7}, {Framework: "other", ID: "web.1.2", State: "RUNNING"}}
	rows := rowsOf([]api.Job{job}, tasks, nil, false)
	if len(rows) != 3 || rows[0].State != "running" || rows[0].Health != "healthy" || rows[0].Since != 7 || rows[1].State != "staging" {
		t.Errorf("shown as %+v, want web.0 running and web.1 staging, and the task of another framework", rows)
	}
}
