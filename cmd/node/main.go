package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/synod-go/synod/api"
)

// version is set by the linker (see Makefile); it is what VERSION says.
var version = "0.1.0-dev"

// gcPercent is the garbage collector's, unless GOGC is set: half of Go's default. What a
// node keeps is small beside what it throws away, and many nodes share machines with others.
const gcPercent = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run is main for tests: the exit code is its result.
func run(args []string, in io.Reader, out, err io.Writer) int {
	ctx, signals := interruptible()
	defer signals.stop()
	a := &app{program: programName(args[0]), in: in, out: out, err: err, signals: signals}
	root := a.root()
	root.SetArgs(args[1:])
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(err)
	if failure := root.ExecuteContext(ctx); failure != nil {
		return a.fail(failure)
	}
	return api.ExitOK
}

// secondSignal is how long after the first signal a second one counts: who ends a
// whole group of processes and each of them, as timeout(1) does, sends two at once.
const secondSignal = 300 * time.Millisecond

// signals are what ends this program before its time, unless a command that it runs
// has them passed on.
type signals struct {
	arrived chan os.Signal
	passed  atomic.Bool // to a command; they do not end this program
	cancel  context.CancelFunc
}

// interruptible returns a context that the first SIGINT or SIGTERM ends; a second
// one a little later ends the process at once.
func interruptible() (context.Context, *signals) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &signals{arrived: make(chan os.Signal, 2), cancel: cancel}
	signal.Notify(s.arrived, os.Interrupt, syscall.SIGTERM)
	go func() {
		if !s.next(ctx.Done()) {
			return
		}
		cancel()
		for first := time.Now(); time.Since(first) < secondSignal; {
			s.next(nil)
		}
		os.Exit(api.ExitInterrupted)
	}()
	return ctx, s
}

// next waits for a signal that is meant for this program.
func (s *signals) next(done <-chan struct{}) bool {
	for {
		select {
		case <-s.arrived:
			if !s.passed.Load() {
				return true
			}
		case <-done:
			return false
		}
	}
}

func (s *signals) stop() {
	signal.Stop(s.arrived)
	s.cancel()
}
