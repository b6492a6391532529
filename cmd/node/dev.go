package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// dev runs a cluster to try things on.
type dev struct {
	*app
	nodes   int
	agents  int
	bare    bool // without the service
	base    int
	data    string
	restart bool
	engine  string
	fleet   *fleet
	client  *api.Client
	printMu sync.Mutex
	leader  atomic.Value // leadership, as last seen
	told    atomic.Value // leadership, as last told after a death
}

func (a *app) devCommand() *cobra.Command {
	d := &dev{app: a}
	c := &cobra.Command{
		Use: "dev", Short: "run a cluster on this machine to try things on", Args: cobra.NoArgs,
		Long: "Start a cluster of real processes on this machine: control nodes, agents that run tasks, and a service, hello. Print\n" +
			"what to type next, and show their logs until Ctrl-C. Everything ends then, tasks too, and is removed, unless --data\n" +
			"says where to keep it: the next dev there goes on with the keys and the jobs, whose tasks are started anew.",
		Example: a.example("dev", "dev --nodes 5 --agents 3 --data ./data", "dev --restart", "dev --agents 0"),
		RunE:    func(c *cobra.Command, _ []string) error { return d.run(c.Context()) },
	}
	c.Flags().IntVar(&d.nodes, "nodes", 3, "how many nodes, 1 to 9")
	c.Flags().IntVar(&d.agents, "agents", 2, "how many agents, 0 to 9; tasks need Linux")
	c.Flags().BoolVar(&d.bare, "no-service", false, "do not run the service hello")
	c.Flags().IntVar(&d.base, "port", defaultBase, "first port; each node takes three and each agent one, 10 above the last one's")
	c.Flags().StringVar(&d.data, "data", "", "keep the data in this directory")
	engineFlag(c, &d.engine)
	c.Flags().BoolVar(&d.restart, "restart", false, "start a node again when it dies")
	return c
}

func (d *dev) run(ctx context.Context) error {
	if d.nodes < 1 || d.nodes > 9 {
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("cannot run %d nodes", d.nodes), Why: "1 to 9 are possible"}
	}
	if d.agents < 0 || d.agents > 9 {
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("cannot run %d agents", d.agents), Why: "0 to 9 are possible"}
	}
	if err := checkEngine(d.engine); err != nil {
		return err
	}
	if runtime.GOOS != "linux" && d.agents > 0 {
		d.hint("tasks need Linux: no agents are started")
		d.agents = 0
	}
	dir, remove, err := d.dataDir(d.data)
	if err != nil {
		return err
	}
	defer remove()
	if d.fleet, err = newFleet(d.nodes, d.base, dir, d.log); err != nil {
		return err
	}
	defer d.fleet.end()
	if err := d.fleet.addAgents(d.agents); err != nil {
		return err
	}
	d.fleet.engine = d.engine
	d.fleet.onDeath = func(c *child, why string) { d.died(ctx, c, why) }
	if d.client, err = api.NewClient(api.ClientConfig{Addrs: d.fleet.addrs()}); err != nil {
		return err
	}
	breaker := newBreaker(d.fleet, d.client, d.say)
	stop, err := breaker.serve()
	if err != nil {
		return err
	}
	defer stop()
	d.fleet.env, d.fleet.onStart = []string{demoSocket + "=" + breaker.socket}, breaker.started
	if err := d.bringUp(ctx); err != nil {
		return err
	}
	d.page()
	d.follow(ctx)
	if d.agents == 0 {
		d.say("stopping %s", many(d.nodes, "node"))
	} else {
		d.say("stopping %s and %s with all tasks", many(d.nodes, "node"), many(d.agents, "agent"))
	}
	return nil
}

// dataDir returns where to keep data, and what to call at the end.
func (a *app) dataDir(wanted string) (dir string, remove func(), err error) {
	if wanted != "" {
		if err := os.MkdirAll(wanted, 0o700); err != nil {
			return "", nil, &api.Error{Code: api.CodeData, Message: "the directory " + wanted + " cannot be made", Why: plain(err)}
		}
		return wanted, func() {}, nil
	}
	dir, remove, removed, err := tempData()
	for _, old := range removed {
		a.hint("removed %s: what made it was killed", old)
	}
	return dir, remove, err
}

// bringUp starts all nodes and agents and waits until all nodes vote and the service runs.
func (d *dev) bringUp(ctx context.Context) error {
	began := time.Now()
	for _, c := range d.fleet.nodes {
		if err := d.fleet.start(c); err != nil {
			return err
		}
	}
	wait, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	status, err := d.fleet.await(wait, d.client, allVote(d.nodes))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return &api.Error{Code: api.CodeUnhealthy, Message: "the cluster did not come up", Why: upReason(status, err), Do: []string{"the reason is in the lines above"}}
	}
	d.seen(status)
	for _, c := range d.fleet.agents { // now that there is a master to find
		if err := d.fleet.start(c); err != nil {
			return err
		}
	}
	work, done := context.WithTimeout(ctx, upTimeout+helloPatience)
	defer done()
	more := d.bringUpWork(work)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if now, err := d.client.Status(work, false); err == nil && now.Leader != "" { // another may have come to lead
		d.seen(now)
		status = now
	}
	d.say("ready in %.1f s: %s, %s%s", time.Since(began).Seconds(), many(d.nodes, "node"), leads(status), more)
	return nil
}

const upTimeout = 20 * time.Second

// allVote: every node that may vote does, and is up.
func allVote(nodes int) func(api.Status) bool {
	voters := nodes
	if voters%2 == 0 {
		voters--
	}
	return func(s api.Status) bool {
		return s.Healthy && s.Leader != "" && s.Voters >= voters && s.Up >= voters && len(s.Members) >= nodes
	}
}

func upReason(s api.Status, err error) string {
	switch {
	case err == errDied:
		return "a node has ended"
	case len(s.Reasons) > 0:
		return strings.Join(s.Reasons, "; ")
	}
	return fmt.Sprintf("%d voters are up", s.Up)
}

// page prints what to type next.
func (d *dev) page() {
	service := d.serviceRows()
	d.printMu.Lock()
	defer d.printMu.Unlock()
	w := d.out
	fmt.Fprintln(w)
	rows := [][]string{{"NODE", "PID", "API", "DATA"}}
	for _, c := range d.fleet.nodes {
		rows = append(rows, []string{c.name, fmt.Sprint(c.pid()), c.api(), d.fleet.dir + "/" + c.name})
	}
	for _, c := range d.fleet.agents {
		rows = append(rows, []string{c.name, fmt.Sprint(c.pid()), c.api(), d.fleet.dir + "/" + c.name})
	}
	columns(w, rows)
	if len(service) > 1 {
		fmt.Fprintln(w)
		columns(w, service)
	}
	fmt.Fprintf(w, "\nSee it in a browser:  http://%s\n\nType in another terminal:\n\n", d.fleet.nodes[0].api())
	addr := ""
	if ports := d.ports(); !strings.HasPrefix(ports, defaultAddrs) && !strings.HasPrefix(defaultAddrs, ports+",") {
		addr = " --addr " + strings.Join(d.fleet.addrs(), ",")
	}
	for _, line := range d.lines(service) {
		fmt.Fprintf(w, "  %s %s%s\n", d.program, line, addr)
	}
	leader := d.fleet.find(d.lastSeen().name)
	if leader == nil {
		leader = d.fleet.nodes[0]
	}
	fmt.Fprintf(w, "  curl -X PUT --data green http://%s/v1/kv/colour\n", d.fleet.nodes[0].api())
	fmt.Fprintf(w, "  kill -9 %-24d # the leader %s: watch what happens here\n\n", leader.pid(), leader.name)
	tasks := ""
	if d.agents > 0 {
		tasks = " with its tasks"
	}
	if d.data == "" {
		fmt.Fprintf(w, "Ctrl-C ends it%s and removes the data.\n\n", tasks)
	} else {
		fmt.Fprintf(w, "Ctrl-C ends it%s; the data stays in %s.\n\n", tasks, d.data)
	}
}

func (d *dev) ports() string { return strings.Join(d.fleet.addrs(), ",") }

// follow notices changes of the leader until ctx ends.
func (d *dev) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		ask, cancel := context.WithTimeout(ctx, time.Second)
		if status, err := d.client.Status(ask, false); err == nil && status.Leader != "" {
			d.seen(status)
		}
		cancel()
	}
}

// died reports a node's death, who leads after it and how soon, and starts it again if wanted.
func (d *dev) died(ctx context.Context, c *child, why string) {
	if ctx.Err() != nil {
		return
	}
	d.say("%s %s", c.name, why)
	if d.restart {
		go d.again(ctx, c)
	}
	if c.tasks == "" {
		d.tellLeader(ctx, c)
	} else {
		d.say("its tasks go on; what happens to them:  %s events", d.program)
	}
	if !d.restart && ctx.Err() == nil {
		d.say("start it again:  %s %s", d.program, shellWords(d.fleet.args(c)))
	}
}

// restartPause keeps a node that dies at once from being started all the time.
const restartPause = time.Second

// again starts a node that has died.
func (d *dev) again(ctx context.Context, c *child) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(restartPause):
	}
	if err := d.fleet.start(c); err != nil {
		d.say("%s does not start again: %s", c.name, plain(err))
		return
	}
	d.say("%s is started again, pid %d", c.name, c.pid())
}

// tellLeader says who leads after a death, and how soon.
func (d *dev) tellLeader(ctx context.Context, c *child) {
	began, before := time.Now(), d.lastSeen()
	status, err := d.nextLeader(ctx, c.name, before.term)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		d.say("no leader: %d of %d nodes run, a majority is needed", d.running(), d.nodes)
	case before != leadership{status.Leader, status.Term}:
		d.seen(status)
		if now := (leadership{status.Leader, status.Term}); d.told.Swap(now) == now {
			return // several have died, and another one's death has told it
		}
		d.say("%s after %d ms; no acknowledged write is lost", leads(status), time.Since(began).Milliseconds())
	default:
		d.say("as before, %s", leads(status))
	}
}

// nextLeader waits until a node other than the dead one leads, or that one again
// after term, for it may have been started again.
func (d *dev) nextLeader(ctx context.Context, dead string, term uint64) (api.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		ask, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		status, err := d.client.Status(ask, false)
		cancel()
		if err == nil && status.Leader != "" && (status.Leader != dead || status.Term > term) {
			return status, nil
		}
		select {
		case <-ctx.Done():
			return status, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (d *dev) running() int {
	n := 0
	for _, c := range d.fleet.nodes {
		if c.pid() != 0 {
			n++
		}
	}
	return n
}

// leadership is who leads since when.
type leadership struct {
	name string
	term uint64
}

func (d *dev) lastSeen() leadership {
	l, _ := d.leader.Load().(leadership)
	return l
}

func (d *dev) seen(s api.Status) { d.leader.Store(leadership{s.Leader, s.Term}) }

func (d *dev) say(format string, args ...any) {
	d.printMu.Lock()
	defer d.printMu.Unlock()
	fmt.Fprintf(d.out, d.paint(d.out, "1", "dev")+" | "+format+"\n", args...)
}

// log is where a node's lines go: behind its name, in a colour of its own.
func (d *dev) log(c *child) io.Writer {
	colours := []string{"36", "33", "35", "32", "34", "31", "96", "93", "95"}
	if c.tasks != "" {
		colours = colours[3:]
	}
	colour := colours[(c.ports[0]/10)%len(colours)]
	return prefixed(d.err, &d.printMu, d.paint(d.err, colour, c.name)+"  | ")
}

// paint colours text for w, if that is a terminal.
func (d *dev) paint(w io.Writer, code, text string) string {
	if d.noColor || !isTerminal(w) {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
