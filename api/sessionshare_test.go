package api

import (
	"context"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

// among is a fake that is one of several nodes.
type among struct {
	*fake
	members []MemberStatus
}

func (a among) Members(context.Context) (MemberList, error) {
	return MemberList{Members: a.members}, nil
}

func TestTheShareOfANodeCountsTheNodesThatAreThereAndHaveTheTree(t *testing.T) {
	f := newFake(t, coordination.Config{})
	server, _ := serve(t, Config{Backend: among{f, []MemberStatus{
		{Name: "n1", Role: "leader", Gossip: "alive", PaxosRoles: []string{"proposer", "acceptor", "learner"}},
		{Name: "n2", Role: "non-voter", Gossip: "alive"},
		{Name: "n3", Role: "follower", Gossip: "dead"},
		{Name: "n4", Role: "follower", Gossip: "alive", PaxosRoles: []string{"acceptor"}},
		{Name: "n5", Role: "-", Gossip: "alive"},
	}}})
	const sessions = 24
	for range sessions {
		if r, err := f.Propose(t.Context(), coordination.Operation{Kind: coordination.OpenSession, Timeout: 10_000, Linger: 10_000}, RequestID{}); err != nil || r.Err() != nil {
			t.Fatal(err, r.Err())
		}
	}
	if got, err := server.sessionShare(); err != nil || got != sessions/2 {
		t.Errorf("the share is %d, %v; want half of %d: n1 and n2 take sessions", got, err, sessions)
	}
}

func TestANodeAsksNoMoreToMoveThanItHasTooMany(t *testing.T) {
	for _, c := range []struct{ connected, share, want int }{
		{3000, 1000, askMost},
		{1000, 800, 40}, // a fourth of those above 840
		{1000, 960, 0},  // not worth it
		{600, 10, 25},   // a fourth of those above 500
		{499, 10, 0},
	} {
		var conns sessionConns
		begun := 0
		for range c.connected {
			crowd, err := conns.enter(&sessionConn{})
			if err != nil {
				t.Fatal(err)
			}
			if crowd {
				begun++
			}
		}
		if crowded := c.connected >= shareLeast; begun > 1 || crowded != (begun == 1) || conns.crowded() != crowded {
			t.Errorf("%d are connected: keepShare was begun %d times", c.connected, begun)
		}
		first, asked := conns.tooMany(c.share), map[*sessionConn]bool{}
		if len(first) != c.want {
			t.Errorf("of %d with a share of %d the first %d are asked to move, want %d", c.connected, c.share, len(first), c.want)
		}
		for list := first; len(list) > 0; list = conns.tooMany(c.share) {
			for _, conn := range list {
				if asked[conn] {
					t.Fatalf("of %d with a share of %d one was asked twice", c.connected, c.share)
				}
				asked[conn] = true
			}
		}
	}
}

func TestNobodyIsAskedToMoveSoonAfterManyHaveCome(t *testing.T) {
	i := influx{before: 3000}
	if i.high(3000) || i.high(3100) || i.high(2000) {
		t.Error("a few more, or fewer, are many")
	}
	for look := range shareRest {
		if !i.high(5000) {
			t.Errorf("look %d after 3000 have come is calm, want %d that are not", look+1, shareRest)
		}
	}
	if i.high(5100) {
		t.Errorf("look %d after 3000 have come is not calm", shareRest+1)
	}
}

func TestASessionLeavesACrowdedNodeWithoutAGap(t *testing.T) {
	f := newFake(t, coordination.Config{})
	gone := make(chan uint64, 10)
	f.gone = func(_, connection uint64) { gone <- connection }
	backend := among{f, []MemberStatus{{Role: "leader", Gossip: "alive"}, {Role: "follower", Gossip: "alive"}}}
	one, first := serve(t, Config{Backend: backend})
	two, second := serve(t, Config{Backend: backend})
	s := openSession(t, newTestClient(t, first, second), SessionOptions{})
	connected(t, s)
	from, to := one, two
	if two.sessions.connected() > 0 {
		from, to = two, one
	}

	leave := overfill(t, from)
	ended, apart := make(chan struct{}), make(chan bool, 1)
	f.sign = func(_, connection uint64) (coordination.Sign, error) {
		if connection > 1 {
			select {
			case apart <- !s.Connected(): // before the new connection is confirmed
			default:
			}
		}
		return coordination.Alive, nil
	}
	go func() { defer close(ended); from.keepShare() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case number := <-gone: // the old connection, closed by its client
		if number != 1 {
			t.Errorf("connection %d was closed first, want 1", number)
		}
	case <-ctx.Done():
		t.Error("the session is still at the crowded node")
	}
	select {
	case was := <-apart:
		if was {
			t.Error("the session was not connected before its new connection was confirmed")
		}
	case <-ctx.Done():
		t.Error("the session has shown itself over no other connection")
	}
	if !s.Connected() || to.sessions.connected() != 1 {
		t.Errorf("the old connection was closed while the session was connected: %v, with %d connections to the other node",
			s.Connected(), to.sessions.connected())
	}
	leave()
	<-ended // few are left
}

func TestASessionMovesOnlyIfItCanAndNotAllTheTime(t *testing.T) {
	for _, c := range []struct {
		addrs int
		want  []bool
	}{{1, []bool{false, false}}, {2, []bool{true, false}}} {
		var addrs []string
		for range c.addrs {
			addrs = append(addrs, deadAddress(t))
		}
		s, err := newTestClient(t, addrs...).newSession(openedJSON{Session: 1, Timeout: "1m", Linger: "1m"}, newPassword())
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			link := &sessionLink{leave: make(chan struct{}, 1)}
			if s.onLine(link, []byte(moveLine)); len(link.leave) > 0 != want {
				t.Errorf("with %d addresses a session that is asked to move for the %d. time moves: %v, want %v", c.addrs, i+1, !want, want)
			}
		}
	}
}

func TestASessionStaysTwiceAsLongAfterEachMove(t *testing.T) {
	s := loneSession(t)
	s.client.config.Addrs = []string{deadAddress(t), deadAddress(t)}
	moves := func(after time.Duration) bool {
		s.moved -= after // so long ago
		link := &sessionLink{leave: make(chan struct{}, 1)}
		s.onLine(link, []byte(moveLine))
		return len(link.leave) > 0
	}
	if !moves(0) {
		t.Fatal("the session does not move at all")
	}
	for _, pause := range []time.Duration{30, 60, 120, 240, 480, 960, 1920, 3600, 3600} {
		pause *= time.Second
		if moves(pause - 10*time.Second) {
			t.Fatalf("the session has moved again in less than %v", pause)
		}
		if !moves(10 * time.Second) {
			t.Fatalf("the session does not move after %v", pause)
		}
	}
	if !moves(5*time.Hour) || !moves(31*time.Second) {
		t.Fatal("the session still stays long after it was left alone")
	}
}

// overfill gives a server as many connections as make it look for other nodes. They are not
// asked to move, and end with leave.
func overfill(t *testing.T, s *Server) (leave func()) {
	t.Helper()
	var all []*sessionConn
	for range shareLeast {
		c := &sessionConn{asked: true}
		if err := s.sessions.add(2 * shareLeast); err != nil {
			t.Fatal(err)
		}
		if _, err := s.sessions.enter(c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return func() {
		for _, c := range all {
			s.sessions.remove(c)
		}
	}
}

// asking is a fake that is asked for its members by a function.
type asking struct {
	*fake
	members func(context.Context) (MemberList, error)
}

func (a asking) Members(ctx context.Context) (MemberList, error) { return a.members(ctx) }

func TestAPanicEndsTheMovingOfSessionsAlone(t *testing.T) {
	server, _ := serve(t, Config{Backend: asking{newFake(t, coordination.Config{}), func(context.Context) (MemberList, error) { panic("planted") }}})
	defer overfill(t, server)()
	server.keepShare() // returns
	server.sessions.mu.Lock()
	defer server.sessions.mu.Unlock()
	if server.sessions.sharing {
		t.Error("the moving of sessions counts as running, and will not begin again")
	}
}

func TestAShutdownWaitsForTheMovingOfSessions(t *testing.T) {
	asked, ended := make(chan struct{}), make(chan struct{})
	server, _ := serve(t, Config{Backend: asking{newFake(t, coordination.Config{}), func(ctx context.Context) (MemberList, error) {
		close(asked)
		<-ctx.Done()
		close(ended)
		return MemberList{}, ctx.Err()
	}}})
	leave := overfill(t, server)
	go server.keepShare()
	<-asked
	leave()
	began := time.Now()
	if err := server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	default:
		t.Error("the node is still asked for its members when the server has shut down")
	}
	if took := time.Since(began); took > confirmTime {
		t.Errorf("the shutdown has waited %v for an answer that nobody needs", took)
	}
}
