package api

import (
	"context"
	"io"

	"github.com/synod-go/synod/coordination"
)

// Backend is what a Server needs from its node. Its methods are safe for
// concurrent use, return when ctx ends, and fail with an *Error. An error with
// CodeNoLeader and a Leader makes the server forward the request there.
type Backend interface {
	// Propose carries out an operation of the tree, once over all repetitions with
	// the same id unless that is zero. It ends as done, which the tree may have
	// refused, as surely not done, or with CodeUnknown.
	Propose(ctx context.Context, o coordination.Operation, id RequestID) (coordination.Result, error)
	// View calls f with the tree, which stands still meanwhile, and the log index that
	// it reflects. f may be called twice, must not block and keeps nothing of the tree.
	View(ctx context.Context, o ReadOptions, f func(tree *coordination.Tree, index uint64)) error
	// Changed returns a channel that is closed when the tree changes next.
	Changed() <-chan struct{}

	// Touch tells the leader that a session has shown itself over its connection with
	// the given number, 0: by itself, and returns what the leader says to it.
	Touch(ctx context.Context, session, connection uint64) (coordination.Sign, error)
	// Gone tells the leader that the connection was closed from outside. It does not wait.
	Gone(session, connection uint64)

	// Status is this node's own view.
	Status(ctx context.Context) (Status, error)
	Members(ctx context.Context) (MemberList, error)
	ChangeMember(ctx context.Context, c MemberChange) (Done, error)
	// Transfer hands the leadership of a group to the named node, or to the best one if to is "". Group "" is that of the keys.
	Transfer(ctx context.Context, group, to string) (Done, error)
	Snapshot(ctx context.Context) (Done, error)
	// Backup is the whole cluster's state: every write acknowledged before is in it. ctx
	// bounds how long it takes to get it ready, not to write it.
	Backup(ctx context.Context) (Backup, error)

	// Flight returns the newest events of this node's flight recorder of a group, at
	// most limit: 0 is all. CodeNotFound: the node has no such group.
	Flight(ctx context.Context, group string, limit int) (Flight, error)

	// Look is what a live page shows of this node.
	Look(ctx context.Context, o LookOptions) (Look, error)

	// Events calls f with what has happened on this node and happens, until ctx ends or f
	// returns false, or with o.Past until all that is remembered is told. What is
	// forgotten before f takes it is left out.
	Events(ctx context.Context, o EventOptions, f func(Event) bool)
	// LeaderChange returns a channel that is closed when the leader next changes
	// as far as this node knows: a request that waits at the old one is then given up.
	LeaderChange() <-chan struct{}

	Checks() []Check
	Metrics() []Metric
}

// Backup is a stream of known length, which holds files until Close. What it writes is
// whole only if WriteTo returns no error: package backup has the format.
type Backup interface {
	io.WriterTo
	Size() int64
	Close()
}

// RequestID identifies one write of one client (a ULID). The zero value is none.
type RequestID [16]byte

// ReadOptions say how fresh a read must be.
type ReadOptions struct {
	Level    Level  // default Linearizable
	MinIndex uint64 // Sequential: wait until this index is applied
}

// ListOptions choose a page of a listing.
type ListOptions struct {
	ReadOptions
	Recursive bool   // everything below, not only the children
	Limit     int    // entries in the page: 1 to MaxPage, default 100
	After     string // start after this path
}
