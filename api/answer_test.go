package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

// pipes is a listener whose connections hold no byte that the client has not read.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} } // no address of a network: any Host is answered

// pipe is the server's end of a connection.
type pipe struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipe) Close() error { p.once.Do(func() { close(p.closed) }); return p.Conn.Close() }

// dial sends a request and returns the client's end; closed tells that the server has
// given the connection up.
func (p *pipes) dial(t *testing.T, method, target string, headers ...string) (conn net.Conn, closed chan struct{}) {
	t.Helper()
	client, server := net.Pipe()
	closed = make(chan struct{})
	p.conns <- &pipe{Conn: server, closed: closed}
	t.Cleanup(func() { client.Close() })
	text := method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n"
	for i := 0; i+1 < len(headers); i += 2 {
		text += headers[i] + ": " + headers[i+1] + "\r\n"
	}
	if _, err := io.WriteString(client, text+"\r\n"); err != nil {
		t.Fatal(err)
	}
	return client, closed
}

// servePipes is serve over pipes.
func servePipes(t *testing.T, c Config) (*Server, *pipes) {
	t.Helper()
	server, err := NewServer(c)
	if err != nil {
		t.Fatal(err)
	}
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(p) }()
	t.Cleanup(func() {
		server.http.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return server, p
}

// bigBytes is a value of which one fits into the budget of these tests.
const bigBytes = 700 << 10

type longAnswer struct {
	name, target string
	headers      []string
	forwarded    bool
}

// longAnswers are requests with long answers: to a leader that holds "big" and to a
// follower that asks it.
var longAnswers = []longAnswer{
	{"a listing", "/v1/kv/?list", nil, false},
	{"a value", "/v1/kv/big", nil, false},
	{"a value as JSON", "/v1/kv/big", []string{"Accept", "application/json"}, false},
	{"a forwarded listing", "/v1/kv/?list&level=lease", nil, true},
	{"a forwarded value", "/v1/kv/big?level=lease", nil, true},
	{"a long status", "/v1/status?local", nil, false},
}

// fakeWithBig holds a long value; the status is as long.
func fakeWithBig(t *testing.T) *fake {
	t.Helper()
	f := newFake(t, coordination.Config{})
	for path, value := range map[string][]byte{"big": bytes.Repeat([]byte("b"), bigBytes), "small": []byte("s")} {
		f.put(t, path, value)
	}
	f.status.Reasons = []string{strings.Repeat("r", bigBytes)}
	return f
}

// asked returns the backend that is asked: the leader's, or a follower's.
func asked(t *testing.T, forwarded bool) *fake {
	t.Helper()
	f := fakeWithBig(t)
	if !forwarded {
		return f
	}
	_, addr := serve(t, Config{Backend: f, Name: "n1"})
	follower := fakeWithBig(t)
	follower.refuse = func() error { return notLeader(addr) }
	return follower
}

func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	for _, c := range append(longAnswers, longAnswer{"a short answer", "/livez", nil, false}) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, p := servePipes(t, Config{Backend: asked(t, c.forwarded), SlowClient: 50 * time.Millisecond})
			_, closed := p.dial(t, "GET", c.target, c.headers...)
			select {
			case <-closed:
			case <-time.After(20 * time.Second):
				t.Fatal("its connection is still open after 20 s, want 50 ms")
			}
			if held := waitHeld(server, func(n int64) bool { return n == 0 }); held != 0 {
				t.Errorf("%d bytes are still counted", held)
			}
		})
	}
}

// net/http itself writes "100 Continue", before any handler of ours writes.
func TestAClientThatDoesNotReadWhetherToGoOnIsCutOff(t *testing.T) {
	t.Parallel()
	_, p := servePipes(t, Config{Backend: fakeWithBig(t), SlowClient: 50 * time.Millisecond, BodyTimeout: 50 * time.Millisecond})
	_, closed := p.dial(t, "PUT", "/v1/kv/a", "Content-Length", "1", "Expect", "100-continue")
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("its connection is still open after 20 s, want 50 ms")
	}
}

// waitHeld waits until as many bytes of answers are counted as good wants.
func waitHeld(s *Server, good func(int64) bool) int64 {
	for range 10_000 {
		if held := s.answers.held.Load(); good(held) {
			return held
		}
		<-time.After(time.Millisecond)
	}
	return s.answers.held.Load()
}

func TestAClientThatReadsSlowlyGetsTheWholeAnswer(t *testing.T) {
	t.Parallel()
	const slow = time.Second
	_, p := servePipes(t, Config{Backend: fakeWithBig(t), SlowClient: slow})
	conn, _ := p.dial(t, "GET", "/v1/kv/big")
	r := bufio.NewReaderSize(conn, 4<<10)
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	began, total := time.Now(), 0
	for total < bigBytes {
		n, err := io.CopyN(io.Discard, response.Body, min(pieceBytes, int64(bigBytes-total)))
		if total += int(n); err != nil {
			t.Fatalf("after %d bytes and %v: %v", total, time.Since(began), err)
		}
		<-time.After(slow / 8)
	}
	if took := time.Since(began); took < slow {
		t.Fatalf("void: it took only %v", took)
	}
}

func TestAnswersThatNobodyReadsAreBounded(t *testing.T) {
	for _, c := range longAnswers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, p := servePipes(t, Config{Backend: asked(t, c.forwarded), SlowClient: time.Minute, MaxAnswers: 1 << 20})
			idle, _ := p.dial(t, "GET", c.target, c.headers...)
			if held := waitHeld(server, func(n int64) bool { return n >= bigBytes }); held < bigBytes {
				t.Fatalf("%d bytes are counted, want at least %d", held, bigBytes)
			}
			w := request(server.Handler(), "GET", c.target, "", c.headers...)
			if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), string(CodeOverloaded)) {
				t.Errorf("a second one: %d %.100s, want 429 %s and when to try again", w.Code, w.Body, CodeOverloaded)
			}
			rest := int(server.answers.most - server.answers.held.Load())
			if !server.answers.take(rest) {
				t.Fatalf("%d bytes are not left", rest)
			}
			if w := request(server.Handler(), "GET", "/v1/kv/small", ""); w.Code != http.StatusOK {
				t.Errorf("a short answer meanwhile: %d %s, want 200", w.Code, w.Body)
			}
			if w := request(server.Handler(), "PUT", "/v1/kv/small", "t"); w.Code != http.StatusOK {
				t.Errorf("a write meanwhile: %d %s, want 200", w.Code, w.Body)
			}
			server.answers.give(rest)
			idle.Close()
			if held := waitHeld(server, func(n int64) bool { return n == 0 }); held != 0 {
				t.Fatalf("%d bytes are counted when the client has gone", held)
			}
			if w := request(server.Handler(), "GET", c.target, "", c.headers...); w.Code != http.StatusOK || w.Body.Len() < bigBytes {
				t.Errorf("when the client has gone: %d and %d bytes, want 200 and all of it", w.Code, w.Body.Len())
			}
		})
	}
}

func TestTheAnswerToABatchOfWritesIsNeverRefused(t *testing.T) {
	f := newFake(t, coordination.Config{})
	server, err := NewServer(Config{Backend: f, MaxAnswers: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	server.answers.take(1 << 20) // others read nothing
	const writes = 300
	w := request(server.Handler(), "POST", "/v1/batch", strings.Repeat(`{"method":"PUT","path":"a","value":"x"}`+"\n", writes))
	if done := strings.Count(w.Body.String(), `"status":200`); w.Code != http.StatusOK || done != writes || w.Body.Len() <= freeAnswer {
		t.Fatalf("%d %.200s: %d of %d writes in %d bytes, index %d: want to be told of all", w.Code, w.Body, done, writes, w.Body.Len(), f.at)
	}
	if held := server.answers.held.Load(); held != 1<<20 {
		t.Errorf("%d bytes are counted afterwards", held)
	}
}

func TestAnAnswerThatCanNeverFitIsNotCalledOverload(t *testing.T) {
	server, err := NewServer(Config{Backend: fakeWithBig(t), MaxAnswers: bigBytes / 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/v1/kv/big", "/v1/kv/?list"} {
		w := request(server.Handler(), "GET", target, "")
		if w.Code != http.StatusRequestEntityTooLarge || w.Header().Get("Retry-After") != "" {
			t.Errorf("%s: %d %s, want 413 and nothing about trying again", target, w.Code, w.Body)
		}
	}
}

func TestAForwardedAnswerIsNeverCutShort(t *testing.T) {
	const most = 1 << 20
	for _, c := range []struct {
		name   string
		method string
		answer func(w http.ResponseWriter)
		status int
		code   Code
	}{
		{"as long as may be", "GET", func(w http.ResponseWriter) { w.Write(make([]byte, most)) }, 200, ""},
		{"too long", "GET", func(w http.ResponseWriter) { w.Write(make([]byte, most+1)) }, 413, CodeTooLarge},
		{"without an end", "GET", func(w http.ResponseWriter) {
			for err := error(nil); err == nil; {
				_, err = w.Write(make([]byte, 64<<10))
			}
		}, 413, CodeTooLarge},
		{"too long, to a write", "PUT", func(w http.ResponseWriter) { w.Write(make([]byte, most+1)) }, 504, CodeUnknown},
		{"broken off", "GET", func(w http.ResponseWriter) {
			w.Write(make([]byte, most/2))
			panic(http.ErrAbortHandler)
		}, 503, CodeNoLeader},
	} {
		t.Run(c.name, func(t *testing.T) {
			leader := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.answer(w) }))
			defer leader.Close()
			f := newFake(t, coordination.Config{})
			f.refuse = func() error { return notLeader(leader.Listener.Addr().String()) }
			server, err := NewServer(Config{Backend: f, MaxAnswers: most})
			if err != nil {
				t.Fatal(err)
			}
			defer server.forwards.CloseIdleConnections()
			w := request(server.Handler(), c.method, "/v1/kv/a?"+map[string]string{"GET": "level=lease"}[c.method], "")
			if c.code == "" {
				if w.Code != c.status || w.Body.Len() != most {
					t.Fatalf("%d with %d bytes, want %d with %d", w.Code, w.Body.Len(), c.status, most)
				}
				return
			}
			var e Error
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != c.status || e.Code != c.code {
				t.Fatalf("%d %.200q, want %d %s", w.Code, w.Body, c.status, c.code)
			}
			if held := server.answers.held.Load(); held != 0 {
				t.Errorf("%d bytes are still counted", held)
			}
		})
	}
}

func TestTheClientDoesNotTakeAPartForTheWhole(t *testing.T) {
	if _, err := readAll(strings.NewReader("12345"), 4); err != errLong {
		t.Errorf("%v, want %v", err, errLong)
	}
	if body, err := readAll(strings.NewReader("1234"), 4); err != nil || string(body) != "1234" {
		t.Errorf("%q, %v, want all four", body, err)
	}
}

// randomValue is text or bytes, with what JSON must escape, around the lengths at
// which pieces end.
func randomValue(r *rand.Rand) []byte {
	parts := []string{"a", "ä", "\u2028", "😀", "<", "\"", "\\", "\x00", "\n", "long text without anything special "}
	if r.IntN(3) == 0 {
		parts = append(parts, "\xff", "\xe2\x82")
	}
	var b bytes.Buffer
	size := []int{0, 1, 3, 100, textPiece, encodeBuffer, 3 * encodeBuffer}[r.IntN(7)] + r.IntN(8)
	for b.Len() < size {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.Bytes()
}

func TestWhatIsEncodedInPiecesIsWhatMarshalMakes(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		entry := func() Entry {
			return Entry{Path: "p<ä\x01", Value: randomValue(r), Version: r.Uint64N(3), Created: r.Uint64N(9), Modified: 7, Children: r.IntN(2)}
		}
		page := Listing{Path: "p", Entries: []Entry{}, Index: seed, After: []string{"", "a\"b"}[r.IntN(2)]}
		for range r.IntN(4) {
			page.Entries = append(page.Entries, entry())
		}
		change := Change{Kind: []string{"created", "changed", "deleted"}[r.IntN(3)], Path: "c", Value: randomValue(r), Version: r.Uint64N(2), Index: seed}
		for _, v := range []any{page, entry(), change} {
			want, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			w := newRecorder()
			out := newEncoder(w, 10)
			switch v := v.(type) {
			case Listing:
				out.listing(v)
			case Entry:
				out.entry(v)
			case Change:
				out.change(v)
			}
			if err := out.Flush(); err != nil || !bytes.Equal(w.Body.Bytes(), want) {
				t.Fatalf("seed %d: %v: %T is %d bytes, json.Marshal makes %d:\n%.300s\n%.300s", seed, err, v, w.Body.Len(), len(want), w.Body, want)
			}
		}
	}
}

func TestAnOpenWatchKeepsNothingOfALongValue(t *testing.T) {
	w := newRecorder()
	out := newStream(w, httptest.NewRequest("GET", "/", nil), time.Second)
	value := bytes.Repeat([]byte("v"), 1<<20)
	if err := out.send("changed", 7, Change{Kind: "changed", Path: "a", Value: value, Index: 7}); err != nil {
		t.Fatal(err)
	}
	if w.Body.Len() < len(value) || out.out.Size() != streamBuffer {
		t.Fatalf("%d bytes sent, %d kept: want more than %d, and %d", w.Body.Len(), out.out.Size(), len(value), streamBuffer)
	}
}
