package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	framework "github.com/synod-go/synod/actors/jobs"
	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/jobs/jobfile"
	"github.com/synod-go/synod/mesos"
)

// maxJobs bounds a file of jobs, in bytes.
const maxJobs = 1 << 20

// jobsHandle is the built-in framework beside the leading master.
type jobsHandle interface {
	Put(ctx context.Context, s jobs.Spec, expect uint64) (version uint64, err error)
	Scale(ctx context.Context, name string, count int) (version uint64, err error)
	Stop(ctx context.Context, name string) error
	Rollback(ctx context.Context, name string) (version uint64, err error)
	Restart(ctx context.Context, name string) (version uint64, err error)
	List() ([]jobs.Status, error)
	Get(name string) (jobs.Status, error)
}

// SetJobs makes the built-in framework known: before it is, requests for jobs end with CodeStarting.
func (s *Server) SetJobs(h *framework.Handle) {
	if h != nil {
		s.setJobs(h)
	}
}

func (s *Server) setJobs(h jobsHandle) { s.jobs.Store(&h) }

// withJobs has f answer, on the node of the leading master.
func (s *Server) withJobs(f func(ctx context.Context, h jobsHandle, w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return s.leading(func(w http.ResponseWriter, r *http.Request) { s.answerJobs(w, r, f) })
}

func (s *Server) answerJobs(w http.ResponseWriter, r *http.Request, f func(ctx context.Context, h jobsHandle, w http.ResponseWriter, r *http.Request) error) {
	ctx, cancel, err := s.requestContext(r)
	if err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	h := s.jobs.Load()
	if h == nil {
		writeError(w, &Error{Code: CodeStarting, Message: "the framework that runs jobs is not there yet", Do: []string{"try again"}})
		return
	}
	if err := f(ctx, *h, w, r); err != nil {
		writeError(w, err)
	}
}

func (s *Server) getJobs(_ context.Context, h jobsHandle, w http.ResponseWriter, r *http.Request) error {
	if q := newQuery(r); q.err != nil {
		return q.err
	}
	all, err := h.List()
	if err != nil {
		return jobsError(err, "the look", "")
	}
	list := JobList{Jobs: make([]Job, 0, len(all))}
	for _, j := range all {
		list.Jobs = append(list.Jobs, jobOf(j))
	}
	s.writeAnswer(w, list)
	return nil
}

func (s *Server) getJob(_ context.Context, h jobsHandle, w http.ResponseWriter, r *http.Request) error {
	if q := newQuery(r); q.err != nil {
		return q.err
	}
	name := r.PathValue("name")
	status, err := h.Get(name)
	if err != nil {
		return jobsError(err, "the look", name)
	}
	j := jobOf(status)
	j.Spec = jobfile.Format(status.Spec)
	s.writeAnswer(w, j)
	return nil
}

// putJobs runs or changes the jobs of a file, one after the other.
func (s *Server) putJobs(ctx context.Context, h jobsHandle, w http.ResponseWriter, r *http.Request) error {
	q := newQuery(r, "expect")
	expect := q.number("expect")
	if q.err != nil {
		return q.err
	}
	body, err := s.readUpTo(w, r, maxJobs)
	if err != nil {
		return err
	}
	defer s.bodies.give(cap(body))
	specs, err := jobfile.Parse(body)
	if err != nil {
		return fileProblems(err)
	}
	if expect > 0 && len(specs) != 1 {
		return badRequest("expect is for one job", fmt.Sprintf("the file has %d", len(specs)))
	}
	done := ChangedJobs{Jobs: []Changed{}}
	for _, spec := range specs {
		version, err := h.Put(ctx, spec, expect)
		if err != nil {
			err = jobsError(err, "the change of job "+spec.Name, spec.Name)
			if e, is := errors.AsType[*Error](err); is && len(done.Jobs) > 0 {
				e.Why = strings.TrimPrefix(fmt.Sprintf("%s; those before it in the file, %d, are done", e.Why, len(done.Jobs)), "; ")
			}
			return err
		}
		done.Jobs = append(done.Jobs, Changed{Name: spec.Name, Version: version})
	}
	s.writeAnswer(w, done)
	return nil
}

// fileProblems says what is wrong with a file of jobs.
func fileProblems(err error) error {
	told := &Error{Code: CodeRequest, Message: "the file does not describe jobs that can run", Do: []string{"docs/jobs.md has all that can be written"}}
	wrong, is := errors.AsType[*jobfile.Error](err)
	if !is {
		told.Why = err.Error()
		return told
	}
	var lines []string
	for _, p := range wrong.Problems[:min(len(wrong.Problems), 20)] {
		lines = append(lines, strings.TrimSuffix(fmt.Sprintf("line %d: %s; %s", p.Line, p.Text, p.Hint), "; "))
	}
	told.Why = strings.Join(lines, "\n")
	return told
}

func (s *Server) deleteJob(ctx context.Context, h jobsHandle, w http.ResponseWriter, r *http.Request) error {
	if q := newQuery(r); q.err != nil {
		return q.err
	}
	name := r.PathValue("name")
	if err := h.Stop(ctx, name); err != nil {
		return jobsError(err, "the end of job "+name, name)
	}
	s.writeAnswer(w, Changed{Name: name})
	return nil
}

func (s *Server) postJob(ctx context.Context, h jobsHandle, w http.ResponseWriter, r *http.Request) error {
	q := newQuery(r, "count")
	count, name, action := q.number("count"), r.PathValue("name"), r.PathValue("action")
	if q.err == nil && (action == "scale") != q.values.Has("count") {
		q.err = badRequest("count goes with scale, and scale with count", "", "/v1/jobs/"+name+"/scale?count=3")
	}
	if q.err == nil && count > maxCount {
		q.fail("count", fmt.Sprint(count), fmt.Sprintf("it is 0 to %d", maxCount))
	}
	if q.err != nil {
		return q.err
	}
	var version uint64
	var err error
	switch action {
	case "scale":
		version, err = h.Scale(ctx, name, int(count))
	case "rollback":
		version, err = h.Rollback(ctx, name)
	case "restart":
		version, err = h.Restart(ctx, name)
	default:
		return &Error{Code: CodeNotFound, Message: fmt.Sprintf("there is no action %.100q for jobs", action), Do: []string{"use scale, rollback or restart"}}
	}
	if err != nil {
		return jobsError(err, "the "+action+" of job "+name, name)
	}
	s.writeAnswer(w, Changed{Name: name, Version: version})
	return nil
}

// maxCount is how many instances a job may have.
const maxCount = 10_000

// jobsError says for people and programs what an error of the framework means.
func jobsError(err error, what, name string) error {
	switch {
	case errors.Is(err, framework.ErrNotFound):
		return &Error{Code: CodeNotFound, Message: fmt.Sprintf("there is no job %.100q", name), Do: []string{"node jobs"}}
	case errors.Is(err, framework.ErrConflict):
		return &Error{Code: CodeConflict, Message: what + " was not done", Why: strings.TrimPrefix(err.Error(), "jobs: "), Do: []string{"look at it, and decide anew:  node jobs " + name}}
	case errors.Is(err, framework.ErrInvalid):
		return badRequest(what+" was not done", strings.TrimPrefix(strings.TrimPrefix(err.Error(), framework.ErrInvalid.Error()+": "), "jobs: "))
	case errors.Is(err, framework.ErrFull):
		return &Error{Code: CodeOverloaded, Message: what + " was not done", Why: strings.TrimPrefix(err.Error(), "jobs: "),
			Do: []string{"try again a little later, or stop some jobs:  node stop JOB"}}
	case errors.Is(err, framework.ErrUnavailable):
		return &Error{Code: CodeStarting, Message: what + " was not done: the framework that runs jobs is starting", Do: []string{"try again in a second"}}
	case errors.Is(err, framework.ErrUnknownOutcome), errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeUnknown, Message: what + " may or may not have happened", Why: "the master lost the leadership, or was too slow",
			Do: []string{"look what has become of it:  node jobs " + name}}
	}
	return masterError(err, what)
}

// jobOf shows a job without its file.
func jobOf(s jobs.Status) Job {
	j := Job{Name: s.Spec.Name, Kind: string(cmp.Or(s.Spec.Kind, jobs.Service)), Version: s.Version, State: s.State, Progress: s.Progress, Count: s.Spec.Count,
		Next: s.Next.Milliseconds(), Instances: make([]Instance, 0, len(s.Instances))}
	for _, i := range s.Instances {
		if i.State == mesos.Running {
			j.Running++
			if s.Spec.Health == nil || i.Health == mesos.Healthy {
				j.Healthy++
			}
		}
		j.Instances = append(j.Instances, instanceOf(i))
	}
	return j
}

func instanceOf(i jobs.InstanceStatus) Instance {
	shown := Instance{Index: i.Index, Version: i.Version, Task: string(i.Task), Agent: string(i.Agent), State: i.State.String(), Health: healthWord(i.Health),
		Since: i.Since.Milliseconds(), Restarts: i.Restarts, Ports: slices.Clone(i.Ports), Image: i.Image, Pending: i.Pending, Message: i.Message}
	switch {
	case i.HasExit && i.Signal != 0:
		shown.Signal = &i.Signal
	case i.HasExit:
		shown.Exit = &i.ExitCode
	}
	return shown
}
