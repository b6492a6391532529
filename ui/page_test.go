package ui

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
)

// clusterOf is a page of three nodes that are asked without a network. n3 does not answer.
func clusterOf(t *testing.T, c Config, look func(node string) api.Look) *httptest.Server {
	t.Helper()
	c.Look = func(context.Context, api.LookOptions) (api.Look, error) { return look("n1"), nil }
	c.ask = func(name, _ string) (looker, error) {
		return func(context.Context, api.LookOptions) (api.Look, error) {
			if name == "n3" {
				return api.Look{}, errors.New("connection refused")
			}
			return look(name), nil
		}, nil
	}
	page, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(page)
	t.Cleanup(s.Close)
	return s
}

func threeNodes(node string) api.Look {
	role := "follower"
	if node == "n1" {
		role = "leader"
	}
	l := *raftLook(node, role, 3, 1, 3)
	for _, name := range []string{"n1", "n2", "n3"} {
		l.Members = append(l.Members, api.Sighting{Name: name, API: name + ":4700", State: "alive", Voter: true})
	}
	return l
}

// stream reads a page's events.
type stream struct {
	*testing.T
	lines *bufio.Scanner
	id    string
	parts map[string]json.RawMessage
	close func() error
}

func listen(t *testing.T, s *httptest.Server, lastID string) *stream {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v1/page/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	return &stream{t, lines, "", map[string]json.RawMessage{}, answer.Body.Close}
}

// next reads one event.
func (s *stream) next() (event string, m message) {
	s.Helper()
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "id":
			s.id = value
		case "event":
			event = value
		case "data":
			if err := json.Unmarshal([]byte(value), &m); err != nil {
				s.Fatal(err)
			}
			for part, data := range m.Parts {
				s.parts[part] = data
			}
			return event, m
		}
	}
	s.Fatal("the stream has ended: ", s.lines.Err())
	return "", m
}

func TestTheStreamBeginsWithAllAndGoesOnWithWhatChanged(t *testing.T) {
	s := listen(t, clusterOf(t, Config{Every: time.Millisecond, Frame: time.Millisecond}, threeNodes), "")
	if event, _ := s.next(); event != "all" {
		t.Errorf("the first event is %q", event)
	}
	var node nodePart
	var group groupPart
	for node.State != "silent" || len(group.Rows) != 3 || !group.Quorum {
		if event, _ := s.next(); event != "frame" {
			t.Fatalf("a later event is %q", event)
		}
		for part, into := range map[string]any{"node/n3": &node, "group/g": &group} {
			if data := s.parts[part]; data != nil {
				if err := json.Unmarshal(data, into); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if group.Leader != "n1" || group.Term != 3 || !strings.Contains(node.Why, "refused") {
		t.Errorf("the group is %+v, the node that does not answer %+v", group, node)
	}
}

func TestAClientGoesOnBehindTheLastEventOrBeginsAgain(t *testing.T) {
	var term atomic.Uint64
	server := clusterOf(t, Config{Every: time.Millisecond, Frame: time.Millisecond}, func(node string) api.Look {
		l := threeNodes(node)
		l.Groups[0].Term = term.Add(1)
		return l
	})
	first := listen(t, server, "")
	first.next()
	first.next()
	seen := first.id
	var before uint64
	fmt.Sscanf(seen[strings.Index(seen, "-")+1:], "%d", &before)
	first.next()
	second := listen(t, server, seen)
	if event, m := second.next(); event != "frame" || m.Seq != before+1 {
		t.Errorf("behind %s comes %q %d", seen, event, m.Seq)
	}
	for _, id := range []string{"1-" + fmt.Sprint(before), "nonsense", seen[:strings.Index(seen, "-")+1] + "99999999"} {
		if event, _ := listen(t, server, id).next(); event != "all" {
			t.Errorf("behind %s comes %q", id, event)
		}
	}
}

func TestNodesAreLookedAtWhileSomebodyLooksAndNoLonger(t *testing.T) {
	var looks atomic.Int64
	looked := make(chan struct{}, 1)
	c := Config{Every: time.Millisecond, Frame: time.Millisecond, Linger: time.Nanosecond}.withDefaults()
	c.Look = func(context.Context, api.LookOptions) (api.Look, error) {
		looks.Add(1)
		select {
		case looked <- struct{}{}:
		default:
		}
		return *raftLook("n1", "leader", 1, 1), nil
	}
	page, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if looks.Load() != 0 {
		t.Error("nodes are looked at before somebody looks")
	}
	for range 3 {
		viewer := page.enter(httptest.NewRequest(http.MethodGet, "/v1/page/events", nil))
		if viewer == nil {
			t.Fatal("no place")
		}
		<-looked
		page.mu.Lock()
		ended := page.ended
		page.mu.Unlock()
		page.exit(viewer)
		<-ended
	}
	after := looks.Load()
	if page.hub.seq == 0 && after == 0 {
		t.Error("nothing was seen")
	}
	page.mu.Lock()
	defer page.mu.Unlock()
	if page.stop != nil || len(page.clients) != 0 {
		t.Error("it still looks")
	}
}

// A page that is opened again goes on behind what its node has told before.
func TestAPageThatIsOpenedAgainAsksForWhatIsNew(t *testing.T) {
	asked := make(chan api.LookOptions, 1000)
	server := clusterOf(t, Config{Every: time.Millisecond, Frame: time.Millisecond, Linger: time.Nanosecond}, threeNodes)
	page := server.Config.Handler.(*Page)
	page.config.Look = func(_ context.Context, o api.LookOptions) (api.Look, error) {
		asked <- o
		l := threeNodes("n1")
		l.Process, l.EventCount = 7, 30
		return l, nil
	}
	for _, want := range []uint64{0, 30} {
		viewer := page.enter(httptest.NewRequest(http.MethodGet, "/v1/page/events", nil))
		first := <-asked
		<-asked // the answer to the first has been taken
		page.mu.Lock()
		ended := page.ended
		page.mu.Unlock()
		page.exit(viewer)
		<-ended
		for len(asked) > 0 {
			<-asked
		}
		if first.Event != want {
			t.Errorf("asked for what is behind event %d first, want %d", first.Event, want)
		}
	}
}

func TestMorePagesThanMayBeAreRefused(t *testing.T) {
	server := clusterOf(t, Config{MaxClients: 1}, threeNodes)
	listen(t, server, "").next()
	answer, err := http.Get(server.URL + "/v1/page/events")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
		t.Errorf("a page too many: %s", answer.Status)
	}
}

func TestAThousandEventsASecondAreTenFramesASecond(t *testing.T) {
	var count atomic.Uint64
	began := time.Now()
	look := func(node string) api.Look {
		l := threeNodes(node)
		if node != "n1" {
			return l
		}
		for want := uint64(time.Since(began).Milliseconds()); l.EventCount < want; { // a thousand a second
			l.EventCount = count.Add(1)
			l.Events = append(l.Events, api.Event{Time: time.Now(), Node: node, Kind: "peer connected", Attrs: map[string]string{"peer": fmt.Sprint(l.EventCount)}})
		}
		l.Groups[0].Commit = l.EventCount
		return l
	}
	s := listen(t, clusterOf(t, Config{}, look), "")
	frames, lines, bytesSent := 0, 0, 0
	worst := time.Duration(0)
	for time.Since(began) < 4*time.Second {
		_, m := s.next()
		frames++
		for _, l := range m.Lines {
			if lines++; l.Tag == "GOSSIP" {
				worst = max(worst, time.Since(time.UnixMilli(l.Time)))
			}
		}
		for _, part := range m.Parts {
			bytesSent += len(part)
		}
	}
	seconds := time.Since(began).Seconds()
	t.Logf("%.0f events a second: %.1f frames, %.0f lines and %.1f kB a second; the oldest line was %v late", float64(count.Load())/seconds, float64(frames)/seconds,
		float64(lines)/seconds, float64(bytesSent)/seconds/1000, worst.Round(time.Millisecond))
	if rate := float64(frames) / seconds; rate > 10.5 {
		t.Errorf("%.1f frames a second", rate)
	}
	if rate := float64(lines) / seconds; rate > 30 {
		t.Errorf("%.1f lines a second", rate)
	}
}

func TestThePageIsSmallAndLoadsNothingFromElsewhere(t *testing.T) {
	size := 0
	err := fs.WalkDir(embedded, "assets", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(embedded, path)
		size += len(content)
		for _, wrong := range []string{"http://", "https://", "//cdn", "eval(", "innerHTML", "style="} {
			rest := bytes.ReplaceAll(content, []byte("http://www.w3.org/2000/svg"), nil)
			rest = bytes.ReplaceAll(rest, []byte("'://' + n.api"), nil)
			if bytes.Contains(rest, []byte(wrong)) {
				t.Errorf("%s has %s", path, wrong)
			}
		}
		return err
	})
	if err != nil || size == 0 || size >= 60_000 {
		t.Errorf("the page has %d bytes, want less than 60,000: %v", size, err)
	}
	server := clusterOf(t, Config{}, threeNodes)
	answer, err := http.Get(server.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if csp := answer.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'self'") {
		t.Errorf("the policy is %q", csp)
	}
}
