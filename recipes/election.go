package recipes

import (
	"context"

	"github.com/synod-go/synod/api"
)

// Campaign waits until the session leads the election at path. value is the leader's
// announcement, such as its address. It is Lock in other words: who releases what it returns, resigns.
func Campaign(ctx context.Context, s *api.Session, path string, value []byte) (*Held, error) {
	return lock(ctx, s, path, value)
}

// Leader is who leads an election.
type Leader struct {
	Value []byte
	Token uint64 // 0: nobody leads
}

// Observe calls f with who leads the election at path, now and after each change, until ctx ends or
// f returns an error, which it returns. If there are several changes while f runs, it is told the
// last; who goes at the same index as the leader before never led, and is not told. It needs no
// session. It goes on at another node when a connection is lost; as long as there is none it knows
// no better than the last leader. The first reading fails as Client.List does.
func Observe(ctx context.Context, c *api.Client, path string, f func(Leader) error) error {
	return observe(ctx, c, path, f)
}

func observe(ctx context.Context, r reader, path string, f func(Leader) error) error {
	last, told := uint64(0), false
	return follow(ctx, r, path, 0, func(list []place) error {
		var leader Leader
		if len(list) > 0 {
			leader = Leader{Value: list[0].value, Token: list[0].token}
		}
		if told && leader.Token == last {
			return nil
		}
		last, told = leader.Token, true
		return f(leader)
	})
}
