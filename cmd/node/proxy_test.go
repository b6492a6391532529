package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/recipes"
)

// greeter is a TCP server that answers each line with its name and the line.
func greeter(t *testing.T, name string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				lines := bufio.NewScanner(conn)
				for lines.Scan() {
					fmt.Fprintf(conn, "%s %s\n", name, lines.Text())
				}
				fmt.Fprintf(conn, "%s says bye\n", name)
			}()
		}
	}()
	return l.Addr().String()
}

// startProxy serves a proxy that follows f and returns its address.
func startProxy(t *testing.T, f *follower, web bool, wait time.Duration, most int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{http: web, wait: wait, follower: f}
	b := &bounded{Listener: l, slots: make(chan struct{}, most), refuse: p.refuse}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.serve(ctx, b) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != context.Canceled {
			t.Errorf("the proxy ended with %v", err)
		}
	})
	return l.Addr().String()
}

// caller is a client of a greeter.
type caller struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func call(t *testing.T, addr string) *caller {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &caller{t, conn, bufio.NewReader(conn)}
}

func (c *caller) ask(line, want string) {
	c.t.Helper()
	fmt.Fprintln(c.conn, line)
	if got, err := c.r.ReadString('\n'); err != nil || got != want+"\n" {
		c.t.Fatalf("asked %q: %q, %v, want %q", line, got, err, want)
	}
}

func TestAChangeOfTheLeaderCutsNoConnection(t *testing.T) {
	f := newFollower("web")
	f.set(greeter(t, "a"))
	addr := startProxy(t, f, false, 5*time.Second, 10)
	old := call(t, addr)
	old.ask("1", "a 1")
	f.set(greeter(t, "b"))
	call(t, addr).ask("2", "b 2")
	old.ask("3", "a 3")
	f.set("")
	old.ask("4", "a 4")
}

func TestAConnectionWaitsForALeader(t *testing.T) {
	f := newFollower("web")
	addr := startProxy(t, f, false, 10*time.Second, 10)
	c := call(t, addr)
	fmt.Fprintln(c.conn, "early")
	f.set(greeter(t, "a"))
	if got, err := c.r.ReadString('\n'); err != nil || got != "a early\n" {
		t.Fatalf("%q, %v: want what was sent before there was a leader to reach it", got, err)
	}
}

func TestAConnectionGoesToTheNextLeaderIfOneIsDead(t *testing.T) {
	f := newFollower("web")
	f.set(closedPort(t))
	addr := startProxy(t, f, false, 10*time.Second, 10)
	c := call(t, addr)
	fmt.Fprintln(c.conn, "x")
	f.set(greeter(t, "b"))
	if got, err := c.r.ReadString('\n'); err != nil || got != "b x\n" {
		t.Fatalf("%q, %v, want the answer of b", got, err)
	}
}

// closedPort is an address where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestWithoutALeaderAConnectionIsClosedInTheEnd(t *testing.T) {
	addr := startProxy(t, newFollower("web"), false, 20*time.Millisecond, 10)
	if rest, err := io.ReadAll(call(t, addr).conn); err != nil || len(rest) > 0 {
		t.Fatalf("%q, %v, want the end", rest, err)
	}
}

func TestOneDirectionMayEndBeforeTheOther(t *testing.T) {
	f := newFollower("web")
	f.set(greeter(t, "a"))
	c := call(t, startProxy(t, f, false, 5*time.Second, 10))
	c.ask("1", "a 1")
	if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(c.r); err != nil || string(rest) != "a says bye\n" {
		t.Fatalf("%q, %v, want the leader's last words", rest, err)
	}
}

func TestConnectionsOfTheProxyAreBounded(t *testing.T) {
	f := newFollower("web")
	f.set(greeter(t, "a"))
	addr := startProxy(t, f, false, 5*time.Second, 1)
	first := call(t, addr)
	first.ask("1", "a 1")
	if rest, _ := io.ReadAll(call(t, addr).conn); len(rest) > 0 {
		t.Fatalf("%q, want a second connection to be refused", rest)
	}
	first.ask("2", "a 2")
	first.conn.Close()
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		next := call(t, addr)
		fmt.Fprintln(next.conn, "3")
		if got, err := next.r.ReadString('\n'); err == nil && got == "a 3\n" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the place of a connection that is closed is never free")
		}
	}
}

// webLeader answers with its name and the request's body.
func webLeader(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %q %s", name, r.Host, r.URL.RequestURI(), body, r.Header.Get("X-Forwarded-For"))
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func post(t *testing.T, client *http.Client, addr, body string) (int, string) {
	t.Helper()
	response, err := client.Post("http://"+addr+"/a%2Fb?x=1;y=2", "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestEachRequestGoesToTheLeaderOfTheMoment(t *testing.T) {
	f := newFollower("web")
	a, b := webLeader(t, "a"), webLeader(t, "b")
	addr := startProxy(t, f, true, 10*time.Second, 10)
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: 20 * time.Second} // one connection for all
	for i, leader := range []string{a, b, a, closedPort(t)} {
		f.set(leader)
		name := map[string]string{a: "a", b: "b"}[leader]
		if name == "" { // dead: the request goes to the next
			name = "b"
			time.AfterFunc(30*time.Millisecond, func() { f.set(b) })
		}
		code, text := post(t, client, addr, "hello")
		if want := fmt.Sprintf("%s %s /a%%2Fb?x=1;y=2 \"hello\" 127.0.0.1", name, addr); code != 200 || text != want {
			t.Errorf("request %d: %d %q, want %q", i, code, text, want)
		}
	}
}

func TestARequestWithoutALeaderIsToldWhy(t *testing.T) {
	f := newFollower("web")
	addr := startProxy(t, f, true, 20*time.Millisecond, 10)
	response, err := http.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	if response.StatusCode != 503 || response.Header.Get("Retry-After") == "" || string(text) != "nobody leads \"web\"\n" {
		t.Fatalf("%d %q %v, want 503, the reason and when to come again", response.StatusCode, text, response.Header)
	}
	dead := closedPort(t)
	f.set(dead)
	if code, text := post(t, http.DefaultClient, addr, "x"); code != 503 || !strings.Contains(text, "at "+dead+" cannot be connected to: connection refused") {
		t.Fatalf("%d %q, want 503 and the reason", code, text)
	}
}

func TestALeaderThatBreaksOffIsNoAnswer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer s.Close()
	f := newFollower("web")
	f.set(s.Listener.Addr().String())
	code, text := post(t, http.DefaultClient, startProxy(t, f, true, time.Second, 10), "x")
	if code != 502 || !strings.Contains(text, "may have been carried out") {
		t.Fatalf("%d %q, want 502 and that nobody knows", code, text)
	}
}

func TestAnUpgradePassesAndOutlivesTheLeadership(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		for {
			line, err := buffered.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "echo %s", line)
		}
	}))
	defer s.Close()
	f := newFollower("web")
	f.set(s.Listener.Addr().String())
	c := call(t, startProxy(t, f, true, 5*time.Second, 10))
	fmt.Fprintf(c.conn, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = c.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	c.ask("1", "echo 1")
	f.set(webLeader(t, "b"))
	c.ask("2", "echo 2")
}

func TestOneConnectionTooManyGetsAnAnswerInHTTP(t *testing.T) {
	f := newFollower("web")
	addr := startProxy(t, f, true, 10*time.Second, 1)
	waiting := call(t, addr)
	fmt.Fprintf(waiting.conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	f.set(webLeader(t, "a"))
	if _, err := waiting.r.ReadString('\n'); err != nil { // it has its place
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(call(t, addr).r, nil)
	if err != nil || answer.StatusCode != 503 {
		t.Fatalf("%v, %v, want 503", answer, err)
	}
}

func TestOnlyAnAddressCanBeFollowed(t *testing.T) {
	var out lockedFile
	p := &proxy{app: &app{out: &out}, follower: newFollower("web"), own: "127.0.0.1:8080"}
	for value, want := range map[string]string{
		"10.0.0.1:80":    "10.0.0.1:80",
		"[::1]:80":       "[::1]:80",
		"web pid 7":      "",
		"10.0.0.1":       "",
		":80":            "",
		"a b:80":         "",
		"127.0.0.1:8080": "", // ourselves
		"\xff":           "",
	} {
		p.see(recipes.Leader{Value: []byte(value), Token: 5})
		if got, _ := p.follower.now(); got != want {
			t.Errorf("a leader with the value %q: followed to %q, want %q", value, got, want)
		}
	}
	p.see(recipes.Leader{Value: []byte("10.0.0.1:80"), Token: 5})
	p.see(recipes.Leader{})
	if got, _ := p.follower.now(); got != "" {
		t.Errorf("nobody leads: followed to %q", got)
	}
	if !strings.Contains(out.String(), "nobody leads web: new connections wait\n") {
		t.Errorf("%q does not tell that nobody leads", out.String())
	}
}
