package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/synod-go/synod/actors/agent"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
)

// Of the tasks with processes.
const (
	realTask      = "cpus:0.5;mem:16" // a limit of less makes the start itself slow
	realWindow    = 64
	realPerOffer  = 16
	realResources = "cpus:100;mem:16384;disk:10240"
)

// realRun has one agent run real processes: single launches while nothing else happens, many
// at a time, and a kill of the agent.
func (o *tasksOptions) realRun(ctx context.Context, r *tasksReport, dir string) (err error) {
	c, err := o.startTaskCluster(ctx, dir, 0)
	if err != nil {
		return err
	}
	defer c.finish(&err)
	within, cancel := context.WithTimeout(ctx, tasksPatience)
	defer cancel()
	a, err := o.startAgent(within, c)
	if err != nil {
		return err
	}
	defer a.end()
	return firstError(
		func() error { return o.singleLaunches(within, r, c) },
		func() error { return o.manyLaunches(within, r, c, a) },
		func() error { return o.killAgent(within, r, c, a) },
		func() error { return c.launcher.killAll(within) },
	)
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (o *tasksOptions) singleLaunches(ctx context.Context, r *tasksReport, c *taskCluster) error {
	result, _, err := c.launcher.launch(ctx, launchOrder{prefix: "single", command: "exit 0", resources: realTask, tasks: o.offers, window: 1, perOffer: 1, ends: true})
	if err != nil {
		return err
	}
	p50, p99 := inMillis(result.Latency.quantile(0.5)), inMillis(result.Latency.quantile(0.99))
	r.add("ms offer to RUNNING, idle, real process, p50", "%.1f", atMost(20), p50)
	r.add("ms offer to RUNNING, idle, real process, p99", "%.1f", nil, p99)
	fmt.Fprintf(os.Stderr, "real: %d offers, p50 %.1f ms, p99 %.1f ms\n", o.offers, p50, p99)
	return nil
}

func (o *tasksOptions) manyLaunches(ctx context.Context, r *tasksReport, c *taskCluster, a *realAgent) error {
	_, elapsed, err := c.launcher.launch(ctx, launchOrder{prefix: "stay", command: "exec sleep 100000", resources: realTask, tasks: o.real,
		window: realWindow, perOffer: realPerOffer})
	if err != nil {
		return err
	}
	perSecond := float64(o.real) / elapsed.Seconds()
	r.add("launches/s of real processes on one agent", "%.0f", atLeast(100), perSecond)
	var sizes []float64
	for _, pid := range a.shims() {
		sizes = append(sizes, float64(proportionalMemory(pid))/1e6)
	}
	if len(sizes) != o.real {
		return fmt.Errorf("%d shims of %d tasks", len(sizes), o.real)
	}
	r.add("MB (PSS) of a shim", "%.2f", atMost(1.5), median(sizes))
	fmt.Fprintf(os.Stderr, "real: %.0f launches/s, %.2f MB a shim\n", perSecond, median(sizes))
	return nil
}

// killAgent kills the agent and starts it again, which takes up its tasks.
func (o *tasksOptions) killAgent(ctx context.Context, r *tasksReport, c *taskCluster, a *realAgent) error {
	c.launcher.rest()
	begun := time.Now()
	a.daemon.kill()
	if err := a.start(); err != nil {
		return err
	}
	if err := a.await(ctx, o.real); err != nil {
		return err
	}
	again := inMillis(time.Since(begun))
	r.add(fmt.Sprintf("ms from kill -9 of the agent until it is registered with all %d tasks", o.real), "%.0f", atMost(1000), again)
	fmt.Fprintf(os.Stderr, "real: agent back after %.0f ms\n", again)
	return c.launcher.reconcile(ctx, o.real)
}

// A realAgent is a process of `node agent`.
type realAgent struct {
	argv    []string
	work    string
	address string
	daemon  *daemon
}

// startAgent returns when the agent is registered.
func (o *tasksOptions) startAgent(ctx context.Context, c *taskCluster) (*realAgent, error) {
	free, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	a := &realAgent{work: filepath.Join(c.dir, "agent"), address: free[0]}
	if a.argv, err = agentCommand(o.Node, a.work, a.address, c.clients()); err != nil {
		return nil, err
	}
	if err := a.start(); err != nil {
		return nil, err
	}
	if err := a.await(ctx, 0); err != nil {
		a.end()
		return nil, fmt.Errorf("%w: %s", err, a.daemon.complaints())
	}
	return a, nil
}

func (a *realAgent) start() (err error) {
	a.daemon, err = startDaemon(a.work+".log", a.argv)
	return err
}

// agentPoll is between two looks at the agent: much less than what is measured.
const agentPoll = 5 * time.Millisecond

// await returns when the agent is registered and says that so many tasks run.
func (a *realAgent) await(ctx context.Context, tasks int) error {
	for {
		status, err := a.status(ctx)
		running := 0
		for _, t := range status.Tasks {
			if t.State == mesos.Running.String() {
				running++
			}
		}
		if err == nil && status.Registered && !status.Recovering && running == tasks {
			return nil
		}
		if !a.daemon.alive() {
			return fmt.Errorf("the agent has ended: %s", a.daemon.complaints())
		}
		select {
		case <-time.After(agentPoll):
		case <-ctx.Done():
			return fmt.Errorf("the agent has %d of %d tasks, registered %v (%v): %w", running, tasks, status.Registered, err, ctx.Err())
		}
	}
}

// agentStatus is what the benchmark looks at of GET /v1/agent.
type agentStatus struct {
	Registered bool       `json:"registered"`
	Recovering bool       `json:"recovering"`
	Tasks      []api.Task `json:"tasks"`
}

func (a *realAgent) status(ctx context.Context) (s agentStatus, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.address+"/v1/agent", nil)
	if err != nil {
		return s, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return s, refusal(response)
	}
	return s, json.NewDecoder(response.Body).Decode(&s)
}

// end ends the agent, and what is left of its tasks.
func (a *realAgent) end() {
	a.daemon.end()
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := agent.EndTasks(ctx, a.work, 0); err != nil {
		report("end tasks", err)
	}
}

// shims are the processes that keep the agent's tasks.
func (a *realAgent) shims() (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		cwd, _ := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		if bytes.HasPrefix(line, []byte("synod-shim\x00")) && strings.HasPrefix(cwd, a.work+"/") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// proportionalMemory is what a process has in memory, what it shares with others in
// equal parts, in bytes.
func proportionalMemory(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "Pss:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// agentCommand is how to start an agent.
func agentCommand(node, work, address string, nodes []string) ([]string, error) {
	_, port, err := net.SplitHostPort(address)
	return []string{node, "agent", "--name", "bench", "--work", work, "--port", port, "--master", strings.Join(nodes, ","),
		"--resources", realResources, "--log-level", "warn"}, err
}
