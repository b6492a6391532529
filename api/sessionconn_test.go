package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

// rawSession opens a session past the Go client.
func rawSession(t testing.TB, c *Client, timeout string) (token string, id uint64) {
	t.Helper()
	var opened openedJSON
	err := c.do(t.Context(), call{method: "POST", path: "/v1/sessions", body: []byte(`{"timeout":"` + timeout + `"}`), what: "opening"}, &opened)
	if err != nil {
		t.Fatal(err)
	}
	return opened.Token, opened.Session
}

// wire is the connection of a session as a program of any language would make it.
type wire struct {
	net.Conn
	lines *bufio.Scanner
	t     testing.TB
}

// connectRaw sends a request to upgrade and returns the connection and the answer's status line.
func connectRaw(t testing.TB, addr, token, number string) (*wire, string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /v1/session/connect?number=%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: synod-session/1\r\nSynod-Session: %s\r\n\r\n", number, token)
	w := &wire{Conn: conn, lines: bufio.NewScanner(conn), t: t}
	w.lines.Buffer(nil, maxEvent)
	status := w.line()
	for strings.HasPrefix(status, "HTTP/1.1 101") && w.line() != "" {
	}
	return w, status
}

// line returns the next line, "" for an empty one and at the end.
func (w *wire) line() string {
	w.lines.Scan()
	return strings.TrimSuffix(w.lines.Text(), "\r")
}

func (w *wire) say(format string, args ...any) {
	w.t.Helper()
	if _, err := fmt.Fprintf(w.Conn, format+"\n", args...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) expect(want string) {
	w.t.Helper()
	if got := w.line(); !strings.HasPrefix(got, want) {
		w.t.Fatalf("got %q, want %q", got, want)
	}
}

func TestTheLinesOfASessionAreAsDocumented(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	token, _ := rawSession(t, newTestClient(t, addr), "10s") // index 1
	w, status := connectRaw(t, addr, token, "1")
	if status != "HTTP/1.1 101 Switching Protocols" {
		t.Fatal(status)
	}
	w.say(`{"touch":7}`)
	w.expect(`{"alive":7,"index":`)
	w.say(`{"watch":1,"path":"a","from":1}`)
	w.expect(`{"watching":1,"index":0}`)
	w.say(`{"watch":2,"path":"","scope":"tree","from":2,"once":true}`)
	w.expect(`{"watching":2,"index":1}`)
	f.put(t, "a", []byte("v")) // index 2
	w.expect(`{"change":{"kind":"created","path":"a","value":"v","version":1,"index":2},"watch":[1,2]}`)
	w.expect(`{"unwatched":2}`)
	w.say(`{"sync":2}`)
	w.expect(`{"synced":2}`)
	w.say(`{"unwatch":1}`)
	w.say(`{"sync":2}`)
	w.expect(`{"synced":2}`)
	f.put(t, "a", []byte("w"))
	w.say(`{"sync":3}`)
	w.expect(`{"synced":3}`)
	w.say(`{"watch":3,"path":"a","from":5}`) // of an index to come
	w.expect(`{"watching":3,"index":4}`)
	f.put(t, "a", []byte("x"))
	f.put(t, "a", []byte("y"))
	w.expect(`{"change":{"kind":"changed","path":"a","value":"y","version":4,"index":5},"watch":[3]}`)
}

func TestALineThatCannotBeReadEndsTheConnection(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f, SlowClient: time.Second})
	token, _ := rawSession(t, newTestClient(t, addr), "1m")
	many := ""
	for i := range maxSessionWatches + 1 {
		many += fmt.Sprintf(`{"watch":%d,"path":"a"}`+"\n", i+1)
	}
	for name, line := range map[string]string{
		"no JSON":             `hello`,
		"nothing":             `{}`,
		"two things":          `{"touch":1,"sync":1}`,
		"an unknown field":    `{"touch":1,"tuoch":1}`,
		"two documents":       `{"touch":1}{"touch":2}`,
		"a negative number":   `{"touch":-1}`,
		"a path of nothing":   `{"sync":1,"path":"a"}`,
		"a bad path":          `{"watch":1,"path":"a//b"}`,
		"the top as a node":   `{"watch":1}`,
		"a bad scope":         `{"watch":1,"path":"a","scope":"all"}`,
		"a number used twice": `{"watch":1,"path":"a"}` + "\n" + `{"watch":1,"path":"b"}`,
		"too long a line":     `{"touch":` + strings.Repeat(" ", maxLine) + `1}`,
		"too many watches":    strings.TrimSuffix(many, "\n"),
	} {
		w, _ := connectRaw(t, addr, token, "1")
		go fmt.Fprintln(w.Conn, line) // it may be cut off amid it
		last, begun := "", 0
		for next := w.line(); next != ""; next = w.line() {
			last = next
			begun += strings.Count(next, "watching")
		}
		if begun > maxSessionWatches {
			t.Errorf("%s: %d watches were begun", name, begun)
		}
		if name == "too many watches" { // the kernel drops the last line if the client has sent more behind what is refused
			continue
		}
		if !strings.HasPrefix(last, `{"bye":{"code":"E-`) {
			t.Errorf("%s: the last line is %q, want a reason", name, last)
		}
		w.Close()
	}
}

func TestWhoHasNotTheTokenIsNotConnected(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	token, id := rawSession(t, newTestClient(t, addr), "10s")
	for name, test := range map[string]struct {
		token, number string
		status        int
	}{
		"stolen number":   {sessionToken(id, newPassword()), "1", 410},
		"no such session": {sessionToken(1<<62, newPassword()), "1", 410},
		"malformed":       {"1f", "1", 400},
		"not hexadecimal": {"1f-" + strings.Repeat("z", 32), "1", 400},
		"session 0":       {sessionToken(0, newPassword()), "1", 400},
		"none":            {"", "1", 400},
		"no number":       {token, "0", 400},
	} {
		if _, status := connectRaw(t, addr, test.token, test.number); !strings.HasPrefix(status, fmt.Sprintf("HTTP/1.1 %d", test.status)) {
			t.Errorf("%s: %q, want %d", name, status, test.status)
		}
	}
}

func TestTheConnectionsOfSessionsAreBoundedAndCountApart(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f, MaxConnections: 2, MaxSessions: 3})
	c := newTestClient(t, addr)
	token, _ := rawSession(t, c, "10s")
	var held []*wire
	for range 3 { // more than MaxConnections
		w, status := connectRaw(t, addr, token, "1")
		if !strings.HasPrefix(status, "HTTP/1.1 101") {
			t.Fatal(status)
		}
		held = append(held, w)
	}
	if _, status := connectRaw(t, addr, token, "1"); !strings.HasPrefix(status, "HTTP/1.1 429") {
		t.Fatalf("a connection too many: %q, want 429", status)
	}
	if _, err := c.Put(t.Context(), "a", nil, WriteOptions{}); err != nil {
		t.Fatalf("with all sessions connected: %v", err)
	}
	gone := make(chan struct{})
	f.gone = func(uint64, uint64) { close(gone) }
	held[0].say(`{"touch":1}`)
	held[0].expect(`{"alive":1`)
	held[0].Close()
	<-gone
	if _, status := connectRaw(t, addr, token, "1"); !strings.HasPrefix(status, "HTTP/1.1 101") {
		t.Errorf("in the place of one that has gone: %q", status)
	}
}

func TestASessionThatSendsNothingIsCutAfterItsTimeout(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	told := make(chan struct{}, 1)
	f.gone = func(uint64, uint64) { told <- struct{}{} }
	token, _ := rawSession(t, newTestClient(t, addr), "1s")
	w, _ := connectRaw(t, addr, token, "1")
	w.say(`{"touch":1}`)
	w.expect(`{"alive":1`)
	began := time.Now()
	if rest, err := io.ReadAll(w.Conn); err != nil || len(rest) > 0 {
		t.Fatalf("%q, %v: want the end", rest, err)
	}
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("cut after %v, want 1s", took)
	}
	select {
	case <-told:
		t.Error("the leader was told that the client is gone: it is only silent")
	default:
	}
}

func TestASessionThatDoesNotReadIsCutAndHoldsUpNobody(t *testing.T) {
	f := newFake(t, coordination.Config{})
	server, addr := serve(t, Config{Backend: f, SlowClient: 200 * time.Millisecond})
	c := newTestClient(t, addr)
	token, _ := rawSession(t, c, "1m")
	w, _ := connectRaw(t, addr, token, "1")
	w.say(`{"watch":1,"path":"a"}`)
	w.expect(`{"watching":1`)
	other := openSession(t, c, SessionOptions{})
	value := make([]byte, 1<<20)
	deadline := time.Now().Add(20 * time.Second)
	for server.counters.slow.Load() == 0 {
		f.put(t, "a", value)
		if _, _, err := other.Get(t.Context(), "a", ReadOptions{Level: Stale}); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("the session was not cut")
		}
	}
}

func TestATouchByHandTellsWhetherTheSessionLives(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	c := newTestClient(t, addr)
	token, id := rawSession(t, c, "10s")
	touch := func(token string) Code {
		return CodeOf(c.do(t.Context(), call{method: "POST", path: "/v1/session/touch", session: token, what: "a touch"}, &struct{}{}))
	}
	if code := touch(token); code != "" {
		t.Errorf("alive: %s", code)
	}
	if code := touch(sessionToken(id, newPassword())); code != CodeSession {
		t.Errorf("with a wrong password: %s, want %s", code, CodeSession)
	}
	if err := c.do(t.Context(), call{method: "DELETE", path: "/v1/session", session: token, what: "the end"}, &Done{}); err != nil {
		t.Fatal(err)
	}
	if code := touch(token); code != CodeSession {
		t.Errorf("closed: %s, want %s", code, CodeSession)
	}
}

func FuzzSessionLine(f *testing.F) {
	for _, line := range []string{`{"touch":1}`, `{"touch":0}`, `{"touch":01}`, `{"watch":1,"path":"a/b","scope":"tree","from":9,"once":true}`, `{"unwatch":1}`, `{"sync":3}`, `{`, `{"watch":1,"path":""}`} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := parseSessionLine(line)
		if rare, rareErr := parseRareLine(line); rare != m || (rareErr == nil) != (err == nil) {
			t.Fatalf("%q is read as %+v, %v and as %+v, %v", line, m, err, rare, rareErr)
		}
		if err != nil {
			if CodeOf(err) != CodeRequest {
				t.Fatalf("%q: %v, want %s", line, err, CodeRequest)
			}
			return
		}
		if m.kind < lineTouch || m.kind > lineSync || m.kind == lineWatch && coordination.CheckPath(m.watch.Path) != nil {
			t.Fatalf("%q is taken for %+v", line, m)
		}
	})
}

func TestASyncIsAnsweredBehindAllChangesHoweverMany(t *testing.T) {
	f := newFake(t, coordination.Config{})
	server, addr := serve(t, Config{Backend: f})
	token, _ := rawSession(t, newTestClient(t, addr), "1m")
	w, _ := connectRaw(t, addr, token, "1")
	w.say(`{"watch":1,"path":"a"}`)
	w.expect(`{"watching":1`)
	c := onlyConn(t, server)
	c.out.Lock() // as if the client did not read
	const n = 4 * changesPage
	for range n {
		f.put(t, "a", nil)
	}
	w.say(`{"sync":%d}`, f.at)
	// It waits behind what is being sent, unless the pump has taken it along at once.
	for asked, patience := false, time.Now().Add(time.Second); !asked && time.Now().Before(patience); time.Sleep(time.Millisecond) {
		c.mu.Lock()
		asked = len(c.pump.orders) > 0
		c.mu.Unlock()
	}
	c.out.Unlock()
	for i := range n {
		if line := w.line(); !strings.HasPrefix(line, `{"change":`) {
			t.Fatalf("after %d of %d changes: %q", i, n, line)
		}
	}
	w.expect(`{"synced":`)
}

// panicking is a node of which one method fails in a way that nobody planned for.
type panicking struct {
	*fake
	touch, view bool
	armed       chan struct{} // closed: from now on
}

func (p *panicking) fail(wanted bool) {
	select {
	case <-p.armed:
		if wanted {
			panic("planted")
		}
	default:
	}
}

func (p *panicking) Touch(ctx context.Context, session, connection uint64) (coordination.Sign, error) {
	p.fail(p.touch)
	return p.fake.Touch(ctx, session, connection)
}

func (p *panicking) View(ctx context.Context, o ReadOptions, g func(*coordination.Tree, uint64)) error {
	p.fail(p.view)
	return p.fake.View(ctx, o, g)
}

func TestAPanicEndsTheConnectionOfASessionAlone(t *testing.T) {
	for what, say := range map[string]string{"touch": `{"touch":1}`, "view": `{"watch":1,"path":"a","scope":"node"}`} {
		t.Run(what, func(t *testing.T) {
			p := &panicking{fake: newFake(t, coordination.Config{}), touch: what == "touch", view: what == "view", armed: make(chan struct{})}
			_, addr := serve(t, Config{Backend: p})
			client := newTestClient(t, addr)
			token, _ := rawSession(t, client, "10s")
			w, status := connectRaw(t, addr, token, "1")
			if status != "HTTP/1.1 101 Switching Protocols" {
				t.Fatal(status)
			}
			close(p.armed)
			w.say("%s", say)
			for w.lines.Scan() {
			}
			if err := w.lines.Err(); err != nil {
				t.Fatalf("the connection ends with %v", err)
			}
			if _, err := client.Status(t.Context(), true); err != nil {
				t.Errorf("the node does not answer any more: %v", err)
			}
		})
	}
}
