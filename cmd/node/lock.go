package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

// lock holds a lock while a command runs.
type lock struct {
	*app
	commandFlags
	sessionFlags
	wait  waitFlag
	try   bool
	value string
}

func (a *app) lockCommand() *cobra.Command {
	l := &lock{app: a}
	c := &cobra.Command{
		Use: "lock NAME -- CMD [ARG...]", Short: "run a command while holding a lock", Args: ownArgs(1, true),
		Long: "Wait for a lock, run CMD, and give the lock back when CMD ends. NAME is a key; who waits stands below it in\n" +
			"the order of arrival. CMD's exit code is the verb's; 128+n if signal n ended CMD; 7 if the lock was not to be\n" +
			"had; 75 if it was lost while CMD ran: CMD then gets SIGTERM and, after --grace, SIGKILL. SIGINT, SIGTERM,\n" +
			"SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to CMD.\n\n" +
			"CMD finds SYNOD_LOCK (the key that stands for this holder), SYNOD_TOKEN and SYNOD_SESSION in its environment.\n\n" +
			"A lock alone keeps no process out: one that was paused goes on when it wakes up, before anybody can tell it\n" +
			"that the lock has gone to another. Give SYNOD_TOKEN along with whatever you write, and have the target refuse a\n" +
			"number lower than the highest it has seen: later holders have higher ones. For keys of this cluster a check in a\n" +
			"transaction does that (kv txn).",
		Example: a.example("lock jobs/backup -- ./backup.sh", "lock --try jobs/backup -- ./backup.sh",
			"lock --wait 30s jobs/backup -- sh -c 'rsync -a data/ store:backup-$SYNOD_TOKEN/'"),
		RunE: func(c *cobra.Command, args []string) error {
			own, command := splitCommand(c, args)
			return l.run(c.Context(), own[0], command)
		},
	}
	l.commandFlags.add(c)
	l.sessionFlags.add(c)
	l.wait.add(c, "for the lock")
	c.Flags().BoolVar(&l.try, "try", false, "do not wait: end with exit code 7 if somebody has the lock")
	c.Flags().StringVar(&l.value, "value", "", "what others see of the holder. Default: host and process")
	return c
}

func (l *lock) run(ctx context.Context, name string, args []string) error {
	cmd, err := l.commandFor(args, l.commandFlags)
	if err != nil {
		return err
	}
	name = strings.Trim(name, "/")
	s, err := l.openSession(ctx, l.sessionFlags)
	if err != nil {
		return err
	}
	defer l.endSession(ctx, s)
	held, err := l.take(ctx, s, name)
	if err != nil {
		return err
	}
	done, err := cmd.run(ctx, held.Lost(), "SYNOD_LOCK="+held.Path(), fmt.Sprintf("SYNOD_TOKEN=%d", held.Token()), "SYNOD_SESSION="+s.Token())
	switch {
	case err != nil:
		return err
	case done.stopped:
		return lostError(fmt.Sprintf("the lock %q", name), held.Err(), "the command was ended; begin again:  node lock "+name+" -- "+strings.Join(args, " "))
	}
	return silent(done.code)
}

func (l *lock) shownAs() []byte { return []byte(cmp.Or(l.value, whoami())) }

// take waits for the lock.
func (l *lock) take(ctx context.Context, s *api.Session, name string) (*recipes.Held, error) {
	if l.try {
		held, err := recipes.TryLock(ctx, s, name, l.shownAs())
		if err == nil && held == nil {
			err = l.taken(ctx, s.Client(), name, "it is held, and --try does not wait")
		}
		return held, err
	}
	wait, cancel := l.wait.context(ctx)
	defer cancel()
	go l.tellHolder(wait, s.Client(), name)
	held, err := recipes.Lock(wait, s, name, l.shownAs())
	if err != nil && l.wait.over(ctx, wait) {
		return nil, l.taken(ctx, s.Client(), name, fmt.Sprintf("it was not to be had within %v", l.wait.limit))
	}
	return held, placeError(name, err)
}

// impatience is how long after it began to wait a verb tells for whom.
const impatience = time.Second

// tellHolder says who has the lock, if it takes a while to get it.
func (l *lock) tellHolder(ctx context.Context, client *api.Client, name string) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(impatience):
	}
	if holder, err := leaderOf(ctx, client, name); err == nil && holder.Token != 0 {
		l.hint("waiting for the lock %q: %s has it, token %d", name, shown(holder.Value), holder.Token)
	}
}

func (l *lock) taken(ctx context.Context, client *api.Client, name, why string) error {
	e := &api.Error{Code: api.CodeConflict, Message: fmt.Sprintf("the lock %q is somebody else's", name), Why: why,
		Do: []string{"who has it and who waits:  node kv ls " + name, "leave out --try, or give --wait more time"}}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	if holder, err := leaderOf(ctx, client, name); err == nil && holder.Token != 0 {
		e.Why += fmt.Sprintf("; %s has it, token %d", shown(holder.Value), holder.Token)
	}
	return e
}

// leaderOf reads once who leads an election, or has a lock.
func leaderOf(ctx context.Context, client *api.Client, name string) (leader recipes.Leader, err error) {
	err = recipes.Observe(ctx, client, name, func(l recipes.Leader) error {
		leader = l
		return errEnough
	})
	if err == errEnough {
		err = nil
	}
	return leader, err
}
