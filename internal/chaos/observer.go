package chaos

import (
	"context"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

// observe looks on until ctx ends, and says what it is told.
func (c *contender) observe(ctx context.Context) {
	for ctx.Err() == nil {
		var err error
		switch c.config.Role {
		case roleWatch:
			err = c.client.Watch(ctx, c.config.Watch, api.WatchOptions{Recursive: true}, c.sayChange)
		case roleObserve:
			err = recipes.Observe(ctx, c.client, c.config.Path, c.sayLeader)
		case roleSessionWatch:
			err = c.watchInSession(ctx)
		default:
			fatalf("no role %q", c.config.Role)
		}
		if ctx.Err() == nil && err != nil {
			// A watch that begins anew has missed what was before: the judge sees that.
			c.sayError("observe", err)
			c.rest(ctx, 50*time.Millisecond)
		}
	}
}

func (c *contender) sayChange(change api.Change) error {
	c.say(Said{Kind: SaidChange, Change: &change})
	return nil
}

func (c *contender) sayLeader(leader recipes.Leader) error {
	c.say(Said{Kind: SaidLeader, Token: leader.Token, Value: string(leader.Value)})
	return nil
}

// watchInSession watches over the connection of a session, which is made again
// elsewhere when its node is lost.
func (c *contender) watchInSession(ctx context.Context) error {
	session, err := c.client.OpenSession(ctx, api.SessionOptions{Timeout: c.config.Timeout, Linger: c.config.Linger})
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.Background(), lateCall)
		defer cancel()
		_ = session.Close(end) // it ends by itself, if a little later
	}()
	c.say(Said{Kind: SaidOpened, Session: session.ID()})
	return session.Watch(ctx, c.config.Watch, api.WatchOptions{Recursive: true}, c.sayChange)
}
