package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/actors/master"
	"github.com/synod-go/synod/mesos"
)

// builtIn is the framework that runs jobs.
const builtIn mesos.FrameworkID = "synod"

// view is the leading master's state, on its node.
func (s *Server) view(ctx context.Context) (*mesos.MasterView, error) {
	v, err := s.master.Load().View(ctx)
	if err != nil {
		return nil, masterError(err, "the look")
	}
	return v, nil
}

// getAgents lists the agents that are admitted, unreachable or gone.
func (s *Server) getAgents(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r)
	v, err := s.view(r.Context())
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	list := AgentList{Agents: make([]Agent, 0, len(v.Agents))}
	for i := range v.Agents {
		list.Agents = append(list.Agents, agentOf(&v.Agents[i]))
	}
	s.writeAnswer(w, list)
}

func agentOf(a *mesos.AgentView) Agent {
	return Agent{ID: string(a.Info.ID), Name: a.Info.Hostname, Address: a.Info.Address, State: a.State, Since: a.Since.Milliseconds(),
		Draining: a.Drain.Draining, Inactive: a.Drain.Deactivated, Resources: a.Info.Resources.String(), Used: a.Used.String(),
		Attributes: a.Info.Attributes, Tasks: a.Tasks}
}

// getFrameworks lists the frameworks that are not removed.
func (s *Server) getFrameworks(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r)
	v, err := s.view(r.Context())
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	list := FrameworkList{Frameworks: make([]Framework, 0, len(v.Frameworks))}
	for i := range v.Frameworks {
		list.Frameworks = append(list.Frameworks, frameworkOf(&v.Frameworks[i]))
	}
	s.writeAnswer(w, list)
}

func frameworkOf(f *mesos.FrameworkView) Framework {
	roles := f.Info.Roles
	if len(roles) == 0 {
		roles = []string{"*"}
	}
	return Framework{ID: string(f.Info.ID), Name: f.Info.Name, Roles: roles, Connected: f.Connected,
		Since: f.Since.Milliseconds(), FailoverTimeout: f.Info.FailoverTimeout.Milliseconds(), Used: f.Used.String(), Tasks: f.Tasks}
}

// getTasks lists tasks, those that have not ended or with "all" also those that are
// remembered.
func (s *Server) getTasks(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "framework", "job", "agent", "all")
	all := q.flag("all")
	v, err := s.view(r.Context())
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	s.writeAnswer(w, taskList(v, taskFilter{q.values.Get("framework"), q.values.Get("job"), q.values.Get("agent"), all}))
}

// taskFilter is which tasks are asked for: "" is any.
type taskFilter struct {
	framework, job, agent string
	all                   bool // also those that have ended
}

// taskList shows the tasks that are asked for. It costs as much as is shown, however many
// agents there are and tasks have ended: a reader may come every few milliseconds.
func taskList(v *mesos.MasterView, f taskFilter) TaskList {
	list := TaskList{Tasks: []Task{}}
	for i := range v.Tasks {
		t := &v.Tasks[i]
		if !f.all && t.Task.State.Terminal() || f.framework != "" && f.framework != string(t.Task.Key.Framework) ||
			f.job != "" && f.job != jobOfView(t) {
			continue
		}
		name := agentName(v, t.Task.Agent)
		if f.agent == "" || f.agent == string(t.Task.Agent) || f.agent == name {
			list.Tasks = append(list.Tasks, taskOf(t, name))
		}
	}
	return list
}

// agentName is the name of an agent, "" if it is none of the view's, which are in the order
// of their ids.
func agentName(v *mesos.MasterView, id mesos.AgentID) string {
	i, found := slices.BinarySearchFunc(v.Agents, id, func(a mesos.AgentView, id mesos.AgentID) int { return cmp.Compare(a.Info.ID, id) })
	if !found {
		return ""
	}
	return v.Agents[i].Info.Hostname
}

// jobOfView is the job of a task, "" if it is none of the built-in framework's.
func jobOfView(t *mesos.TaskView) string {
	if t.Task.Key.Framework != builtIn {
		return ""
	}
	return cmp.Or(t.Task.Labels["job"], jobOfTask(string(t.Task.Key.Task)))
}

// taskOf shows a task. agentName is that of its agent.
func taskOf(v *mesos.TaskView, agentName string) Task {
	t, s := &v.Task, &v.Status
	shown := Task{Framework: string(t.Key.Framework), ID: string(t.Key.Task), Name: t.Name, Agent: string(t.Agent), AgentName: agentName, Job: jobOfView(v),
		Container: t.Container.String(), State: t.State.String(), Message: s.Message, Since: v.Since.Milliseconds(), Resources: t.Resources.String()}
	if s.Reason != mesos.ReasonNone {
		shown.Reason = s.Reason.String()
	}
	switch s.Health {
	case mesos.Healthy:
		shown.Health = "healthy"
	case mesos.Unhealthy:
		shown.Health = "unhealthy"
	}
	if s.HasExit && s.Signal != 0 {
		shown.Signal = &s.Signal
	} else if s.HasExit {
		shown.Exit = &s.ExitCode
	}
	return shown
}

// jobOfTask is the job in the id of a task of the built-in framework: job.index.number.
func jobOfTask(id string) string {
	for range 2 {
		i := strings.LastIndexByte(id, '.')
		if i < 0 {
			return ""
		}
		id = id[:i]
	}
	return id
}

// postAgent does something about an agent.
func (s *Server) postAgent(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "deadline")
	id, action := mesos.AgentID(r.PathValue("id")), AgentAction(r.PathValue("action"))
	deadline, err := parseMilliseconds("deadline", q.values.Get("deadline"))
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	var o mesos.RegistryOperation
	switch action {
	case AgentDrain:
		drain := mesos.DrainAgent{Agent: id}
		if deadline > 0 {
			drain.Deadline = time.Duration(time.Now().UnixNano()) + milliseconds(deadline)
		}
		o = drain
	case AgentDeactivate:
		o = mesos.DeactivateAgent{Agent: id}
	case AgentReactivate:
		o = mesos.ReactivateAgent{Agent: id}
	case AgentGone:
		o = mesos.MarkGone{Agent: id}
	default:
		writeError(w, &Error{Code: CodeNotFound, Message: fmt.Sprintf("there is no action %q for agents", action),
			Do: []string{"use drain, deactivate, reactivate or gone"}})
		return
	}
	if deadline > 0 && action != AgentDrain {
		writeError(w, badRequest("only drain has a deadline", ""))
		return
	}
	s.operate(w, r, o, string(id), fmt.Sprintf("the %s of agent %s", action, id), "look which there are:  node agents")
}

func (s *Server) deleteFramework(w http.ResponseWriter, r *http.Request) {
	id := mesos.FrameworkID(r.PathValue("id"))
	q := newQuery(r)
	switch {
	case q.err != nil:
		writeError(w, q.err)
	case id == builtIn:
		writeError(w, badRequest("the built-in framework cannot be removed", "it runs the jobs", "stop the jobs:  node stop JOB"))
	default:
		s.operate(w, r, mesos.RemoveFramework{Framework: id}, string(id), "the removal of framework "+string(id), "look which there are:  node frameworks")
	}
}

func (s *Server) allowFramework(w http.ResponseWriter, r *http.Request) {
	id := mesos.FrameworkID(r.PathValue("id"))
	if q := newQuery(r); q.err != nil {
		writeError(w, q.err)
		return
	}
	s.operate(w, r, mesos.AllowFramework{Framework: id}, string(id), "the return of framework "+string(id), "look which there are:  node frameworks")
}

// operate has the master carry out an operator's operation about what name names.
func (s *Server) operate(w http.ResponseWriter, r *http.Request, o mesos.RegistryOperation, name, what string, do ...string) {
	if err := mesos.CheckName(name); err != nil {
		writeError(w, badRequest("the name makes no sense", strings.TrimPrefix(err.Error(), "mesos: "), do...))
		return
	}
	ctx, cancel, err := s.requestContext(r)
	if err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	answers, err := s.master.Load().Operate(ctx, o)
	if err != nil {
		writeError(w, masterError(err, what))
		return
	}
	if err := answerError(answers[0], what, do...); err != nil {
		writeError(w, err)
		return
	}
	s.writeAnswer(w, Changed{Name: name})
}

// answerError says for people and programs what a master's refusal means; nil if it is none.
func answerError(a mesos.Answer, what string, do ...string) error {
	e := &Error{Message: what + " was not done", Why: a.Message, Do: do}
	switch a.Code {
	case mesos.CallAccepted:
		return nil
	case mesos.CallNotReady:
		e.Code, e.Do = CodeNoLeader, []string{"try again in a second"}
	case mesos.CallOverloaded:
		e.Code, e.Do = CodeOverloaded, []string{"try again a little later, and slower"}
	case mesos.CallRefused:
		e.Code = CodeConflict
		if a.Message == mesos.CodeAgentUnknown.String() || a.Message == mesos.CodeFrameworkUnknown.String() {
			e.Code = CodeNotFound
		}
	default:
		e.Code = CodeRequest
	}
	return e
}

// maxHappenings is how many are written at a time.
const maxHappenings = 1000

// getHappenings writes what has happened after a sequence number, one a line, and with
// "follow" goes on until the client or the mastership ends.
func (s *Server) getHappenings(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "after", "follow", "term")
	after, term, follow := q.number("after"), q.number("term"), q.flag("follow")
	leading, err := s.master.Load().Leading()
	if err != nil {
		err = masterError(err, "the look")
	}
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	if term != 0 && term != uint64(leading.Term()) {
		after = 0 // another master counted
	}
	select {
	case s.watches <- struct{}{}:
		defer func() { <-s.watches }()
	default:
		writeError(w, &Error{Code: CodeOverloaded, Message: "this node has as many streams as it takes", Do: []string{"ask another node"}})
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set(headerTerm, fmt.Sprint(uint64(leading.Term())))
	w.WriteHeader(http.StatusOK)
	s.happenings(ctx, newLineStream(w, s.config.SlowClient), leading, after, follow)
}

// happenings writes until there are no more or, if it follows, until ctx ends.
func (s *Server) happenings(ctx context.Context, out *lineStream, leading *master.Leading, after uint64, follow bool) {
	for {
		wait := time.Duration(0)
		if follow {
			wait = s.config.Heartbeat
		}
		some, err := within(ctx, wait, func(ctx context.Context) ([]master.Happening, error) {
			return leading.Happenings(ctx, after, maxHappenings)
		})
		for _, h := range some {
			after = h.Sequence
			out.add(happeningOf(h))
		}
		switch {
		case err != nil && !errors.Is(err, context.DeadlineExceeded), err != nil && !follow:
			_ = out.flush()
			return
		case err != nil:
			out.quiet()
		}
		if err := out.flush(); err != nil {
			return
		}
	}
}

// within calls f with at most so much time.
func within[T any](ctx context.Context, wait time.Duration, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return f(ctx)
}

func happeningOf(h master.Happening) Happening {
	return Happening{Sequence: h.Sequence, Term: uint64(h.Term), Time: h.Time, Kind: string(h.Kind), Subject: h.Subject, Text: h.Text}
}
