package api

import (
	"context"
	"time"
)

// SessionOptions are the details of a session.
type SessionOptions struct {
	// Timeout is how long the session may be silent before the cluster ends it and deletes
	// its ephemeral keys. Default 10 s; the cluster grants 1 s to 1 h.
	Timeout time.Duration
	// Linger is how long the session lives on after its connection was closed and not made
	// again, as it is when its process dies. A client that lives makes it again at once, at
	// any node. Default Timeout; the cluster grants 500 ms to Timeout.
	Linger time.Duration
}

// Session is a client's place in the cluster: keys that were created as Ephemeral in it
// are deleted when it ends. It shows by itself, over a connection of its own, that it is
// alive, and moves to another node when that is lost. It is safe for concurrent use.
//
// A session that may be over is over: it counts by its own clock from when the last
// confirmed sign of life was sent, so it gives up before the cluster can have ended it
// (as long as clocks run at nearly equal speed). Nobody outside the cluster sees that in
// time if the process was paused: what a session protects must look at fencing tokens.
type Session struct{}

// OpenSession opens a session. It ends with Close, or when the cluster has not heard of it
// for its Timeout. Errors are those of a write, and CodeTooManySessions.
func (c *Client) OpenSession(ctx context.Context, o SessionOptions) (*Session, error) {
	return nil, nil
}

// ID is the session's number: the Owner of its ephemeral keys.
func (s *Session) ID() uint64 { return 0 }

// Token is the session's number and its password: who has it can act in the session.
// It looks like 1f-6b0f…, and is what the header Synod-Session holds.
func (s *Session) Token() string { return "" }

// Timeout and Linger are those that were granted.
func (s *Session) Timeout() time.Duration { return 0 }
func (s *Session) Linger() time.Duration  { return 0 }

// Lost is closed when the session is over, or may be.
func (s *Session) Lost() <-chan struct{} { return nil }

// Err is nil until Lost is closed, then why: CodeSession.
func (s *Session) Err() error { return nil }

// Connected reports whether a node has confirmed the latest sign of life.
func (s *Session) Connected() bool { return false }

// Close ends the session and deletes its ephemeral keys. It is no error that it had ended.
func (s *Session) Close(ctx context.Context) error { return nil }

// Client is the one that opened the session, for what does not need it.
func (s *Session) Client() *Client { return nil }

// Put, Delete, Create and Commit are the client's, done in the session: they fail with CodeSession
// when it is over. Get and List read on behalf of the session too.
//
// An answer never overtakes the changes of the session's watches: when one of these returns what
// the cluster did at some log index, every watch has been told all changes up to it, unless its
// function is still running on one.
func (s *Session) Put(ctx context.Context, path string, value []byte, o WriteOptions) (Written, error) {
	return Written{}, nil
}

func (s *Session) Delete(ctx context.Context, path string, o WriteOptions) (Written, error) {
	return Written{}, nil
}

func (s *Session) Create(ctx context.Context, path string, value []byte, o CreateOptions) (Written, error) {
	return Written{}, nil
}

func (s *Session) Commit(ctx context.Context, operations []TxnOperation, id RequestID) (Committed, error) {
	return Committed{}, nil
}

func (s *Session) Get(ctx context.Context, path string, o ReadOptions) (Entry, uint64, error) {
	return Entry{}, 0, nil
}

func (s *Session) List(ctx context.Context, path string, o ListOptions) (Listing, error) {
	return Listing{}, nil
}

// Watch calls f with the changes around path, in order, one after the other, until ctx or the
// session ends or f returns an error, which it returns. It goes over the session's own
// connection; when that is made again, at whichever node, it goes on where it was: nothing is
// missed and nothing comes twice. Errors are those of Client.Watch, and CodeSession.
func (s *Session) Watch(ctx context.Context, path string, o WatchOptions, f func(Change) error) error {
	return nil
}

// Mode says how long a created key lives: coordination.Mode by name.
type Mode string

// The modes.
const (
	Persistent Mode = "persistent" // until it is deleted. Default
	Ephemeral  Mode = "ephemeral"  // as long as the session that created it
	Container  Mode = "container"  // until its last child is deleted
	TTL        Mode = "ttl"        // until it was not written for CreateOptions.TTL and has no children
)

// CreateOptions are the details of a Create.
type CreateOptions struct {
	Mode Mode
	TTL  time.Duration // for Mode TTL
	// Sequential appends ten digits to the path: how many children the parent has had. Written.Path
	// tells the whole.
	Sequential bool
	// NeedParent refuses to create parents that are missing.
	NeedParent bool
	// ACL is the key's access list; nil: anybody may do anything.
	ACL ACL
	// RequestID is as in WriteOptions.
	RequestID RequestID
}

// ACL is an access list: see coordination.Principal for the schemes.
type ACL []Grant

// Grant is one line of an access list.
type Grant struct {
	Scheme string `json:"scheme"`
	ID     string `json:"id"`
	// Permissions are letters: c create children, d delete children, r read, w write, a administer.
	Permissions string `json:"permissions"`
}

// Create makes a key that must not exist: else CodeExists.
func (c *Client) Create(ctx context.Context, path string, value []byte, o CreateOptions) (Written, error) {
	return Written{}, nil
}

// TxnOperation is one operation of a transaction.
type TxnOperation struct {
	Op    string // "create", "put", "delete" or "check"
	Path  string
	Value []byte
	// Version is as in WriteOptions. Created, unless 0, is the log index at which the key must have
	// been created: a fencing token, if the key is a lock's.
	Version *uint64
	Created uint64
	// Recursive is for "delete"; the others for "create".
	Recursive  bool
	Mode       Mode
	TTL        time.Duration
	Sequential bool
	NeedParent bool
	ACL        ACL
}

// Committed is the answer to a transaction.
type Committed struct {
	Index   uint64    `json:"index"`
	Results []Written `json:"results"`
}

// Commit carries out operations one after the other at one log index, all or none. The error of a
// refused one has that operation's code, its place in Failed and why. id is as in WriteOptions.
func (c *Client) Commit(ctx context.Context, operations []TxnOperation, id RequestID) (Committed, error) {
	return Committed{}, nil
}

// SessionStatus is one session as an operator sees it.
type SessionStatus struct {
	ID        uint64        `json:"id"`
	Timeout   time.Duration `json:"timeout"`
	Linger    time.Duration `json:"linger"`
	Opened    time.Time     `json:"opened"` // log time
	Ephemeral int           `json:"ephemeral"`
}

// Sessions lists at most limit open sessions with a higher id.
func (c *Client) Sessions(ctx context.Context, after uint64, limit int) ([]SessionStatus, error) {
	return nil, nil
}

// EndSession ends a session by its number, for an operator.
func (c *Client) EndSession(ctx context.Context, id uint64) error { return nil }

// Access reads a key's access list, SetAccess replaces it.
func (c *Client) Access(ctx context.Context, path string) (ACL, error)      { return nil, nil }
func (c *Client) SetAccess(ctx context.Context, path string, acl ACL) error { return nil }

// Quota is the bound on what stands at and below a key.
type Quota struct {
	Path      string `json:"path"`
	Nodes     int64  `json:"nodes,omitempty"` // 0: no bound
	Bytes     int64  `json:"bytes,omitempty"`
	UsedNodes int64  `json:"used_nodes"`
	UsedBytes int64  `json:"used_bytes"`
}

// Quotas lists all quotas, SetQuota sets one; without bounds it ends it.
func (c *Client) Quotas(ctx context.Context) ([]Quota, error) { return nil, nil }
func (c *Client) SetQuota(ctx context.Context, q Quota) error { return nil }
