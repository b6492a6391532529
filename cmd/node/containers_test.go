package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/docker/dockertest"
)

// containers is the cluster of compose.yaml under a name and on ports of its own.
type containers struct {
	project, image, dir, node string
	ports                     [3]string
	env                       []string
}

func newContainers(t *testing.T) *containers {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: builds an image and runs six containers, half a minute")
	}
	dockertest.Client(t)
	if exec.Command("docker-compose", "version").Run() != nil && exec.Command("docker", "compose", "version").Run() != nil {
		t.Skip("needs docker-compose")
	}
	free, err := newFleet(3, 0, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free.end)
	project := fmt.Sprintf("synodtest%d", os.Getpid())
	c := &containers{project: project, image: project + ":test", dir: filepath.Join(t.TempDir(), "cluster"), node: filepath.Join(t.TempDir(), "node")}
	c.env = append(os.Environ(), "DOCKER=yes", "PROJECT="+project, "IMAGE="+c.image, "DIR="+c.dir, "NODE="+c.node, "NO_COLOR=1")
	for i, node := range free.nodes {
		c.ports[i] = fmt.Sprint(node.ports[0])
		c.env = append(c.env, fmt.Sprintf("SYNOD_PORT_%d=%s", i+1, c.ports[i]))
	}
	tls := filepath.Join(c.dir, "tls", "operator")
	c.env = append(c.env, "NODE_TLS_CA="+tls+"/ca.pem", "NODE_TLS_CERT="+tls+"/operator.pem", "NODE_TLS_KEY="+tls+"/operator-key.pem",
		"NODE_ADDR=127.0.0.1:"+strings.Join(c.ports[:], ",127.0.0.1:"))
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", c.node, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { c.remove(t) })
	return c
}

// commandTime is for a command beside the cluster: an engine that hangs keeps one waiting for ever.
const commandTime = 5 * time.Minute

// try runs a command beside the cluster.
func (c *containers) try(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Env, command.WaitDelay = c.env, time.Second
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out)), err
}

func (c *containers) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := c.try(name, args...)
	if err != nil {
		c.explain(t)
		t.Fatal(err)
	}
	return out
}

func (c *containers) cluster(t *testing.T, verb string, env ...string) {
	t.Helper()
	c.must(t, "env", append(env, "../../tools/cluster.sh", verb)...)
}

// container is the name of the container of a service.
func (c *containers) container(t *testing.T, service string) string {
	t.Helper()
	return c.must(t, "docker", "ps", "-aq", "--filter", "label=com.docker.compose.project="+c.project, "--filter", "label=com.docker.compose.service="+service)
}

func (c *containers) explain(t *testing.T) {
	for _, id := range c.left("ps", "-aq") {
		out, err := c.try("sh", "-c", "docker logs --tail 8 "+id+" 2>&1")
		t.Logf("%s\n%s%v", id, out, err)
	}
}

// left are things of the engine that belong to the cluster.
func (c *containers) left(list ...string) []string {
	out, err := c.try("docker", append(list, "--filter", "label=com.docker.compose.project="+c.project)...)
	if err != nil {
		return []string{err.Error()}
	}
	return strings.Fields(out)
}

func (c *containers) remove(t *testing.T) {
	if _, err := c.try("env", "KEEP=no", "../../tools/cluster.sh", "down"); err != nil {
		t.Error(err)
	}
	for _, list := range [][]string{{"ps", "-aq"}, {"volume", "ls", "-q"}, {"network", "ls", "-q"}} {
		if rest := c.left(list...); len(rest) > 0 {
			t.Errorf("docker %s still shows %v", strings.Join(list, " "), rest)
		}
		if rest, err := c.try("docker", append(list, "--filter", "name="+c.project)...); err != nil || rest != "" {
			t.Errorf("of tasks docker %s still shows %v, %v", strings.Join(list, " "), rest, err)
		}
	}
	if _, err := c.try("docker", "image", "rm", c.image); err != nil {
		t.Error(err)
	}
}

// eventually waits until check finds nothing wrong.
func (c *containers) eventually(t *testing.T, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(100 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.explain(t)
			t.Fatalf("still after a minute: %v", err)
		}
	}
}

// serves waits until all three nodes vote, all agents are registered, hello runs three times in
// health, and Docker holds all six for healthy. It returns the ids of the agents by name.
func (c *containers) serves(t *testing.T) map[string]string {
	t.Helper()
	ids := map[string]string{}
	c.eventually(t, func() error {
		if _, err := c.try(c.node, "wait", "--voters", "3"); err != nil {
			return err
		}
		var agents, tasks []struct{ ID, Name, State, Health string }
		for verb, into := range map[string]any{"agents": &agents, "ps": &tasks} {
			out, err := c.try(c.node, verb, "--output", "json")
			if err == nil {
				err = json.Unmarshal([]byte(out), into)
			}
			if err != nil {
				return err
			}
		}
		clear(ids)
		for _, a := range agents {
			if a.State == "registered" {
				ids[a.Name] = a.ID
			}
		}
		running := 0
		for _, task := range tasks {
			if task.State == "running" && task.Health == "healthy" {
				running++
			}
		}
		if healthy := c.left("ps", "-q", "--filter", "health=healthy"); len(agents) != 3 || len(ids) != 3 || running != 3 || len(healthy) != 6 {
			return fmt.Errorf("agents %v, tasks %v, %d healthy containers", agents, tasks, len(healthy))
		}
		return nil
	})
	return ids
}

func (c *containers) leader(t *testing.T) string {
	t.Helper()
	var status struct{ Leader string }
	out, err := c.try(c.node, "status", "--output", "json") // an error too when one of three is down
	if json.Unmarshal([]byte(out), &status) != nil || status.Leader == "" {
		t.Fatalf("no leader: %v", err)
	}
	return status.Leader
}

func (c *containers) mustHold(t *testing.T, key, value string) {
	t.Helper()
	if got := c.must(t, c.node, "kv", "get", key, "--timeout", "20s"); got != value {
		t.Errorf("%s is %q, not %q", key, got, value)
	}
}

// TestContainers brings the cluster of compose.yaml up, kills its leader and an agent, and moves all of it to other addresses.
func TestContainers(t *testing.T) { // not beside others: it measures
	c := newContainers(t)
	c.cluster(t, "image")
	c.checkImage(t)
	began := time.Now()
	c.cluster(t, "up")
	t.Logf("cluster of six serves %.1f s after its image is built (goal 15 s)", time.Since(began).Seconds())

	c.must(t, c.node, "kv", "put", "colour", "blue")
	c.must(t, c.node, "run", "../../examples/jobs/hello.yaml", "--timeout", "60s")
	c.runsBeside(t)
	before := c.serves(t)
	c.killLeader(t)
	c.killAgent(t)
	if after := c.serves(t); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("agents were %v and are %v", before, after)
	}
	c.move(t)
	c.mustHold(t, "colour", "blue")
	c.mustHold(t, "shape", "round")
	if after := c.serves(t); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("agents were %v and are %v at other addresses", before, after)
	}
}

// runsBeside has a task run as a container beside those of the agents, which reaches a node by its name.
func (c *containers) runsBeside(t *testing.T) {
	t.Helper()
	text := fmt.Sprintf("name: beside\nruntime: docker\nimage: %s\nexec: [agent, --help]\nonce: true\nnetwork: %s_agents\nmounts: [\"%s-task:/kept\"]\n",
		c.image, c.project, c.project)
	path := filepath.Join(t.TempDir(), "beside.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.must(t, c.node, "run", path, "--wait", "--within", "60s")
	t.Logf("a task has run as a container %.1f s after the job was handed in", time.Since(began).Seconds())
	if owner := c.must(t, "docker", "volume", "inspect", "-f", `{{index .Labels "synod.cluster"}}`, c.project+"-task"); owner != c.project {
		t.Errorf("the volume of the task is of the cluster %q", owner)
	}
}

func (c *containers) checkImage(t *testing.T) {
	t.Helper()
	var images []struct {
		Size   int64
		Config struct {
			User        string
			Labels      map[string]string
			Healthcheck struct{ Test []string }
		}
	}
	if err := json.Unmarshal([]byte(c.must(t, "docker", "image", "inspect", c.image)), &images); err != nil {
		t.Fatal(err)
	}
	config := images[0].Config
	t.Logf("image of %.1f MB (goal 30 MB)", float64(images[0].Size)/1e6)
	if images[0].Size > 30e6 || config.User == "" || strings.HasPrefix(config.User, "0") || config.Labels["org.opencontainers.image.version"] == "" || len(config.Healthcheck.Test) == 0 {
		t.Errorf("the image is %+v", images[0])
	}
}

// killLeader kills the leader's container. Docker takes that for a stop by hand, and it is started by hand.
func (c *containers) killLeader(t *testing.T) {
	t.Helper()
	leader := c.leader(t)
	id := c.container(t, leader)
	began := time.Now()
	c.must(t, "docker", "kill", id)
	c.mustHold(t, "colour", "blue")
	c.must(t, c.node, "kv", "put", "shape", "round", "--timeout", "20s")
	t.Logf("read and written %.2f s after the kill of %s (goal 5 s)", time.Since(began).Seconds(), leader)
	if next := c.leader(t); next == leader {
		t.Errorf("%s leads, which was killed", next)
	}
	began = time.Now()
	c.must(t, "docker", "start", id)
	port := c.ports[slices.Index([]string{"n1", "n2", "n3"}, leader)]
	c.eventually(t, func() error {
		_, err := c.try(c.node, "status", "--local", "--addr", "127.0.0.1:"+port, "--timeout", "1s")
		return err
	})
	t.Logf("node up %.2f s after docker start (goal 1 s)", time.Since(began).Seconds())
}

// killAgent kills the process of an agent's container, which Docker starts again by itself.
func (c *containers) killAgent(t *testing.T) {
	t.Helper()
	id := c.container(t, "a1")
	state := func() string { return c.must(t, "docker", "inspect", "-f", "{{.State.Pid}}", id) }
	old := state()
	if _, err := c.try("kill", "-9", old); err != nil {
		t.Logf("the engine's processes are not ours to kill: %v", err)
		return
	}
	c.eventually(t, func() error {
		if now := state(); now == old || now == "0" {
			return fmt.Errorf("container a1 is not started again: pid %s", now)
		}
		return nil
	})
}

// move takes the cluster down without its volumes and brings it up on networks with other addresses.
func (c *containers) move(t *testing.T) {
	t.Helper()
	subnets := func() (list []string) {
		for _, network := range c.left("network", "ls", "-q") {
			list = append(list, c.must(t, "docker", "network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", network))
		}
		return list
	}
	old := subnets()
	c.cluster(t, "down")
	for i, subnet := range old {
		name := fmt.Sprintf("%s-taken-%d", c.project, i)
		if _, err := c.try("docker", "network", "create", "--subnet", subnet, name); err == nil {
			defer c.must(t, "docker", "network", "rm", name)
		} else if !strings.Contains(err.Error(), "overlaps") { // another test's network has taken it meanwhile
			t.Fatal(err)
		}
	}
	c.cluster(t, "up")
	for _, subnet := range subnets() {
		if slices.Contains(old, subnet) {
			t.Errorf("the cluster is on the network %s as before: nothing was tried", subnet)
		}
	}
}
