package framework_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/framework"
	"github.com/synod-go/synod/mesos"
)

// recorder is a Scheduler that launches what it is given, and passes on what it is told.
type recorder struct {
	launch chan mesos.TaskInfo // of which each offer takes one, if there is one
	known  []mesos.ReconcileTask
	begun  chan *framework.Session
	told   chan mesos.TaskStatus
	refuse chan error // answers of Update, nil if there is none
}

func newRecorder(known ...mesos.ReconcileTask) *recorder {
	return &recorder{launch: make(chan mesos.TaskInfo, 16), known: known, begun: make(chan *framework.Session, 64),
		told: make(chan mesos.TaskStatus, 1024), refuse: make(chan error, 16)}
}

func (r *recorder) Subscribed(_ context.Context, s *framework.Session) ([]mesos.ReconcileTask, error) {
	r.begun <- s
	return r.known, nil
}

func (r *recorder) Offers(ctx context.Context, s *framework.Session, offers []mesos.OfferInfo) error {
	cpu, err := mesos.ParseResources("cpus:1")
	for _, o := range offers {
		var tasks []mesos.TaskInfo
		select {
		case t := <-r.launch:
			t.Agent, t.Resources = o.Agent, cpu
			tasks = append(tasks, t)
		default:
		}
		err = errors.Join(err, s.Accept(ctx, []mesos.OfferID{o.ID}, tasks, 0))
	}
	return err
}

func (r *recorder) Update(_ context.Context, _ *framework.Session, status mesos.TaskStatus) error {
	r.told <- status
	select {
	case err := <-r.refuse:
		return err
	default:
		return nil
	}
}

// until waits for an update of a task that is like that.
func (r *recorder) until(t *testing.T, task mesos.TaskID, what string, like func(mesos.TaskStatus) bool) mesos.TaskStatus {
	t.Helper()
	for {
		if s := soon(t, string(task)+" "+what, r.told); s.Task.Task == task && like(s) {
			return s
		}
	}
}

func is(state mesos.TaskState) func(mesos.TaskStatus) bool {
	return func(s mesos.TaskStatus) bool { return s.State == state }
}

func sleeper(id mesos.TaskID) mesos.TaskInfo {
	return mesos.TaskInfo{ID: id, Name: "sleeper", Command: mesos.Command{Value: "sleep", Arguments: []string{"1d"}}}
}

// running starts run in the background; its end comes on the channel, stop makes it end.
func running(t *testing.T, run func(context.Context, framework.Config, framework.Scheduler) error, c framework.Config, s framework.Scheduler) (<-chan error, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	c.ReconcileEvery = 100 * time.Millisecond
	go func() { ended <- run(ctx, c, s) }()
	t.Cleanup(cancel)
	return ended, cancel
}

func config(t *testing.T, w *world) framework.Config {
	return framework.Config{Client: w.client(t), Info: mesos.FrameworkInfo{Name: "web"}, Session: api.SessionOptions{Timeout: 2 * time.Second, Linger: time.Second},
		Pause: 20 * time.Millisecond, MaxPause: 200 * time.Millisecond}
}

// M-8, F-2, R-: the death of the master costs a subscription, no task and no id.
func TestAFrameworkOutlivesItsMaster(t *testing.T) {
	w := start(t, 3, 1)
	r := newRecorder()
	ended, stop := running(t, framework.Run, config(t, w), r)
	first := soon(t, "the first subscription", r.begun)
	r.launch <- sleeper("a")
	begun := r.until(t, "a", "running", is(mesos.Running))
	w.away.Lock() // the agent comes back after all was asked for that the master knows
	w.kill(w.leader(t))
	second := soon(t, "the second subscription", r.begun)
	if second.Framework() != first.Framework() || second.Subscribed().Term <= first.Subscribed().Term {
		t.Errorf("subscribed as %+v after %+v", second.Subscribed(), first.Subscribed())
	}
	for range 2 {
		if err := second.Reconcile(t.Context()); err != nil {
			t.Error(err)
		}
	}
	w.away.Unlock()
	again := r.until(t, "a", "reconciled", func(s mesos.TaskStatus) bool { return s.Source == mesos.SourceMaster && s.State == mesos.Running })
	if again.Container != begun.Container {
		t.Errorf("the task runs in %v, and ran in %v", again.Container, begun.Container)
	}
	if err := second.Kill(t.Context(), "a", 0); err != nil {
		t.Fatal(err)
	}
	r.until(t, "a", "killed", is(mesos.Killed))
	stop()
	if err := soon(t, "the end", ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
}

// U-3: what the scheduler has not dealt with comes again, and nothing after it before.
func TestAnUpdateIsAcknowledgedWhenItWasDealtWith(t *testing.T) {
	w := start(t, 1, 1)
	r := newRecorder()
	r.refuse <- errors.New("no room for it")
	r.refuse <- errors.New("still none")
	running(t, framework.Run, config(t, w), r)
	task := sleeper("a")
	task.Command.Value = "echo"
	r.launch <- task
	first := r.until(t, "a", "running", is(mesos.Running))
	for range 2 {
		if s := soon(t, "the update again", r.told); s.ID != first.ID {
			t.Fatalf("%+v came before %+v was dealt with", s, first)
		}
	}
	r.until(t, "a", "finished", is(mesos.Finished))
}

// R-: it is asked for each task that the scheduler knows until there is an answer.
func TestEachKnownTaskIsAskedFor(t *testing.T) {
	w := start(t, 1, 1)
	r := newRecorder(mesos.ReconcileTask{Task: "never-heard-of"})
	running(t, framework.Run, config(t, w), r)
	s := r.until(t, "never-heard-of", "answered", func(mesos.TaskStatus) bool { return true })
	if s.Reason != mesos.ReasonReconciliation || s.ID != (mesos.UpdateID{}) {
		t.Errorf("the answer is %+v", s)
	}
}

// F-4
func TestARemovedFrameworkEnds(t *testing.T) {
	w := start(t, 1, 0)
	c := config(t, w)
	r := newRecorder()
	ended, _ := running(t, framework.Run, c, r)
	id := soon(t, "the subscription", r.begun).Framework()
	if _, err := c.Client.RemoveFramework(t.Context(), string(id)); err != nil {
		t.Fatal(err)
	}
	if err := soon(t, "the end", ended); !errors.Is(err, framework.ErrRemoved) {
		t.Errorf("Run ended with %v", err)
	}
	c.Info.ID = id
	if err := framework.Run(t.Context(), c, r); !errors.Is(err, framework.ErrRemoved) {
		t.Errorf("another Run ended with %v", err)
	}
}

// F-2: of two Runs of one framework the first ends, and does not come back.
func TestARunThatIsTakenOverEnds(t *testing.T) {
	w := start(t, 1, 0)
	c := config(t, w)
	first, second := newRecorder(), newRecorder()
	ended, _ := running(t, framework.Run, c, first)
	old := soon(t, "the subscription", first.begun)
	c.Info.ID = old.Framework()
	running(t, framework.Run, c, second)
	soon(t, "the takeover", second.begun)
	if err := soon(t, "the end", ended); !errors.Is(err, framework.ErrTakenOver) {
		t.Errorf("the first Run ended with %v", err)
	}
	if code := api.CodeOf(old.Revive(t.Context())); code != api.CodeRequest && code != api.CodeSubscription {
		t.Errorf("a call of the first: %s", code)
	}
}

func TestASchedulerStopsItself(t *testing.T) {
	w := start(t, 1, 1)
	r := newRecorder()
	r.refuse <- framework.ErrStop
	ended, _ := running(t, framework.StandBy, config(t, w), r)
	r.launch <- sleeper("a")
	if err := soon(t, "the end", ended); !errors.Is(err, framework.ErrStop) {
		t.Errorf("StandBy ended with %v", err)
	}
}

func TestAConfigThatMakesNoSenseIsRefused(t *testing.T) {
	for _, c := range []framework.Config{{}, {Info: mesos.FrameworkInfo{Name: "n"}}, {Client: &api.Client{}, Info: mesos.FrameworkInfo{Name: "n"}, Pause: -1}} {
		if err := framework.Run(t.Context(), c, newRecorder()); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// U-: what has no id nobody repeats, so it is asked for.
func TestWhatIsNotRepeatedIsAskedForWhenItWasNotDealtWith(t *testing.T) {
	w := start(t, 1, 1)
	r := newRecorder()
	running(t, framework.Run, config(t, w), r)
	s := soon(t, "the subscription", r.begun)
	r.refuse <- errors.New("no room for it")
	task := sleeper("a")
	task.Agent = "nobody"
	if err := s.Accept(t.Context(), []mesos.OfferID{"no-such-offer"}, []mesos.TaskInfo{task}, 0); err != nil {
		t.Fatal(err)
	}
	if s := r.until(t, "a", "not launched", is(mesos.Unknown)); s.ID != (mesos.UpdateID{}) {
		t.Fatalf("it is repeated: %+v", s)
	}
	r.until(t, "a", "told again", is(mesos.Unknown))
}
