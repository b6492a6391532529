package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
)

// configFlags are the flags of "config check" and "config show".
type configFlags struct {
	agent, origin bool
}

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "check and show the configuration of a node or an agent",
		Long: "Check and show the configuration of a node or an agent. Each flag of start and agent is also a key of their\n" +
			"file (--config) and a variable: --api-port, the line  api-port: 4710  and NODE_API_PORT say the same. The\n" +
			"command line is stronger than variables, and they are stronger than the file.",
		Example: a.example("config check server1.yaml", "config show server1.yaml --origin")}
	c.AddCommand(a.configCheck(), a.configShow())
	return c
}

func (a *app) configCheck() *cobra.Command {
	var f configFlags
	c := &cobra.Command{
		Use: "check FILE [-- FLAG...]", Short: "tell all that is wrong with a configuration file",
		Long: "Tell all that is wrong with a configuration file, each with its place in it, and start nothing. Files that it names\n" +
			"are read; whether ports are free is not looked at. What stands behind -- are flags that start would be given beside it.",
		Example: a.example("config check server1.yaml", "config check --agent agent1.yaml", "config check server1.yaml -- --listen 10.0.0.1"),
		Args:    ownArgs(1, false),
		RunE: func(c *cobra.Command, args []string) error {
			own, flags := splitCommand(c, args)
			return a.checkConfig(own[0], flags, f)
		},
	}
	f.add(c)
	return c
}

func (a *app) configShow() *cobra.Command {
	var f configFlags
	c := &cobra.Command{
		Use: "show [FILE] [-- FLAG...]", Short: "show what holds for a node, and where each value comes from",
		Long: "Show what holds for a node that is started with a file, the variables of this environment and the flags behind --,\n" +
			"and with --origin where each value comes from. Without FILE these are the keys that there are, and their defaults.",
		Example: a.example("config show server1.yaml --origin", "config show --agent", "config show server1.yaml --origin -- --voters 5"),
		Args: func(c *cobra.Command, args []string) error {
			if own, _ := splitCommand(c, args); len(own) > 1 {
				return errors.New("wrong arguments")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			own, flags := splitCommand(c, args)
			d, err := a.daemon(strings.Join(own, ""), flags, f)
			if err != nil {
				return err
			}
			return a.showConfig(d.settings, f)
		},
	}
	f.add(c)
	c.Flags().BoolVar(&f.origin, "origin", false, "where each value comes from: a line of the file, a variable, the command line, or the default")
	return c
}

func (f *configFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.agent, "agent", false, "the file is that of an agent, not of a node")
}

// daemon is a node or an agent that is not started.
type daemon struct {
	*settings
	wrong func() []error // what is wrong with the values
}

// daemon settles the flags of start or agent as they would have them.
func (a *app) daemon(file string, flags []string, f configFlags) (*daemon, error) {
	of := &app{program: a.program, in: a.in, out: io.Discard, err: io.Discard}
	root := &cobra.Command{Use: a.program}
	of.globalFlags(root.PersistentFlags())
	start, agent := &startFlags{}, &agentFlags{}
	d, c := &daemon{}, of.startCommand(start)
	d.wrong = func() []error { return of.wrongNode(start) }
	if f.agent {
		c, d.wrong = of.agentCommand(agent), func() []error { return of.wrongAgent(agent) }
	}
	root.AddCommand(c)
	if err := c.ParseFlags(flags); err != nil {
		return nil, of.usageError(c, flagWords(err.Error()))
	}
	if rest := c.Flags().Args(); len(rest) > 0 {
		return nil, of.usageError(c, argumentWords(c, rest))
	}
	var err error
	d.settings, err = settleFlags(c, file)
	return d, err
}

// wrongNode is what start would refuse, but for what it finds on the machine.
func (a *app) wrongNode(f *startFlags) []error {
	config, wrong := a.describeNode(f)
	if _, err := newLogger(io.Discard, f.logFormat, f.logLevel); err != nil {
		wrong = append(wrong, err)
	}
	var err error
	if config.Groups, err = f.groups(nil); err != nil {
		return append(wrong, err)
	}
	config.Insecure = true // who may listen where is judged already, and which engine there is
	for i := range config.Groups {
		config.Groups[i].Engine = synod.Paxos
	}
	for _, err := range eachOf(config.Check()) {
		wrong = append(wrong, &api.Error{Code: api.CodeUsage, Message: configWords(plain(err))})
	}
	return wrong
}

// eachOf are the errors that were joined to one.
func eachOf(err error) (all []error) {
	if joined, are := err.(interface{ Unwrap() []error }); are {
		for _, err := range joined.Unwrap() {
			all = append(all, eachOf(err)...)
		}
		return all
	}
	if err != nil {
		all = append(all, err)
	}
	return all
}

// wrongAgent is what agent would refuse, but for what it finds on the machine.
func (a *app) wrongAgent(f *agentFlags) []error {
	material, noTLS := a.loadTLS()
	var noToken error
	f.token, noToken = a.token()
	_, wrong := f.describe(material)
	_, noLog := newLogger(io.Discard, f.logFormat, f.logLevel)
	for _, err := range []error{noTLS, noToken, noLog} {
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	return wrong
}

// checked is the answer of "config check".
type checked struct {
	File     string `json:"file"`
	Kind     string `json:"kind"`
	Settings int    `json:"settings"`
}

func (a *app) checkConfig(file string, flags []string, f configFlags) error {
	d, err := a.daemon(file, flags, f)
	if err != nil {
		return err
	}
	if wrong := d.wrong(); len(wrong) > 0 {
		var list []mistake
		for _, err := range wrong {
			list = append(list, d.mistake(err))
		}
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%s would not start with %s", article(d.c.Name()), file), Why: showMistakes(file, d.data, list)}
	}
	done := checked{file, d.c.Name(), 0}
	for _, o := range d.origins {
		if o.line > 0 {
			done.Settings++
		}
	}
	d.hintVariables(a)
	return a.answer(done, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s could start with its %d settings\n", file, article(done.Kind), done.Settings)
	})
}

// article names what a verb starts.
func article(verb string) string {
	if verb == "agent" {
		return "an agent"
	}
	return "a node"
}

// mistake is an error at the place of the value that it is about.
func (s *settings) mistake(err error) mistake {
	m := mistake{text: plain(err)}
	e, is := errors.AsType[*api.Error](err)
	if !is {
		return m
	}
	_, o := s.place(e)
	m.line, m.column, m.text = o.line, o.column, e.Message
	if e.Why != "" {
		m.text += ": " + e.Why
	}
	if o.from != "" && o.line == 0 {
		m.text += " (from " + o.from + ")"
	}
	return m
}

// hintVariables tells of variables that look like settings and are none.
func (s *settings) hintVariables(a *app) {
	var known []string
	s.each(func(f *pflag.Flag) { known = append(known, envName(f.Name)) })
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		if near := nearest(name, known); near != "" && near != name {
			a.hint("the variable %s sets nothing: did you mean %s?", name, near)
		}
	}
}

// setting is one line of "config show".
type setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// showConfig prints what holds, and where each value comes from.
func (a *app) showConfig(s *settings, f configFlags) error {
	var list []setting
	s.each(func(flag *pflag.Flag) {
		o := s.origins[flag.Name]
		from := cmp.Or(o.from, "default")
		if o.line > 0 {
			from = fmt.Sprintf("%s:%d", o.from, o.line)
		}
		list = append(list, setting{flag.Name, strings.Trim(flag.Value.String(), "[]"), from})
	})
	s.hintVariables(a)
	return a.answer(list, func(w io.Writer) {
		rows := [][]string{{"KEY", "VALUE", "FROM"}}
		for _, s := range list {
			rows = append(rows, []string{s.Key, cmp.Or(s.Value, "-"), s.From})
		}
		if !f.origin {
			for i := range rows {
				rows[i] = rows[i][:2]
			}
		}
		columns(w, rows)
	})
}
