package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/mesos"
)

// town is a registry and a master whose operations are committed at once, with agents that
// start whatever is launched.
type town struct {
	mu       sync.Mutex
	first    *mesos.Registry // when the mastership began
	registry *mesos.Registry
	m        *mesos.Master
	began    time.Time
	done     chan struct{}
	request  uint64
	streams  map[mesos.StreamID]*townStream
	answers  map[uint64]mesos.Answer
	launched []mesos.TaskID
	tasks    map[mesos.TaskID]mesos.Launch
	changed  chan struct{}
	updates  byte
	lose     error // what the next Operate ends with
}

type townStream struct {
	town   *town
	id     mesos.StreamID
	events []mesos.Event
	over   bool
}

func newTown(t testing.TB) *town {
	registry, err := mesos.NewRegistry(mesos.RegistryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	w := &town{registry: registry, began: time.Now(), done: make(chan struct{}), streams: map[mesos.StreamID]*townStream{},
		answers: map[uint64]mesos.Answer{}, tasks: map[mesos.TaskID]mesos.Launch{}, changed: make(chan struct{})}
	w.m, err = mesos.NewMaster(mesos.MasterConfig{Name: "m", Rand: rand.New(rand.NewPCG(1, 2)), AllocationDelay: time.Nanosecond}, 1, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
	resources, err := mesos.ParseResources("cpus:4;mem:1024;ports:[31000-31009]")
	if err != nil {
		t.Fatal(err)
	}
	w.m.AgentMessage(w.now(), 1, mesos.Register{Info: mesos.AgentInfo{ID: "a1", Hostname: "a1", Resources: resources}, Boot: "b", Attempt: 1, Sequence: 1, Term: 1})
	w.settle()
	w.first = w.registry.Clone()
	return w
}

func (w *town) now() time.Duration { return time.Since(w.began) }

// settle carries out what the master wants.
func (w *town) settle() {
	for {
		w.m.Tick(w.now())
		out := w.m.Output()
		for _, t := range out.ToAgents {
			if l, ok := t.Message.(mesos.Launch); ok {
				w.launched = append(w.launched, l.Task.ID)
				w.tasks[l.Task.ID] = l
				w.update(l.Task.ID, mesos.Running)
			}
		}
		for _, e := range out.ToSchedulers {
			if s := w.streams[e.Stream]; s != nil {
				s.events = append(s.events, e.Event)
			}
		}
		for _, a := range out.Answers {
			w.answers[a.Request] = a
		}
		for _, id := range out.Closed {
			if s := w.streams[id]; s != nil {
				s.over = true
			}
		}
		close(w.changed)
		w.changed = make(chan struct{})
		if len(out.Commit) == 0 {
			return
		}
		for _, o := range out.Commit {
			w.request++
			r := w.registry.Carry(w.request, mesos.RegistryCommand{Term: 1, Operations: []mesos.RegistryOperation{o}}).Results[0]
			w.m.Committed(w.now(), r)
			if _, ok := o.(mesos.ElectMaster); ok {
				w.m.Loaded(w.now(), w.registry.Clone())
			}
		}
	}
}

func (w *town) update(id mesos.TaskID, s mesos.TaskState) {
	w.updates++
	l := w.tasks[id]
	w.m.AgentMessage(w.now(), 1, mesos.StatusUpdate{Latest: s, Status: mesos.TaskStatus{Task: mesos.TaskKey{Framework: jobs.FrameworkID, Task: id},
		Agent: "a1", Container: l.Container, State: s, ID: mesos.UpdateID{w.updates}}})
}

func (w *town) tell(id mesos.TaskID, s mesos.TaskState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.update(id, s)
	w.settle()
}

func (w *town) Registry() *mesos.Registry          { return w.first }
func (w *town) Done() <-chan struct{}              { return w.done }
func (w *town) Recent() (*mesos.MasterView, error) { return &mesos.MasterView{}, nil }
func (w *town) SurelyNot(err error) bool           { return errors.Is(err, errBusy) }

var errBusy = errors.New("busy")

func (w *town) Subscribe(_ context.Context, info mesos.FrameworkInfo) (Stream, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &townStream{town: w, id: mesos.StreamID(fmt.Sprint("s", len(w.streams)+1))}
	w.streams[s.id] = s
	w.m.Call(w.now(), mesos.Call{Stream: s.id, Body: mesos.SubscribeCall{Info: info}})
	w.settle()
	return s, nil
}

func (s *townStream) Stream() mesos.StreamID { return s.id }
func (s *townStream) Close()                 {}
func (s *townStream) Next(ctx context.Context) ([]mesos.Event, error) {
	for {
		s.town.mu.Lock()
		s.town.settle() // time has passed
		events, over, changed := s.events, s.over, s.town.changed
		s.events = nil
		s.town.mu.Unlock()
		if len(events) > 0 {
			return events, nil
		}
		if over {
			return nil, io.EOF
		}
		t := time.NewTimer(time.Millisecond)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (w *town) Calls(_ context.Context, calls ...mesos.Call) (answers []mesos.Answer, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range calls {
		w.request++
		c.Request = w.request
		w.m.Call(w.now(), c)
		w.settle()
		answers = append(answers, w.answers[c.Request])
	}
	return answers, nil
}

func (w *town) Operate(_ context.Context, operations ...mesos.RegistryOperation) (answers []mesos.Answer, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.lose; err != nil {
		w.lose = nil
		return nil, err
	}
	for _, o := range operations {
		w.request++
		request := w.request
		w.m.Operate(w.now(), request, o)
		w.settle()
		answers = append(answers, w.answers[request])
	}
	return answers, nil
}

// started runs the framework beside a town's master.
func started(t testing.TB, w *town) (*Handle, *actor.ActorSystem, *actor.PID) {
	system := actors.NewSystem(nil)
	h := New(Config{})
	props := h.Along(w)
	props.Configure(actor.WithGuardian(actors.NewStrategy(actors.StrategyConfig{})))
	pid, err := system.Root.SpawnNamed(props, "jobs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = system.Root.StopFuture(pid).Wait()
	})
	return h, system, pid
}

// until waits for something that a job is to look like.
func until(t testing.TB, h *Handle, name string, is func(jobs.Status) bool) jobs.Status {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		changed := h.Changed()
		s, err := h.Get(name)
		if err == nil && is(s) {
			return s
		}
		again := time.NewTimer(5 * time.Millisecond)
		select {
		case <-changed:
		case <-again.C:
		case <-late:
			t.Fatalf("the job is %+v, %v", s, err)
		}
	}
}

// put waits until the framework is there, and has surely done it.
func put(t testing.TB, h *Handle, s jobs.Spec) uint64 {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		v, err := h.Put(t.Context(), s, 0)
		if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknownOutcome) {
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		again := time.NewTimer(time.Millisecond)
		select {
		case <-again.C:
		case <-late:
			t.Fatal(err)
		}
	}
}

func running(n int) func(jobs.Status) bool {
	return func(s jobs.Status) bool {
		left := n
		for _, i := range s.Instances {
			if i.State == mesos.Running {
				left--
			}
		}
		return left == 0
	}
}

var web = jobs.Spec{Name: "web", Count: 2, Command: mesos.Command{Value: "serve"}, CPUs: 100}

func TestAJobRunsAndIsStopped(t *testing.T) {
	w := newTown(t)
	h, _, _ := started(t, w)
	if v := put(t, h, web); v != 1 {
		t.Fatalf("version %d", v)
	}
	s := until(t, h, "web", running(2))
	if _, err := h.Put(t.Context(), web, 7); !errors.Is(err, ErrConflict) {
		t.Errorf("a wrong version: %v", err)
	}
	if _, err := h.Put(t.Context(), jobs.Spec{Name: "Web"}, 0); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "Command") {
		t.Errorf("a Spec that makes no sense: %v", err)
	}
	if _, err := h.Get("none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no job: %v", err)
	}
	if err := h.Stop(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	for _, i := range s.Instances {
		w.tell(i.Task, mesos.Killed)
	}
	late := time.After(20 * time.Second)
	for {
		changed := h.Changed()
		if list, err := h.List(); err == nil && len(list) == 0 {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatal("the job is not forgotten")
		}
	}
}

// The actor panics: the next one knows what was saved since the mastership began, and starts
// nothing twice.
func TestAPanicStartsNothingTwice(t *testing.T) { // M-4
	w := newTown(t)
	h, system, pid := started(t, w)
	put(t, h, web)
	before := until(t, h, "web", running(2))
	system.Root.Send(pid, &request{do: func(*jobs.Jobs, time.Duration, uint64) { panic("a bug") }, answer: make(chan outcome, 1)})
	put(t, h, jobs.Spec{Name: "other", Count: 1, Command: mesos.Command{Value: "x"}})
	after := until(t, h, "web", running(2))
	until(t, h, "other", running(1))
	for i := range before.Instances {
		if after.Instances[i].Task != before.Instances[i].Task {
			t.Errorf("instance %d ran as %s and runs as %s", i, before.Instances[i].Task, after.Instances[i].Task)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.launched) != 3 {
		t.Errorf("launched %q", w.launched)
	}
}

func TestWhatTheMasterDoesNotTakeIsTriedAgain(t *testing.T) {
	w := newTown(t)
	h, _, _ := started(t, w)
	put(t, h, web)
	until(t, h, "web", running(2))
	w.mu.Lock()
	w.lose = errBusy
	w.mu.Unlock()
	if _, err := h.Scale(t.Context(), "web", 3); !errors.Is(err, ErrFull) {
		t.Fatalf("%v", err)
	}
	if v, err := h.Scale(t.Context(), "web", 3); err != nil || v != 2 {
		t.Fatalf("version %d, %v", v, err)
	}
	until(t, h, "web", running(3))
}

func TestTheEndOfAMastershipIsTold(t *testing.T) { // M-2
	w := newTown(t)
	h, _, _ := started(t, w)
	put(t, h, web)
	close(w.done)
	late := time.After(20 * time.Second)
	for {
		changed := h.Changed()
		if _, err := h.List(); errors.Is(err, ErrUnavailable) {
			break
		}
		select {
		case <-changed:
		case <-late:
			t.Fatal("it still answers")
		}
	}
	if _, err := h.Put(t.Context(), web, 0); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("%v", err)
	}
}

func TestTimetables(t *testing.T) {
	next := newTimetables().next
	at := time.Date(2026, 11, 26, 4, 31, 7, 0, time.UTC)
	for schedule, want := range map[string]string{"*/5 * * * *": "04:35:00", "@hourly": "05:00:00", "@every 1s": "", "CRON_TZ=UTC 0 0 * * *": "",
		"TZ=": "", "": "", "61 * * * *": "", "0 0 30 2 *": "", "* * * * * *": "", "@reboot": ""} {
		got, ok := next(schedule, time.Duration(at.UnixNano()))
		text := ""
		if ok {
			text = time.Unix(0, int64(got)).UTC().Format("15:04:05")
		}
		if text != want {
			t.Errorf("%q comes next at %q, want %q", schedule, text, want)
		}
	}
}

// A call that was made for one stream is not made on the next: a SuppressCall there would end
// the offers that the next one waits for.
func TestACallIsForTheStreamItWasMadeFor(t *testing.T) {
	w := newTown(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	j, err := jobs.New(jobs.Config{}, 0, func(func(mesos.Document) bool) {})
	if err != nil {
		t.Fatal(err)
	}
	h := &host{reign: &reign{handle: New(Config{}), master: w, ctx: ctx}, ctx: ctx, j: j, making: true, calls: []mesos.CallBody{mesos.SuppressCall{}}}
	h.subscribe(j.Roles()) // while other calls of the stream of before are being made
	if len(h.calls) != 0 {
		t.Errorf("%+v is left for the next stream", h.calls)
	}
}
