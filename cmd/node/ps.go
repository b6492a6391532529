package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// psRow is a line of "ps": an instance of a job, or a task.
type psRow struct {
	Name     string   `json:"name"`
	Job      string   `json:"job,omitempty"`
	Task     string   `json:"task,omitempty"` // FRAMEWORK/TASK
	State    string   `json:"state"`
	Health   string   `json:"health,omitempty"`
	Agent    string   `json:"agent,omitempty"`
	Since    int64    `json:"since,omitempty"` // Unix milliseconds
	Restarts int      `json:"restarts,omitempty"`
	Ports    []uint16 `json:"ports,omitempty"`
	Image    string   `json:"image,omitempty"` // of its container
	Version  uint64   `json:"version,omitempty"`
	// Why nothing runs, or how it ended.
	Why string `json:"why,omitempty"`
}

func (a *app) psCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "ps [JOB]", Short: "list what runs, and what waits and why", Args: cobra.MaximumNArgs(1),
		Long: "List the instances of all jobs, or of one, and the tasks of other frameworks. What cannot be started says why below\n" +
			"the table. With --all, tasks that have ended and are remembered too.",
		Example: a.example("ps", "ps web --all", "ps --output json"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			rows, err := a.psRows(c.Context(), client, append(args, "")[0], all)
			if err != nil {
				return err
			}
			return a.answer(rows, func(w io.Writer) { showRows(w, rows) })
		},
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "tasks that have ended too")
	return c
}

// psRows are the lines for a job, "" for all.
func (a *app) psRows(ctx context.Context, client *api.Client, job string, all bool) ([]psRow, error) {
	list, err := client.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	filter := api.TaskFilter{Ended: all}
	if job != "" {
		one, err := findJob(ctx, client, job)
		if err != nil {
			return nil, err
		}
		list, filter.Framework, filter.Job = []api.Job{one}, builtin, one.Name
	}
	tasks, err := client.Tasks(ctx, filter)
	if err != nil {
		return nil, err
	}
	names, err := a.agentNames(ctx, client)
	if err != nil {
		return nil, err
	}
	return rowsOf(list, tasks, names, all), nil
}

func rowsOf(list []api.Job, tasks []api.Task, names agentNames, all bool) []psRow {
	rows, shown, own := []psRow{}, map[string]bool{}, map[string]api.Task{}
	for _, t := range tasks {
		if t.Framework == builtin {
			own[t.ID] = t
		}
	}
	for _, j := range list {
		for _, i := range j.Instances {
			rows = append(rows, instanceRow(j, asTheMasterKnows(i, own[i.Task]), names))
			shown[i.Task] = true
		}
	}
	for _, t := range tasks {
		if t.Framework != builtin || all && !shown[t.ID] {
			rows = append(rows, taskRow(t, names))
		}
	}
	return rows
}

// asTheMasterKnows is an instance with the state of its task. After a change of masters the jobs ask for that only in a
// while, and the agent has told the master already.
func asTheMasterKnows(i api.Instance, t api.Task) api.Instance {
	if i.State == "STAGING" && t.ID != "" {
		i.State, i.Health, i.Since, i.Message, i.Exit, i.Signal = t.State, t.Health, t.Since, t.Message, t.Exit, t.Signal
	}
	return i
}

func instanceRow(j api.Job, i api.Instance, names agentNames) psRow {
	row := psRow{Name: instanceName(j.Name, i.Index), Job: j.Name, State: stateOf(i), Health: i.Health, Since: i.Since,
		Restarts: i.Restarts, Ports: i.Ports, Image: i.Image, Version: i.Version, Why: i.Pending}
	if i.Task != "" {
		row.Task = builtin + "/" + i.Task
	}
	if i.Agent != "" {
		row.Agent = names.of(i.Agent)
	}
	if i.Pending == "" && row.State != "running" {
		row.Why = reasonOf(i.Message, i.Exit, i.Signal)
	}
	return row
}

// stateOf is an instance's state in words: pending if none of its tasks is started.
func stateOf(i api.Instance) string {
	if i.Pending != "" && i.State == "STAGING" {
		return "pending"
	}
	return strings.ToLower(i.State)
}

func taskRow(t api.Task, names agentNames) psRow {
	row := psRow{Name: targetOfTask(t).label, Job: t.Job, Task: t.Framework + "/" + t.ID, State: strings.ToLower(t.State), Health: t.Health,
		Agent: cmp.Or(t.AgentName, names.of(t.Agent)), Since: t.Since}
	if row.State != "running" {
		row.Why = reasonOf(t.Message, t.Exit, t.Signal)
	}
	return row
}

// reasonOf is how a task ended, and what is said of it.
func reasonOf(message string, exit, signal *int) string {
	how := ended(exit, signal)
	if how == "" || strings.Contains(message, how) {
		return message
	}
	return strings.TrimSuffix(how+": "+message, ": ")
}

func showRows(w io.Writer, rows []psRow) {
	table := [][]string{{"NAME", "STATE", "HEALTH", "AGENT", "SINCE", "RESTARTS", "PORTS"}}
	images := slices.ContainsFunc(rows, func(r psRow) bool { return r.Image != "" })
	if images {
		table[0] = append(table[0], "IMAGE")
	}
	for _, r := range rows {
		ports := strings.Trim(fmt.Sprint(r.Ports), "[]")
		row := []string{r.Name, r.State, cmp.Or(r.Health, "-"), cmp.Or(r.Agent, "-"), since(r.Since), fmt.Sprint(r.Restarts), cmp.Or(ports, "-")}
		if images {
			row = append(row, cmp.Or(r.Image, "-"))
		}
		table = append(table, row)
	}
	columns(w, table)
	for _, r := range rows {
		if r.Why != "" {
			fmt.Fprintf(w, "! %s: %s\n", r.Name, strings.ReplaceAll(r.Why, "\n", "; "))
		}
	}
}

func (a *app) jobsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "jobs [JOB]", Short: "list jobs, or show one with its file", Args: cobra.MaximumNArgs(1),
		Example: a.example("jobs", "jobs web", "jobs web --output json"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return a.showJob(c.Context(), client, args[0])
			}
			list, err := client.Jobs(c.Context())
			if err != nil {
				return err
			}
			if list == nil {
				list = []api.Job{}
			}
			return a.answer(list, func(w io.Writer) { columns(w, jobRows(list)) })
		},
	}
}

func (a *app) showJob(ctx context.Context, client *api.Client, name string) error {
	j, err := findJob(ctx, client, name)
	if err != nil {
		return err
	}
	if j, err = client.Job(ctx, j.Name); err != nil { // with its Spec
		return err
	}
	return a.answer(j, func(w io.Writer) {
		columns(w, jobRows([]api.Job{j}))
		if j.Progress != "" {
			fmt.Fprintf(w, "! %s\n", j.Progress)
		}
		if j.Spec != "" {
			fmt.Fprintf(w, "\n%s\n", strings.TrimRight(j.Spec, "\n"))
		}
	})
}

func jobRows(list []api.Job) [][]string {
	rows := [][]string{{"JOB", "KIND", "STATE", "RUNNING", "HEALTHY", "VERSION", "NEXT"}}
	for _, j := range list {
		next := "-"
		if j.Next != 0 {
			next = "in " + age(time.Until(time.UnixMilli(j.Next)))
		}
		rows = append(rows, []string{j.Name, j.Kind, j.State, fmt.Sprintf("%d of %d", j.Running, j.Count), fmt.Sprint(j.Healthy), fmt.Sprint(j.Version), next})
	}
	return rows
}

func (a *app) agentsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "agents", Short: "list the machines that run tasks", Args: cobra.NoArgs,
		Example: a.example("agents", "agents gone a3", "agents --output json"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			list, err := client.Agents(c.Context())
			if err != nil {
				return err
			}
			if list == nil {
				list = []api.Agent{}
			}
			return a.answer(list, func(w io.Writer) { columns(w, agentRows(list)) })
		},
	}
	var yes bool
	gone := a.agentAction(api.AgentGone, "say that an agent will never come back",
		"Say that an agent will never come back: its tasks are told to be gone, and are started elsewhere. Only when its machine is\n"+
			"off for good: if the tasks run on there, they run twice from now on. The agent is refused should it come back. One that\n"+
			"is registered has answered lately and is not gone, which --yes overrules: what runs there is killed then.", "is gone for good", func(agent api.Agent) error {
			if agent.State != "registered" || yes {
				return nil
			}
			return &api.Error{Code: api.CodeConflict, Message: fmt.Sprintf("agent %s is registered: it is not gone, and nothing was done", agentName(agent)),
				Why: "it has answered lately, and what runs there would run twice until it is killed",
				Do:  []string{"move its tasks away:  node drain " + agentName(agent), "if its machine is off for good:  node agents gone " + agentName(agent) + " --yes"}}
		})
	gone.Flags().BoolVar(&yes, "yes", false, "also if the agent is registered")
	c.AddCommand(gone,
		a.agentAction(api.AgentDeactivate, "offer nothing more of an agent", "Offer nothing more of an agent. Its tasks run on.", "gets no more tasks", nil),
		a.agentAction(api.AgentReactivate, "let an agent run tasks again", "Let an agent run tasks again, after deactivate or drain.", "runs tasks again", nil))
	return c
}

func agentName(agent api.Agent) string { return cmp.Or(agent.Name, agent.ID) }

// agentAction is a verb that does something about one agent at once, unless refuse, if set, has a reason not to.
func (a *app) agentAction(action api.AgentAction, short, long, done string, refuse func(api.Agent) error) *cobra.Command {
	return &cobra.Command{
		Use: string(action) + " AGENT", Short: short, Long: long, Args: cobra.ExactArgs(1), Example: a.example("agents " + string(action) + " a3"),
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
			if refuse != nil {
				err = refuse(agent)
			}
			if err != nil {
				return err
			}
			changed, err := client.ChangeAgent(c.Context(), agent.ID, action, 0)
			if err != nil {
				return err
			}
			return a.answer(changed, func(w io.Writer) { fmt.Fprintf(w, "%s %s\n", agentName(agent), done) })
		},
	}
}

func agentRows(list []api.Agent) [][]string {
	rows := [][]string{{"AGENT", "ID", "STATE", "SINCE", "TASKS", "USED", "OF", "ATTRIBUTES", "ADDRESS"}}
	for _, a := range list {
		var attributes []string
		for _, name := range sortedKeys(a.Attributes) {
			attributes = append(attributes, name+"="+a.Attributes[name])
		}
		rows = append(rows, []string{cmp.Or(a.Name, "-"), a.ID, agentState(a), since(a.Since), fmt.Sprint(a.Tasks), cmp.Or(a.Used, "-"), cmp.Or(a.Resources, "-"),
			cmp.Or(strings.Join(attributes, ","), "-"), cmp.Or(a.Address, "-")})
	}
	return rows
}

// agentState is an agent's state in words.
func agentState(a api.Agent) string {
	state := a.State
	switch {
	case a.Draining:
		state += ", draining"
	case a.Inactive:
		state += ", inactive"
	}
	return state
}

func (a *app) frameworksCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "frameworks", Short: "list who runs tasks on the agents", Args: cobra.NoArgs,
		Long:    "List the frameworks. The built-in one, " + builtin + ", runs the jobs of  run .",
		Example: a.example("frameworks", "frameworks remove 7-F1", "frameworks --output json"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			list, err := client.Frameworks(c.Context())
			if err != nil {
				return err
			}
			if list == nil {
				list = []api.Framework{}
			}
			return a.answer(list, func(w io.Writer) { columns(w, frameworkRows(list)) })
		},
	}
	c.AddCommand(a.frameworkAction("remove", "end a framework and all its tasks", "End a framework and all its tasks. Its id is refused from then on.", "is removed",
		(*api.Client).RemoveFramework),
		a.frameworkAction("allow", "let the id of a removed framework be used again", "Let a framework subscribe with the id of one that was removed.", "may subscribe again",
			(*api.Client).AllowFramework))
	return c
}

// frameworkAction is a verb that does something about one framework.
func (a *app) frameworkAction(verb, short, long, done string, change func(*api.Client, context.Context, string) (api.Changed, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " FRAMEWORK", Short: short, Long: long, Args: cobra.ExactArgs(1), Example: a.example("frameworks " + verb + " 7-F1"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			changed, err := change(client, c.Context(), args[0])
			if err != nil {
				return err
			}
			return a.answer(changed, func(w io.Writer) { fmt.Fprintf(w, "%s %s\n", changed.Name, done) })
		},
	}
}

func frameworkRows(list []api.Framework) [][]string {
	rows := [][]string{{"FRAMEWORK", "NAME", "CONNECTED", "SINCE", "ROLES", "TASKS", "USED", "FAILOVER"}}
	for _, f := range list {
		rows = append(rows, []string{f.ID, f.Name, yes(f.Connected), since(f.Since), strings.Join(f.Roles, ","), fmt.Sprint(f.Tasks), cmp.Or(f.Used, "-"),
			(time.Duration(f.FailoverTimeout) * time.Millisecond).String()})
	}
	slices.SortStableFunc(rows[1:], func(x, y []string) int { return strings.Compare(x[0], y[0]) })
	return rows
}
