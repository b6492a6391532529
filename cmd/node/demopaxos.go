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

	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/api"
)

// paxosDemo shows single-decree Paxos among real processes, one role each.
type paxosDemo struct {
	*app
	n         int // acceptors
	recording string
	council   *council
	lines     *eventLines
	number    int // of the act that is played
}

// playedAct is what became of one act.
type playedAct struct {
	Title  string       `json:"title"`
	OK     bool         `json:"ok"`
	Millis float64      `json:"ms"`
	Seen   string       `json:"seen"`
	Rules  []ruleInForm `json:"rules"`
}

// ruleInForm is a rule of package paxos in a sentence.
type ruleInForm struct {
	Rule string `json:"rule"`
	Text string `json:"text"`
}

// paxosResult is the last line with --output json.
type paxosResult struct {
	Pass    bool    `json:"pass"`
	Seconds float64 `json:"seconds"`
	Passed  int     `json:"passed"`
	Acts    int     `json:"acts"`
}

// act is one part of the story: what is done and checked, and the rules that it shows.
type act struct {
	title string
	rules []string
	play  func(context.Context) (string, error)
}

func (a *app) demoPaxosCommand() *cobra.Command {
	d := &paxosDemo{app: a}
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
	return d.perform(ctx, d.acts())
}

// perform plays the acts until one fails.
func (d *paxosDemo) perform(ctx context.Context, acts []act) error {
	began := time.Now()
	var played []playedAct
	shown := 0
	for i, act := range acts {
		d.number = i + 1
		d.headline(fmt.Sprintf("%d  %s", d.number, act.title))
		p := d.play(ctx, act, &shown)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		played = append(played, p)
		d.conclude(p)
		if !p.OK {
			break
		}
	}
	if err := d.save(); err != nil {
		return err
	}
	return d.verdict(played, acts, time.Since(began))
}

// actTime bounds one act: a demo does not hang.
const actTime = time.Minute

// play plays an act while its events are shown.
func (d *paxosDemo) play(ctx context.Context, a act, shown *int) playedAct {
	ctx, cancel := context.WithTimeout(ctx, actTime)
	defer cancel()
	showing, done := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.council.hub.follow(showing, shown, d.show)
	}()
	start := time.Now()
	said, err := a.play(ctx)
	p := playedAct{Title: a.title, OK: err == nil, Millis: float64(time.Since(start).Microseconds()) / 1000, Seen: said}
	if err != nil {
		p.Seen = demoReason(err)
	}
	for _, rule := range a.rules {
		p.Rules = append(p.Rules, ruleInForm{rule, ruleTexts[rule]})
	}
	time.Sleep(2 * settle) // for what the processes have still to tell of this act
	done()
	<-ended
	return p
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

func (d *paxosDemo) headline(text string) {
	if d.output == "json" {
		return
	}
	if d.colour() {
		text = "\x1b[1m" + text + "\x1b[0m"
	}
	fmt.Fprintf(d.out, "\nAct %s\n", text)
}

// conclude says what was seen and which rules held.
func (d *paxosDemo) conclude(p playedAct) {
	if d.output == "json" {
		_ = d.line(map[string]any{"act": d.number, "verdict": p})
		return
	}
	word := "seen  "
	if !p.OK {
		word = "FAIL  "
	}
	wrapped(d.out, word, p.Seen)
	for _, r := range p.Rules {
		if p.OK {
			wrapped(d.out, fmt.Sprintf("%-4s  ", r.Rule), r.Text)
		}
	}
}

// wrapped writes a text in lines of at most 80, the first one behind a word.
func wrapped(w io.Writer, word, text string) {
	line := "  " + word
	for _, part := range strings.Fields(text) {
		if len(line)+1+len(part) > 80 {
			fmt.Fprintln(w, line)
			line = strings.Repeat(" ", 8)
		}
		if !strings.HasSuffix(line, " ") {
			line += " "
		}
		line += part
	}
	fmt.Fprintln(w, line)
}

func (d *paxosDemo) save() error {
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

func (d *paxosDemo) verdict(played []playedAct, acts []act, took time.Duration) error {
	result := paxosResult{Acts: len(acts), Seconds: took.Seconds()}
	for _, p := range played {
		if p.OK {
			result.Passed++
		}
	}
	result.Pass = result.Passed == result.Acts
	if d.output == "json" {
		_ = d.line(map[string]any{"result": result})
	} else {
		d.table(played, acts)
		word := "PASS"
		if !result.Pass {
			word = "FAIL"
		}
		fmt.Fprintf(d.out, "%s  %d of %d acts in %.1f s\n", word, result.Passed, result.Acts, result.Seconds)
	}
	if !result.Pass {
		d.hint("what the processes said last:\n%s", d.council.logs.tail())
		return silent(api.CodeDemo.Info().Exit)
	}
	d.hint("Next:  %s decree serve --help   runs such processes by hand", d.program)
	return nil
}

func (d *paxosDemo) table(played []playedAct, acts []act) {
	fmt.Fprintln(d.out)
	rows := [][]string{{"ACT", "", "", "RULES"}}
	for i, a := range acts {
		word := "not played"
		if i < len(played) {
			word = fmt.Sprintf("ok   %4.1f s", played[i].Millis/1000)
			if !played[i].OK {
				word = "FAIL"
			}
		}
		rows = append(rows, []string{strconv.Itoa(i + 1), a.title, word, strings.Join(a.rules, " ")})
	}
	columns(d.out, rows)
}

// council are the processes of the demo.
type council struct {
	app       *app
	fleet     *fleet
	hub       *hub
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
	c := &council{app: a, hub: newHub(), logs: &lockedBuffer{}, scheme: "all"}
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
	args := []string{"decree", "serve", "--name", p.name, "--data", c.dir(p.name), "--roles", role, "--faults",
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
