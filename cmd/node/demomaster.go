package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
)

// masterDemo kills the leading master while tasks run.
type masterDemo struct {
	*taskDemo
	first  keeperEvent       // the last subscription before the death
	second keeperEvent       // and the first after it
	pids   map[string]int    // the tasks' processes
	agents map[string]string // their ids
	kinds  map[string]string // the ids of frameworks by their names
	dead   *child
	diedAt time.Time
	before int // how many events there were
}

// The tasks of the demo: those of a job, and those of a framework of our own.
const (
	masterDemoJob   = "web"
	masterDemoCount = 4
	masterDemoUnits = 2
)

func (a *app) demoMasterCommand() *cobra.Command {
	return &cobra.Command{
		Use: "master-failover", Short: "kill -9 the leading master while tasks run", Args: cobra.NoArgs,
		Long: "Start three nodes, each with a master, and two agents. Run a job and the tasks of a framework, kill -9 the leading\n" +
			"master, and look how a standby leads, who registers with it again, and what the tasks themselves wrote meanwhile. It\n" +
			"ends by itself with PASS (exit code 0) or FAIL (1).",
		Example: a.example("demo master-failover", "demo master-failover --output json"),
		RunE: func(c *cobra.Command, _ []string) error {
			d := &masterDemo{taskDemo: a.taskDemo()}
			d.next = []string{"demo agent-recovery   kill -9 the agent: its tasks go on", "dev                   keeps a cluster running to try things on"}
			return d.play(c.Context(), 3, 2, []demoAct{
				{"start 3 nodes, 2 agents (5 processes)", d.startAll},
				{fmt.Sprintf("run a job x%d, and a framework with %s", masterDemoCount, many(masterDemoUnits, "task")), d.runTasks},
				{"kill -9 the leading master", d.killMaster},
				{"agents and frameworks register again", d.register},
				{"read the tasks' own ledgers", d.readLedgers},
				{"scale the job, end a task of the framework", d.goOn},
				{"start the killed master again", d.bringBack},
			})
		},
	}
}

func (d *masterDemo) runTasks(ctx context.Context) (string, error) {
	units, err := d.jobChores(ctx, masterDemoJob, masterDemoCount)
	if err != nil {
		return "", err
	}
	var own []keeperUnit
	for i := range masterDemoUnits {
		own = append(own, keeperUnit{name: fmt.Sprintf("own.%d", i)})
		units = append(units, own[i].name)
	}
	d.keep(ctx, own...)
	if d.pids, err = d.chores(ctx, units); err != nil {
		return "", err
	}
	if err := d.running(ctx, d.pids); err != nil {
		return "", err
	}
	if d.first, err = d.awaitEvent(ctx, "a subscription", 0, isWord("leads")); err != nil {
		return "", err
	}
	if d.agents, err = d.agentIDs(ctx); err != nil {
		return "", err
	}
	if d.kinds, err = d.frameworkIDs(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d pids on %s; %s leads the masters", len(d.pids), many(len(d.agents), "agent"), d.first.Master), nil
}

// frameworkIDs are the ids of the frameworks, all of which are connected.
func (d *masterDemo) frameworkIDs(ctx context.Context) (map[string]string, error) {
	ids := map[string]string{}
	err := eventually(ctx, "connected frameworks", func() error {
		list, err := d.client.Frameworks(ctx)
		if err != nil {
			return err
		}
		if len(list) != 2 {
			return fmt.Errorf("%d frameworks are known", len(list))
		}
		for _, f := range list {
			if ids[f.Name] = f.ID; !f.Connected {
				return fmt.Errorf("%s is not connected", f.Name)
			}
		}
		return nil
	})
	return ids, err
}

func (d *masterDemo) killMaster(ctx context.Context) (string, error) {
	d.first = d.lastSubscription(0) // another may have come to lead since
	if d.dead = d.fleet.find(d.first.Master); d.dead == nil {
		return "", fmt.Errorf("the leading master %q is not one of ours", d.first.Master)
	}
	d.before, d.diedAt = d.told(), time.Now()
	d.dead.kill()
	if _, err := d.client.Frameworks(ctx); err != nil { // the client goes on until a master answers
		return "", err
	}
	took := msSince(d.diedAt)
	var err error
	d.second, err = d.awaitEvent(ctx, "another subscription", d.before, isWord("leads"))
	if err == nil && d.second.Master == d.dead.name {
		err = errors.New("the dead master leads")
	}
	return fmt.Sprintf("%s killed; a master answers after %s: %s leads", d.dead.name, took, d.second.Master), err
}

func (d *masterDemo) register(ctx context.Context) (string, error) {
	agents, err := d.agentIDs(ctx)
	if err != nil {
		return "", err
	}
	agentsTook := msSince(d.diedAt)
	kinds, err := d.frameworkIDs(ctx)
	if err != nil {
		return "", err
	}
	if !maps.Equal(agents, d.agents) || !maps.Equal(kinds, d.kinds) {
		return "", fmt.Errorf("they have other ids: %v and %v, before that %v and %v", agents, kinds, d.agents, d.kinds)
	}
	if d.second.Framework != d.first.Framework {
		return "", fmt.Errorf("the framework is %s now, before that %s", d.second.Framework, d.first.Framework)
	}
	for unit := range masterDemoUnits {
		task := d.keeper.taskOf(fmt.Sprintf("own.%d", unit))
		if _, err := d.awaitEvent(ctx, "word of "+task, d.before, func(e keeperEvent) bool { return e.Task == task && e.State == mesos.Running.String() }); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s after %s, %s after %d ms, all with their ids", many(len(agents), "agent"), agentsTook,
		many(len(kinds), "framework"), d.second.At.Sub(d.diedAt).Milliseconds()), nil
}

func (d *masterDemo) readLedgers(ctx context.Context) (string, error) {
	if err := d.running(ctx, d.pids); err != nil {
		return "", err
	}
	silence, err := d.sameProcesses(ctx, d.pids, d.diedAt)
	return fmt.Sprintf("%d of %d go on with their pids, none started twice; longest silence %d ms", len(d.pids), len(d.pids), silence.Milliseconds()), err
}

func (d *masterDemo) goOn(ctx context.Context) (string, error) {
	began := time.Now()
	if _, err := d.client.ScaleJob(ctx, masterDemoJob, masterDemoCount+2); err != nil {
		return "", err
	}
	if _, err := d.chores(ctx, jobUnits(masterDemoJob, masterDemoCount+2)); err != nil {
		return "", err
	}
	scaled, mark := msSince(began), d.told()
	task := d.keeper.taskOf("own.0")
	if _, err := d.client.KillTask(ctx, d.second.Framework, task, 0); err != nil {
		return "", err
	}
	e, err := d.awaitEvent(ctx, "the end of "+task, mark, func(e keeperEvent) bool { return e.Task == task && e.ID != "" && e.Exit != "" })
	if err != nil {
		return "", err
	}
	l, err := readLedger(d.ledgers, "own.0")
	if last, ended := l.ended(); err == nil && (!ended || last.word != "term") {
		err = fmt.Errorf("its ledger ends with %q", last.word)
	}
	return fmt.Sprintf("2 more run after %s; own.0 is %s, and its scheduler knows", scaled, e.State), err
}

func (d *masterDemo) bringBack(ctx context.Context) (string, error) {
	if err := d.fleet.start(d.dead); err != nil {
		return "", err
	}
	start := time.Now()
	if _, err := d.fleet.await(ctx, d.client, func(s api.Status) bool { return caughtUp(s, d.dead.name) }); err != nil {
		return "", fmt.Errorf("%s did not catch up", d.dead.name)
	}
	took := msSince(start)
	client, err := api.NewClient(api.ClientConfig{Addrs: []string{d.dead.api()}, Timeout: 10 * time.Second})
	if err != nil {
		return "", err
	}
	defer client.Close()
	tasks, err := client.Tasks(ctx, api.TaskFilter{}) // any node answers
	if err != nil {
		return "", err
	}
	last := d.lastSubscription(d.before)
	return fmt.Sprintf("%s has caught up after %s and tells of %s; %s leads on", d.dead.name, took, many(len(tasks), "task"), last.Master),
		errors.Join(expect(len(tasks) == len(d.pids)+1, "%d tasks", len(tasks)),
			expect(last.Framework == d.first.Framework, "the framework is %s now, before that %s", last.Framework, d.first.Framework))
}

// lastSubscription is the last since an event, of which there is one: the masters may have changed more than once.
func (d *masterDemo) lastSubscription(since int) keeperEvent {
	list := d.heard(since, isWord("leads"))
	return list[len(list)-1]
}
