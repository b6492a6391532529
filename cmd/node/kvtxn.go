package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// txn carries out a transaction.
type txn struct {
	*app
	writeFlags
}

func (a *app) kvTxn() *cobra.Command {
	t := &txn{app: a}
	c := &cobra.Command{
		Use: "txn FILE", Short: "carry out several operations at once, all or none", Args: cobra.ExactArgs(1),
		Long: "Carry out a transaction: its operations take effect together, at one log index, or not at all. FILE, or standard\n" +
			"input for -, is JSON as POST /v1/txn takes it:\n\n" +
			"  {\"operations\": [\n" +
			"    {\"op\": \"check\", \"path\": \"jobs/backup/01J...\", \"created\": 1042},\n" +
			"    {\"op\": \"put\", \"path\": \"colour\", \"value\": \"blue\", \"version\": 3},\n" +
			"    {\"op\": \"create\", \"path\": \"log/\", \"value\": \"x\", \"sequential\": true},\n" +
			"    {\"op\": \"delete\", \"path\": \"old\", \"recursive\": true}]}\n\n" +
			"A check with \"created\" holds a transaction to a lock: path is SYNOD_LOCK and created SYNOD_TOKEN of node lock. The\n" +
			"first operation that is refused is named with its place, from 0; its exit code is the verb's.",
		Example: a.example("kv txn change.json", "kv txn - < change.json"),
		RunE:    t.run,
	}
	t.writeFlags.add(c, "")
	return c
}

func (t *txn) run(c *cobra.Command, args []string) error {
	options, err := t.options()
	if err != nil {
		return err
	}
	data, err := t.read(c.Context(), args[0])
	if err != nil {
		return err
	}
	operations, err := api.ParseTxn(data)
	if err != nil {
		return err
	}
	client, err := t.clientIn(t.session)
	if err != nil {
		return err
	}
	done, err := client.Commit(c.Context(), operations, options.RequestID)
	if err != nil {
		return t.unknownAdvice(err, "KEY")
	}
	return t.answer(done, func(w io.Writer) {
		fmt.Fprintf(w, "%d operations done, index %d\n", len(done.Results), done.Index)
		for i, r := range done.Results {
			fmt.Fprintf(w, "%d  %s %s\n", i, operations[i].Op, txnResult(operations[i], r))
		}
	})
}

func txnResult(o api.TxnOperation, r api.Written) string {
	switch o.Op {
	case "delete":
		return fmt.Sprintf("%s, %d keys", r.Path, r.Deleted)
	case "check":
		return o.Path
	}
	return fmt.Sprintf("%s version %d", r.Path, r.Version)
}

// read is the file, or standard input.
func (t *txn) read(ctx context.Context, file string) ([]byte, error) {
	if file == "-" {
		return t.readAll(ctx, "the transaction")
	}
	return readArgument(file)
}

// readArgument is a file that the user has named.
func readArgument(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("file %q not found", file)}
	}
	if err != nil {
		return nil, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("file %q cannot be read", file), Why: plain(err)}
	}
	return data, nil
}

// aclID makes the ID of a line of an access list from a password.
func (a *app) aclID() *cobra.Command {
	return &cobra.Command{
		Use: "id USER", Short: "the line of an access list for a user with a password", Args: cobra.ExactArgs(1),
		Long: "Read a password from standard input and show the line of an access list for who has it. Such a user acts with\n" +
			"--user USER and NODE_PASSWORD in the environment. The password goes to the nodes with every request: only with\n" +
			"TLS is it kept from others.",
		Example: a.example("acl id alice < password"),
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] == "" || strings.Contains(args[0], ":") {
				return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%q cannot be a user", args[0]), Why: "it must not be empty, nor have a colon"}
			}
			password, err := a.password(c.Context())
			if err != nil {
				return err
			}
			if password == "" {
				return &api.Error{Code: api.CodeUsage, Message: "the password is empty", Why: "its line on standard input has nothing, or is not there", Do: []string{"node acl id " + args[0] + " < password"}}
			}
			grant := api.Grant{Scheme: "digest", ID: api.DigestID(args[0], password), Permissions: "crwda"}
			return a.answer(grant, func(w io.Writer) { fmt.Fprintf(w, "%s:%s:%s\n", grant.Scheme, grant.ID, grant.Permissions) })
		},
	}
}
