package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/master"
	"github.com/synod-go/synod/internal/mesoswire"
	"github.com/synod-go/synod/mesos"
)

// A standIn is a control node in this process: the real master on a registry in memory, and
// as much of the HTTP API as the benchmark uses.
type standIn struct {
	mutex    sync.Mutex // of what follows
	registry *mesos.Registry
	index    uint64

	deposed atomic.Bool
	handle  *master.Handle
	server  *httptest.Server
}

func (s *standIn) Propose(_ context.Context, command []byte) ([]byte, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.index++
	return s.registry.Apply(s.index, 0, command), nil
}

func (s *standIn) SurelyNot(error) bool { return false }

func (s *standIn) Read(_ context.Context, _ bool, f func(*mesos.Registry)) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	f(s.registry)
	return nil
}

func (s *standIn) Leads() bool { return !s.deposed.Load() }

func (s *standIn) Leader() (uint64, string, string) { return 1, "n1", "" }

// startStandIn returns when its master leads.
func startStandIn(t testing.TB) *standIn {
	registry, err := mesos.NewRegistry(mesos.RegistryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s := &standIn{registry: registry}
	begun := time.Now()
	system := actors.NewSystem(nil)
	s.handle, err = master.Spawn(system, master.Config{Group: s, Name: "n1", Clock: func() time.Duration { return time.Since(begun) }}, "master",
		actors.NewStrategy(actors.StrategyConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	for changed := s.handle.Changed(); s.handle.Leads() != nil; changed = s.handle.Changed() {
		if s.handle.Leads() == nil {
			break
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatal("no master leads")
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/agent/connect", s.connect)
	mux.HandleFunc("POST /v1/scheduler", s.schedule)
	s.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		s.server.CloseClientConnections()
		s.server.Close()
		_ = system.Root.StopFuture(s.handle.PID()).Wait()
		system.Shutdown()
	})
	return s
}

func (s *standIn) address() string { return strings.TrimPrefix(s.server.URL, "http://") }

func (s *standIn) connect(w http.ResponseWriter, r *http.Request) {
	leading, err := s.handle.Leading()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	link, err := s.handle.Connect()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	l := &agentLink{conn: conn, reader: buffered.Reader}
	defer l.close()
	defer link.Close()
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: synod-agent/1\r\nSynod-Term: %d\r\n\r\n", leading.Term())
	if err != nil {
		return
	}
	go func() {
		defer link.Close()
		writer := &agentLink{conn: conn}
		for {
			messages, err := link.Next(context.Background())
			if err != nil {
				conn.Close()
				return
			}
			for _, m := range messages {
				if writer.add(m) != nil {
					return
				}
			}
			if writer.flush() != nil {
				return
			}
		}
	}()
	for {
		messages, err := l.receive()
		if err != nil {
			return
		}
		for _, m := range messages {
			if link.Deliver(context.Background(), m) != nil {
				return
			}
		}
	}
}

func (s *standIn) schedule(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	call, err := mesoswire.ParseCall(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if c, ok := call.Body.(mesos.SubscribeCall); ok {
		s.stream(w, r, c.Info)
		return
	}
	call.Stream = mesos.StreamID(r.Header.Get(streamHeader))
	answer, err := s.handle.Call(r.Context(), call)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case answer.Code != mesos.CallAccepted:
		http.Error(w, answer.Message, http.StatusBadRequest)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

func (s *standIn) stream(w http.ResponseWriter, r *http.Request, info mesos.FrameworkInfo) {
	subscription, err := s.handle.Subscribe(r.Context(), info)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer subscription.Close()
	w.Header().Set(streamHeader, string(subscription.Stream()))
	for {
		events, err := subscription.Next(r.Context())
		if err != nil {
			return
		}
		for _, e := range events {
			encoded, err := mesoswire.AppendEvent(nil, e)
			if err != nil {
				return
			}
			fmt.Fprintf(w, "%d\n%s", len(encoded), encoded)
		}
		w.(http.Flusher).Flush()
	}
}

// fail ends the mastership and begins the next one.
func (s *standIn) fail() {
	s.deposed.Store(true)
	s.handle.LeaderChanged()
	s.deposed.Store(false)
	s.handle.LeaderChanged()
}

// standing are a stand-in, simulated agents that are registered at it, and a scheduler.
func standing(t testing.TB, agents int) (context.Context, *standIn, *fleet, *launcher) {
	s := startStandIn(t)
	ctx, cancel := context.WithTimeout(context.Background(), tasksPatience)
	t.Cleanup(cancel)
	stream, err := subscribeAnywhere(ctx, ctx, newSchedulerClient(), []string{s.address()}, mesos.FrameworkInfo{Name: "bench", User: "root", FailoverTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if stream.master != "n1" || stream.term != 1 {
		t.Fatalf("master %q of term %d leads, want n1 of 1", stream.master, stream.term)
	}
	l := startLauncher(ctx, stream)
	t.Cleanup(l.stop)
	f, err := startFleet(ctx, []string{s.address()}, agents)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.end)
	if err := f.await(ctx, 1, agents); err != nil {
		t.Fatal(err)
	}
	return ctx, s, f, l
}

func TestALaunchIsOverWhenAllTasksRun(t *testing.T) {
	const agents, each = 5, 4
	ctx, _, f, l := standing(t, agents)
	result, elapsed, err := l.launch(ctx, launchOrder{prefix: "t", command: "simulated", resources: smallTask, tasks: agents * each,
		window: 7, perOffer: 3, perAgent: each})
	if err != nil {
		t.Fatal(err)
	}
	if result.Running != agents*each || result.Lost != 0 || result.Latency.count() != agents*each || elapsed <= 0 {
		t.Errorf("%d run, %d are lost, %d were timed in %v, want %d, 0, %d", result.Running, result.Lost, result.Latency.count(), elapsed, agents*each, agents*each)
	}
	if n := f.running(); n != agents*each {
		t.Errorf("%d tasks run on the agents, want %d", n, agents*each)
	}
	for _, a := range f.agents {
		if n := len(a.core.Tasks()); n != each {
			t.Errorf("an agent has %d tasks, want %d", n, each)
		}
	}
	l.rest()
	if err := l.reconcile(ctx, agents*each); err != nil {
		t.Error(err)
	}
}

func TestAnAgentWhoseLinkEndsRegistersAgain(t *testing.T) {
	ctx, _, f, _ := standing(t, 3)
	f.mutex.Lock()
	missed := f.changed
	f.mutex.Unlock()
	f.agents[1].mutex.Lock()
	f.agents[1].link.close()
	f.agents[1].mutex.Unlock()
	select {
	case <-missed:
	case <-ctx.Done():
		t.Fatal("nobody misses the link")
	}
	if err := f.await(ctx, 1, 3); err != nil {
		t.Error(err)
	}
}

func TestAgentsRegisterWithTheNextMaster(t *testing.T) {
	ctx, s, f, l := standing(t, 3)
	if _, _, err := l.launch(ctx, launchOrder{prefix: "t", command: "simulated", resources: smallTask, tasks: 6, window: 6, perOffer: 2, perAgent: 2}); err != nil {
		t.Fatal(err)
	}
	s.fail()
	if err := f.await(ctx, 2, 3); err != nil {
		t.Fatal(err)
	}
	stream, err := subscribeAnywhere(ctx, ctx, newSchedulerClient(), []string{s.address()},
		mesos.FrameworkInfo{ID: l.stream.framework, Name: "bench", User: "root", FailoverTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	next := startLauncher(ctx, stream)
	t.Cleanup(next.stop)
	if err := next.reconcile(ctx, 6); err != nil {
		t.Errorf("the next master knows %d of 6 tasks: %v", next.aliveNow(), err)
	}
	if err := next.killAll(ctx); err != nil || f.running() != 0 {
		t.Errorf("%d tasks run after all were killed (%v)", f.running(), err)
	}
}

func TestAPacedLaunchIsNotFaster(t *testing.T) {
	ctx, _, _, l := standing(t, 2)
	_, elapsed, err := l.launch(ctx, launchOrder{prefix: "t", command: "simulated", resources: smallTask, tasks: 20, window: 20, perOffer: 4, perSecond: 100})
	if err != nil || elapsed < 190*time.Millisecond {
		t.Errorf("20 tasks at 100/s took %v (%v), want at least 190 ms", elapsed, err)
	}
}

func TestAFrameIsReadWhole(t *testing.T) {
	var wire strings.Builder
	frame, err := mesoswire.AppendMessage([]byte{0, 0, 0, 0}, mesos.Ping{Term: 3, Sequence: 1})
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	wire.Write(frame)
	wire.Write(frame)
	wire.Write(frame[:len(frame)-1])
	l := &agentLink{reader: bufio.NewReader(strings.NewReader(wire.String()))}
	messages, err := l.receive()
	if err != nil || len(messages) != 2 || messages[1] != (mesos.Ping{Term: 3, Sequence: 1}) {
		t.Fatalf("got %v, %v, want two pings", messages, err)
	}
	if _, err := l.receive(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a frame: %v, want an unexpected end", err)
	}
}

// Flags of a look at one process with everything in it: go test -run StandIn -standin.agents 1000.
var (
	standInAgents = flag.Int("standin.agents", 0, "agents of TestStandIn; 0: it is skipped")
	standInTasks  = flag.Int("standin.tasks", 20000, "tasks of TestStandIn")
)

// TestStandIn is for profiles of master, wire and agents without processes (-cpuprofile).
func TestStandIn(t *testing.T) {
	if *standInAgents == 0 {
		t.Skip("a profile is made only with -standin.agents")
	}
	if err := raiseFileLimit(); err != nil {
		t.Fatal(err)
	}
	ctx, s, f, l := standing(t, *standInAgents)
	result, elapsed, err := l.launch(ctx, launchOrder{prefix: "t", command: "simulated", resources: smallTask, tasks: *standInTasks,
		window: launchWindow, perOffer: launchPerOffer, perAgent: max(1, *standInTasks / *standInAgents)})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d agents: %.0f launches/s, %d lost, p50 %v, p99 %v", *standInAgents, float64(*standInTasks)/elapsed.Seconds(), result.Lost,
		result.Latency.quantile(0.5), result.Latency.quantile(0.99))
	begun := time.Now()
	s.fail()
	if err := f.await(ctx, 2, *standInAgents); err != nil {
		t.Fatal(err)
	}
	t.Logf("registered again after %v", time.Since(begun))
	t.Log("MiB", strconv.FormatInt(residentMemory(os.Getpid())>>20, 10))
}
