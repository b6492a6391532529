package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

func (a *app) tokenCommand() *cobra.Command {
	c := &cobra.Command{Use: "token", Short: "make the tokens that clients may show in the place of a certificate",
		Example: a.example("token new alice --role view")}
	c.AddCommand(a.tokenNew())
	return c
}

// newToken is the answer of "token new".
type newToken struct {
	Token string `json:"token"`
	Line  string `json:"line"`
}

func (a *app) tokenNew() *cobra.Command {
	var role string
	c := &cobra.Command{
		Use: "new NAME", Short: "make a token, which is shown this once", Args: cobra.ExactArgs(1),
		Long: "Make a token of 32 random bytes for a client, and the line for the file that nodes are started with (--tokens): it has a digest\n" +
			"of the token and not the token. Nodes read the file again when it has changed; a line that is removed ends its token.\n" +
			"The roles are those of tls issue, without node; agent is for the agent NAME of nodes without TLS.",
		Example: a.example("token new alice --role view", "token new ci --role operate --output json"),
		RunE: func(c *cobra.Command, args []string) error {
			token, line, err := api.NewToken(args[0], cluster.Role(role))
			if err != nil {
				return a.usageError(c, err.Error())
			}
			a.hint("add this line to the file of --tokens, mode 0600, on each node:  %s", line)
			a.hint("the client gets this, in NODE_TOKEN or in the file of --token-file; it is not shown again:")
			return a.answer(newToken{token, line}, func(w io.Writer) { fmt.Fprintln(w, token) })
		},
	}
	c.Flags().StringVar(&role, "role", "view", "view, use, operate, admin or agent")
	return c
}

// openTokens reads the file of --tokens; nil: none is given.
func openTokens(file string, log *slog.Logger) (*api.Tokens, error) {
	if file == "" {
		return nil, nil
	}
	tokens, err := api.OpenTokens(file, log)
	if err != nil {
		return nil, &api.Error{Code: api.CodeTokens, Message: "the tokens in " + file + " cannot be used", Why: plain(err),
			Do: []string{"a line is NAME ROLE SHA256, as this makes it:  node token new NAME --role view", "nobody else may read it:  chmod 600 " + file}}
	}
	return tokens, nil
}

// maxTokenBytes is as long as a file with one token may be.
const maxTokenBytes = 4096

// token is the one that we show, "" if we have none.
func (a *app) token() (string, error) {
	if a.tokenFile == "" {
		return strings.TrimSpace(os.Getenv("NODE_TOKEN")), nil
	}
	failed := func(err error, do string) error {
		return &api.Error{Code: api.CodeTokens, Message: "the token in " + a.tokenFile + " cannot be used", Why: plain(err), Do: []string{do}}
	}
	f, err := os.Open(a.tokenFile)
	if err != nil {
		return "", failed(err, "--token-file FILE, or NODE_TOKEN")
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxTokenBytes))
	info, statErr := f.Stat()
	token := strings.TrimSpace(string(content))
	switch {
	case errors.Join(err, statErr) != nil:
		return "", failed(errors.Join(err, statErr), "--token-file FILE, or NODE_TOKEN")
	case info.Mode().Perm()&0o077 != 0:
		return "", failed(fmt.Errorf("others may read it (mode %v)", info.Mode().Perm()), "chmod 600 "+a.tokenFile)
	case token == "" || strings.ContainsAny(token, " \t\r\n"):
		return "", failed(errors.New("it is not one word"), "node token new NAME")
	}
	return token, nil
}
