package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

// collect watches until want changes have come.
func collect(t *testing.T, client *Client, path string, o WatchOptions, want int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := errors.New("enough")
	var got []string
	err := client.Watch(ctx, path, o, func(c Change) error {
		got = append(got, fmt.Sprintf("%d %s %s %s", c.Index, c.Kind, c.Path, c.Value))
		if len(got) == want {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Fatalf("watch of %q ended with %v after %v, want %d changes", path, err, got, want)
	}
	return got
}

func TestAWatchSeesEveryChangeFromAnIndexOn(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f, Name: "n1"})
	client := newTestClient(t, addr)
	for _, step := range []struct{ path, value string }{{"a", "1"}, {"a/x", "2"}, {"b", "3"}, {"a", "4"}} {
		if _, err := client.Put(t.Context(), step.path, []byte(step.value), WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Delete(t.Context(), "a", WriteOptions{Recursive: true}); err != nil {
		t.Fatal(err)
	}
	got := collect(t, client, "a", WatchOptions{From: 2, Recursive: true}, 4)
	want := []string{"2 created a/x 2", "4 changed a 4", "5 deleted a/x ", "5 deleted a "}
	if !slices.Equal(got, want) {
		t.Errorf("recursive from 2: got %q, want %q", got, want)
	}
	got = collect(t, client, "a", WatchOptions{From: 1}, 3)
	want = []string{"1 created a 1", "4 changed a 4", "5 deleted a "}
	if !slices.Equal(got, want) {
		t.Errorf("only a from 1: got %q, want %q", got, want)
	}
}

func TestAWatchOfChildrenSeesThemComeAndGo(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f, Name: "n1"})
	client := newTestClient(t, addr)
	for _, path := range []string{"a/x", "a/x", "a/x/deep", "a", "b/x", "a/y"} {
		f.put(t, path, nil)
	}
	if _, err := client.Delete(t.Context(), "a", WriteOptions{Recursive: true}); err != nil {
		t.Fatal(err)
	}
	got := collect(t, client, "a", WatchOptions{From: 1, Children: true}, 5)
	want := []string{"1 created a/x ", "6 created a/y ", "7 deleted a/x ", "7 deleted a/y ", "7 deleted a "}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAWatchForOnceEndsAfterTheChangesOfOneIndex(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f, Name: "n1"})
	client := newTestClient(t, addr)
	for _, path := range []string{"a/x", "a/y"} { // the first one creates a too
		f.put(t, path, nil)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var got []string
	err := client.Watch(ctx, "a", WatchOptions{From: 1, Recursive: true, Once: true}, func(c Change) error {
		got = append(got, fmt.Sprint(c.Index, c.Path))
		return nil
	})
	if want := []string{"1a", "1a/x"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q and %v, want %q and nil", got, err, want)
	}
}

func TestAWatchGoesOnAtAnotherNodeAndMissesNothing(t *testing.T) {
	f := newFake(t, coordination.Config{})
	proxy := newCuttingProxy(t, f)
	client := newTestClient(t, proxy)
	const n = 40
	for i := range n {
		path := fmt.Sprintf("d%d/x", i) // two changes at one index
		f.put(t, path, []byte("v"))
	}
	got := collect(t, client, "", WatchOptions{From: 1, Recursive: true}, 2*n)
	for i := range n {
		want := []string{fmt.Sprintf("%d created d%d ", i+1, i), fmt.Sprintf("%d created d%d/x v", i+1, i)}
		if !slices.Equal(got[2*i:2*i+2], want) {
			t.Fatalf("changes of index %d: got %q, want %q", i+1, got[2*i:2*i+2], want)
		}
	}
}

// A process that stands still, or a cut network, takes connections and does not answer.
func TestAWatchGoesOnPastANodeThatIsPaused(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	paused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { paused.Close() })
	client, err := NewClient(ClientConfig{Addrs: []string{paused.Addr().String(), addr}, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	f.put(t, "a", []byte("v"))
	if got := collect(t, client, "a", WatchOptions{From: 1}, 1); !slices.Equal(got, []string{"1 created a v"}) {
		t.Errorf("got %q", got)
	}
}

// newCuttingProxy passes connections on to a server and cuts each after a few
// more bytes than the one before.
func newCuttingProxy(t *testing.T, f *fake) string {
	_, addr := serve(t, Config{Backend: f})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var cuts atomic.Int64
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = bufio.NewReader(in).WriteTo(out) }()
				_, _ = bufio.NewReader(&limitedReader{out, 600 + 37*cuts.Add(1)}).WriteTo(in)
			}()
		}
	}()
	return l.Addr().String()
}

type limitedReader struct {
	net.Conn
	left int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, net.ErrClosed
	}
	n, err := l.Conn.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

func TestAWatchOfLostHistoryIsToldToListAgain(t *testing.T) {
	f := newFake(t, coordination.Config{Limits: coordination.Limits{HistoryEvents: 3}})
	_, addr := serve(t, Config{Backend: f})
	for range 10 {
		f.put(t, "a", nil)
	}
	err := newTestClient(t, addr).Watch(t.Context(), "a", WatchOptions{From: 2}, func(Change) error { return nil })
	if CodeOf(err) != CodeGone {
		t.Fatalf("got %v, want %s", err, CodeGone)
	}
}

func TestAQuietWatchSendsHeartbeatsThatMoveTheIDOn(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f, Heartbeat: 10 * time.Millisecond})
	response, err := http.Get("http://" + addr + "/v1/kv/a?watch")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for range 5 {
		f.put(t, "other", nil)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if lines.Text() == "id: 5" {
			return
		}
	}
	t.Fatal("no heartbeat with id 5")
}

func TestShutdownEndsAWatchWithAReason(t *testing.T) {
	f := newFake(t, coordination.Config{})
	server, addr := serve(t, Config{Backend: f})
	response, err := http.Get("http://" + addr + "/v1/kv/a?watch")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	go server.Shutdown(t.Context())
	var all strings.Builder
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
	}
	if !strings.Contains(all.String(), "event: end\ndata: {\"code\":\"E-STOPPED\"") {
		t.Fatalf("got %q, want a final event with %s", all.String(), CodeStopped)
	}
}

func TestWatchesAreBounded(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f, MaxWatches: 1})
	first, err := http.Get("http://" + addr + "/v1/kv/a?watch")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Body.Close()
	second, err := http.Get("http://" + addr + "/v1/kv/a?watch")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Body.Close()
	if second.StatusCode != 429 {
		t.Fatalf("second watch: %s, want 429", second.Status)
	}
}

func TestAClientThatDoesNotReadIsDropped(t *testing.T) {
	f := newFake(t, coordination.Config{})
	server, addr := serve(t, Config{Backend: f, SlowClient: 50 * time.Millisecond})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /v1/kv/a?watch&from=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	value := make([]byte, 1<<20)
	deadline := time.Now().Add(20 * time.Second)
	for server.counters.slow.Load() == 0 {
		f.put(t, "a", value)
		if time.Now().After(deadline) {
			t.Fatal("the watch was not dropped")
		}
	}
}

func TestAWatchThatGoesOnIsToldWhatItMissedThoughItIsWokenBeforeItHasLooked(t *testing.T) {
	f := newFake(t, coordination.Config{})
	server, _ := serve(t, Config{Backend: f})
	f.put(t, "a", []byte("1"))
	f.put(t, "a", []byte("2"))
	v := &viewing{server: server, watch: coordination.Watch{Path: "/a", Limit: changesPage}, wakes: make(chan struct{}, 1)}
	leave, err := v.begin(t.Context(), true) // from index 1 on
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	f.put(t, "a", []byte("3"))
	select {
	case <-v.wakes:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody has woken it")
	}
	answer := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, "/v1/kv/a?watch", nil)
	if _, err := v.send(t.Context(), newStream(answer, request, time.Second)); err != nil {
		t.Fatal(err)
	}
	for index := 1; index <= 3; index++ {
		if want := fmt.Sprintf(`"index":%d}`, index); !strings.Contains(answer.Body.String(), want) {
			t.Errorf("the change at index %d is missing:\n%s", index, answer.Body)
		}
	}
}
