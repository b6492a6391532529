package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

func TestOnLoopbackOnlyLoopbackHostsAreAnswered(t *testing.T) {
	_, addr := serve(t, Config{Backend: newFake(t, coordination.Config{}), Hosts: []string{"node.test"}})
	for host, want := range map[string]int{
		"127.0.0.1:4700": 200, "localhost": 200, "[::1]:4700": 200, "node.test:1": 200,
		"evil.example": 421, "evil.example:4700": 421, "10.1.2.3": 421,
	} {
		r, _ := http.NewRequest("GET", "http://"+addr+"/livez", nil)
		r.Host = host
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("Host %s: %d, want %d", host, response.StatusCode, want)
		}
	}
}

func TestLongHeadersAreRefused(t *testing.T) {
	_, addr := serve(t, Config{Backend: newFake(t, coordination.Config{})})
	for size, want := range map[int]int{8 << 10: 200, 17 << 10: 431} {
		r, _ := http.NewRequest("GET", "http://"+addr+"/livez", nil)
		r.Header.Set("X-Filler", strings.Repeat("x", size))
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%d bytes of headers: %d, want %d", size, response.StatusCode, want)
		}
	}
}

func TestAConnectionThatSendsNoHeadersIsClosed(t *testing.T) {
	_, addr := serve(t, Config{Backend: newFake(t, coordination.Config{}), HeaderTimeout: 20 * time.Millisecond})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /livez HTTP/1.1\r\nHost: local")
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatalf("the connection stays open: %v", err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	_, addr := serve(t, Config{Backend: newFake(t, coordination.Config{}), MaxConnections: 1})
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	get := "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
	fmt.Fprint(first, get[:10]) // it is busy with a request
	second, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	fmt.Fprint(second, get)
	_ = second.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	reader := bufio.NewReader(second)
	if line, err := reader.ReadString('\n'); err == nil {
		t.Fatalf("a second connection is answered %q beside the first", line)
	}
	first.Close()
	_ = second.SetReadDeadline(time.Now().Add(10 * time.Second))
	if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("after the first has gone: %q, %v: want 200", line, err)
	}
}

func TestAnIdleConnectionGivesUpItsPlace(t *testing.T) {
	_, addr := serve(t, Config{Backend: newFake(t, coordination.Config{}), MaxConnections: 2})
	get := "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
	var all []*bufio.Reader
	for i := range 5 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(conn, get)
		reader := bufio.NewReader(conn)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("connection %d, behind idle ones: %v", i+1, err)
		}
		if _, err := io.ReadAll(response.Body); err != nil {
			t.Fatal(err)
		}
		all = append(all, reader)
	}
	ended := make(chan error, len(all)) // which ones depends on when the server saw them idle
	for _, reader := range all {
		go func() {
			_, err := reader.ReadByte()
			ended <- err
		}()
	}
	for range 3 {
		if err := <-ended; err != io.EOF {
			t.Errorf("an idle connection: %v, want its end", err)
		}
	}
}

func TestTheConnectionThatHasBeenIdleLongestLosesItsPlace(t *testing.T) {
	l := limitListener(nil, 2)
	var far []net.Conn
	for range 2 {
		near, end := net.Pipe()
		l.slots <- struct{}{}
		onConnState(&limitedConn{Conn: near, listener: l, free: func() { <-l.slots }}, http.StateIdle)
		far = append(far, end)
	}
	for i, conn := range far {
		l.makeRoom()
		if len(l.slots) != 1-i {
			t.Fatalf("%d places are taken after %d were made free", len(l.slots), i+1)
		}
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("connection %d: %v, want its end", i+1, err)
		}
	}
}

func TestReadyNamesWhatIsNot(t *testing.T) {
	f := newFake(t, coordination.Config{})
	h := newHandler(t, f)
	f.checks = []Check{{Name: "disk", OK: true}, {Name: "raft:coordination", OK: true}}
	if w := request(h, "GET", "/readyz", ""); w.Code != 200 || w.Body.String() != "ready\n" {
		t.Errorf("%d %q, want ready", w.Code, w.Body)
	}
	f.checks[1] = Check{Name: "raft:coordination", Reason: "no leader", Since: time.Now().Add(-3 * time.Second)}
	w := request(h, "GET", "/readyz?verbose", "")
	if w.Code != 503 || w.Body.String() != "[+] disk\n[-] raft:coordination: no leader (since 3s)\nnot ready\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	w := request(newHandler(t, newFake(t, coordination.Config{})), "GET", "/metrics", "")
	if !strings.Contains(w.Body.String(), "# HELP synod_term Term.\n# TYPE synod_term gauge\nsynod_term{group=\"a\\\"b\"} 3\n") {
		t.Errorf("got %s", w.Body)
	}
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, "#") && len(strings.Fields(line)) != 2 {
			t.Errorf("line %q is not name and value", line)
		}
	}
}

func TestEventsAreStreamedInBothForms(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f, Name: "n1"})
	for accept, want := range map[string]string{
		"text/event-stream":    "event: became-leader",
		"application/x-ndjson": `{"event":"became-leader","data":{`,
	} {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/v1/events", nil)
		r.Header.Set("Accept", accept)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case f.events <- Event{Kind: "became-leader", Node: "n1"}:
				case <-stop:
					return
				}
			}
		}()
		found := false
		for lines := bufio.NewScanner(response.Body); !found && lines.Scan(); {
			found = strings.HasPrefix(lines.Text(), want)
		}
		close(stop)
		response.Body.Close()
		if !found {
			t.Errorf("%s: no line begins with %q", accept, want)
		}
	}
}

func TestMembersComeFromTheLeader(t *testing.T) {
	leader, follower := newFake(t, coordination.Config{}), newFake(t, coordination.Config{})
	server, leaderAddr := serve(t, Config{Backend: leader, Name: "n1"})
	_, addr := serve(t, Config{Backend: follower, Name: "n2"})
	leader.members = MemberList{ConfigVersion: 8, Members: []MemberStatus{{Name: "n1", Role: "leader", API: leaderAddr}}}
	follower.members = MemberList{ConfigVersion: 7, Members: []MemberStatus{{Name: "n1", Role: "leader", API: leaderAddr}, {Name: "n3"}}}
	version := func(query string) uint64 {
		t.Helper()
		var list MemberList
		response, err := http.Get("http://" + addr + "/v1/members" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
			t.Fatal(err)
		}
		return list.ConfigVersion
	}
	if v := version(""); v != 8 {
		t.Errorf("version %d comes from a node that lags, want the leader's", v)
	}
	if v := version("?local"); v != 7 {
		t.Errorf("version %d, want that of the node that is asked", v)
	}
	leader.members.ConfigVersion = 6 // it has been deposed, and does not know it yet
	if v := version(""); v != 7 {
		t.Errorf("version %d, which is older than what the node itself knows", v)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	server.Shutdown(ctx)
	if v := version(""); v != 7 {
		t.Errorf("version %d, want the node's own when the leader does not answer", v)
	}
}

func TestStatusComesFromTheLeader(t *testing.T) {
	leader, follower := newFake(t, coordination.Config{}), newFake(t, coordination.Config{})
	_, leaderAddr := serve(t, Config{Backend: leader, Name: "n1"})
	_, followerAddr := serve(t, Config{Backend: follower, Name: "n2"})
	follower.status = Status{Node: "n2", Role: "follower", Leader: "n1", Members: []MemberStatus{{Name: "n1", API: leaderAddr}}}
	client := newTestClient(t, followerAddr)
	if status, err := client.Status(t.Context(), false); err != nil || status.Node != "n1" {
		t.Errorf("status from %s, %v: want the leader n1", status.Node, err)
	}
	if status, err := client.Status(t.Context(), true); err != nil || status.Node != "n2" {
		t.Errorf("local status from %s, %v: want n2", status.Node, err)
	}
}

func TestWithoutTheLeadersAnswerNobodyIsHealthy(t *testing.T) {
	f := newFake(t, coordination.Config{})
	f.status = Status{Node: "n2", Role: "follower", Leader: "n1", Healthy: true, Members: []MemberStatus{{Name: "n1", API: deadAddress(t)}}}
	_, addr := serve(t, Config{Backend: f})
	status, err := newTestClient(t, addr).Status(t.Context(), false)
	if err != nil || status.Healthy || status.Leader != "" {
		t.Fatalf("%+v, %v: want no leader, not healthy", status, err)
	}
}

// FuzzHandler: whatever comes in, the answer is one of ours and never 500.
func FuzzHandler(f *testing.F) {
	f.Add("GET", "/v1/kv/a", "list&limit=3", "", "Accept", "application/json")
	f.Add("PUT", "/v1/kv/a/b", "version=0", "body", "Synod-Request-Id", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
	f.Add("DELETE", "/v1/kv/%2e%2e", "recursive", "", "Last-Event-ID", "7")
	f.Add("POST", "/v1/members/add", "name=n%00", "", "Synod-Timeout", "5s")
	f.Add("GET", "/readyz", "verbose", "", "Synod-Forwarded", "x")
	f.Fuzz(func(t *testing.T, method, path, query, body, name, value string) {
		backend := newFake(t, coordination.Config{})
		server, err := NewServer(Config{Backend: backend, Heartbeat: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		server.stop.Do(func() { close(server.stopping) }) // watches end at once
		r := &http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}, Host: "localhost",
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1, RequestURI: path}
		r.Header.Set(name, value)
		w := newRecorder()
		server.Handler().ServeHTTP(w, r.WithContext(t.Context()))
		if w.Code == 500 || w.Code < 200 {
			t.Fatalf("%s %q ?%q: %d %s", method, path, query, w.Code, w.Body)
		}
	})
}

func TestNoPathIsAnsweredByARedirectToAnother(t *testing.T) {
	f := newFake(t, coordination.Config{})
	h := newHandler(t, f)
	for target, want := range map[string]int{
		"/v1/kv/a//b": 400, "/v1/kv//a": 400, "/v1/kv/a/../b": 400, "/v1/kv/a/.": 400, "/v1/kv/..": 400, "/v1/kv/a/": 400,
		"/v1/kv/%2e%2e/a": 400, "/v1/kv": 400, "/v1/kv/": 400, "//v1/kv/a": 400, "/v1/../v1/kv/a": 400, "/v1/kv/a..b/.c": 200,
	} {
		w := request(h, "PUT", target, "x")
		if w.Code != want || want == 400 && !strings.Contains(w.Body.String(), string(CodeRequest)) {
			t.Errorf("PUT %s: %d %s, want %d", target, w.Code, w.Body, want)
		}
	}
	if w := request(h, "GET", "/v1/kv?list", ""); w.Code != 200 {
		t.Errorf("GET /v1/kv?list: %d %s, want 200", w.Code, w.Body)
	}
	page, err := f.List(t.Context(), "", ListOptions{Limit: 10, Recursive: true})
	if err != nil || len(page.Entries) != 2 { // a..b and a..b/.c
		t.Errorf("the tree has %+v, %v: want what was named as it is", page.Entries, err)
	}
}

func TestAStartingNodeSaysWhatItWaitsFor(t *testing.T) {
	server, err := NewServer(Config{Starting: func() []Check { return []Check{{Name: "start", Reason: "reading the log"}} }})
	if err != nil {
		t.Fatal(err)
	}
	h := server.Handler()
	if w := request(h, "GET", "/livez", ""); w.Code != 200 {
		t.Errorf("/livez: %d, want 200", w.Code)
	}
	if w := request(h, "GET", "/readyz?verbose", ""); w.Code != 503 || w.Body.String() != "[-] start: reading the log\nnot ready\n" {
		t.Errorf("/readyz: %d %q", w.Code, w.Body)
	}
	for _, r := range server.routes() {
		if r.need == anyone {
			continue
		}
		for method := range r.methods {
			path := strings.NewReplacer("{path...}", "a", "{action}", "add", "{$}", "").Replace(r.pattern)
			w := request(h, method, path, "")
			if w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"code":"E-STARTING"`) || !strings.Contains(w.Body.String(), "reading the log") {
				t.Errorf("%s %s: %d %s, want E-STARTING, why and when to try again", method, path, w.Code, w.Body)
			}
		}
	}
	f := newFake(t, coordination.Config{})
	f.checks = []Check{{Name: "disk", OK: true}}
	server.SetBackend(f)
	if w := request(h, "GET", "/readyz", ""); w.Code != 200 {
		t.Errorf("/readyz of a node that has started: %d %s", w.Code, w.Body)
	}
	if w := request(h, "PUT", "/v1/kv/a", "1"); w.Code != 200 {
		t.Errorf("a write after the start: %d %s", w.Code, w.Body)
	}
}
