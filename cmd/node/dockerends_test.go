package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/synod-go/synod/internal/docker/dockertest"
)

// dockerEnds is a cluster of one node, and a job whose task is a container of the machine's engine.
type dockerEnds struct {
	engine    *client.Client
	dir, job  string
	addr      string
	port      int
	log       lockedFile
	agentArgs []string
}

func newDockerEnds(t *testing.T) *dockerEnds {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: runs containers")
	}
	free, err := newFleet(3, 0, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free.end)
	d := &dockerEnds{engine: dockertest.Client(t), dir: t.TempDir(), job: fmt.Sprintf("ends-%d", os.Getpid()),
		addr: free.nodes[0].api(), port: free.nodes[0].ports[0]}
	text := fmt.Sprintf("name: %s\nruntime: docker\nimage: %s\nexec: [sleep, 1h]\ncpus: 0.1\nmemory: 32MiB\nkill_grace: 1s\n", d.job, dockertest.Image(t))
	if err := os.WriteFile(filepath.Join(d.dir, "job.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.remove)
	d.agentArgs = []string{"agent", "--master", d.addr, "--name", "a1", "--work", filepath.Join(d.dir, "work"), "--port", "0", "--resources", "cpus:1;mem:512"}
	return d
}

// start starts a process of ours, whose end is its receiver's.
func (d *dockerEnds) start(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := self(t, context.Background(), args...)
	c.Dir, c.Stdout, c.Stderr = d.dir, &d.log, &d.log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()
		if t.Failed() {
			t.Log(d.log.String())
		}
	})
	return c
}

// until tries until it succeeds, a minute long.
func (d *dockerEnds) until(t *testing.T, what string, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := eventually(ctx, what, try); err != nil {
		t.Fatal(err)
	}
}

// remove removes what is left of the job when all processes have ended.
func (d *dockerEnds) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	list, _ := d.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: d.ours()})
	for _, c := range list.Items {
		_, _ = d.engine.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true})
	}
}

func (d *dockerEnds) ours() client.Filters {
	return client.Filters{}.Add("label", "synod.job="+d.job)
}

// run has the job run, and returns when its container does.
func (d *dockerEnds) run(t *testing.T) {
	t.Helper()
	d.until(t, "a job that runs", func() error {
		out, err := self(t, t.Context(), "run", filepath.Join(d.dir, "job.yaml"), "--addr", d.addr, "--timeout", "30s").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	d.until(t, "one container alone", func() error { // one whose end is told goes a moment later
		if all, run := d.containers(t); all != 1 || run != 1 {
			return fmt.Errorf("%d of %d run", run, all)
		}
		return nil
	})
}

// containers counts those of the job, and which of them run.
func (d *dockerEnds) containers(t *testing.T) (all, run int) {
	t.Helper()
	list, err := d.engine.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: d.ours()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list.Items {
		if c.State != "exited" {
			run++
		}
	}
	return len(list.Items), run
}

// ends has a process end by a signal, or by itself.
func (d *dockerEnds) ends(t *testing.T, c *exec.Cmd, s syscall.Signal) {
	t.Helper()
	if s != 0 {
		if err := c.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	defer time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() }).Stop()
	err := c.Wait()
	if s != syscall.SIGKILL && c.ProcessState.ExitCode() != 0 && c.ProcessState.ExitCode() != 130 {
		t.Errorf("%v ended with %v", c.Args, err)
	}
}

func TestDevEndsItsContainersWithItself(t *testing.T) {
	d := newDockerEnds(t)
	dev := d.start(t, "dev", "--nodes", "1", "--agents", "1", "--no-service", "--port", fmt.Sprint(d.port))
	d.run(t)
	d.ends(t, dev, syscall.SIGINT)
	if all, _ := d.containers(t); all != 0 {
		t.Errorf("%d containers are left", all)
	}
}

// what an agent leaves behind, and what not.
func TestContainersOutliveTheirAgentUnlessItIsToEndThem(t *testing.T) {
	d := newDockerEnds(t)
	d.start(t, "start", "--bootstrap", "--data", filepath.Join(d.dir, "n1"), "--api-port", fmt.Sprint(d.port), "--link-port", fmt.Sprint(d.port+1), "--gossip-port", fmt.Sprint(d.port+2))
	a := d.start(t, append(d.agentArgs, "--end-tasks")...)
	d.run(t)
	d.ends(t, a, syscall.SIGTERM)
	if all, _ := d.containers(t); all != 0 {
		t.Errorf("%d containers are left by --end-tasks", all)
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		a = d.start(t, d.agentArgs...)
		d.run(t)
		d.ends(t, a, s)
		if _, run := d.containers(t); run != 1 {
			t.Errorf("%d containers run after %v of their agent", run, s)
		}
	}
	d.ends(t, d.start(t, append(d.agentArgs, "--recover", "cleanup")...), 0)
	if _, run := d.containers(t); run != 0 {
		t.Errorf("%d containers run on after --recover cleanup", run)
	}
	d.start(t, d.agentArgs...)
	d.run(t)
}
