package docker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/internal/docker/dockertest"
	"github.com/synod-go/synod/mesos"
)

func TestAContainerIsMadeOnceAndStartedOnce(t *testing.T) {
	e := dockertest.Engine(t)
	s := spec(t, "exit", "7")
	if _, err := e.Inspect(t.Context(), s.ID); !errors.Is(err, docker.ErrNoContainer) {
		t.Fatalf("before: %v", err)
	}
	wantError(t, "start of none", e.Start(t.Context(), s.ID), docker.ErrNoContainer)
	if err := e.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	wantError(t, "a second create", e.Create(t.Context(), s), docker.ErrExists)
	if state, err := e.Inspect(t.Context(), s.ID); err != nil || state.Status != "created" || state.Runs() || !state.Started.IsZero() {
		t.Fatalf("made: %+v, %v", state, err)
	}
	if err := e.Start(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	state := until(t, e, s.ID, "exited")
	// The engine notes the start when the process is there, and who ends at once has ended before.
	if state.ExitCode != 7 || state.OutOfMemory || state.Started.IsZero() || state.Finished.Before(state.Started.Add(-time.Second)) {
		t.Errorf("ended: %+v", state)
	}
	wantError(t, "a second start", e.Start(t.Context(), s.ID), docker.ErrConflict)
	if again, _ := e.Inspect(t.Context(), s.ID); again.Started != state.Started {
		t.Errorf("it ran again: %+v", again)
	}
	for range 2 {
		if err := e.Remove(t.Context(), s.ID, false); err != nil {
			t.Fatal(err)
		}
	}
	wantError(t, "start of a removed one", e.Start(t.Context(), s.ID), docker.ErrNoContainer)
}

func TestAListHasAllContainersOfOneOwner(t *testing.T) {
	e, config := dockertest.EngineOf(t, docker.Config{})
	other := dockertest.Engine(t)
	running, made, foreign := spec(t, "sleep", "1h"), spec(t), spec(t)
	launch(t, e, running)
	for engine, s := range map[*docker.Engine]docker.Spec{e: made, other: foreign} {
		if err := engine.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	list, err := e.List(t.Context())
	if err != nil || len(list) != 2 || list[running.ID] != "running" || list[made.ID] != "created" {
		t.Errorf("list: %v, %v", list, err)
	}
	for _, c := range []docker.Config{{Cluster: config.Cluster, Owner: "x"}, {Cluster: "x", Owner: config.Owner}} {
		stranger, _ := dockertest.EngineOf(t, c)
		if list, err := stranger.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("%v lists %v, %v", c, list, err)
		}
	}
}

func TestWhatIsNotOursIsNotTouched(t *testing.T) {
	e := dockertest.Engine(t)
	api := dockertest.Client(t)
	s := spec(t)
	_, err := api.ContainerCreate(t.Context(), client.ContainerCreateOptions{Name: e.Name(s.ID), Config: &container.Config{
		Image: s.Docker.Image, Cmd: []string{"sleep", "1h"}, Labels: map[string]string{"synod.cluster": "dockertest"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = api.ContainerRemove(context.Background(), e.Name(s.ID), client.ContainerRemoveOptions{Force: true})
	})
	_, inspect := e.Inspect(t.Context(), s.ID)
	wantError(t, "inspect", inspect, docker.ErrNoContainer)
	wantError(t, "start", e.Start(t.Context(), s.ID), docker.ErrNoContainer)
	wantError(t, "kill", e.Kill(t.Context(), s.ID, "SIGKILL"), docker.ErrNoContainer)
	if err := e.Remove(t.Context(), s.ID, true); err != nil {
		t.Errorf("remove: %v", err)
	}
	err = e.Create(t.Context(), s)
	if refused, ok := errors.AsType[*docker.RefusedError](err); !ok || errors.Is(err, docker.ErrExists) {
		t.Errorf("create: %v", err)
	} else if !strings.Contains(refused.Words, "already in use") {
		t.Errorf("create: %q", refused.Words)
	}
	if r, err := api.ContainerInspect(t.Context(), e.Name(s.ID), client.ContainerInspectOptions{}); err != nil || r.Container.State.Status != "created" {
		t.Errorf("it was touched: %+v, %v", r.Container.State, err)
	}
}

func TestSignalsEndAContainer(t *testing.T) {
	e := dockertest.Engine(t)
	polite := launch(t, e, spec(t, "print", "up", ",", "sleep", "1h"))
	stubborn := launch(t, e, spec(t, "print", "up", ",", "stay", "1h"))
	withSignal := spec(t, "sleep", "1h")
	withSignal.Docker.Image = loaded(t, e, `{"Entrypoint":["/task"],"StopSignal":"SIGINT"}`)
	paused := launch(t, e, withSignal)
	for _, id := range []string{polite, stubborn} {
		heard(t, id, e)
		if err := e.Kill(t.Context(), id, "SIGTERM"); err != nil {
			t.Fatal(err)
		}
	}
	if state := until(t, e, polite, "exited"); state.ExitCode != 143 {
		t.Errorf("TERM: %+v", state)
	}
	wantError(t, "kill of an ended one", e.Kill(t.Context(), polite, "SIGTERM"), docker.ErrNotRunning)
	if err := e.Kill(t.Context(), stubborn, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	if state := until(t, e, stubborn, "exited"); state.ExitCode != 137 || state.OutOfMemory {
		t.Errorf("KILL: %+v", state)
	}
	if _, err := dockertest.Client(t).ContainerPause(t.Context(), e.Name(paused), client.ContainerPauseOptions{}); err != nil {
		t.Fatal(err)
	}
	if state := until(t, e, paused, "paused"); !state.Runs() || state.StopSignal != "SIGINT" {
		t.Errorf("paused: %+v", state)
	}
	wantError(t, "remove of one that runs", e.Remove(t.Context(), paused, false), docker.ErrConflict)
	if err := e.Kill(t.Context(), paused, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	if state := until(t, e, paused, "exited"); state.ExitCode != 137 {
		t.Errorf("KILL of a paused one: %+v", state)
	}
}

// heard waits until the container's program has written something: it can do what it does then.
func heard(t testing.TB, id string, e *docker.Engine) {
	t.Helper()
	r, err := dockertest.Client(t).ContainerLogs(t.Context(), e.Name(id), client.ContainerLogsOptions{ShowStdout: true, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if _, err := io.ReadFull(r, make([]byte, 9)); err != nil {
		t.Fatal(err)
	}
}

func TestALimitOfMemoryEndsAContainer(t *testing.T) {
	e := dockertest.Engine(t)
	s := spec(t, "sleep", "2s", ",", "eat", "64", ",", "sleep", "1h") // containerd listens for its limit a moment after its start
	s.MemoryBytes, s.MilliCPUs = 16<<20, 100
	launch(t, e, s)
	if state := until(t, e, s.ID, "exited"); !state.OutOfMemory || state.ExitCode != 137 {
		t.Errorf("ended: %+v", state)
	}
}

func TestWhatAContainerIsGiven(t *testing.T) {
	data := volume(t) // Before the engine: its containers are removed first.
	e, config := dockertest.EngineOf(t, docker.Config{})
	s := spec(t, "print", "x")
	s.Job, s.Env, s.Sandbox, s.Publish = "hello", []string{"A=b"}, "/mnt/mesos/sandbox", "127.0.0.2"
	s.Command.User, s.MemoryBytes, s.MilliCPUs, s.LogBytes = "1000", 32<<20, 1500, 4096
	s.Docker.ReadOnly = true
	s.Docker.Ports = []mesos.PortMapping{{Host: 31999, Container: 80}, {Host: 31998, Container: 53, Protocol: "udp"}}
	s.Docker.Mounts = []mesos.Mount{
		{Target: "/tmp", Temporary: true}, {Target: "/x", Path: t.TempDir(), ReadOnly: true}, {Target: "/data", Volume: data},
	}
	if err := e.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	r, err := dockertest.Client(t).ContainerInspect(t.Context(), e.Name(s.ID), client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c, h := r.Container.Config, r.Container.HostConfig
	got := fmt.Sprintln(c.Entrypoint, c.Cmd, c.User, c.WorkingDir, c.Env, h.RestartPolicy.Name, h.AutoRemove, h.Privileged, h.CapAdd, h.SecurityOpt,
		h.Memory, h.MemorySwap, h.NanoCPUs, *h.PidsLimit, h.ReadonlyRootfs, h.NetworkMode, h.LogConfig, h.PortBindings, len(r.Container.Mounts))
	want := "[/task] [print x] 1000 /mnt/mesos/sandbox [A=b WHERE=image] no false false [] [no-new-privileges] " +
		"33554432 33554432 1500000000 4096 true bridge {json-file map[max-file:2 max-size:4096]} map[53/udp:[{127.0.0.2 31998}] 80/tcp:[{127.0.0.2 31999}]] 4\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	labels := fmt.Sprint(c.Labels)
	want = "map[synod.agent:a1 synod.cluster:dockertest synod.framework:f1 synod.job:hello synod.owner:" + config.Owner + " synod.task:hello.0]"
	if labels != want {
		t.Errorf("labels %s, want %s", labels, want)
	}
}

// volume is the name of one that is removed at the test's end.
func volume(t testing.TB) string {
	api := dockertest.Client(t)
	name := "dockertest-" + newID()
	t.Cleanup(func() {
		_, _ = api.VolumeRemove(context.Background(), name, client.VolumeRemoveOptions{})
	})
	return name
}

func TestVolumesOfAContainerGoWithItAndOthersStay(t *testing.T) {
	api := dockertest.Client(t)
	name := volume(t)
	e := dockertest.Engine(t)
	s := spec(t)
	s.Sandbox, s.Docker.Mounts = "/sandbox", []mesos.Mount{{Target: "/data", Volume: name}}
	s.Command = mesos.Command{Shell: true, Value: "write /data/x y , write z zz"}
	launch(t, e, s)
	if state := until(t, e, s.ID, "exited"); state.ExitCode != 0 {
		t.Fatalf("ended: %+v", state)
	}
	r, err := api.ContainerInspect(t.Context(), e.Name(s.ID), client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Remove(t.Context(), s.ID, false); err != nil {
		t.Fatal(err)
	}
	if len(r.Container.Mounts) != 2 {
		t.Fatalf("mounts: %+v", r.Container.Mounts)
	}
	for _, m := range r.Container.Mounts {
		v, err := api.VolumeInspect(t.Context(), m.Name, client.VolumeInspectOptions{})
		if stays := err == nil; stays != (m.Name == name) {
			t.Errorf("the volume %s of %s: %v", m.Name, m.Destination, err)
		}
		if err == nil && v.Volume.Labels["synod.cluster"] == "" {
			t.Errorf("nothing says whose the volume is: %v", v.Volume.Labels)
		}
	}
}

func TestAPortOfTheMachineLeadsIntoAContainer(t *testing.T) {
	e := dockertest.Engine(t)
	s := spec(t, "serve", "80")
	host := freePort(t)
	s.Docker.Ports = []mesos.PortMapping{{Host: host, Container: 80}}
	launch(t, e, s)
	state := until(t, e, s.ID, "running")
	for _, address := range []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(int(host))), net.JoinHostPort(state.Addresses["bridge"], "80")} {
		if err := answers(t, "http://"+address); err != nil {
			t.Errorf("%s does not answer: %v", address, err)
		}
	}
	taken := spec(t)
	taken.Docker.Ports = s.Docker.Ports
	if err := e.Create(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	err := e.Start(t.Context(), taken.ID)
	if _, ok := errors.AsType[*docker.RefusedError](err); !ok || !strings.Contains(err.Error(), "port is already allocated") {
		t.Errorf("start at a port that is taken: %v", err)
	}
}

// answers waits until a server answers that was just started.
func answers(t testing.TB, url string) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		request.Close = true
		r, err := http.DefaultClient.Do(request)
		if err == nil {
			return r.Body.Close()
		}
		if ctx.Err() != nil {
			return err
		}
	}
}

func freePort(t testing.TB) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func TestARefusalIsInTheEnginesWords(t *testing.T) {
	e := dockertest.Engine(t)
	for words, change := range map[string]func(*docker.Spec){
		"does not exist":           func(s *docker.Spec) { s.Docker.Mounts = []mesos.Mount{{Target: "/x", Path: "/nowhere/at/all"}} },
		"Minimum memory limit":     func(s *docker.Spec) { s.MemoryBytes = 1 },
		"No such image: nothing:1": func(s *docker.Spec) { s.Docker.Image = "nothing:1" },
	} {
		s := spec(t)
		change(&s)
		err := e.Create(t.Context(), s)
		if refused, ok := errors.AsType[*docker.RefusedError](err); !ok || !strings.Contains(refused.Words, words) || strings.Contains(err.Error(), "Error response") {
			t.Errorf("create: %v, want %q", err, words)
		}
		if errors.Is(err, docker.ErrNoImage) != strings.Contains(words, "image") {
			t.Errorf("create: %v", err)
		}
	}
	for words, change := range map[string]func(*docker.Spec){
		"network nowhere not found": func(s *docker.Spec) { s.Docker.Network = "nowhere" },
		"no such file or directory": func(s *docker.Spec) {
			s.Docker.Image, s.Command = empty(t), mesos.Command{Value: "/none"}
		},
		"unable to find user bob": func(s *docker.Spec) { s.Command.User = "bob" },
	} {
		s := spec(t)
		change(&s)
		if err := e.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		err := e.Start(t.Context(), s.ID)
		if _, ok := errors.AsType[*docker.RefusedError](err); !ok || !strings.Contains(err.Error(), words) {
			t.Errorf("start: %v, want %q", err, words)
		}
		if state, err := e.Inspect(t.Context(), s.ID); err != nil || state.Runs() || state.Status != "created" {
			t.Errorf("after a refused start: %+v, %v", state, err)
		}
	}
}
