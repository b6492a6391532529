package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// demo is a story in steps, each with a verdict. It ends by itself.
type demo struct {
	*app
	keys   int
	fleet  *fleet
	client *api.Client
	steps  []demoStep
	next   []string // what to try after it
	killed *child
	acked  map[string]string
	logs   lockedBuffer
}

// demoStep is one line of the story.
type demoStep struct {
	Name   string  `json:"name"`
	OK     bool    `json:"ok"`
	Millis float64 `json:"ms"`
	Note   string  `json:"note"`
}

// demoResult is the answer with --output json.
type demoResult struct {
	Pass    bool       `json:"pass"`
	Seconds float64    `json:"seconds"`
	Steps   []demoStep `json:"steps"`
}

func (a *app) demoCommand() *cobra.Command {
	d := &demo{app: a}
	c := &cobra.Command{
		Use: "demo", Short: "a story that judges itself: kill, pause and recover, in a few seconds", Args: cobra.NoArgs,
		Long: "Start three nodes and two agents, write keys, run a job, kill the leader, read everything back, bring the node back,\n" +
			"pause another one, kill an agent, and compare what all nodes hold. It ends by itself with PASS (exit code 0) or FAIL (1).",
		Example: a.example("demo", "demo --keys 5000 --output json"),
		RunE:    func(c *cobra.Command, _ []string) error { return d.run(c.Context()) },
	}
	d.next = []string{"dev                    keeps a cluster running to try things on", "demo master-failover   kills the leading master while tasks run"}
	c.Flags().IntVar(&d.keys, "keys", 500, "how many keys to write")
	c.AddCommand(a.demoPaxosCommand(), a.demoRaftCommand(), a.demoSupervisionCommand(),
		a.demoMasterCommand(), a.demoAgentCommand(), a.demoSchedulerCommand(), a.demoDockerCommand(), a.demoChoreCommand(), a.demoSweepCommand())
	return c
}

func (d *demo) checkKeys() error {
	if d.keys < 1 || d.keys > 1_000_000 {
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("cannot write %d keys", d.keys), Why: "1 to 1,000,000 are possible"}
	}
	return nil
}

func (d *demo) run(ctx context.Context) error {
	if err := d.checkKeys(); err != nil {
		return err
	}
	d.acked = map[string]string{}
	t := &jobDemo{taskDemo: &taskDemo{demo: d, stop: func() {}}}
	start, tasks, agents := "start 3 nodes (3 processes)", runtime.GOOS == "linux", 0
	if tasks {
		start, agents = "start 3 nodes, 2 agents (5 processes)", 2
	}
	acts := []demoAct{
		{start, t.startAll},
		{fmt.Sprintf("put %d keys", d.keys), d.putKeys},
		{fmt.Sprintf("run a job x%d", jobDemoCount), t.runJob},
		{"kill -9 the leader", d.killLeader},
		{fmt.Sprintf("read %d keys back", d.keys), d.readBack},
		{"start the killed node again", d.bringBack},
		{"pause the leader (SIGSTOP), write on, resume", d.pauseLeader},
		{"kill -9 an agent, start it again", t.killAgent},
		{"compare what the 3 nodes hold", d.compare},
	}
	if !tasks {
		acts = slices.DeleteFunc(acts, func(a demoAct) bool { return strings.Contains(a.name, "job") || strings.Contains(a.name, "agent") })
	}
	return t.play(ctx, 3, agents, acts)
}

// demoAct is a step that is to be done: what it returns is what was seen.
type demoAct struct {
	name string
	run  func(context.Context) (string, error)
}

// perform does the acts until one fails. Below the line of each it shows more.
func (d *demo) perform(ctx context.Context, acts []demoAct, more func()) error {
	began := time.Now()
	for i, act := range acts {
		start := time.Now()
		bounded, cancel := context.WithTimeout(ctx, actTime)
		note, err := act.run(bounded)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		done := demoStep{Name: act.name, OK: err == nil, Millis: float64(time.Since(start).Microseconds()) / 1000, Note: note}
		if err != nil {
			done.Note = demoReason(err)
		}
		d.steps = append(d.steps, done)
		d.show(i+1, len(acts), done)
		if more(); err != nil {
			break
		}
	}
	return d.verdict(len(acts), time.Since(began))
}

func (d *demo) show(i, of int, s demoStep) {
	if d.output == "json" {
		return
	}
	word := "ok  "
	if !s.OK {
		word = "FAIL"
	}
	fmt.Fprintf(d.out, "%2d/%d  %-46s %s %6.1f s   %s\n", i, of, s.Name, word, s.Millis/1000, s.Note)
}

func (d *demo) verdict(of int, took time.Duration) error {
	passed := 0
	for _, s := range d.steps {
		if s.OK {
			passed++
		}
	}
	result := demoResult{Pass: passed == of, Seconds: took.Seconds(), Steps: d.steps}
	err := d.answer(result, func(w io.Writer) {
		word := "PASS"
		if !result.Pass {
			word = "FAIL"
		}
		fmt.Fprintf(w, "%s  %d of %d in %.1f s\n", word, passed, of, took.Seconds())
	})
	if err != nil {
		return err
	}
	if !result.Pass {
		d.hint("what the nodes said last:\n%s", d.logs.tail())
		return silent(api.CodeDemo.Info().Exit)
	}
	for i, next := range d.next {
		word := "Next: "
		if i > 0 {
			word = "      "
		}
		d.hint("%s %s %s", word, d.program, next)
	}
	return nil
}

func demoReason(err error) string {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Error()
	}
	return plain(err)
}

// putKeys writes with a few clients and remembers what was acknowledged.
func (d *demo) putKeys(ctx context.Context) (string, error) {
	var latencies []time.Duration
	var mu sync.Mutex
	err := parallel(8, d.keys, func(i int) error {
		key, value := fmt.Sprintf("demo/%06d", i), fmt.Sprintf("value %d", i)
		start := time.Now()
		if _, err := d.client.Put(ctx, key, []byte(value), api.WriteOptions{}); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		latencies = append(latencies, time.Since(start))
		d.acked[key] = value
		return nil
	})
	if err != nil {
		return "", err
	}
	slices.Sort(latencies)
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", ms(quantile(latencies, 0.5)), ms(quantile(latencies, 0.99))), nil
}

// leading waits until a node leads, and returns it.
func (d *demo) leading(ctx context.Context) (leader *child, err error) {
	err = eventually(ctx, "a leader", func() error {
		status, err := d.client.Status(ctx, false)
		if leader = d.fleet.find(status.Leader); err == nil && leader == nil {
			err = fmt.Errorf("%q leads", status.Leader)
		}
		return err
	})
	return leader, err
}

func (d *demo) killLeader(ctx context.Context) (string, error) {
	leader, err := d.leading(ctx)
	if err != nil {
		return "", err
	}
	d.killed = leader
	start := time.Now()
	d.killed.kill()
	if _, err := d.client.Put(ctx, "demo/after-kill", []byte("acknowledged"), api.WriteOptions{}); err != nil {
		return "", err
	}
	d.acked["demo/after-kill"] = "acknowledged"
	took := time.Since(start)
	now, err := d.client.Status(ctx, false)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s killed; %s leads term %d, next write acknowledged after %d ms", leader.name, now.Leader, now.Term, took.Milliseconds()), nil
}

func (d *demo) readBack(ctx context.Context) (string, error) {
	keys := sortedKeys(d.acked)
	var mu sync.Mutex
	right := 0
	err := parallel(8, len(keys), func(i int) error {
		entry, _, err := d.client.Get(ctx, keys[i], api.ReadOptions{})
		if err != nil {
			return err
		}
		if string(entry.Value) != d.acked[keys[i]] {
			return fmt.Errorf("%s holds %q, %q was acknowledged", keys[i], entry.Value, d.acked[keys[i]])
		}
		mu.Lock()
		defer mu.Unlock()
		right++
		return nil
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of %d, no acknowledged write lost", right, len(keys)), nil
}

func (d *demo) bringBack(ctx context.Context) (string, error) {
	if err := d.fleet.start(d.killed); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	start := time.Now()
	_, err := d.fleet.await(ctx, d.client, func(s api.Status) bool { return caughtUp(s, d.killed.name) })
	if err != nil {
		return "", fmt.Errorf("%s did not catch up", d.killed.name)
	}
	return fmt.Sprintf("%s has caught up after %d ms", d.killed.name, time.Since(start).Milliseconds()), nil
}

// caughtUp reports whether a healthy cluster says of a node that it has all.
func caughtUp(s api.Status, name string) bool {
	return s.Healthy && slices.ContainsFunc(s.Members, func(m api.MemberStatus) bool {
		return m.Name == name && m.Behind != nil && *m.Behind == 0
	})
}

// pauseLeader stops the leader's process while the others go on: when it comes
// back it must not answer with what it held before.
func (d *demo) pauseLeader(ctx context.Context) (string, error) {
	paused, err := d.leading(ctx)
	if err != nil {
		return "", err
	}
	others, err := api.NewClient(api.ClientConfig{Addrs: d.addrsWithout(paused), Timeout: 10 * time.Second})
	if err != nil {
		return "", err
	}
	defer others.Close()
	start := time.Now()
	paused.signal(syscall.SIGSTOP, false)
	defer paused.signal(syscall.SIGCONT, false)
	up, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	// A write alone proves nothing: the leader may have answered it before the signal has reached all its threads.
	now, err := d.fleet.await(up, others, func(s api.Status) bool { return s.Leader != "" && s.Leader != paused.name })
	if err != nil {
		return "", fmt.Errorf("nobody leads while %s is paused", paused.name)
	}
	if _, err := others.Put(ctx, "demo/while-paused", []byte("new"), api.WriteOptions{}); err != nil {
		return "", err
	}
	d.acked["demo/while-paused"] = "new"
	took := time.Since(start)
	paused.signal(syscall.SIGCONT, false)
	own, err := api.NewClient(api.ClientConfig{Addrs: []string{paused.api()}, Timeout: 10 * time.Second})
	if err != nil {
		return "", err
	}
	defer own.Close()
	entry, _, err := own.Get(ctx, "demo/while-paused", api.ReadOptions{})
	if err != nil {
		return "", err
	}
	if string(entry.Value) != "new" {
		return "", fmt.Errorf("%s answers %q after the pause, %q was acknowledged", paused.name, entry.Value, "new")
	}
	return fmt.Sprintf("%s leads after %d ms; %s came back and reads nothing stale", now.Leader, took.Milliseconds(), paused.name), nil
}

func (d *demo) addrsWithout(c *child) []string {
	return slices.DeleteFunc(d.fleet.addrs(), func(addr string) bool { return addr == c.api() })
}

// compare waits until all nodes have applied the same index and looks at their digests.
func (d *demo) compare(ctx context.Context) (string, error) {
	var names []string
	for _, c := range d.fleet.nodes {
		names = append(names, c.name)
	}
	return sameDigests(ctx, names, d.digests)
}

// sameDigests waits until the nodes are at the same index, where their digests must be equal.
func sameDigests(ctx context.Context, names []string, read func(context.Context) ([]api.Digest, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		digests, err := read(ctx)
		if err == nil && allEqual(digests) {
			return fmt.Sprintf("equal: digest %s at index %d", digests[0].Sum, digests[0].Index), nil
		}
		for i := range digests {
			if err == nil && digests[i].Index == digests[0].Index && digests[i].Sum != digests[0].Sum {
				return "", fmt.Errorf("%s differs from %s at index %d", names[i], names[0], digests[0].Index)
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("the nodes did not come to the same index: %v", digests)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (d *demo) digests(ctx context.Context) ([]api.Digest, error) {
	var digests []api.Digest
	for _, c := range d.fleet.nodes {
		client, err := api.NewClient(api.ClientConfig{Addrs: []string{c.api()}, Timeout: 2 * time.Second})
		if err != nil {
			return nil, err
		}
		status, err := client.Status(ctx, true)
		client.Close()
		if err != nil {
			return nil, err
		}
		digests = append(digests, status.Digest)
	}
	return digests, nil
}

func allEqual[T comparable](list []T) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(v T) bool { return v != list[0] })
}

// lockedBuffer keeps the last lines that the nodes have logged.
type lockedBuffer struct {
	mu  sync.Mutex
	buf []byte
}

const keptLog = 8 << 10

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = append(b.buf, p...)
	if extra := len(b.buf) - keptLog; extra > 0 {
		b.buf = b.buf[extra:]
	}
	return len(p), nil
}

func (b *lockedBuffer) tail() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(bytes.TrimSpace(b.buf))
}
