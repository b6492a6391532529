package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/mesos"
)

// tasksOptions are the flags of `bench tasks`.
type tasksOptions struct {
	serviceFlags
	parts      []string
	rounds     int
	agents     []int // that launch
	launches   int
	rate       float64
	drills     int
	many       []int // agents that register again
	manyRounds int
	each       int // tasks of each of those
	idle       time.Duration
	real       int // tasks with processes
	offers     int
	dir        string
	json       string
}

// The parts of `bench tasks`.
const (
	launchPart     = "launch"
	masterPart     = "master"
	reregisterPart = "reregister"
	realPart       = "real"
)

// tasksPatience bounds each step of the benchmark.
const tasksPatience = 5 * time.Minute

// runTasks measures the cluster manager: three control nodes in processes of their own,
// simulated agents here, or one real agent with real processes.
func runTasks(ctx context.Context, arguments []string, out io.Writer) error {
	o, err := parseTasks(arguments)
	if err != nil {
		return err
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	dir, remove, err := makeWorkDir(o.dir)
	if err != nil {
		return err
	}
	defer remove()
	r := &tasksReport{Machine: describeMachine(), Begun: time.Now()}
	fmt.Fprintln(out, r.Machine)
	o.runParts(ctx, r, dir)
	if err := writeJSON(o.json, r); err != nil {
		return err
	}
	r.write(out)
	if len(r.Void) > 0 {
		return fmt.Errorf("%d runs are void", len(r.Void))
	}
	return ctx.Err()
}

func (o *tasksOptions) runParts(ctx context.Context, r *tasksReport, dir string) {
	attempt := func(what string, run func(*tasksReport) error) {
		if ctx.Err() != nil {
			return
		}
		if err := run(r); err != nil {
			r.Void = append(r.Void, what+": "+err.Error())
			report(what, err)
		}
	}
	for round := range o.rounds {
		for _, n := range o.agents {
			if o.has(launchPart) {
				attempt(fmt.Sprintf("launch with %d agents, round %d", n, round+1), func(r *tasksReport) error { return o.launchRun(ctx, r, dir, n) })
			}
		}
		if o.has(realPart) {
			attempt(fmt.Sprintf("real agent, round %d", round+1), func(r *tasksReport) error { return o.realRun(ctx, r, dir) })
		}
	}
	if o.has(masterPart) {
		attempt("kill the leading master", func(r *tasksReport) error { return o.masterDrills(ctx, r, dir) })
	}
	for round := range o.manyRounds {
		for _, n := range o.many {
			if o.has(reregisterPart) {
				attempt(fmt.Sprintf("%d agents register again, round %d", n, round+1), func(r *tasksReport) error { return o.reregisterRun(ctx, r, dir, n) })
			}
		}
	}
}

func (o *tasksOptions) has(part string) bool { return slices.Contains(o.parts, part) }

func parseTasks(arguments []string) (o tasksOptions, err error) {
	flags := flag.NewFlagSet("tasks", flag.ContinueOnError)
	o.declare(flags)
	parts := flags.String("parts", "launch,real,master,reregister", "what to measure")
	quick := flags.Bool("quick", false, "small numbers: whether it works, in seconds")
	flags.IntVar(&o.rounds, "rounds", 3, "repeats of launch and real")
	agents := flags.String("agents", "100,1000", "simulated agents that launch")
	flags.IntVar(&o.launches, "launches", 20000, "launches in a round")
	flags.Float64Var(&o.rate, "rate", 2000, "launches a second at which their latency is measured")
	flags.IntVar(&o.drills, "drills", 20, "kills of the leading master")
	many := flags.String("many", "1000,10000", "simulated agents that register again")
	flags.IntVar(&o.manyRounds, "many-rounds", 3, "repeats of reregister")
	flags.IntVar(&o.each, "each", 10, "tasks of each of them")
	flags.DurationVar(&o.idle, "idle", 30*time.Second, "how long to look at idle nodes")
	flags.IntVar(&o.real, "real", 100, "tasks with processes on the real agent")
	flags.IntVar(&o.offers, "offers", 200, "tasks launched one after the other there")
	flags.StringVar(&o.dir, "dir", defaultDir, "where nodes and agent keep their data: the disk under test")
	flags.StringVar(&o.json, "json", "", "file for every value; empty: none")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if *quick {
		o.rounds, o.launches, o.rate, o.drills, o.manyRounds, o.idle, o.real, o.offers = 1, 100, 100, 2, 1, 200*time.Millisecond, 5, 5
		*agents, *many = "10", "20"
	}
	if o.agents, err = parseNumbers("-agents", *agents); err != nil {
		return o, err
	}
	if o.many, err = parseNumbers("-many", *many); err != nil {
		return o, err
	}
	o.parts = strings.Split(*parts, ",")
	for _, p := range o.parts {
		if !slices.Contains([]string{launchPart, masterPart, reregisterPart, realPart}, p) {
			return o, fmt.Errorf("no part %q", p)
		}
	}
	return o, nil
}

// A taskCluster is three control nodes, and a scheduler that is subscribed.
type taskCluster struct {
	*ensemble
	fleet    *fleet // nil: none
	launcher *launcher
	leading  int // the place of the node whose master leads
}

// startTaskCluster starts control nodes and n simulated agents, and returns when all are
// registered.
func (o *tasksOptions) startTaskCluster(ctx context.Context, dir string, n int) (*taskCluster, error) {
	e, err := startEnsemble(ctx, synodService{node: o.Node, engine: o.Engine}, dir)
	if err != nil {
		return nil, err
	}
	c := &taskCluster{ensemble: e}
	if err := c.populate(ctx, n); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *taskCluster) populate(ctx context.Context, n int) error {
	within, cancel := context.WithTimeout(ctx, tasksPatience)
	defer cancel()
	if err := c.subscribe(ctx, within, mesos.FrameworkInfo{Name: "bench", User: "root", FailoverTimeout: time.Hour}); err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	var err error
	if c.fleet, err = startFleet(ctx, c.clients(), n); err != nil {
		return err
	}
	return c.fleet.await(within, c.launcher.stream.term, n)
}

// subscribe begins a scheduler that lives as long as ctx; within ends the tries.
func (c *taskCluster) subscribe(ctx, within context.Context, info mesos.FrameworkInfo) error {
	stream, err := subscribeAnywhere(ctx, within, newSchedulerClient(), c.clients(), info)
	if err != nil {
		return err
	}
	c.launcher = startLauncher(ctx, stream)
	c.leading = -1
	for i := range replicaCount {
		if synodName(i) == stream.master {
			c.leading = i
		}
	}
	if c.leading < 0 {
		return fmt.Errorf("the master that leads is called %q, as no node is", stream.master)
	}
	return nil
}

// finish stops the cluster, and tells what the nodes have said if a run has failed.
func (c *taskCluster) finish(err *error) {
	if *err != nil {
		c.complain()
	}
	c.stop()
}

// complain tells what the nodes have complained about.
func (c *taskCluster) complain() {
	for i, d := range c.servers {
		if d != nil {
			fmt.Fprintf(os.Stderr, "n%d: %s\n", i+1, d.complaints())
		}
	}
}

func (c *taskCluster) stop() {
	if c.launcher != nil {
		c.launcher.stop()
	}
	if c.fleet != nil {
		c.fleet.end()
	}
	c.ensemble.stop()
}

// coresUsed is what was used between two looks at the meters: cores of the node that leads, of
// the two others and of this process.
type coresUsed struct{ leading, standing, own float64 }

// meter begins a measurement, which its result ends.
func (c *taskCluster) meter() (func() (coresUsed, error), error) {
	pids := []int{c.servers[c.leading].pid(), os.Getpid()}
	for i, d := range c.servers {
		if i != c.leading && d.alive() {
			pids = append(pids, d.pid())
		}
	}
	before, err := readMeters(pids)
	begun := time.Now()
	return func() (u coresUsed, err error) {
		elapsed := time.Since(begun).Seconds()
		after, err := readMeters(pids)
		if err != nil {
			return u, err
		}
		for i := range pids {
			cores := (after.cpu[i] - before.cpu[i]).Seconds() / elapsed
			switch i {
			case 0:
				u.leading = cores
			case 1:
				u.own = cores
			default:
				u.standing += cores
			}
		}
		return u, nil
	}, err
}

// milliseconds of a duration.
func inMillis(d time.Duration) float64 { return float64(d) / 1e6 }
