package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/api"
)

// paxosDemo shows single-decree Paxos among real processes, one role each.
type paxosDemo struct {
	story
	n         int // acceptors
	recording string
	council   *council
	lines     *eventLines
}

func (a *app) demoPaxosCommand() *cobra.Command {
	d := &paxosDemo{story: story{app: a, rules: ruleTexts, next: "decree serve --help   runs such processes by hand"}}
	c := &cobra.Command{
		Use: "paxos", Short: "ballots, promises, votes and faults of single-decree Paxos, in half a minute", Args: cobra.NoArgs,
		Long: "Start proposers, acceptors and learners, a process each, and show every ballot, promise, vote and choice\n" +
			"as it happens. Acts: a decision, roles apart, acceptors killed, duelling proposers, a proposer killed halfway,\n" +
			"cut links and late messages, the learner schemes with the distinguished learner killed, a lost disk. Each act\n" +
			"says what was seen and which rule held, and checks it: exit code 1 if anything is not as it must be. With\n" +
			"--output json one object a line: an event, an act, or the result.",
		Example: a.example("demo paxos", "demo paxos --acceptors 5 --recording flight.jsonl"),
		RunE:    func(c *cobra.Command, _ []string) error { return d.run(c.Context()) },
	}
	c.Flags().IntVar(&d.n, "acceptors", 3, "how many acceptors: 3 or 5")
	c.Flags().StringVar(&d.recording, "recording", "", "file for all events, for inspect replay")
	return c
}

func (d *paxosDemo) run(ctx context.Context) error {
	if d.n != 3 && d.n != 5 {
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("cannot play with %d acceptors", d.n), Do: []string{"--acceptors 3 or 5"}}
	}
	dir, remove, err := d.dataDir("")
	if err != nil {
		return err
	}
	defer remove()
	if d.council, err = newCouncil(d.app, d.n, dir); err != nil {
		return err
	}
	defer d.council.fleet.end()
	d.lines = &eventLines{out: d.out, names: map[uint64]string{}, began: time.Now(), colour: d.colour()}
	shown := 0
	d.logs, d.save = d.council.logs, d.saveRecording
	d.follow = func(ctx context.Context) { d.council.hub.follow(ctx, &shown, d.show) }
	return d.perform(ctx, d.acts())
}

func (d *paxosDemo) show(events eventList) {
	for _, e := range events {
		switch {
		case strings.HasPrefix(e.Decree, warmUp):
		case d.output == "json":
			_ = d.line(map[string]any{"act": d.number, "event": e}) // a reader that has gone needs nothing
		default:
			d.lines.add(e)
		}
	}
	d.lines.flush()
}

func (d *paxosDemo) saveRecording() error {
	if d.recording == "" {
		return nil
	}
	file, err := os.Create(filepath.Clean(d.recording))
	if err == nil {
		err = decree.WriteRecording(file, d.council.hub.since(0))
		if e := file.Close(); err == nil {
			err = e
		}
	}
	if err != nil {
		return &api.Error{Code: api.CodeData, Message: d.recording + " cannot be written", Why: plain(err)}
	}
	return nil
}

// council are the processes of the demo.
type council struct {
	app       *app
	fleet     *fleet
	hub       *hub[eventList, synod.DecreeEvent]
	logs      *lockedBuffer
	acceptors []string
	scheme    string
	told      []string // the distinguished learners
	killed    int      // processes so far
}

var (
	demoProposers = []string{"p1", "p2"}
	demoLearners  = []string{"l1", "l2", "l3"}
)

func newCouncil(a *app, n int, dir string) (*council, error) {
	c := &council{app: a, hub: newPaxosHub(), logs: &lockedBuffer{}, scheme: "all"}
	for i := range n {
		c.acceptors = append(c.acceptors, fmt.Sprintf("a%d", i+1))
	}
	names := append(append(append([]string(nil), c.acceptors...), demoProposers...), demoLearners...)
	var err error
	if c.fleet, err = newFleet(len(names), 0, dir, func(*child) io.Writer { return c.logs }); err != nil {
		return nil, err
	}
	for i, child := range c.fleet.nodes {
		child.name = names[i]
	}
	c.fleet.command = c.args
	c.fleet.output = func(*child) io.Writer { return c.hub.writer() }
	return c, nil
}

// args start one process, which plays the role that its name says.
func (c *council) args(p *child) []string {
	role := map[byte]string{'a': "acceptor", 'p': "proposer", 'l': "learner"}[p.name[0]]
	args := []string{"decree", "serve", "--name", p.name, "--data", c.dir(p.name), "--cluster", c.fleet.name, "--roles", role, "--faults",
		"--acceptors", strings.Join(c.acceptors, ","), "--scheme", c.scheme, "--output", "json", "--quiet"}
	if len(c.told) > 0 {
		args = append(args, "--distinguished", strings.Join(c.told, ","))
	}
	for i, flag := range []string{"--api-port", "--link-port", "--gossip-port"} {
		args = append(args, flag, strconv.Itoa(p.ports[i]))
	}
	for _, other := range c.fleet.nodes {
		if other != p {
			args = append(args, "--join", other.gossip())
		}
	}
	return args
}

func (c *council) dir(name string) string { return filepath.Join(c.fleet.dir, name) }

// names are of all processes.
func (c *council) names() (names []string) {
	for _, p := range c.fleet.nodes {
		names = append(names, p.name)
	}
	return names
}

// kill ends processes as kill -9 does.
func (c *council) kill(names ...string) {
	c.killed += len(names)
	for _, name := range names {
		c.fleet.find(name).kill()
	}
}

// start starts processes again and waits until they know what their disks hold and
// answer.
func (c *council) start(ctx context.Context, names ...string) error {
	mark := c.hub.mark()
	for _, name := range names {
		if err := c.fleet.start(c.fleet.find(name)); err != nil {
			return err
		}
	}
	if _, err := c.hub.await(ctx, mark, "all of "+strings.Join(names, ", ")+" recovered", func(s eventList) bool {
		return len(s.sent("recovered").by(names...).names()) == len(names)
	}); err != nil {
		return err
	}
	for _, name := range names {
		if err := c.fault(ctx, name, false); err != nil {
			return err
		}
	}
	return nil
}

// decide has a process propose a value.
func (c *council) decide(ctx context.Context, name, what, value string, timeout time.Duration) (d decided, err error) {
	err = c.call(ctx, name, http.MethodPut, "/v1/decrees/"+url.PathEscape(what), value, timeout, &d)
	return d, err
}

func (c *council) learn(ctx context.Context, name, what string, timeout time.Duration) (d decided, err error) {
	err = c.call(ctx, name, http.MethodGet, "/v1/decrees/"+url.PathEscape(what), "", timeout, &d)
	return d, err
}

// fault sets what becomes of the messages that leave a process, once it answers.
func (c *council) fault(ctx context.Context, name string, release bool, faults ...fault) error {
	body, err := json.Marshal(faultChange{Faults: faults, Release: release})
	if err != nil {
		return err
	}
	for {
		var set faultChange
		if err = c.call(ctx, name, http.MethodPut, "/v1/faults", string(body), time.Second, &set); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *council) call(ctx context.Context, name, method, path, body string, timeout time.Duration, v any) error {
	caller := &app{addr: c.fleet.find(name).api(), timeout: timeout}
	return caller.decreeCall(ctx, method, path, body, v)
}
