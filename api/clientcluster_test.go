package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// routes is a node of a test: what its routes answer, and what was asked.
type routes struct {
	mux   *http.ServeMux
	mu    sync.Mutex
	asked []string
}

func newRoutes(t *testing.T) (*routes, *Client) {
	t.Helper()
	r := &routes{mux: http.NewServeMux()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		r.asked = append(r.asked, q.Method+" "+q.URL.RequestURI())
		r.mu.Unlock()
		r.mux.ServeHTTP(w, q)
	}))
	t.Cleanup(server.Close)
	return r, newTestClient(t, server.Listener.Addr().String())
}

func (r *routes) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[len(r.asked)-1]
}

func TestCallsOfTheClusterManagerHaveTheirAddresses(t *testing.T) {
	r, client := newRoutes(t)
	r.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, Changed{Name: "x", Version: 7})
	})
	ctx := t.Context()
	second := func(_ any, err error) error { return err }
	for want, ask := range map[string]func() error{
		"GET /v1/agents?": func() error { return second(client.Agents(ctx)) },
		"POST /v1/agents/a%2F1/drain?deadline=1m30s": func() error { return second(client.ChangeAgent(ctx, "a/1", AgentDrain, 90*time.Second)) },
		"POST /v1/agents/a1/gone?":                   func() error { return second(client.ChangeAgent(ctx, "a1", AgentGone, 0)) },
		"GET /v1/frameworks?":                        func() error { return second(client.Frameworks(ctx)) },
		"DELETE /v1/frameworks/f?":                   func() error { return second(client.RemoveFramework(ctx, "f")) },
		"POST /v1/frameworks/f/allow?":               func() error { return second(client.AllowFramework(ctx, "f")) },
		"GET /v1/tasks?all=true&framework=f&job=web": func() error { return second(client.Tasks(ctx, TaskFilter{Framework: "f", Job: "web", Ended: true})) },
		"GET /v1/tasks/synod/web.0.1?":               func() error { return second(client.Task(ctx, "synod", "web.0.1")) },
		"DELETE /v1/tasks/synod/web.0.1?grace=2s":    func() error { return second(client.KillTask(ctx, "synod", "web.0.1", 2*time.Second)) },
		"GET /v1/jobs?":                              func() error { return second(client.Jobs(ctx)) },
		"GET /v1/jobs/web?":                          func() error { return second(client.Job(ctx, "web")) },
		"PUT /v1/jobs?expect=3":                      func() error { return second(client.PutJobs(ctx, []byte("name: web"), 3)) },
		"DELETE /v1/jobs/web?":                       func() error { return second(client.StopJob(ctx, "web")) },
		"POST /v1/jobs/web/scale?count=4":            func() error { return second(client.ScaleJob(ctx, "web", 4)) },
		"POST /v1/jobs/web/rollback?":                func() error { return second(client.RollbackJob(ctx, "web")) },
		"POST /v1/jobs/web/restart?":                 func() error { return second(client.RestartJob(ctx, "web")) },
	} {
		if err := ask(); err != nil || r.last() != want {
			t.Errorf("asked %s, %v; want %s", r.last(), err, want)
		}
	}
}

// cutting cuts every connection after its request was read.
func cutting(t *testing.T) (addr string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		requests.Add(1)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), requests
}

func TestARollbackIsNotRepeatedOnceItMayHaveHappened(t *testing.T) {
	addr, first := cutting(t)
	other, second := cutting(t)
	_, err := newTestClient(t, addr, other).RollbackJob(t.Context(), "web")
	if CodeOf(err) != CodeUnknown || first.Load()+second.Load() != 1 {
		t.Errorf("%v after %d requests, want E-UNKNOWN after one", err, first.Load()+second.Load())
	}
}

const (
	serviceFile = "name: web\nexec: [./web]\n"
	onceFile    = "name: backup\nexec: [./backup]\nonce: true\n"
)

func TestWhatMayRunTwiceIsNotRepeatedOnceItMayHaveHappened(t *testing.T) {
	for name, put := range map[string]func(*Client) error{
		"a job that runs once": func(c *Client) error { _, err := c.PutJobs(t.Context(), []byte(onceFile), 0); return err },
		"an expected version":  func(c *Client) error { _, err := c.PutJobs(t.Context(), []byte(serviceFile), 3); return err },
		"what is not readable": func(c *Client) error { _, err := c.PutJobs(t.Context(), []byte("news: of later"), 0); return err },
	} {
		addr, first := cutting(t)
		other, second := cutting(t)
		if err := put(newTestClient(t, addr, other)); CodeOf(err) != CodeUnknown || first.Load()+second.Load() != 1 {
			t.Errorf("%s: %v after %d requests, want E-UNKNOWN after one", name, err, first.Load()+second.Load())
		}
	}
}

func TestAChangeOfAServiceIsRepeatedWhenTheMasterWasDeposed(t *testing.T) {
	for file, want := range map[string]int32{serviceFile: 3, onceFile: 1} {
		r, client := newRoutes(t)
		var puts atomic.Int32
		r.mux.HandleFunc("PUT /v1/jobs", func(w http.ResponseWriter, _ *http.Request) {
			if puts.Add(1) < 3 {
				writeError(w, &Error{Code: CodeUnknown, Message: "the change may or may not have happened", Why: "the master lost the leadership"})
				return
			}
			fmt.Fprint(w, `{"jobs":[{"name":"web","version":1}]}`)
		})
		done, err := client.PutJobs(t.Context(), []byte(file), 0)
		if puts.Load() != want || (err == nil) != (want == 3) || err == nil && done[0].Version != 1 {
			t.Errorf("%q: %v, %v after %d requests, want %d", file, done, err, puts.Load(), want)
		}
	}
}

func TestALostAnswerToAChangeOfJobsIsUnknown(t *testing.T) {
	addr, requests := cutting(t)
	client, err := NewClient(ClientConfig{Addrs: []string{addr}, Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func() error{
		func() error { _, err := client.PutJobs(t.Context(), []byte(serviceFile), 0); return err },
		func() error { _, err := client.StopJob(t.Context(), "web"); return err },
	} {
		if err := change(); CodeOf(err) != CodeUnknown || requests.Load() < 2 {
			t.Errorf("%v after %d requests, want E-UNKNOWN after several: it may have happened, and may be repeated", err, requests.Load())
		}
	}
}

// brokenLog writes a log of digits, and breaks off after every few bytes.
func brokenLog(log string, offsets bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var from int
		if tail := r.FormValue("tail"); tail != "" {
			from = len(log) - 4
		} else if _, err := fmt.Sscan(r.FormValue("from"), &from); err != nil {
			panic(err)
		}
		if offsets {
			w.Header().Set(headerOffset, fmt.Sprint(from))
		}
		part := log[from:min(len(log), from+3)]
		io.WriteString(w, part)
		http.NewResponseController(w).Flush()
		if from+len(part) < len(log) {
			panic(http.ErrAbortHandler)
		}
	}
}

func TestALogThatBreaksOffGoesOnWhereItWas(t *testing.T) {
	for _, offsets := range []bool{true, false} {
		r, client := newRoutes(t)
		r.mux.HandleFunc("/v1/tasks/f/t/logs", brokenLog("0123456789", offsets))
		var got bytes.Buffer
		if err := client.TaskLog(t.Context(), "f", "t", LogOptions{}, &got); err != nil || got.String() != "0123456789" {
			t.Errorf("offsets %v: got %q, %v, want each byte once", offsets, got.String(), err)
		}
	}
}

func TestATailThatBreaksOffGoesOnOnlyWhereTheOffsetIsKnown(t *testing.T) {
	r, client := newRoutes(t)
	r.mux.HandleFunc("/v1/tasks/f/t/logs", brokenLog("0123456789", true))
	r.mux.HandleFunc("/v1/tasks/f/old/logs", brokenLog("0123456789", false))
	var got bytes.Buffer
	if err := client.TaskLog(t.Context(), "f", "t", LogOptions{Tail: 1}, &got); err != nil || got.String() != "6789" {
		t.Errorf("got %q, %v, want the last four", got.String(), err)
	}
	if err := client.TaskLog(t.Context(), "f", "old", LogOptions{Tail: 1}, io.Discard); CodeOf(err) != CodeAgent {
		t.Errorf("%v, want that the log broke off", err)
	}
}

func TestAStreamLooksForTheNodeThatLeads(t *testing.T) {
	r, client := newRoutes(t)
	r.mux.HandleFunc("/v1/tasks/f/t/logs", brokenLog("012", true))
	leader := client.config.Addrs[0]
	follower := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, &Error{Code: CodeNoLeader, Leader: &Leader{Name: "n2", API: leader}})
	}))
	defer follower.Close()
	var got bytes.Buffer
	err := newTestClient(t, follower.Listener.Addr().String()).TaskLog(t.Context(), "f", "t", LogOptions{}, &got)
	if err != nil || got.String() != "012" {
		t.Errorf("got %q, %v", got.String(), err)
	}
}

func TestAStreamThatNobodyGivesEndsWithAReason(t *testing.T) {
	client, err := NewClient(ClientConfig{Addrs: []string{"127.0.0.1:1"}, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.TaskLog(t.Context(), "f", "t", LogOptions{}, io.Discard); CodeOf(err) != CodeReach {
		t.Errorf("%v, want E-REACH", err)
	}
	r, client := newRoutes(t)
	r.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, &Error{Code: CodeNotFound, Message: "no such task"})
	})
	if err := client.TaskLog(t.Context(), "f", "t", LogOptions{}, io.Discard); CodeOf(err) != CodeNotFound {
		t.Errorf("%v, want E-NOTFOUND", err)
	}
	if _, err := client.Exec(t.Context(), "f", "t", ExecOptions{Argv: []string{"true"}}); CodeOf(err) != CodeNotFound {
		t.Errorf("%v, want E-NOTFOUND", err)
	}
}

// execServer upgrades a connection and hands it to f.
func execServer(f func(net.Conn)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != execProtocol || !strings.Contains(r.Header.Get("Connection"), "Upgrade") {
			writeError(w, badRequest("not to be upgraded", ""))
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+execProtocol+"\r\n\r\n")
		f(conn)
	}
}

// wc answers what it has read, in frames, and exits with 7.
func wc(conn net.Conn) {
	var mu sync.Mutex
	var read []byte
	for {
		channel, data, err := readExecFrame(conn, make([]byte, maxExecFrame))
		if err != nil || channel != execStdin {
			return
		}
		if len(data) == 0 {
			break
		}
		read = append(read, data...)
	}
	(&execWriter{&mu, conn, execStdout}).Write(read)
	(&execWriter{&mu, conn, execStderr}).Write([]byte("done"))
	writeExecFrame(&mu, conn, execExit, []byte("7"))
}

func TestACommandBesideATaskHasItsStreamsAndItsExitCode(t *testing.T) {
	r, client := newRoutes(t)
	r.mux.HandleFunc("/v1/tasks/f/t/exec", execServer(wc))
	text := strings.Repeat("0123456789abcdef", 3*maxExecFrame/16) + "end"
	var out, errs bytes.Buffer
	code, err := client.Exec(t.Context(), "f", "t", ExecOptions{Argv: []string{"cat", "a b"}, Stdin: strings.NewReader(text), Stdout: &out, Stderr: &errs})
	if err != nil || code != 7 || out.String() != text || errs.String() != "done" {
		t.Errorf("code %d, %v, %d bytes of %d, %q", code, err, out.Len(), len(text), errs.String())
	}
	if want := "POST /v1/tasks/f/t/exec?" + (url.Values{"arg": {"cat", "a b"}}).Encode(); r.last() != want {
		t.Errorf("asked %s, want %s", r.last(), want)
	}
}

func TestACommandThatIsNotRunOrBreaksOffSaysSo(t *testing.T) {
	r, client := newRoutes(t)
	var mu sync.Mutex
	refusal, err := json.Marshal(&Error{Code: CodeNotFound, Message: "no such command"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  Code
	}{
		"refused": {func(c net.Conn) { writeExecFrame(&mu, c, execFailed, refusal) }, CodeNotFound},
		"text":    {func(c net.Conn) { writeExecFrame(&mu, c, execFailed, []byte("fork: too many")) }, CodeAgent},
		"broken":  {func(net.Conn) {}, CodeUnknown},
		"huge":    {func(c net.Conn) { c.Write([]byte{execStdout, 255, 255, 255, 255}) }, CodeUnknown},
	} {
		r.mux.HandleFunc("/v1/tasks/f/"+name+"/exec", execServer(c.serve))
		_, err := client.Exec(t.Context(), "f", name, ExecOptions{Argv: []string{"true"}, Stdout: io.Discard, Stderr: io.Discard})
		if CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestACommandEndsWithItsContext(t *testing.T) {
	r, client := newRoutes(t)
	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan struct{})
	r.mux.HandleFunc("/v1/tasks/f/t/exec", execServer(func(conn net.Conn) {
		readExecFrame(conn, make([]byte, maxExecFrame)) // the end of its input
		cancel()
		conn.Read(make([]byte, 1))
		close(closed)
	}))
	_, err := client.Exec(ctx, "f", "t", ExecOptions{Argv: []string{"sleep"}, Stdout: io.Discard, Stderr: io.Discard})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that the caller gave up", err)
	}
	<-closed
}

func TestHappeningsGoOnWithTheNextMaster(t *testing.T) {
	r, client := newRoutes(t)
	answers := [][]Happening{
		{{Term: 1, Sequence: 1}, {Term: 1, Sequence: 2}},
		{{Term: 1, Sequence: 1}, {Term: 1, Sequence: 2}, {Term: 1, Sequence: 3}}, // the same master after a cut
		{{Term: 2, Sequence: 1}, {Term: 2, Sequence: 2}},
	}
	r.mux.HandleFunc("/v1/happenings", func(w http.ResponseWriter, _ *http.Request) {
		r.mu.Lock()
		answer := answers[0]
		answers = answers[min(1, len(answers)-1):]
		r.mu.Unlock()
		for _, h := range answer {
			json.NewEncoder(w).Encode(h)
		}
		io.WriteString(w, "\n")
	})
	var got []string
	enough := errors.New("enough")
	err := client.Happenings(t.Context(), HappeningOptions{Follow: true}, func(h Happening) error {
		if got = append(got, fmt.Sprintf("%d.%d", h.Term, h.Sequence)); len(got) == 5 {
			return enough
		}
		return nil
	})
	if want := "1.1 1.2 1.3 2.1 2.2"; err != enough || strings.Join(got, " ") != want {
		t.Errorf("told %v, %v, want %s", got, err, want)
	}
}
