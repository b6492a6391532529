package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/actors/master"
	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/internal/mesoswire"
	"github.com/synod-go/synod/mesos"
)

// fakeMaster is a leading master with one stream.
type fakeMaster struct {
	events chan mesos.Event // closed: the stream ends
	calls  chan mesos.Call
	closed chan struct{}
	answer mesos.Answer
	err    error
	info   mesos.FrameworkInfo
}

func newFakeMaster() *fakeMaster {
	return &fakeMaster{events: make(chan mesos.Event, 4096), calls: make(chan mesos.Call, 16), closed: make(chan struct{}, 16)}
}

func (m *fakeMaster) Subscribe(_ context.Context, info mesos.FrameworkInfo) (subscription, error) {
	m.info = info
	return m, m.err
}

func (m *fakeMaster) Call(ctx context.Context, c mesos.Call) (mesos.Answer, error) {
	m.calls <- c
	return m.answer, m.err
}

func (m *fakeMaster) Stream() mesos.StreamID { return "stream-1" }
func (m *fakeMaster) Close()                 { m.closed <- struct{}{} }

func (m *fakeMaster) Next(ctx context.Context) ([]mesos.Event, error) {
	select {
	case e, open := <-m.events:
		if !open {
			return nil, io.EOF
		}
		return []mesos.Event{e}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serveMaster serves m's scheduler API and returns its address.
func serveMaster(t *testing.T, m *fakeMaster, c Config) (*Server, string) {
	t.Helper()
	c.Backend = newFake(t, coordination.Config{})
	s := must(NewServer(c))
	served := httptest.NewServer(s.timely(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.serveScheduler(w, r, m)
	})))
	t.Cleanup(served.Close)
	t.Cleanup(func() { s.stop.Do(func() { close(s.stopping) }) })
	return s, strings.TrimPrefix(served.URL, "http://")
}

func encodedCall(t *testing.T, c mesos.Call) []byte {
	t.Helper()
	data, err := mesoswire.AppendCall(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func subscribed() mesos.SubscribedEvent {
	return mesos.SubscribedEvent{Framework: "7-F1", Heartbeat: 15 * time.Second, Master: "n1", Address: "10.0.0.1:4700", Term: 7}
}

// F-1, F-6
func TestASchedulerSubscribesAndCalls(t *testing.T) {
	m := newFakeMaster()
	_, addr := serveMaster(t, m, Config{})
	m.events <- subscribed()
	info := mesos.FrameworkInfo{Name: "web", User: "root", FailoverTimeout: time.Hour}
	s, err := newTestClient(t, addr).Subscribe(t.Context(), info)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Subscribed() != subscribed() || m.info.Name != "web" || m.info.FailoverTimeout != time.Hour {
		t.Errorf("subscribed %+v as %+v", m.info, s.Subscribed())
	}
	if err := s.Call(t.Context(), mesos.KillCall{Task: "t"}); err != nil {
		t.Fatal(err)
	}
	got := <-m.calls
	if got.Framework != "7-F1" || got.Stream != "stream-1" || got.Body.(mesos.KillCall).Task != "t" {
		t.Errorf("the master got %+v", got)
	}
	m.events <- mesos.RescindEvent{Offer: "o"}
	if e, err := s.Next(t.Context()); err != nil || e != (mesos.RescindEvent{Offer: "o"}) {
		t.Errorf("the scheduler got %v, %v", e, err)
	}
	m.events <- mesos.ErrorEvent{Message: "the framework has been removed"}
	var refused *RefusedError
	if _, err := s.Next(t.Context()); !errors.As(err, &refused) || refused.Message != "the framework has been removed" {
		t.Errorf("after ErrorEvent: %v", err)
	}
}

// F-3: the master hears at once that a scheduler has gone.
func TestTheMasterHearsThatASchedulerHasGone(t *testing.T) {
	m := newFakeMaster()
	_, addr := serveMaster(t, m, Config{})
	m.events <- subscribed()
	s, err := newTestClient(t, addr).Subscribe(t.Context(), mesos.FrameworkInfo{Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	soon(t, "the end of the subscription", m.closed)
	if _, err := s.Next(t.Context()); err == nil {
		t.Error("a closed subscription has events")
	}
}

func TestASubscriptionEndsWithItsStream(t *testing.T) {
	m := newFakeMaster()
	_, addr := serveMaster(t, m, Config{})
	m.events <- subscribed()
	s, err := newTestClient(t, addr).Subscribe(t.Context(), mesos.FrameworkInfo{Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	close(m.events)
	if _, err := s.Next(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the end of the stream: %v", err)
	}
	soon(t, "the end of the subscription", m.closed)
}

func TestARefusedSubscriptionSaysWhy(t *testing.T) {
	m := newFakeMaster()
	_, addr := serveMaster(t, m, Config{})
	m.events <- mesos.ErrorEvent{Message: "no"}
	var refused *RefusedError
	if _, err := newTestClient(t, addr).Subscribe(t.Context(), mesos.FrameworkInfo{Name: "web"}); !errors.As(err, &refused) {
		t.Errorf("refused: %v", err)
	}
}

func TestASilentMasterIsLeft(t *testing.T) {
	m := newFakeMaster()
	_, addr := serveMaster(t, m, Config{})
	first := subscribed()
	first.Heartbeat = time.Millisecond
	m.events <- first
	s, err := newTestClient(t, addr).Subscribe(t.Context(), mesos.FrameworkInfo{Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Next(t.Context()); !errors.Is(err, ErrSilent) {
		t.Errorf("no heartbeat: %v", err)
	}
}

// The codes of mesos.md 2.1, in our own words.
func TestACallIsAnsweredAsItIs(t *testing.T) {
	kill := encodedCall(t, mesos.Call{Framework: "f", Body: mesos.KillCall{Task: "t"}})
	subscribe := encodedCall(t, mesos.Call{Body: mesos.SubscribeCall{Info: mesos.FrameworkInfo{Name: "n"}}})
	intrude := encodedCall(t, mesos.Call{Body: mesos.SubscribeCall{Info: mesos.FrameworkInfo{ID: "synod", Name: "n"}}})
	for _, c := range []struct {
		name         string
		body         []byte
		kind, stream string
		answer       mesos.CallCode
		err          error
		status       int
		code         Code
	}{
		{"accepted", kill, schedulerType, "s", mesos.CallAccepted, nil, 202, ""},
		{"JSON", kill, "application/json", "s", 0, nil, 415, CodeMedia},
		{"no type", kill, "", "s", 0, nil, 415, CodeMedia},
		{"no call", []byte("{}"), schedulerType, "s", 0, nil, 400, CodeRequest},
		{"no stream", kill, schedulerType, "", 0, nil, 400, CodeRequest},
		{"a long stream", kill, schedulerType, strings.Repeat("s", 129), 0, nil, 400, CodeRequest},
		{"a stream of a SUBSCRIBE", subscribe, schedulerType, "s", 0, nil, 400, CodeRequest},
		{"the built-in framework", intrude, schedulerType, "", 0, errors.New("it was subscribed"), 400, CodeRequest},
		{"another's stream", kill, schedulerType, "s", mesos.CallInvalid, nil, 400, CodeRequest},
		{"not subscribed", kill, schedulerType, "s", mesos.CallForbidden, nil, 403, CodeSubscription},
		{"not ready", kill, schedulerType, "s", mesos.CallNotReady, nil, 503, CodeNoLeader},
		{"overloaded", kill, schedulerType, "s", mesos.CallOverloaded, nil, 429, CodeOverloaded},
		{"refused", kill, schedulerType, "s", mesos.CallRefused, nil, 412, CodeConflict},
		{"elsewhere", kill, schedulerType, "s", 0, &master.NotLeadingError{Name: "n2", API: "n2:1"}, 503, CodeNoLeader},
		{"lost", kill, schedulerType, "s", 0, master.ErrUnknownOutcome, 504, CodeUnknown},
		{"a subscription elsewhere", subscribe, schedulerType, "", 0, &master.NotLeadingError{Name: "n2", API: "n2:1"}, 503, CodeNoLeader},
	} {
		m := newFakeMaster()
		m.answer, m.err = mesos.Answer{Code: c.answer, Message: "because"}, c.err
		_, addr := serveMaster(t, m, Config{})
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+schedulerPath, bytes.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.kind != "" {
			r.Header.Set("Content-Type", c.kind)
		}
		if c.stream != "" {
			r.Header.Set(headerStream, c.stream)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		var e Error
		if len(body) > 0 {
			err = errors.Join(err, json.Unmarshal(body, &e))
		}
		if err != nil || response.StatusCode != c.status || e.Code != c.code {
			t.Errorf("%s: %d %s, %v; want %d %s", c.name, response.StatusCode, body, err, c.status, c.code)
		}
	}
}

func TestACallHasABound(t *testing.T) {
	m := newFakeMaster()
	_, addr := serveMaster(t, m, Config{})
	response, err := http.Post("http://"+addr, schedulerType, io.LimitReader(zeros{}, mesoswire.MaxCall+1))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("more than MaxCall: %d", response.StatusCode)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A scheduler that does not read is cut off, and others are served meanwhile.
func TestASchedulerThatDoesNotReadIsCutOff(t *testing.T) {
	m := newFakeMaster()
	server, addr := serveMaster(t, m, Config{SlowClient: 50 * time.Millisecond})
	m.events <- subscribed()
	s, err := newTestClient(t, addr).Subscribe(t.Context(), mesos.FrameworkInfo{Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	full := mesos.ErrorEvent{Message: strings.Repeat("x", 1<<20)}
	for range 64 { // more than sockets hold
		m.events <- full
	}
	soon(t, "the end of the subscription", m.closed)
	if n := server.counters.slow.Load(); n != 1 {
		t.Errorf("%d slow clients are counted", n)
	}
	if err := s.Call(t.Context(), mesos.ReviveCall{}); err != nil {
		t.Errorf("a call meanwhile: %v", err)
	}
}

func TestAnEventIsOneRecordInOnePiece(t *testing.T) {
	w := &pieces{ResponseRecorder: httptest.NewRecorder()}
	out := &records{to: w, control: http.NewResponseController(w)}
	for range 2 {
		if err := out.send(mesos.RescindEvent{Offer: "o-17"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.list) != 4 || w.list[1] != "flush" || w.list[3] != "flush" || w.list[0] != w.list[2] || !strings.HasPrefix(w.list[0], "12\n") {
		t.Errorf("two events were written as %q", w.list)
	}
}

type pieces struct {
	*httptest.ResponseRecorder
	list []string
}

func (p *pieces) Write(b []byte) (int, error) { p.list = append(p.list, string(b)); return len(b), nil }
func (p *pieces) Flush()                      { p.list = append(p.list, "flush") }

func FuzzRecords(f *testing.F) {
	f.Add([]byte("2\n\x08\x08"))
	f.Add([]byte("0002\n\x08\x08"))
	f.Add([]byte("99999999999999999999\n"))
	f.Add([]byte("-1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		for range data {
			if _, err := readRecord(r); err != nil {
				return
			}
		}
		if len(data) > 0 {
			if _, err := readRecord(r); err == nil {
				t.Error("there are more records than bytes")
			}
		}
	})
}

// soon waits for c.
func soon[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not come", what)
		panic("unreachable")
	}
}
