//go:build linux

package agent

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dockerapi "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/internal/docker/dockertest"
	"github.com/synod-go/synod/mesos"
)

// engineRig is a work directory whose agents use the machine's engine. Its containers are removed at the test's end.
type engineRig struct {
	*testing.T
	m     *master
	work  string
	image string
	api   *client.Client
	host  string // "" is the default
}

// testCluster is of this process and of the agents that it starts: others may run the same tests beside it.
var testCluster = cmp.Or(os.Getenv(dockerVariable), "agenttest"+strconv.Itoa(os.Getpid()))

func newEngineRig(t *testing.T) *engineRig {
	if testing.Short() {
		t.Skip("runs containers, which takes longer than -short allows")
	}
	r := &engineRig{T: t, api: dockertest.Client(t), image: dockertest.Image(t), m: newMaster(t), work: newWork(t)}
	t.Cleanup(func() {
		if home, err := readDockerHome(r.work); err == nil && home.Owner != "" {
			dockertest.Remove(t, docker.Config{Cluster: testCluster, Owner: home.Owner})
		}
	})
	return r
}

func (r *engineRig) config() Config {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	e, err := OpenDocker(ctx, r.work, docker.Config{Cluster: testCluster, Host: r.host})
	if err != nil {
		r.Fatal(err)
	}
	c := config(r, r.m, r.work)
	c.Docker = e
	return c
}

func (r *engineRig) start() *Handle { return start(r, r.m, r.config()) }

// task runs a command of the image.
func (r *engineRig) task(id mesos.TaskID, command ...string) mesos.TaskInfo {
	info := task(id, "")
	info.Command = mesos.Command{Value: command[0], Arguments: command[1:]}
	info.Docker = &mesos.Docker{Image: r.image}
	return info
}

func (r *engineRig) name(x mesos.ContainerID) string { return testCluster + "-" + x.String() }

func (r *engineRig) inspect(x mesos.ContainerID) dockerapi.InspectResponse {
	r.Helper()
	c, err := r.api.ContainerInspect(r.Context(), r.name(x), client.ContainerInspectOptions{})
	if err != nil {
		r.Fatal(err)
	}
	return c.Container
}

// left are the rig's containers.
func (r *engineRig) left() int {
	r.Helper()
	home, err := readDockerHome(r.work)
	if err != nil {
		r.Fatal(err)
	}
	all, err := r.api.ContainerList(r.Context(), client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", "synod.owner="+home.Owner)})
	if err != nil {
		r.Fatal(err)
	}
	return len(all.Items)
}

func (r *engineRig) noneLeft() {
	r.Helper()
	eventually(r, "no container is left", func() bool { return r.left() == 0 })
}

func (r *engineRig) kill(x mesos.ContainerID) {
	r.Helper()
	if _, err := r.api.ContainerKill(r.Context(), r.name(x), client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
		r.Error(err)
	}
}

func (r *engineRig) log(x mesos.ContainerID, h *Handle) string {
	r.Helper()
	var b bytes.Buffer
	if err := h.Logs(r.Context(), x, LogOptions{Stream: "stdout", Tail: -1}, &b); err != nil {
		r.Error(err)
	}
	return b.String()
}

func TestContainersGetWhatTheirTasksSay(t *testing.T) {
	r := newEngineRig(t)
	h := r.start()
	m := r.m
	m.registered(1)

	three := m.launch(r.task("three", "print", "hello", ",", "exit", "3"))
	hungry := r.task("hungry", "sleep", "2s", ",", "eat", "256") // containerd listens for its limit a moment after its start
	hungry.Resources, _ = mesos.ParseResources("cpus:0.5;mem:32")
	m.launch(hungry)
	alice := r.task("alice", "id")
	alice.Command.User = "alice"
	whoIs := m.launch(alice)
	fixed := r.task("fixed", "write", "/file", "x")
	fixed.Docker.ReadOnly = true
	m.launch(fixed)
	stays := r.task("stays", "sleep", "1h")
	stays.Command.Environment = map[string]string{"COLOUR": "blue"}
	stays.Labels = map[string]string{"synod.job": "web"}
	stays.Docker.Mounts = []mesos.Mount{{Target: "/tmp", Temporary: true}}
	x := m.launch(stays)

	if s := m.told("three", mesos.Failed); s.ExitCode != 3 || content(r.work, three, "run", "stdout") != "hello\n" {
		t.Errorf("three: %+v, %q", s, content(r.work, three, "run", "stdout"))
	}
	if s := m.told("hungry", mesos.Failed); s.Reason != mesos.ReasonContainerLimitationMemory {
		t.Errorf("hungry: %+v", s)
	}
	m.told("alice", mesos.Finished)
	if out := content(r.work, whoIs, "run", "stdout"); !strings.HasPrefix(out, "1000 ") {
		t.Errorf("alice is %q", out)
	}
	m.told("fixed", mesos.Failed)
	m.told("stays", mesos.Running)
	c := r.inspect(x)
	if c.HostConfig.Memory != 64<<20 || c.HostConfig.MemorySwap != 64<<20 || c.HostConfig.NanoCPUs != 100_000_000 || c.HostConfig.AutoRemove || c.HostConfig.Privileged {
		t.Errorf("its limits are %+v", c.HostConfig.Resources)
	}
	if l := c.Config.Labels; l["synod.task"] != "stays" || l["synod.job"] != "web" || l["synod.framework"] != "f" || l["synod.agent"] != "agent-1" {
		t.Errorf("its labels are %v", l)
	}
	if env := strings.Join(c.Config.Env, " "); !strings.Contains(env, "COLOUR=blue") || !strings.Contains(env, "SYNOD_TASK=stays") {
		t.Errorf("its environment is %s", env)
	}
	var out bytes.Buffer
	code, err := h.Exec(t.Context(), x, Exec{Argv: []string{"/task", "cat"}, Stdin: strings.NewReader("through"), Stdout: &out, Stderr: io.Discard})
	if err != nil || code != 0 || out.String() != "through" {
		t.Errorf("a command beside it: %d, %v, %q", code, err, out.String())
	}
	if code, err := h.Exec(t.Context(), x, Exec{Argv: []string{"/task", "exit", "4"}, Stdout: io.Discard, Stderr: io.Discard}); err != nil || code != 4 {
		t.Errorf("a command beside it: %d, %v", code, err)
	}
	if _, err := h.Exec(t.Context(), three, Exec{Argv: []string{"/task"}, Stdout: io.Discard, Stderr: io.Discard}); err == nil {
		t.Error("a command runs beside a container that has ended")
	}
	m.kill("stays")
	if s := m.told("stays", mesos.Killed); s.ExitCode != 143 {
		t.Errorf("stays: %+v", s)
	}
	r.noneLeft()
}

func TestContainersAreReachedAndCheckedInTheirNetworks(t *testing.T) {
	r := newEngineRig(t)
	c := r.config()
	c.Info.Resources, _ = mesos.ParseResources("cpus:64;mem:65536;ports:[1024-65535]")
	start(t, r.m, c)
	m := r.m
	m.registered(1)
	free := func() uint16 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return uint16(l.Addr().(*net.TCPAddr).Port)
	}
	resources := func(port uint16) mesos.Resources {
		x, err := mesos.ParseResources(fmt.Sprintf("cpus:0.1;mem:64;ports:[%d-%d]", port, port))
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	outside, host := free(), free()
	mapped := r.task("mapped", "serve", "8080")
	mapped.Resources = resources(outside)
	mapped.Docker.Ports = []mesos.PortMapping{{Host: outside, Container: 8080}}
	mapped.Health = &mesos.HealthCheck{Kind: mesos.HealthHTTP, Port: outside, Interval: 100 * time.Millisecond, Timeout: 5 * time.Second, Grace: patience}
	shared := r.task("shared", "serve", fmt.Sprint(host))
	shared.Resources = resources(host)
	shared.Docker.Network = "host"
	shared.Health = &mesos.HealthCheck{Kind: mesos.HealthTCP, Port: host, Interval: 100 * time.Millisecond, Timeout: 5 * time.Second, Grace: patience}
	commanded := r.task("commanded", "sleep", "1h")
	commanded.Health = &mesos.HealthCheck{Kind: mesos.HealthCommand, Command: mesos.Command{Value: "/task", Arguments: []string{"exit", "0"}}, Interval: 100 * time.Millisecond, Timeout: 20 * time.Second, Grace: patience}
	ill := r.task("ill", "sleep", "1h")
	ill.Health = &mesos.HealthCheck{Kind: mesos.HealthCommand, Command: mesos.Command{Value: "exit 1", Shell: true}, Interval: 100 * time.Millisecond, Timeout: 20 * time.Second, Failures: 1, Grace: time.Millisecond}
	ill.KillGrace = time.Millisecond
	mapped.KillGrace, shared.KillGrace, commanded.KillGrace = time.Second, time.Second, time.Second
	for _, info := range []mesos.TaskInfo{mapped, shared, commanded, ill} {
		m.launch(info)
	}
	for _, id := range []mesos.TaskID{"mapped", "shared", "commanded"} {
		m.until(string(id)+" is healthy", func() bool {
			for _, s := range m.of(id) {
				if s.Health == mesos.Healthy {
					return true
				}
				if s.State.Terminal() {
					t.Fatalf("%s: %+v", id, s)
				}
			}
			return false
		})
	}
	if s := m.told("ill", mesos.Failed); s.Reason != mesos.ReasonTaskHealthStatusUpdated {
		t.Errorf("ill: %+v", s)
	}
	for _, port := range []uint16{outside, host} {
		response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
		if err != nil {
			t.Error(err)
			continue
		}
		response.Body.Close()
	}
	for _, id := range []mesos.TaskID{"mapped", "shared", "commanded"} {
		m.kill(id)
		m.told(id, mesos.Killed)
	}
	r.noneLeft()
}

// An image that is nowhere comes with the task, and what else was fetched is in its sandbox.
func TestAnImageIsLoadedOfWhatWasFetched(t *testing.T) {
	r := newEngineRig(t)
	name := fmt.Sprintf("agenttest-load:%d", time.Now().UnixNano())
	imported, err := r.api.ImageImport(t.Context(), client.ImageImportSource{Source: bytes.NewReader(dockertest.Root(t)), SourceName: "-"}, name,
		client.ImageImportOptions{Changes: []string{`ENTRYPOINT ["/task"]`}})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, imported)
	imported.Close()
	remove := func() { _, _ = r.api.ImageRemove(context.Background(), name, client.ImageRemoveOptions{}) } // it may be gone
	t.Cleanup(remove)
	saved, err := r.api.ImageSave(t.Context(), []string{name})
	if err != nil {
		t.Fatal(err)
	}
	file, err := io.ReadAll(saved)
	saved.Close()
	if err != nil {
		t.Fatal(err)
	}
	remove()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, ".tar") {
			_, _ = w.Write(file)
			return
		}
		_, _ = io.WriteString(w, "fetched\n")
	}))
	t.Cleanup(server.Close)
	h := r.start()
	r.m.registered(1)
	info := r.task("t", "cat", "note", ",", "ls", dockerSandbox)
	info.Docker.Image, info.Docker.Load = name, "image.tar"
	info.Command.URIs = []mesos.URI{{Value: server.URL + "/image.tar"}, {Value: server.URL + "/note"}}
	x := r.m.launch(info)
	r.m.told("t", mesos.Finished)
	if out := r.log(x, h); !strings.HasPrefix(out, "fetched\n") || strings.Contains(out, "image.tar") {
		t.Errorf("it finds %q", out)
	}
	r.noneLeft()
}

func TestALogOfAContainerIsFollowedToItsEnd(t *testing.T) {
	r := newEngineRig(t)
	h := r.start()
	r.m.registered(1)
	x := r.m.launch(r.task("t", "lines", "1000", "50", ",", "sleep", "1s", ",", "print", "last"))
	r.m.told("t", mesos.Running)
	var b bytes.Buffer
	if err := h.Logs(t.Context(), x, LogOptions{Stream: "stdout", Tail: -1, Follow: true}, &b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n != 1001 || !strings.HasSuffix(b.String(), "\nlast\n") {
		t.Errorf("followed were %d lines", n)
	}
	r.m.told("t", mesos.Finished)
	if got := content(r.work, x, "run", "stdout"); got != b.String() {
		t.Errorf("kept are %d bytes, followed were %d", len(got), b.Len())
	}
}

// What others have is theirs, whatever it is called; a container whose making was not answered is adopted.
func TestOnlyOwnContainersAreTouched(t *testing.T) {
	r := newEngineRig(t)
	other := docker.Config{Cluster: testCluster, Owner: "somebody else"}
	theirs, _ := dockertest.EngineOf(t, other)
	create := func(e *docker.Engine, n uint64) {
		t.Helper()
		spec := docker.Spec{ID: number(n).String(), Docker: mesos.Docker{Image: r.image}, Command: mesos.Command{Value: "print", Arguments: []string{"made"}}}
		if err := e.Create(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	create(theirs, 1) // what the first launch would be called
	c := r.config()
	c.step = func(x mesos.ContainerID, step string) {
		if x == number(2) && step == "docker noted" {
			create(c.Docker, 2) // as if the answer of its own making had been lost
		}
	}
	create(c.Docker, 9) // of a launch of which nobody knows
	start(t, r.m, c)
	r.m.registered(1)
	r.m.launch(r.task("first", "print", "never"))
	x := r.m.launch(r.task("second", "print", "never"))
	if s := r.m.told("first", mesos.Failed); s.Reason != mesos.ReasonContainerLaunchFailed || s.HasExit {
		t.Errorf("first: %+v", s)
	}
	s := r.m.told("second", mesos.Finished)
	if out := content(r.work, x, "run", "stdout"); out != "made\n" {
		t.Errorf("second: %+v, %q", s, out)
	}
	r.noneLeft()
	if s, err := theirs.Inspect(t.Context(), number(1).String()); err != nil || s.Status != "created" {
		t.Errorf("the other's container: %+v, %v", s, err)
	}
}

func TestAContainerThatIsRemovedOrEndsWithoutAnAgent(t *testing.T) {
	r := newEngineRig(t)
	h := r.start()
	m := r.m
	m.registered(1)
	ids := map[mesos.TaskID]mesos.ContainerID{}
	for _, id := range []mesos.TaskID{"removed while it runs", "removed meanwhile", "ended meanwhile", "goes on"} {
		id := mesos.TaskID(strings.ReplaceAll(string(id), " ", "-"))
		ids[id] = m.launch(r.task(id, "print", "begin", ",", "sleep", "1h"))
	}
	for id := range ids {
		m.told(id, mesos.Running)
	}
	remove := func(id mesos.TaskID) {
		if _, err := r.api.ContainerRemove(t.Context(), r.name(ids[id]), client.ContainerRemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	}
	remove("removed-while-it-runs")
	if s := m.told("removed-while-it-runs", mesos.Failed); s.State != mesos.Failed {
		t.Errorf("%+v", s)
	}
	stopAgent(t, h)
	remove("removed-meanwhile")
	r.kill(ids["ended-meanwhile"])
	h = r.start()
	if s := m.told("removed-meanwhile", mesos.Failed); s.HasExit || !strings.Contains(s.Message, "removed") {
		t.Errorf("%+v", s)
	}
	if s := m.told("ended-meanwhile", mesos.Failed); s.ExitCode != 137 {
		t.Errorf("%+v", s)
	}
	if out := r.log(ids["goes-on"], h); out != "begin\n" {
		t.Errorf("its log is %q", out)
	}
	m.kill("goes-on")
	m.told("goes-on", mesos.Killed)
	r.noneLeft()
}

// socketProxy is a way to the engine that can be cut.
type socketProxy struct {
	path string
	mu   sync.Mutex
	cut  bool
	open map[net.Conn]bool
}

func newSocketProxy(t *testing.T) *socketProxy {
	p := &socketProxy{path: filepath.Join(t.TempDir(), "d.sock"), open: map[net.Conn]bool{}}
	l, err := net.Listen("unix", p.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); p.set(true) })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", "/var/run/docker.sock")
			if err != nil || !p.add(near, far) {
				near.Close()
				continue
			}
			for _, d := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					_, _ = io.Copy(d[0], d[1])
					if w, ok := d[0].(*net.UnixConn); ok {
						_ = w.CloseWrite()
					}
				}()
			}
		}
	}()
	return p
}

func (p *socketProxy) add(all ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return false
	}
	for _, c := range all {
		p.open[c] = true
	}
	return true
}

// set cuts all connections and takes no more, or takes them again.
func (p *socketProxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		for c := range p.open {
			c.Close()
		}
		clear(p.open)
	}
}

func TestAnEngineThatIsCutOffLosesNothing(t *testing.T) {
	r := newEngineRig(t)
	proxy := newSocketProxy(t)
	r.host = "unix://" + proxy.path
	c := r.config()
	c.engineTime = time.Second
	h := start(t, r.m, c)
	m := r.m
	m.registered(1)
	ends, dies := m.launch(r.task("ends", "print", "x", ",", "sleep", "1h")), m.launch(r.task("dies", "print", "x", ",", "sleep", "1h"))
	m.told("ends", mesos.Running)
	m.told("dies", mesos.Running)
	proxy.set(true)
	m.launch(r.task("late", "print", "never"))
	if s := m.told("late", mesos.Failed); s.Reason != mesos.ReasonContainerLaunchFailed || !strings.Contains(s.Message, "has not answered") {
		t.Errorf("launched while it is cut off: %+v", s)
	}
	m.kill("ends")
	m.told("ends", mesos.Killing)
	r.kill(dies)
	m.mustHaveTold("dies", mesos.Running)
	proxy.set(false)
	m.told("ends", mesos.Killed)
	if s := m.told("dies", mesos.Failed); s.ExitCode != 137 {
		t.Errorf("dies: %+v", s)
	}
	for _, x := range []mesos.ContainerID{ends, dies} {
		if out := r.log(x, h); out != "x\n" {
			t.Errorf("it was started as %q", out)
		}
	}
	r.noneLeft()
}

// At each step the agent ends with a real engine, and another one goes on.
func TestAnAgentThatEndsAtAnyStepLeavesItsContainerToTheNext(t *testing.T) {
	for _, step := range dockerSteps {
		t.Run(strings.ReplaceAll(step, " ", "-"), func(t *testing.T) { engineEndedAt(t, step) })
	}
}

func engineEndedAt(t *testing.T, step string) {
	r := newEngineRig(t)
	c := r.config()
	var h *Handle
	reached, launched := make(chan struct{}), atomic.Bool{}
	var once sync.Once
	c.step = func(_ mesos.ContainerID, now string) {
		if now == step && launched.Load() {
			once.Do(func() {
				close(reached)
				if strings.HasPrefix(step, "docker ") {
					<-h.docker.ctx.Done()
				}
			})
		}
	}
	h = start(t, r.m, c)
	r.m.registered(1)
	launched.Store(true)
	x := r.m.launch(r.task("t", "print", "begin", ",", "sleep", "500ms", ",", "exit", "7"))
	select {
	case <-reached:
	case <-time.After(patience):
		t.Fatal("the step is never reached")
	}
	stopAgent(t, h)
	r.start()
	r.mustHaveRunOnce("t", x)
	r.noneLeft()
}

// mustHaveRunOnce waits for the end of a task that ends with 7: it has run once, or never did and is told so.
func (r *engineRig) mustHaveRunOnce(id mesos.TaskID, x mesos.ContainerID) (s mesos.TaskStatus) {
	r.Helper()
	ended := 0
	r.m.until("its end is told", func() bool {
		ended = 0
		for _, u := range r.m.of(id) {
			if u.State.Terminal() {
				s, ended = u, ended+1
			}
		}
		return ended > 0
	})
	out := content(r.work, x, "run", "stdout")
	switch {
	case ended != 1:
		r.Errorf("%d ends were told", ended)
	case s.State == mesos.Dropped && out == "":
	case s.State == mesos.Failed && out == "begin\n" && s.ExitCode == 7:
	default:
		r.Errorf("it ended as %+v and has written %q", s, out)
	}
	return s
}
