package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/framework"
	"github.com/synod-go/synod/mesos"
)

// keeperFlags are those of a scheduler in a process of its own.
type keeperFlags struct {
	ledgers   string
	units     int
	logFormat string
}

// keeperNames are the names of n units.
func keeperNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("unit.%d", i))
	}
	return names
}

// keeperAsks is how soon a keeper asks again for tasks of which a new master has not told it.
const keeperAsks = 500 * time.Millisecond

// Times of the schedulers' sessions: who is silent for so long, or whose process has died, is deposed.
const (
	keeperSession = 2 * time.Second
	keeperLinger  = 500 * time.Millisecond
)

// demoKeeperCommand is one of the schedulers. It writes what happens to it to standard output, a line of JSON
// each, and reads orders: the id of a task that it is to kill.
func (a *app) demoKeeperCommand() *cobra.Command {
	f := &keeperFlags{}
	c := &cobra.Command{
		Use: "scheduler NAME", Short: "a process of demo scheduler-failover", Args: cobra.ExactArgs(1), Hidden: true,
		Example: a.example("demo scheduler-failover scheduler s1 --ledgers ."),
		RunE:    func(c *cobra.Command, args []string) error { return a.runKeeper(c.Context(), args[0], f) },
	}
	c.Flags().StringVar(&f.ledgers, "ledgers", "", "directory of the tasks' ledgers")
	c.Flags().IntVar(&f.units, "units", 1, "how many tasks")
	c.Flags().StringVar(&f.logFormat, "log-format", "auto", "text, json, or auto: text on a terminal")
	return c
}

func (a *app) runKeeper(ctx context.Context, name string, f *keeperFlags) error {
	log, err := newLogger(a.err, f.logFormat, "info")
	if err != nil {
		return err
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	var mu sync.Mutex
	k := &keeper{client: client, program: program, ledgers: f.ledgers, each: f.units, say: func(e keeperEvent) {
		mu.Lock()
		defer mu.Unlock()
		_ = a.line(e) // who does not read it has ended
	}}
	for _, unit := range keeperNames(f.units) {
		k.units = append(k.units, keeperUnit{name: unit})
	}
	go a.obey(ctx, k)
	return framework.StandBy(ctx, framework.Config{Client: client, Info: mesos.FrameworkInfo{Name: "keeper"}, Logger: log.With("node", name),
		ReconcileEvery: keeperAsks, Session: api.SessionOptions{Timeout: keeperSession, Linger: keeperLinger}}, k)
}

// obey carries out orders.
func (a *app) obey(ctx context.Context, k *keeper) {
	for lines := bufio.NewScanner(a.in); lines.Scan(); {
		task := strings.TrimSpace(lines.Text())
		bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := k.order(bounded, task)
		cancel()
		e := keeperEvent{Word: "order", Task: task}
		if err != nil {
			e.State, e.Text = string(api.CodeOf(err)), err.Error()
		}
		k.tell(e)
	}
}
