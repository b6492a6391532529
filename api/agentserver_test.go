package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/actors/agent"
	"github.com/synod-go/synod/mesos"
)

// fakeAgent is an agent with one container, ab00..00.
type fakeAgent struct {
	following chan struct{} // closed when a log is followed
	exec      func(ctx context.Context, e agent.Exec) (int, error)
}

const fakeContainer = "ab000000000000000000000000000000"

func (f *fakeAgent) known(c mesos.ContainerID) error {
	if c.String() != fakeContainer {
		return agent.ErrNoContainer
	}
	return nil
}

func (f *fakeAgent) Status(context.Context) agent.Status {
	r, _ := mesos.ParseResources("cpus:2")
	return agent.Status{ID: "S1", Term: 4, Registered: true, Info: mesos.AgentInfo{Hostname: "a1", Address: "h:1", Resources: r},
		Tasks: []mesos.Task{{Key: mesos.TaskKey{Framework: "f", Task: "t"}, State: mesos.Running, Health: mesos.Healthy}}}
}

func (f *fakeAgent) Logs(ctx context.Context, c mesos.ContainerID, o agent.LogOptions, w io.Writer) error {
	if err := f.known(c); err != nil {
		return err
	}
	if o.Stream == "broken" {
		o.Begin(0)
		io.WriteString(w, "beginning")
		return errors.New("the disk is broken")
	}
	if o.Stream != "stdout" && o.Stream != "stderr" {
		return agent.ErrNoFile
	}
	o.Begin(o.From)
	fmt.Fprintf(w, "%s tail=%d from=%d", o.Stream, o.Tail, o.From)
	if o.Follow {
		close(f.following)
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (f *fakeAgent) Files(c mesos.ContainerID, path string) ([]agent.FileInfo, error) {
	return []agent.FileInfo{{Path: path + "/x", Bytes: 3}}, f.known(c)
}

func (f *fakeAgent) IsDirectory(c mesos.ContainerID, path string) (bool, error) {
	if strings.Contains(path, "out") || strings.Contains(path, "..") {
		return false, agent.ErrOutside
	}
	return path == "" || path == "dir", f.known(c)
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func (f *fakeAgent) OpenFile(c mesos.ContainerID, path string) (io.ReadSeekCloser, error) {
	if path != "a b.html" {
		return nil, fmt.Errorf("%w: %q", agent.ErrNoFile, path)
	}
	return nopCloser{strings.NewReader("<html>0123456789")}, f.known(c)
}

func (f *fakeAgent) Exec(ctx context.Context, c mesos.ContainerID, e agent.Exec) (int, error) {
	if err := f.known(c); err != nil {
		return 0, err
	}
	return f.exec(ctx, e)
}

func startAgentServer(t *testing.T, f *fakeAgent) (*AgentServer, string) {
	t.Helper()
	s, err := NewAgentServer(AgentServerConfig{Agent: f, Name: "a1", Logger: slog.New(slog.DiscardHandler), ExecBeat: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-done); err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().String()
}

func TestAnAgentAnswersForItsContainers(t *testing.T) {
	_, addr := startAgentServer(t, &fakeAgent{})
	base := "http://" + addr
	c := "/v1/containers/" + fakeContainer
	for _, k := range []struct {
		method, path string
		code         int
		has          string
	}{
		{"GET", "/livez", 200, "ok"},
		{"GET", "/v1/agent", 200, `"id":"S1"`},
		{"GET", "/v1/agent", 200, `"health":"healthy"`},
		{"GET", "/metrics", 200, `synod_agent_tasks{state="RUNNING"} 1`},
		{"GET", c + "/logs", 200, "stdout tail=0 from=0"},
		{"GET", c + "/logs?stream=stderr&tail=7&from=9", 200, "stderr tail=7 from=9"},
		{"GET", c + "/logs?tail=x", 400, "E-REQUEST"},
		{"GET", c + "/logs?from=-1", 400, "E-REQUEST"},
		{"GET", c + "/logs?stream=../task", 404, "E-NOTFOUND"},
		{"GET", "/v1/containers/zz/logs", 400, "32 hexadecimal"},
		{"GET", "/v1/containers/cd000000000000000000000000000000/logs", 404, "E-NOTFOUND"},
		{"POST", c + "/logs", 405, "E-METHOD"},
		{"GET", c + "/files", 200, `[{"path":"/x"`},
		{"GET", c + "/files/", 200, `[{"path":"/x"`},
		{"GET", c + "/files/dir", 200, `[{"path":"dir/x"`},
		{"GET", c + "/files/a%20b.html", 200, "<html>0123456789"},
		{"GET", c + "/files/nosuch", 404, "E-NOTFOUND"},
		{"GET", c + "/files/out", 400, "sandbox"},
		{"GET", c + "/files/../../task", 400, "E-REQUEST"},
		{"GET", c + "/files/%2e%2e/task", 400, "E-REQUEST"},
		{"POST", c + "/exec", 400, "Upgrade"},
		{"GET", "/v1/nosuch", 404, "E-NOTFOUND"},
	} {
		request, err := http.NewRequest(k.method, base+k.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != k.code || !strings.Contains(string(body), k.has) {
			t.Errorf("%s %s: %d %s, want %d with %q", k.method, k.path, response.StatusCode, body, k.code, k.has)
		}
		if got := response.Header.Get(headerNode); got != "a1" {
			t.Errorf("%s: the answer is of %q", k.path, got)
		}
	}
}

func TestAFileOfASandboxIsNoPageAndHasRanges(t *testing.T) {
	_, addr := startAgentServer(t, &fakeAgent{})
	request, _ := http.NewRequest("GET", "http://"+addr+"/v1/containers/"+fakeContainer+"/files/a%20b.html", nil)
	request.Header.Set("Range", "bytes=6-8")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != 206 || string(body) != "012" || response.Header.Get("Content-Type") != "application/octet-stream" ||
		response.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %q %v", response.StatusCode, body, response.Header)
	}
}

func TestAnAgentOnLoopbackAnswersNoOtherHostAndNoOtherOrigin(t *testing.T) {
	_, addr := startAgentServer(t, &fakeAgent{})
	request, _ := http.NewRequest("GET", "http://"+addr+"/v1/agent", nil)
	request.Host = "evil.example"
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("another host: %v, %v", response, err)
	}
	request, _ = http.NewRequest("POST", "http://"+addr+"/v1/containers/"+fakeContainer+"/exec?arg=true", nil)
	request.Header.Set("Origin", "http://evil.example")
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	response, err = http.DefaultClient.Do(request)
	if err != nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("another origin: %v, %v", response, err)
	}
}

func TestAFollowedLogComesAtOnceAndEndsWithTheAgent(t *testing.T) {
	f := &fakeAgent{following: make(chan struct{})}
	s, addr := startAgentServer(t, f)
	response, err := http.Get("http://" + addr + "/v1/containers/" + fakeContainer + "/logs?follow=true&from=5")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get(headerOffset); got != "5" {
		t.Errorf("offset %q", got)
	}
	<-f.following
	piece := make([]byte, len("stdout tail=0 from=5"))
	if _, err := io.ReadFull(response.Body, piece); err != nil || string(piece) != "stdout tail=0 from=5" {
		t.Fatalf("%q, %v", piece, err)
	}
	go s.Shutdown(t.Context())
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("a log that broke off looks as if it had ended")
	}
}

func TestALogThatBreaksOffDoesNotLookEnded(t *testing.T) {
	_, addr := startAgentServer(t, &fakeAgent{})
	response, err := http.Get("http://" + addr + "/v1/containers/" + fakeContainer + "/logs?stream=broken")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("%q, and its end", body)
	}
}

// execOn runs a command as a node does, and returns its frames by channel.
func execOn(t *testing.T, addr, query string) (net.Conn, func() map[byte]string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /v1/containers/%s/exec?%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", fakeContainer, query, execProtocol)
	head := make([]byte, 0, 512)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		one := make([]byte, 1)
		if _, err := io.ReadFull(conn, one); err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		head = append(head, one[0])
	}
	if !strings.HasPrefix(string(head), "HTTP/1.1 101 ") {
		t.Fatalf("%s", head)
	}
	return conn, func() map[byte]string {
		got := map[byte]string{}
		buffer := make([]byte, maxExecFrame)
		for {
			channel, data, err := readExecFrame(conn, buffer)
			if err != nil {
				return got
			}
			got[channel] += string(data)
		}
	}
}

func TestACommandHasItsStreamsAndItsCode(t *testing.T) {
	f := &fakeAgent{exec: func(_ context.Context, e agent.Exec) (int, error) {
		in, err := io.ReadAll(e.Stdin)
		fmt.Fprintf(e.Stdout, "%q read %d, %v", e.Argv, len(in), err)
		io.WriteString(e.Stderr, "err")
		return 42, nil
	}}
	_, addr := startAgentServer(t, f)
	conn, frames := execOn(t, addr, "arg=cat&arg=-n+x")
	var in bytes.Buffer
	sendStdin(&in, strings.NewReader(strings.Repeat("x", 200<<10)))
	go conn.Write(in.Bytes())
	got := frames()
	if got[execStdout] != `["cat" "-n x"] read 204800, <nil>` || got[execStderr] != "err" || got[execExit] != "42" || got[execFailed] != "" {
		t.Errorf("%q", got)
	}
}

func TestACommandThatIsNotRunSaysWhy(t *testing.T) {
	for cause, code := range map[error]Code{agent.ErrNotRunning: CodeConflict, agent.ErrTooManyExecs: CodeOverloaded, agent.ErrCannotRun: CodeNotFound,
		agent.ErrNoContainer: CodeNotFound, errors.New("x"): CodeInternal} {
		_, addr := startAgentServer(t, &fakeAgent{exec: func(context.Context, agent.Exec) (int, error) { return 0, cause }})
		_, frames := execOn(t, addr, "arg=true")
		var e Error
		if err := json.Unmarshal([]byte(frames()[execFailed]), &e); err != nil || e.Code != code {
			t.Errorf("%v: %+v, %v, want %s", cause, e, err, code)
		}
	}
}

// A command ends with the connection of its caller, also while it reads nothing of what the
// caller has sent; and by frames that make no sense.
func TestACommandEndsWithItsConnection(t *testing.T) {
	for name, end := range map[string]func(net.Conn){
		"close":           func(c net.Conn) { c.Close() },
		"close with data": func(c net.Conn) { c.Write([]byte{execStdin, 0, 0, 0, 1, 'x'}); c.Close() },
		"close with much": func(c net.Conn) { // more than is read ahead
			for range 4 {
				_ = writeExecFrame(new(sync.Mutex), c, execStdin, make([]byte, maxExecFrame))
			}
			c.Close()
		},
		"another channel": func(c net.Conn) { c.Write([]byte{9, 0, 0, 0, 0}) },
		"too long":        func(c net.Conn) { c.Write([]byte{execStdin, 0xff, 0, 0, 0}) },
	} {
		running, ended := make(chan struct{}), make(chan struct{})
		_, addr := startAgentServer(t, &fakeAgent{exec: func(ctx context.Context, _ agent.Exec) (int, error) {
			close(running)
			<-ctx.Done()
			close(ended)
			return 0, ctx.Err()
		}})
		conn, _ := execOn(t, addr, "arg=sleep")
		<-running
		end(conn)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: the command goes on", name)
		}
	}
}

func TestAnAgentServerNeedsAnAgent(t *testing.T) {
	if _, err := NewAgentServer(AgentServerConfig{}); err == nil {
		t.Error("there is none")
	}
	s, err := NewAgentServer(AgentServerConfig{Agent: &fakeAgent{}})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/livez", nil))
	if w.Code != http.StatusOK {
		t.Errorf("%d", w.Code)
	}
}
