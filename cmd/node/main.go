package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/synod-go/synod/api"
)

// version is set by the linker (see Makefile); it is what VERSION says.
var version = "0.1.0-dev"

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }

// run is main for tests: the exit code is its result.
func run(args []string, in io.Reader, out, err io.Writer) int {
	ctx, stop := interruptible()
	defer stop()
	a := &app{program: programName(args[0]), in: in, out: out, err: err}
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

// interruptible returns a context that the first SIGINT or SIGTERM ends; a second
// one a little later ends the process at once.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
			return
		}
		for first := time.Now(); time.Since(first) < secondSignal; {
			<-signals
		}
		os.Exit(api.ExitInterrupted)
	}()
	return ctx, func() { signal.Stop(signals); cancel() }
}
