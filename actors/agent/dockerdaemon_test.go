//go:build linux

package agent

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/docker/dockertest"
	"github.com/synod-go/synod/mesos"
)

// daemonRig is an engineRig with an engine of its own, which has the network "none" alone if it has no flags.
type daemonRig struct {
	*engineRig
	d *dockertest.Daemon
}

func newDaemonRig(t *testing.T, config string, flags ...string) *daemonRig {
	if testing.Short() {
		t.Skip("starts engines, which takes longer than -short allows")
	}
	d := dockertest.NewDaemonOf(t, config, flags...)
	return &daemonRig{&engineRig{T: t, api: d.Client(t), image: d.Image(t), host: d.Host, m: newMaster(t), work: newWork(t)}, d}
}

// launch has a task of this engine run.
func (r *daemonRig) launch(id mesos.TaskID, command ...string) mesos.ContainerID {
	r.Helper()
	info := r.task(id, command...)
	info.Docker.Network = "none"
	x := r.m.launch(info)
	r.m.told(id, mesos.Running)
	return x
}

// pid is the process of a container that runs.
func (r *daemonRig) pid(x mesos.ContainerID) int {
	r.Helper()
	pid := r.inspect(x).State.Pid
	if pid == 0 {
		r.Fatal("it has no process")
	}
	return pid
}

func lives(pid int) bool { return syscall.Kill(pid, 0) == nil }

// works has a container run as before whatever has happened.
func (r *daemonRig) works(id mesos.TaskID) {
	r.Helper()
	r.launch(id, "print", "x")
	r.m.told(id, mesos.Finished)
}

// An engine that is not up yet when the agent starts is one that is away, if there was one before: nothing is said of
// its containers, and its attribute stays.
func TestAnAgentThatStartsBeforeItsEngineTakesItsContainersUpLater(t *testing.T) {
	r := newDaemonRig(t, `{"live-restore": true}`)
	m := r.m
	h := r.start()
	m.registered(1)
	goes := r.launch("goes", "sleep", "1h")
	r.launch("killed", "sleep", "1h")
	pid := r.pid(goes)
	stopAgent(t, h)
	r.d.Signal(t, syscall.SIGTERM)
	c := r.config()
	if c.Docker.Away() == nil || c.Docker.Version() == "" {
		t.Fatalf("the engine is %v, of version %q", c.Docker.Away(), c.Docker.Version())
	}
	c.engineTime = 100 * time.Millisecond
	h = start(t, m, c)
	m.registered(2)
	late := r.task("late", "print", "never")
	late.Docker.Network = "none"
	m.launch(late)
	if s := m.told("late", mesos.Failed); s.Reason != mesos.ReasonContainerLaunchFailed || !strings.Contains(s.Message, "has not answered") {
		t.Errorf("launched before the engine answers: %+v", s)
	}
	m.kill("killed")
	m.told("killed", mesos.Killing)
	m.mustHaveTold("goes", mesos.Running)
	r.d.Start(t)
	m.told("killed", mesos.Killed)
	r.works("new")
	if c.Docker.Away() != nil || !lives(pid) || r.pid(goes) != pid {
		t.Errorf("it is %v, the process %d lives: %v", c.Docker.Away(), pid, lives(pid))
	}
	m.mustHaveTold("goes", mesos.Running)
	m.kill("goes")
	m.told("goes", mesos.Killed)
	r.noneLeft()
	stopAgent(t, h)
}

// An engine that ends its containers has their tasks end with its exit codes, once each.
func TestAnEngineThatEndsWithItsContainersHasTheirTasksFail(t *testing.T) {
	r := newDaemonRig(t, "{}")
	r.start()
	r.m.registered(1)
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		var ids []mesos.TaskID
		for i := range 3 {
			ids = append(ids, mesos.TaskID(fmt.Sprintf("%d-%d", signal, i)))
			r.launch(ids[i], "sleep", "1h")
		}
		r.d.Signal(t, signal)
		r.d.Start(t)
		for _, id := range ids {
			// 2: TERM has come before the program catches it, and the first process of a container is not ended by it.
			if s := r.m.told(id, mesos.Failed); !s.HasExit || !slices.Contains([]int{137, 143, 2}, s.ExitCode) {
				t.Errorf("%v: %+v", signal, s)
			}
		}
		r.works(mesos.TaskID(fmt.Sprintf("%d-next", signal)))
		for _, id := range ids {
			r.m.mustHaveTold(id, mesos.Running, mesos.Failed)
		}
	}
	r.noneLeft()
}

// Containers that survive their engine are never told to have failed, and what ended meanwhile ends as it did.
func TestContainersThatSurviveTheirEngineGoOn(t *testing.T) {
	r := newDaemonRig(t, `{"live-restore": true}`)
	r.start()
	r.m.registered(1)
	goes := r.launch("goes", "sleep", "1h")
	pid := r.pid(goes)
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		id := mesos.TaskID(fmt.Sprintf("ends-%d", signal))
		ends := r.pid(r.launch(id, "sleep", "1h"))
		r.d.Signal(t, signal)
		if err := syscall.Kill(ends, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it has ended without the engine", func() bool { return !lives(ends) })
		r.m.mustHaveTold(id, mesos.Running)
		r.d.Start(t)
		if s := r.m.told(id, mesos.Failed); !s.HasExit || s.ExitCode != 137 {
			t.Errorf("%v: %+v", signal, s)
		}
		r.works(mesos.TaskID(fmt.Sprintf("next-%d", signal)))
		r.m.mustHaveTold("goes", mesos.Running)
		r.m.mustHaveTold(id, mesos.Running, mesos.Failed)
		if !lives(pid) || r.pid(goes) != pid {
			t.Errorf("%v: it is another one, or has ended", signal)
		}
	}
	r.m.kill("goes")
	r.m.told("goes", mesos.Killed)
	r.noneLeft()
}
