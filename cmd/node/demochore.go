package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// choreBeat is how often a chore says that it goes on, and choreTime how long it does so at most.
const (
	choreBeat = 50 * time.Millisecond
	choreTime = 3 * time.Minute
)

// choreFlags say what a task of a demo does.
type choreFlags struct {
	ledgers, unit string
	until         string
	code, signal  int
}

// demoChoreCommand is the task of demos: it writes each line of its output into a ledger too, from which the demo
// sees what it did without asking the cluster.
func (a *app) demoChoreCommand() *cobra.Command {
	f := &choreFlags{}
	c := &cobra.Command{
		Use: "chore", Short: "a task of the demos", Args: cobra.NoArgs, Hidden: true,
		Example: a.example("demo chore --ledgers . --unit u1"),
		RunE:    func(c *cobra.Command, _ []string) error { return a.chore(c.Context(), f) },
	}
	c.Flags().StringVar(&f.ledgers, "ledgers", "", "directory of the ledgers")
	c.Flags().StringVar(&f.unit, "unit", "", "name of its ledger; default that of the instance of a job")
	c.Flags().StringVar(&f.until, "until", "", "file whose existence ends it")
	c.Flags().IntVar(&f.code, "code", 0, "exit code")
	c.Flags().IntVar(&f.signal, "signal", 0, "signal by which it ends itself instead")
	return c
}

func (a *app) chore(ctx context.Context, f *choreFlags) error {
	unit := f.unit
	if unit == "" {
		unit = os.Getenv("SYNOD_JOB") + "." + os.Getenv("SYNOD_INSTANCE")
	}
	name := filepath.Join(f.ledgers, unit)
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return &api.Error{Code: api.CodeData, Message: "the chore has no ledger", Why: plain(err)}
	}
	defer file.Close()
	write := func(word string, n int) error {
		_, err := fmt.Fprintf(file, "%d %s %d %d\n", time.Now().UnixNano(), word, os.Getpid(), n)
		return err
	}
	if err := write("start", 0); err != nil {
		return err
	}
	beat, end := time.NewTicker(choreBeat), time.After(choreTime)
	defer beat.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			_ = write("term", 0) // who reads it sees that it is missing
			return ctx.Err()
		case <-end:
			return write("exit", 0)
		case <-beat.C:
		}
		fmt.Fprintf(a.out, "line %d of %s\n", n, unit)
		if err := write("line", n); err != nil {
			return err
		}
		if allFree([]string{filepath.Join(f.ledgers, "..", tempLock)}) {
			return nil // the demo was killed, maybe together with all that would end its tasks
		}
		if _, err := os.Stat(f.until); f.until != "" && err == nil {
			return f.end(write)
		}
	}
}

// end ends the chore as it is to end.
func (f *choreFlags) end(write func(string, int) error) error {
	word, n := "exit", f.code
	if f.signal != 0 {
		word, n = "signal", f.signal
	}
	if err := write(word, n); err != nil {
		return err
	}
	switch {
	case f.signal == 0 && f.code == 0:
		return nil
	case f.signal == 0:
		return silent(f.code)
	}
	if err := syscall.Kill(os.Getpid(), syscall.Signal(f.signal)); err != nil {
		return err
	}
	select {} // it comes at once
}

// ledgerLine is what a chore has done.
type ledgerLine struct {
	at   time.Time
	word string // start, line, term, exit, signal
	pid  int
	n    int
}

// ledger is what all processes of one unit have written, in order.
type ledger []ledgerLine

// readLedger reads a ledger that may grow meanwhile; there may be none yet.
func readLedger(dir, unit string) (ledger, error) {
	text, err := os.ReadFile(filepath.Join(dir, unit))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return parseLedger(unit, text)
}

// parseLedger leaves out a last line that is not whole.
func parseLedger(unit string, text []byte) (l ledger, err error) {
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var nanos int64
		var e ledgerLine
		if _, err := fmt.Sscan(line, &nanos, &e.word, &e.pid, &e.n); err != nil {
			return nil, fmt.Errorf("the ledger of %s has the line %q", unit, line)
		}
		e.at = time.Unix(0, nanos)
		l = append(l, e)
	}
	return l, nil
}

// starts are the processes, in order.
func (l ledger) starts() (pids []int) {
	for _, e := range l {
		if e.word == "start" {
			pids = append(pids, e.pid)
		}
	}
	return pids
}

// lines is the number of the last line of its output.
func (l ledger) lines() (n int) {
	for _, e := range l {
		if e.word == "line" {
			n = e.n
		}
	}
	return n
}

// ended is the line by which it has ended.
func (l ledger) ended() (ledgerLine, bool) {
	if len(l) == 0 {
		return ledgerLine{}, false
	}
	last := l[len(l)-1]
	return last, last.word == "exit" || last.word == "signal" || last.word == "term"
}

// silence is the longest time between two lines after since.
func (l ledger) silence(since time.Time) (longest time.Duration) {
	for i := 1; i < len(l); i++ {
		if l[i].at.After(since) {
			longest = max(longest, l[i].at.Sub(l[i-1].at))
		}
	}
	return longest
}
