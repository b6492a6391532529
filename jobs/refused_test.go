package jobs

import (
	"slices"
	"testing"
	"time"

	"github.com/synod-go/synod/mesos"
)

// As long as the registry has not taken a change, and if it never does, all goes on as before.
func TestAChangeThatIsRefusedHasNoEffect(t *testing.T) {
	for what, change := range map[string]func(b *bench){
		"update": func(b *bench) { b.j.Put(b.now, 2, version("other", 2), 0) },
		"scale":  func(b *bench) { b.j.Scale(b.now, 2, "web", 0) },
		"stop":   func(b *bench) { b.j.Stop(b.now, 2, "web") },
	} {
		b := newBench(t)
		b.running(service(2))
		b.tell("web.1.2", "a1", mesos.Failed)
		b.hold, b.refuse = true, "jobs.job."
		change(b)
		b.settle()
		b.pass(5 * time.Second)
		b.offer("a1 cpus:8;mem:900")
		b.want(what+": launched before it is saved", b.launched(), "[]")
		b.want(what+": answers", len(b.answers), 1)
		b.hold = false
		b.settle()
		b.want(what+": answer", b.answers[1].Code, Refused)
		if got := b.status("web"); got.Version != 1 || got.Spec.Command.Value != "serve" || got.Spec.Count != 2 || got.State != "running" {
			t.Errorf("%s: the job is %+v", what, got)
		}
		if len(b.documents["jobs.task.web.1"]) == 0 {
			t.Errorf("%s: the instance is forgotten", what)
		}
		b.pass(time.Second)
		b.offer("a1 cpus:8;mem:900")
		launched := b.launched()
		if len(launched) != 1 || launched[0][:6] != "web.1." {
			t.Errorf("%s: launched %q", what, launched)
		}
		b.want(what+": killed", b.killed(), "[]")
	}
}

func TestNothingIsBegunInThePlaceOfATaskWhoseEndIsNotSaved(t *testing.T) {
	b := newBench(t)
	b.running(service(1))
	b.refuse = "jobs.task."
	b.tell("web.0.1", "a1", mesos.Failed)
	for range 5 {
		b.pass(2 * time.Second)
		b.offer("a1 cpus:8;mem:900")
	}
	b.want("numbers used", b.j.next, 2)
	for _, c := range b.calls {
		if _, ok := c.(mesos.AcknowledgeCall); ok {
			t.Error("the end was acknowledged")
		}
	}
	b.refuse = ""
	b.pass(2 * time.Second)
	b.offer("a1 cpus:8;mem:900")
	b.want("launched", b.launched(), "[web.0.2@a1]")
}

func TestWhatCannotBeRemovedIsRemovedLater(t *testing.T) {
	b := newBench(t)
	b.running(service(2))
	b.refuse = "remove jobs.task."
	b.j.Scale(b.now, 2, "web", 1)
	b.settle()
	b.tell("web.1.2", "a1", mesos.Killed)
	b.pass(5 * time.Second)
	b.want("instances", len(b.status("web").Instances), 2)
	b.refuse = ""
	b.pass(5 * time.Second)
	b.want("instances", len(b.status("web").Instances), 1)
	if _, there := b.documents["jobs.task.web.1"]; there {
		t.Error("the document is still there")
	}
}

// What has run in this run of a job does not run again, if fewer and then more are wanted.
func TestAnInstanceThatIsDoneIsNotDoneAgain(t *testing.T) {
	b := newBench(t)
	s := service(2)
	s.Kind = Once
	b.running(s)
	b.tellAll(mesos.Finished)
	for _, count := range []int{1, 2} {
		b.j.Scale(b.now, 2, "web", count)
		b.settle()
		b.pass(time.Second)
	}
	b.want("state", b.status("web").State, "done")
	b.want("waits", b.j.Unplaced(), 0)
}

// A run was begun anew, and what became of the one before was not saved: it is ended before.
func TestATaskOfARunOfBeforeIsEndedFirst(t *testing.T) {
	b := newBench(t)
	s := service(1)
	s.Kind = Once
	b.running(s)
	before := b.documents["jobs.task.web.0"]
	b.tellAll(mesos.Finished)
	b.j.Restart(b.now, 2, "web")
	b.settle()
	b.documents["jobs.task.web.0"] = before
	b.again()
	b.want("killed", slices.Contains(b.killed(), "web.0.1"), true)
	b.offer("a1 cpus:8;mem:900")
	b.want("launched", b.launched(), "[]")
	b.tell("web.0.1", "a1", mesos.Finished)
	b.pass(time.Second)
	b.offer("a1 cpus:8;mem:900")
	b.want("launched", b.launched(), "[web.0.10001@a1]")
}

// Between the choice of an offer and the word of the registry much may happen: nothing is
// launched then that is not wanted, or with an offer that is gone.
func TestWhatIsNoLongerRightWhenItIsSavedIsNotLaunched(t *testing.T) {
	for what, happens := range map[string]func(b *bench){
		"the offer is taken back":        func(b *bench) { b.j.Event(b.now, mesos.RescindEvent{Offer: "o"}) },
		"the stream ends":                func(b *bench) { b.j.Disconnected(b.now); b.j.Event(b.now, mesos.SubscribedEvent{}) },
		"no instance is wanted any more": func(b *bench) { b.j.Scale(b.now, 2, "web", 0) },
		"another version is wanted":      func(b *bench) { b.j.Put(b.now, 2, version("other", 1), 0) },
		"the job is stopped":             func(b *bench) { b.j.Stop(b.now, 2, "web") },
	} {
		b := newBench(t)
		one := service(1)
		one.Constraints = []Constraint{{"hostname", "unique", ""}}
		b.put(one)
		b.pass(time.Second)
		r, _ := mesos.ParseResources("cpus:8;mem:900")
		b.j.Event(b.now, mesos.OffersEvent{Offers: []mesos.OfferInfo{{ID: "o", Role: "*", Agent: "a1", Hostname: "host-a1", Resources: r}}})
		begun := b.j.Output()
		b.want(what+": saves", len(begun.Save), 1)
		happens(b)
		b.settle()
		b.take(begun)
		b.settle()
		b.want(what+": launched", b.launched(), "[]")
		b.pass(2 * time.Second)
		b.offer("a1 cpus:8;mem:900")
		want := "[web.0.2@a1]"
		if s := b.status("web"); s.Spec.Count == 0 {
			want = "[]"
		}
		b.want(what+": launched at last", b.launched(), want)
	}
}

func TestNoMoreIsLaunchedThanIsOffered(t *testing.T) {
	b := newBench(t)
	s := service(3)
	s.Ports = []Port{{Name: "http"}}
	b.put(s)
	b.pass(time.Second)
	b.offer("a1 cpus:2.5;mem:900;ports:[31000-31009]")
	b.want("launched", b.launched(), "[web.0.1@a1 web.1.2@a1]")
	b.want("ports", []uint16{b.status("web").Instances[0].Ports[0], b.status("web").Instances[1].Ports[0]}, "[31000 31001]")
	r, _ := mesos.ParseResources("cpus:8;mem:900;ports:[31000-31009]")
	b.j.Event(b.now, mesos.OffersEvent{Offers: []mesos.OfferInfo{{ID: "o", Role: "other", Agent: "a2", Hostname: "h", Resources: r}}})
	b.settle()
	b.want("launched of another role's", b.launched(), "[]")
}

// The number of a task is set aside in the registry before a task has it.
func TestNoTaskHasANumberThatIsNotSetAside(t *testing.T) {
	b := newBench(t)
	b.refuse = numberName
	b.put(service(1))
	b.pass(time.Second)
	b.offer("a1 cpus:4;mem:900")
	b.want("launched", b.launched(), "[]")
	b.refuse = ""
	b.pass(2 * time.Second)
	b.offer("a1 cpus:4;mem:900")
	b.want("launched", b.launched(), "[web.0.1@a1]")
}
