package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/mesoswire"
	"github.com/synod-go/synod/mesos"
)

// farmMemory is what the node may take whatever strangers send it.
const farmMemory = 768 << 20

// Frameworks, agents and people that mean no good, or know no better: all of it is bounded and
// refused in words, and meanwhile others' tasks are launched, run and end.
func TestStrangersDisturbNobody(t *testing.T) {
	f := newFarm(t, 0)
	f.agent("good", 1).launch().is("registered")
	t.Logf("a launch takes %v when nothing else is done", f.fine())
	for _, c := range []struct {
		name string
		test func(f *farm)
	}{
		{"mute", frameworkThatNeverAcknowledges},
		{"deaf", frameworkThatNeverReads},
		{"flood", frameworksThatFlood},
		{"nonsense", callsThatMakeNoSense},
		{"jobs", jobsThatMakeNoSense},
		{"paths", pathsOutOfTheSandbox},
		{"agents", agentsThatMeanNoGood},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := f.in(t)
			c.test(f)
			t.Logf("a launch afterwards takes %v", f.fine())
			if err := f.c.Unplanned(); err != nil {
				t.Fatal(err)
			}
			most := f.c.MaxRSS()
			t.Logf("the node took %d MiB at most", most>>20)
			if most > farmMemory {
				t.Errorf("the node took %d MiB", most>>20)
			}
		})
	}
}

// fineJobs counts the jobs that are launched to see that others are served.
var fineJobs atomic.Int32

// fine launches a task of another framework, the built-in one, and waits until it has ended well.
func (f *farm) fine() time.Duration {
	f.Helper()
	began := time.Now()
	f.must("run", "--name", fmt.Sprintf("fine-%d", fineJobs.Add(1)), "--wait", "--within", "30s", "--", "/bin/true")
	return time.Since(began).Round(time.Millisecond)
}

// during has some do what they like, again and again, while others' tasks are launched. All
// must have done something.
func (f *farm) during(strangers ...func(ctx context.Context) error) {
	f.Helper()
	ctx, cancel := context.WithCancel(f.Context())
	var all sync.WaitGroup
	done := make([]atomic.Int64, len(strangers))
	for n, s := range strangers {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := s(ctx); err != nil && ctx.Err() == nil {
					f.Errorf("stranger %d: %v", n, err)
					return
				}
				done[n].Add(1)
			}
		})
	}
	for range 3 {
		f.Logf("a launch meanwhile takes %v", f.fine())
	}
	cancel()
	all.Wait()
	for n := range done {
		if f.Logf("stranger %d: %d times", n, done[n].Load()); done[n].Load() == 0 {
			f.Errorf("stranger %d has done nothing", n)
		}
	}
}

// client asks as others do; streams have no bound.
func (f *farm) client() *http.Client {
	c := &http.Client{Transport: &http.Transport{DialContext: f.c.config.Host.Dial}}
	f.Cleanup(c.CloseIdleConnections)
	return c
}

// subscribe is a framework, and its id.
func (f *farm) subscribe(name string) (*taskStream, mesos.FrameworkID) {
	f.Helper()
	s, err := subscribe(f.Context(), f.client(), f.c.Nodes[0].API, mesos.FrameworkInfo{Name: name, User: "root", Roles: []string{"*"}, FailoverTimeout: time.Hour})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.close)
	first, err := s.next()
	subscribed, ok := first.(mesos.SubscribedEvent)
	if err != nil || !ok {
		f.Fatalf("%s: %+v, %v", name, first, err)
	}
	return s, subscribed.Framework
}

func frameworkThatNeverAcknowledges(f *farm) {
	s, id := f.subscribe("mute")
	var offer mesos.OfferInfo
	for offer.ID == "" {
		event, err := s.next()
		if err != nil {
			f.Fatal(err)
		}
		if e, ok := event.(mesos.OffersEvent); ok {
			offer = e.Offers[0]
		}
	}
	resources, err := mesos.ParseResources("cpus:0.1;mem:8")
	if err != nil {
		f.Fatal(err)
	}
	accept := mesos.AcceptCall{Offers: []mesos.OfferID{offer.ID}}
	for n := range 30 {
		accept.Launch = append(accept.Launch, mesos.TaskInfo{ID: mesos.TaskID(fmt.Sprintf("mute-%d", n)), Name: "mute", Agent: offer.Agent,
			Resources: resources, Command: mesos.Command{Value: "exit 0", Shell: true}})
	}
	if err := s.call(f.Context(), id, accept); err != nil {
		f.Fatal(err)
	}
	f.during() // others are served
	f.await("all have ended, and hold nothing", func() error {
		text := f.must("agents", "--output", "json")
		return hasAll(text, []string{`"tasks": 0`})
	})
	f.says([]string{"frameworks"}, string(id), "mute")
	f.must("frameworks", "remove", string(id))
	for err = nil; err == nil; {
		var event mesos.Event
		if event, err = s.next(); err == nil {
			if e, ok := event.(mesos.ErrorEvent); ok {
				f.Logf("it is told: %s", e.Message)
			}
		}
	}
	if text := f.must("frameworks"); strings.Contains(text, string(id)) {
		f.Errorf("it is still there:\n%s", text)
	}
}

func frameworkThatNeverReads(f *farm) {
	s, id := f.subscribe("deaf")
	ask := mesos.ReconcileCall{}
	for n := range 40_000 {
		ask.Tasks = append(ask.Tasks, mesos.ReconcileTask{Task: mesos.TaskID(fmt.Sprintf("nobody-%d", n))})
	}
	var last error
	asked, calls := time.Now(), 0
	f.during(func(ctx context.Context) error {
		if last != nil {
			<-ctx.Done()
			return nil
		}
		err := s.call(ctx, id, ask)
		if errors.Is(err, errRefused) && !strings.Contains(err.Error(), "E-OVERLOADED") {
			f.Logf("refused after %d calls and %v: %v", calls, time.Since(asked), err)
			last = err
		}
		calls++
		return nil
	})
	for n := 0; last == nil && n < 100; n++ {
		if last = s.call(f.Context(), id, ask); !errors.Is(last, errRefused) {
			last = nil
		}
	}
	if last == nil || !strings.Contains(last.Error(), "E-SUBSCRIPTION") || !strings.Contains(last.Error(), "subscribe again") {
		f.Errorf("its calls are answered with %v", last)
	}
	f.says([]string{"events"}, string(id))
	f.Log(f.run("events"))
	f.must("frameworks", "remove", string(id))
}

func frameworksThatFlood(f *farm) {
	s, id := f.subscribe("flood")
	go io.Copy(io.Discard, s.reader) // it reads
	call := func(body mesos.CallBody) func(context.Context) error {
		return func(ctx context.Context) error {
			err := s.call(ctx, id, body)
			if errors.Is(err, errRefused) && !strings.Contains(err.Error(), "E-OVERLOADED") {
				return err
			}
			return nil
		}
	}
	client := f.client()
	come := func(ctx context.Context) error { // and goes
		s, err := subscribe(ctx, client, f.c.Nodes[0].API, mesos.FrameworkInfo{Name: "guest", User: "root", Roles: []string{"*"}})
		if err == nil {
			s.close()
		}
		return nil
	}
	f.during(call(mesos.ReviveCall{}), call(mesos.ReconcileCall{}), call(mesos.DeclineCall{Offers: []mesos.OfferID{"o-1"}}),
		call(mesos.KillCall{Task: "nobody"}), call(mesos.SuppressCall{}), call(mesos.ReviveCall{}), come, come)
	f.must("frameworks", "remove", string(id))
}

func callsThatMakeNoSense(f *farm) {
	client := f.client()
	for _, c := range []struct {
		name, kind string
		body       []byte
		status     int
		texts      []string
	}{
		{"too long", protobufType, make([]byte, mesoswire.MaxCall+1), 413, []string{"E-TOOLARGE", "bytes", "fewer"}},
		{"noise", protobufType, []byte("\xff\xff\xff\xff"), 400, []string{"E-REQUEST", "messages/mesosscheduler.proto"}},
		{"an unknown call", protobufType, []byte{0x10, 0x63}, 400, []string{"E-REQUEST", "why"}},
		{"nothing", protobufType, nil, 400, []string{"E-REQUEST", "why"}},
		{"JSON", "application/json", []byte("{}"), 415, []string{"E-MEDIA", "Content-Type: " + protobufType}},
	} {
		request, err := http.NewRequestWithContext(f.Context(), http.MethodPost, "http://"+f.c.Nodes[0].API+pathScheduler, bytes.NewReader(c.body))
		if err != nil {
			f.Fatal(err)
		}
		request.Header.Set("Content-Type", c.kind)
		response, err := client.Do(request)
		if err != nil {
			f.Errorf("%s: %v", c.name, err)
			continue
		}
		text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		response.Body.Close()
		if err := errors.Join(err, hasAll(string(text), c.texts)); err != nil || response.StatusCode != c.status {
			f.Errorf("%s: %s, %v", c.name, response.Status, err)
		}
		f.Logf("%s: %s %s", c.name, response.Status, text)
	}
}

// link is a connection of somebody who says to be an agent.
func (f *farm) link(ctx context.Context) (net.Conn, error) {
	conn, err := f.c.config.Host.Dial(ctx, "tcp", f.c.Nodes[0].API)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	fmt.Fprintf(conn, "GET /v1/agent/connect HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: synod-agent/1\r\n\r\n", f.c.Nodes[0].API)
	answer, err := http.ReadResponse(bufio.NewReaderSize(conn, 1<<10), nil)
	if err == nil && answer.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
		err = fmt.Errorf("%s %s", answer.Status, text)
	}
	if err != nil {
		conn.Close()
	}
	return conn, err
}

// sends connects, sends, and waits until it is cut off.
func (f *farm) sends(data []byte) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := f.link(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		_, _ = conn.Write(data) // it may be cut off meanwhile
		_, _ = io.Copy(io.Discard, conn)
		return nil
	}
}

func agentFrame(f *farm, message any) []byte {
	f.Helper()
	data, err := mesoswire.AppendMessage(make([]byte, 4), message)
	if err != nil {
		f.Fatal(err)
	}
	binary.BigEndian.PutUint32(data, uint32(len(data)-4))
	return data
}

func agentsThatMeanNoGood(f *farm) {
	register := func(address string, n int64) []byte {
		return agentFrame(f, mesos.Register{Info: mesos.AgentInfo{Hostname: "stranger", Address: address},
			Boot: "b", Attempt: uint64(n + 1), Sequence: uint64(n + 1)})
	}
	var number atomic.Int64
	var unread net.Conn
	f.during(
		f.sends([]byte("\xff\xff\xff\xffthe longest of all")),
		f.sends([]byte("\x00\x00\x00\x09nonsense!")),
		func(ctx context.Context) error { // half a frame, and goes
			conn, err := f.link(ctx)
			if err == nil {
				_, _ = conn.Write([]byte{0, 1, 0})
				conn.Close()
			}
			return err
		},
		func(ctx context.Context) error { // each time another agent
			conn, err := f.link(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = conn.Write(register(fmt.Sprintf("10.0.0.1:%d", number.Add(1)), 1))
			return err
		},
		func(ctx context.Context) (err error) { // asks without end, and never reads
			if unread == nil {
				if unread, err = f.link(ctx); err != nil {
					return err
				}
			}
			if _, err := unread.Write(register("10.0.0.2:1", number.Add(1))); err != nil {
				f.Logf("who never reads was cut off: %v", err)
				unread.Close()
				unread = nil
			}
			return nil
		},
		func(ctx context.Context) error { // an update of a task that nobody has
			conn, err := f.link(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			_, _ = conn.Write(agentFrame(f, mesos.StatusUpdate{Status: mesos.TaskStatus{Task: mesos.TaskKey{Framework: "synod", Task: "nobody"}, State: mesos.Failed, Agent: "nobody"}}))
			return nil
		},
	)
	f.noted(f.c.Nodes[0].Process(), "agent disconnected", "more than", "reason")
}

func jobsThatMakeNoSense(f *farm) {
	dir := f.c.config.Dir
	for name, c := range map[string]struct {
		text  string
		code  int
		texts []string
	}{
		"unknown":  {"name: web\nshell: sleep 1\nmemry: 5\ncount: -1\n", 2, []string{"bad.yaml:3:", "memry", "did you mean memory", "bad.yaml:4:", "from 0 to 10000"}},
		"no YAML":  {"name: [web\n", 2, []string{"E-"}},
		"endless":  {"name: web\nshell: '" + strings.Repeat("x", 2<<20) + "'\n", 2, []string{"E-"}},
		"nested":   {strings.Repeat("[", 20_000), 2, []string{"E-"}},
		"aliases":  {"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nname: web\nshell: *c\n", 2, []string{"E-"}},
		"a memory": {"name: web\nshell: sleep 1\nmemory: 1e99\n", 2, []string{"bad.yaml:3:"}},
		"a port":   {"name: web\nshell: sleep 1\nports: ['HTTP!']\n", 2, []string{"bad.yaml:3:", "HTTP!"}},
		"a path":   {"name: ../web\nshell: sleep 1\n", 2, []string{"bad.yaml:1:", "../web"}},
	} {
		file := filepath.Join(dir, "bad.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
			f.Fatal(err)
		}
		text, code := f.run("run", file, "--detach")
		if err := hasAll(text, append(c.texts, "error E-")); err != nil || code == 0 || len(text) > 20_000 {
			f.Errorf("%s: exit code %d, %v", name, code, err)
		}
		f.Logf("%s: exit code %d\n%.1200s", name, code, text)
	}
	for what, args := range map[string][]string{
		"cpus:1000": {"--cpus", "1000"}, "mem:": {"--memory", "900GiB"},
	} {
		text, code := f.run(append(append([]string{"run", "--name", "giant", "--patience", "1s"}, args...), "--", "/bin/true")...)
		if err := hasAll(text, []string{"E-PLACE", what, "good", "node stop giant"}); err != nil || code != 9 {
			f.Errorf("%v: exit code %d, %v", args, code, err)
		}
		f.Logf("%v: exit code %d\n%s", args, code, text)
		f.says([]string{"ps", "giant"}, "pending", what)
		f.Log(f.run("ps", "giant"))
		f.must("stop", "giant")
	}
}

func pathsOutOfTheSandbox(f *farm) {
	f.start("name: links\nshell: ln -s /etc dir; ln -s /etc/passwd file; ln -s ../../../checkpoint up; echo inside > here; exec sleep 1000\n")
	var list struct {
		Tasks []struct{ Framework, ID, State string }
	}
	f.says([]string{"ps", "links"}, "running")
	if err := f.json("/v1/tasks?job=links&framework=synod", &list); err != nil || len(list.Tasks) != 1 {
		f.Fatalf("%+v, %v", list.Tasks, err)
	}
	get := func(path string) (status int, text string) {
		conn, err := f.c.config.Host.Dial(f.Context(), "tcp", f.c.Nodes[0].API)
		if err != nil {
			f.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /v1/tasks/synod/%s/files%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", list.Tasks[0].ID, path, f.c.Nodes[0].API)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			f.Fatalf("%s: %v", path, err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		if err != nil {
			f.Fatalf("%s: %v", path, err)
		}
		return response.StatusCode, string(body)
	}
	f.await("it has made its files", func() error {
		status, text := get("/here")
		if status != 200 || text != "inside\n" {
			return fmt.Errorf("%d %s", status, text)
		}
		return nil
	})
	if status, text := get(""); status != 200 || !strings.Contains(text, `"here"`) {
		f.Errorf("the list: %d %s", status, text)
	}
	for _, path := range []string{"/../../../../../../../../etc/passwd", "/..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/%2e%2e/checkpoint",
		"/..%5c..%5cetc", "//etc/passwd", "/%2fetc%2fpasswd", "/file", "/dir/passwd", "/dir/../here/../file", "/up", "/here%00", "/dir", "/" + strings.Repeat("a/", 5000)} {
		status, text := get(path)
		if status < 400 || !strings.Contains(text, `"code":"E-`) || strings.Contains(text, "root:") {
			f.Errorf("%.80s: %d %.300s", path, status, text)
		}
		f.Logf("%.80s: %d %.300s", path, status, text)
	}
	f.must("stop", "links")
}
