package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// renderer keeps a file equal to what a template makes of keys.
type renderer struct {
	*app
	commandFlags
	template, file string
	watch          string
	once           bool
	settle         time.Duration
	commandLimit   time.Duration
	client         *api.Client
	cmd            *command // nil: none is run
}

func (a *app) renderCommand() *cobra.Command {
	r := &renderer{app: a}
	c := &cobra.Command{
		Use: "render TEMPLATE FILE --watch KEY [-- CMD [ARG...]]", Short: "keep a file equal to what a template makes of keys", Args: ownArgs(2, false),
		Long: "Write what the file TEMPLATE makes of the keys at and below KEY to FILE, now and whenever they change. FILE is\n" +
			"written whole or not at all, and keeps its mode; - is standard output. One that is a mount point, as /etc/hosts is in a\n" +
			"container, is written over in place: it never gets shorter, line feeds at its end fill it up. After each change of\n" +
			"FILE CMD is run, to have a server reload for example. A template that fails leaves FILE as it was, and says why.\n\n" +
			"TEMPLATE is in the language of Go's text/template. Paths are from KEY on, \"\" is KEY itself:\n\n" +
			"  get PATH            the value; an error if there is no such key     getOr PATH OTHER    OTHER then\n" +
			"  list PATH           keys directly below, in order                   tree PATH           all below\n" +
			"  ranked PATH         keys directly below, in order of creation       exists PATH         whether there is such a key\n" +
			"  env NAME            a variable of the environment                   json TEXT, toJSON V\n" +
			"  split, join, trim, upper, lower, replace, hasPrefix, hasSuffix, contains\n\n" +
			"A key of list, ranked or tree has .Path, .Name, .Value, .Version and .Created, one of ranked also .Rank, from 0:\n\n" +
			"  {{range list \"servers\"}}server {{.Name}} {{.Value}};\n  {{end}}",
		Example: a.example("render hosts.tmpl hosts --watch app/hosts", "render nginx.tmpl /etc/nginx/conf.d/app.conf --watch app -- nginx -s reload",
			"render hosts.tmpl - --watch app/hosts --once"),
		RunE: func(c *cobra.Command, args []string) error {
			own, command := splitCommand(c, args)
			r.template, r.file = own[0], own[1]
			return r.run(c, command)
		},
	}
	r.commandFlags.add(c)
	flags := c.Flags()
	flags.StringVar(&r.watch, "watch", "", "the key whose tree the template shows")
	flags.BoolVar(&r.once, "once", false, "write it once and end")
	flags.DurationVar(&r.settle, "settle", 100*time.Millisecond, "how long after a change others are waited for, to write all of them at once")
	flags.DurationVar(&r.commandLimit, "command-timeout", 30*time.Second, "how long CMD may take before it is ended")
	return c
}

func (r *renderer) run(c *cobra.Command, args []string) (err error) {
	r.watch = strings.Trim(r.watch, "/")
	switch {
	case r.watch == "":
		return r.usageError(c, "--watch must name a key")
	case r.settle < 0 || r.commandLimit <= 0:
		return r.usageError(c, "--settle must not be below 0, --command-timeout must be above 0")
	}
	if len(args) > 0 {
		if r.cmd, err = r.commandFor(args, r.commandFlags); err != nil {
			return err
		}
		r.cmd.apart = true
	}
	if r.client, err = r.app.client(); err != nil {
		return err
	}
	ctx := c.Context()
	index, err := r.update(ctx)
	if _, ran := errors.AsType[*exitWith](err); ran && !r.once {
		r.hint("%s", plain(err)) // the file is there: what the command has not done may come with the next change
		err = nil
	}
	if err != nil || r.once {
		return err
	}
	return endsWith(ctx, r.follow(ctx, index))
}

// follow renders after each change, from a log index on.
func (r *renderer) follow(ctx context.Context, index uint64) error {
	for {
		err := r.nextChange(ctx, index)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil || api.CodeOf(err) == api.CodeGone { // gone: what has changed is not known, so look at all
			var at uint64
			at, err = r.update(ctx)
			if api.CodeOf(err) != api.CodeData { // else the file lacks it still: it is a change to come
				index = max(index, at)
			}
			if at > 0 && api.CodeOf(err) == api.CodeRequest { // the template's: the next change may please it, and is due at once
				r.hint("%s", plain(err))
				continue
			}
		}
		if err != nil {
			r.hint("%s", plain(err))
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

// nextChange waits for a change after index, and a little longer for others.
func (r *renderer) nextChange(ctx context.Context, index uint64) error {
	err := r.client.Watch(ctx, r.watch, api.WatchOptions{Recursive: true, From: index + 1}, func(api.Change) error { return errEnough })
	if err != errEnough {
		return err
	}
	select {
	case <-ctx.Done():
	case <-time.After(r.settle):
	}
	return ctx.Err()
}

// update reads the keys, and renders them. The index is the one that the keys are from, at least.
func (r *renderer) update(ctx context.Context) (index uint64, err error) {
	k, index, err := r.read(ctx)
	if err != nil {
		return 0, err
	}
	text, err := readArgument(r.template)
	if err != nil {
		return index, err
	}
	content, err := render(filepath.Base(r.template), string(text), k)
	if err != nil {
		return index, &api.Error{Code: api.CodeRequest, Message: "the template cannot be carried out: " + r.file + " is left as it was", Why: plain(err)}
	}
	return index, r.write(ctx, content)
}

// read lists all keys at and below the watched one.
func (r *renderer) read(ctx context.Context) (*keys, uint64, error) {
	var entries []api.Entry
	top, index, err := r.client.Get(ctx, r.watch, api.ReadOptions{})
	switch {
	case api.CodeOf(err) == api.CodeNotFound:
		return newKeys(r.watch, nil), index, nil
	case err != nil:
		return nil, 0, err
	}
	entries = append(entries, top)
	size := len(top.Value)
	for o := (api.ListOptions{Recursive: true, Limit: api.MaxPage}); ; {
		page, err := r.client.List(ctx, r.watch, o)
		if api.CodeOf(err) == api.CodeNotFound {
			return newKeys(r.watch, nil), index, nil
		}
		if err != nil {
			return nil, 0, err
		}
		for _, e := range page.Entries {
			size += len(e.Path) + len(e.Value)
		}
		if size > maxRendered {
			return nil, 0, &api.Error{Code: api.CodeTooLarge, Message: fmt.Sprintf("there are more than 64 MiB below %q", r.watch)}
		}
		entries = append(entries, page.Entries...)
		if o.After = page.After; o.After == "" {
			return newKeys(r.watch, entries), index, nil
		}
	}
}

// write writes the file if it is another one now, and runs the command then.
func (r *renderer) write(ctx context.Context, content []byte) error {
	if r.file == "-" {
		_, err := r.out.Write(content)
		return err
	}
	changed, err := replaceFile(r.file, content)
	if err != nil {
		return &api.Error{Code: api.CodeData, Message: fmt.Sprintf("the file %q cannot be written", r.file), Why: plain(err)}
	}
	if !changed {
		return nil
	}
	r.hint("%s is written, %s", r.file, sized(int64(len(content))))
	if r.cmd == nil {
		return nil
	}
	return r.runCommand(ctx)
}

// runCommand runs the command once, and no longer than it may take.
func (r *renderer) runCommand(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, r.commandLimit)
	defer cancel()
	done, err := r.cmd.run(ctx, limit.Done(), "SYNOD_FILE="+r.file)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	e := &api.Error{Code: api.CodeInternal, Message: fmt.Sprintf("%s is written, and %s ended with exit code %d", r.file, r.cmd.args[0], done.code)}
	switch {
	case done.stopped:
		e.Code, e.Message = api.CodeTimeout, fmt.Sprintf("%s is written, and %s was ended because it took longer than %v", r.file, r.cmd.args[0], r.commandLimit)
	case done.code == 0:
		return nil
	}
	return &exitWith{done.codeOr(api.ExitFailed), e}
}
