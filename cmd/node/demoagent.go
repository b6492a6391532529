package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
)

// agentDemo kills the agent while tasks run, and while some end.
type agentDemo struct {
	*taskDemo
	agents map[string]string // its id by its name
	pids   map[string]int    // of all tasks
	stay   map[string]int    // of those that go on to the end
	diedAt time.Time
}

// agentUnits are the tasks: three that go on, and three that end in different ways when a file is there.
func agentUnits(end string) []keeperUnit {
	return []keeperUnit{
		{name: "stay.0"}, {name: "stay.1"}, {name: "stay.2"},
		{name: "good", args: []string{"--until", end}},
		{name: "bad", args: []string{"--until", end, "--code", "7"}},
		{name: "hit", args: []string{"--until", end, "--signal", "9"}},
	}
}

// agentEnds is what has to be told of those that end.
var agentEnds = map[string]string{"good": "FINISHED, exit 0", "bad": "FAILED, exit 7", "hit": "FAILED, signal 9"}

func (a *app) demoAgentCommand() *cobra.Command {
	return &cobra.Command{
		Use: "agent-recovery", Short: "kill -9 the agent while its tasks run, and end", Args: cobra.NoArgs,
		Long: "Start a node and an agent, run six tasks, and kill -9 the agent. Three of the tasks end while there is none. Start the\n" +
			"agent again, and look whether it takes up the others, tells how those three ended, and has all that they have written.\n" +
			"It ends by itself with PASS (exit code 0) or FAIL (1).",
		Example: a.example("demo agent-recovery", "demo agent-recovery --output json"),
		RunE: func(c *cobra.Command, _ []string) error {
			d := &agentDemo{taskDemo: a.taskDemo()}
			d.next = []string{"demo master-failover   kill -9 the leading master: tasks go on", "dev                    keeps a cluster running to try things on"}
			return d.play(c.Context(), 1, 1, []demoAct{
				{"start a node, an agent (2 processes)", d.startAll},
				{"run 6 tasks", d.runTasks},
				{"kill -9 the agent", d.killAgent},
				{"3 tasks end while there is no agent", d.endSome},
				{"start the agent again", d.startAgain},
				{"what the scheduler was told of the 3", d.readUpdates},
				{"read all logs back", d.readLogs},
				{fmt.Sprintf("kill -9 it %d times more", agentKills), d.killOften},
			})
		},
	}
}

func (d *agentDemo) endFile() string { return filepath.Join(d.fleet.dir, "end") }

func (d *agentDemo) runTasks(ctx context.Context) (string, error) {
	var units []string
	all := agentUnits(d.endFile())
	for _, u := range all {
		units = append(units, u.name)
	}
	d.keep(ctx, all...)
	var err error
	if d.pids, err = d.chores(ctx, units); err != nil {
		return "", err
	}
	if err := d.running(ctx, d.pids); err != nil {
		return "", err
	}
	d.stay = maps.Clone(d.pids)
	for unit := range agentEnds {
		delete(d.stay, unit)
	}
	d.agents, err = d.agentIDs(ctx)
	return fmt.Sprintf("%d pids under %s", len(d.pids), d.fleet.agents[0].name), err
}

func (d *agentDemo) killAgent(ctx context.Context) (string, error) {
	pid := d.fleet.agents[0].pid()
	d.diedAt = time.Now()
	d.fleet.agents[0].kill()
	if alive(pid) {
		return "", errors.New("it is not dead")
	}
	if err := d.noticed(ctx, d.fleet.agents[0].name); err != nil {
		return "", err
	}
	noticed := msSince(d.diedAt)
	_, err := d.sameProcesses(ctx, d.pids, d.diedAt)
	return fmt.Sprintf("pid %d; the master has noticed after %s; %d tasks go on", pid, noticed, len(d.pids)), err
}

func (d *agentDemo) endSome(ctx context.Context) (string, error) {
	if err := os.WriteFile(d.endFile(), nil, 0o600); err != nil {
		return "", err
	}
	for unit := range agentEnds {
		err := eventually(ctx, "the end of "+unit, func() error {
			if alive(d.pids[unit]) {
				return fmt.Errorf("pid %d is there", d.pids[unit])
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	var seen []string
	for _, unit := range []string{"good", "bad", "hit"} {
		l, err := readLedger(d.ledgers, unit)
		if err != nil {
			return "", err
		}
		last, _ := l.ended()
		seen = append(seen, fmt.Sprintf("%s: %s %d", unit, last.word, last.n))
	}
	return "by their ledgers " + strings.Join(seen, ", "), nil
}

func (d *agentDemo) startAgain(ctx context.Context) (string, error) {
	took, err := d.again(ctx)
	if err != nil {
		return "", err
	}
	silence, err := d.sameProcesses(ctx, d.stay, d.diedAt)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("registered after %d ms with its id; %d tasks go on with their pids, longest silence %d ms",
		took.Milliseconds(), len(d.stay), silence.Milliseconds()), nil
}

// again starts the killed agent and waits until it is registered as before, with its tasks.
func (d *agentDemo) again(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	if err := d.fleet.start(d.fleet.agents[0]); err != nil {
		return 0, err
	}
	ids, err := d.agentIDs(ctx)
	took := time.Since(start)
	if err == nil && !maps.Equal(ids, d.agents) {
		err = fmt.Errorf("it is %v now, before that %v", ids, d.agents)
	}
	if err != nil {
		return 0, err
	}
	return took, d.running(ctx, d.stay)
}

// readUpdates compares what the scheduler was told with how the tasks ended, each once.
func (d *agentDemo) readUpdates(ctx context.Context) (string, error) {
	var seen []string
	for _, unit := range []string{"good", "bad", "hit"} {
		task := d.keeper.taskOf(unit)
		ends := func(e keeperEvent) bool { return e.Task == task && e.Exit != "" }
		if _, err := d.awaitEvent(ctx, "the end of "+unit, 0, ends); err != nil {
			return "", err
		}
		updates := map[string]string{} // by their ids: one that comes twice is one
		for _, e := range d.heard(0, ends) {
			updates[e.ID] = e.State + ", " + e.Exit
		}
		for _, told := range updates {
			if told != agentEnds[unit] || len(updates) != 1 {
				return "", fmt.Errorf("of %s was told %v, it should be %s, once", unit, updates, agentEnds[unit])
			}
			seen = append(seen, unit+" "+told)
		}
	}
	for _, e := range d.heard(0, isWord("update")) {
		if e.State == mesos.Lost.String() || e.State == mesos.Unreachable.String() || e.State == mesos.Gone.String() {
			return "", fmt.Errorf("%s was told to be %s", e.Task, e.State)
		}
	}
	return strings.Join(seen, "; "), nil
}

// readLogs compares each line of the logs with what the task says that it has written.
func (d *agentDemo) readLogs(ctx context.Context) (string, error) {
	total := 0
	for _, unit := range sortedKeys(d.pids) {
		n, err := d.readLog(ctx, unit)
		if err != nil {
			return "", err
		}
		total += n
	}
	return fmt.Sprintf("%d lines of %s, none missing, none twice", total, many(len(d.pids), "task")), nil
}

// readLog reads a task's log, which has at least what its ledger has now.
func (d *agentDemo) readLog(ctx context.Context, unit string) (lines int, err error) {
	ledger, err := readLedger(d.ledgers, unit)
	if err != nil {
		return 0, err
	}
	written, own := ledger.lines(), d.heard(0, isWord("leads"))[0].Framework
	var log bytes.Buffer
	err = eventually(ctx, fmt.Sprintf("%d lines in the log of %s", written, unit), func() error {
		log.Reset()
		err := d.client.TaskLog(ctx, own, d.keeper.taskOf(unit), api.LogOptions{}, &log)
		if n := bytes.Count(log.Bytes(), []byte("\n")); err == nil && n < written {
			err = fmt.Errorf("it has %d", n)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(log.String()) {
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		lines++
		if want := fmt.Sprintf("line %d of %s\n", lines, unit); line != want {
			return 0, fmt.Errorf("line %d of %s is %q", lines, unit, line)
		}
	}
	if _, ended := ledger.ended(); ended && lines != written {
		return 0, fmt.Errorf("%s has written %d lines, its log has %d", unit, written, lines)
	}
	return lines, nil
}

// agentKills is how often the agent is killed besides.
const agentKills = 5

func (d *agentDemo) killOften(ctx context.Context) (string, error) {
	longest, began := time.Duration(0), time.Now()
	for range agentKills {
		d.fleet.agents[0].kill()
		if err := d.noticed(ctx, d.fleet.agents[0].name); err != nil {
			return "", err
		}
		took, err := d.again(ctx)
		if err != nil {
			return "", err
		}
		longest = max(longest, took)
	}
	silence, err := d.sameProcesses(ctx, d.stay, began)
	if err != nil {
		return "", err
	}
	if _, err := d.readLogs(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("registered after %d ms at most; %d pids as before, longest silence %d ms, no line lost",
		longest.Milliseconds(), len(d.stay), silence.Milliseconds()), nil
}

// alive reports whether a process exists, dead and not waited for included.
func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
