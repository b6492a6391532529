package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

// elect takes part in an election, or looks on.
type elect struct {
	*app
	commandFlags
	sessionFlags
	value   string
	observe bool
	fence   bool
	task    string
	fencer  *fencer // nil: without --fence
}

func (a *app) electCommand() *cobra.Command {
	e := &elect{app: a}
	c := &cobra.Command{
		Use: "elect NAME [-- CMD [ARG...]]", Short: "take part in an election, and run a command while leading", Args: ownArgs(1, false),
		Long: "Campaign for the leadership of NAME, a key below which the candidates stand in the order of arrival. Without CMD\n" +
			"a line tells of each new leader, and the leadership is held until Ctrl-C. CMD runs only while this process leads:\n" +
			"when the leadership is lost CMD gets SIGTERM and, after --grace, SIGKILL, and the campaign begins again. When CMD\n" +
			"ends by itself the leadership is given up; its exit code is the verb's.\n\n" +
			"CMD finds SYNOD_ELECTION, SYNOD_TOKEN and SYNOD_SESSION in its environment. A leader that was paused does not\n" +
			"know yet that there is another: what it writes to must refuse a token lower than the highest it has seen.\n\n" +
			"With --fence the leader before, if it has not given up the leadership by itself, is killed as a task of the cluster\n" +
			"and known to have ended before CMD begins: two never run at once. As long as nobody can know that, CMD waits. All\n" +
			"candidates must be tasks of the cluster, and all must use --fence.",
		Example: a.example("elect web --value 10.0.0.1:8080", "elect web --value 10.0.0.1:8080 -- ./serve", "elect web --fence -- ./serve",
			"elect web --observe"),
		RunE: func(c *cobra.Command, args []string) error {
			own, command := splitCommand(c, args)
			return e.run(c, strings.Trim(own[0], "/"), command)
		},
	}
	e.commandFlags.add(c)
	e.sessionFlags.add(c)
	c.Flags().StringVar(&e.value, "value", "", "what others see of the leader: an address that proxy can follow, for example. Default: host and process")
	c.Flags().BoolVar(&e.observe, "observe", false, "only look on, and tell of each new leader")
	c.Flags().BoolVar(&e.fence, "fence", false, "end the leader before, as a task of the cluster, before CMD begins")
	c.Flags().StringVar(&e.task, "task", "", "the task that this process belongs to, for --fence: TASK, or FRAMEWORK/TASK. Default: the one that SYNOD_FRAMEWORK and SYNOD_TASK name")
	return c
}

func (e *elect) run(c *cobra.Command, name string, args []string) error {
	ctx := c.Context()
	switch {
	case e.observe && len(args) > 0:
		return e.usageError(c, "who only looks on never leads, and so never runs CMD")
	case e.fence && len(args) == 0:
		return e.usageError(c, "--fence is about CMD, and there is none")
	case e.task != "" && !e.fence:
		return e.usageError(c, "--task is for --fence")
	case e.observe:
		return endsWith(ctx, e.look(ctx, name))
	case len(args) == 0:
		return endsWith(ctx, e.repeat(ctx, func() (bool, error) { return e.hold(ctx, name) }))
	}
	cmd, err := e.commandFor(args, e.commandFlags)
	if err != nil {
		return err
	}
	if e.fence {
		if e.fencer, err = e.newFencer(ctx, name, e.task); err != nil {
			return err
		}
		defer e.fencer.client.Close()
	}
	return e.repeat(ctx, func() (bool, error) { return e.lead(ctx, name, cmd) })
}

// endsWith is the result of a verb that goes on until the user ends it.
func endsWith(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return silent(api.ExitOK)
	}
	return err
}

// look tells of each leader.
func (e *elect) look(ctx context.Context, name string) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	return recipes.Observe(ctx, client, name, func(l recipes.Leader) error { e.tell(l); return nil })
}

// hold campaigns and holds the leadership until it is lost or ctx ends, and tells of each leader.
func (e *elect) hold(ctx context.Context, name string) (lost bool, err error) {
	s, err := e.openSession(ctx, e.sessionFlags)
	if err != nil {
		return false, err
	}
	defer e.endSession(ctx, s)
	watch, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan error, 1)
	go func() {
		watched <- recipes.Observe(watch, s.Client(), name, func(l recipes.Leader) error { e.tell(l); return nil })
	}()
	held, err := recipes.Campaign(ctx, s, name, []byte(cmp.Or(e.value, whoami())))
	if err != nil {
		return closed(s.Lost()), err
	}
	e.hint("this process leads %q, token %d", name, held.Token())
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case err := <-watched:
		return false, err
	case <-held.Lost():
		e.hint("this process leads %q no more: %s", name, lostWords(held.Err()))
		return true, nil
	}
}

// lead campaigns and runs the command while it leads.
func (e *elect) lead(ctx context.Context, name string, cmd *command) (lost bool, err error) {
	s, err := e.openSession(ctx, e.sessionFlags)
	if err != nil {
		return false, err
	}
	defer e.endSession(ctx, s)
	held, err := recipes.Campaign(ctx, s, name, []byte(cmp.Or(e.value, whoami())))
	if err != nil {
		return closed(s.Lost()), err
	}
	e.hint("this process leads %q, token %d", name, held.Token())
	leave, err := e.takeOver(ctx, held)
	if err != nil {
		return closed(held.Lost()), err
	}
	defer leave()
	if closed(held.Lost()) {
		return true, nil
	}
	done, err := cmd.run(ctx, held.Lost(), append(leaderEnv(name, held.Token()), "SYNOD_SESSION="+s.Token())...)
	if err != nil {
		return false, err
	}
	if done.stopped {
		e.hint("this process leads %q no more: %s; the command was ended", name, lostWords(held.Err()))
		return true, nil
	}
	return false, silent(done.code)
}

// takeOver ends the leader before, with --fence. leave is to be called when our command has ended.
func (e *elect) takeOver(ctx context.Context, held *recipes.Held) (leave func(), err error) {
	f := e.fencer
	if f == nil {
		return func() {}, nil
	}
	self, err := json.Marshal(f.self)
	if err != nil {
		return nil, err
	}
	tenure, err := held.TakeOver(ctx, self, f.end)
	if err != nil {
		return nil, err
	}
	return func() {
		ctx, cancel := e.lastWords(ctx)
		defer cancel()
		err := endLeftovers(ctx, leaderEnv(f.election, held.Token()))
		if err == nil {
			err = tenure.Over(ctx, f.client)
		}
		if err != nil {
			e.hint("the next leader will end this task, as it was not told that the command has ended: %s", plain(err))
		}
	}, nil
}

// leaderLine is a leader as elect --observe writes it.
type leaderLine struct {
	Value *string `json:"value,omitempty"`
	Bytes []byte  `json:"value_base64,omitempty"`
	Token uint64  `json:"token"`
}

// tell writes a line about who leads.
func (e *elect) tell(l recipes.Leader) {
	if e.output == "json" {
		line := leaderLine{Token: l.Token}
		if l.Token != 0 {
			line.Value, line.Bytes = textOrBytes(l.Value)
		}
		_ = e.line(line) // a closed pipe ends the program
		return
	}
	if l.Token == 0 {
		fmt.Fprintln(e.out, "nobody leads")
		return
	}
	fmt.Fprintf(e.out, "%s leads, token %d\n", shown(l.Value), l.Token)
}

// textOrBytes is a value for JSON: text, or what is written in base64 if it is none.
func textOrBytes(value []byte) (*string, []byte) {
	if !utf8.Valid(value) {
		return nil, value
	}
	text := string(value)
	return &text, nil
}

// shown is a value as a line shows it.
func shown(value []byte) string {
	if !utf8.Valid(value) {
		return fmt.Sprintf("(%d bytes)", len(value))
	}
	text := string(value)
	if quoted := strconv.Quote(text); text == "" || len(quoted) != len(text)+2 {
		return quoted
	}
	return text
}

// errEnough ends a watch that has told enough.
var errEnough = errors.New("enough")
