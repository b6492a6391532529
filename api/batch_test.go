package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

func lines(text ...string) string { return strings.Join(text, "\n") + "\n" }

// answersOf decodes the answer to a batch as "status answer" a line.
func answersOf(t *testing.T, w *httptest.ResponseRecorder) (list []string) {
	t.Helper()
	for d := json.NewDecoder(w.Body); d.More(); {
		var a batchAnswer
		if err := d.Decode(&a); err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%d %s", a.Status, a.Answer))
	}
	return list
}

func TestEachOperationOfABatchIsAnsweredAsIfItCameAlone(t *testing.T) {
	f := newFake(t, coordination.Config{})
	h := newHandler(t, f)
	request(h, "PUT", "/v1/kv/there", "old")
	w := request(h, "POST", batchPath, lines(
		`{"method":"PUT","path":"a%20b","value":"x","request_id":"01BX5ZZKBKACTAV9WEVGEMMVRZ"}`,
		`{"method":"PUT","path":"bytes","value_base64":"AP8="}`,
		`{"method":"PUT","path":"there?version=7","value":"new"}`,
		`{"method":"GET","path":"there?level=stale"}`,
		`{"method":"DELETE","path":"missing"}`,
		`{"method":"GET","path":"there?watch"}`,
		`{"method":"PATCH","path":"there"}`,
		`{"method":"GET","path":"../v1/status"}`))
	got := answersOf(t, w)
	for i, want := range []string{"200", "200", "412 ", `200 {"path":"there","value":"old"`, "404 ", "400 ", "400 ", "400 "} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Fatalf("answers %q: want number %d to begin with %q", got, i, want)
		}
	}
	for path, want := range map[string]string{"a b": "x", "bytes": "\x00\xff", "there": "old"} {
		if entry, _, err := f.Get(t.Context(), path, ReadOptions{}); err != nil || string(entry.Value) != want {
			t.Errorf("%s is %q, %v; want %q", path, entry.Value, err, want)
		}
	}
	if _, is := f.done[must(ParseRequestID("01BX5ZZKBKACTAV9WEVGEMMVRZ"))]; !is {
		t.Error("the request id did not reach the write")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestOfABatchThatCannotBeReadNothingIsDone(t *testing.T) {
	f := newFake(t, coordination.Config{})
	h := newHandler(t, f)
	put := `{"method":"PUT","path":"a","value":"x"}`
	for name, test := range map[string]struct {
		body string
		code Code
	}{
		"not JSON":         {lines(put, "{"), CodeRequest},
		"an unknown field": {lines(put, `{"method":"PUT","path":"b","vlaue":"x"}`), CodeRequest},
		"too many":         {strings.Repeat(put+"\n", maxBatch+1), CodeRequest},
		"too long":         {lines(put) + strings.Repeat(" ", maxBatchBytes), CodeTooLarge},
	} {
		if w := request(h, "POST", batchPath, test.body); !strings.Contains(w.Body.String(), string(test.code)) || f.at != 0 {
			t.Errorf("%s: %d %.200s, %d writes; want %s and none", name, w.Code, w.Body, f.at, test.code)
		}
	}
}

type panickingReads struct{ *fake }

func (panickingReads) View(context.Context, ReadOptions, func(*coordination.Tree, uint64)) error {
	panic("read")
}

func TestAnOperationThatPanicsEndsAlone(t *testing.T) {
	f := newFake(t, coordination.Config{})
	server := must(NewServer(Config{Backend: panickingReads{f}}))
	w := request(server.Handler(), "POST", batchPath, lines(`{"method":"GET","path":"a"}`, `{"method":"PUT","path":"a","value":"x"}`))
	got := answersOf(t, w)
	if len(got) != 2 || !strings.HasPrefix(got[0], "500 ") || !strings.HasPrefix(got[1], "200 ") {
		t.Fatalf("answers %q, want 500 and 200", got)
	}
}

type panickingWrites struct{ *fake }

func (panickingWrites) Propose(context.Context, coordination.Operation, RequestID) (coordination.Result, error) {
	panic("write")
}

func TestAWriteThatPanicsMayHaveHappened(t *testing.T) {
	server := must(NewServer(Config{Backend: panickingWrites{newFake(t, coordination.Config{})}}))
	const id = "01BX5ZZKBKACTAV9WEVGEMMVRZ"
	w := request(server.Handler(), "POST", batchPath, lines(`{"method":"PUT","path":"a","value":"x","request_id":"`+id+`"}`))
	if got := answersOf(t, w); len(got) != 1 || !strings.Contains(got[0], string(CodeUnknown)) || !strings.Contains(got[0], id) {
		t.Fatalf("answers %q, want %s with the id", got, CodeUnknown)
	}
}

// What became of a write is told, whatever slow readers hold: its answer has the
// path, and may be long.
func TestAWriteOfABatchIsNeverToldAsOverloaded(t *testing.T) {
	f := newFake(t, coordination.Config{})
	server := must(NewServer(Config{Backend: f, MaxAnswers: 64 << 10}))
	server.answers.take(64 << 10)
	path := strings.Repeat(strings.Repeat("p", 200)+"/", 10) + "end"
	w := request(server.Handler(), "POST", batchPath, lines(`{"method":"PUT","path":"`+path+`","value":"y"}`,
		`{"method":"PUT","path":"`+path+`?version=7","value":"z"}`))
	got := answersOf(t, w)
	if len(got) != 2 || strings.Contains(w.Body.String()+strings.Join(got, ""), string(CodeOverloaded)) {
		t.Fatalf("answers %.300q, want none refused", got)
	}
	if held := server.answers.held.Load(); held != 64<<10 {
		t.Errorf("%d bytes held in the end, want %d", held, 64<<10)
	}
}

func TestAnAnswerInAnotherLanguageSpoilsNoOther(t *testing.T) {
	w := &recorded{status: http.StatusRequestHeaderFieldsTooLarge, body: []byte("431 too large")}
	w.server = must(NewServer(Config{Backend: newFake(t, coordination.Config{})}))
	line := w.appendLine(nil, &batchOperation{Method: "PUT", Path: "a"})
	var a batchAnswer
	if err := json.Unmarshal(line, &a); err != nil || !strings.Contains(string(a.Answer), string(CodeUnknown)) {
		t.Fatalf("line %s, %v: want %s", line, err, CodeUnknown)
	}
}

func TestTheAnswersOfABatchAreBounded(t *testing.T) {
	f := newFake(t, coordination.Config{})
	server := must(NewServer(Config{Backend: f, MaxAnswers: 256 << 10}))
	request(server.Handler(), "PUT", "/v1/kv/big", strings.Repeat("v", 100<<10))
	w := request(server.Handler(), "POST", batchPath, strings.Repeat(`{"method":"GET","path":"big"}`+"\n", 50))
	if w.Body.Len() > 512<<10 || !strings.Contains(w.Body.String(), string(CodeOverloaded)) {
		t.Fatalf("%d bytes answered, want at most the budget and %s", w.Body.Len(), CodeOverloaded)
	}
	if held := server.answers.held.Load(); held != 0 {
		t.Errorf("%d bytes of the budget are never given back", held)
	}
}

// counted serves f and counts the requests by path. Before each, wait is called.
func counted(t *testing.T, f Backend, wait func(r *http.Request), routes ...string) (*Client, func(path string) int) {
	server := must(NewServer(Config{Backend: f}))
	var mu sync.Mutex
	counts := map[string]int{}
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		counts[r.URL.Path]++
		mu.Unlock()
		wait(r)
		for _, missing := range routes {
			if r.URL.Path == missing {
				writeError(w, &Error{Code: CodeNotFound, Message: "there is nothing here"})
				return
			}
		}
		server.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(plain.Close)
	client := must(NewClient(ClientConfig{Addrs: []string{plain.Listener.Addr().String()}, Timeout: 20 * time.Second}))
	t.Cleanup(client.Close)
	return client, func(path string) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[path]
	}
}

// gathered returns how many operations wait in the client.
func (c *Client) gathered() (n int) {
	g := c.http.Transport.(*gatherer)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, node := range g.nodes {
		n += len(node.waiting)
	}
	return n
}

// crowd begins gatherAbove writes that the server holds and n more, and returns when
// those wait for each other. end lets all go and returns their errors.
func crowd(t *testing.T, client *Client, hold chan struct{}, n int) (end func() []error) {
	t.Helper()
	errs := make(chan error)
	for i := range gatherAbove + n {
		go func() {
			_, err := client.Put(context.Background(), fmt.Sprintf("key%d", i), fmt.Appendf(nil, "value%d", i), WriteOptions{})
			errs <- err
		}()
	}
	for deadline := time.Now().Add(10 * time.Second); client.gathered() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d operations wait, want %d", client.gathered(), n)
		}
	}
	return func() (list []error) {
		close(hold)
		for range gatherAbove + n {
			list = append(list, <-errs)
		}
		return list
	}
}

func everyWriteIsThere(t *testing.T, f *fake, n int) {
	t.Helper()
	for i := range n {
		entry, _, err := f.Get(t.Context(), fmt.Sprintf("key%d", i), ReadOptions{})
		if err != nil || string(entry.Value) != fmt.Sprintf("value%d", i) || entry.Version != 1 {
			t.Errorf("key%d is %q in version %d, %v; want value%[1]d, written once", i, entry.Value, entry.Version, err)
		}
	}
}

func TestOperationsThatBeginMeanwhileGoTogether(t *testing.T) {
	f, hold := newFake(t, coordination.Config{}), make(chan struct{})
	client, count := counted(t, f, func(*http.Request) { <-hold })
	const n = 100
	for _, err := range crowd(t, client, hold, n)() {
		if err != nil {
			t.Error(err)
		}
	}
	everyWriteIsThere(t, f, gatherAbove+n)
	if got := count(batchPath); got != 1 {
		t.Errorf("%d writes went in %d batches, want one", n, got)
	}
	if _, err := client.Put(t.Context(), "later", nil, WriteOptions{}); err != nil || count("/v1/kv/later") != 1 {
		t.Errorf("a lone write: %v, sent alone %d times; want once", err, count("/v1/kv/later"))
	}
}

func TestANodeThatKnowsNoBatchesGetsSingleRequests(t *testing.T) {
	f, hold := newFake(t, coordination.Config{}), make(chan struct{})
	client, count := counted(t, f, func(*http.Request) { <-hold }, batchPath)
	for _, err := range crowd(t, client, hold, 10)() {
		if err != nil {
			t.Error(err)
		}
	}
	everyWriteIsThere(t, f, gatherAbove+10)
	if got := count(batchPath); got != 1 {
		t.Errorf("asked for a batch %d times, want once and never again", got)
	}
}

func TestALostBatchIsRepeatedAndWrittenOnce(t *testing.T) {
	f, hold := newFake(t, coordination.Config{}), make(chan struct{})
	var lost atomic.Bool
	client, _ := counted(t, f, func(r *http.Request) {
		<-hold
		if r.URL.Path == batchPath && lost.CompareAndSwap(false, true) {
			w := httptest.NewRecorder()
			must(NewServer(Config{Backend: f})).Handler().ServeHTTP(w, r) // it is carried out
			panic(http.ErrAbortHandler)                                   // and its answer gets lost
		}
	})
	for _, err := range crowd(t, client, hold, 20)() {
		if err != nil {
			t.Error(err)
		}
	}
	if !lost.Load() {
		t.Fatal("no batch was lost: the test proves nothing")
	}
	everyWriteIsThere(t, f, gatherAbove+20)
}

func TestWhoGivesUpIsNotSentAndHoldsUpNobody(t *testing.T) {
	f, hold := newFake(t, coordination.Config{}), make(chan struct{})
	client, _ := counted(t, f, func(*http.Request) { <-hold })
	end := crowd(t, client, hold, 3)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := client.Put(ctx, "gone", nil, WriteOptions{})
		gone <- err
	}()
	for client.gathered() < 4 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-gone; CodeOf(err) != CodeInterrupted {
		t.Errorf("who gives up gets %v, want %s: nothing was sent", err, CodeInterrupted)
	}
	if n := client.gathered(); n != 3 {
		t.Errorf("%d operations wait, want 3 without the one that gave up", n)
	}
	for _, err := range end() {
		if err != nil {
			t.Error(err)
		}
	}
	if _, _, err := f.Get(t.Context(), "gone", ReadOptions{}); !errors.Is(err, &Error{Code: CodeNotFound}) {
		t.Errorf("the write that was given up before it was sent: %v, want not found", err)
	}
}

// together carries out n operations at once and counts their errors.
func together(n int, operation func(i int) error) map[string]int {
	var wait sync.WaitGroup
	var mu sync.Mutex
	errs := map[string]int{}
	for i := range n {
		wait.Go(func() {
			err := operation(i)
			mu.Lock()
			errs[fmt.Sprint(err)]++
			mu.Unlock()
		})
	}
	wait.Wait()
	return errs
}

func TestLargeOperationsTogetherAllSucceed(t *testing.T) {
	f := newFake(t, coordination.Config{})
	client, count := counted(t, f, func(*http.Request) {})
	zeros := make([]byte, 60<<10) // six bytes each as JSON text
	if errs := together(64, func(i int) error {
		_, err := client.Put(t.Context(), fmt.Sprintf("zeros%d", i), zeros, WriteOptions{})
		return err
	}); errs["<nil>"] != 64 {
		t.Errorf("64 writes of 60 KiB: %v", errs)
	}
	if count(batchPath) == 0 {
		t.Error("none went in a batch: the test proves nothing")
	}
	if _, err := client.Put(t.Context(), "big", bytes.Repeat([]byte{0xff}, 900<<10), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if errs := together(60, func(int) error {
		_, _, err := client.Get(t.Context(), "big", ReadOptions{})
		return err
	}); errs["<nil>"] != 60 {
		t.Errorf("60 reads of 900 KiB: %v", errs)
	}
}

func TestReadsDoNotWaitForWrites(t *testing.T) {
	f, hold := newFake(t, coordination.Config{}), make(chan struct{})
	client, _ := counted(t, f, func(r *http.Request) {
		if r.Method != http.MethodGet {
			<-hold
		}
	})
	end := crowd(t, client, hold, 3)
	for _, level := range []Level{Stale, Sequential, Lease, Linearizable} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if _, _, err := client.Get(ctx, "absent", ReadOptions{Level: level}); CodeOf(err) != CodeNotFound {
			t.Errorf("%s read beside writes that hang: %v, want %s", level, err, CodeNotFound)
		}
		cancel()
	}
	end()
}
