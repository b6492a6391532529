package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/jobs"
)

// builtin is the framework that runs what people hand to this program.
const builtin = string(jobs.FrameworkID)

// target is one task as people name it.
type target struct {
	label     string // JOB.INDEX, or FRAMEWORK/TASK of another framework
	framework string
	task      string
	job       string // "": not of the built-in framework
	index     int
}

func targetOf(j api.Job, i api.Instance) target {
	return target{label: instanceName(j.Name, i.Index), framework: builtin, task: i.Task, job: j.Name, index: i.Index}
}

func targetOfTask(t api.Task) target {
	p := target{label: t.Framework + "/" + t.ID, framework: t.Framework, task: t.ID, index: -1}
	if t.Framework == builtin {
		p.label, p.job = t.ID, t.Job
	}
	return p
}

func instanceName(job string, index int) string { return fmt.Sprintf("%s.%d", job, index) }

// find returns the tasks that a name means: a job's (and its name), one instance's, or one task's. Any prefix will do that
// means one thing only.
func find(ctx context.Context, client *api.Client, name string) (job string, targets []target, err error) {
	list, err := client.Jobs(ctx)
	if err != nil {
		return "", nil, err
	}
	if job, targets, found := amongJobs(list, name); found {
		return job, targets, startedOnes(list, name, targets)
	}
	tasks, err := client.Tasks(ctx, api.TaskFilter{Ended: true})
	if err != nil {
		return "", nil, err
	}
	return amongAll(list, tasks, name)
}

// amongJobs finds a job or an instance by its whole name.
func amongJobs(list []api.Job, name string) (job string, targets []target, found bool) {
	for _, j := range list {
		for _, i := range j.Instances {
			if j.Name == name || instanceName(j.Name, i.Index) == name {
				targets = append(targets, targetOf(j, i))
			}
		}
		if j.Name == name {
			return j.Name, targets, true
		}
	}
	return "", targets, len(targets) > 0
}

// startedOnes is an error if none of the targets has a task.
func startedOnes(list []api.Job, name string, targets []target) error {
	if slices.ContainsFunc(targets, func(p target) bool { return p.task != "" }) {
		return nil
	}
	e := &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("%q has no task", name), Why: "nothing was started for it so far", Do: []string{"node ps " + name}}
	for _, j := range list {
		for _, i := range j.Instances {
			if i.Pending != "" && (j.Name == name || instanceName(j.Name, i.Index) == name) {
				e.Why = i.Pending
			}
		}
	}
	return e
}

// amongAll finds a task by its name, or anything by a prefix.
func amongAll(list []api.Job, tasks []api.Task, name string) (job string, targets []target, err error) {
	var exact, begun []target
	for _, t := range tasks {
		p := targetOfTask(t)
		switch whole := t.Framework + "/" + t.ID; {
		case t.ID == name || whole == name || t.Container == name:
			exact = append(exact, p)
		case strings.HasPrefix(t.ID, name) || strings.HasPrefix(whole, name) || len(name) >= 4 && strings.HasPrefix(t.Container, name):
			begun = append(begun, p)
		}
	}
	if len(exact) == 1 {
		return "", exact, nil
	}
	var names []string
	for _, j := range list {
		if strings.HasPrefix(j.Name, name) {
			names = append(names, j.Name)
		}
	}
	switch {
	case len(names) == 1 && len(exact) == 0:
		job, targets, _ = amongJobs(list, names[0])
		return job, targets, startedOnes(list, names[0], targets)
	case len(names) == 0 && len(exact) == 0 && len(begun) == 1:
		return "", begun, nil
	}
	for _, p := range append(exact, begun...) {
		if len(names) == 0 || p.job == "" {
			names = append(names, p.framework+"/"+p.task)
		}
	}
	return "", nil, notOne("job, instance or task", name, names, "node ps --all")
}

// notOne is the error of a name that means nothing, or more than one thing.
func notOne(kind, name string, meant []string, look string) error {
	if len(meant) == 0 {
		return &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("there is no %s %q", kind, name), Do: []string{look}}
	}
	slices.Sort(meant)
	meant = slices.Compact(meant)
	more := ""
	if len(meant) > 5 {
		more = fmt.Sprintf(" and %d more", len(meant)-5)
	}
	return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%q means more than one %s", name, kind),
		Why: "it could be " + strings.Join(meant[:min(len(meant), 5)], ", ") + more, Do: []string{"name it in full, or with more letters"}}
}

// findJob returns the job that a name or a prefix of it means.
func findJob(ctx context.Context, client *api.Client, name string) (api.Job, error) {
	list, err := client.Jobs(ctx)
	if err != nil {
		return api.Job{}, err
	}
	var names []string
	var found api.Job
	for _, j := range list {
		if j.Name == name {
			return j, nil
		}
		if name != "" && strings.HasPrefix(j.Name, name) {
			names, found = append(names, j.Name), j
		}
	}
	if len(names) != 1 {
		return api.Job{}, notOne("job", name, names, "node jobs")
	}
	return found, nil
}

// findAgent returns the agent that an id, a name, or a prefix of one means.
func findAgent(list []api.Agent, name string) (api.Agent, error) {
	var exact, begun []api.Agent
	for _, a := range list {
		switch {
		case a.ID == name:
			return a, nil
		case a.Name == name:
			exact = append(exact, a)
		case name != "" && (strings.HasPrefix(a.ID, name) || strings.HasPrefix(a.Name, name)):
			begun = append(begun, a)
		}
	}
	if len(exact) == 1 {
		return exact[0], nil
	}
	if len(exact) == 0 && len(begun) == 1 {
		return begun[0], nil
	}
	var names []string
	for _, a := range append(exact, begun...) {
		names = append(names, cmp.Or(a.Name, "-")+" "+a.ID)
	}
	return api.Agent{}, notOne("agent", name, names, "node agents")
}

// agentNames are the names of agents by their ids.
type agentNames map[string]string

func (a *app) agentNames(ctx context.Context, client *api.Client) (agentNames, error) {
	list, err := client.Agents(ctx)
	if err != nil {
		return nil, err
	}
	names, times := agentNames{}, map[string]int{}
	for _, agent := range list {
		times[agent.Name]++
	}
	for _, agent := range list {
		names[agent.ID] = agent.ID
		if agent.Name != "" && times[agent.Name] == 1 {
			names[agent.ID] = agent.Name
		}
	}
	return names, nil
}

// of is the name of the agent of that id, "-" for none.
func (n agentNames) of(id string) string { return cmp.Or(n[id], id, "-") }

// since is how long ago a Unix time in milliseconds was.
func since(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return age(time.Since(time.UnixMilli(ms)))
}

// age is a duration in its largest unit.
func age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// ended is how a task ended, "" if it did not or nobody knows.
func ended(exit, signal *int) string {
	switch {
	case signal != nil && *signal != 0:
		return fmt.Sprintf("signal %d", *signal)
	case exit != nil:
		return fmt.Sprintf("exit %d", *exit)
	}
	return ""
}

// many is a number of things in words.
func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
