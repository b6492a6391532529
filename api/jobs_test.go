package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	framework "github.com/synod-go/synod/actors/jobs"
	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/mesos"
)

// fakeJobs has one job, web, and notes what it is told.
type fakeJobs struct {
	told []string
	err  error
}

func (f *fakeJobs) tell(format string, args ...any) (uint64, error) {
	f.told = append(f.told, fmt.Sprintf(format, args...))
	return 7, f.err
}

func (f *fakeJobs) Put(_ context.Context, s jobs.Spec, expect uint64) (uint64, error) {
	return f.tell("put %s %d", s.Name, expect)
}
func (f *fakeJobs) Scale(_ context.Context, name string, count int) (uint64, error) {
	return f.tell("scale %s %d", name, count)
}
func (f *fakeJobs) Stop(_ context.Context, name string) error {
	_, err := f.tell("stop %s", name)
	return err
}
func (f *fakeJobs) Rollback(_ context.Context, name string) (uint64, error) {
	return f.tell("rollback %s", name)
}
func (f *fakeJobs) Restart(_ context.Context, name string) (uint64, error) {
	return f.tell("restart %s", name)
}

func (f *fakeJobs) List() ([]jobs.Status, error) { return []jobs.Status{webStatus()}, f.err }

func (f *fakeJobs) Get(name string) (jobs.Status, error) {
	if name != "web" {
		return jobs.Status{}, framework.ErrNotFound
	}
	return webStatus(), f.err
}

func webStatus() jobs.Status {
	return jobs.Status{Spec: jobs.Spec{Name: "web", Kind: jobs.Service, Count: 3, Health: &mesos.HealthCheck{}}, Version: 2, State: "running", Next: time.Second,
		Instances: []jobs.InstanceStatus{
			{Index: 0, Task: "web.0.1", Agent: "A1", State: mesos.Running, Health: mesos.Healthy, Ports: []uint16{31000}, Since: time.Minute},
			{Index: 1, Task: "web.1.1", Agent: "A1", State: mesos.Running},
			{Index: 2, Task: "web.2.1", State: mesos.Failed, HasExit: true, Signal: 9, ExitCode: 137, Pending: "needs more"}}}
}

// jobsServer answers requests for jobs as if its master led.
func jobsServer(t *testing.T, f jobsHandle) http.Handler {
	s := must(NewServer(Config{Backend: newFake(t, coordination.Config{})}))
	if f != nil {
		s.setJobs(f)
	}
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(context.Context, jobsHandle, http.ResponseWriter, *http.Request) error{
		"GET /v1/jobs": s.getJobs, "PUT /v1/jobs": s.putJobs, "GET /v1/jobs/{name}": s.getJob, "DELETE /v1/jobs/{name}": s.deleteJob, "POST /v1/jobs/{name}/{action}": s.postJob,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.answerJobs(w, r, handle) })
	}
	return mux
}

func TestJobsAreShownWithTheirInstances(t *testing.T) {
	answer := request(jobsServer(t, &fakeJobs{}), "GET", "/v1/jobs", "").Body.String()
	for _, want := range []string{`"name":"web","kind":"service","version":2,"state":"running","count":3,"running":2,"healthy":1,"next":1000`,
		`{"index":0,"version":0,"task":"web.0.1","agent":"A1","state":"RUNNING","health":"healthy","since":60000,"ports":[31000]}`,
		`"state":"FAILED","since":0,"pending":"needs more","signal":9}`} {
		if !strings.Contains(answer, want) {
			t.Errorf("no %s in\n%s", want, answer)
		}
	}
}

func TestWhatIsAskedOfJobsReachesTheFramework(t *testing.T) {
	f := &fakeJobs{}
	h := jobsServer(t, f)
	for _, c := range []struct{ method, target, told, answer string }{
		{"POST", "/v1/jobs/web/scale?count=5", "scale web 5", `{"name":"web","version":7}`},
		{"POST", "/v1/jobs/web/rollback", "rollback web", `{"name":"web","version":7}`},
		{"POST", "/v1/jobs/web/restart", "restart web", `{"name":"web","version":7}`},
		{"DELETE", "/v1/jobs/web", "stop web", `{"name":"web"}`},
	} {
		w := request(h, c.method, c.target, "")
		if last := f.told[len(f.told)-1]; last != c.told || w.Code != 200 || strings.TrimSpace(w.Body.String()) != c.answer {
			t.Errorf("%s %s: told %q, answered %d %s", c.method, c.target, last, w.Code, w.Body)
		}
	}
}

func TestRequestsForJobsThatMakeNoSenseAreRefused(t *testing.T) {
	f := &fakeJobs{}
	h := jobsServer(t, f)
	for target, want := range map[string]Code{
		"GET /v1/jobs/nosuch":                 CodeNotFound,
		"GET /v1/jobs?x=1":                    CodeRequest,
		"POST /v1/jobs/web/scale":             CodeRequest,
		"POST /v1/jobs/web/scale?count=-1":    CodeRequest,
		"POST /v1/jobs/web/scale?count=1e5":   CodeRequest,
		"POST /v1/jobs/web/scale?count=99999": CodeRequest,
		"POST /v1/jobs/web/restart?count=1":   CodeRequest,
		"POST /v1/jobs/web/burn":              CodeNotFound,
		"PUT /v1/jobs?expect=x":               CodeRequest,
		"PUT /v1/jobs":                        CodeRequest, // the body is no job
	} {
		method, address, _ := strings.Cut(target, " ")
		w := request(h, method, address, "nonsense: [")
		if !strings.Contains(w.Body.String(), string(want)) || len(f.told) > 0 {
			t.Errorf("%s: %s, told %q; want %s", target, w.Body, f.told, want)
		}
	}
	if w := request(h, "PUT", "/v1/jobs", strings.Repeat("#", maxJobs+1)); !strings.Contains(w.Body.String(), string(CodeTooLarge)) {
		t.Errorf("more than 1 MiB: %s", w.Body)
	}
}

func TestErrorsOfTheFrameworkHaveCodes(t *testing.T) {
	for err, want := range map[error]Code{framework.ErrNotFound: CodeNotFound, framework.ErrConflict: CodeConflict, framework.ErrInvalid: CodeRequest,
		framework.ErrUnavailable: CodeStarting, framework.ErrUnknownOutcome: CodeUnknown, context.DeadlineExceeded: CodeUnknown} {
		w := request(jobsServer(t, &fakeJobs{err: fmt.Errorf("%w: why", err)}), "POST", "/v1/jobs/web/restart", "")
		if !strings.Contains(w.Body.String(), `"`+string(want)+`"`) {
			t.Errorf("%v: %s, want %s", err, w.Body, want)
		}
	}
	if w := request(jobsServer(t, nil), "GET", "/v1/jobs", ""); !strings.Contains(w.Body.String(), string(CodeStarting)) {
		t.Errorf("without a framework: %s", w.Body)
	}
}
