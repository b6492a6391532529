package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

func (a *app) sessionCommand() *cobra.Command {
	c := &cobra.Command{Use: "session", Short: "sessions: open one for a command, list them, end one",
		Long: "A session is a client's place in the cluster: its ephemeral keys, locks and leaderships end with it. It lives as\n" +
			"long as its client shows itself.",
		Example: a.example("session run -- sh -c 'node kv create hosts/a 10.0.0.1 --ephemeral && ./serve'", "session ls", "session end 1042")}
	c.AddCommand(a.sessionRun(), a.sessionList(), a.sessionEnd())
	return c
}

// sessionRunner runs a command in a session.
type sessionRunner struct {
	*app
	commandFlags
	sessionFlags
}

func (a *app) sessionRun() *cobra.Command {
	r := &sessionRunner{app: a}
	c := &cobra.Command{
		Use: "run -- CMD [ARG...]", Short: "run a command in a session of its own", Args: ownArgs(0, true),
		Long: "Open a session, run CMD with its token in SYNOD_SESSION, and end the session when CMD ends. kv put, del, cas, create\n" +
			"and txn act in the session that SYNOD_SESSION names: ephemeral keys that they create are there as long as CMD\n" +
			"runs, and they refuse to write when the session is over. Who has the token can act in the session. CMD's exit\n" +
			"code is the verb's; 75 if the session was lost while CMD ran: CMD gets SIGTERM then and, after --grace, SIGKILL.",
		Example: a.example("session run -- sh -c 'node kv create hosts/a 10.0.0.1 --ephemeral && ./serve'", "session run -- bash"),
		RunE:    func(c *cobra.Command, args []string) error { return r.run(c.Context(), args) },
	}
	r.commandFlags.add(c)
	r.sessionFlags.add(c)
	return c
}

func (r *sessionRunner) run(ctx context.Context, args []string) error {
	cmd, err := r.commandFor(args, r.commandFlags)
	if err != nil {
		return err
	}
	s, err := r.openSession(ctx, r.sessionFlags)
	if err != nil {
		return err
	}
	defer r.endSession(ctx, s)
	done, err := cmd.run(ctx, s.Lost(), "SYNOD_SESSION="+s.Token())
	switch {
	case err != nil:
		return err
	case done.stopped:
		return lostError("the session", s.Err(), "the command was ended; begin again:  node session run -- "+strings.Join(args, " "))
	}
	return silent(done.code)
}

func (a *app) sessionList() *cobra.Command {
	var limit uint
	c := &cobra.Command{
		Use: "ls", Short: "list the open sessions", Args: cobra.NoArgs,
		Long:    "List the open sessions. The number of one is the owner of its ephemeral keys, and the log index at which it was opened.",
		Example: a.example("session ls", "session ls --output json"),
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := a.sessions(c.Context(), int(limit))
			if err != nil {
				return err
			}
			return a.answer(list, func(w io.Writer) { columns(w, sessionRows(list)) })
		},
	}
	c.Flags().UintVar(&limit, "limit", 0, "list at most this many; 0: all")
	return c
}

// sessions reads pages until limit sessions have come (0: all).
func (a *app) sessions(ctx context.Context, limit int) ([]api.SessionStatus, error) {
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	list := []api.SessionStatus{}
	for after := uint64(0); ; after = list[len(list)-1].ID {
		page, err := client.Sessions(ctx, after, api.MaxPage)
		if err != nil {
			return nil, err
		}
		list = append(list, page...)
		if limit > 0 && len(list) >= limit {
			return list[:limit], nil
		}
		if len(page) < api.MaxPage {
			return list, nil
		}
	}
}

func sessionRows(list []api.SessionStatus) [][]string {
	rows := [][]string{{"SESSION", "TIMEOUT", "LINGER", "OPENED", "EPHEMERAL"}}
	for _, s := range list {
		rows = append(rows, []string{fmt.Sprint(s.ID), s.Timeout.String(), s.Linger.String(), s.Opened.Local().Format(time.DateTime), fmt.Sprint(s.Ephemeral)})
	}
	return rows
}

func (a *app) sessionEnd() *cobra.Command {
	return &cobra.Command{
		Use: "end SESSION", Short: "end a session that is not ours", Args: cobra.ExactArgs(1),
		Long: "End a session by its number, as session ls shows it: its ephemeral keys are deleted, its locks and leaderships go to\n" +
			"the next in line. Its client finds out at its next sign of life; what it does outside the cluster until then only\n" +
			"fencing tokens stop.",
		Example: a.example("session end 1042"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return a.usageError(c, fmt.Sprintf("SESSION is a number, as session ls shows it, not %q", args[0]))
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			if err := client.EndSession(c.Context(), id); err != nil {
				return advise(err, api.CodeNotFound, "node session ls")
			}
			return a.answer(sessionEnded{id}, func(w io.Writer) { fmt.Fprintf(w, "session %d ended\n", id) })
		},
	}
}

// sessionEnded is what session end answers.
type sessionEnded struct {
	Session uint64 `json:"session"`
}
