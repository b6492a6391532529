package api

import "context"

// Backend is what a Server needs from its node. Its methods are safe for
// concurrent use, return when ctx ends, and fail with an *Error. An error with
// CodeNoLeader and a Leader makes the server forward the request there.
type Backend interface {
	// Put writes a key; Delete removes one. They end as done, as surely not
	// done, or with CodeUnknown.
	Put(ctx context.Context, w Write) (Written, error)
	Delete(ctx context.Context, w Write) (Written, error)

	// Get returns the entry at path and the log index it reflects; the index is
	// set with CodeNotFound too.
	Get(ctx context.Context, path string, r ReadOptions) (Entry, uint64, error)
	List(ctx context.Context, path string, o ListOptions) (Listing, error)

	// Changes returns what changed at path after index after, waiting until
	// there is something. It never splits the changes of one index. When ctx
	// ends first it returns no changes and no error. CodeGone: the history
	// does not go back that far.
	Changes(ctx context.Context, path string, recursive bool, after uint64) (Changes, error)

	// Status is this node's own view.
	Status(ctx context.Context) (Status, error)
	Members(ctx context.Context) (MemberList, error)
	ChangeMember(ctx context.Context, c MemberChange) (Done, error)
	// Transfer hands the leadership to the named node, or to the best one if to is "".
	Transfer(ctx context.Context, to string) (Done, error)
	Snapshot(ctx context.Context) (Done, error)

	// Flight returns the newest events of this node's flight recorder of a group, at
	// most limit: 0 is all. CodeNotFound: the node has no such group.
	Flight(ctx context.Context, group string, limit int) (Flight, error)

	// Events calls f with what happens on this node until ctx ends or f returns
	// false. Events that come faster than f takes them are dropped.
	Events(ctx context.Context, f func(Event) bool)
	// LeaderChange returns a channel that is closed when the leader next changes
	// as far as this node knows: a request that waits at the old one is then given up.
	LeaderChange() <-chan struct{}

	Checks() []Check
	Metrics() []Metric
}

// Write is one write of a key.
type Write struct {
	Path  string
	Value []byte
	// Version makes it a compare-and-set: the version that the key must have, 0
	// for a key that must not exist. nil writes in any case.
	Version *uint64
	// Recursive lets a delete remove what stands below the path too.
	Recursive bool
	// RequestID makes the write safe to repeat, if it is not zero.
	RequestID RequestID
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

// Changes is one portion of a watch.
type Changes struct {
	Changes []Change
	// Index is how far the node has looked: the next call goes on after it.
	Index uint64
}
