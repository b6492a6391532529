package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
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
	//
	// Below Timeout it relies on nobody between client and node closing their connection
	// towards the node alone: the session could then be over before the client notices.
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
type Session struct {
	client          *Client
	id              uint64
	token           string
	timeout, linger time.Duration

	ctx  context.Context // ends with the session
	stop context.CancelFunc
	lost chan struct{}
	news signal // raised when something changes that somebody may wait for

	mu        sync.Mutex
	err       error         // why it is over
	ended     bool          // the cluster has said so
	confirmed bool          // by the leader, at least once
	until     time.Duration // the clock's when it may be over
	alarm     *time.Timer
	signs     []sign // that were sent and not confirmed
	lastSign  uint64
	link      *sessionLink   // the connection in use; nil while there is none
	old       []*sessionLink // those before: see replaced
	links     uint64         // how many there were
	moved     time.Duration  // the clock's when a node last asked it to leave one, and it began to
	stays     time.Duration  // how long after that it does not; 0: no node has asked
	lastWatch uint64
	watches   map[uint64]*sessionWatcher
	watching  int // calls of Watch
}

// sign is a sign of life.
type sign struct {
	number uint64
	sent   time.Duration
}

// OpenSession opens a session. It ends with Close, or when the cluster has not heard of it
// for its Timeout. Errors are those of a write; CodeTreeFull also says that there are as
// many sessions as there may be.
func (c *Client) OpenSession(ctx context.Context, o SessionOptions) (*Session, error) {
	secret, began := newPassword(), clock()
	key := secret.key()
	request := openJSON{Key: hex.EncodeToString(key[:])}
	if o.Timeout != 0 {
		request.Timeout = o.Timeout.String()
	}
	if o.Linger != 0 {
		request.Linger = o.Linger.String()
	}
	if _, _, err := request.operation(); err != nil { // as the node would say
		return nil, err
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("api: encode a session: %w", err)
	}
	var opened openedJSON
	if err := c.do(ctx, call{method: http.MethodPost, path: "/v1/sessions", body: body, id: NewRequestID(), what: "the opening of a session"}, &opened); err != nil {
		return nil, err
	}
	s, err := c.newSession(opened, secret)
	if err != nil {
		return nil, err
	}
	return s, s.begin(ctx, began)
}

func (c *Client) newSession(opened openedJSON, secret password) (s *Session, err error) {
	s = &Session{client: c, id: opened.Session, token: sessionToken(opened.Session, secret), lost: make(chan struct{}),
		watches: map[uint64]*sessionWatcher{}}
	s.timeout, err = time.ParseDuration(opened.Timeout)
	if err == nil {
		s.linger, err = time.ParseDuration(opened.Linger)
	}
	if err != nil {
		return nil, &Error{Code: CodeInternal, Message: "the node's answer about the session cannot be read", Why: err.Error()}
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// begin makes the session show itself. It was opened at some time after began: unless that
// was just now, only the first confirmed sign tells that it lives.
func (s *Session) begin(ctx context.Context, began time.Duration) error {
	s.mu.Lock()
	s.alarm = time.AfterFunc(s.timeout, s.ring)
	s.until = began + s.belief()
	fresh := clock()-began < s.timeout/2
	if !fresh {
		s.until = clock() + s.belief()
	}
	s.mu.Unlock()
	go s.run()
	for !fresh {
		news := s.news.wait()
		s.mu.Lock()
		fresh = s.confirmed || s.err != nil
		s.mu.Unlock()
		if fresh {
			break
		}
		select {
		case <-news:
		case <-ctx.Done():
			s.lose(sessionClosed(), false)
			return &Error{Code: CodeUnknown, Message: "the session may or may not have been opened", Why: "nobody has confirmed it in time"}
		}
	}
	return s.Err()
}

// belief is how long after a sign of life was sent its client believes in it: a little
// less than the cluster does, for clocks that differ in speed and a timer that is late.
func (s *Session) belief() time.Duration { return s.timeout - min(s.timeout/20, time.Second) }

// ID is the session's number: the Owner of its ephemeral keys.
func (s *Session) ID() uint64 { return s.id }

// Token is the session's number and its password: who has it can act in the session.
// It looks like 1f-6b0f…, and is what the header Synod-Session holds.
func (s *Session) Token() string { return s.token }

// Timeout is the one that was granted.
func (s *Session) Timeout() time.Duration { return s.timeout }

// Linger is the one that was granted.
func (s *Session) Linger() time.Duration { return s.linger }

// Client is the one that opened the session, for what does not need it.
func (s *Session) Client() *Client { return s.client }

// Lost is closed when the session is over, or may be.
func (s *Session) Lost() <-chan struct{} {
	s.ring() // a timer may be late
	return s.lost
}

// Err is nil until Lost is closed, then why: CodeSession.
func (s *Session) Err() error {
	s.ring()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Connected reports whether the session has a connection over which the leader has
// confirmed it.
func (s *Session) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err == nil && (s.link != nil && s.link.alive > 0 || slices.ContainsFunc(s.old, (*sessionLink).left))
}

// Close ends the session and deletes its ephemeral keys. It is no error that it had ended.
// After an error the cluster ends it after its Linger, or its Timeout.
func (s *Session) Close(ctx context.Context) error {
	s.lose(sessionClosed(), false)
	defer s.disconnect()
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if ended {
		return nil
	}
	err := s.client.do(ctx, call{method: http.MethodDelete, path: "/v1/session", id: NewRequestID(), session: s.token, what: "the end of the session"}, &Done{})
	if CodeOf(err) == CodeSession {
		return nil
	}
	return err
}

func sessionClosed() *Error {
	return &Error{Code: CodeSession, Message: "the session is closed"}
}

// lose ends the session on this side; told: the cluster has said that it is over.
func (s *Session) lose(why error, told bool) {
	s.mu.Lock()
	s.ended = s.ended || told
	first := s.err == nil
	if first {
		s.err = why
		s.alarm.Stop()
		close(s.lost)
	}
	s.mu.Unlock()
	if first {
		s.stop()
		s.news.raise()
	}
}

// ring looks whether the session may be over.
func (s *Session) ring() {
	s.mu.Lock()
	left := s.until - clock()
	if left > 0 && s.err == nil {
		s.alarm.Reset(left)
	}
	s.mu.Unlock()
	if left <= 0 {
		s.lose(&Error{Code: CodeSession, Message: "the session may be over", Why: "no node has confirmed in time that it lives",
			Do: []string{"open another session"}}, false)
	}
}

// Put writes a key in the session: it fails with CodeSession when that is over. So do Delete,
// Create and Commit. Get and List read on its behalf.
//
// An answer never overtakes the changes of the session's watches: when one of these returns what
// the cluster did at some log index, every watch has been told all changes up to it, unless its
// function is still running on one.
func (s *Session) Put(ctx context.Context, path string, value []byte, o WriteOptions) (Written, error) {
	return inOrder(ctx, s, func() (Written, uint64, error) {
		done, err := s.client.write(ctx, http.MethodPut, path, value, o, s.token)
		return done, done.Index, err
	})
}

// Delete is Client.Delete in the session.
func (s *Session) Delete(ctx context.Context, path string, o WriteOptions) (Written, error) {
	return inOrder(ctx, s, func() (Written, uint64, error) {
		done, err := s.client.write(ctx, http.MethodDelete, path, nil, o, s.token)
		return done, done.Index, err
	})
}

// Create is Client.Create in the session, which an Ephemeral key needs.
func (s *Session) Create(ctx context.Context, path string, value []byte, o CreateOptions) (Written, error) {
	return inOrder(ctx, s, func() (Written, uint64, error) {
		done, err := s.client.create(ctx, path, value, o, s.token)
		return done, done.Index, err
	})
}

// Commit is Client.Commit in the session.
func (s *Session) Commit(ctx context.Context, operations []TxnOperation, id RequestID) (Committed, error) {
	return inOrder(ctx, s, func() (Committed, uint64, error) {
		done, err := s.client.commit(ctx, operations, id, s.token)
		return done, done.Index, err
	})
}

// Get is Client.Get.
func (s *Session) Get(ctx context.Context, path string, o ReadOptions) (Entry, uint64, error) {
	var at uint64
	entry, err := inOrder(ctx, s, func() (entry Entry, index uint64, err error) {
		entry, at, err = s.client.Get(ctx, path, o)
		return entry, at, err
	})
	return entry, at, err
}

// List is Client.List.
func (s *Session) List(ctx context.Context, path string, o ListOptions) (Listing, error) {
	return inOrder(ctx, s, func() (Listing, uint64, error) {
		page, err := s.client.List(ctx, path, o)
		return page, page.Index, err
	})
}

// inOrder does something in the session and returns when its watches have been told all
// changes up to the index that the answer reflects.
func inOrder[T any](ctx context.Context, s *Session, do func() (T, uint64, error)) (T, error) {
	if err := s.Err(); err != nil {
		var none T
		return none, err
	}
	answer, index, err := do()
	if CodeOf(err) == CodeSession {
		s.lose(err, true)
	}
	if late := s.barrier(ctx, index); late != nil && err == nil {
		err = late
	}
	return answer, err
}
