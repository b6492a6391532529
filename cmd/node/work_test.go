package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/jobs/jobfile"
)

func exited(n int) *int { return &n }

// web is a service of two instances, one of which waits for an agent; batch has ended.
func web() []api.Job {
	return []api.Job{
		{Name: "batch", Kind: "once", Version: 1, State: "failed", Count: 1, Instances: []api.Instance{
			{Index: 0, Version: 1, Task: "batch.0.7", Agent: "id-2", State: "FAILED", Exit: exited(3), Message: "gave up"}}},
		{Name: "web", Kind: "service", Version: 2, State: "running", Count: 2, Running: 1, Healthy: 1, Instances: []api.Instance{
			{Index: 0, Version: 2, Task: "web.0.1", Agent: "id-1", State: "RUNNING", Health: "healthy", Ports: []uint16{31000}},
			{Index: 1, Version: 2, State: "STAGING", Pending: "needs mem:4096 on one agent; the roomiest, a1, has mem:900 free"}}},
	}
}

func tasks() []api.Task {
	return []api.Task{
		{Framework: "other", ID: "t1", Agent: "id-1", AgentName: "a1", State: "RUNNING", Container: "abcdef0123"},
		{Framework: "other", ID: "t2", Agent: "id-1", AgentName: "a1", State: "FAILED", Signal: exited(9)},
		{Framework: "synod", ID: "batch.0.7", Job: "batch", Agent: "id-2", State: "FAILED"},
		{Framework: "synod", ID: "web.0.1", Job: "web", Agent: "id-1", State: "RUNNING", Resources: "cpus:0.5;mem:64"},
		{Framework: "synod", ID: "web.1.1", Job: "web", Agent: "id-2", State: "KILLED"},
	}
}

func agents() []api.Agent {
	return []api.Agent{{ID: "id-1", Name: "a1", State: "registered", Resources: "cpus:2;mem:1024", Used: "cpus:0.5;mem:64", Tasks: 2},
		{ID: "id-2", Name: "a2", State: "registered", Resources: "cpus:2;mem:1024", Tasks: 0}}
}

func TestANameMeansAJobAnInstanceOrATask(t *testing.T) {
	for name, want := range map[string]string{
		"web":             "web: web.0=synod/web.0.1 web.1=synod/",
		"we":              "web: web.0=synod/web.0.1 web.1=synod/",
		"web.0":           ": web.0=synod/web.0.1",
		"web.0.1":         ": web.0.1=synod/web.0.1",
		"web.1.1":         ": web.1.1=synod/web.1.1",
		"synod/web.1":     ": web.1.1=synod/web.1.1",
		"t1":              ": other/t1=other/t1",
		"other/t2":        ": other/t2=other/t2",
		"abcd":            ": other/t1=other/t1",
		"web.1":           "E-NOTFOUND needs mem:4096 on one agent; the roomiest, a1, has mem:900 free",
		"t":               "E-USAGE it could be other/t1, other/t2",
		"nosuch":          "E-NOTFOUND ",
		"abc":             "E-NOTFOUND ",
		"synod/web.0.123": "E-NOTFOUND ",
	} {
		r := newWork(t)
		job, targets, err := find(t.Context(), r.client(t), name)
		got := job + ":"
		for _, p := range targets {
			got += fmt.Sprintf(" %s=%s/%s", p.label, p.framework, p.task)
		}
		if e, is := err.(*api.Error); is {
			got = string(e.Code) + " " + e.Why
		}
		if got != want {
			t.Errorf("%q means %q, want %q", name, got, want)
		}
	}
}

func TestAnAgentIsMeantByItsIDItsNameOrABeginning(t *testing.T) {
	list := append(agents(), api.Agent{ID: "id-30", Name: "b1"}, api.Agent{ID: "x-4", Name: "b1"})
	for name, want := range map[string]string{"a1": "id-1", "id-2": "id-2", "id-3": "id-30", "x": "x-4", "b1": "E-USAGE", "a": "E-USAGE", "": "E-NOTFOUND", "c": "E-NOTFOUND"} {
		a, err := findAgent(list, name)
		if got := a.ID + string(api.CodeOf(err)); got != want {
			t.Errorf("%q means %s, want %s", name, got, want)
		}
	}
}

func TestOfAJobIsSaidWhetherItRuns(t *testing.T) {
	running := func(v uint64) api.Instance { return api.Instance{Version: v, State: "RUNNING"} }
	service := func(state string, v uint64, count, healthy int, instances ...api.Instance) api.Job {
		return api.Job{Name: "web", Kind: "service", State: state, Version: v, Count: count, Healthy: healthy, Instances: instances}
	}
	once := func(state string, instances ...api.Instance) api.Job {
		return api.Job{Name: "b", Kind: "once", State: state, Version: 2, Count: len(instances), Instances: instances}
	}
	pending, unwell := running(2), running(2)
	pending.Pending, unwell.Health = "no room", "unhealthy"
	progress := func(j api.Job) api.Job {
		j.Progress = "version 2 failed: instance 0 ended; the version before is back, as version 3"
		return j
	}
	rolling := func(state string, version uint64, progress string) api.Job {
		j := service(state, version, 1, 1, running(version))
		j.Progress = progress
		return j
	}
	for name, c := range map[string]struct {
		job  api.Job
		wait bool
		want string
	}{
		"all run":                     {service("running", 2, 1, 1, running(2)), false, "good"},
		"one of another version":      {service("updating", 2, 2, 2, running(2), running(1)), false, "going"},
		"scaled":                      {service("running", 2, 2, 2, running(2), running(1)), false, "good"},
		"one is missing":              {service("running", 2, 2, 2, running(2)), false, "going"},
		"one too many":                {service("running", 2, 1, 2, running(2), running(2)), false, "going"},
		"one waits":                   {service("running", 2, 1, 1, pending), false, "going"},
		"one is unwell":               {service("running", 2, 1, 1, unwell), false, "going"},
		"not yet healthy":             {service("running", 2, 1, 0, running(2)), false, "going"},
		"updating":                    {service("updating", 2, 1, 1, running(2)), false, "going"},
		"none wanted":                 {service("running", 2, 0, 0), false, "good"},
		"an old answer":               {service("running", 1, 1, 1, running(1)), false, "going"},
		"rolling back":                {rolling("rolling back", 3, "version 2 failed: instance 0 is not healthy"), false, "E-JOB"},
		"rolling back by hand":        {rolling("rolling back", 2, "0 of 1 instances run as before and work"), false, "going"},
		"rolled back by others":       {rolling("rolling back", 3, "0 of 1 instances run as before and work"), false, "E-CONFLICT"},
		"rolled back":                 {progress(service("running", 3, 1, 1, running(3))), false, "E-JOB"},
		"changed by others":           {service("running", 3, 1, 1, running(3)), false, "E-CONFLICT"},
		"stopped by others":           {service("stopping", 2, 1, 1, running(2)), false, "E-JOB"},
		"failed":                      {once("failed", api.Instance{State: "FAILED", Exit: exited(3)}), true, "E-JOB"},
		"done":                        {once("done", api.Instance{State: "FINISHED"}), true, "good"},
		"started":                     {once("running", running(2)), false, "good"},
		"started, its end is awaited": {once("running", running(2)), true, "going"},
		"one has ended, one runs":     {once("running", running(2), api.Instance{State: "FINISHED"}), false, "good"},
		"not yet started":             {once("running", running(2), api.Instance{State: "STAGING"}), false, "going"},
		"timed":                       {api.Job{Kind: "timed", State: "waiting", Version: 2}, true, "good"},
	} {
		v := judge(c.job, 2, c.wait)
		got := "going"
		if v.good {
			got = "good"
		}
		if v.err != nil {
			got = string(api.CodeOf(v.err))
		}
		if got != c.want {
			t.Errorf("%s: %s (%v), want %s", name, got, v.err, c.want)
		}
	}
}

func TestLinesOfSeveralTasksStayWhole(t *testing.T) {
	var out bytes.Buffer
	var mu sync.Mutex
	w := &lineWriter{mu: &mu, out: &out, prefix: "web.0 | "}
	io.WriteString(w, "one\ntw")
	io.WriteString(w, "o\n\nthree")
	if want := "web.0 | one\nweb.0 | two\nweb.0 | \n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	w.end()
	w.end()
	if !strings.HasSuffix(out.String(), "\nweb.0 | three\n") {
		t.Errorf("got %q, the last line is missing", out.String())
	}
	long := strings.Repeat("x", 3*maxLogLine)
	out.Reset()
	io.WriteString(w, long)
	if out.Len() < 2*maxLogLine || len(w.rest) >= maxLogLine {
		t.Errorf("%d bytes wait for the end of their line", len(w.rest))
	}
}

func TestALongTimeIsToldInItsLargestUnit(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m", 3 * time.Hour: "3h", 50 * time.Hour: "2d"} {
		if got := age(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

// work is a cluster of a test: what its routes answer.
type work struct {
	mux    *http.ServeMux
	server *httptest.Server
	mu     sync.Mutex
	jobs   []api.Job
	asked  []string
}

func newWork(t *testing.T) *work {
	r := &work{mux: http.NewServeMux(), jobs: web()}
	answer := func(pattern string, f func(q *http.Request) any) {
		r.mux.HandleFunc(pattern, func(w http.ResponseWriter, q *http.Request) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.asked = append(r.asked, q.Method+" "+q.URL.Path+"?"+q.URL.RawQuery)
			v := f(q)
			if e, is := v.(*api.Error); is {
				w.WriteHeader(e.Code.Info().Status)
			}
			json.NewEncoder(w).Encode(v)
		})
	}
	answer("GET /v1/jobs", func(*http.Request) any { return api.JobList{Jobs: r.jobs} })
	answer("GET /v1/jobs/{name}", func(q *http.Request) any { return r.job(q.PathValue("name")) })
	answer("DELETE /v1/jobs/{name}", func(q *http.Request) any { return api.Changed{Name: q.PathValue("name")} })
	answer("GET /v1/tasks", func(q *http.Request) any {
		var list []api.Task
		for _, one := range tasks() {
			if job := q.FormValue("job"); (job == "" || one.Job == job) && (q.FormValue("all") == "true" || one.State == "RUNNING") {
				list = append(list, one)
			}
		}
		return api.TaskList{Tasks: list}
	})
	answer("GET /v1/agents", func(*http.Request) any { return api.AgentList{Agents: agents()} })
	answer("GET /v1/status", func(*http.Request) any {
		return api.Status{Cluster: "demo", Healthy: true, Leader: "n1", Voters: 1, Up: 1, Quorum: 1,
			Members: []api.MemberStatus{{Name: "n1", API: r.server.Listener.Addr().String(), State: "up"}}}
	})
	answer("GET /v1/frameworks", func(*http.Request) any {
		return api.FrameworkList{Frameworks: []api.Framework{{ID: "synod", Name: "jobs", Connected: true, FailoverTimeout: 60_000, Roles: []string{"*"}}}}
	})
	r.server = httptest.NewServer(r.mux)
	t.Cleanup(r.server.Close)
	return r
}

func (r *work) job(name string) any {
	for _, j := range r.jobs {
		if j.Name == name {
			return j
		}
	}
	return &api.Error{Code: api.CodeNotFound, Message: "no such job"}
}

// change changes a job.
func (r *work) change(name string, f func(*api.Job)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.jobs {
		if r.jobs[i].Name == name {
			f(&r.jobs[i])
		}
	}
}

func (r *work) client(t *testing.T) *api.Client {
	client, err := api.NewClient(api.ClientConfig{Addrs: []string{r.server.Listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func (r *work) node(args ...string) (code int, stdout, stderr string) {
	return runNode(append([]string{"--addr", r.server.Listener.Addr().String()}, args...)...)
}

func TestPsTellsWhatRunsAndWhatWaitsAndWhy(t *testing.T) {
	r := newWork(t)
	code, out, text := r.node("ps")
	want := `NAME      STATE    HEALTH   AGENT  SINCE  RESTARTS  PORTS
batch.0   failed   -        a2     -      0         -
web.0     running  healthy  a1     -      0         31000
web.1     pending  -        -      -      0         -
other/t1  running  -        a1     -      0         -
! batch.0: exit 3: gave up
! web.1: needs mem:4096 on one agent; the roomiest, a1, has mem:900 free
`
	if code != 0 || out != want {
		t.Errorf("exit %d, %s\n%s\nwant\n%s", code, text, out, want)
	}
	code, out, text = r.node("ps", "we", "--all")
	if code != 0 || !strings.Contains(out, "web.1.1  killed") || strings.Contains(out, "batch") || strings.Contains(out, "other") {
		t.Errorf("exit %d, %s\n%s\nwant all tasks of web, ended ones too", code, text, out)
	}
	if code, _, text = r.node("ps", "nosuch"); code != 3 || !strings.Contains(text, "node jobs") {
		t.Errorf("exit %d, %s", code, text)
	}
}

func TestListsOfTheClusterManager(t *testing.T) {
	r := newWork(t)
	for verb, want := range map[string]string{
		"jobs":       "web    service  running  1 of 2   1        2        -",
		"agents":     "a1     id-1  registered  -      2      cpus:0.5;mem:64  cpus:2;mem:1024  -           -",
		"frameworks": "synod      jobs  yes        -      *      0      -     1m0s",
		"top":        "web     1 of 2   0.5   64.0 MiB",
	} {
		if code, out, text := r.node(verb); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, %s\n%s\nwant a line like %s", verb, code, text, out, want)
		}
	}
}

// runs makes PUT /v1/jobs answer that the job has a version, after doing something with it.
func (r *work) runs(version uint64, then func(*api.Job)) {
	r.mux.HandleFunc("PUT /v1/jobs", func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		r.asked = append(r.asked, "PUT "+q.URL.RawQuery+" "+string(body))
		r.mu.Unlock()
		r.change("web", then)
		json.NewEncoder(w).Encode(api.ChangedJobs{Jobs: []api.Changed{{Name: "web", Version: version}}})
	})
}

func jobFile(t *testing.T) string {
	name := filepath.Join(t.TempDir(), "web.yaml")
	if err := os.WriteFile(name, []byte("name: web\nshell: sleep 1000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRunEndsWhenAllInstancesRun(t *testing.T) {
	r := newWork(t)
	r.runs(3, func(j *api.Job) {
		j.Version, j.Count, j.Running, j.Healthy, j.Instances = 3, 1, 1, 1, j.Instances[:1]
		j.Instances[0].Version = 3
	})
	code, out, text := r.node("run", jobFile(t))
	if code != 0 || out != "web version 3 runs: 1 of 1, ports :31000\n" || !strings.Contains(text, "web.0  running on a1, healthy\n") {
		t.Errorf("exit %d\n%s%s", code, out, text)
	}
}

func TestRunSaysThatNoAgentHasRoom(t *testing.T) {
	r := newWork(t)
	r.runs(2, func(*api.Job) {})
	code, _, text := r.node("run", jobFile(t), "--patience", "100ms")
	if code != 9 || !strings.Contains(text, "error E-PLACE: no agent can run web.1\n  why   needs mem:4096") || !strings.Contains(text, "node stop web") {
		t.Errorf("exit %d\n%s", code, text)
	}
}

func TestUpdateTellsOfARollback(t *testing.T) {
	r := newWork(t)
	r.runs(3, func(j *api.Job) {
		j.Version, j.State, j.Progress = 4, "rolling back", "version 3 failed: web.0 of version 3 ended with exit 1"
	})
	code, _, text := r.node("update", jobFile(t))
	if code != 1 || !strings.Contains(text, "error E-JOB: the change of web to version 3 has failed") || !strings.Contains(text, "web.0 of version 3 ended with exit 1") {
		t.Errorf("exit %d\n%s", code, text)
	}
	if last := r.asked; !strings.Contains(strings.Join(last, "\n"), "PUT expect=2 ") {
		t.Errorf("asked %q, want that the version that was seen is expected", last)
	}
	r.mu.Lock()
	r.jobs = nil
	r.mu.Unlock()
	if code, _, text := r.node("update", jobFile(t)); code != 3 || !strings.Contains(text, `there is no job "web" to update`) {
		t.Errorf("exit %d\n%s", code, text)
	}
}

func TestStopWaitsUntilTheJobIsForgotten(t *testing.T) {
	r := newWork(t)
	r.change("web", func(j *api.Job) { j.State = "stopping" })
	go func() {
		for { // two looks, then it is gone
			r.mu.Lock()
			looks := 0
			for _, asked := range r.asked {
				if asked == "GET /v1/jobs/web?" {
					looks++
				}
			}
			if looks >= 2 {
				r.jobs = r.jobs[:1]
				r.mu.Unlock()
				return
			}
			r.mu.Unlock()
			<-time.After(5 * time.Millisecond)
		}
	}()
	code, out, text := r.node("stop", "we")
	if code != 0 || out != "web has ended\n" || !strings.Contains(text, "web: 1 instance left") {
		t.Errorf("exit %d\n%s%s", code, out, text)
	}
}

func TestLogsOfSeveralInstancesAreTold(t *testing.T) {
	r := newWork(t)
	r.change("web", func(j *api.Job) { j.Instances[1].Task = "web.1.1" })
	r.mux.HandleFunc("GET /v1/tasks/synod/{task}/logs", func(w http.ResponseWriter, q *http.Request) {
		fmt.Fprintf(w, "%s %s %s\nlast", q.PathValue("task"), q.FormValue("stream"), q.FormValue("tail"))
	})
	code, out, text := r.node("logs", "web", "--tail", "5")
	if want := "web.0 | web.0.1 stdout 5\nweb.0 | last\nweb.1 | web.1.1 stdout 5\nweb.1 | last\n"; code != 0 || out != want || text != strings.ReplaceAll(want, "stdout", "stderr") {
		t.Errorf("exit %d\n%s\n%s", code, out, text)
	}
	code, out, text = r.node("logs", "web.0", "--stdout")
	if code != 0 || out != "web.0.1 stdout \nlast" || text != "" {
		t.Errorf("exit %d, %q, %q: want the bytes of one task as they are", code, out, text)
	}
}

func TestFollowingALogGoesOnWithTheNextTask(t *testing.T) {
	r := newWork(t)
	r.change("web", func(j *api.Job) { j.Kind, j.State = "once", "running" })
	r.mux.HandleFunc("GET /v1/tasks/synod/{task}/logs", func(w http.ResponseWriter, q *http.Request) {
		fmt.Fprintf(w, "%s tail=%s\n", q.PathValue("task"), q.FormValue("tail"))
		r.change("web", func(j *api.Job) {
			if q.PathValue("task") == "web.0.1" {
				j.Instances[0].Task = "web.0.2" // it was restarted
			} else {
				j.State = "done"
			}
		})
	})
	code, out, text := r.node("logs", "web.0", "-f", "--stdout")
	if want := "web.0.1 tail=10\nweb.0.2 tail=\n"; code != 0 || out != want {
		t.Errorf("exit %d\n%s%s\nwant\n%s", code, out, text, want)
	}
}

func TestExecPassesTheExitCodeOn(t *testing.T) {
	r := newWork(t)
	r.mux.HandleFunc("POST /v1/tasks/synod/web.0.1/exec", func(w http.ResponseWriter, q *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.(*net.TCPConn).Close()
		args := strings.Join(q.URL.Query()["arg"], " ")
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: synod-exec/1\r\n\r\n\x01\x00\x00\x00"+string(rune(len(args)))+args+"\x03\x00\x00\x00\x0242")
		io.Copy(io.Discard, conn)
	})
	code, out, text := r.node("exec", "web.0", "--", "cat", "x")
	if code != 42 || out != "cat x" || text != "" {
		t.Errorf("exit %d, %q, %q", code, out, text)
	}
	if code, _, text = r.node("exec", "web", "--", "true"); code != 2 || !strings.Contains(text, "node exec web.0 -- true") {
		t.Errorf("exit %d, %s: want that one of the instances is to be named", code, text)
	}
}

func TestAllThatIsWrongWithAFileOfJobsIsShownAtItsPlace(t *testing.T) {
	name := filepath.Join(t.TempDir(), "web.yaml")
	if err := os.WriteFile(name, []byte("name: web\nshel: x\ncount: -3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, text := runNode("run", name)
	for _, want := range []string{"error E-USAGE: " + name + " does not describe a job", name + ":2:1: ", "\n          shel: x\n          ^\n        " + name + ":3:", "did you mean shell?"} {
		if code != 2 || out != "" || !strings.Contains(text, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, text)
		}
	}
}

func TestACommandIsMadeAJob(t *testing.T) {
	r := &runner{name: "backup", memory: "128MiB", cpus: 0.5, count: 2}
	data, err := r.describe([]string{"sh", "-c", "echo \"a: b\" # c\n"})
	if err != nil {
		t.Fatal(err)
	}
	specs, err := jobfile.Parse(data)
	if err != nil || len(specs) != 1 {
		t.Fatalf("%v in\n%s", err, data)
	}
	s := specs[0]
	if s.Name != "backup" || s.Kind != jobs.Once || s.Count != 2 || s.Command.Value != "sh" || s.Command.Arguments[1] != "echo \"a: b\" # c\n" || s.CPUs != 500 || s.Command.Shell {
		t.Errorf("%+v from\n%s", s, data)
	}
}

func TestOneNameInTwoFilesIsRefusedBeforeAnythingRuns(t *testing.T) {
	r := newWork(t)
	one, other := jobFile(t), jobFile(t)
	code, _, text := r.node("run", one, other)
	if code != 2 || !strings.Contains(text, "there are two jobs with the name web") || !strings.Contains(text, one+" and "+other) || len(r.asked) > 0 {
		t.Errorf("exit %d, asked %q\n%s", code, r.asked, text)
	}
}
