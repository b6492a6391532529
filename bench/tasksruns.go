package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/synod-go/synod/mesos"
)

// Shapes of the launches: so many under way, and of each offer so many.
const (
	launchWindow   = 512
	launchPerOffer = 16
	pacedPerOffer  = 4
	smallTask      = "cpus:0.01;mem:8"
)

// launchRun launches as fast as it goes, and then as fast as it shall go to see the latency.
func (o *tasksOptions) launchRun(ctx context.Context, r *tasksReport, dir string, agents int) (err error) {
	c, err := o.startTaskCluster(ctx, dir, agents)
	if err != nil {
		return err
	}
	defer c.finish(&err)
	ctx, cancel := context.WithTimeout(ctx, tasksPatience)
	defer cancel()
	order := launchOrder{prefix: "warm", command: "simulated", resources: smallTask, tasks: max(1, o.launches/10), window: launchWindow, perOffer: launchPerOffer}
	if _, _, err := c.launcher.launch(ctx, order); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	used, err := c.meter()
	if err != nil {
		return err
	}
	order.prefix, order.tasks = "fast", o.launches
	result, elapsed, err := c.launcher.launch(ctx, order)
	if err != nil {
		return err
	}
	u, err := used()
	if err != nil {
		return err
	}
	with := fmt.Sprintf(", %d agents", agents)
	perSecond := float64(o.launches) / elapsed.Seconds()
	r.add("launches/s"+with, "%.0f", atLeast(2000), perSecond)
	r.add("cores of the leading node"+with, "%.2f", nil, u.leading)
	r.add("cores of the two others"+with, "%.2f", nil, u.standing)
	r.add("cores of agents and scheduler"+with, "%.2f", nil, u.own)
	r.add("tasks dropped"+with, "%.0f", nil, float64(result.Lost))
	fmt.Fprintf(os.Stderr, "%d agents: %.0f launches/s, %d lost, accept to RUNNING p50 %v p99 %v, %+v\n",
		agents, perSecond, result.Lost, result.Latency.quantile(0.5), result.Latency.quantile(0.99), u)

	order.prefix, order.tasks, order.perOffer, order.perSecond = "paced", o.launches/2, pacedPerOffer, o.rate
	result, elapsed, err = c.launcher.launch(ctx, order)
	if err != nil {
		return err
	}
	at := fmt.Sprintf(" at %.0f/s%s", o.rate, with)
	r.add("ms accept to RUNNING, p50,"+at, "%.1f", nil, inMillis(result.Latency.quantile(0.5)))
	r.add("ms accept to RUNNING, p99,"+at, "%.1f", nil, inMillis(result.Latency.quantile(0.99)))
	fmt.Fprintf(os.Stderr, "%d agents: paced %.0f/s, p50 %v p99 %v\n", agents, float64(o.launches/2)/elapsed.Seconds(), result.Latency.quantile(0.5), result.Latency.quantile(0.99))
	r.add("MiB of the leading node"+with, "%.0f", nil, float64(peakMemory(c.servers[c.leading].pid()))/(1<<20))
	return nil
}

// drillAgents are those of the drills, so that something can be launched after a kill.
const drillAgents = 10

// masterDrills kills the leading master again and again.
func (o *tasksOptions) masterDrills(ctx context.Context, r *tasksReport, dir string) (err error) {
	c, err := o.startTaskCluster(ctx, dir, drillAgents)
	if err != nil {
		return err
	}
	defer c.finish(&err)
	for i := range o.drills {
		if err := c.drill(ctx, r, i); err != nil {
			return fmt.Errorf("drill %d: %w", i+1, err)
		}
	}
	return nil
}

// drill kills the leading master, takes the scheduler to the next one, and starts the node
// again.
func (c *taskCluster) drill(ctx context.Context, r *tasksReport, i int) error {
	within, cancel := context.WithTimeout(ctx, tasksPatience)
	defer cancel()
	killed := c.leading
	begun := time.Now()
	if err := c.killLeading(ctx, within); err != nil {
		return err
	}
	if err := c.launcher.stream.call(within, mesos.ReconcileCall{}); err != nil {
		return err
	}
	answered := inMillis(time.Since(begun))
	order := launchOrder{prefix: fmt.Sprintf("drill%d", i), command: "simulated", resources: smallTask, tasks: 1, window: 1, perOffer: 1}
	if _, _, err := c.launcher.launch(within, order); err != nil {
		return err
	}
	launched := inMillis(time.Since(begun))
	fmt.Fprintf(os.Stderr, "drill %d: killed n%d, first call %.0f ms, task %.0f ms\n", i+1, killed+1, answered, launched)
	r.add("ms from kill -9 of the leading master to the first call answered", "%.0f", always(atMost(2000)), answered)
	r.add("ms from that kill until a task runs that was launched after it", "%.0f", nil, launched)
	return c.restart(within, killed)
}

// killLeading kills the node whose master leads, and subscribes the scheduler again.
func (c *taskCluster) killLeading(ctx, within context.Context) error {
	info := mesos.FrameworkInfo{ID: c.launcher.stream.framework, Name: "bench", User: "root", FailoverTimeout: time.Hour}
	c.servers[c.leading].kill()
	go c.launcher.stop() // its calls have nobody to answer them
	return c.subscribe(ctx, within, info)
}

// reconcile has the scheduler told of all tasks; if its stream ends it takes another one.
func (c *taskCluster) reconcile(ctx, within context.Context, tasks int) error {
	for {
		err := c.launcher.reconcile(within, tasks)
		if err == nil || within.Err() != nil {
			return err
		}
		report(fmt.Sprintf("%d of %d tasks are told", c.launcher.aliveNow(), tasks), err)
		c.complain()
		info := mesos.FrameworkInfo{ID: c.launcher.stream.framework, Name: "bench", User: "root", FailoverTimeout: time.Hour}
		go c.launcher.stop()
		if err := c.subscribe(ctx, within, info); err != nil {
			return err
		}
	}
}

// restart starts a killed node and returns when all agents are registered and the three are whole.
func (c *taskCluster) restart(ctx context.Context, i int) error {
	if err := c.startServer(i); err != nil {
		return err
	}
	if _, err := c.whole(ctx); err != nil {
		return err
	}
	if c.fleet == nil {
		return nil
	}
	return c.fleet.await(ctx, c.launcher.stream.term, len(c.fleet.agents))
}

// reregisterRun has many agents with tasks, kills the leading master and waits for them.
func (o *tasksOptions) reregisterRun(ctx context.Context, r *tasksReport, dir string, agents int) (err error) {
	begun := time.Now()
	c, err := o.startTaskCluster(ctx, dir, agents)
	if err != nil {
		return err
	}
	defer c.finish(&err)
	within, cancel := context.WithTimeout(ctx, tasksPatience)
	defer cancel()
	with := fmt.Sprintf(", %d agents with %d tasks", agents, o.each)
	fmt.Fprintf(os.Stderr, "%d agents registered after %.1f s\n", agents, time.Since(begun).Seconds())
	tasks := agents * o.each
	order := launchOrder{prefix: "many", command: "simulated", resources: smallTask, tasks: tasks, window: launchWindow, perOffer: o.each,
		perAgent: o.each}
	if _, elapsed, err := c.launcher.launch(within, order); err != nil {
		return err
	} else {
		fmt.Fprintf(os.Stderr, "%d tasks launched in %.1f s\n", tasks, elapsed.Seconds())
	}
	c.launcher.rest()
	if err := o.lookAtIdle(ctx, r, c, with); err != nil {
		return err
	}
	return o.loseMaster(ctx, r, c, tasks, with)
}

func (o *tasksOptions) lookAtIdle(ctx context.Context, r *tasksReport, c *taskCluster, with string) error {
	select {
	case <-time.After(o.idle / 4): // what the launches have stirred up
	case <-ctx.Done():
		return ctx.Err()
	}
	used, err := c.meter()
	if err != nil {
		return err
	}
	select {
	case <-time.After(o.idle):
	case <-ctx.Done():
		return ctx.Err()
	}
	u, err := used()
	if err != nil {
		return err
	}
	r.add("cores of the leading node, idle"+with, "%.3f", nil, u.leading)
	r.add("cores of the two others, idle"+with, "%.3f", nil, u.standing)
	fmt.Fprintf(os.Stderr, "idle%s: %+v\n", with, u)
	return nil
}

// Goals for the time after which all agents are registered again.
func reregisterGoal(agents int) *goal {
	switch {
	case agents <= 1000:
		return atMost(5000)
	case agents <= 10_000:
		return atMost(30_000)
	}
	return nil
}

func (o *tasksOptions) loseMaster(ctx context.Context, r *tasksReport, c *taskCluster, tasks int, with string) error {
	within, cancel := context.WithTimeout(ctx, tasksPatience)
	defer cancel()
	all, next := len(c.fleet.agents), c.launcher.stream.term+1
	begun := time.Now()
	subscribed := make(chan error, 1)
	var first time.Duration // until the scheduler has its stream again
	go func() {
		err := c.killLeading(ctx, within)
		first = time.Since(begun)
		subscribed <- err
	}()
	if err := c.fleet.await(within, next, (all+1)/2); err != nil {
		return err
	}
	half := time.Since(begun)
	if err := c.fleet.await(within, next, all); err != nil {
		return err
	}
	whole := time.Since(begun)
	if err := <-subscribed; err != nil {
		return err
	}
	leading := c.servers[c.leading].pid()
	peak := float64(peakMemory(leading)) / (1 << 20)
	if err := c.reconcile(ctx, within, tasks); err != nil {
		return err
	}
	told := inMillis(time.Since(begun))
	r.add("ms from kill -9 of the leading master until all are registered"+with, "%.0f", reregisterGoal(all), inMillis(whole))
	r.add("ms until the scheduler is subscribed again"+with, "%.0f", nil, inMillis(first))
	r.add("ms until half of them are"+with, "%.0f", nil, inMillis(half))
	r.add("ms until the scheduler was told of all tasks"+with, "%.0f", nil, told)
	r.add("MiB of the new master's node"+with, "%.0f", always(atMost(600*1e6/(1<<20))), peak)
	r.add("MiB of it after the reconciliation"+with, "%.0f", nil, float64(peakMemory(leading))/(1<<20))
	fmt.Fprintf(os.Stderr, "registered again%s: subscribed %.0f ms, half %.0f ms, all %.0f ms, reconciled %.0f ms, %.0f MiB\n", with, inMillis(first), inMillis(half), inMillis(whole), told, peak)
	return nil
}
