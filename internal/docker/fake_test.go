package docker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/docker"
)

// fake is an engine that does what no real one can be made to do.
type fake struct {
	server *httptest.Server
	host   string

	mu      sync.Mutex
	answers map[string]http.HandlerFunc // by "METHOD /path" without version
	version string
}

// newFake listens where nobody has to know an engine, and answers what Open asks for.
func newFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{version: "1.41", answers: map[string]http.HandlerFunc{}}
	f.on("GET /version", says(200, `{"Os":"linux","Version":"20.10.99"}`))
	f.on("GET /info", says(200, `{"NCPU":2}`))
	f.on("GET /events", hang)
	f.listen(t, filepath.Join(t.TempDir(), "docker.sock"))
	return f
}

func (f *fake) listen(t testing.TB, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	f.host = "unix://" + path
	f.server = httptest.NewUnstartedServer(f)
	f.server.Listener = l
	f.server.Start()
	server := f.server
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
}

var versionPrefix = regexp.MustCompile(`^/v[0-9.]+`)

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	version, answer := f.version, f.answers[r.Method+" "+versionPrefix.ReplaceAllString(r.URL.Path, "")]
	f.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/_ping"):
		w.Header().Set("Api-Version", version)
	case answer == nil:
		says(404, `{"message":"No such container: it is a fake"}`)(w, r)
	default:
		answer(w, r)
	}
}

func (f *fake) on(what string, answer http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[what] = answer
}

// open connects to a fake as owner "o" of the cluster "c".
func (f *fake) open(t testing.TB) *docker.Engine {
	t.Helper()
	e, err := docker.Open(t.Context(), docker.Config{Host: f.host, Cluster: "c", Owner: "o"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func says(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // as an engine does: an answer before that may break the request off
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// hang begins an answer and says nothing.
func hang(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// mute takes a question and does not answer.
func mute(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // Until then the server does not see that the other side has left.
	<-r.Context().Done()
}

// drop ends the connection without a word.
func drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// breakOff ends the connection in the midst of an answer.
func breakOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"Id":"1`)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

const ofOurs = `{"Id":"1","Name":"/c-x","State":{"Status":"created"},"Config":{"Labels":{"synod.cluster":"c","synod.owner":"o"}},"HostConfig":{}}`

// calls are all that an engine is asked for, of a container "x".
func calls(e *docker.Engine) map[string]func(context.Context) error {
	image := docker.Spec{ID: "x"}
	image.Docker.Image = "i"
	return map[string]func(context.Context) error{
		"create":  func(ctx context.Context) error { return e.Create(ctx, image) },
		"start":   func(ctx context.Context) error { return e.Start(ctx, "x") },
		"kill":    func(ctx context.Context) error { return e.Kill(ctx, "x", "SIGKILL") },
		"remove":  func(ctx context.Context) error { return e.Remove(ctx, "x", true) },
		"inspect": func(ctx context.Context) error { _, err := e.Inspect(ctx, "x"); return err },
		"list":    func(ctx context.Context) error { _, err := e.List(ctx); return err },
		"logs":    func(ctx context.Context) error { return e.Logs(ctx, "x", "stdout", true, io.Discard) },
		"image":   func(ctx context.Context) error { return e.Image(ctx, "i", false, nil) },
		"copy":    func(ctx context.Context) error { return e.Copy(ctx, "x", ".", "/x") },
		"exec": func(ctx context.Context) error {
			_, err := e.Exec(ctx, "x", docker.ExecSpec{Argv: []string{"x"}, Stdin: strings.NewReader("x")})
			return err
		},
	}
}

// whatTheyAsk are the last questions of those calls.
var whatTheyAsk = map[string]string{
	"create": "POST /containers/create", "start": "POST /containers/1/start", "kill": "POST /containers/1/kill",
	"remove": "DELETE /containers/1", "inspect": "GET /containers/c-x/json", "list": "GET /containers/json",
	"logs": "GET /containers/1/logs", "image": "POST /images/create", "copy": "PUT /containers/1/archive", "exec": "POST /exec/2/start",
}

// TestNothingIsKnownOfAnAnswerThatDoesNotCome breaks each call in each way in which an engine can fail to answer.
// None may be taken for a refusal: a container that was said not to be made may be there.
func TestNothingIsKnownOfAnAnswerThatDoesNotCome(t *testing.T) {
	for how, answer := range map[string]http.HandlerFunc{
		"drop": drop, "2xx and broken off": breakOff, "503": says(503, `{"message":"wait"}`),
		"500 at its end":         says(500, `{"message":"Handler for POST: daemon is shutting down"}`),
		"500 without containerd": says(500, `{"message":"dial unix /run/containerd/containerd.sock: connect: connection refused"}`),
		"2xx and garbage":        says(201, "\x00\xff{{{"),
		"2xx and no id":          says(201, "{}"),
	} {
		f := newFake(t)
		e := f.open(t)
		f.on("GET /images/i/json", says(404, `{"message":"No such image: i"}`))
		f.on("POST /containers/1/exec", says(201, `{"Id":"2"}`))
		for name, call := range calls(e) {
			if onlyStatus := name == "start" || name == "kill" || name == "remove" || name == "copy"; onlyStatus && strings.HasPrefix(how, "2") {
				continue // There is no more to these answers.
			}
			if how == "2xx and no id" && name != "create" && name != "inspect" {
				continue
			}
			f.on("GET /containers/c-x/json", says(200, ofOurs))
			f.on(whatTheyAsk[name], answer)
			err := call(t.Context())
			_, refused := errors.AsType[*docker.RefusedError](err)
			if name == "exec" && strings.HasPrefix(how, "500") {
				continue // The library keeps the status alone; a real engine says it in the command's output.
			}
			if !errors.Is(err, docker.ErrNoEngine) || refused {
				t.Errorf("%s: %s: %v", how, name, err)
			}
		}
	}
}

// TestAPausedContainerThatIsKilledIsThawed is of engines that do not do so themselves.
func TestAPausedContainerThatIsKilledIsThawed(t *testing.T) {
	f := newFake(t)
	e := f.open(t)
	f.on("GET /containers/c-x/json", says(200, strings.Replace(ofOurs, "created", "paused", 1)))
	f.on("POST /containers/1/kill", says(204, ""))
	thawed := 0
	f.on("POST /containers/1/unpause", func(w http.ResponseWriter, r *http.Request) {
		thawed++
		says(500, `{"message":"it is not paused any more"}`)(w, r)
	})
	for _, signal := range []string{"SIGTERM", "SIGKILL"} {
		if err := e.Kill(t.Context(), "x", signal); err != nil {
			t.Errorf("%s: %v", signal, err)
		}
	}
	if thawed != 1 {
		t.Errorf("thawed %d times", thawed)
	}
}

func TestARefusalIsNoSilence(t *testing.T) {
	f := newFake(t)
	e := f.open(t)
	f.on("GET /images/i/json", says(404, `{"message":"No such image: i"}`))
	f.on("POST /containers/1/exec", says(201, `{"Id":"2"}`))
	long := strings.Repeat("because ", 10000)
	for name, call := range calls(e) {
		f.on("GET /containers/c-x/json", says(200, ofOurs))
		for _, status := range []int{400, 403, 409, 500, 501} {
			f.on(whatTheyAsk[name], says(status, fmt.Sprintf(`{"message":%q}`, long)))
			err := call(t.Context())
			refused, ok := errors.AsType[*docker.RefusedError](err)
			if !ok || errors.Is(err, docker.ErrNoEngine) || len(err.Error()) > 1200 || strings.Contains(err.Error(), "Error response") {
				t.Errorf("%s: %d: %v", name, status, err)
			} else if name != "exec" && !strings.HasPrefix(refused.Words, "because because") {
				t.Errorf("%s: %d: %q", name, status, refused.Words)
			}
		}
	}
}

// TestNoCallWaitsLongerThanItsCaller asks an engine that accepts and never answers.
func TestNoCallWaitsLongerThanItsCaller(t *testing.T) {
	f := newFake(t)
	e := f.open(t)
	f.on("GET /images/i/json", says(404, `{"message":"No such image: i"}`))
	f.on("POST /containers/1/exec", says(201, `{"Id":"2"}`))
	for name, call := range calls(e) {
		f.on("GET /containers/c-x/json", says(200, ofOurs))
		f.on(whatTheyAsk[name], mute)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := call(ctx)
		cancel()
		takesLong := name == "image" || name == "copy" || name == "logs"
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, docker.ErrNoEngine) == takesLong {
			t.Errorf("%s: %v", name, err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		f.on(whatTheyAsk[name], func(w http.ResponseWriter, r *http.Request) {
			cancel()
			mute(w, r)
		})
		if err := call(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, docker.ErrNoEngine) {
			t.Errorf("%s: left: %v", name, err)
		}
	}
}

func TestOpenSaysWhyThereIsNoEngine(t *testing.T) {
	old, windows, silent := newFake(t), newFake(t), newFake(t)
	old.version = "1.30"
	windows.on("GET /version", says(200, `{"Os":"windows"}`))
	silent.on("GET /info", mute)
	for host, words := range map[string]string{
		"unix:///nowhere/docker.sock": "no such file",
		"tcp://127.0.0.1:1":           "127.0.0.1:1",
		"ssh://somewhere":             "neither unix:// nor tcp://",
		"nonsense":                    "neither unix:// nor tcp://",
		old.host:                      "1.30 is not supported",
		windows.host:                  "windows",
		silent.host:                   "deadline",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := docker.Open(ctx, docker.Config{Host: host, Cluster: "c", Owner: "o"})
		cancel()
		if !errors.Is(err, docker.ErrNoEngine) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := docker.Open(t.Context(), docker.Config{Host: old.host, Cluster: "a/b", Owner: "o"}); err == nil || errors.Is(err, docker.ErrNoEngine) {
		t.Errorf("a cluster without a name: %v", err)
	}
}

// An engine of which one part stands still, for which the whole of its state waits, still tells of containers. It is no engine for
// who has never known it.
func TestAKnownEngineThatDoesNotTellItsStateIsAsked(t *testing.T) {
	docker.SetConnectTimeout(t, 50*time.Millisecond)
	f := newFake(t)
	f.on("GET /info", mute)
	f.on("GET /containers/json", says(200, "[]"))
	if _, err := docker.Open(t.Context(), docker.Config{Host: f.host, Cluster: "c", Owner: "o"}); !errors.Is(err, docker.ErrNoEngine) {
		t.Errorf("for the first time: %v", err)
	}
	e, err := docker.Open(t.Context(), docker.Config{Host: f.host, Cluster: "c", Owner: "o", Version: "20.10.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.List(t.Context()); err != nil || e.Away() != nil || e.Version() != "20.10.99" {
		t.Errorf("%v, %v, %s", err, e.Away(), e.Version())
	}
}

// TestAnAnswerIsReadUpToABound has an engine talk for ever.
func TestAnAnswerIsReadUpToABound(t *testing.T) {
	docker.SetMaxAnswer(t, 1<<20)
	f := newFake(t)
	e := f.open(t)
	forever := func(begin string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, begin)
			for chunk := bytes.Repeat([]byte("x"), 1<<16); r.Context().Err() == nil; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}
	}
	f.on("GET /containers/json", forever(`[{"Id":"`))
	f.on("GET /images/i/json", says(404, `{"message":"No such image: i"}`))
	f.on("POST /images/create", forever(`{"status":"`))
	f.on("GET /containers/c-x/json", says(200, ofOurs))
	f.on("GET /containers/1/logs", forever("\x03\x00\x00\x00\xff\xff\xff\xff"))
	all := calls(e)
	for _, name := range []string{"list", "image"} {
		if err := all[name](t.Context()); !errors.Is(err, docker.ErrNoEngine) || !strings.Contains(err.Error(), "too long") {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := all["logs"](t.Context())
	if _, refused := errors.AsType[*docker.RefusedError](err); !refused || len(err.Error()) > 1200 {
		t.Errorf("logs: %v", err)
	}
}

func TestAListOfTenThousandIsRead(t *testing.T) {
	f := newFake(t)
	e := f.open(t)
	var b strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&b, `,{"Id":"%064d","Names":["/c-%032d"],"State":"running","Labels":{"synod.cluster":"c","synod.owner":"o"},"Command":%q}`, i, i, strings.Repeat("x", 200))
	}
	f.on("GET /containers/json", says(200, "["+b.String()[1:]+`,{"Names":["/c-foreign"]},{"Names":["/c-other"],"Labels":{"synod.cluster":"c","synod.owner":"p"}}]`))
	if list, err := e.List(t.Context()); err != nil || len(list) != 10000 || list[fmt.Sprintf("%032d", 9999)] != "running" {
		t.Errorf("%d, %v", len(list), err)
	}
}

func TestLogsThatBreakOffSaySo(t *testing.T) {
	f := newFake(t)
	e := f.open(t)
	f.on("GET /containers/c-x/json", says(200, ofOurs))
	for what, body := range map[string]string{"in a head": "\x01\x00\x00", "in a frame": "\x01\x00\x00\x00\x00\x00\x00\x09half", "garbage": "no frames"} {
		f.on("GET /containers/1/logs", says(200, body))
		var out bytes.Buffer
		if err := e.Logs(t.Context(), "x", "stdout", true, &out); !errors.Is(err, docker.ErrNoEngine) {
			t.Errorf("%s: %v", what, err)
		}
	}
	f.on("GET /containers/1/logs", says(200, "\x01\x00\x00\x00\x00\x00\x00\x02hi\x01\x00\x00\x00\x00\x00\x00\x00"))
	var out bytes.Buffer
	if err := e.Logs(t.Context(), "x", "stdout", true, &out); err != nil || out.String() != "hi" {
		t.Errorf("whole: %v, %q", err, out.String())
	}
}
