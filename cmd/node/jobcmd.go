package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

func (a *app) stopCommand() *cobra.Command {
	var detach bool
	var within time.Duration
	c := &cobra.Command{
		Use: "stop JOB...", Short: "end jobs with all their instances", Args: cobra.MinimumNArgs(1),
		Long: "End all instances of a job, SIGTERM first and SIGKILL after the job's grace, and forget the job. The verb ends when\n" +
			"they have ended.",
		Example: a.example("stop web", "stop web hello --detach"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			done := []api.Changed{}
			for _, name := range args {
				j, err := findJob(c.Context(), client, name)
				if err == nil {
					_, err = client.StopJob(c.Context(), j.Name)
				}
				if err == nil && !detach {
					err = a.awaitStop(c.Context(), client, j.Name, within)
				}
				if err != nil {
					return err
				}
				done = append(done, api.Changed{Name: j.Name})
			}
			return a.answer(done, func(w io.Writer) {
				for _, d := range done {
					fmt.Fprintf(w, "%s %s\n", d.Name, map[bool]string{true: "is being stopped", false: "has ended"}[detach])
				}
			})
		},
	}
	c.Flags().BoolVarP(&detach, "detach", "d", false, "do not wait for the end")
	c.Flags().DurationVar(&within, "within", 2*time.Minute, "how long to wait for the end")
	return c
}

// awaitStop waits until a job is forgotten.
func (a *app) awaitStop(ctx context.Context, client *api.Client, name string, within time.Duration) error {
	deadline, told, seen := time.Now().Add(within), -1, false
	for {
		j, err := client.Job(ctx, name)
		seen = seen || err == nil && j.State == "stopping"
		switch {
		case api.CodeOf(err) == api.CodeNotFound:
			return nil
		case err != nil && !passing(err):
			return err
		case err == nil && !seen && j.State != "stopping": // that is how it was a moment ago
		case err == nil && j.State != "stopping" && j.State != "stopped":
			return &api.Error{Code: api.CodeConflict, Message: fmt.Sprintf("the job %s was started again meanwhile", name), Do: []string{"node jobs " + name}}
		case err == nil && j.Running != told:
			told = j.Running
			a.hint("%s: %s left", name, many(j.Running, "instance"))
		}
		if time.Now().After(deadline) {
			return &api.Error{Code: api.CodeUnhealthy, Message: fmt.Sprintf("%s has not ended after %s", name, within),
				Why: "a task ignores SIGTERM and has a long grace, or its agent cannot be reached", Do: []string{"node ps " + name, "node agents"}}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rolloutPause):
		}
	}
}

func (a *app) scaleCommand() *cobra.Command {
	f := &rolloutFlags{}
	c := &cobra.Command{
		Use: "scale JOB=N...", Short: "change how many instances jobs have", Args: cobra.MinimumNArgs(1),
		Long: "Change how many instances jobs have, and show how they come to run. The highest numbers end first. Exit code 9: for\n" +
			"--patience one could not be placed on any agent.",
		Example: a.example("scale web=5", "scale web=5 hello=0 --detach"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			type wish struct {
				name  string
				count int
			}
			var wishes []wish
			for _, arg := range args {
				name, text, found := strings.Cut(arg, "=")
				n, err := strconv.Atoi(text)
				if !found || err != nil || n < 0 {
					return a.usageError(c, fmt.Sprintf("%q is not JOB=N, for example web=5", arg))
				}
				wishes = append(wishes, wish{name, n})
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			changed := []api.Changed{}
			for _, w := range wishes {
				j, err := findJob(c.Context(), client, w.name)
				if err != nil {
					return err
				}
				done, err := client.ScaleJob(c.Context(), j.Name, w.count)
				if err != nil {
					return err
				}
				changed = append(changed, done)
			}
			return f.follow(c.Context(), a, client, changed)
		},
	}
	f.add(c)
	return c
}

// changeCommand is a verb that changes one job and shows what comes of it.
func (a *app) changeCommand(verb, short, long string, change func(*api.Client, context.Context, string) (api.Changed, error)) *cobra.Command {
	f := &rolloutFlags{}
	c := &cobra.Command{
		Use: verb + " JOB", Short: short, Long: long, Args: cobra.ExactArgs(1),
		Example: a.example(verb+" web", verb+" web --detach"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			j, err := findJob(c.Context(), client, args[0])
			if err != nil {
				return err
			}
			done, err := change(client, c.Context(), j.Name)
			if err != nil {
				return err
			}
			return f.follow(c.Context(), a, client, []api.Changed{done})
		},
	}
	f.add(c)
	return c
}

func (a *app) rollbackCommand() *cobra.Command {
	return a.changeCommand("rollback", "bring back what a job was before its last change",
		"Bring back what a job was before its last change, a few instances at a time, as update does. A second rollback undoes\n"+
			"the first.", (*api.Client).RollbackJob)
}

func (a *app) restartCommand() *cobra.Command {
	return a.changeCommand("restart", "replace all instances of a job by new ones",
		"Replace all instances of a job by new ones, a few at a time, as update does.", (*api.Client).RestartJob)
}

func (a *app) drainCommand() *cobra.Command {
	var undo, detach bool
	var deadline, within time.Duration
	c := &cobra.Command{
		Use: "drain AGENT", Short: "move all tasks away from an agent", Args: cobra.ExactArgs(1),
		Long: "End the tasks of an agent in order, and offer nothing more of it: services are started on other agents. The verb ends\n" +
			"when the agent has no task. --undo lets it run tasks again.",
		Example: a.example("drain a1", "drain a1 --deadline 1m", "drain a1 --undo"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			list, err := client.Agents(c.Context())
			if err != nil {
				return err
			}
			agent, err := findAgent(list, args[0])
			if err != nil {
				return err
			}
			action := api.AgentDrain
			if undo {
				action, detach, deadline = api.AgentReactivate, true, 0
			}
			done, err := client.ChangeAgent(c.Context(), agent.ID, action, deadline)
			if err == nil && !detach {
				err = a.awaitDrain(c.Context(), client, agent, within)
			}
			if err != nil {
				return err
			}
			return a.answer(done, func(w io.Writer) { fmt.Fprintln(w, drained(agent, undo, detach)) })
		},
	}
	flags := c.Flags()
	flags.BoolVar(&undo, "undo", false, "let the agent run tasks again")
	flags.DurationVar(&deadline, "deadline", 0, "kill what has not ended by then; 0: each task's own grace holds")
	flags.BoolVarP(&detach, "detach", "d", false, "do not wait until the agent has no task")
	flags.DurationVar(&within, "within", 10*time.Minute, "how long to wait for that")
	return c
}

func drained(agent api.Agent, undo, detach bool) string {
	name := agent.Name
	if name == "" {
		name = agent.ID
	}
	switch {
	case undo:
		return name + " runs tasks again"
	case detach:
		return name + " is being drained"
	}
	return name + " has no task any more and gets none:  drain --undo  changes that"
}

// awaitDrain waits until an agent has no task.
func (a *app) awaitDrain(ctx context.Context, client *api.Client, agent api.Agent, within time.Duration) error {
	deadline, told, seen := time.Now().Add(within), -1, false
	for {
		list, err := client.Agents(ctx)
		if err != nil && !passing(err) {
			return err
		}
		if err == nil {
			now, err := findAgent(list, agent.ID)
			seen = seen || now.Draining
			switch {
			case err != nil || seen && now.Tasks == 0:
				return nil
			case !now.Draining && !seen: // that is how it was a moment ago
			case !now.Draining:
				return &api.Error{Code: api.CodeConflict, Message: fmt.Sprintf("somebody has ended the drain of %s meanwhile", agent.Name)}
			case now.Tasks != told:
				told = now.Tasks
				a.hint("%s: %s left", agent.Name, many(told, "task"))
			}
		}
		if time.Now().After(deadline) {
			return &api.Error{Code: api.CodeUnhealthy, Message: fmt.Sprintf("%s still has %s after %s", agent.Name, many(max(told, 0), "task"), within),
				Why: "the agent cannot be reached, or tasks have a long grace", Do: []string{"node agents", "node drain " + agent.ID + " --deadline 1s"}}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rolloutPause):
		}
	}
}
