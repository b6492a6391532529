package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/mesos"
)

// supervisionDemo is a tree of workers in this process, and one in a process of its own.
type supervisionDemo struct {
	*demo
	dir  string
	tree *synod.Supervised

	mu     sync.Mutex
	events []synod.SupervisionEvent
	told   chan struct{}        // has room for one
	fail   map[string]chan bool // a child panics when it is told here
}

func (a *app) demoSupervisionCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "supervision", Short: "a worker that panics, and one that is killed: restart, intensity, escalation", Args: cobra.NoArgs,
		Long: "Start a tree of workers under two supervisors. Let one panic, then one on which others depend, then one more often\n" +
			"than its supervisor allows. Kill -9 a worker in a process of its own, again and again, and count its events. It ends\n" +
			"by itself with PASS (exit code 0) or FAIL (1).",
		Example: a.example("demo supervision", "demo supervision --output json"),
		RunE: func(c *cobra.Command, _ []string) error {
			d := &supervisionDemo{demo: &demo{app: a}, told: make(chan struct{}, 1), fail: map[string]chan bool{}}
			return d.run(c.Context())
		},
	}
	c.AddCommand(a.demoImporterCommand())
	return c
}

func (d *supervisionDemo) run(ctx context.Context) error {
	dir, remove, err := d.dataDir("")
	if err != nil {
		return err
	}
	defer remove()
	d.dir, d.next = dir, []string{"demo agent-recovery   kill -9 what runs tasks: they go on"}
	defer func() {
		if d.tree != nil {
			_ = d.tree.Stop(context.WithoutCancel(ctx))
		}
	}()
	return d.perform(ctx, []demoAct{
		{"start a tree of supervisors and workers", d.grow},
		{"web panics: it alone starts again", d.panicOne},
		{"disk panics: rest_for_one takes cache along", d.panicRest},
		{"once more: store gives up, app restarts it", d.escalate},
		{"one more than app allows: the tree ends", d.giveUp},
		{"kill -9 a process with a worker, 5 times", d.killImporter},
	}, d.showTree)
}

// child works until it is told to stop, or to panic.
func (d *supervisionDemo) child(id string) synod.Child {
	trigger := make(chan bool)
	d.fail[id] = trigger
	return synod.Child{ID: id, Run: func(ctx context.Context) error {
		select {
		case <-trigger:
			panic(id + " is on fire")
		case <-ctx.Done():
			return nil
		}
	}}
}

func (d *supervisionDemo) grow(ctx context.Context) (string, error) {
	store := synod.Supervision{Strategy: synod.RestForOne, Intensity: 1, Period: time.Minute,
		Children: []synod.Child{d.child("disk"), d.child("cache")}}
	tree, err := synod.Supervise(context.WithoutCancel(ctx), synod.Supervision{Name: "app", Intensity: 2, Period: time.Minute, Event: d.note,
		Children: []synod.Child{d.child("web"), {ID: "store", Supervise: &store}}})
	if err != nil {
		return "", err
	}
	d.tree = tree
	return "2 supervisors, 3 workers", d.await(ctx, func() bool { return d.starts("app/store/cache") == 1 })
}

func (d *supervisionDemo) note(e synod.SupervisionEvent) {
	d.mu.Lock()
	d.events = append(d.events, e)
	d.mu.Unlock()
	select {
	case d.told <- struct{}{}:
	default:
	}
}

// await waits for what the events say.
func (d *supervisionDemo) await(ctx context.Context, ok func() bool) error {
	for !ok() {
		select {
		case <-d.told:
		case <-ctx.Done():
			return errors.New("it did not come to that in time")
		}
	}
	return nil
}

func (d *supervisionDemo) count(path string, kind synod.SupervisionKind) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events {
		if e.Path == path && e.Kind == kind {
			n++
		}
	}
	return n
}

func (d *supervisionDemo) starts(path string) int { return d.count(path, synod.ChildStarted) }

// panicOf has a child panic and waits for what follows.
func (d *supervisionDemo) panicOf(ctx context.Context, id string, then func() bool) error {
	select {
	case d.fail[id] <- true:
		return d.await(ctx, then)
	case <-ctx.Done():
		return fmt.Errorf("%s does not run", id)
	}
}

func (d *supervisionDemo) panicOne(ctx context.Context) (string, error) {
	err := d.panicOf(ctx, "web", func() bool { return d.starts("app/web") == 2 })
	if err == nil && d.starts("app/store/disk")+d.starts("app/store/cache") != 2 {
		err = errors.New("others were started again too")
	}
	return "restart 1 of 2 within 1 min", err
}

func (d *supervisionDemo) panicRest(ctx context.Context) (string, error) {
	err := d.panicOf(ctx, "disk", func() bool { return d.starts("app/store/disk") == 2 && d.starts("app/store/cache") == 2 })
	if err == nil && d.starts("app/web") != 2 {
		err = errors.New("the web was started again too")
	}
	return "disk and cache started again, the web was not touched", err
}

func (d *supervisionDemo) escalate(ctx context.Context) (string, error) {
	err := d.panicOf(ctx, "disk", func() bool { return d.starts("app/store") == 2 && d.starts("app/store/cache") == 3 })
	if err == nil && d.count("app/store", synod.GaveUp) != 1 {
		err = errors.New("the store did not give up")
	}
	return "intensity 1 was used up: restart 2 of 2 of app", err
}

func (d *supervisionDemo) giveUp(ctx context.Context) (string, error) {
	if err := d.panicOf(ctx, "web", func() bool { return d.count("app", synod.GaveUp) == 1 }); err != nil {
		return "", err
	}
	err := d.tree.Wait(ctx)
	if _, ok := errors.AsType[*synod.EscalationError](err); !ok {
		return "", fmt.Errorf("the tree ended with %v", err)
	}
	return strings.TrimPrefix(err.Error(), "synod: "), nil
}

// showTree shows what runs, below the line of a step.
func (d *supervisionDemo) showTree() {
	if d.output == "json" || d.tree == nil {
		return
	}
	top := d.tree.Tree()
	fmt.Fprintf(d.out, "      %s  %s\n", top.ID, stateWord(top.State))
	d.showChildren(top.Children, "      ")
	if top.State == mesos.ChildDown {
		d.tree = nil
	}
}

func (d *supervisionDemo) showChildren(children []synod.ChildStatus, indent string) {
	for i, c := range children {
		branch, below := "├─ ", "│  "
		if i == len(children)-1 {
			branch, below = "└─ ", "   "
		}
		line := fmt.Sprintf("%s%s%s  %s, %d starts", indent, branch, c.ID, stateWord(c.State), c.Starts)
		if c.Failure != nil {
			last := c.Failure
			if e, ok := errors.AsType[*synod.EscalationError](last); ok {
				last = fmt.Errorf("gave up: %w", e.Err)
			}
			line += ", last failure: " + last.Error()
		}
		fmt.Fprintln(d.out, line)
		d.showChildren(c.Children, indent+below)
	}
}

func stateWord(s mesos.ChildState) string {
	return [...]string{"down", "waiting", "running", "stopping", "killing"}[min(s, mesos.ChildKilling)]
}

const importerChunks = 100

// killImporter kills the process whenever it has acknowledged some more.
func (d *supervisionDemo) killImporter(ctx context.Context) (string, error) {
	dir := filepath.Join(d.dir, "importer")
	acknowledged, kills := 0, 0
	for {
		chunk, err := d.importUntil(ctx, dir, &acknowledged, kills < 5)
		if err != nil {
			return "", err
		}
		if chunk == importerChunks {
			return fmt.Sprintf("%d kills, %d chunks, each once and in order", kills, chunk), nil
		}
		kills++
	}
}

// importUntil runs an importer until it is done or, with kill, a while. It looks that nothing that was
// acknowledged is missing at its start.
func (d *supervisionDemo) importUntil(ctx context.Context, dir string, acknowledged *int, kill bool) (chunk int, err error) {
	path, err := os.Executable()
	if err != nil {
		return 0, err
	}
	c := exec.CommandContext(ctx, path, "demo", "supervision", "importer", dir)
	c.Args[0] = "node" // by which the test binary knows what to be
	c.SysProcAttr = childAttributes()
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Wait() }()
	first := *acknowledged
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word, n := "", 0
		if _, err := fmt.Sscan(lines.Text(), &word, &n); err != nil {
			return 0, fmt.Errorf("the importer says %q", lines.Text())
		}
		switch {
		case word == "has" && n < *acknowledged:
			return 0, fmt.Errorf("chunk %d was acknowledged, and %d are there", *acknowledged, n)
		case word == "done":
			*acknowledged = n
		case word == "wrong":
			return 0, fmt.Errorf("%d chunks are not each there once and in order", n)
		}
		if word == "done" && kill && n >= first+15 {
			_ = c.Process.Kill()
		}
	}
	return *acknowledged, ctx.Err()
}

// demoImporterCommand is the process that is killed: a worker whose events are the chunks.
func (a *app) demoImporterCommand() *cobra.Command {
	return &cobra.Command{
		Use: "importer DIR", Short: "a process of demo supervision", Args: cobra.ExactArgs(1), Hidden: true, Example: a.example("demo supervision importer data"),
		RunE: func(c *cobra.Command, args []string) error { return importChunks(c.Context(), args[0], a.out) },
	}
}

func importChunks(ctx context.Context, dir string, out io.Writer) error {
	w, err := synod.OpenWorker(ctx, synod.WorkerConfig{Name: "importer", Dir: dir}, nil,
		func(chunks *[]int, chunk int) { *chunks = append(*chunks, chunk) },
		func(_ []int, chunk int) ([]int, error) { return []int{chunk}, nil })
	if err != nil {
		return err
	}
	defer w.Close()
	say := func(word string) error {
		return w.View(ctx, func(chunks []int) {
			if !slices.IsSorted(chunks) || len(chunks) > 0 && chunks[len(chunks)-1] != len(chunks) {
				word = "wrong"
			}
			fmt.Fprintln(out, word, len(chunks))
		})
	}
	if err := say("has"); err != nil {
		return err
	}
	for chunk := 1; chunk <= importerChunks; chunk++ { // those that are done are not done again
		if err := w.Do(ctx, fmt.Sprint("chunk-", chunk), chunk); err != nil {
			return err
		}
		fmt.Fprintln(out, "done", chunk)
	}
	return say("end")
}
