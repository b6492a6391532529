package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

// sessionFlags are what all verbs take that hold something by a session.
type sessionFlags struct{ sessionTimeout time.Duration }

// lingerTime is how long a session of ours lives on when this process is killed.
const lingerTime = 500 * time.Millisecond

func (f *sessionFlags) add(c *cobra.Command) {
	c.Flags().DurationVar(&f.sessionTimeout, "session-timeout", 10*time.Second,
		"how long the cluster waits for a sign of life before it takes away what is held")
}

// openSession opens a session. The caller ends it with endSession.
func (a *app) openSession(ctx context.Context, f sessionFlags) (*api.Session, error) {
	if f.sessionTimeout < time.Second || f.sessionTimeout > time.Hour {
		return nil, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("--session-timeout cannot be %v", f.sessionTimeout),
			Why: "1 s to 1 h are possible", Do: []string{"--session-timeout 10s"}}
	}
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	return client.OpenSession(ctx, api.SessionOptions{Timeout: f.sessionTimeout, Linger: lingerTime})
}

// endSession ends a session, also when ctx has ended. If that fails the cluster ends it soon.
func (a *app) endSession(ctx context.Context, s *api.Session) {
	ctx, cancel := a.lastWords(ctx)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		a.hint("the session %d ends by itself in %v at most: %s", s.ID(), s.Timeout(), plain(err))
	}
}

// lastWords is a context for what is done at the end, whether or not ctx has ended.
func (a *app) lastWords(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
}

// waitFlag bounds how long a verb waits for others.
type waitFlag struct{ limit time.Duration }

func (f *waitFlag) add(c *cobra.Command, what string) {
	c.Flags().DurationVar(&f.limit, "wait", 0, "how long to wait "+what+"; 0: as long as it takes")
}

func (f *waitFlag) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if f.limit <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, f.limit)
}

// over reports whether err came because the wait was over, and the user has not ended it.
func (f *waitFlag) over(ctx, wait context.Context) bool {
	return ctx.Err() == nil && wait.Err() != nil
}

// whoami is what others see of us if nothing else is said.
func whoami() string {
	host, err := os.Hostname()
	if err != nil {
		host = "somewhere"
	}
	return fmt.Sprintf("%s pid %d", host, os.Getpid())
}

// lostError says that what a command ran under was lost: what, why and what became of the command.
func lostError(what string, why error, whatNow string) error {
	return &exitWith{exitLost, &api.Error{Code: api.CodeSession, Message: what + " was lost while the command ran", Why: lostWords(why),
		Do: []string{whatNow, "what it wrote to elsewhere may have a new holder: it must refuse our token from now on"}}}
}

// lostWords says why something was lost.
func lostWords(why error) string {
	if errors.Is(why, recipes.ErrDeleted) {
		return "somebody has deleted its key"
	}
	if e, ok := errors.AsType[*api.Error](why); ok { // its code stands in front already
		return strings.TrimSuffix(e.Message+": "+e.Why, ": ")
	}
	return plain(why)
}

// tookAway reports whether a recipe ended with err because what it held was lost.
func tookAway(err error) bool {
	return errors.Is(err, recipes.ErrDeleted) || api.CodeOf(err) == api.CodeSession
}

// placeError is the error of a recipe that was waiting.
func placeError(name string, err error) error {
	if errors.Is(err, recipes.ErrDeleted) {
		return &api.Error{Code: api.CodeSession, Message: fmt.Sprintf("our place in %q was lost while we waited", name), Why: lostWords(err),
			Do: []string{"begin again"}}
	}
	return err
}

// repeat has a verb take up again what it has lost, round after round, until a round ends for
// another reason. The first round must succeed; later ones wait for the cluster to come back.
func (a *app) repeat(ctx context.Context, round func() (lost bool, err error)) error {
	told := ""
	for first := true; ; first = false {
		lost, err := round()
		if !lost && (err == nil || first || ctx.Err() != nil || !passing(err)) {
			return err
		}
		if err != nil && plain(err) != told {
			told = plain(err)
			a.hint("not yet: %s", told)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(againPause):
		}
	}
}

// againPause keeps a verb that loses at once what it has from doing so all the time.
const againPause = 500 * time.Millisecond

// passing reports whether an error is one that the cluster may get over.
func passing(err error) bool {
	if errors.Is(err, recipes.ErrDeleted) {
		return true
	}
	switch code := api.CodeOf(err); code {
	case api.CodeReach, api.CodeUnknown, api.CodeSession, api.CodeExpired:
		return true
	default:
		return code.Info().Retry
	}
}
