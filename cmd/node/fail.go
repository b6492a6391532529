package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/storage"
)

// silent ends the program with an exit code and says nothing more: the verb
// has said it.
type silent int

func (s silent) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

// exitWith is an error with an exit code of its own: of a verb that runs a command,
// whose codes pass through.
type exitWith struct {
	code int
	err  error
}

func (e *exitWith) Error() string { return e.err.Error() }
func (e *exitWith) Unwrap() error { return e.err }

// fail shows err and returns the exit code that goes with it.
func (a *app) fail(err error) int {
	if s, ok := errors.AsType[silent](err); ok {
		return int(s)
	}
	e, ok := errors.AsType[*api.Error](err)
	switch {
	case ok:
	case errors.Is(err, context.Canceled):
		e = &api.Error{Code: api.CodeInterrupted, Message: "ended by the user"}
	default:
		e = &api.Error{Code: api.CodeInternal, Message: "the command failed", Why: plain(err)}
	}
	if a.output == "json" {
		body, _ := json.Marshal(e) // an Error always encodes
		fmt.Fprintf(a.err, "%s\n", body)
	} else {
		fmt.Fprint(a.err, a.describe(e))
	}
	if x, ok := errors.AsType[*exitWith](err); ok {
		return x.code
	}
	return e.Code.Info().Exit
}

// advise puts what to type here in the place of what a node advises those who speak HTTP, in errors of a code.
func advise(err error, code api.Code, do ...string) error {
	e, ok := errors.AsType[*api.Error](err)
	if !ok || e.Code != code {
		return err
	}
	advised := *e
	advised.Do = do
	return &advised
}

// describe writes an error as people read it: what, why, what to do.
func (a *app) describe(e *api.Error) string {
	var text strings.Builder
	fmt.Fprintf(&text, "error %s: %s\n", e.Code, e.Message)
	if e.Why != "" {
		fmt.Fprintf(&text, "  why   %s\n", strings.ReplaceAll(e.Why, "\n", "\n        "))
	}
	label := "do    "
	for _, line := range e.Do {
		fmt.Fprintf(&text, "  %s%s\n", label, a.ownName(line))
		label = "      "
	}
	if e.RequestID != "" && e.Code == api.CodeUnknown {
		fmt.Fprintf(&text, "  %s--request-id %s\n", label, e.RequestID)
	}
	return text.String()
}

// ownName puts the name by which this program was called into a hint.
func (a *app) ownName(line string) string {
	own := regexp.MustCompile(`(^|\s)node (` + strings.Join(a.verbs, "|") + `)\b`)
	return own.ReplaceAllString(line, "${1}"+strings.ReplaceAll(a.program, "$", "$$")+" $2")
}

var goNames = regexp.MustCompile(`(^|: )(synod|backup|decree|proposer|acceptor|learner|founding|paxos|storage|cluster|raftnode|raft|group|consensus|api|replica|recipes|coordination|x509|tls|mesos|jobs|jobfile|master|agent|open|mkdir|stat|listen tcp|listen udp|bind): `)

// plain is an error's text without the names of packages and system calls in front.
func plain(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	text := err.Error()
	if lost, ok := errors.AsType[*storage.LostError](err); ok {
		text = lost.Dir + " must not be used any more: " + lost.Reason // what to do about it stands elsewhere
	}
	for {
		shorter := goNames.ReplaceAllString(text, "$1")
		if shorter == text {
			return strings.ReplaceAll(text, "\n", "; ")
		}
		text = shorter
	}
}
