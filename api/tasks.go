package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/synod-go/synod/actors/master"
	"github.com/synod-go/synod/mesos"
)

// taskNamed is the task that a request's address names, on the node of the leading master, and its agent's address,
// "" if it has none.
func (s *Server) taskNamed(r *http.Request) (t *mesos.TaskView, agent mesos.AgentInfo, err error) {
	key := mesos.TaskKey{Framework: mesos.FrameworkID(r.PathValue("framework")), Task: mesos.TaskID(r.PathValue("task"))}
	v, err := s.master.Load().Recent()
	if err == nil {
		t = taskIn(v, key)
	}
	if t == nil || t.Task.State.Terminal() { // it may have begun since
		if v, err = s.view(r.Context()); err != nil {
			return nil, agent, err
		}
		t = taskIn(v, key)
	}
	if missing := awaited(v); t == nil && missing > 0 {
		return nil, agent, &Error{Code: CodeStarting, Message: fmt.Sprintf("the task %.300q of %.300q is not known yet", key.Task, key.Framework),
			Why: fmt.Sprintf("the leading master is new, and %d agents have not told it of their tasks", missing), Do: []string{"try again", "node agents"}}
	}
	if t == nil {
		return nil, agent, &Error{Code: CodeNotFound, Message: fmt.Sprintf("there is no task %.300q of %.300q", key.Task, key.Framework),
			Why: "it never was, or it has ended and is forgotten", Do: []string{"node ps --all"}}
	}
	for i := range v.Agents {
		if v.Agents[i].Info.ID == t.Task.Agent {
			agent = v.Agents[i].Info
		}
	}
	return t, agent, nil
}

// taskIn is the task of that name. Of two, as they may come from two agents, it is the one that has not ended.
func taskIn(v *mesos.MasterView, key mesos.TaskKey) (t *mesos.TaskView) {
	for i := range v.Tasks {
		if v.Tasks[i].Task.Key == key && (t == nil || t.Task.State.Terminal()) {
			t = &v.Tasks[i]
		}
	}
	return t
}

// awaited is how many agents have not come back since the master was elected.
func awaited(v *mesos.MasterView) (n int) {
	for i := range v.Agents {
		if v.Agents[i].State == "recovered" {
			n++
		}
	}
	return n
}

func (s *Server) getTask(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r)
	t, agent, err := s.taskNamed(r)
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	s.writeAnswer(w, taskOf(t, agent.Hostname))
}

// deleteTask has a task ended. It answers when the agent is being told.
func (s *Server) deleteTask(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "grace")
	grace := q.milliseconds("grace")
	t, _, err := s.taskNamed(r)
	var leading *master.Leading
	if err == nil {
		leading, err = s.leadingMaster()
	}
	ctx, cancel, timeErr := s.requestContext(r)
	if err = errors.Join(q.err, err, timeErr); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	name := string(t.Task.Key.Framework) + "/" + string(t.Task.Key.Task)
	answer, err := leading.KillTask(ctx, t.Task.Key, milliseconds(grace))
	if err == nil {
		err = answerError(answer, "the end of task "+name, "node ps --all")
	} else {
		err = masterError(err, "the end of task "+name)
	}
	if err != nil {
		writeError(w, err)
		return
	}
	s.writeAnswer(w, Changed{Name: name})
}

func (s *Server) leadingMaster() (*master.Leading, error) {
	l, err := s.master.Load().Leading()
	if err != nil {
		return nil, masterError(err, "the request")
	}
	return l, nil
}

// atAgent passes a request about a task on to the task's agent: its logs, its files, a command beside it.
func (s *Server) atAgent(what string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		t, agent, err := s.taskNamed(r)
		if err != nil {
			writeError(w, err)
			return
		}
		if _, _, err := net.SplitHostPort(agent.Address); err != nil || t.Task.Container == (mesos.ContainerID{}) {
			writeError(w, &Error{Code: CodeAgent, Message: fmt.Sprintf("the agent of task %s has nothing of it", t.Task.Key.Task),
				Why: "the task was never started, or its agent has told no address"})
			return
		}
		release, err := s.takeWatch()
		if err != nil {
			writeError(w, err)
			return
		}
		defer release()
		ctx, cancel := s.untilShutdown(r.Context())
		defer cancel()
		target := agentURL(s.config.AgentTLS != nil, agent.Address, t.Task.Container, what, r)
		s.proxyAgent(w, r.WithContext(ctx), target, agent)
	}
}

// agentURL is where an agent has what is asked for.
func agentURL(secure bool, address string, c mesos.ContainerID, what string, r *http.Request) *url.URL {
	u := &url.URL{Scheme: "http", Host: address, RawQuery: r.URL.RawQuery}
	if secure {
		u.Scheme = "https"
	}
	u.Path = "/v1/containers/" + c.String() + "/" + what
	if file := r.PathValue("path"); file != "" {
		u.Path += "/" + file
	}
	return u
}

// agentBegins is how long an agent may take to begin its answer.
const agentBegins = 10 * time.Second

// proxyAgent passes a request on, with all that follows on its connection.
func (s *Server) proxyAgent(w http.ResponseWriter, r *http.Request, target *url.URL, agent mesos.AgentInfo) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	var answered atomic.Bool
	late := time.AfterFunc(agentBegins, func() {
		if !answered.Load() {
			cancel(context.DeadlineExceeded)
		}
	})
	defer late.Stop()
	p := &httputil.ReverseProxy{
		Rewrite: func(q *httputil.ProxyRequest) {
			q.Out.URL, q.Out.Host = target, ""
			s.gate.passToken(q.Out.Header, r)
			for _, name := range []string{"Origin", "Cookie", headerSession, headerPrincipal} {
				q.Out.Header.Del(name) // the agent believes the node
			}
		},
		Transport:     s.toAgents.Transport,
		FlushInterval: -1,
		ModifyResponse: func(*http.Response) error {
			answered.Store(true)
			for _, name := range []string{headerNode, "Cache-Control", "X-Content-Type-Options"} {
				w.Header().Del(name) // the agent's are passed on
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			writeError(w, &Error{Code: CodeAgent, Message: fmt.Sprintf("the agent %s cannot be reached from here", agent.Hostname),
				Why: fmt.Sprintf("%s: %s", agent.Address, Reason(err)), Do: []string{"look whether it runs:  node agents", "try again"}})
		},
	}
	p.ServeHTTP(w, r.WithContext(ctx))
}
