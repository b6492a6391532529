package framework

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/recipes"
)

// StandBy runs a scheduler of which there are several, in as many processes: it waits until
// this one is elected, runs it as Run does, and waits again when it was deposed. It returns
// when ctx ends, with ErrRemoved, with what wraps ErrStop, and with what no other attempt
// would change.
func StandBy(ctx context.Context, c Config, scheduler Scheduler) error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	for {
		err := reign(ctx, c, scheduler)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case final(err) && !errors.Is(err, ErrTakenOver):
			return err
		}
		c.Logger.Info("deposed", "framework", c.Info.Name, "reason", err)
		select {
		case <-time.After(c.Pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// resignTime bounds how long the giving up of an election is waited for.
const resignTime = 2 * time.Second

// reign is one election that is won, from the waiting to the end of the leadership.
func reign(ctx context.Context, c Config, scheduler Scheduler) error {
	session, err := c.Client.OpenSession(ctx, c.Session)
	if err != nil {
		return err
	}
	defer func() { // the next one need not wait for the session's timeout
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resignTime)
		defer cancel()
		_ = session.Close(ctx)
	}()
	held, err := recipes.Campaign(ctx, session, c.Path+"/leader", []byte(c.Info.Name))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-held.Lost():
			cancel(fmt.Errorf("framework: deposed: %w", held.Err()))
		case <-ctx.Done():
		}
	}()
	if c.Info.ID, err = identity(ctx, &c, session, held); err != nil {
		return err
	}
	c.Info.Labels = maps.Clone(c.Info.Labels)
	if c.Info.Labels == nil {
		c.Info.Labels = map[string]string{}
	}
	c.Info.Labels[mesos.FenceLabel] = strconv.FormatUint(held.Token(), 10)
	c.Logger.Info("elected", "framework", c.Info.ID, "token", held.Token())
	return run(ctx, c, scheduler)
}

// identity returns the framework's id. The first scheduler of all chooses it, and has put it
// into the tree, in a transaction that only the elected one can make, before it subscribes:
// so there never is a second one.
func identity(ctx context.Context, c *Config, session *api.Session, held *recipes.Held) (mesos.FrameworkID, error) {
	path := c.Path + "/id"
	for {
		entry, _, err := session.Get(ctx, path, api.ReadOptions{})
		switch {
		case err == nil:
			return checkedID(path, mesos.FrameworkID(entry.Value))
		case api.CodeOf(err) != api.CodeNotFound:
			return "", err
		}
		id := c.Info.ID
		if id == "" {
			id = api.NewFrameworkID(c.Info.Name)
		}
		if id, err = checkedID("the name", id); err != nil {
			return "", err
		}
		_, err = session.Commit(ctx, []api.TxnOperation{held.Check(), {Op: "create", Path: path, Value: []byte(id)}}, api.NewRequestID())
		switch api.CodeOf(err) {
		case "":
			return id, nil
		case api.CodeExists, api.CodeUnknown, api.CodeNoLeader, api.CodeTimeout: // who has done it shows the next look
		default:
			return "", err
		}
	}
}

// checkedID tells whether an id may be one.
func checkedID(where string, id mesos.FrameworkID) (mesos.FrameworkID, error) {
	if err := mesos.CheckName(string(id)); err != nil {
		return "", &api.Error{Code: api.CodeUsage, Message: where + " holds no id of a framework", Why: err.Error()}
	}
	return id, nil
}
