package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

func (a *app) memberCommand() *cobra.Command {
	c := &cobra.Command{Use: "member", Short: "change who belongs to the cluster",
		Long:    "Change who belongs to the cluster. A node that is started with --join adds itself.",
		Example: a.example("member remove n3", "member promote n4")}
	for _, action := range []struct{ verb, short string }{
		{"add", "let a node that was removed in again"},
		{"remove", "take a node out: it no longer votes nor replicates"},
		{"promote", "make a member a voter once it has caught up"},
		{"demote", "take a member's vote; it goes on replicating"},
	} {
		c.AddCommand(a.memberAction(action.verb, action.short))
	}
	return c
}

func (a *app) memberAction(verb, short string) *cobra.Command {
	var version versionFlag
	c := &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1),
		Long: strings.ToUpper(short[:1]) + short[1:] + ".\nThe id of a node, 16 hexadecimal digits, stands for its name: members lists both, and two members share a\n" +
			"name while one takes the place of the other.",
		Example: a.example("member "+verb+" n3", "member "+verb+" n3 --version 17"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			done, err := client.ChangeMember(c.Context(), api.MemberChange{Action: verb, Name: args[0], Version: version.value})
			if err != nil {
				return advise(err, api.CodeUnknown, "look whether it has happened:  node members")
			}
			return a.answer(done, func(w io.Writer) {
				fmt.Fprintf(w, "%s %s done, configuration version %d\n", verb, args[0], done.Version)
			})
		},
	}
	c.Flags().Var(&version, "version", "only if the configuration has this version (see members)")
	return c
}

func (a *app) stepDownCommand() *cobra.Command {
	var group, to string
	c := &cobra.Command{
		Use: "step-down", Short: "make a leader hand over", Args: cobra.NoArgs,
		Long: "Make the leader of the keys' group hand over, or with  --group registry  the leading master. Nothing that is under way is\n" +
			"lost: requests wait for the one who follows.",
		Example: a.example("step-down", "step-down --to n2", "step-down --group registry"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			if group == coordinationGroup { // nodes of earlier versions know no other
				group = ""
			}
			done, err := client.Transfer(c.Context(), group, to)
			if err != nil {
				return err
			}
			return a.answer(done, func(w io.Writer) { fmt.Fprintf(w, "%s leads\n", done.Leader) })
		},
	}
	c.Flags().StringVar(&group, "group", coordinationGroup, "whose leader: coordination (the keys), registry (the master)")
	c.Flags().StringVar(&to, "to", "", "the node that shall lead; default: the one that has caught up best")
	return c
}
