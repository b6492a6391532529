package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
)

// schedulerDemo kills and stops the active one of two schedulers.
type schedulerDemo struct {
	*taskDemo
	schedulers []*child
	orders     map[string]*os.File // the standard inputs of the schedulers
	first      keeperEvent         // whoever leads first
	leads      keeperEvent         // whoever leads now
	paused     *child
	pids       map[string]int
}

// schedulerUnits is how many tasks the framework has.
const schedulerUnits = 4

func (a *app) demoSchedulerCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "scheduler-failover", Short: "kill -9 a framework's scheduler while its tasks run, and stop one", Args: cobra.NoArgs,
		Long: "Start a node, an agent, and two schedulers of one framework, of which one is elected and starts tasks. Kill -9 it, and\n" +
			"look how the other takes over. Then stop that one (SIGSTOP), let the first lead again, tell the stopped one to kill a\n" +
			"task, and let it go on (SIGCONT): it is deposed, and its order is refused. It ends by itself with PASS (exit code 0) or\n" +
			"FAIL (1).",
		Example: a.example("demo scheduler-failover", "demo scheduler-failover --output json"),
		RunE: func(c *cobra.Command, _ []string) error {
			d := &schedulerDemo{taskDemo: a.taskDemo(), orders: map[string]*os.File{}}
			d.next = []string{"demo master-failover   kill -9 the leading master: tasks go on", "help dev               a cluster for a scheduler of your own: see examples/framework"}
			defer d.closeOrders()
			return d.play(c.Context(), 1, 1, []demoAct{
				{"start a node, an agent (2 processes)", d.startAll},
				{fmt.Sprintf("start 2 schedulers, run %s", many(schedulerUnits, "task")), d.runTasks},
				{"kill -9 the scheduler that leads", d.killLeading},
				{"start it again: it stands by", d.standBy},
				{"stop the one that leads (SIGSTOP)", d.stopLeading},
				{"have it kill a task, let it go on (SIGCONT)", d.resume},
				{"read the tasks' own ledgers", d.readLedgers},
			})
		},
	}
	c.AddCommand(a.demoKeeperCommand())
	return c
}

// schedulerArgs start a scheduler, all else as ever.
func (d *schedulerDemo) schedulerArgs(c *child) []string {
	if !slices.Contains(d.schedulers, c) {
		return d.fleet.args(c)
	}
	return []string{"demo", "scheduler-failover", "scheduler", c.name, "--addr", strings.Join(d.fleet.addrs(), ","),
		"--ledgers", d.ledgers, "--units", fmt.Sprint(schedulerUnits), "--quiet"}
}

// output is where a child's standard output goes: that of schedulers are events.
func (d *schedulerDemo) output(c *child) io.Writer {
	if !slices.Contains(d.schedulers, c) {
		return &d.logs
	}
	return &keeperLines{scheduler: c.name, hear: d.hear}
}

// input is a scheduler's standard input, by which it gets orders.
func (d *schedulerDemo) input(c *child) *os.File {
	if !slices.Contains(d.schedulers, c) {
		return nil
	}
	in, out, err := os.Pipe()
	if err != nil {
		return nil // it gets no orders, which is seen
	}
	if old := d.orders[c.name]; old != nil {
		old.Close()
	}
	d.orders[c.name] = out
	return in
}

func (d *schedulerDemo) closeOrders() {
	for _, f := range d.orders {
		f.Close()
	}
}

// keeperLines reads what a scheduler writes.
type keeperLines struct {
	scheduler string
	hear      func(keeperEvent)
	mu        sync.Mutex
	rest      string
}

func (k *keeperLines) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rest += string(p)
	for {
		line, rest, found := strings.Cut(k.rest, "\n")
		if !found {
			return len(p), nil
		}
		k.rest = rest
		var e keeperEvent
		if err := json.Unmarshal([]byte(line), &e); err == nil {
			e.Scheduler = k.scheduler
			k.hear(e)
		}
	}
}

func (d *schedulerDemo) runTasks(ctx context.Context) (string, error) {
	d.fleet.command, d.fleet.output, d.fleet.input = d.schedulerArgs, d.output, d.input
	for i := range 2 {
		d.schedulers = append(d.schedulers, &child{name: fmt.Sprintf("s%d", i+1)})
		if err := d.startScheduler(d.schedulers[i]); err != nil {
			return "", err
		}
		if i == 0 { // so that the first of them leads
			var err error
			if d.first, err = d.awaitEvent(ctx, "a scheduler that leads", 0, isWord("leads")); err != nil {
				return "", err
			}
		}
	}
	d.leads = d.first
	if err := d.candidates(ctx, 2); err != nil {
		return "", err
	}
	var err error
	if d.pids, err = d.chores(ctx, keeperNames(schedulerUnits)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s leads, s2 stands by; %d pids", d.leads.Scheduler, len(d.pids)), d.running(ctx, d.pids)
}

// candidates waits until as many schedulers have been elected or wait for it.
func (d *schedulerDemo) candidates(ctx context.Context, n int) error {
	return eventually(ctx, many(n, "candidate"), func() error {
		list, err := d.client.List(ctx, "frameworks/keeper/leader", api.ListOptions{})
		if err == nil && len(list.Entries) != n {
			err = fmt.Errorf("there are %d", len(list.Entries))
		}
		return err
	})
}

// startScheduler starts one; it ends with the fleet.
func (d *schedulerDemo) startScheduler(c *child) error {
	if !slices.Contains(d.fleet.helpers, c) {
		d.fleet.helpers = append(d.fleet.helpers, c)
	}
	return d.fleet.start(c)
}

func (d *schedulerDemo) says(scheduler, word string) func(keeperEvent) bool {
	return func(e keeperEvent) bool { return e.Scheduler == scheduler && e.Word == word }
}

// leading is the process of the scheduler that leads.
func (d *schedulerDemo) leading() *child { return d.fleet.find(d.leads.Scheduler) }

// takeover waits until another scheduler leads the same framework and has heard of all tasks, and looks at them.
func (d *schedulerDemo) takeover(ctx context.Context, mark int, before *child, began time.Time) (string, error) {
	e, err := d.awaitEvent(ctx, "another scheduler that leads", mark, func(e keeperEvent) bool { return e.Word == "leads" && e.Scheduler != before.name })
	if err != nil {
		return "", err
	}
	took := e.At.Sub(began)
	if err := expect(e.Framework == d.first.Framework, "%s leads the framework %s, before it was %s", e.Scheduler, e.Framework, d.first.Framework); err != nil {
		return "", err
	}
	if err := expect(e.Known == len(d.pids), "%s knows of %d tasks", e.Scheduler, e.Known); err != nil {
		return "", err
	}
	d.leads = e
	told := map[string]bool{}
	err = eventually(ctx, "word of all tasks", func() error {
		for _, u := range d.heard(mark, d.says(e.Scheduler, "update")) {
			told[u.Task] = u.State == mesos.Running.String()
		}
		running := slices.DeleteFunc(slices.Collect(maps.Keys(told)), func(task string) bool { return !told[task] })
		return expect(len(running) == len(d.pids), "%s was told of %d of %d", e.Scheduler, len(running), len(d.pids))
	})
	if err != nil {
		return "", err
	}
	_, err = d.sameProcesses(ctx, d.pids, began)
	return fmt.Sprintf("%s leads the same id after %d ms; %d of %d tasks run on with their pids", e.Scheduler, took.Milliseconds(), len(told), len(d.pids)), err
}

func (d *schedulerDemo) killLeading(ctx context.Context) (string, error) {
	dead, mark, began := d.leading(), d.told(), time.Now()
	dead.kill()
	seen, err := d.takeover(ctx, mark, dead, began)
	return dead.name + " killed; " + seen, err
}

func (d *schedulerDemo) standBy(ctx context.Context) (string, error) {
	again := d.fleet.find(d.first.Scheduler)
	if err := d.candidates(ctx, 1); err != nil {
		return "", err
	}
	if err := d.startScheduler(again); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s waits to be elected, %s leads", again.name, d.leads.Scheduler), d.candidates(ctx, 2)
}

func (d *schedulerDemo) stopLeading(ctx context.Context) (string, error) {
	var mark int
	var began time.Time
	d.paused, mark, began = d.leading(), d.told(), time.Now()
	d.paused.signal(syscall.SIGSTOP, false)
	seen, err := d.takeover(ctx, mark, d.paused, began)
	return d.paused.name + " stopped; " + seen, err
}

// resume tells the stopped scheduler to kill a task, which it does at once when it goes on.
func (d *schedulerDemo) resume(ctx context.Context) (string, error) {
	mark := d.told()
	e := d.heard(0, func(e keeperEvent) bool { return e.Task != "" })[0]
	if _, err := fmt.Fprintln(d.orders[d.paused.name], e.Task); err != nil {
		return "", err
	}
	d.paused.signal(syscall.SIGCONT, false)
	order, err := d.awaitEvent(ctx, "the end of the order", mark, d.says(d.paused.name, "order"))
	if err != nil {
		return "", err
	}
	if err := expect(order.State == string(api.CodeSubscription) || order.State == string(api.CodeRequest), "the order of a deposed scheduler: %q, %s", order.State, order.Text); err != nil {
		return "", err
	}
	if err := d.candidates(ctx, 2); err != nil {
		return "", err
	}
	if others := d.heard(mark, isWord("leads")); len(others) > 0 {
		return "", fmt.Errorf("%s has taken over again", others[0].Scheduler)
	}
	_, err = d.sameProcesses(ctx, d.pids, order.At)
	return fmt.Sprintf("refused: %s; the task runs on, %s stands by, %s leads on", reasonPart(order.Text), d.paused.name, d.leads.Scheduler), err
}

// reasonPart is the last part of what was said of a call.
func reasonPart(text string) string { return strings.TrimSpace(text[strings.LastIndex(text, ":")+1:]) }

func (d *schedulerDemo) readLedgers(ctx context.Context) (string, error) {
	silence, err := d.sameProcesses(ctx, d.pids, d.first.At)
	if err != nil {
		return "", err
	}
	list, err := d.client.Frameworks(ctx)
	if err != nil {
		return "", err
	}
	ids := map[string]bool{}
	for _, f := range list {
		if f.Name == "keeper" {
			ids[f.ID] = f.Connected && f.Tasks == len(d.pids)
		}
	}
	return fmt.Sprintf("%d starts of %s, 1 framework; longest silence %d ms", len(d.pids), many(len(d.pids), "task"), silence.Milliseconds()),
		expect(len(ids) == 1 && ids[d.first.Framework], "the frameworks are %+v", list)
}
