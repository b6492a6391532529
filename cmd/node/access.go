package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

func (a *app) aclCommand() *cobra.Command {
	c := &cobra.Command{Use: "acl", Short: "access lists: who may do what with a key",
		Long: "A line of an access list is SCHEME:ID:PERMISSIONS. Permissions are letters: c create children, d delete children,\n" +
			"r read, w write, a administer. A key without a list lets anybody do anything; a list is not inherited by children.\n\n" +
			"  world:anyone         anybody\n" +
			"  ip:10.0.0.0/8        an address, or a range of them\n" +
			"  x509:alice           the name in a client certificate\n" +
			"  digest:alice:HASH    who has a user's password; acl id makes the line's ID",
		Example: a.example("acl get app", "acl set app world:anyone:r x509:alice:crwda")}
	c.AddCommand(a.aclGet(), a.aclSet(), a.aclID())
	return c
}

// accessList is what acl get and set answer.
type accessList struct {
	Path string  `json:"path"`
	ACL  api.ACL `json:"acl"`
}

func (l accessList) table(w io.Writer) {
	if len(l.ACL) == 0 {
		fmt.Fprintln(w, "anybody may do anything")
	}
	for _, g := range l.ACL {
		fmt.Fprintf(w, "%s:%s:%s\n", g.Scheme, g.ID, g.Permissions)
	}
}

func (a *app) aclGet() *cobra.Command {
	return &cobra.Command{
		Use: "get KEY", Short: "show a key's access list", Args: cobra.ExactArgs(1), Example: a.example("acl get app"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			acl, err := client.Access(c.Context(), args[0])
			if err != nil {
				return err
			}
			list := accessList{strings.Trim(args[0], "/"), acl}
			return a.answer(list, list.table)
		},
	}
}

func (a *app) aclSet() *cobra.Command {
	return &cobra.Command{
		Use: "set KEY GRANT...", Short: "replace a key's access list", Args: cobra.MinimumNArgs(2),
		Long:    "Replace a key's access list. Whoever leaves out a line with the letter a for themselves cannot change it again.",
		Example: a.example("acl set app world:anyone:r x509:alice:crwda", "acl set app world:anyone:crwda"),
		RunE: func(c *cobra.Command, args []string) error {
			acl, err := parseGrants(args[1:])
			if err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			if err := client.SetAccess(c.Context(), args[0], acl); err != nil {
				return err
			}
			list := accessList{strings.Trim(args[0], "/"), acl}
			return a.answer(list, list.table)
		},
	}
}

func (a *app) quotaCommand() *cobra.Command {
	c := &cobra.Command{Use: "quota", Short: "bounds on what stands below a key",
		Long:    "A quota bounds how many keys stand at and below a key, and how many bytes their values have.",
		Example: a.example("quota set app --keys 1000 --bytes 1000000", "quota ls", "quota rm app")}
	c.AddCommand(a.quotaList(), a.quotaSet(), a.quotaRemove())
	return c
}

func (a *app) quotaList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "list all quotas, and what is used", Args: cobra.NoArgs, Example: a.example("quota ls"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			quotas, err := client.Quotas(c.Context())
			if err != nil {
				return err
			}
			if quotas == nil {
				quotas = []api.Quota{}
			}
			return a.answer(quotas, func(w io.Writer) { columns(w, quotaRows(quotas)) })
		},
	}
}

func quotaRows(quotas []api.Quota) [][]string {
	rows := [][]string{{"KEY", "KEYS", "OF", "BYTES", "OF"}}
	bound := func(n int64) string {
		if n == 0 {
			return "-"
		}
		return counted(uint64(n))
	}
	for _, q := range quotas {
		rows = append(rows, []string{q.Path, counted(uint64(q.UsedNodes)), bound(q.Nodes), counted(uint64(q.UsedBytes)), bound(q.Bytes)})
	}
	return rows
}

func (a *app) quotaSet() *cobra.Command {
	var q api.Quota
	c := &cobra.Command{
		Use: "set KEY", Short: "bound what stands at and below a key", Args: cobra.ExactArgs(1),
		Long:    "Bound what stands at and below a key. What is there already stays, also if it is more.",
		Example: a.example("quota set app --keys 1000", "quota set app --keys 1000 --bytes 1000000"),
		RunE: func(c *cobra.Command, args []string) error {
			q.Path = strings.Trim(args[0], "/")
			if q.Nodes < 0 || q.Bytes < 0 || q.Nodes == 0 && q.Bytes == 0 {
				return a.usageError(c, "--keys or --bytes must be given, above 0")
			}
			return a.setQuota(c.Context(), q, "set")
		},
	}
	c.Flags().Int64Var(&q.Nodes, "keys", 0, "at most this many keys; 0: no bound")
	c.Flags().Int64Var(&q.Bytes, "bytes", 0, "at most this many bytes of values; 0: no bound")
	return c
}

func (a *app) quotaRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm KEY", Short: "end a quota", Args: cobra.ExactArgs(1), Example: a.example("quota rm app"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.setQuota(c.Context(), api.Quota{Path: strings.Trim(args[0], "/")}, "removed")
		},
	}
}

// quotaDone is what quota set and rm answer.
type quotaDone struct {
	Path string `json:"path"`
	Done string `json:"done"` // "set" or "removed"
}

func (a *app) setQuota(ctx context.Context, q api.Quota, done string) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	if err := client.SetQuota(ctx, q); err != nil {
		return err
	}
	return a.answer(quotaDone{q.Path, done}, func(w io.Writer) { fmt.Fprintf(w, "quota of %q %s\n", q.Path, done) })
}
