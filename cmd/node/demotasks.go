package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/framework"
	"github.com/synod-go/synod/mesos"
)

// taskDemo is what the demos with tasks have in common: nodes, agents, chores with ledgers, and what a scheduler told.
type taskDemo struct {
	*demo
	ledgers string
	program string
	keeper  *keeper
	stop    func() // ends the scheduler in this process

	mu     sync.Mutex
	events []keeperEvent
}

func (a *app) taskDemo() *taskDemo {
	return &taskDemo{demo: &demo{app: a}, stop: func() {}}
}

// play starts nothing yet: it makes the place for it, does the acts, and ends all that they have left.
func (d *taskDemo) play(ctx context.Context, nodes, agents int, acts []demoAct) error {
	if runtime.GOOS != "linux" && agents > 0 {
		return &api.Error{Code: api.CodeUsage, Message: "this demo needs Linux", Why: "tasks run nowhere else"}
	}
	dir, remove, err := d.dataDir("")
	if err != nil {
		return err
	}
	defer remove()
	d.ledgers = filepath.Join(dir, "ledgers")
	if err := os.Mkdir(d.ledgers, 0o700); err != nil {
		return tempError(err)
	}
	if d.program, err = os.Executable(); err != nil {
		return err
	}
	if d.fleet, err = newFleet(nodes, 0, dir, func(*child) io.Writer { return &d.logs }); err != nil {
		return err
	}
	defer d.fleet.end()
	if err := d.fleet.addAgents(agents); err != nil {
		return err
	}
	if d.client, err = api.NewClient(api.ClientConfig{Addrs: d.fleet.addrs(), Timeout: 10 * time.Second}); err != nil {
		return err
	}
	defer d.client.Close()
	defer func() { d.stop() }()
	return d.perform(ctx, acts, func() {})
}

// errNever says that waiting does not help.
var errNever = errors.New("that does not change any more")

// eventually tries until it succeeds, or never will, or ctx ends.
func eventually(ctx context.Context, what string, try func() error) error {
	for {
		err := try()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errNever):
			return fmt.Errorf("%s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not come to be: %s", what, demoReason(err))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// startAll starts the nodes, and then the agents.
func (d *taskDemo) startAll(ctx context.Context) (string, error) {
	for _, c := range d.fleet.nodes {
		if err := d.fleet.start(c); err != nil {
			return "", err
		}
	}
	up, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	status, err := d.fleet.await(up, d.client, allVote(len(d.fleet.nodes)))
	if err != nil {
		return "", fmt.Errorf("the cluster did not come up: %s", upReason(status, err))
	}
	for _, c := range d.fleet.agents {
		if err := d.fleet.start(c); err != nil {
			return "", err
		}
	}
	if err := d.fleet.awaitAgents(up, d.client); err != nil {
		return "", err
	}
	if len(d.fleet.agents) == 0 {
		return leads(status), nil
	}
	return leads(status) + ", " + many(len(d.fleet.agents), "agent") + " registered", nil
}

// keep runs a scheduler in this process, until the end of the demo.
func (d *taskDemo) keep(ctx context.Context, units ...keeperUnit) {
	d.keeper = &keeper{client: d.client, program: d.program, ledgers: d.ledgers, units: units, say: d.hear,
		each: (len(units) + len(d.fleet.agents) - 1) / len(d.fleet.agents)}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := framework.Run(running, framework.Config{Client: d.client, Info: mesos.FrameworkInfo{Name: "keeper"}, ReconcileEvery: keeperAsks}, d.keeper)
		if running.Err() == nil {
			d.hear(keeperEvent{At: time.Now(), Word: "ended", Text: demoReason(err)})
		}
	}()
	d.stop = func() { cancel(); <-ended }
}

func (d *taskDemo) hear(e keeperEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e)
}

// told is how many events there are.
func (d *taskDemo) told() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.events)
}

// heard are the events from a mark on that are good.
func (d *taskDemo) heard(mark int, good func(keeperEvent) bool) (list []keeperEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events[mark:] {
		if good(e) {
			list = append(list, e)
		}
	}
	return list
}

// awaitEvent waits for an event from a mark on and returns the first.
func (d *taskDemo) awaitEvent(ctx context.Context, what string, mark int, good func(keeperEvent) bool) (e keeperEvent, err error) {
	err = eventually(ctx, what, func() error {
		list := d.heard(mark, good)
		if len(list) == 0 {
			return errors.New("nobody has told of it")
		}
		e = list[0]
		return nil
	})
	return e, err
}

// isWord is an event of that word, with a framework that is subscribed for example.
func isWord(word string) func(keeperEvent) bool {
	return func(e keeperEvent) bool { return e.Word == word }
}

// chores waits until each unit's ledger has got lines, and returns the processes.
func (d *taskDemo) chores(ctx context.Context, units []string) (pids map[string]int, err error) {
	pids = map[string]int{}
	err = eventually(ctx, many(len(units), "task"), func() error {
		for _, unit := range units {
			l, err := readLedger(d.ledgers, unit)
			if err != nil {
				return err
			}
			starts := l.starts()
			if l.lines() == 0 {
				return fmt.Errorf("%s has written nothing", unit)
			}
			pids[unit] = starts[len(starts)-1]
		}
		return nil
	})
	return pids, err
}

// jobChores runs a job of chores.
func (d *taskDemo) jobChores(ctx context.Context, name string, count int) ([]string, error) {
	file := fmt.Appendf(nil, "name: %s\ncount: %d\nexec: [%s, demo, chore, --ledgers, %s]\ncpus: 0.1\nmemory: 64MiB\nkill_grace: 1s\n"+
		"constraints: [\"spread hostname\"]\non_unreachable: keep\n", name, count, quote(d.program), quote(d.ledgers))
	_, err := d.client.PutJobs(ctx, file, 0)
	return jobUnits(name, count), err
}

// jobUnits are the ledgers of a job's instances.
func jobUnits(name string, count int) (units []string) {
	for i := range count {
		units = append(units, fmt.Sprintf("%s.%d", name, i))
	}
	return units
}

// sameProcesses looks that each unit has had one process only and that this one works on, and returns for how
// long at most one of them wrote nothing since then.
func (d *taskDemo) sameProcesses(ctx context.Context, pids map[string]int, since time.Time) (silence time.Duration, err error) {
	for unit, pid := range pids {
		before, err := readLedger(d.ledgers, unit)
		if err != nil {
			return 0, err
		}
		if starts := before.starts(); !slices.Equal(starts, []int{pid}) {
			return 0, fmt.Errorf("%s was started as %v, and not only as %d", unit, starts, pid)
		}
		err = eventually(ctx, unit, func() error {
			l, err := readLedger(d.ledgers, unit)
			if err == nil && l.lines() == before.lines() {
				err = fmt.Errorf("it has written nothing since line %d", l.lines())
			}
			silence = max(silence, l.silence(since))
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return silence, nil
}

// running waits until the cluster says RUNNING of the tasks of these processes, and knows of no others that have not ended.
func (d *taskDemo) running(ctx context.Context, pids map[string]int) error {
	n := len(pids)
	return eventually(ctx, many(n, "task")+" that run", func() error {
		for unit, pid := range pids {
			if !alive(pid) {
				return fmt.Errorf("pid %d of %s has ended: %w", pid, unit, errNever)
			}
		}
		tasks, err := d.client.Tasks(ctx, api.TaskFilter{})
		running := 0
		for _, t := range tasks {
			if t.State == mesos.Running.String() {
				running++
			}
		}
		if err == nil && (running != n || len(tasks) != n) {
			err = fmt.Errorf("%d of %d tasks run", running, len(tasks))
		}
		return err
	})
}

// agentIDs are the ids of the agents by their names, all of which are registered.
func (d *taskDemo) agentIDs(ctx context.Context) (map[string]string, error) {
	ids := map[string]string{}
	err := eventually(ctx, many(len(d.fleet.agents), "registered agent"), func() error {
		list, err := d.client.Agents(ctx)
		if err != nil {
			return err
		}
		if len(list) != len(d.fleet.agents) {
			return fmt.Errorf("%d agents are known", len(list))
		}
		for _, a := range list {
			if ids[a.Name] = a.ID; a.State != "registered" {
				return fmt.Errorf("%s is %s", a.Name, a.State)
			}
		}
		return nil
	})
	return ids, err
}

// noticed waits until the master knows that an agent does not answer.
func (d *taskDemo) noticed(ctx context.Context, name string) error {
	return eventually(ctx, "a master that notices the death of "+name, func() error {
		list, err := d.client.Agents(ctx)
		for _, a := range list {
			if err == nil && a.Name == name && a.State == "registered" {
				err = errors.New("it takes it for registered")
			}
		}
		return err
	})
}

// msSince is how long ago something was, in milliseconds, for people.
func msSince(t time.Time) string { return fmt.Sprintf("%d ms", time.Since(t).Milliseconds()) }
