package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// waitFor is what "wait" waits for, all of it.
type waitFor struct {
	voters, agents uint
	leader         bool
	job, key       string
}

func (a *app) waitCommand() *cobra.Command {
	var f waitFor
	c := &cobra.Command{
		Use: "wait", Short: "wait until the cluster, a job, agents or a key are there", Args: cobra.NoArgs,
		Long: "Wait until the cluster is healthy, or until what the flags name is so, all of it, or as long as --timeout says. Exit code 8 when\n" +
			"it is not by then, 4 when no node answers.",
		Example: a.example("wait --timeout 30s", "wait --voters 3", "wait --leader", "wait --agents 2 --job hello", "wait --key jobs/done"),
		RunE:    func(c *cobra.Command, _ []string) error { return a.wait(c.Context(), f) },
	}
	c.Flags().UintVar(&f.voters, "voters", 0, "wait for at least this many voters that are up")
	c.Flags().BoolVar(&f.leader, "leader", false, "a leader is enough")
	c.Flags().UintVar(&f.agents, "agents", 0, "wait for at least this many registered agents; a leader is enough")
	c.Flags().StringVar(&f.job, "job", "", "wait until all instances of the job run; a leader is enough")
	c.Flags().StringVar(&f.key, "key", "", "wait until the key exists; a leader is enough")
	return c
}

// leaderIsEnough: what is waited for says that the rest need not be well.
func (f waitFor) leaderIsEnough() bool { return f.leader || f.agents > 0 || f.job != "" || f.key != "" }

// waited is what the last look has shown.
type waited struct {
	status api.Status
	seen   bool // status is a node's answer
	why    string
	err    error
}

// wait asks until all is so or time is out, and shows the last status if it is not.
func (a *app) wait(ctx context.Context, f waitFor) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	var last waited
	for {
		look, good := f.look(bounded, client)
		if look.err == nil || bounded.Err() == nil {
			look.status, look.seen = orLast(look, last)
			last = look
		}
		if good {
			a.hint("well after %s: %s", time.Since(began).Round(time.Millisecond), leads(look.status))
			return a.answer(look.status, func(io.Writer) {})
		}
		select {
		case <-bounded.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return a.waitedInVain(last, f)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func orLast(look, last waited) (api.Status, bool) {
	if look.seen {
		return look.status, true
	}
	return last.status, last.seen
}

// look asks once. good: all is so.
func (f waitFor) look(ctx context.Context, client *api.Client) (w waited, good bool) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if w.status, w.err = client.Status(ctx, false); w.err != nil {
		return w, false
	}
	w.seen = true
	s := w.status
	if s.Leader == "" || !f.leaderIsEnough() && !s.Healthy || uint(s.Up) < f.voters {
		return w, false
	}
	for _, more := range []func(context.Context, *api.Client) (string, error){f.lookAtAgents, f.lookAtJob, f.lookAtKey} {
		if w.why, w.err = more(ctx, client); w.err != nil || w.why != "" {
			return w, false
		}
	}
	return w, true
}

func (f waitFor) lookAtAgents(ctx context.Context, client *api.Client) (string, error) {
	if f.agents == 0 {
		return "", nil
	}
	list, err := client.Agents(ctx)
	registered := uint(0)
	for _, agent := range list {
		if agent.State == "registered" {
			registered++
		}
	}
	if err != nil || registered >= f.agents {
		return "", err
	}
	return fmt.Sprintf("%d agents are registered, %d are waited for", registered, f.agents), nil
}

func (f waitFor) lookAtJob(ctx context.Context, client *api.Client) (string, error) {
	if f.job == "" {
		return "", nil
	}
	j, err := client.Job(ctx, f.job)
	switch {
	case api.CodeOf(err) == api.CodeNotFound:
		return "there is no job " + f.job, nil
	case err != nil || j.State == "running" && allRun(j):
		return "", err
	}
	why := fmt.Sprintf("job %s is %s: %d of %d instances run", f.job, j.State, j.Running, j.Count)
	for _, i := range j.Instances {
		if i.Pending != "" {
			return why + "; " + i.Pending, nil
		}
	}
	return why, nil
}

func (f waitFor) lookAtKey(ctx context.Context, client *api.Client) (string, error) {
	if f.key == "" {
		return "", nil
	}
	_, _, err := client.Get(ctx, f.key, api.ReadOptions{})
	if api.CodeOf(err) == api.CodeNotFound {
		return fmt.Sprintf("there is no key %q", f.key), nil
	}
	return "", err
}

func (a *app) waitedInVain(last waited, f waitFor) error {
	if last.err != nil && !last.seen {
		return last.err
	}
	why, what := last.why, "what is waited for is not so"
	if why == "" {
		why, what = strings.Join(last.status.Reasons, "; "), "the cluster is not well"
	}
	if why == "" && last.err != nil {
		why = plain(last.err)
	}
	if why == "" && !last.seen {
		why = "no node has answered in that time"
	}
	if why == "" {
		why = fmt.Sprintf("%d of %d voters are up, %d are waited for", last.status.Up, last.status.Voters, f.voters)
	}
	return &api.Error{Code: api.CodeUnhealthy, Message: fmt.Sprintf("%s after %s", what, a.timeout), Why: why, Do: []string{"node status"}}
}
