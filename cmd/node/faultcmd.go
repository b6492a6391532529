package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// faultWords are what the verbs of fault say of themselves.
var faultWords = []struct {
	kind        api.FaultKind
	use, short  string
	long        string
	examples    []string
	least, most int
}{
	{api.FaultKill, "kill NODE...", "end a node or an agent as kill -9 does", "End the process of a node or an agent by SIGKILL. An agent's tasks run on.",
		[]string{"fault kill n2", "fault kill n2 --for 10s"}, 1, 18},
	{api.FaultRestart, "restart NODE...", "start a node or an agent again", "Start a node or an agent again: after it was killed, or, while it runs, after a node has stopped in order and an agent was\nkilled, since its tasks are to live on.",
		[]string{"fault restart n2"}, 1, 18},
	{api.FaultPause, "pause NODE...", "stop a process where it stands (SIGSTOP)", "Stop the process of a node or an agent where it stands: it keeps its connections, and neither reads nor writes.",
		[]string{"fault pause n1 --for 5s"}, 1, 18},
	{api.FaultResume, "resume NODE...", "let a process that is paused go on", "Let a process that is paused go on (SIGCONT).", []string{"fault resume n1"}, 1, 18},
	{api.FaultCut, "cut NODE...", "cut the network between these and all others", "Let nothing pass between these nodes and agents and all others: neither logs nor gossip nor requests that are sent on. People\nare not cut off.",
		[]string{"fault cut n1", "fault cut n1 n2 --for 10s"}, 1, 18},
	{api.FaultSlow, "slow NODE... --delay TIME", "make the network slow between these and all others", "Make everything between these nodes and agents and all others arrive later, each way.",
		[]string{"fault slow n3 --delay 800ms --for 10s"}, 1, 18},
	{api.FaultHeal, "heal [FAULT|NODE...]", "end faults: one, those of a node, or all", "End a fault, those that concern a node or an agent, or all: what was killed is started again, what was paused goes on.",
		[]string{"fault heal", "fault heal f-3", "fault heal n2"}, 0, 18},
}

func (a *app) faultCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "fault", Short: "kill, pause, cut off and slow down what  dev  has started",
		Long:    "Break the cluster that  dev  has started, and heal it. Other clusters take no faults. What would take the quorum needs --yes.",
		Example: a.example("fault pause n1 --for 10s", "fault cut n1 n2", "fault ls", "fault heal"),
	}
	for _, words := range faultWords {
		f := &api.FaultRequest{Kind: words.kind}
		verb := &cobra.Command{Use: words.use, Short: words.short, Long: words.long, Example: a.example(words.examples...),
			Args: cobra.RangeArgs(words.least, words.most),
			RunE: func(c *cobra.Command, args []string) error { return a.makeFault(c, *f, args) },
		}
		lasts := words.kind == api.FaultKill || words.kind == api.FaultPause || words.kind == api.FaultCut || words.kind == api.FaultSlow
		if lasts {
			verb.Flags().StringVar(&f.For, "for", "", "heal it by itself after that time, 10s for example")
		}
		if words.kind == api.FaultSlow {
			verb.Flags().StringVar(&f.Delay, "delay", "", "how much later everything arrives, each way")
		}
		if lasts || words.kind == api.FaultRestart {
			verb.Flags().BoolVar(&f.Yes, "yes", false, "also if the cluster loses its quorum by it")
		}
		c.AddCommand(verb)
	}
	c.AddCommand(a.faultListCommand())
	return c
}

// makeFault asks for a fault of args, which of heal may be its id.
func (a *app) makeFault(c *cobra.Command, f api.FaultRequest, args []string) error {
	f.Nodes = args
	if f.Kind == api.FaultHeal && len(args) == 1 && strings.HasPrefix(args[0], "f-") {
		f.ID, f.Nodes = args[0], nil
	}
	if err := f.Check(); err != nil {
		return a.usageError(c, err.(*api.Error).Message)
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	// A list is asked for anew where nobody answers, a fault is not: who may stand still is passed over first.
	if _, err := client.Faults(c.Context()); err != nil {
		return err
	}
	done, err := client.MakeFault(c.Context(), f)
	if err != nil {
		return err
	}
	return a.answer(done, func(w io.Writer) {
		for _, made := range done.Faults {
			fmt.Fprintln(w, strings.TrimPrefix(made.ID+"  "+made.Text, "  ")+endsAfter(made))
			if made.Seen != "" {
				a.hint("%s", made.Seen)
			}
		}
		if len(done.Faults) == 0 {
			fmt.Fprintln(w, "no fault was in force")
		}
	})
}

func endsAfter(f api.Fault) string {
	if f.Until == nil {
		return ""
	}
	return ", for " + time.Until(*f.Until).Round(time.Second).String()
}

// faultLine is what a request is on the command line, behind fault.
func faultLine(f api.FaultRequest) string {
	words := append([]string{string(f.Kind)}, f.Targets()...)
	if f.Delay != "" {
		words = append(words, "--delay", f.Delay)
	}
	if f.For != "" {
		words = append(words, "--for", f.For)
	}
	return strings.Join(words, " ")
}

func (a *app) faultListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "list the faults in force and the processes", Args: cobra.NoArgs, Example: a.example("fault ls", "fault ls --output json"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			list, err := client.Faults(c.Context())
			if err != nil {
				return err
			}
			if err := a.answer(list, func(w io.Writer) { showFaults(w, list) }); err != nil || list.Demo {
				return err
			}
			a.hint("faults are made in demo mode alone:  %s dev", a.program)
			return nil
		},
	}
}

func showFaults(w io.Writer, list api.FaultList) {
	rows := [][]string{{"NODE", "STATE", "PID", "FAULTS"}}
	for _, n := range list.Nodes {
		var ids []string
		for _, f := range list.Faults {
			for _, name := range f.Nodes {
				if name == n.Name {
					ids = append(ids, f.ID)
				}
			}
		}
		rows = append(rows, []string{n.Name, n.State, number(uint64(n.PID)), cmp.Or(strings.Join(ids, ","), "-")})
	}
	columns(w, rows)
	for _, f := range list.Faults {
		fmt.Fprintf(w, "%s  %s%s\n", f.ID, f.Text, endsAfter(f))
	}
}
