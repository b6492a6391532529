package recipes

import (
	"context"
	"time"

	"github.com/synod-go/synod/api"
)

// Member is one of a group, in the order in which they joined: Rank 0 is the leader, and whoever
// campaigns at the same path stands in the same order.
type Member struct {
	Rank  int
	Token uint64 // the log index at which it joined
	Value []byte
	Self  bool
}

// Membership is a place in a group. It is safe for concurrent use.
type Membership struct{ held *Held }

// Join enters the group at path. value is shown to the others; at most MaxValue bytes. Errors are
// those of Lock.
func Join(ctx context.Context, s *api.Session, path string, value []byte) (*Membership, error) {
	return join(ctx, s, path, value)
}

func join(ctx context.Context, s session, path string, value []byte) (*Membership, error) {
	held, err := enter(ctx, s, path, value)
	if err != nil {
		return nil, err
	}
	return &Membership{held}, nil
}

// burst is how long a change waits for others, to be told together with them.
const burst = 5 * time.Millisecond

// Watch calls f with all members, now and after each change, until ctx or the membership ends or f
// returns an error. Changes that come within 5 ms, or while f runs, are told together. Ranks move up
// when somebody leaves: they are a division of labour, and nothing that excludes. For that there are
// tokens, which stay. The error is that of f, of ctx, Err's, or of the first reading.
func (m *Membership) Watch(ctx context.Context, f func([]Member) error) error {
	ctx, cancel := until(ctx, m.held.lost, m.held.Err)
	defer cancel()
	return members(ctx, m.held.s, m.held.path, m.held.key, f)
}

// Token is the log index at which it was joined: higher than those of all who joined before.
func (m *Membership) Token() uint64 { return m.held.token }

// Path is the key that stands for the member.
func (m *Membership) Path() string { return m.held.key }

// Lost is closed when the group was left, or the session is or may be over, or somebody has deleted
// the member's key, or it can no longer be known whether somebody has.
func (m *Membership) Lost() <-chan struct{} { return m.held.lost }

// Err is nil until Lost is closed, then why: ErrReleased, ErrDeleted, or the session's error.
func (m *Membership) Err() error { return m.held.Err() }

// Leave leaves the group, as Held.Release releases a lock.
func (m *Membership) Leave(ctx context.Context) error { return m.held.Release(ctx) }

// Members is Membership.Watch for who is no member. It needs no session; it goes on at another node
// when a connection is lost. The first call for a group of more than a page of a listing (1000 members)
// may mix what was there while it was read.
func Members(ctx context.Context, c *api.Client, path string, f func([]Member) error) error {
	return members(ctx, c, path, "", f)
}

func members(ctx context.Context, r reader, path, self string, f func([]Member) error) error {
	return follow(ctx, r, path, burst, func(list []place) error {
		all := make([]Member, len(list))
		for i, p := range list {
			all[i] = Member{Rank: i, Token: p.token, Value: p.value, Self: p.key == self}
		}
		return f(all)
	})
}
