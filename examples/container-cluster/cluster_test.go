package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/internal/docker/dockertest"
	"github.com/synod-go/synod/recipes"
)

// lab is a cluster of containers and the lab on it, under names and at ports of their own.
type lab struct {
	t              *testing.T
	project, image string
	dir, node      string
	port           string // of the notebook
	env            []string
	client         *api.Client

	mu      sync.Mutex
	members []member // in the order of the election, as the cluster has it now

	ends      *ends       // of containers
	measured  [][3]string // what, bound, measured
	disturbed int         // how often a step was repeated, since members changed by themselves
}

// member is one by address and by the token of its place in the election.
type member struct {
	addr  string
	token uint64
}

func newLab(t *testing.T) *lab {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: builds images and runs a dozen containers, some minutes")
	}
	dockertest.Client(t)
	if exec.Command("docker-compose", "version").Run() != nil && exec.Command("docker", "compose", "version").Run() != nil {
		t.Skip("needs docker-compose")
	}
	l := &lab{t: t, project: fmt.Sprintf("labtest%d", os.Getpid())}
	l.dir, l.node, l.image = filepath.Join(t.TempDir(), "cluster"), filepath.Join(t.TempDir(), "node"), l.project+"-lab:scratch"
	ports := freePorts(t, 4)
	l.port = ports[3]
	tls := filepath.Join(l.dir, "tls", "operator")
	l.env = append(os.Environ(), "PROJECT="+l.project, "DIR="+l.dir, "NODE="+l.node, "NO_COLOR=1", "DOCKER=yes", "PORT="+l.port,
		"SYNOD_AGENT=cpus:4;mem:2048;ports(lab):["+l.port+"-"+l.port+"]",
		"SYNOD_PORT_1="+ports[0], "SYNOD_PORT_2="+ports[1], "SYNOD_PORT_3="+ports[2],
		"NODE_TLS_CA="+tls+"/ca.pem", "NODE_TLS_CERT="+tls+"/operator.pem", "NODE_TLS_KEY="+tls+"/operator-key.pem",
		"NODE_ADDR=127.0.0.1:"+strings.Join(ports[:3], ",127.0.0.1:"))
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", l.node, "../../cmd/node")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(l.remove)
	return l
}

// freePorts are some on which nobody listens. They are below those that the kernel hands out: it is a while until they are used.
func freePorts(t *testing.T, n int) (ports []string) {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20_000 + rand.IntN(12_000))
		listener, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		defer listener.Close()
		if ports = append(ports, port); len(ports) == n {
			return ports
		}
	}
	t.Fatal("no ports are free")
	return nil
}

// up brings the cluster up and the lab on it, as the README has it, and looks on from then on. build makes the lab's image.
func (l *lab) up(build ...string) {
	l.sh("IMAGE="+l.project+":test", "../../tools/cluster.sh", "image")
	image := exec.CommandContext(l.t.Context(), build[0], build[1:]...) // however long packages take to come
	image.Env, image.WaitDelay = append(l.env, "IMAGE="+l.image), time.Minute
	image.Cancel = func() error { return image.Process.Signal(os.Interrupt) }
	if out, err := image.CombinedOutput(); err != nil {
		l.t.Fatalf("%v: %v\n%s", build, err, out)
	}
	began := time.Now()
	l.sh("IMAGE="+l.project+":test", "../../tools/cluster.sh", "up")
	l.note("cluster of six serves", "15 s", since(began))
	began = time.Now()
	l.sh("IMAGE="+l.image, "./lab.sh", "up")
	l.connect()
	l.ends = l.watchEnds()
	l.await(time.Minute, "five members", func() error { return want(len(l.group()), 5) })
	l.note("job file to five members", "", since(began))
}

// sh runs a command with one more variable.
func (l *lab) sh(env string, args ...string) {
	l.t.Helper()
	l.must("env", append([]string{env}, args...)...)
}

// connect follows the election from outside.
func (l *lab) connect() {
	l.t.Helper()
	tls := filepath.Join(l.dir, "tls", "operator")
	files, err := cluster.LoadTLS(cluster.TLSFiles{Authorities: tls + "/ca.pem", Certificate: tls + "/operator.pem", Key: tls + "/operator-key.pem"})
	if err != nil {
		l.t.Fatal(err)
	}
	addrs := strings.Split(strings.TrimPrefix(l.env[len(l.env)-1], "NODE_ADDR="), ",")
	l.client, err = api.NewClient(api.ClientConfig{Addrs: addrs, TLS: files.ClientConfig(cluster.RoleNode)})
	if err != nil {
		l.t.Fatal(err)
	}
	go func() {
		for ctx := l.t.Context(); ctx.Err() == nil; {
			_ = recipes.Members(ctx, l.client, "lab/members", l.see) // goes on until the test ends
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
}

func (l *lab) see(members []recipes.Member) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.members = nil
	for _, m := range members {
		host, _, _ := net.SplitHostPort(string(m.Value))
		l.members = append(l.members, member{host, m.Token})
	}
	return nil
}

// places are the members, the leader first.
func (l *lab) places() []member {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.members)
}

// group are the addresses of the members, the leader first.
func (l *lab) group() []string { return addrs(l.places()) }

func addrs(members []member) (list []string) {
	for _, m := range members {
		list = append(list, m.addr)
	}
	return list
}

// steadily does something while the members stay as they are but for those that it changes: it returns errDisturbed
// if other things happen, as they do on a machine that stands still for seconds, and is repeated then.
func (l *lab) steadily(n *reader, do func(before []member) error) {
	l.t.Helper()
	for range 5 {
		l.settle(n)
		before := l.places()
		err := error(errDisturbed)
		if len(before) == 5 {
			err = do(before)
		}
		if err == nil {
			return
		}
		if !errors.Is(err, errDisturbed) && l.unchanged(before) {
			l.explain()
			l.t.Fatal(err)
		}
		l.disturbed++
		l.t.Logf("members have changed meanwhile, again: %v", err)
	}
	l.explain()
	l.t.Fatal("members change all the time")
}

var errDisturbed = errors.New("other members have lost their places too")

// unchanged reports whether all of some members have kept their places.
func (l *lab) unchanged(members []member) bool {
	now := l.places()
	return !slices.ContainsFunc(members, func(m member) bool { return !slices.Contains(now, m) })
}

// try runs a command beside the cluster.
func (l *lab) try(name string, args ...string) (string, error) { return l.tryWith("", name, args...) }

func (l *lab) tryWith(in, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Env, command.Stdin, command.WaitDelay = l.env, strings.NewReader(in), time.Second
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out)), err
}

func (l *lab) must(name string, args ...string) string {
	l.t.Helper()
	out, err := l.try(name, args...)
	if err != nil {
		l.explain()
		l.t.Fatal(err)
	}
	return out
}

// in runs a command in the instance i of the lab. It may run more than once: who leads the cluster can change.
func (l *lab) in(i int, stdin string, args ...string) (out string, err error) {
	return l.insist(stdin, l.node, append([]string{"exec", fmt.Sprintf("lab.%d", i), "--timeout", "20s", "--"}, args...)...)
}

// insist runs a command again when the cluster has said that it could not do it.
func (l *lab) insist(stdin, name string, args ...string) (out string, err error) {
	for range 5 {
		out, err = l.tryWith(stdin, name, args...)
		if err == nil || !strings.Contains(err.Error(), "error E-") {
			break
		}
	}
	return out, err
}

// toClean is how long before go test would end it the test gives up, so that it leaves nothing behind.
const toClean = 90 * time.Second

// await waits until check finds nothing wrong or returns errDisturbed, and returns how long that took.
func (l *lab) await(bound time.Duration, what string, check func() error) time.Duration {
	l.t.Helper()
	for began := time.Now(); ; <-time.After(10 * time.Millisecond) {
		err := check()
		if err == nil || errors.Is(err, errDisturbed) {
			return time.Since(began)
		}
		end, ends := l.t.Deadline()
		if late := ends && time.Until(end) < toClean; late || time.Since(began) > bound {
			l.explain()
			l.t.Fatalf("%s: still after %.0f s: %v (too late to go on: %v; there is more time with -timeout 30m)", what, time.Since(began).Seconds(), err, late)
		}
	}
}

func want(got, want int) error {
	if got != want {
		return fmt.Errorf("there are %d, not %d", got, want)
	}
	return nil
}

func since(t time.Time) string { return fmt.Sprintf("%.2f s", time.Since(t).Seconds()) }

// note keeps a figure for the table at the end.
func (l *lab) note(what, bound, measured string) {
	l.t.Logf("%s: %s", what, measured)
	l.measured = append(l.measured, [3]string{what, bound, measured})
}

// busy is by how much a machine that does much else may miss a bound before the test fails.
const busy = 4

// judge keeps a figure, and fails if it is beyond what even a busy machine may need.
func (l *lab) judge(what string, bound, took time.Duration) {
	l.t.Helper()
	l.note(what, fmt.Sprint(bound), fmt.Sprintf("%.2f s", took.Seconds()))
	if took > busy*bound {
		l.t.Errorf("%s: %v, wanted %v", what, took, bound)
	}
}

func (l *lab) table() {
	l.note("steps repeated, since other members lost their places", "", fmt.Sprint(l.disturbed))
	l.t.Logf("%-64s %8s %10s", "WHAT", "BOUND", "MEASURED")
	for _, row := range l.measured {
		l.t.Logf("%-64s %8s %10s", row[0], row[1], row[2])
	}
}

func (l *lab) explain() {
	for _, list := range [][]string{{"ps"}, {"agents"}, {"kv", "ls", "lab", "--recursive"}} {
		out, err := l.try(l.node, list...)
		l.t.Logf("node %s\n%s%v", strings.Join(list, " "), out, err)
	}
	for _, id := range append(l.left("ps", "-aq", "com.docker.compose.project"), l.left("ps", "-aq", "synod.cluster")...) {
		out, err := l.try("sh", "-c", "docker logs --tail 8 "+id+" 2>&1")
		l.t.Logf("%s\n%s%v", id, out, err)
	}
}

// left are things of the engine that have our project in a label.
func (l *lab) left(verb, flags, label string) []string {
	out, err := l.try("docker", append(strings.Fields(verb), flags, "--filter", "label="+label+"="+l.project)...)
	if err != nil {
		return []string{err.Error()}
	}
	return strings.Fields(out)
}

// remove ends all, and looks that nothing is left of it.
func (l *lab) remove() {
	if _, err := os.Stat(filepath.Join(l.dir, "env")); err == nil {
		if out, err := l.try("env", "./lab.sh", "down"); err != nil { // what is left of it goes with the cluster
			l.t.Log(out, err)
		}
	}
	if _, err := l.try("env", "KEEP=no", "../../tools/cluster.sh", "down"); err != nil {
		l.t.Error(err)
	}
	for _, label := range []string{"com.docker.compose.project", "synod.cluster"} {
		for _, verb := range []string{"ps", "volume ls", "network ls"} {
			flags := map[bool]string{true: "-aq", false: "-q"}[verb == "ps"]
			if rest := l.left(verb, flags, label); len(rest) > 0 {
				l.t.Errorf("docker %s still shows %v", verb, rest)
			}
		}
	}
	if rest, err := l.try("docker", "volume", "ls", "-q", "--filter", "name="+l.project); rest != "" || err != nil {
		l.t.Errorf("volumes are left: %s, %v", rest, err)
	}
	if _, err := l.try("docker", "image", "rm", l.project+":test", l.image); err != nil {
		l.t.Error(err)
	}
}
