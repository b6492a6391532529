package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// decided is the answer of "decree decide" and "decree learn".
type decided struct {
	Decree string `json:"decree"`
	// Fate of the value that was proposed: "chosen", or "surely not" if another is.
	Fate  string `json:"fate,omitempty"`
	Value string `json:"value"`
}

func (a *app) decreeCommand() *cobra.Command {
	c := &cobra.Command{Use: "decree", Short: "choose one value for a name, for ever: single-decree Paxos",
		Long: "A decree is a name that gets one value, chosen once and for ever by a majority of acceptors. Processes\n" +
			"play the roles of Paxos, one or more each: proposer, acceptor, learner. They are no part of a cluster of\n" +
			"\"start\", and find each other by gossip.",
		Example: a.example("decree serve --name a1 --acceptors a1,a2,a3", "decree decide colour green", "decree learn colour")}
	c.AddCommand(a.decreeServe(), a.decreeDecide(), a.decreeLearn(), a.decreeRecording())
	return c
}

func (a *app) decreeDecide() *cobra.Command {
	return &cobra.Command{
		Use: "decide NAME VALUE", Short: "propose a value and print the one that is chosen", Args: cobra.ExactArgs(2),
		Long: "Propose a value for a decree and print the one that is chosen. Exit code 0: it is this one; 7: it is\n" +
			"another's, which came first; 5: this value is surely not chosen; 6: it may be chosen, now or later.",
		Example: a.example("decree decide colour green"),
		RunE: func(c *cobra.Command, args []string) error {
			var d decided
			if err := a.decreeCall(c.Context(), http.MethodPut, "/v1/decrees/"+url.PathEscape(args[0]), args[1], &d); err != nil {
				return err
			}
			if err := a.answer(d, func(w io.Writer) { fmt.Fprintln(w, d.Value) }); err != nil {
				return err
			}
			if d.Fate != fateChosen {
				a.hint("another value was chosen before; %q surely is not", args[1])
				return silent(api.CodeConflict.Info().Exit)
			}
			return nil
		},
	}
}

func (a *app) decreeLearn() *cobra.Command {
	return &cobra.Command{
		Use: "learn NAME", Short: "print the value that is chosen, as soon as it is", Args: cobra.ExactArgs(1),
		Example: a.example("decree learn colour --timeout 10s"),
		RunE: func(c *cobra.Command, args []string) error {
			var d decided
			if err := a.decreeCall(c.Context(), http.MethodGet, "/v1/decrees/"+url.PathEscape(args[0]), "", &d); err != nil {
				return err
			}
			return a.answer(d, func(w io.Writer) { fmt.Fprintln(w, d.Value) })
		},
	}
}

func (a *app) decreeRecording() *cobra.Command {
	return &cobra.Command{
		Use: "recording", Short: "the last ballots and messages of a process, one JSON object a line", Args: cobra.NoArgs,
		Long: "Print what the flight recorder of a process holds: the last ballots and messages of each of its roles, one\n" +
			"JSON object a line. \"inspect replay\" runs such recordings again.",
		Example: a.example("decree recording --addr 127.0.0.1:4700 > a1.jsonl"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.decreeCall(c.Context(), http.MethodGet, "/v1/recording", "", a.out)
		},
	}
}

// decreeGrace is how much longer than a process a caller waits for what it says at
// the end of its time.
const decreeGrace = 2 * time.Second

// decreeCall asks the first process of --addr that can be reached. The answer is
// decoded into v, or copied if v is a writer.
func (a *app) decreeCall(ctx context.Context, method, path, body string, v any) error {
	config, err := a.clientTLS()
	if err != nil {
		return err
	}
	scheme := "http"
	if config != nil {
		scheme = "https"
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	ctx, cancel := context.WithTimeout(ctx, a.timeout+decreeGrace)
	defer cancel()
	for _, addr := range a.addrs() {
		request, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s://%s%s?timeout=%v", scheme, addr, path, a.timeout), strings.NewReader(body))
		if err != nil {
			return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%q is not an address", addr), Do: []string{"--addr 127.0.0.1:4700"}}
		}
		answer, err := client.Do(request)
		if err != nil && method != http.MethodGet && !notConnected(err) {
			return &api.Error{Code: api.CodeUnknown, Message: "the value may or may not be chosen, now or later", Why: "the answer was lost",
				Do: []string{"node decree learn " + strings.TrimPrefix(path, "/v1/decrees/")}}
		}
		if err == nil {
			return readDecreeAnswer(answer, v)
		}
	}
	return &api.Error{Code: api.CodeReach, Message: "no process of decrees answers at " + a.addr,
		Do: []string{"node decree serve --name a1 --acceptors a1", "--addr HOST:PORT, the --api-port of any process"}}
}

// notConnected reports whether nothing of a request can have arrived.
func notConnected(err error) bool {
	failed, ok := errors.AsType[*net.OpError](err)
	return ok && failed.Op == "dial"
}

func readDecreeAnswer(answer *http.Response, v any) error {
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		failure := &api.Error{}
		err := json.NewDecoder(answer.Body).Decode(failure)
		switch {
		case err == nil && failure.Code != "":
			return failure
		case answer.StatusCode == http.StatusBadRequest && answer.TLS == nil: // so net/http answers plain text
			return &api.Error{Code: api.CodeTLS, Message: "the process wants TLS", Do: []string{"--tls-ca, --tls-cert and --tls-key"}}
		default:
			return &api.Error{Code: api.CodeReach, Message: "what answers is no process of decrees", Why: answer.Status}
		}
	}
	if w, ok := v.(io.Writer); ok {
		_, err := io.Copy(w, answer.Body)
		return err
	}
	if err := json.NewDecoder(answer.Body).Decode(v); err != nil {
		return &api.Error{Code: api.CodeReach, Message: "what answers is no process of decrees", Why: "its answer is no JSON"}
	}
	return nil
}
