package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/jobs/jobfile"
)

// Agents returns the agents that are admitted, unreachable or gone, by id.
func (c *Client) Agents(ctx context.Context) ([]Agent, error) {
	var list AgentList
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/agents", what: "the list of agents"}, &list)
	return list.Agents, err
}

// AgentAction is what an operator does about an agent.
type AgentAction string

const (
	// AgentDrain ends an agent's tasks in order and offers nothing more of it.
	AgentDrain AgentAction = "drain"
	// AgentDeactivate offers nothing more of it.
	AgentDeactivate AgentAction = "deactivate"
	// AgentReactivate undoes both.
	AgentReactivate AgentAction = "reactivate"
	// AgentGone says that it will never come back: its tasks are told to be gone.
	AgentGone AgentAction = "gone"
)

// ChangeAgent does something about the agent of that id. deadline, unless 0, is how long a drain lets tasks end
// before they are killed.
func (c *Client) ChangeAgent(ctx context.Context, id string, action AgentAction, deadline time.Duration) (Changed, error) {
	values := url.Values{}
	if deadline > 0 {
		values.Set("deadline", deadline.String())
	}
	return c.change(ctx, http.MethodPost, "/v1/agents/"+url.PathEscape(id)+"/"+string(action), values, "the "+string(action)+" of agent "+id)
}

// change carries out a call that changes something. It can be repeated: a second time it changes
// nothing more.
func (c *Client) change(ctx context.Context, method, path string, values url.Values, what string) (Changed, error) {
	var done Changed
	err := c.do(ctx, call{method: method, path: path, query: values, same: true, what: what}, &done)
	return done, err
}

// Frameworks returns the frameworks that are not removed, by id.
func (c *Client) Frameworks(ctx context.Context) ([]Framework, error) {
	var list FrameworkList
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/frameworks", what: "the list of frameworks"}, &list)
	return list.Frameworks, err
}

// RemoveFramework ends a framework and all its tasks.
func (c *Client) RemoveFramework(ctx context.Context, id string) (Changed, error) {
	return c.change(ctx, http.MethodDelete, "/v1/frameworks/"+url.PathEscape(id), nil, "the removal of framework "+id)
}

// AllowFramework lets the id of a framework that was removed be used again.
func (c *Client) AllowFramework(ctx context.Context, id string) (Changed, error) {
	return c.change(ctx, http.MethodPost, "/v1/frameworks/"+url.PathEscape(id)+"/allow", nil, "the return of framework "+id)
}

// TaskFilter chooses tasks; what is empty chooses all.
type TaskFilter struct {
	Framework, Job, Agent string
	// Ended lists also those that have ended and are remembered.
	Ended bool
}

// Tasks returns tasks, by framework and id.
func (c *Client) Tasks(ctx context.Context, f TaskFilter) ([]Task, error) {
	values := url.Values{}
	for name, value := range map[string]string{"framework": f.Framework, "job": f.Job, "agent": f.Agent} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if f.Ended {
		values.Set("all", "true")
	}
	var list TaskList
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/tasks", query: values, what: "the list of tasks"}, &list)
	return list.Tasks, err
}

func taskPath(framework, task string) string {
	return "/v1/tasks/" + url.PathEscape(framework) + "/" + url.PathEscape(task)
}

// Task returns one task. It fails with CodeNotFound if the master knows none of that name.
func (c *Client) Task(ctx context.Context, framework, task string) (Task, error) {
	var t Task
	err := c.do(ctx, call{method: http.MethodGet, path: taskPath(framework, task), what: "the task " + task}, &t)
	return t, err
}

// KillTask has the master end a task; its own grace holds if grace is 0. What the framework does then is
// for the framework to say: a service is started anew.
func (c *Client) KillTask(ctx context.Context, framework, task string, grace time.Duration) (Changed, error) {
	values := url.Values{}
	if grace > 0 {
		values.Set("grace", grace.String())
	}
	return c.change(ctx, http.MethodDelete, taskPath(framework, task), values, "the end of task "+task)
}

// Jobs returns the jobs of the built-in framework by name.
func (c *Client) Jobs(ctx context.Context) ([]Job, error) {
	var list JobList
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/jobs", what: "the list of jobs"}, &list)
	return list.Jobs, err
}

func jobPath(name string) string { return "/v1/jobs/" + url.PathEscape(name) }

// Job returns one job. It fails with CodeNotFound if there is none of that name.
func (c *Client) Job(ctx context.Context, name string) (Job, error) {
	var j Job
	err := c.do(ctx, call{method: http.MethodGet, path: jobPath(name), what: "the job " + name}, &j)
	return j, err
}

// PutJobs runs the jobs of a YAML file, or changes those that are there. expect, unless 0, is the version
// that the one job of the file must have: CodeConflict says that it has another. CodeUnknown says that it may have
// happened. Before that it is repeated, for as long as there is time, but for what a second time would do more: a job
// that runs once might have ended meanwhile, and run again, and a version that was expected is one that there was.
func (c *Client) PutJobs(ctx context.Context, file []byte, expect uint64) ([]Changed, error) {
	values := url.Values{}
	if expect > 0 {
		values.Set("expect", strconv.FormatUint(expect, 10))
	}
	same := expect == 0 && !mayRunOnce(file)
	var done ChangedJobs
	err := c.do(ctx, call{method: http.MethodPut, path: "/v1/jobs", query: values, body: file, same: same, single: !same,
		header: http.Header{"Content-Type": {"application/yaml"}}, what: "the change of the jobs"}, &done)
	return done.Jobs, err
}

// mayRunOnce reports whether a file has jobs of the kind jobs.Once, for all that this client can read of it.
func mayRunOnce(file []byte) bool {
	specs, err := jobfile.Parse(file)
	return err != nil || slices.ContainsFunc(specs, func(s jobs.Spec) bool { return s.Kind == jobs.Once })
}

// StopJob ends all instances of a job and forgets it once they have ended.
func (c *Client) StopJob(ctx context.Context, name string) (Changed, error) {
	return c.change(ctx, http.MethodDelete, jobPath(name), nil, "the end of job "+name)
}

// ScaleJob changes how many instances a job has.
func (c *Client) ScaleJob(ctx context.Context, name string, count int) (Changed, error) {
	return c.change(ctx, http.MethodPost, jobPath(name)+"/scale", url.Values{"count": {strconv.Itoa(count)}}, "the scaling of job "+name)
}

// RollbackJob brings back what a job was before its last change. CodeUnknown says that it may have
// happened: it is not repeated, since a second one undoes the first.
func (c *Client) RollbackJob(ctx context.Context, name string) (Changed, error) {
	var done Changed
	err := c.do(ctx, call{method: http.MethodPost, path: jobPath(name) + "/rollback", single: true, what: "the rollback of job " + name}, &done)
	return done, err
}

// RestartJob replaces all instances of a job, as an update does.
func (c *Client) RestartJob(ctx context.Context, name string) (Changed, error) {
	var done Changed
	err := c.do(ctx, call{method: http.MethodPost, path: jobPath(name) + "/restart", single: true, what: "the restart of job " + name}, &done)
	return done, err
}
