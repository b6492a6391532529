package jobs

import (
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/mesos"
)

// running brings a job of version 1 to run on one agent, for a minute.
func (b *bench) running(s Spec) {
	b.t.Helper()
	b.put(s)
	b.pass(time.Second)
	b.offer("a1 cpus:8;mem:900;ports:[31000-31009]")
	b.tellAll(mesos.Running)
	b.pass(time.Minute)
	b.calls = nil
}

// tellAll tells of all tasks that may run.
func (b *bench) tellAll(state mesos.TaskState) {
	for _, i := range b.status("web").Instances {
		if b.j.byTask[i.Task] != nil {
			b.tell(i.Task, "a1", state)
		}
	}
}

func version(value string, count int) Spec {
	s := service(count)
	s.Command.Value = value
	return s
}

// fail lets the update of now fail by a task that never comes to run.
func (b *bench) failUpdate() {
	b.t.Helper()
	b.tell(b.status("web").Instances[0].Task, "a1", mesos.Killed)
	b.pass(3 * time.Minute)
	b.calls = nil
}

// What a task runs as is told by the version that it has to be, not by the one it began with.
func TestATaskThatGoesOnIsOfTheVersionOfNow(t *testing.T) {
	b := newBench(t)
	b.running(service(2))
	b.j.Scale(b.now, 2, "web", 3)
	b.settle()
	for _, i := range b.status("web").Instances[:2] {
		b.want("version after a change of the count", i.Version, 2)
	}
	s := version("other", 3)
	b.put(s)
	b.want("version during an update", b.status("web").Instances[1].Version, 1)
}

func TestAVersionThatHasFailedIsNotGoneBackTo(t *testing.T) {
	for _, again := range []string{"bad", "worse"} {
		b := newBench(t)
		b.running(service(1))
		bad := version("bad", 1)
		bad.Update.NoRollback = true
		b.put(bad)
		b.failUpdate()
		b.want("state", b.status("web").State, "failed")
		b.put(version(again, 1))
		b.pass(3 * time.Minute)
		got := b.status("web")
		b.want("state after "+again, got.State, "rolling back")
		b.want("goes back to", got.Spec.Command.Value, "serve")
	}
}

func TestARestartDuringAnUpdateIsRolledBackToo(t *testing.T) {
	b := newBench(t)
	b.running(service(1))
	b.put(version("bad", 1))
	b.j.Restart(b.now, 2, "web")
	b.settle()
	b.failUpdate()
	b.want("goes back to", b.status("web").Spec.Command.Value, "serve")

	b = newBench(t)
	b.running(service(1))
	b.put(version("good", 1))
	b.tellAll(mesos.Killed)
	b.offer("a1 cpus:8;mem:900")
	b.tellAll(mesos.Running)
	b.pass(time.Minute)
	b.j.Restart(b.now, 2, "web")
	b.settle()
	b.failUpdate()
	if got := b.status("web"); got.Spec.Command.Value != "good" || got.State != "failed" {
		t.Fatalf("after the restart of what works: %+v", got)
	}
}

// The document of a job has room for two Specs and why it has failed.
func TestWhyAnUpdateHasFailedIsShort(t *testing.T) {
	b := newBench(t)
	big := service(1)
	big.Command.Environment = map[string]string{"BIG": strings.Repeat("x", MaxSpecBytes-2000)}
	b.running(big)
	bad := big
	bad.Command.Value, bad.Restart.On, bad.Update.NoRollback = "bad", "never", true
	b.put(bad)
	b.tellAll(mesos.Killed)
	b.offer("a1 cpus:8;mem:900")
	task := b.status("web").Instances[0].Task
	b.j.Event(b.now, mesos.UpdateEvent{Status: mesos.TaskStatus{Task: mesos.TaskKey{Framework: FrameworkID, Task: task}, Agent: "a1", State: mesos.Failed,
		ID: mesos.UpdateID{99}, Message: strings.Repeat("\x01", mesos.MaxStatusMessage)}})
	b.settle()
	b.pass(3 * time.Minute)
	b.want("state", b.status("web").State, "failed")
	if n := len(b.documents["jobs.job.web"]); n > mesos.MaxDocumentBytes {
		t.Fatalf("the document has %d bytes, at most %d may be", n, mesos.MaxDocumentBytes)
	}
}

// A timed job that was changed before its task was launched is launched as it is then.
func TestWhatWasChangedBeforeItsLaunchIsNotLaunchedAsItWas(t *testing.T) {
	b := newBench(t)
	s := service(1)
	s.Kind, s.Schedule = Timed, "* * * * *"
	b.put(s)
	b.pass(time.Minute)
	var e mesos.OffersEvent
	r, _ := mesos.ParseResources("cpus:8;mem:900;ports:[31000-31009]")
	e.Offers = []mesos.OfferInfo{{ID: "o", Role: "*", Agent: "a1", Hostname: "h", Resources: r}}
	b.j.Event(b.now, e)
	begun := b.j.Output() // the task is being saved
	s.Ports = []Port{{Name: "http"}}
	b.j.Put(b.now, 2, s, 0)
	b.settle()
	b.take(begun)
	b.settle()
	b.want("launched", b.launched(), "[]")
	b.pass(2 * time.Second)
	b.offer("a1 cpus:8;mem:900;ports:[31000-31009]")
	b.want("launched", b.launched(), "[web.0.2@a1]")
}

// take is the registry, of one output.
func (b *bench) take(out Output) {
	b.calls = append(b.calls, out.Calls...)
	for _, s := range out.Save {
		if o, ok := s.Operation.(mesos.PutDocument); ok {
			b.documents[o.Name] = o.Data
		}
		b.j.Saved(b.now, s.Number, true)
	}
}

// Times of a timetable that was not the job's are nobody's to make up for.
func TestARollbackMakesUpForNoTimeOfTheOtherTimetable(t *testing.T) {
	b := newBench(t)
	s := service(1)
	s.Kind, s.Schedule = Timed, "* * * * *"
	b.put(s)
	other := version("other", 1)
	other.Kind, other.Schedule = Timed, "yearly"
	b.j.config.Next = func(schedule string, after time.Duration) (time.Duration, bool) {
		if schedule == "yearly" {
			return after + 365*24*time.Hour, true
		}
		return everyMinute(schedule, after)
	}
	b.want("answer", b.put(other).Code, Done)
	b.pass(10*time.Minute + time.Second)
	b.j.Rollback(b.now, 3, "web")
	b.settle()
	b.want("waits", b.j.Unplaced(), 0)
	b.want("note", b.status("web").Progress, "")
}

// An update begins with those that do not work: so never more than one is missed.
func TestAnUpdateReplacesFirstWhoDoesNotWork(t *testing.T) {
	b := newBench(t)
	s := service(3)
	s.Health = &mesos.HealthCheck{Kind: mesos.HealthCommand, Command: mesos.Command{Value: "check"}}
	b.running(s)
	healthy := func(index int) {
		b.updates++
		b.j.Event(b.now, mesos.UpdateEvent{Status: mesos.TaskStatus{Task: mesos.TaskKey{Framework: FrameworkID, Task: b.status("web").Instances[index].Task},
			Agent: "a1", State: mesos.Running, Health: mesos.Healthy, ID: mesos.UpdateID{b.updates}}})
		b.settle()
	}
	healthy(0)
	healthy(2)
	other := s
	other.Command.Value = "other"
	b.put(other)
	b.want("killed", b.killed(), "[web.1.2]")
}

// The least time to be replaced after leaves an agent that is well two pings, so that it stops
// nothing.
func TestWhoMayBeReplacedRunsOnWhileItsAgentIsWell(t *testing.T) {
	for _, ping := range []time.Duration{time.Second, 5 * time.Second, 15 * time.Second} {
		s := service(4)
		s = s.WithDefaults()
		s.ReplaceAfter = Config{PingInterval: ping}.leastReplaceAfter(&s)
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		w := newWorld(1, 2, "")
		w.calm, w.ping = true, ping
		before := w.leader()
		w.elect()
		w.end(before)
		put := false
		for w.now < 3*time.Minute {
			for _, a := range w.agents {
				a.core.Tick(w.now, unixStart+w.now)
				a.connect(w.leader())
			}
			if r := w.leader(); r.j != nil && !put {
				put = true
				early := s
				early.ReplaceAfter -= 2 * time.Second
				if early.ReplaceAfter >= MinReplaceAfter {
					r.j.Put(unixStart+w.now, 1, early, 0)
					if a := r.j.Output().Answers; len(a) != 1 || a[0].Code != Invalid || !strings.Contains(a[0].Text, s.ReplaceAfter.String()) {
						t.Fatalf("ping %v: replace after %v is answered %+v", ping, early.ReplaceAfter, a)
					}
				}
				r.j.Put(unixStart+w.now, 2, s, 0)
			}
			w.rest()
			w.pass(500 * time.Millisecond)
		}
		if got := w.runningTasks()["web"]; got != 4 || w.counts["started"] != 4 || w.failure != "" {
			t.Errorf("ping %v, replace after %v: %d run, %d were started: %s", ping, s.ReplaceAfter, got, w.counts["started"], w.failure)
		}
	}
}

// Another master knows about since when a task runs.
func TestATaskRunsSinceItWasStartedWhoeverLeads(t *testing.T) {
	b := newBench(t)
	b.running(service(1))
	since := b.status("web").Instances[0].Since
	b.pass(time.Hour)
	b.again()
	b.tellAll(mesos.Running)
	b.want("since", b.status("web").Instances[0].Since, since)
	b.pass(time.Minute)
	b.tellAll(mesos.Starting)
	b.tellAll(mesos.Running)
	b.want("since a change", b.status("web").Instances[0].Since, b.now)
}

// What keeps ending holds an update up, and that is said rather than that it runs at the moment.
func TestWhatKeepsEndingIsToldOfAFailedUpdate(t *testing.T) {
	b := newBench(t)
	b.running(service(1))
	s := version("bad", 1)
	s.Update.Deadline = 20 * time.Second
	b.put(s)
	b.tellAll(mesos.Killed)
	for range 2 {
		b.pass(3 * time.Second)
		b.offer("a1 cpus:8;mem:900")
		b.tellAll(mesos.Running)
		b.tellAll(mesos.Failed)
	}
	b.pass(3 * time.Second)
	b.offer("a1 cpus:8;mem:900")
	b.pass(11 * time.Second)
	if got := b.status("web"); !strings.Contains(got.Progress, "with 2 restarts: it ended FAILED") {
		t.Fatalf("%s, %q", got.State, got.Progress)
	}
}
