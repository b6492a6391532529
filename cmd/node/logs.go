package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// logReader shows what tasks write.
type logReader struct {
	*app
	follow bool
	tail   int
	only   string // "stdout" or "stderr"; "": both
	client *api.Client

	mu      sync.Mutex // for writing
	running sync.WaitGroup
	seen    map[string]bool // tasks that are shown, or were
	failed  error           // the first failure
	hidden  []string        // of what not all could be read
	width   int             // of prefixes; 0: there are none
}

func (a *app) logsCommand() *cobra.Command {
	l := &logReader{app: a}
	var stdout, stderr bool
	c := &cobra.Command{
		Use: "logs JOB|JOB.INDEX|TASK", Short: "show what tasks write", Args: cobra.ExactArgs(1),
		Long: "Show what a task, or all instances of a job, write to standard output and standard error, each to our own. Lines of\n" +
			"several instances begin with their names. With --follow it goes on, over restarts and lost connections too, until the\n" +
			"task or the job has ended; it begins with the last 10 lines then unless --tail says otherwise. Any unique beginning of\n" +
			"a name will do. It ends with an error if not all could be read.",
		Example: a.example("logs web", "logs web.0 --follow", "logs web --tail 100 --stderr"),
		RunE: func(c *cobra.Command, args []string) error {
			if stdout != stderr {
				l.only = map[bool]string{true: "stdout", false: "stderr"}[stdout]
			}
			if l.follow && !c.Flags().Changed("tail") {
				l.tail = 10
			}
			return l.run(c.Context(), args[0])
		},
	}
	flags := c.Flags()
	flags.BoolVarP(&l.follow, "follow", "f", false, "go on as more is written")
	flags.IntVarP(&l.tail, "tail", "n", 0, "begin that many lines before the end; 0: at the beginning")
	flags.BoolVar(&stdout, "stdout", false, "only what is written to standard output")
	flags.BoolVar(&stderr, "stderr", false, "only what is written to standard error")
	return c
}

// maxLogs is of how many tasks at once logs are shown.
const maxLogs = 100

func (l *logReader) run(ctx context.Context, name string) (err error) {
	if l.tail < 0 {
		return &api.Error{Code: api.CodeUsage, Message: "--tail is 0 or more", Do: []string{"--tail 100"}}
	}
	if l.client, err = l.app.client(); err != nil {
		return err
	}
	job, targets, err := find(ctx, l.client, name)
	if err != nil {
		return err
	}
	if len(targets) > maxLogs {
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%s has %d instances", name, len(targets)), Why: fmt.Sprintf("logs of %d at most are shown at once", maxLogs),
			Do: []string{"name one:  node logs " + targets[0].label}}
	}
	l.seen = map[string]bool{}
	if job != "" && len(targets) > 1 {
		for _, p := range targets {
			l.width = max(l.width, len(p.label))
		}
	}
	if !l.follow {
		return l.once(ctx, targets)
	}
	err = l.goOn(ctx, job, targets)
	if errors.Is(err, context.Canceled) {
		return silent(api.ExitOK)
	}
	return err
}

// once shows what there is, one task after the other. Those that cannot be read hide no others.
func (l *logReader) once(ctx context.Context, targets []target) error {
	for _, p := range targets {
		if p.task == "" {
			continue
		}
		for _, stream := range l.streams() {
			err := l.show(ctx, p, stream, api.LogOptions{Stream: stream, Tail: l.tail})
			if ctx.Err() != nil {
				return cmp.Or(err, ctx.Err())
			}
			if l.note(p, err); api.CodeOf(err) == api.CodeAgent {
				break // it would be waited for once more
			}
		}
	}
	return l.verdict()
}

// note keeps that something of a task could not be read.
func (l *logReader) note(p target, err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = cmp.Or(l.failed, err)
	if !slices.Contains(l.hidden, p.label) {
		l.hidden = append(l.hidden, p.label)
	}
}

// verdict is an error unless all has been shown.
func (l *logReader) verdict() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil || l.width == 0 {
		return l.failed
	}
	e := &api.Error{Code: api.CodeOf(l.failed), Message: "not all that was written is shown: of " + strings.Join(l.hidden, ", ") + " it cannot be read", Why: plain(l.failed)}
	if cause, is := errors.AsType[*api.Error](l.failed); is {
		e.Do = cause.Do
	}
	return e
}

func (l *logReader) streams() []string {
	if l.only != "" {
		return []string{l.only}
	}
	return []string{"stdout", "stderr"}
}

// goOn follows tasks and those that come in their targets, until all have ended.
func (l *logReader) goOn(ctx context.Context, job string, targets []target) error {
	first := true
	for {
		for _, p := range targets {
			if p.task != "" && !l.seen[p.task] {
				l.seen[p.task] = true
				l.begin(ctx, p, first)
			}
		}
		first = false
		if over, err := l.over(ctx, targets, job); over || err != nil {
			l.running.Wait()
			return errors.Join(err, l.verdict())
		}
		select {
		case <-ctx.Done():
			l.running.Wait()
			return ctx.Err()
		case <-time.After(time.Second):
		}
		if targets[0].job == "" {
			continue
		}
		next, err := l.next(ctx, job, targets)
		if err != nil && !passing(err) && api.CodeOf(err) != api.CodeNotFound {
			return err
		}
		if err == nil {
			targets = next
		}
	}
}

// begin follows the streams of a task. Of one that came later nothing is left out.
func (l *logReader) begin(ctx context.Context, p target, first bool) {
	tail := 0
	if first {
		tail = l.tail
	}
	for _, stream := range l.streams() {
		l.running.Go(func() {
			if err := l.show(ctx, p, stream, api.LogOptions{Stream: stream, Tail: tail, Follow: true}); ctx.Err() == nil {
				l.note(p, err)
			}
		})
	}
}

// next are the tasks of the job, or of the instance, as it is now.
func (l *logReader) next(ctx context.Context, job string, targets []target) ([]target, error) {
	j, err := l.client.Job(ctx, targets[0].job)
	if err != nil {
		return nil, err
	}
	var next []target
	for _, i := range j.Instances {
		if p := targetOf(j, i); job != "" || slices.ContainsFunc(targets, func(q target) bool { return q.index == p.index }) {
			next = append(next, p)
		}
	}
	if len(next) == 0 {
		return targets, nil
	}
	return next, nil
}

// over reports whether nothing more can come: the task has ended, or the job has.
func (l *logReader) over(ctx context.Context, targets []target, job string) (bool, error) {
	p := targets[0]
	if p.index >= 0 && p.job != "" {
		j, err := l.client.Job(ctx, p.job)
		switch {
		case api.CodeOf(err) == api.CodeNotFound:
			return true, nil
		case err != nil:
			return false, unlessPassing(err)
		}
		return j.State == "done" || j.State == "failed" || j.State == "stopped", nil
	}
	return true, nil // the stream of a task ends by itself
}

func unlessPassing(err error) error {
	if passing(err) {
		return nil
	}
	return err
}

// show copies one stream of a task to ours.
func (l *logReader) show(ctx context.Context, p target, stream string, o api.LogOptions) error {
	out := l.out
	if stream == "stderr" {
		out = l.err
	}
	w := &lineWriter{mu: &l.mu, out: out}
	if l.width > 0 {
		w.prefix = fmt.Sprintf("%-*s | ", l.width, p.label)
	}
	err := l.client.TaskLog(ctx, p.framework, p.task, o, w)
	w.end()
	if err != nil && l.width > 0 && ctx.Err() == nil {
		l.mu.Lock()
		l.hint("%s: %s cannot be shown: %s", p.label, stream, plain(err))
		l.mu.Unlock()
	}
	return err
}

// lineWriter writes whole lines behind a prefix; without one it writes what comes.
type lineWriter struct {
	mu     *sync.Mutex
	out    io.Writer
	prefix string
	rest   []byte
}

// maxLogLine is how much of a line waits for its end.
const maxLogLine = 64 << 10

func (w *lineWriter) Write(p []byte) (int, error) {
	if w.prefix == "" {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.out.Write(p)
	}
	for _, c := range p {
		if w.rest = append(w.rest, c); c == '\n' || len(w.rest) >= maxLogLine {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	return len(p), nil
}

func (w *lineWriter) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := append([]byte(w.prefix), w.rest...)
	if line[len(line)-1] != '\n' {
		line = append(line, '\n')
	}
	w.rest = w.rest[:0]
	_, err := w.out.Write(line)
	return err
}

// end writes a last line without its end.
func (w *lineWriter) end() {
	if len(w.rest) > 0 {
		_ = w.flush() // a closed pipe needs no report
	}
}
