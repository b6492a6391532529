package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

func (a *app) execCommand() *cobra.Command {
	var noStdin bool
	c := &cobra.Command{
		Use: "exec JOB.INDEX|TASK -- CMD [ARG...]", Short: "run a command beside a task", Args: ownArgs(1, true),
		Long: "Run CMD on the agent of a task, in the task's sandbox, with its environment and its limits. CMD reads our standard\n" +
			"input, writes to our streams, and its exit code is the verb's; 126 and 127: CMD cannot be run, or is not there. It is\n" +
			"killed when we end. It has no terminal.",
		Example: a.example("exec web.0 -- ps", "exec web.0 --no-stdin -- cat config.yaml"),
		RunE: func(c *cobra.Command, args []string) error {
			own, command := splitCommand(c, args)
			return a.exec(c.Context(), own[0], command, noStdin)
		},
	}
	c.Flags().BoolVar(&noStdin, "no-stdin", false, "CMD reads nothing: ours is left for others")
	return c
}

func (a *app) exec(ctx context.Context, name string, command []string, noStdin bool) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	_, targets, err := find(ctx, client, name)
	if err != nil {
		return err
	}
	if len(targets) != 1 {
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%s has %d instances", name, len(targets)), Why: "a command runs beside one",
			Do: []string{fmt.Sprintf("node exec %s -- %s", targets[0].label, command[0])}}
	}
	o := api.ExecOptions{Argv: command, Stdout: a.out, Stderr: a.err}
	if !noStdin {
		o.Stdin = a.in
	}
	code, err := client.Exec(ctx, targets[0].framework, targets[0].task, o)
	if e, is := errors.AsType[*api.Error](err); is && e.Code == api.CodeNotFound && strings.Contains(e.Message, "command") {
		code := exitNoCommand
		if !strings.Contains(e.Why, "does not exist") && !strings.Contains(e.Why, "no such file") && !strings.Contains(e.Why, "not found") {
			code = exitCannotRun
		}
		return &exitWith{code, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("the command %q cannot be run beside %s", command[0], targets[0].label), Why: e.Why}}
	}
	if err != nil {
		return err
	}
	return silent(code)
}
