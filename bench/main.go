// Command bench loads Synod and other replicated logs in the same way on the same
// machine and compares them. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: bench VERB [flags]

	run       compare throughput, latency, CPU and memory of engines
	failover  kill -9 the leader under load and time the next acknowledged write
	catchup   start a replica that was stopped and time until it has what it missed
	changes   change the membership under load: the stall, and the rate outside it
	coordination  compare the coordination service with ZooKeeper
	sessions  keep many sessions open while the leader is killed again and again
	tasks     launch tasks, kill masters and agents, and time what comes of it
	disk      time what disk and loopback allow at best

bench VERB -h lists the flags of a verb.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := dispatch(ctx, os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, arguments []string) error {
	if len(arguments) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return errors.New("no verb given")
	}
	verb, rest := arguments[0], arguments[1:]
	switch verb {
	case "run":
		return runComparison(ctx, rest, os.Stdout)
	case "failover":
		return runFailover(ctx, rest, os.Stdout)
	case "catchup":
		return runCatchUp(ctx, rest, os.Stdout)
	case "changes":
		return runChanges(ctx, rest, os.Stdout)
	case "coordination":
		return runCoordination(ctx, rest, os.Stdout)
	case "tasks":
		return runTasks(ctx, rest, os.Stdout)
	case "disk":
		return runDisk(ctx, rest, os.Stdout)
	case "sessions":
		return runSessions(ctx, rest, os.Stdout)
	case "hold":
		return runHold(rest)
	case "serve":
		return serve(rest)
	default:
		fmt.Fprint(os.Stderr, usage)
		return fmt.Errorf("no verb %q", verb)
	}
}

// report says what went wrong where nobody can be told by an error value.
func report(what string, err error) { slog.Error(what, "error", err) }
