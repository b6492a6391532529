package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// sessionToken names the session in which a verb acts: by flag, or SYNOD_SESSION.
type sessionToken struct {
	flag string
	none bool // the verb needs none, whatever is set
}

func (t *sessionToken) add(c *cobra.Command) {
	c.Flags().StringVar(&t.flag, "session", "", "the token of the session in which to act (SYNOD_SESSION)") // no default: help would show a secret
}

func (t sessionToken) value() string {
	if t.flag != "" || t.none {
		return t.flag
	}
	return os.Getenv("SYNOD_SESSION")
}

// create makes a key.
type create struct {
	*app
	writeFlags
	sessionFlags
	o         api.CreateOptions
	ephemeral bool
	container bool
	grants    []string
}

func (a *app) kvCreate() *cobra.Command {
	k := &create{app: a}
	c := &cobra.Command{
		Use: "create KEY [VALUE]", Short: "make a key that must not exist", Args: cobra.RangeArgs(1, 2),
		Long: "Make a key. Exit code 7 if it exists. Without VALUE it is empty, or read from --file.\n\n" +
			"--ephemeral makes it part of a session, with which it ends: the one of --session or SYNOD_SESSION (session run\n" +
			"makes one), or else one that lasts as long as this command, which then goes on until Ctrl-C.\n" +
			"--container makes one that is removed some time after its last child; --ttl one that is removed when it was not\n" +
			"written for that long and has no children. --sequential appends a number to KEY, ten digits, that rises with each\n" +
			"key below the parent: KEY may end in /.",
		Example: a.example("kv create app/config blue", "kv create jobs/job- --sequential", "kv create hosts/a 10.0.0.1 --ephemeral",
			"kv create cache/x 1 --ttl 30s", "kv create secret x --acl digest:alice:BASE64HASH=:crwda"),
		RunE: func(c *cobra.Command, args []string) error { return k.run(c, args) },
	}
	k.writeFlags.add(c, "")
	k.sessionFlags.add(c)
	flags := c.Flags()
	flags.BoolVarP(&k.ephemeral, "ephemeral", "e", false, "it ends with a session")
	flags.BoolVar(&k.container, "container", false, "it is removed after its last child")
	flags.DurationVar(&k.o.TTL, "ttl", 0, "it is removed when it was not written for this long")
	flags.BoolVarP(&k.o.Sequential, "sequential", "s", false, "append a rising number to KEY")
	flags.BoolVar(&k.o.NeedParent, "need-parent", false, "fail if the key above it does not exist, rather than make that too")
	flags.StringArrayVar(&k.grants, "acl", nil, "a line of its access list, SCHEME:ID:PERMISSIONS; may be repeated (see acl)")
	flags.StringVar(&k.file, "file", "", "read the value from this file")
	return c
}

func (k *create) run(c *cobra.Command, args []string) (err error) {
	if err := k.setMode(c); err != nil {
		return err
	}
	if k.o.ACL, err = parseGrants(k.grants); err != nil {
		return err
	}
	write, err := k.options()
	if err != nil {
		return err
	}
	k.o.RequestID = write.RequestID
	var value []byte
	if len(args) == 2 || k.file != "" {
		if value, err = k.value(c.Context(), args, k.file); err != nil {
			return err
		}
	}
	if k.ephemeral && k.session.value() == "" {
		return k.hold(c.Context(), args[0], value)
	}
	client, err := k.clientIn(k.session)
	if err != nil {
		return err
	}
	done, err := client.Create(c.Context(), args[0], value, k.o)
	if err != nil {
		return k.unknownAdvice(err, args[0])
	}
	return k.made(done)
}

func (k *create) setMode(c *cobra.Command) error {
	modes := 0
	for _, m := range []struct {
		wanted bool
		mode   api.Mode
	}{{k.ephemeral, api.Ephemeral}, {k.container, api.Container}, {c.Flags().Changed("ttl"), api.TTL}} {
		if m.wanted {
			modes++
			k.o.Mode = m.mode
		}
	}
	switch {
	case modes > 1:
		return k.usageError(c, "only one of --ephemeral, --container and --ttl can be given")
	case k.o.Mode == api.TTL && k.o.TTL < time.Millisecond:
		return k.usageError(c, "--ttl is a time of a millisecond or more, such as 30s")
	}
	return nil
}

// hold makes an ephemeral key in a session of its own, and keeps it until the user has enough.
func (k *create) hold(ctx context.Context, path string, value []byte) error {
	s, err := k.openSession(ctx, k.sessionFlags)
	if err != nil {
		return err
	}
	defer k.endSession(ctx, s)
	done, err := s.Create(ctx, path, value, k.o)
	if err != nil {
		return err
	}
	if err := k.made(done); err != nil {
		return err
	}
	k.hint("it is there as long as this command: Ctrl-C ends it")
	select {
	case <-ctx.Done():
		return silent(api.ExitOK)
	case <-s.Lost():
		return &api.Error{Code: api.CodeSession, Message: fmt.Sprintf("the key %q is gone, or soon will be", done.Path), Why: plain(s.Err()),
			Do: []string{"make it again:  node kv create --ephemeral " + path}}
	}
}

func (k *create) made(done api.Written) error {
	return k.answer(done, func(w io.Writer) { fmt.Fprintf(w, "%s created index %d\n", done.Path, done.Index) })
}

// parseGrants reads lines of an access list: SCHEME:ID:PERMISSIONS.
func parseGrants(texts []string) (acl api.ACL, err error) {
	for _, text := range texts {
		scheme, rest, found := strings.Cut(text, ":")
		at := strings.LastIndexByte(rest, ':')
		if !found || at < 0 || scheme == "" || strings.Trim(rest[at+1:], "crwda") != "" {
			return nil, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%q is no line of an access list", text),
				Why: "it is SCHEME:ID:PERMISSIONS; permissions are letters: c create children, d delete children, r read, w write, a administer",
				Do:  []string{"world:anyone:r", "ip:10.0.0.0/8:rw", "x509:alice:crwda", "digest:alice:BASE64HASH=:crwda"}}
		}
		acl = append(acl, api.Grant{Scheme: scheme, ID: rest[:at], Permissions: rest[at+1:]})
	}
	return acl, nil
}
