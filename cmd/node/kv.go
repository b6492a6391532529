package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

func (a *app) kvCommand() *cobra.Command {
	kv := &cobra.Command{Use: "kv", Short: "read, write, list and watch keys", Example: a.example("kv put colour blue", "kv get colour")}
	kv.AddCommand(a.kvPut(), a.kvGet(), a.kvDel(), a.kvList(), a.kvWatch(), a.kvCas(), a.kvCreate(), a.kvTxn())
	return kv
}

// writeFlags are what all writes take.
type writeFlags struct {
	version   versionFlag
	requestID string
	file      string
	session   sessionToken
}

// add adds the flags; about, if any, says what --version does.
func (f *writeFlags) add(c *cobra.Command, about string) {
	if about != "" {
		c.Flags().Var(&f.version, "version", about)
	}
	c.Flags().StringVar(&f.requestID, "request-id", "", "the id of an earlier attempt, to repeat it safely")
	f.session.add(c)
}

func (f *writeFlags) options() (o api.WriteOptions, err error) {
	o.Version = f.version.value
	if f.requestID != "" {
		o.RequestID, err = api.ParseRequestID(f.requestID)
	}
	return o, err
}

// versionFlag is a version of a key or of the configuration; nil if it is not given.
type versionFlag struct{ value *uint64 }

func (f *versionFlag) Set(text string) error {
	version, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return errors.New("it is a whole number, 0 or more")
	}
	f.value = &version
	return nil
}

func (f *versionFlag) Type() string { return "uint" }

func (f *versionFlag) String() string {
	if f.value == nil {
		return ""
	}
	return strconv.FormatUint(*f.value, 10)
}

func (a *app) kvPut() *cobra.Command {
	f := &writeFlags{}
	c := &cobra.Command{
		Use: "put KEY [VALUE]", Short: "write a key", Args: cobra.RangeArgs(1, 2),
		Long:    "Write a key. Without VALUE it is read from standard input, or from --file.\nIt returns once a majority of the nodes has it on disk.",
		Example: a.example("kv put colour blue", "kv put app/config --file config.yaml", "kv put lock mine --version 0"),
		RunE: func(c *cobra.Command, args []string) error {
			value, err := a.value(c.Context(), args, f.file)
			if err != nil {
				return err
			}
			return a.put(c.Context(), args[0], value, f)
		},
	}
	f.add(c, "write only if the key has this version; 0: only if it does not exist")
	c.Flags().StringVar(&f.file, "file", "", "read the value from this file")
	return c
}

func (a *app) kvCas() *cobra.Command {
	f := &writeFlags{}
	c := &cobra.Command{
		Use: "cas KEY VERSION VALUE", Short: "write a key if it has this version", Args: cobra.ExactArgs(3),
		Long:    "Compare-and-set: write a key only if it still has VERSION (0: only if it does not exist).\nExit code 7 when it has another one.",
		Example: a.example("kv cas colour 1 green", "kv cas lock 0 mine"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.version.Set(args[1]); err != nil {
				return a.usageError(c, fmt.Sprintf("VERSION is a whole number, not %q", args[1]))
			}
			return a.put(c.Context(), args[0], []byte(args[2]), f)
		},
	}
	f.add(c, "")
	return c
}

// value is the VALUE argument, the file, or standard input.
func (a *app) value(ctx context.Context, args []string, file string) ([]byte, error) {
	switch {
	case len(args) == 2 && file != "":
		return nil, &api.Error{Code: api.CodeUsage, Message: "VALUE and --file cannot both be given"}
	case len(args) == 2:
		return []byte(args[1]), nil
	case file == "":
		return a.readAll(ctx, "VALUE")
	}
	return readArgument(file)
}

func (a *app) put(ctx context.Context, key string, value []byte, f *writeFlags) error {
	options, err := f.options()
	if err != nil {
		return err
	}
	client, err := a.clientIn(f.session)
	if err != nil {
		return err
	}
	done, err := client.Put(ctx, key, value, options)
	if err != nil {
		return a.unknownAdvice(err, key)
	}
	return a.answer(done, func(w io.Writer) { fmt.Fprintf(w, "%s version %d index %d\n", done.Path, done.Version, done.Index) })
}

// unknownAdvice adds the commands that find out about a write, or repeat it.
func (a *app) unknownAdvice(err error, key string) error {
	return advise(err, api.CodeUnknown, "read it back:  node kv get "+key, "or repeat it safely with the same request id:")
}

func (a *app) kvDel() *cobra.Command {
	f := &writeFlags{}
	var recursive bool
	c := &cobra.Command{
		Use: "del KEY", Short: "remove a key", Args: cobra.ExactArgs(1),
		Example: a.example("kv del colour", "kv del app --recursive"),
		RunE: func(c *cobra.Command, args []string) error {
			options, err := f.options()
			if err != nil {
				return err
			}
			options.Recursive = recursive
			client, err := a.clientIn(f.session)
			if err != nil {
				return err
			}
			done, err := client.Delete(c.Context(), args[0], options)
			if err != nil {
				return a.unknownAdvice(err, args[0])
			}
			return a.answer(done, func(w io.Writer) { fmt.Fprintf(w, "%s deleted index %d\n", done.Path, done.Index) })
		},
	}
	f.add(c, "remove only if the key has this version")
	c.Flags().BoolVarP(&recursive, "recursive", "r", false, "remove everything below it too")
	return c
}

// readFlags are what all reads take.
type readFlags struct {
	level string
	index uint64
}

func (f *readFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.level, "level", "linearizable", "how fresh: linearizable, lease, sequential or stale")
	c.Flags().Uint64Var(&f.index, "index", 0, "with --level sequential: wait until the node has applied this log index")
}

func (f *readFlags) options() api.ReadOptions {
	return api.ReadOptions{Level: api.Level(f.level), MinIndex: f.index}
}

func (a *app) kvGet() *cobra.Command {
	var f readFlags
	var raw bool
	c := &cobra.Command{
		Use: "get KEY", Short: "read a key", Args: cobra.ExactArgs(1),
		Long:    "Read a key. Exit code 3 when there is none. Text gets a line end if it has none; --raw writes the exact bytes.",
		Example: a.example("kv get colour", "kv get colour --level stale --output json", "kv get image --raw > image.png"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			entry, _, err := client.Get(c.Context(), args[0], f.options())
			if err != nil {
				return err
			}
			return a.answer(entry, func(w io.Writer) {
				if !raw && utf8.Valid(entry.Value) && !bytes.HasSuffix(entry.Value, []byte("\n")) {
					entry.Value = append(entry.Value, '\n')
				}
				w.Write(entry.Value) // a closed pipe needs no report
			})
		},
	}
	f.add(c)
	c.Flags().BoolVar(&raw, "raw", false, "write the exact bytes")
	return c
}

func (a *app) kvList() *cobra.Command {
	var f readFlags
	var recursive bool
	var limit uint
	c := &cobra.Command{
		Use: "ls [KEY]", Short: "list the keys below a key", Args: cobra.MaximumNArgs(1),
		Example: a.example("kv ls", "kv ls app --recursive", "kv ls app --output json"),
		RunE: func(c *cobra.Command, args []string) error {
			path := ""
			if len(args) == 1 {
				path = strings.Trim(args[0], "/")
			}
			entries, err := a.list(c.Context(), path, api.ListOptions{ReadOptions: f.options(), Recursive: recursive}, limit)
			if err != nil {
				return err
			}
			return a.answer(entries, func(w io.Writer) { columns(w, entryRows(entries)) })
		},
	}
	f.add(c)
	c.Flags().BoolVarP(&recursive, "recursive", "r", false, "everything below, not only the next level")
	c.Flags().UintVar(&limit, "limit", 0, "list at most this many; 0: all")
	return c
}

// list reads pages until limit entries have come (0: all).
func (a *app) list(ctx context.Context, path string, o api.ListOptions, limit uint) ([]api.Entry, error) {
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	entries := []api.Entry{}
	for o.Limit = api.MaxPage; ; {
		page, err := client.List(ctx, path, o)
		if err != nil {
			return nil, err
		}
		entries = append(entries, page.Entries...)
		if limit > 0 && uint(len(entries)) >= limit {
			return entries[:limit], nil
		}
		if o.After = page.After; o.After == "" {
			return entries, nil
		}
	}
}

func entryRows(entries []api.Entry) [][]string {
	rows := [][]string{{"KEY", "VERSION", "SIZE", "BELOW"}}
	for _, e := range entries {
		rows = append(rows, []string{e.Path, fmt.Sprint(e.Version), sized(int64(len(e.Value))), fmt.Sprint(e.Children)})
	}
	return rows
}

func (a *app) kvWatch() *cobra.Command {
	var o api.WatchOptions
	var count uint
	c := &cobra.Command{
		Use: "watch KEY", Short: "follow the changes of a key", Args: cobra.ExactArgs(1),
		Long: "Follow the changes of a key until interrupted. A lost connection is made again at any node, and no\n" +
			"change is missed or shown twice.",
		Example: a.example("kv watch colour", "kv watch colour --once", "kv watch workers --children", "kv watch app --recursive --from 120 --output json"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			if o.Recursive && o.Children {
				return a.usageError(c, "--recursive and --children cannot both be given")
			}
			seen := uint(0)
			err = client.Watch(c.Context(), strings.Trim(args[0], "/"), o, func(change api.Change) error {
				a.showChange(change)
				if seen++; seen == count {
					return silent(api.ExitOK)
				}
				return nil
			})
			if c.Context().Err() != nil {
				return silent(api.ExitOK)
			}
			return err
		},
	}
	c.Flags().BoolVarP(&o.Recursive, "recursive", "r", false, "everything below it too")
	c.Flags().BoolVar(&o.Children, "children", false, "the coming and going of the keys directly below it, not their values")
	c.Flags().BoolVar(&o.Once, "once", false, "end after the next change, with all that happened at its log index")
	c.Flags().Uint64Var(&o.From, "from", 0, "begin with the changes of this log index; 0: from now on")
	c.Flags().UintVar(&count, "count", 0, "end after this many changes; 0: never")
	return c
}

func (a *app) showChange(c api.Change) {
	if a.output == "json" {
		_ = a.line(c) // a closed pipe ends the program
		return
	}
	value := ""
	switch {
	case c.Kind == "deleted":
	case utf8.Valid(c.Value):
		value = " " + strconv.Quote(string(c.Value))
	default:
		value = fmt.Sprintf(" (%d bytes)", len(c.Value))
	}
	fmt.Fprintf(a.out, "%d %s %s%s\n", c.Index, c.Kind, c.Path, value)
}
