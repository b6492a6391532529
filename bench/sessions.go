package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// sessionsOptions are the flags of `bench sessions`.
type sessionsOptions struct {
	serviceFlags
	sessions int
	time     time.Duration
	kill     time.Duration
	down     time.Duration
	timeout  time.Duration
	storm    bool
	dir      string
	json     string
}

// runSessions keeps many sessions open over kills of the leader, or lets all of
// them fall silent at once.
func runSessions(ctx context.Context, arguments []string, out io.Writer) error {
	var o sessionsOptions
	flags := flag.NewFlagSet("sessions", flag.ContinueOnError)
	o.declare(flags)
	flags.StringVar(&o.Service, "service", "synod", "synod or zookeeper")
	flags.IntVar(&o.sessions, "n", 10000, "sessions, each with its own connection and one ephemeral key")
	flags.DurationVar(&o.time, "for", 5*time.Minute, "how long to go on")
	flags.DurationVar(&o.kill, "kill", 30*time.Second, "time between two kills of the leader")
	flags.DurationVar(&o.down, "down", 5*time.Second, "how long a killed server stays down")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Second, "timeout of the sessions")
	flags.BoolVar(&o.storm, "storm", false, "no kills: stop the process with all sessions, and see how its sessions expire")
	flags.StringVar(&o.dir, "dir", defaultDir, "where the servers keep their data")
	flags.StringVar(&o.json, "json", "", "file for every cycle; empty: none")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	s, err := o.service(o.Service)
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
	fmt.Fprintf(out, "%s\n%s, %d sessions with a timeout of %v\n", describeMachine(), o.Service, o.sessions, o.timeout)
	e, err := startEnsemble(ctx, s, dir)
	if err != nil {
		return err
	}
	defer e.stop()
	if o.storm {
		return o.runStorm(ctx, e, out)
	}
	return o.runKills(ctx, e, out)
}

// A cycle is the time from one kill to the next.
type cycle struct {
	Seconds  float64 `json:"seconds"`   // since the begin
	Leader   int     `json:"leader"`    // who was killed; -1 in a cycle without a kill
	StallMS  float64 `json:"stall_ms"`  // the longest time without an acknowledged write
	Adrift   int     `json:"adrift"`    // most sessions without a server's word at one time
	HalfMS   float64 `json:"half_ms"`   // until half of those had it again
	AllMS    float64 `json:"all_ms"`    // until all had
	Over     int     `json:"over"`      // sessions that know that they have ended
	Keys     int     `json:"keys"`      // ephemeral keys in the tree
	MiB      float64 `json:"mib"`       // of the largest server
	Cores    float64 `json:"cores"`     // that the servers used
	OwnCores float64 `json:"own_cores"` // that this process used
	OwnMiB   float64 `json:"own_mib"`   // of this process
}

func (c cycle) String() string {
	return fmt.Sprintf("%6.0f s  killed %2d  writes stood %5.0f ms  adrift %5d, half back after %5.0f ms, all %5.0f ms  over %d  keys %d  %3.0f MiB  %.2f cores, clients %.0f MiB %.2f cores",
		c.Seconds, c.Leader+1, c.StallMS, c.Adrift, c.HalfMS, c.AllMS, c.Over, c.Keys, c.MiB, c.Cores, c.OwnMiB, c.OwnCores)
}

func (o *sessionsOptions) runKills(ctx context.Context, e *ensemble, out io.Writer) error {
	p, err := startProber(ctx, e, o.timeout)
	if err != nil {
		return err
	}
	defer p.stop()
	begun := time.Now()
	h, err := holdSessions(ctx, e.service, e.clients(), o.sessions, o.timeout)
	defer func() { closeSessions(h.sessions) }()
	if err != nil {
		return err
	}
	keys, err := p.session.count(ctx, holdRoot)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "opened in %.1f s, %.0f MiB, over %d, keys %d\n", time.Since(begun).Seconds(), largestMiB(e.pids()), h.over(), keys)
	var all []cycle
	begun = time.Now()
	for time.Since(begun) < o.time && ctx.Err() == nil {
		c, err := o.cycle(ctx, e, h, p)
		c.Seconds = time.Since(begun).Seconds()
		fmt.Fprintln(os.Stderr, c)
		all = append(all, c)
		if err != nil {
			return err
		}
	}
	writeCycles(out, all, o.sessions)
	return writeJSON(o.json, all)
}

// cycle kills the leader, starts it again and looks until the next kill is due.
func (o *sessionsOptions) cycle(ctx context.Context, e *ensemble, h *holder, p *prober) (c cycle, err error) {
	if c.Leader, err = e.whole(ctx); err != nil {
		return c, err
	}
	p.longest() // of what was before
	pids := []int{os.Getpid()}
	for i, pid := range e.pids() {
		if i != c.Leader { // whose clock ends with it
			pids = append(pids, pid)
		}
	}
	before, err := readMeters(pids)
	if err != nil {
		return c, err
	}
	begun := time.Now()
	e.servers[c.Leader].kill()
	w := watchAdrift(h, begun)
	select {
	case <-time.After(o.down):
	case <-ctx.Done():
	}
	if err := e.startServer(c.Leader); err != nil {
		return c, err
	}
	select {
	case <-time.After(o.kill - time.Since(begun)):
	case <-ctx.Done():
	}
	c.Adrift, c.HalfMS, c.AllMS = w.stop()
	c.StallMS = float64(p.longest()) / 1e6
	after, err := readMeters(pids)
	if err != nil {
		return c, err
	}
	elapsed := time.Since(begun)
	own := after.cpu[0] - before.cpu[0]
	c.OwnCores, c.Cores = own.Seconds()/elapsed.Seconds(), (after.used(before)-own).Seconds()/elapsed.Seconds()
	c.MiB, c.OwnMiB = largestMiB(e.pids()), largestMiB(pids[:1])
	c.Over = h.over()
	c.Keys, err = p.session.count(ctx, holdRoot)
	return c, err
}

func writeCycles(out io.Writer, all []cycle, sessions int) {
	t := coordTable{title: fmt.Sprintf("%d sessions, %d kills of the leader", sessions, len(all)),
		columns: []string{"figure", "median", "largest"}}
	row := func(name, form string, figure func(cycle) float64) {
		largest := 0.0
		for _, c := range all {
			largest = max(largest, figure(c))
		}
		t.rows = append(t.rows, []string{name, fmt.Sprintf(form, medianOf(all, figure)), fmt.Sprintf(form, largest)})
	}
	row("sessions that ended", "%.0f", func(c cycle) float64 { return float64(c.Over) })
	row("ephemeral keys missing", "%.0f", func(c cycle) float64 { return float64(sessions - c.Keys) })
	row("no write, ms", "%.0f", func(c cycle) float64 { return c.StallMS })
	row("sessions adrift", "%.0f", func(c cycle) float64 { return float64(c.Adrift) })
	row("half of them back, ms", "%.0f", func(c cycle) float64 { return c.HalfMS })
	row("all back, ms", "%.0f", func(c cycle) float64 { return c.AllMS })
	row("MiB of the largest server", "%.0f", func(c cycle) float64 { return c.MiB })
	row("cores of the surviving servers", "%.2f", func(c cycle) float64 { return c.Cores })
	row("MiB of the clients", "%.0f", func(c cycle) float64 { return c.OwnMiB })
	t.write(out)
}
