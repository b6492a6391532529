package framework_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/framework"
	"github.com/synod-go/synod/mesos"
)

// F-2, F-6, and the election that Mesos leaves to frameworks.
func TestAStandbyTakesTheTasksOver(t *testing.T) {
	w := start(t, 3, 1)
	first, second := newRecorder(), newRecorder()
	ended, stop := running(t, framework.StandBy, config(t, w), first)
	began := soon(t, "the first subscription", first.begun)
	running(t, framework.StandBy, config(t, w), second)
	first.launch <- sleeper("a")
	begun := first.until(t, "a", "running", is(mesos.Running))
	select {
	case <-second.begun:
		t.Fatal("both lead")
	default:
	}
	stop()
	soon(t, "the end of the first", ended)
	takeover := soon(t, "the takeover", second.begun)
	if takeover.Framework() != began.Framework() {
		t.Errorf("the second is %s, the first was %s", takeover.Framework(), began.Framework())
	}
	if s := second.until(t, "a", "reconciled", is(mesos.Running)); s.Container != begun.Container {
		t.Errorf("the task runs in %v, and ran in %v", s.Container, begun.Container)
	}
	if err := takeover.Kill(t.Context(), "a", 0); err != nil {
		t.Fatal(err)
	}
	second.until(t, "a", "killed", is(mesos.Killed))
	only(t, w, began.Framework())
}

// frameworks are those that there are beside the built-in one.
func frameworks(t *testing.T, w *world) (ids []mesos.FrameworkID) {
	t.Helper()
	list, err := w.client(t).Frameworks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if f.ID != "synod" {
			ids = append(ids, mesos.FrameworkID(f.ID))
		}
	}
	return ids
}

// only fails unless there is that framework and no other.
func only(t *testing.T, w *world, id mesos.FrameworkID) {
	t.Helper()
	if ids := frameworks(t, w); len(ids) != 1 || ids[0] != id {
		t.Errorf("there are %v, want %s alone", ids, id)
	}
}

// stuck is a Scheduler whose first Update does not return before its context has ended.
type stuck struct {
	*recorder
	entered chan struct{}
	left    chan error
}

func (s *stuck) Update(ctx context.Context, session *framework.Session, status mesos.TaskStatus) error {
	close(s.entered)
	<-ctx.Done()
	s.left <- session.Accept(context.WithoutCancel(ctx), []mesos.OfferID{"any"}, []mesos.TaskInfo{sleeper("too-late")}, 0)
	return ctx.Err()
}

// F-6: who was deposed while it was busy is told so by its context, and does nothing more. It
// cannot come back either: the registry knows the token of the one after it.
func TestADeposedSchedulerIsFenced(t *testing.T) {
	w := start(t, 1, 1)
	c := config(t, w)
	first := &stuck{newRecorder(), make(chan struct{}), make(chan error, 1)}
	running(t, framework.StandBy, c, first)
	old := soon(t, "the first subscription", first.begun)
	first.launch <- sleeper("a")
	soon(t, "the update", first.entered)
	second := newRecorder()
	running(t, framework.StandBy, config(t, w), second)

	list, err := c.Client.List(t.Context(), "frameworks/web/leader", api.ListOptions{})
	for err == nil && len(list.Entries) < 2 { // until the second stands in the queue
		list, err = c.Client.List(t.Context(), "frameworks/web/leader", api.ListOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	eldest := list.Entries[0]
	for _, e := range list.Entries {
		if e.Created < eldest.Created {
			eldest = e
		}
	}
	if _, err := c.Client.Delete(t.Context(), eldest.Path, api.WriteOptions{}); err != nil { // as the end of its session does
		t.Fatal(err)
	}
	takeover := soon(t, "the takeover", second.begun)
	if code := api.CodeOf(soon(t, "the end of the callback", first.left)); code != api.CodeRequest && code != api.CodeSubscription {
		t.Errorf("the deposed one's Accept: %q", code)
	}
	for _, token := range []string{"", "1"} {
		info := mesos.FrameworkInfo{ID: old.Framework(), Name: "web", Labels: map[string]string{mesos.FenceLabel: token}}
		if _, err := framework.Connect(t.Context(), c.Client, info); !errors.Is(err, framework.ErrTakenOver) {
			t.Errorf("a subscription with token %q: %v", token, err)
		}
	}
	if err := takeover.Revive(t.Context()); err != nil {
		t.Errorf("the second is disturbed: %v", err)
	}
}

// Whoever dies between the choice of the id and the first subscription leaves it behind.
func TestTheIDOfTheTreeIsTaken(t *testing.T) {
	w := start(t, 1, 0)
	c := config(t, w)
	if _, err := c.Client.Put(t.Context(), "frameworks/web/id", []byte("web-of-before"), api.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	r := newRecorder()
	running(t, framework.StandBy, c, r)
	if id := soon(t, "the subscription", r.begun).Framework(); id != "web-of-before" {
		t.Errorf("subscribed as %s", id)
	}
	only(t, w, "web-of-before")
}

// Several that begin at once have one id, and take turns.
func TestStandbysShareOneID(t *testing.T) {
	w := start(t, 3, 0)
	const n = 3
	var recorders [n]*recorder
	var stops [n]func()
	subscribed := make(chan int, 64)
	ids := map[mesos.FrameworkID]bool{}
	for i := range n {
		recorders[i] = newRecorder()
		_, stops[i] = running(t, framework.StandBy, config(t, w), recorders[i])
		go func() {
			for s := range recorders[i].begun {
				if ctx := t.Context(); ctx.Err() != nil {
					return
				}
				_ = s
				subscribed <- i
			}
		}()
	}
	for range n {
		i := soon(t, "a leader", subscribed)
		list := frameworks(t, w)
		if len(list) != 1 || !strings.HasPrefix(string(list[0]), "web-") {
			t.Fatalf("there are %v", list)
		}
		ids[list[0]] = true
		stops[i]()
	}
	if len(ids) != 1 {
		t.Errorf("they had the ids %v", ids)
	}
}

// What cannot be an id is refused at once.
func TestWhatIsNoIDIsRefused(t *testing.T) {
	w := start(t, 1, 0)
	c := config(t, w)
	c.Info.ID = "two words"
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := framework.StandBy(ctx, c, newRecorder()); api.CodeOf(err) != api.CodeUsage {
		t.Errorf("StandBy ended with %v", err)
	}
}
