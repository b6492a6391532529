package recipes

import (
	"context"

	"github.com/synod-go/synod/api"
)

// Held is a lock or a leadership that is held, until Lost is closed.
type Held struct{}

// Token is the fencing token: the log index at which this holder queued up. Later holders of the
// same lock have higher ones, because they are let in in this order.
func (h *Held) Token() uint64 { return 0 }

// Path is the key that stands for the holder.
func (h *Held) Path() string { return "" }

// Lost is closed when the lock is given back, or the session is or may be over, or somebody
// has deleted the key.
func (h *Held) Lost() <-chan struct{} { return nil }

// Release gives the lock back. It is no error that it was lost.
func (h *Held) Release(ctx context.Context) error { return nil }

// Check is an operation that makes a transaction fail unless the lock is still held.
func (h *Held) Check() api.TxnOperation { return api.TxnOperation{} }

// Lock waits until the session holds the lock at path and returns it. Who waits stands in a queue
// in the order of arrival. When ctx ends first the place in the queue is given up. value is shown to
// those who look who holds it.
func Lock(ctx context.Context, s *api.Session, path string, value []byte) (*Held, error) {
	return nil, nil
}

// TryLock returns nil and no error if somebody else holds or waits for the lock.
func TryLock(ctx context.Context, s *api.Session, path string, value []byte) (*Held, error) {
	return nil, nil
}

// Campaign waits until the session leads the election at path. value is the leader's
// announcement, such as its address.
func Campaign(ctx context.Context, s *api.Session, path string, value []byte) (*Held, error) {
	return nil, nil
}

// Leader is who leads an election.
type Leader struct {
	Value []byte
	Token uint64 // 0: nobody leads
}

// Observe calls f with who leads the election at path, now and after each change, until ctx ends or
// f returns an error, which it returns. It needs no session.
func Observe(ctx context.Context, c *api.Client, path string, f func(Leader) error) error { return nil }

// Barrier holds back whoever waits at path until it is lifted: RaiseBarrier, AwaitBarrier, LiftBarrier.
func RaiseBarrier(ctx context.Context, c *api.Client, path string) error { return nil }
func AwaitBarrier(ctx context.Context, c *api.Client, path string) error { return nil }
func LiftBarrier(ctx context.Context, c *api.Client, path string) error  { return nil }

// Rendezvous lets count sessions begin together and end together (ZooKeeper's double barrier).
type Rendezvous struct{}

// Enter returns when count sessions have entered; Leave when all have left, or are gone.
func Enter(ctx context.Context, s *api.Session, path string, count int) (*Rendezvous, error) {
	return nil, nil
}
func (r *Rendezvous) Leave(ctx context.Context) error { return nil }

// Member is one of a group, in the order in which they joined: Rank 0 is the leader.
type Member struct {
	Rank  int
	Token uint64
	Value []byte
	Self  bool
}

// Membership is a place in a group.
type Membership struct{}

// Join enters the group at path.
func Join(ctx context.Context, s *api.Session, path string, value []byte) (*Membership, error) {
	return nil, nil
}

// Watch calls f with all members, now and after each change, until ctx or the membership ends or f returns an error.
func (m *Membership) Watch(ctx context.Context, f func([]Member) error) error { return nil }
func (m *Membership) Token() uint64                                           { return 0 }
func (m *Membership) Lost() <-chan struct{}                                   { return nil }
func (m *Membership) Leave(ctx context.Context) error                         { return nil }

// Members is Membership.Watch for who is no member.
func Members(ctx context.Context, c *api.Client, path string, f func([]Member) error) error {
	return nil
}

// Fence is what a protected store does with tokens: it admits none lower than the highest it has seen.
type Fence struct{}

// Admit reports whether a caller with the token may act.
func (f *Fence) Admit(token uint64) bool { return false }
