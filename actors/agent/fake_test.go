//go:build linux

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/shim"
	"github.com/synod-go/synod/mesos"
)

const patience = 40 * time.Second

// master is a master as an agent sees it: it admits every agent, acknowledges all that it is told
// unless it is mute, and remembers it. It lives as long as the test.
type master struct {
	t      testing.TB
	term   mesos.Term
	handle *Handle // of the agent, if it is in this process

	mu        sync.Mutex
	changed   chan struct{} // closed by the next change
	link      *fakeLink
	id        mesos.AgentID
	sequence  uint64
	registers []mesos.Register
	terms     []mesos.Term       // of the links over which those came
	updates   []mesos.TaskStatus // each once
	seen      map[mesos.UpdateID]int
	launched  map[mesos.ContainerID]mesos.Task // whose end was not told
	mute      bool
	refuse    bool // takes no link
}

func newMaster(t testing.TB) *master {
	return &master{t: t, term: 5, id: "agent-1", changed: make(chan struct{}), seen: map[mesos.UpdateID]int{}, launched: map[mesos.ContainerID]mesos.Task{}}
}

// fakeLink keeps the order and blocks as a connection does.
type fakeLink struct {
	m        *master
	term     mesos.Term
	toAgent  chan any
	over     chan struct{}
	overOnce sync.Once
}

func (m *master) dial(ctx context.Context) (Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse || ctx.Err() != nil {
		return nil, errors.New("nobody leads")
	}
	m.link = &fakeLink{m: m, term: m.term, toAgent: make(chan any, 4096), over: make(chan struct{})}
	m.note()
	return m.link, nil
}

func (l *fakeLink) Term() mesos.Term { return l.term }

func (l *fakeLink) Send(message any) error {
	select {
	case <-l.over:
		return io.ErrClosedPipe
	default:
	}
	l.m.take(l, message)
	return nil
}

func (l *fakeLink) Receive() (any, error) {
	select {
	case m := <-l.toAgent:
		return m, nil
	case <-l.over:
		return nil, io.EOF
	}
}

func (l *fakeLink) Close() error {
	l.overOnce.Do(func() { close(l.over) })
	return nil
}

func (m *master) note() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// take is a message of the agent.
func (m *master) take(l *fakeLink, message any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.note()
	switch r := message.(type) {
	case mesos.Register:
		m.registers, m.terms = append(m.registers, r), append(m.terms, l.term)
		l.toAgent <- mesos.Registered{Agent: m.id, Term: m.term, Attempt: r.Attempt, Missing: m.missing(r.Tasks)}
	case mesos.StatusUpdate:
		if m.seen[r.Status.ID]++; m.seen[r.Status.ID] == 1 {
			m.updates = append(m.updates, r.Status)
			if r.Status.State.Terminal() {
				delete(m.launched, r.Status.Container)
			}
		}
		if !m.mute {
			l.toAgent <- mesos.Acknowledge{Term: m.term, Task: r.Status.Task, ID: r.Status.ID}
		}
	}
}

// missing are the tasks that were launched and that a Register did not bring.
func (m *master) missing(brought []mesos.Task) (list []mesos.Task) {
	for _, t := range m.launched {
		if !slices.ContainsFunc(brought, func(b mesos.Task) bool { return b.Container == t.Container }) {
			list = append(list, t)
		}
	}
	return list
}

// send sends the agent a message.
func (m *master) send(message any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.link.toAgent <- message
}

// until waits until something is so; it is looked at whenever something has changed.
func (m *master) until(what string, is func() bool) {
	m.t.Helper()
	limit := time.After(patience)
	for {
		m.mu.Lock()
		ok, changed := is(), m.changed
		m.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-limit:
			m.mu.Lock()
			defer m.mu.Unlock()
			m.t.Fatalf("waited in vain until %s; told so far: %v", what, m.updates)
		}
	}
}

// of are the updates of a task.
func (m *master) of(id mesos.TaskID) (list []mesos.TaskStatus) {
	for _, s := range m.updates {
		if s.Task.Task == id {
			list = append(list, s)
		}
	}
	return list
}

// told waits for an update of a task in a state.
func (m *master) told(id mesos.TaskID, state mesos.TaskState) (status mesos.TaskStatus) {
	m.t.Helper()
	m.until(fmt.Sprintf("%s is %v", id, state), func() bool {
		for _, s := range m.of(id) {
			if s.State == state {
				status = s
				return true
			}
			if s.State.Terminal() {
				m.t.Errorf("%s is %v for %d (%q), want %v", id, s.State, s.Reason, s.Message, state)
				status = s
				return true
			}
		}
		return false
	})
	return status
}

// registered waits until the agent has registered so often.
func (m *master) registered(times int) {
	m.t.Helper()
	m.until(fmt.Sprintf("the agent has registered %d times", times), func() bool { return len(m.registers) >= times })
	if h := m.handle; h != nil { // before, a Launch is not taken if there were two Registers
		eventually(m.t, "the agent knows that it is registered", func() bool { return h.Status(m.t.Context()).Registered })
	}
}

// task is a small one that runs a shell command.
func task(id mesos.TaskID, shell string) mesos.TaskInfo {
	r, err := mesos.ParseResources("cpus:0.1;mem:64")
	if err != nil {
		panic(err)
	}
	return mesos.TaskInfo{ID: id, Name: string(id), Agent: "agent-1", Resources: r, Command: mesos.Command{Value: shell, Shell: true}}
}

// launch starts a task in a new container.
func (m *master) launch(task mesos.TaskInfo) mesos.ContainerID {
	m.mu.Lock()
	m.sequence++
	l := mesos.Launch{Term: m.term, Sequence: m.sequence, Framework: mesos.FrameworkInfo{ID: "f", Name: "f"}, Task: task, Container: number(m.sequence)}
	m.launched[l.Container] = mesos.Task{Key: mesos.TaskKey{Framework: "f", Task: task.ID}, Agent: m.id, Container: l.Container, Term: l.Term, Sequence: l.Sequence}
	m.mu.Unlock()
	m.send(l)
	return l.Container
}

func number(n uint64) (c mesos.ContainerID) {
	c[0] = 0xab
	for i := range 8 {
		c[15-i] = byte(n >> (8 * i))
	}
	return c
}

func (m *master) kill(id mesos.TaskID) {
	m.send(mesos.Kill{Term: m.term, Task: mesos.TaskKey{Framework: "f", Task: id}})
}

// config of an agent in a directory.
func config(t testing.TB, m *master, work string) Config {
	total, err := mesos.ParseResources("cpus:64;mem:65536;ports:[31000-32000]")
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return Config{Work: work, Info: mesos.AgentInfo{Hostname: "host", Address: "127.0.0.1:1", Resources: total}, Dial: m.dial, CgroupParent: "-",
		Agent: mesos.AgentConfig{RegisterFactor: time.Millisecond, KillGrace: 5 * time.Second}, Logger: logger}
}

// newWork is a work directory whose containers end with the test.
func newWork(t testing.TB) string {
	work := t.TempDir()
	t.Cleanup(func() { endAll(t, work) })
	return work
}

// endAll ends what is left in the containers of a work directory.
func endAll(t testing.TB, work string) {
	all, _ := containersIn(work)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, c := range all {
		run := pathsOf(work, c).run()
		if pathsOf(work, c).has(dockerFile) {
			continue
		}
		if s := shim.Open(run); s.Kill(ctx, 0) == nil {
			_, _ = s.Wait(ctx)
			_ = s.Acknowledge(ctx)
		}
		for ctx.Err() == nil {
			if f, err := shim.Observe(run); err != nil || !f.LockHeld {
				break
			}
			pause(ctx, 5*time.Millisecond)
		}
		if err := shim.KillOrphans(ctx, run); err != nil {
			t.Errorf("kill orphans of %v: %v", c, err)
		}
	}
}

// start runs an agent until the end of the test.
func start(t testing.TB, m *master, c Config) *Handle {
	t.Helper()
	h, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	m.handle = h
	t.Cleanup(func() { stopAgent(t, h) })
	return h
}

func stopAgent(t testing.TB, h *Handle) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// content is that of a file of a container, "" if there is none.
func content(work string, c mesos.ContainerID, parts ...string) string {
	text, _ := os.ReadFile(filepath.Join(append([]string{pathsOf(work, c).dir}, parts...)...))
	return string(text)
}

// states are the states of updates, in order.
func states(list []mesos.TaskStatus) (states []mesos.TaskState) {
	for _, s := range list {
		states = append(states, s.State)
	}
	return states
}

func (m *master) mustHaveTold(id mesos.TaskID, want ...mesos.TaskState) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if got := states(m.of(id)); !slices.Equal(got, want) {
		m.t.Errorf("%s was told to be %v, want %v", id, got, want)
	}
}
