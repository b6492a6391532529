package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

// fake is a cluster of one without a log: the real tree behind a lock.
type fake struct {
	tree *Tree
	live *coordination.Tree
	mu   sync.RWMutex
	at   uint64
	done map[RequestID][]byte
	// refuse, if set, answers writes, and lease reads, before anything is done.
	refuse func() error
	// lose, if set, makes a write happen and its answer get lost.
	lose func() error
	// sign, if set, says what became of a sign of life, and gone hears of closed connections.
	sign   func(session, connection uint64) (coordination.Sign, error)
	gone   func(session, connection uint64)
	status Status
	checks []Check
	backup Backup // nil: CodeNoState
	events chan Event
	leader signal
	// members, if it has a version, are what Members answers.
	members MemberList
}

func (f *fake) Look(context.Context, LookOptions) (Look, error) {
	return Look{Node: f.status.Node}, nil
}

func (f *fake) LeaderChange() <-chan struct{} { return f.leader.wait() }

func newFake(t testing.TB, c coordination.Config) *fake {
	tree, err := NewTree(c)
	if err != nil {
		t.Fatal(err)
	}
	return &fake{tree: tree, live: tree.New(), done: map[RequestID][]byte{}, events: make(chan Event),
		status: Status{Node: "n1", Role: "leader", Leader: "n1", Healthy: true, Voters: 1, Up: 1, Quorum: 1}}
}

func (f *fake) View(_ context.Context, o ReadOptions, g func(*coordination.Tree, uint64)) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if o.Level == Lease && f.refuse != nil {
		return f.refuse()
	}
	g(f.live, f.at)
	return nil
}

func (f *fake) Changed() <-chan struct{} { return f.tree.changed.wait() }

func (f *fake) Propose(_ context.Context, o coordination.Operation, id RequestID) (coordination.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		if err := f.refuse(); err != nil {
			return coordination.Result{}, err
		}
	}
	result := f.done[id]
	if result == nil {
		f.at++
		result = f.live.Apply(f.at, time.Now().UnixMilli(), o.Append(nil))
	}
	if id != (RequestID{}) {
		f.done[id] = result
	}
	if f.lose != nil {
		if err := f.lose(); err != nil {
			return coordination.Result{}, err
		}
	}
	return coordination.DecodeResult(result)
}

// put writes a key past the server.
func (f *fake) put(t testing.TB, path string, value []byte) {
	t.Helper()
	r, err := f.Propose(t.Context(), coordination.Operation{Kind: coordination.Put, Path: "/" + path, Data: value}, RequestID{})
	if err = errors.Join(err, r.Err()); err != nil {
		t.Fatal(err)
	}
}

// claim lets sessions be ended by an operator.
func (f *fake) claim(t testing.TB) {
	t.Helper()
	r, err := f.Propose(t.Context(), coordination.Operation{Kind: coordination.ClaimSessions}, RequestID{})
	if err = errors.Join(err, r.Err()); err != nil {
		t.Fatal(err)
	}
}

// Get and List read past HTTP, as whoever may read everything.
func (f *fake) Get(ctx context.Context, path string, o ReadOptions) (Entry, uint64, error) {
	return must(NewServer(Config{Backend: f})).get(ctx, coordination.Caller{}, path, o)
}

func (f *fake) List(ctx context.Context, path string, o ListOptions) (Listing, error) {
	return must(NewServer(Config{Backend: f})).list(ctx, coordination.Caller{}, path, o)
}

func (f *fake) Touch(_ context.Context, session, connection uint64) (coordination.Sign, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if _, open := f.live.Session(session); !open {
		return coordination.Over, nil
	}
	if f.sign != nil {
		return f.sign(session, connection)
	}
	return coordination.Alive, nil
}

func (f *fake) Gone(session, connection uint64) {
	if f.gone != nil {
		f.gone(session, connection)
	}
}

func (f *fake) Status(context.Context) (Status, error) { return f.status, nil }

func (f *fake) Members(context.Context) (MemberList, error) {
	if f.members.ConfigVersion != 0 {
		return f.members, nil
	}
	return MemberList{ConfigVersion: 7, Members: []MemberStatus{{Name: "n1", Role: "leader"}}}, nil
}

func (f *fake) ChangeMember(_ context.Context, c MemberChange) (Done, error) {
	if c.Version != nil && *c.Version != 7 {
		return Done{}, &Error{Code: CodeConflict, Message: "the configuration has changed"}
	}
	return Done{Index: 9, Version: 8}, nil
}

func (f *fake) Transfer(context.Context, string, string) (Done, error) {
	return Done{Leader: "n2"}, nil
}
func (f *fake) Snapshot(context.Context) (Done, error) { return Done{Index: 5}, nil }

func (f *fake) Backup(context.Context) (Backup, error) {
	if f.backup == nil {
		return nil, &Error{Code: CodeNoState, Message: "the backup was not done"}
	}
	return f.backup, nil
}

func (f *fake) Flight(_ context.Context, group string, limit int) (Flight, error) {
	if group != "g" {
		return Flight{}, &Error{Code: CodeNotFound, Message: "this node has no group " + group}
	}
	events := []FlightEvent{{Direction: "out", Kind: "Accept", Peer: "00000000000000ab", PeerName: "n2", Ballot: "5.2.0", First: 3, Last: 4},
		{Direction: "self", Kind: "follower"}}
	if limit > 0 {
		events = events[len(events)-limit:]
	}
	return Flight{Node: "n1", Group: group, Events: events}, nil
}

func (f *fake) Events(ctx context.Context, o EventOptions, g func(Event) bool) {
	for {
		select {
		case e, more := <-f.events:
			if !more {
				return
			}
			if o.After != nil && e.Sequence <= *o.After {
				continue
			}
			if !g(e) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (f *fake) Checks() []Check { return f.checks }

func (f *fake) Metrics() []Metric {
	return []Metric{{Name: "synod_term", Help: "Term.", Kind: "gauge", Labels: []Label{{"group", `a"b`}}, Value: 3}}
}

// serve starts a server for f on a free loopback port and returns its address.
func serve(t testing.TB, c Config) (*Server, string) {
	t.Helper()
	server, err := NewServer(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		server.Shutdown(ctx)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return server, l.Addr().String()
}

func newTestClient(t testing.TB, addrs ...string) *Client {
	t.Helper()
	client, err := NewClient(ClientConfig{Addrs: addrs, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// request runs one request through a handler, without a network.
func request(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, readerOf(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }
