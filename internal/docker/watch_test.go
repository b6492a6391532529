package docker_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/internal/docker/dockertest"
)

// told waits for a value.
func told(t testing.TB, what string, changed <-chan struct{}) {
	t.Helper()
	select {
	case <-changed:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s was not told", what)
	}
}

// eventOf is a line of an engine's events.
func eventOf(name, labels string) string {
	return fmt.Sprintf(`{"Type":"container","Action":"die","Actor":{"ID":"1","Attributes":{"name":%q%s}}}`+"\n", name, labels)
}

const ourLabels = `,"synod.cluster":"c","synod.owner":"o"`

// stream is an engine's events, of which a test gives each text.
type stream struct {
	begin chan struct{} // until then there is no answer
	begun chan *http.Request
	texts chan string // "" breaks the connection
}

func newStream() *stream {
	return &stream{make(chan struct{}), make(chan *http.Request, 100), make(chan string)}
}

func (s *stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.begin:
	case <-r.Context().Done():
		return
	}
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	s.begun <- r
	for {
		select {
		case text := <-s.texts:
			if text == "" {
				panic(http.ErrAbortHandler)
			}
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func TestAnEventIsToldToWhoWaitsForItsContainer(t *testing.T) {
	f, s := newFake(t), newStream()
	f.on("GET /events", s.ServeHTTP)
	e := f.open(t)
	x, doneX := e.Changed("x")
	again, doneAgain := e.Changed("x")
	y, doneY := e.Changed("y")
	all, doneAll := e.Changed("")
	close(s.begin)
	r := <-s.begun
	for _, c := range []<-chan struct{}{x, again, y, all} {
		told(t, "the beginning", c)
	}
	if q := r.URL.Query(); q.Get("since") != "1" || !strings.Contains(q.Get("filters"), `"synod.owner=o":true`) || strings.Contains(q.Get("filters"), "exec") {
		t.Errorf("asked for %v", q)
	}
	for _, foreign := range []string{eventOf("c-x", ""), eventOf("d-x", ourLabels), eventOf("c-x", `,"synod.cluster":"c","synod.owner":"p"`)} {
		s.texts <- foreign
	}
	s.texts <- eventOf("c-x", ourLabels) + eventOf("c-z", ourLabels)
	for _, c := range []<-chan struct{}{x, again, all} {
		told(t, "x", c)
	}
	doneX()
	doneX()
	s.texts <- eventOf("c-y", ourLabels)
	told(t, "y", y)
	if len(x)+len(again) != 0 {
		t.Errorf("told of others: %d, %d", len(x), len(again))
	}
	doneAgain()
	doneY()
	doneAll()
	if n := e.Waiting(); n != 0 {
		t.Errorf("%d are still waited for", n)
	}
}

func TestAllAreToldAfterEveryBreakOfTheEvents(t *testing.T) {
	f, s := newFake(t), newStream()
	f.on("GET /events", s.ServeHTTP)
	e := f.open(t)
	x, done := e.Changed("x")
	defer done()
	close(s.begin)
	<-s.begun
	told(t, "the beginning", x)
	for what, text := range map[string]string{
		"nothing": "", "half an event": eventOf("c-x", ourLabels)[:40], "garbage": "{{{\n", "a line without end": `{"Type":"` + strings.Repeat("x", 2<<20), "a wrong type": "[]\n",
	} {
		s.texts <- text
		if what == "half an event" {
			s.texts <- ""
		}
		<-s.begun
		told(t, "a break by "+what, x)
	}
}

func TestEventsThatDoNotBeginAreAskedForAgain(t *testing.T) {
	docker.SetConnectTimeout(t, 100*time.Millisecond)
	f, s := newFake(t), newStream()
	asked := make(chan struct{}, 10)
	f.on("GET /events", func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		mute(w, r)
	})
	e := f.open(t)
	<-asked
	x, done := e.Changed("x")
	defer done()
	f.on("GET /events", s.ServeHTTP)
	close(s.begin)
	told(t, "the second beginning", x)
}

// TestAnEngineThatComesBackIsFollowed takes an engine away, and puts a newer one in its place.
func TestAnEngineThatComesBackIsFollowed(t *testing.T) {
	f, s := newFake(t), newStream()
	f.on("GET /events", s.ServeHTTP)
	e := f.open(t)
	x, done := e.Changed("x")
	defer done()
	close(s.begin)
	told(t, "the beginning", x)
	f.server.CloseClientConnections()
	f.server.Close()
	if _, err := e.List(t.Context()); err == nil {
		t.Fatal("a list of an engine that is away")
	}
	newer := newFake(t)
	newer.version = "1.44"
	newer.on("GET /version", says(200, `{"Os":"linux","Version":"29.0.0"}`))
	path := make(chan string, 1)
	newer.on("GET /containers/json", func(w http.ResponseWriter, r *http.Request) {
		path <- r.URL.Path
		says(200, "[]")(w, r)
	})
	newer.listen(t, strings.TrimPrefix(f.host, "unix://"))
	told(t, "the return", x)
	if _, err := e.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	if asked := <-path; asked != "/v1.44/containers/json" || e.Version() != "29.0.0" {
		t.Errorf("asked for %s of %s", asked, e.Version())
	}
}

func TestWhatBecomesOfAContainerIsTold(t *testing.T) {
	e := dockertest.Engine(t)
	api := dockertest.Client(t)
	s := spec(t, "sleep", "1h")
	changed, done := e.Changed(s.ID)
	defer done()
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"create", func() error { return e.Create(t.Context(), s) }},
		{"start", func() error { return e.Start(t.Context(), s.ID) }},
		{"pause", func() error {
			_, err := api.ContainerPause(t.Context(), e.Name(s.ID), client.ContainerPauseOptions{})
			return err
		}},
		{"kill", func() error { return e.Kill(t.Context(), s.ID, "SIGKILL") }},
		{"remove", func() error { return e.Remove(t.Context(), s.ID, true) }},
	} {
		select {
		case <-changed: // of before
		default:
		}
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		told(t, step.what, changed)
	}
}
