package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

// defaultAddrs are where the nodes of "dev" answer.
const defaultAddrs = "127.0.0.1:4700,127.0.0.1:4710,127.0.0.1:4720"

// app is what all verbs share: the streams and the global flags.
type app struct {
	program  string // how to call this program, for hints
	in       io.Reader
	out, err io.Writer
	signals  *signals // nil: nobody sends any
	verbs    []string // that there are

	addr    string
	output  string
	timeout time.Duration
	noColor bool
	quiet   bool
	user    string
	tls     cluster.TLSFiles
	// tokenFile has the token that we show, unless NODE_TOKEN is it.
	tokenFile string
}

// programName is how the user can call this program again. "go run" builds a
// binary in a place that is gone afterwards.
func programName(arg0 string) string {
	if strings.Contains(arg0, "go-build") {
		return "go run ./cmd/node"
	}
	if strings.ContainsRune(arg0, filepath.Separator) && !filepath.IsAbs(arg0) {
		return arg0
	}
	return filepath.Base(arg0)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: a.program, Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: a.program},
		Short: "a cluster that elects, replicates and survives",
		Long: "Synod is a replicated tree of keys and a cluster manager on a few machines: it elects leaders, keeps every\n" +
			"acknowledged write and every task through crashes, and answers on every node.",
		Example:       a.example("demo", "dev", "kv put colour blue", "run examples/jobs/ticker.yaml", "status"),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	a.globalFlags(root.PersistentFlags())
	root.AddGroup(&cobra.Group{ID: "start", Title: "Start:"}, &cobra.Group{ID: "use", Title: "Use:"},
		&cobra.Group{ID: "work", Title: "Run work:"}, &cobra.Group{ID: "coordinate", Title: "Coordinate:"},
		&cobra.Group{ID: "look", Title: "Look:"}, &cobra.Group{ID: "care", Title: "Care:"})
	a.add(root, "start", a.demoCommand(), a.devCommand(), a.startCommand(&startFlags{}), a.agentCommand(&agentFlags{}))
	root.AddCommand(a.helloCommand(), a.aliveCommand())
	a.add(root, "use", a.kvCommand(), a.decreeCommand(), a.benchCommand())
	a.add(root, "work", a.runCommand(), a.updateCommand(), a.psCommand(), a.jobsCommand(), a.logsCommand(), a.execCommand(), a.scaleCommand(),
		a.restartCommand(), a.rollbackCommand(), a.stopCommand(), a.drainCommand())
	a.add(root, "coordinate", a.lockCommand(), a.electCommand(), a.rankCommand(), a.barrierCommand(), a.sessionCommand(), a.proxyCommand(), a.renderCommand())
	a.add(root, "look", a.statusCommand(), a.membersCommand(), a.agentsCommand(), a.frameworksCommand(), a.eventsCommand(), a.topCommand(), a.waitCommand(), a.flightCommand(), a.inspectCommand(), a.versionCommand())
	a.add(root, "care", a.memberCommand(), a.stepDownCommand(), a.faultCommand(), a.aclCommand(), a.quotaCommand(), a.tlsCommand())
	a.add(root, "care", a.doctorCommand(), a.bundleCommand())
	a.add(root, "care", a.configCommand(), a.explainCommand())
	a.add(root, "care", a.snapshotCommand(), a.recoverCommand())
	a.add(root, "care", a.tokenCommand())
	root.SetHelpCommand(a.helpCommand())
	for _, c := range root.Commands() {
		a.verbs = append(a.verbs, c.Name())
	}
	root.InitDefaultHelpCmd() // now, and not when it runs: what comes after this line is for all verbs
	a.completionScripts(root)
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return a.checkFlags(c) }
	root.SetFlagErrorFunc(a.flagError)
	a.refuseStrayArguments(root)
	a.complete(root)
	sayNoJSON(root)
	return root
}

// globalFlags are those of all verbs.
func (a *app) globalFlags(flags *pflag.FlagSet) {
	flags.StringVar(&a.addr, "addr", envOr("NODE_ADDR", defaultAddrs), "API addresses of any nodes, separated by commas (NODE_ADDR)")
	flags.StringVarP(&a.output, "output", "o", "table", "form of the answer: table or json")
	flags.DurationVar(&a.timeout, "timeout", 5*time.Second, "how long to try")
	flags.BoolVar(&a.noColor, "no-color", os.Getenv("NO_COLOR") != "", "no colours (NO_COLOR)")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no hints and no progress")
	flags.StringVar(&a.user, "user", os.Getenv("NODE_USER"), "who we are to access lists (NODE_USER), with NODE_PASSWORD")
	flags.StringVar(&a.tokenFile, "token-file", os.Getenv("NODE_TOKEN_FILE"), "file with the token that we show, mode 0600 (NODE_TOKEN_FILE, or NODE_TOKEN with the token)")
	flags.StringVar(&a.tls.Authorities, "tls-ca", os.Getenv("NODE_TLS_CA"), "file with the cluster's authority (NODE_TLS_CA)")
	flags.StringVar(&a.tls.Certificate, "tls-cert", os.Getenv("NODE_TLS_CERT"), "file with our certificate (NODE_TLS_CERT)")
	flags.StringVar(&a.tls.Key, "tls-key", os.Getenv("NODE_TLS_KEY"), "file with our key, mode 0600 (NODE_TLS_KEY)")
}

func (a *app) add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// refuseStrayArguments turns cobra's complaints about arguments into usage errors, with
// suggestions for a mistyped verb.
func (a *app) refuseStrayArguments(c *cobra.Command) {
	if c.HasSubCommands() && !c.Runnable() {
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	check := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		if c.HasSubCommands() && len(args) > 0 {
			return a.unknownVerb(c, args[0])
		}
		if check == nil {
			return nil
		}
		if err := check(c, args); err != nil {
			return a.usageError(c, argumentWords(c, args))
		}
		return nil
	}
	for _, child := range c.Commands() {
		a.refuseStrayArguments(child)
	}
}

// helpCommand refuses what is no verb, which cobra's own takes for the root.
func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [VERB]", Short: "explain a verb", Example: a.example("help", "help kv put"),
		RunE: func(c *cobra.Command, args []string) error {
			target, rest, err := c.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return a.unknownVerb(target, rest[0])
			}
			target.InitDefaultHelpFlag()
			return target.Help()
		},
	}
}

// argumentWords says what c takes and what it was given.
func argumentWords(c *cobra.Command, args []string) string {
	_, wanted, _ := strings.Cut(c.Use, " ")
	switch {
	case wanted == "":
		return fmt.Sprintf("it takes no argument, but %q was given", args[0])
	case len(args) == 0:
		return "it takes " + wanted + ", but nothing was given"
	}
	if len(args) == 1 {
		return fmt.Sprintf("it takes %s, but %q alone was given", wanted, args[0])
	}
	return fmt.Sprintf("it takes %s, but %d arguments were given", wanted, len(args))
}

func (a *app) unknownVerb(c *cobra.Command, verb string) error {
	e := &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%s has no verb %q", c.CommandPath(), verb)}
	c.SuggestionsMinimumDistance = 2
	for _, s := range c.SuggestionsFor(verb) {
		e.Do = append(e.Do, "did you mean  "+c.CommandPath()+" "+s)
	}
	e.Do = append(e.Do, c.CommandPath()+" --help")
	return e
}

func (a *app) usageError(c *cobra.Command, why string) error {
	return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%s cannot be called like that", c.CommandPath()), Why: why,
		Do: []string{c.CommandPath() + " --help"}}
}

// flagError is a usage error about a flag, with the one that may have been meant.
func (a *app) flagError(c *cobra.Command, err error) error {
	e := &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%s cannot be called like that", c.CommandPath()), Why: flagWords(err.Error())}
	if name, is := strings.CutPrefix(err.Error(), "unknown flag: --"); is {
		var known []string
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				known = append(known, f.Name)
			}
		})
		if near := nearest(name, known); near != "" {
			e.Do = append(e.Do, "did you mean  --"+near)
		}
	}
	e.Do = append(e.Do, c.CommandPath()+" --help")
	return e
}

var (
	flagMistake = regexp.MustCompile(`^invalid argument "(.*)" for "(?:-., )?(--[a-z-]+)" flag: (.*)$`)
	numberError = regexp.MustCompile(`^strconv\.ParseInt: .*$`)
	countError  = regexp.MustCompile(`^strconv\.ParseUint: .*$`)
	timeError   = regexp.MustCompile(`^time: .*$`)
)

// flagWords is a complaint about a flag without the names of Go.
func flagWords(text string) string {
	parts := flagMistake.FindStringSubmatch(text)
	if parts == nil {
		return text
	}
	why := numberError.ReplaceAllString(parts[3], "it is a whole number")
	why = countError.ReplaceAllString(why, "it is a whole number, 0 or more")
	why = timeError.ReplaceAllString(why, "it is a time such as 5s or 300ms")
	return fmt.Sprintf("%s cannot be %q: %s", parts[2], parts[1], why)
}

func (a *app) checkFlags(c *cobra.Command) error {
	if a.output == "ndjson" && c.Name() == "events" {
		a.output = "json" // a line for each is what it writes in any case
	}
	if a.output != "table" && a.output != "json" {
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("there is no output %q", a.output), Do: []string{"--output table or --output json"}}
	}
	if path := pathOf(c); a.output == "json" && (path == "dev" || path == "agent" || path == "start") {
		return &api.Error{Code: api.CodeUsage, Message: path + " has no answer that could be JSON", Why: withoutJSON[path],
			Do: []string{"leave out --output; the log of start becomes JSON with --log-format json", "node status --output json"}}
	}
	if a.timeout <= 0 {
		return &api.Error{Code: api.CodeUsage, Message: "the timeout must be above 0", Do: []string{"--timeout 5s"}}
	}
	return nil
}

// client returns a client for the addresses given.
func (a *app) client() (*api.Client, error) { return a.clientIn(sessionToken{none: true}) }

// clientIn returns one that acts in a session, if one is named.
func (a *app) clientIn(session sessionToken) (*api.Client, error) {
	return a.clientOf(api.ClientConfig{Addrs: a.addrs(), Timeout: a.timeout, Session: session.value()})
}

// clientOf makes a client that shows what the flags and the environment say of who asks.
func (a *app) clientOf(c api.ClientConfig) (*api.Client, error) {
	config, err := a.clientTLS()
	if err != nil {
		return nil, err
	}
	token, err := a.token()
	if err != nil {
		return nil, err
	}
	if token != "" && a.user != "" {
		return nil, &api.Error{Code: api.CodeUsage, Message: "a token and --user cannot go together", Why: "a request shows one of them",
			Do: []string{"leave one out; access lists know a token as  sasl NAME"}}
	}
	c.TLS, c.User, c.Password, c.Token = config, a.user, os.Getenv("NODE_PASSWORD"), token
	return api.NewClient(c)
}

func (a *app) addrs() []string {
	addrs := strings.FieldsFunc(a.addr, func(r rune) bool { return r == ',' || r == ' ' })
	return slices.Compact(addrs)
}

// clientTLS is how we speak to nodes; nil: in plain text. With a token the authority is enough.
func (a *app) clientTLS() (*tls.Config, error) {
	token, err := a.token()
	if err != nil {
		return nil, err
	}
	if token != "" && a.tls == (cluster.TLSFiles{Authorities: a.tls.Authorities}) && a.tls.Authorities != "" {
		config, err := cluster.LoadAuthorities(a.tls.Authorities)
		if err != nil {
			return nil, tlsFilesError(err)
		}
		return config, nil
	}
	material, err := a.loadTLS()
	if err != nil || material == nil {
		return nil, err
	}
	return material.ClientConfig(cluster.RoleNode), nil
}

// loadTLS reads the TLS flags; nil: none are given.
func (a *app) loadTLS() (*cluster.TLS, error) {
	if a.tls == (cluster.TLSFiles{}) {
		return nil, nil
	}
	if a.tls.Authorities == "" || a.tls.Certificate == "" || a.tls.Key == "" {
		return nil, &api.Error{Code: api.CodeUsage, Message: "TLS needs three files",
			Do: []string{"--tls-ca ca.pem --tls-cert NAME.pem --tls-key NAME-key.pem", "or --tls-ca alone with a token: NODE_TOKEN or --token-file", "make them:  node tls init"}}
	}
	material, err := cluster.LoadTLS(a.tls)
	if err != nil {
		return nil, tlsFilesError(err)
	}
	if err := expiredError(a.tls, material, time.Now()); err != nil {
		return nil, err
	}
	return material, nil
}

func tlsFilesError(err error) error {
	return &api.Error{Code: api.CodeTLS, Message: "the TLS files cannot be used", Why: plain(err),
		Do: secretDo(err, "node tls renew NAME", "make new ones:  node tls init")}
}

// example indents lines that call this program.
func (a *app) example(lines ...string) string {
	lines = slices.Clone(lines)
	for i, line := range lines {
		lines[i] = "  " + a.program + " " + line
	}
	return strings.Join(lines, "\n")
}

// hint writes a line for people, unless they want quiet.
func (a *app) hint(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

func envOr(name, other string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return other
}
