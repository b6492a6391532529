package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

func (a *app) barrierCommand() *cobra.Command {
	c := &cobra.Command{Use: "barrier", Short: "hold processes back, and let them go together",
		Long: "A barrier is a key: while it is there, whoever waits at it is held back. With enter, a number of processes wait for\n" +
			"each other at the beginning and at the end of what they do.",
		Example: a.example("barrier raise upgrade", "barrier wait upgrade", "barrier lift upgrade", "barrier enter job --count 3 -- ./work")}
	c.AddCommand(a.barrierChange("raise", "hold back whoever waits, from now on", "raised", recipes.RaiseBarrier),
		a.barrierChange("lift", "let all go who wait", "lifted", recipes.LiftBarrier), a.barrierWait(), a.barrierEnter())
	return c
}

// barrierDone is what raise, lift and wait answer.
type barrierDone struct {
	Barrier string `json:"barrier"`
	Done    string `json:"done"` // "raised", "lifted", "open"
}

func (a *app) barrierChange(verb, short, done string, change func(context.Context, *api.Client, string) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1),
		Long:    strings.ToUpper(short[:1]) + short[1:] + ". It is no error if that was so before.",
		Example: a.example("barrier " + verb + " upgrade"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			name := strings.Trim(args[0], "/")
			if err := change(c.Context(), client, name); err != nil {
				return a.unknownAdvice(err, name)
			}
			return a.answer(barrierDone{name, done}, func(w io.Writer) { fmt.Fprintf(w, "%s %s\n", name, done) })
		},
	}
}

func (a *app) barrierWait() *cobra.Command {
	var f waitFlag
	c := &cobra.Command{
		Use: "wait NAME", Short: "wait until a barrier is lifted", Args: cobra.ExactArgs(1),
		Long:    "Wait until a barrier is lifted; at once if it is not there. Exit code 5 if --wait is over first.",
		Example: a.example("barrier wait upgrade", "barrier wait upgrade --wait 10m"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			name := strings.Trim(args[0], "/")
			wait, cancel := f.context(c.Context())
			defer cancel()
			if err := recipes.AwaitBarrier(wait, client, name); err != nil {
				if f.over(c.Context(), wait) {
					return notInTime(fmt.Sprintf("the barrier %q still stands", name), f, "node barrier lift "+name)
				}
				return err
			}
			return a.answer(barrierDone{name, "open"}, func(w io.Writer) { fmt.Fprintf(w, "%s open\n", name) })
		},
	}
	f.add(c, "for it to be lifted")
	return c
}

func notInTime(what string, f waitFlag, do string) error {
	return &api.Error{Code: api.CodeTimeout, Message: what, Why: fmt.Sprintf("--wait %v is over", f.limit), Do: []string{do}}
}

// rendezvous runs a command together with those of others.
type rendezvous struct {
	*app
	commandFlags
	sessionFlags
	wait  waitFlag
	count int
}

func (a *app) barrierEnter() *cobra.Command {
	r := &rendezvous{app: a}
	c := &cobra.Command{
		Use: "enter NAME --count N -- CMD [ARG...]", Short: "begin and end a command together with others", Args: ownArgs(1, true),
		Long: "Wait until N processes have entered NAME, run CMD, and wait until all have ended theirs, or are gone. CMD's exit code\n" +
			"is the verb's; 5 if --wait is over before all have entered; 75 if the session was lost while CMD ran, which ends CMD.",
		Example: a.example("barrier enter job --count 3 -- ./work"),
		RunE: func(c *cobra.Command, args []string) error {
			own, command := splitCommand(c, args)
			return r.run(c.Context(), strings.Trim(own[0], "/"), command)
		},
	}
	r.commandFlags.add(c)
	r.sessionFlags.add(c)
	r.wait.add(c, "for the others to enter")
	c.Flags().IntVar(&r.count, "count", 0, "how many begin together, 1 or more")
	return c
}

func (r *rendezvous) run(ctx context.Context, name string, args []string) error {
	if r.count < 1 {
		return &api.Error{Code: api.CodeUsage, Message: "--count must say how many begin together", Why: fmt.Sprintf("it is %d", r.count),
			Do: []string{"node barrier enter " + name + " --count 3 -- " + strings.Join(args, " ")}}
	}
	cmd, err := r.commandFor(args, r.commandFlags)
	if err != nil {
		return err
	}
	s, err := r.openSession(ctx, r.sessionFlags)
	if err != nil {
		return err
	}
	defer r.endSession(ctx, s)
	wait, cancel := r.wait.context(ctx)
	defer cancel()
	entered, err := recipes.Enter(wait, s, name, r.count)
	if err != nil {
		if r.wait.over(ctx, wait) {
			return notInTime(fmt.Sprintf("fewer than %d have entered %q", r.count, name), r.wait, "who is there:  node kv ls "+name)
		}
		return placeError(name, err)
	}
	done, err := cmd.run(ctx, entered.Lost(), "SYNOD_BARRIER="+name, "SYNOD_SESSION="+s.Token())
	switch {
	case err != nil:
		return err
	case done.stopped:
		why := s.Err()
		if why == nil {
			why = recipes.ErrDeleted
		}
		return lostError(fmt.Sprintf("the place in %q", name), why, "the command was ended; the others take this process for gone")
	}
	if err := entered.Leave(ctx); err != nil {
		return &exitWith{done.codeOr(api.CodeOf(err).Info().Exit), err}
	}
	return silent(done.code)
}

// codeOr is the command's exit code, or another one if that was 0.
func (o outcome) codeOr(other int) int {
	if o.code != 0 {
		return o.code
	}
	return other
}
