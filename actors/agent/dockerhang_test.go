//go:build linux

package agent

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod/mesos"
)

// Containers whose engine makes none of them keep each other waiting, and no process. One that waits can be killed.
func TestAnEngineThatHangsKeepsNoProcessWaiting(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	release := e.hang("create")
	start(t, m, dockerConfig(t, m, work, e))
	m.registered(1)
	all := map[string]mesos.TaskID{}
	for i := range maxStarts + 2 {
		id := mesos.TaskID(fmt.Sprintf("d%d", i))
		all[m.launch(dockerTask(id)).String()] = id
	}
	eventually(t, "all places are taken", func() bool { return len(e.hanging("create")) == maxStarts })
	m.launch(task("process", "sleep 1000"))
	m.told("process", mesos.Running)
	hanging := e.hanging("create")
	for x, id := range all {
		if !slices.Contains(hanging, x) {
			m.kill(id)
			m.told(id, mesos.Killed)
		}
	}
	release()
	for _, x := range hanging {
		m.told(all[x], mesos.Running)
	}
}

// Nothing was started of what was never made, and that is what is told.
func TestAContainerThatIsNeverMadeIsToldToHaveNotStarted(t *testing.T) {
	m, work, e := newMaster(t), newWork(t), newFakeEngine()
	e.hang("create")
	c := dockerConfig(t, m, work, e)
	c.startTime = 400 * time.Millisecond
	start(t, m, c)
	m.registered(1)
	m.launch(dockerTask("t"))
	if s := m.told("t", mesos.Failed); s.Reason != mesos.ReasonContainerLaunchFailed || !strings.Contains(s.Message, "has not answered") {
		t.Errorf("%+v", s)
	}
}

// A removal that hangs is asked for once.
func TestAContainerIsForgottenOnceAtATime(t *testing.T) {
	d, e, at := newLook(t)
	release := e.hang("remove")
	var all sync.WaitGroup
	all.Go(func() { d.forget(at) })
	eventually(t, "it is being removed", func() bool { return len(e.hanging("remove")) == 1 })
	d.forget(at) // returns
	release()
	all.Wait()
	d.forget(at) // there is nothing more of it
	if n := len(e.hanging("remove")); n != 1 {
		t.Errorf("%d removals hang", n)
	}
}

// A task that is to end ends although its engine does nothing more: nobody may run in its place otherwise. What has become of it is told
// when the engine does.
func TestAContainerIsKilledThoughItsEngineHangs(t *testing.T) {
	r := newDaemonRig(t, `{"live-restore": true}`)
	r.start()
	r.m.registered(1)
	for _, how := range []struct {
		id         mesos.TaskID
		harm, mend func()
	}{
		{"hangs", func() { r.d.Signal(t, syscall.SIGSTOP) }, func() { r.d.Signal(t, syscall.SIGCONT) }},
		{"away", func() { r.d.Signal(t, syscall.SIGKILL) }, func() { r.d.Start(t) }},
	} {
		x := r.launch(how.id, "sleep", "1h")
		pid := r.pid(x)
		how.harm()
		r.m.kill(how.id)
		eventually(t, "its process has ended", func() bool { return !lives(pid) })
		how.mend()
		r.m.told(how.id, mesos.Killed)
		r.m.mustHaveTold(how.id, mesos.Running, mesos.Killing, mesos.Killed)
	}
	r.noneLeft()
}
