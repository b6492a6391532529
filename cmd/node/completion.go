package main

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/docs"
)

const (
	// completionPatience is how long a shell waits for the cluster; after that there are no suggestions.
	completionPatience = 300 * time.Millisecond
	maxCompletions     = 200
)

// lookUp finds what a word that begins with prefix could become.
type lookUp func(ctx context.Context, client *api.Client, prefix string) ([]string, error)

// lookUps are what the words in the usage of verbs stand for: "get KEY" takes a key.
var lookUps = map[string]lookUp{
	"KEY": lookUpKeys, "NAME": lookUpKeys, "NODE": lookUpProcesses, "FAULT|NODE": lookUpProcesses, "JOB": lookUpJobs, "JOB=N": lookUpScales,
	"JOB.INDEX|TASK": lookUpTasks, "JOB|JOB.INDEX|TASK": lookUpLogs, "AGENT": lookUpAgents, "FRAMEWORK": lookUpFrameworks,
	"SESSION": lookUpSessions,
}

// otherNames are verbs whose NAME is no key: nil is nothing that could be looked up.
var otherNames = map[string]lookUp{
	"member add": lookUpNodes, "member remove": lookUpNodes, "member promote": lookUpNodes, "member demote": lookUpNodes,
	"tls issue": nil, "decree decide": nil, "decree learn": nil,
}

// flagWordLists are what flags take that know few values.
var flagWordLists = map[string][]string{
	"output": {"table", "json"}, "engine": {"raft", "paxos"}, "level": {"linearizable", "lease", "sequential", "stale"},
	"log-level": {"debug", "info", "warn", "error"}, "log-format": {"auto", "text", "json"}, "recover": {"reconnect", "cleanup"},
	"group": {coordinationGroup, registryGroup},
}

// flagLookUps are flags that name something in the cluster.
var flagLookUps = map[string]lookUp{"election": lookUpKeys, "watch": lookUpKeys, "to": lookUpNodes}

// complete has shells suggest arguments of c and of the verbs below it.
func (a *app) complete(c *cobra.Command) {
	for _, child := range c.Commands() {
		a.complete(child)
	}
	for name, words := range flagWordLists {
		if c.Flags().Lookup(name) != nil || c.PersistentFlags().Lookup(name) != nil {
			_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
		}
	}
	for name, find := range flagLookUps {
		if c.Flags().Lookup(name) != nil {
			_ = c.RegisterFlagCompletionFunc(name, func(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) { // the flag is there
				return a.suggest(c.Context(), find, prefix)
			})
		}
	}
	if c.ValidArgsFunction == nil && !c.HasSubCommands() {
		c.ValidArgsFunction = a.completeArgument
	}
}

// completionScripts adds the verb that writes what shells load.
func (a *app) completionScripts(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	completion, _, err := root.Find([]string{"completion"})
	if err != nil {
		return
	}
	completion.Example = a.example("completion bash > ~/.local/share/bash-completion/completions/node")
	for _, shell := range completion.Commands() {
		shell.Example = a.example("completion " + shell.Name())
		shell.PreRunE = func(*cobra.Command, []string) error {
			if strings.Contains(a.program, " ") {
				return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%q cannot be completed", a.program),
					Why: "a shell completes a program by its name, which must be one word", Do: []string{"make install", "synod completion " + shell.Name()}}
			}
			return nil
		}
	}
}

// completeArgument suggests what the next argument could be, by the word that stands for it in the usage.
func (a *app) completeArgument(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	word := wanted(c, len(args))
	// Cobra sets a dash of its own behind all arguments, so one there is the user's only where nothing else may stand.
	if at := c.ArgsLenAtDash(); at >= 0 && at < len(args) || word == "" && strings.Contains(c.Use, "-- CMD") {
		return nil, cobra.ShellCompDirectiveDefault // of a command to run
	}
	switch word {
	case "CODE":
		return codesLike(prefix), cobra.ShellCompDirectiveNoFileComp
	case "FILE", "DIR", "TEMPLATE":
		return nil, cobra.ShellCompDirectiveDefault
	}
	if choices := strings.Split(word, "|"); len(choices) > 1 && word == strings.ToLower(word) {
		return like(choices, prefix)
	}
	find := lookUps[word]
	if other, is := otherNames[pathOf(c)]; is {
		find = other
	}
	return a.suggest(c.Context(), find, prefix)
}

// wanted is the word in the usage of c that stands for an argument, "" if it takes no such argument.
func wanted(c *cobra.Command, place int) string {
	usage, _, _ := strings.Cut(c.Use, " | ") // another way to call it
	usage, _, _ = strings.Cut(strings.ReplaceAll(usage, " [--", " --"), " --")
	words := strings.Fields(usage)[1:]
	if n := len(words); place >= n {
		if n == 0 || !strings.HasSuffix(words[n-1], "...") {
			return ""
		}
		place = n - 1
	}
	return strings.TrimSuffix(strings.Trim(words[place], "[]"), "...")
}

// suggest asks the cluster, for a moment. Whatever fails suggests nothing: a shell has no place for it.
func (a *app) suggest(ctx context.Context, find lookUp, prefix string) ([]string, cobra.ShellCompDirective) {
	const nothing = cobra.ShellCompDirectiveNoFileComp
	if find == nil {
		return nil, nothing
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	found := make(chan []string, 1)
	go func() {
		client, err := a.client()
		if err != nil {
			found <- nil
			return
		}
		defer client.Close()
		names, _ := find(ctx, client, prefix)
		found <- names
	}()
	select {
	case names := <-found:
		return like(names, prefix)
	case <-ctx.Done():
		return nil, nothing
	}
}

// like are those names that begin with prefix and that a shell can show. One that goes on gets no blank behind it.
func like(names []string, prefix string) (list []string, directive cobra.ShellCompDirective) {
	directive = cobra.ShellCompDirectiveNoFileComp
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			continue
		}
		if strings.HasSuffix(name, "/") || strings.HasSuffix(name, "=") {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		if list = append(list, name); len(list) == maxCompletions {
			break
		}
	}
	return list, directive
}

func codesLike(prefix string) []string {
	codes, _ := explanations(docs.Errors)
	names := []string{"exit"}
	for _, e := range codes {
		names = append(names, e.Code)
	}
	list, _ := like(names, prefix)
	return list
}

// lookUpKeys goes down one level at a time, as files are completed.
func lookUpKeys(ctx context.Context, client *api.Client, prefix string) (names []string, err error) {
	above := ""
	if at := strings.LastIndexByte(prefix, '/'); at >= 0 {
		above = prefix[:at]
	}
	listing, err := client.List(ctx, above, api.ListOptions{Limit: maxCompletions, ReadOptions: api.ReadOptions{Level: api.Stale}})
	for _, e := range listing.Entries {
		if e.Version > 0 || e.Children == 0 {
			names = append(names, e.Path)
		}
		if e.Children > 0 {
			names = append(names, e.Path+"/")
		}
	}
	return names, err
}

func lookUpNodes(ctx context.Context, client *api.Client, _ string) (names []string, err error) {
	list, err := client.Members(ctx)
	for _, m := range list.Members {
		names = append(names, m.Name)
	}
	return names, err
}

func lookUpAgents(ctx context.Context, client *api.Client, _ string) (names []string, err error) {
	list, err := client.Agents(ctx)
	for _, a := range list {
		names = append(names, a.Name)
	}
	return names, err
}

// lookUpProcesses are nodes and agents.
func lookUpProcesses(ctx context.Context, client *api.Client, _ string) ([]string, error) {
	nodes, err := lookUpNodes(ctx, client, "")
	if err != nil {
		return nil, err
	}
	agents, err := lookUpAgents(ctx, client, "")
	return append(nodes, agents...), err
}

func lookUpJobs(ctx context.Context, client *api.Client, _ string) (names []string, err error) {
	list, err := client.Jobs(ctx)
	for _, j := range list {
		names = append(names, j.Name)
	}
	return names, err
}

func lookUpScales(ctx context.Context, client *api.Client, _ string) (names []string, err error) {
	jobs, err := lookUpJobs(ctx, client, "")
	for _, j := range jobs {
		names = append(names, j+"=")
	}
	return names, err
}

// lookUpTasks are the instances of jobs, and other frameworks' tasks.
func lookUpTasks(ctx context.Context, client *api.Client, _ string) (names []string, err error) {
	jobs, err := client.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		for _, i := range j.Instances {
			names = append(names, fmt.Sprintf("%s.%d", j.Name, i.Index))
		}
	}
	tasks, err := client.Tasks(ctx, api.TaskFilter{})
	for _, t := range tasks {
		if t.Job == "" {
			names = append(names, t.ID)
		}
	}
	return names, err
}

func lookUpLogs(ctx context.Context, client *api.Client, _ string) ([]string, error) {
	jobs, err := lookUpJobs(ctx, client, "")
	if err != nil {
		return nil, err
	}
	tasks, err := lookUpTasks(ctx, client, "")
	return append(jobs, tasks...), err
}

func lookUpFrameworks(ctx context.Context, client *api.Client, _ string) (names []string, err error) {
	list, err := client.Frameworks(ctx)
	for _, f := range list {
		names = append(names, f.ID)
	}
	return names, err
}

func lookUpSessions(ctx context.Context, client *api.Client, _ string) (names []string, err error) {
	list, err := client.Sessions(ctx, 0, maxCompletions)
	for _, s := range list {
		names = append(names, fmt.Sprint(s.ID))
	}
	return names, err
}
