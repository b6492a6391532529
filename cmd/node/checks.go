package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/synod-go/synod/api"
)

// checksPatience is how long "status" waits for the checks of the nodes, and askedPatience if it is told to show them.
const checksPatience, askedPatience = 500 * time.Millisecond, 2 * time.Second

// checkedStatus is the answer of "status": what the leader says, and what each node says of itself.
type checkedStatus struct {
	api.Status
	// Checks are by node; one that does not answer has none.
	Checks map[string][]api.Check `json:"checks,omitempty"`
}

// memberChecks asks each member that is up for its checks, all at once.
func (a *app) memberChecks(ctx context.Context, client *api.Client, s api.Status, patience time.Duration) map[string][]api.Check {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var mu sync.Mutex
	var wait sync.WaitGroup
	checks := map[string][]api.Check{}
	for _, m := range s.Members {
		if m.API == "" || m.State == "down" {
			continue
		}
		wait.Go(func() {
			list, err := readChecks(ctx, client, m.API)
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				checks[m.Name] = list
			}
		})
	}
	wait.Wait()
	return checks
}

// showChecks shows all of them, or those that are not well.
func showChecks(w io.Writer, checks map[string][]api.Check, all bool) {
	rows := [][]string{{"NODE", "CHECK", "STATE", "SINCE", "REASON"}}
	for _, node := range sortedKeys(checks) {
		for _, c := range checks[node] {
			state, mark := "ok", ""
			switch {
			case !c.OK:
				state, mark = "fail", "!"
			case c.Warn:
				state, mark = "warn", "~"
			}
			if rows = append(rows, []string{node, c.Name, state, ago(c.Since), c.Reason}); !all && mark != "" {
				fmt.Fprintf(w, "%s %s: %s: %s (for %s)\n", mark, node, c.Name, c.Reason, ago(c.Since))
			}
		}
	}
	if all {
		columns(w, rows)
	}
}

// ago is how long something has been so.
func ago(since time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return max(time.Since(since), 0).Round(time.Second).String()
}
