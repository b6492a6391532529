//go:build linux

package agent

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/synod-go/synod/mesos"
)

// The agent's process is killed at each step of a container's life, in the middle of what it does, and started again.
func TestAnAgentKilledAtAnyStepLosesAndDoublesNoContainer(t *testing.T) {
	newEngineRig(t) // or skips
	t.Setenv(dockerVariable, testCluster)
	dropped, ran := 0, 0
	for _, step := range []string{"saved", "prepared", "docker noted", "docker created", "docker started", "docker launched", "started", "docker kept", "ended"} {
		t.Run(strings.ReplaceAll(step, " ", "-"), func(t *testing.T) {
			r := newEngineRig(t)
			address := r.m.serve(t)
			at := "1"
			if step == "saved" {
				at = "3" // the second is that of the agent's id
			}
			_, over := process(t, r.work, address, strings.ReplaceAll(step, " ", "-"), at)
			r.m.until("registered", func() bool { return len(r.m.registers) > 0 && r.m.id != "" })
			id, x := r.launchUntilDead(over)
			process(t, r.work, address)
			if r.mustHaveRunOnce(id, x).State == mesos.Dropped {
				dropped++
			} else {
				ran++
			}
			r.noneLeft()
		})
	}
	t.Logf("%d times it ran, %d times it was dropped", ran, dropped)
	if dropped == 0 || ran == 0 {
		t.Errorf("%d times it ran, %d times it was dropped: want some of each", ran, dropped)
	}
}

// launchUntilDead launches a task of which the agent dies, and another one if it was not taken: one that comes between two
// Registers is not.
func (r *engineRig) launchUntilDead(over chan struct{}) (mesos.TaskID, mesos.ContainerID) {
	r.Helper()
	limit := time.After(patience)
	for n := 0; ; n++ {
		id := mesos.TaskID("t" + string(rune('a'+n)))
		x := r.m.launch(r.task(id, "print", "begin", ",", "sleep", "500ms", ",", "exit", "7"))
		for taken := true; taken; {
			select {
			case <-over:
				return id, x
			case <-limit:
				r.Fatal("the step is never reached")
			case <-time.After(5 * time.Millisecond):
			}
			r.m.mu.Lock()
			for _, s := range r.m.of(id) {
				taken = taken && s.State != mesos.Dropped
			}
			r.m.mu.Unlock()
		}
	}
}

// many is how many containers an agent has at once in the next test.
const many = 200

// They end within a moment, by which Docker 20.10 can be brought to a stand: the engine is the test's own, and others' work on.
func TestTwoHundredContainersLeaveNothingBehind(t *testing.T) {
	r := newDaemonRig(t, "{}", "--bip", "10.213.0.1/16")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "note\n") }))
	defer server.Close()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	c := r.config()
	c.Agent.MaxTasks = 2 * many
	h := start(t, r.m, c)
	r.m.registered(1)

	ids := map[mesos.TaskID]mesos.ContainerID{}
	began := time.Now()
	for i := range many {
		info := r.task(mesos.TaskID("t"+string(rune('a'+i/26))+string(rune('a'+i%26))), "sleep", "1h")
		info.Resources, _ = mesos.ParseResources("cpus:0.1;mem:16")
		if i%4 != 0 {
			info.Docker.Network = "none"
		}
		if i%10 == 0 { // it has a volume of its own
			info.Command.URIs = []mesos.URI{{Value: server.URL + "/note"}}
		}
		ids[info.ID] = r.m.launch(info)
	}
	r.allTold(ids, mesos.Running)
	running := time.Since(began)
	volumes := r.volumes(ids)
	if len(volumes) != many/10 {
		t.Errorf("there are %d volumes, want %d", len(volumes), many/10)
	}
	began = time.Now()
	for id := range ids {
		r.m.kill(id)
	}
	r.allTold(ids, mesos.Killed)
	killed := time.Since(began)
	limit := time.Now().Add(5 * time.Minute)
	for r.left() > 0 && time.Now().Before(limit) {
		pause(t.Context(), 100*time.Millisecond)
	}
	t.Logf("%d containers ran after %v, were killed after %v and removed after %v", many, running, killed, time.Since(began))
	if n := r.left(); n != 0 {
		t.Errorf("%d containers are left", n)
	}
	for _, v := range volumes {
		if _, err := r.api.VolumeInspect(t.Context(), v, client.VolumeInspectOptions{}); !errdefs.IsNotFound(err) {
			t.Errorf("the volume %s is left: %v", v, err)
		}
	}
	stopAgent(t, h)
	h.background.Wait()
	server.Close()
	http.DefaultClient.CloseIdleConnections()
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "no file is left open", func() bool { return openFiles(t) <= files })
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// allTold waits until all tasks are in a state, for as long as that goes on.
func (r *daemonRig) allTold(ids map[mesos.TaskID]mesos.ContainerID, state mesos.TaskState) {
	r.Helper()
	count := func() (n int) {
		r.m.mu.Lock()
		defer r.m.mu.Unlock()
		for _, s := range r.m.updates {
			if _, ours := ids[s.Task.Task]; ours && s.State == state {
				n++
			} else if s.State.Terminal() && s.State != mesos.Killed {
				r.Fatalf("%+v", s)
			}
		}
		return n
	}
	for last, since := 0, time.Now(); ; {
		n := count()
		if n == len(ids) {
			return
		}
		if n > last {
			last, since = n, time.Now()
		}
		if time.Since(since) > 2*time.Minute {
			r.d.MustAnswer(r)
			r.Fatalf("%d of %d are %v", n, len(ids), state)
		}
		pause(r.Context(), 20*time.Millisecond)
	}
}

// volumes are those of containers.
func (r *engineRig) volumes(ids map[mesos.TaskID]mesos.ContainerID) (names []string) {
	r.Helper()
	for _, x := range ids {
		for _, m := range r.inspect(x).Mounts {
			if m.Type == "volume" {
				names = append(names, m.Name)
			}
		}
	}
	return names
}
