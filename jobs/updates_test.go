package jobs

import (
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/mesos"
)

func TestAnUpdateFailsAsSoonAsAnInstanceGivesUp(t *testing.T) {
	b := newBench(t)
	b.running(service(1))
	bad := version("bad", 1)
	bad.Restart.On = "never"
	b.put(bad)
	b.tellAll(mesos.Killed)
	b.offer("a1 cpus:8;mem:900")
	b.tellAll(mesos.Running)
	b.tellAll(mesos.Failed)
	b.want("state", b.status("web").State, "rolling back")
}

// The count is not part of what comes back. What comes back does not fail in its turn: that it
// takes longer than an update may is said, and it goes on.
func TestWhatComesBackKeepsTheCountAndStays(t *testing.T) {
	b := newBench(t)
	b.running(service(1))
	b.put(version("bad", 3))
	b.failUpdate()
	b.want("state", b.status("web").State, "rolling back")
	b.pass(time.Hour)
	got := b.status("web")
	b.want("state", got.State, "failed")
	if !strings.Contains(got.Progress, "version 2 failed") || !strings.Contains(got.Progress, "what was before does not come back: instance 0 did not work for") {
		t.Errorf("the words are %q", got.Progress)
	}
	b.want("count", got.Spec.Count, 3)
	b.want("version", got.Version, 3)
	b.offer("a1 cpus:8;mem:900")
	b.tellAll(mesos.Running)
	b.pass(time.Minute)
	b.want("state", b.status("web").State, "running")
}

func TestARollbackThatGivesUpHasFailed(t *testing.T) {
	b := newBench(t)
	once := service(1)
	once.Restart.On = "never"
	b.running(once)
	b.put(version("other", 1))
	b.tellAll(mesos.Killed)
	b.offer("a1 cpus:8;mem:900")
	b.tellAll(mesos.Running)
	b.pass(time.Minute)
	b.want("state", b.status("web").State, "running")
	b.j.Rollback(b.now, 9, "web")
	b.settle()
	b.tellAll(mesos.Killed)
	b.offer("a1 cpus:8;mem:900")
	b.tellAll(mesos.Running)
	b.want("state", b.status("web").State, "rolling back")
	b.tellAll(mesos.Failed)
	got := b.status("web")
	b.want("state", got.State, "failed")
	if !strings.Contains(got.Progress, "instance 0 has ended too often") {
		t.Errorf("the words are %q", got.Progress)
	}
}

func TestAnInstanceThatCannotBeSeenHoldsNoUpdateUp(t *testing.T) { // P
	b := newBench(t)
	b.running(service(2))
	b.tell("web.0.1", "a1", mesos.Unreachable)
	b.put(version("other", 2))
	b.want("killed", b.killed(), "[web.0.1 web.1.2]") // the first when it is back
	b.tell("web.1.2", "a1", mesos.Killed)
	b.offer("a2 cpus:8;mem:900")
	b.want("launched", b.launched(), "[web.1.3@a2]")
	b.tell("web.1.3", "a2", mesos.Running)
	b.pass(time.Hour)
	b.want("state", b.status("web").State, "updating")
	b.tell("web.0.1", "a1", mesos.Killed)
	b.offer("a2 cpus:8;mem:900")
	b.tell("web.0.4", "a2", mesos.Running)
	b.pass(time.Minute)
	b.want("state", b.status("web").State, "running")
}

func TestAnEndIsAcknowledgedWhenItIsSaved(t *testing.T) { // U
	b := newBench(t)
	b.running(service(1))
	acknowledged := func() (n int) {
		for _, c := range b.calls {
			if _, ok := c.(mesos.AcknowledgeCall); ok {
				n++
			}
		}
		return n
	}
	b.hold = true
	b.tell("web.0.1", "a1", mesos.Failed)
	b.want("acknowledged before", acknowledged(), 0)
	b.hold = false
	b.settle()
	b.want("acknowledged", acknowledged(), 1)
}

// Who has run for BackoffMax has not failed before.
func TestTheBackoffBeginsAnew(t *testing.T) {
	b := newBench(t)
	b.running(service(1))
	for n, restarts := range []int{1, 2, 1} {
		if n == 2 {
			b.pass(2 * time.Minute)
		}
		b.tellAll(mesos.Failed)
		b.want("restarts", b.status("web").Instances[0].Restarts, restarts)
		b.pass(5 * time.Second)
		b.offer("a1 cpus:8;mem:900")
		b.tellAll(mesos.Running)
	}
}

// What gives up of the version before is why it is replaced.
func TestAnUpdateOutlivesWhoGivesUpOfTheVersionBefore(t *testing.T) {
	b := newBench(t)
	old, good := service(3), version("good", 3)
	old.Restart.On, good.Restart.On = "never", "never"
	b.running(old)
	b.put(good)
	first := b.killed()
	b.want("killed at first", len(first), 1)
	b.tell(first[0], "a1", mesos.Killed)
	b.offer("a1 cpus:8;mem:900")
	b.tellAll(mesos.Running)
	b.tell("web.1.2", "a1", mesos.Failed)
	b.want("state", b.status("web").State, "updating")
	for range 4 {
		b.pass(10 * time.Second)
		for _, task := range b.killed() {
			b.tell(task, "a1", mesos.Killed)
		}
		b.offer("a1 cpus:8;mem:900")
		b.tellAll(mesos.Running)
	}
	b.want("state", b.status("web").State, "running")
	b.want("version", b.status("web").Version, 2)
}

// A new subscription is no news of an agent that is away: the update waits for it as before.
func TestAnUpdateThatWaitsForAnAgentOutlivesASubscription(t *testing.T) { // P
	b := newBench(t)
	b.running(service(1))
	b.put(version("other", 1))
	b.tell("web.0.1", "a1", mesos.Unreachable)
	b.pass(3 * time.Minute)
	b.j.Event(b.now, mesos.SubscribedEvent{})
	b.settle()
	b.want("state", b.status("web").State, "updating")
	b.pass(time.Minute)
	b.want("state later", b.status("web").State, "updating")
}
