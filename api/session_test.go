package api

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

func openSession(t testing.TB, c *Client, o SessionOptions) *Session {
	t.Helper()
	s, err := c.OpenSession(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Close(ctx) // the cluster may be down by now
	})
	return s
}

// ephemeralOf creates a key of the session.
func ephemeralOf(t testing.TB, s *Session, path string) Written {
	t.Helper()
	made, err := s.Create(t.Context(), path, []byte("x"), CreateOptions{Mode: Ephemeral})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// awaitDeleted waits until a key is deleted, by watching it.
func awaitDeleted(t testing.TB, c *Client, made Written) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var last Change
	err := c.Watch(ctx, made.Path, WatchOptions{From: made.Index + 1, Once: true}, func(c Change) error {
		last = c
		return nil
	})
	if err != nil || last.Kind != "deleted" {
		t.Fatalf("%q was not deleted: %+v, %v", made.Path, last, err)
	}
}

// await waits until good, which changes of the session may make true.
func await(t testing.TB, s *Session, what string, good func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		news := s.news.wait()
		if good() {
			return
		}
		select {
		case <-news:
		case <-s.Lost():
			t.Fatalf("%s: the session is lost: %v", what, s.Err())
		case <-deadline:
			t.Fatalf("%s: in vain", what)
		}
	}
}

func TestAnEphemeralKeyEndsWithItsSession(t *testing.T) {
	c := newTestClient(t, serveLocal(t, 3).addrs...)
	s := openSession(t, c, SessionOptions{})
	made, err := s.Create(t.Context(), "lock/me", []byte("x"), CreateOptions{Mode: Ephemeral, Sequential: true})
	if err != nil {
		t.Fatal(err)
	}
	entry, _, err := s.Get(t.Context(), made.Path, ReadOptions{})
	if err != nil || entry.Owner != s.ID() || entry.Created != made.Index || entry.Mode != Ephemeral || made.Session != s.ID() {
		t.Fatalf("made %+v, read %+v, %v", made, entry, err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Get(t.Context(), made.Path, ReadOptions{}); CodeOf(err) != CodeNotFound {
		t.Errorf("after Close: %v, want %s", err, CodeNotFound)
	}
	if _, err := s.Put(t.Context(), "a", nil, WriteOptions{}); CodeOf(err) != CodeSession {
		t.Errorf("a write in a closed session: %v, want %s", err, CodeSession)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func TestASessionEndsItsLingerAfterItsProcess(t *testing.T) {
	c := newTestClient(t, serveLocal(t, 3).addrs...)
	s := openSession(t, c, SessionOptions{Timeout: time.Minute, Linger: 500 * time.Millisecond})
	await(t, s, "the first sign", s.Connected)
	made := ephemeralOf(t, s, "mine")
	began := time.Now()
	s.stop() // as the kernel does for a dead process: all connections are closed
	awaitDeleted(t, c, made)
	if took := time.Since(began); took < 500*time.Millisecond || took > 10*time.Second {
		t.Errorf("deleted after %v, want about 500ms", took)
	}
}

func TestASilentSessionIsOverAfterItsTimeout(t *testing.T) {
	c := newTestClient(t, serveLocal(t, 3).addrs...)
	secret := newPassword()
	key := secret.key()
	var opened openedJSON
	body := fmt.Sprintf(`{"timeout":"1s","key":"%x"}`, key)
	began := time.Now()
	if err := c.do(t.Context(), call{method: "POST", path: "/v1/sessions", body: []byte(body), what: "opening"}, &opened); err != nil {
		t.Fatal(err)
	}
	made, err := c.create(t.Context(), "mine", nil, CreateOptions{Mode: Ephemeral}, sessionToken(opened.Session, secret))
	if err != nil {
		t.Fatal(err)
	}
	awaitDeleted(t, c, made)
	if took := time.Since(began); took < time.Second || took > 15*time.Second {
		t.Errorf("deleted after %v, want about 1s", took)
	}
}

// confirmedSigns is how many signs of life were confirmed.
func (s *Session) confirmedSigns() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastSign - uint64(len(s.signs))
}

func TestASessionSurvivesItsLeader(t *testing.T) {
	cluster := serveLocal(t, 3)
	c := newTestClient(t, cluster.addrs...)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var sessions []*Session
	for i := range 6 { // some of them at the leader
		s := openSession(t, c, SessionOptions{Timeout: 3 * time.Second})
		sessions = append(sessions, s)
		ephemeralOf(t, s, fmt.Sprintf("mine/%d", i))
		await(t, s, "the first sign", s.Connected)
	}
	_, leader, err := cluster.Leader(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	cluster.Kill(leader)
	for i, s := range sessions {
		before := s.confirmedSigns()
		await(t, s, fmt.Sprintf("session %d after the kill", i), func() bool { return s.confirmedSigns() > before+1 })
	}
	page, err := c.List(ctx, "mine", ListOptions{})
	if err != nil || len(page.Entries) != len(sessions) {
		t.Errorf("%d keys left, %v; want %d", len(page.Entries), err, len(sessions))
	}
}

func TestASessionMovesWhenItsNodeStops(t *testing.T) {
	f := newFake(t, coordination.Config{})
	var servers []*Server
	var addrs []string
	for range 2 {
		server, addr := serve(t, Config{Backend: f})
		servers, addrs = append(servers, server), append(addrs, addr)
	}
	var gone sync.Map
	f.gone = func(session, connection uint64) { gone.Store(connection, true) }
	s := openSession(t, newTestClient(t, addrs...), SessionOptions{Timeout: time.Minute})
	await(t, s, "the first sign", s.Connected)
	first := slices.Index(addrs, s.link.addr)
	if err := servers[first].Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, s, "the other node", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.link != nil && s.link.addr == addrs[1-first] && s.link.alive > 0
	})
	if _, told := gone.Load(uint64(1)); told {
		t.Error("a node that stops has told that the client is gone")
	}
}

func TestAConnectionIsKeptUntilTheNextIsConfirmed(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	var mu sync.Mutex
	var gone []uint64
	confirmed := false
	f.sign = func(_, connection uint64) (coordination.Sign, error) {
		if connection == 1 {
			return 0, &Error{Code: CodeNoLeader, Message: "no leader"}
		}
		mu.Lock()
		defer mu.Unlock()
		if !confirmed && len(gone) > 0 {
			t.Error("a connection was closed before a later one was confirmed")
		}
		confirmed = true
		return coordination.Alive, nil
	}
	closed := make(chan uint64, 8)
	f.gone = func(_, connection uint64) {
		mu.Lock()
		defer mu.Unlock()
		gone = append(gone, connection)
		closed <- connection
	}
	s := openSession(t, newTestClient(t, addr), SessionOptions{Timeout: 3 * time.Second})
	await(t, s, "the second connection", s.Connected)
	if n := <-closed; n != 1 {
		t.Errorf("connection %d was closed first, want 1", n)
	}
}

func TestASessionThatIsNotConfirmedIsLostBeforeItsTimeout(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	var mute bool
	var mu sync.Mutex
	f.sign = func(uint64, uint64) (coordination.Sign, error) {
		mu.Lock()
		defer mu.Unlock()
		if mute {
			return 0, &Error{Code: CodeNoLeader, Message: "no leader"}
		}
		return coordination.Alive, nil
	}
	s := openSession(t, newTestClient(t, addr), SessionOptions{Timeout: time.Second})
	await(t, s, "the first sign", s.Connected)
	mu.Lock()
	mute = true
	last := clock() // no sign that is confirmed was sent after this
	mu.Unlock()
	select {
	case <-s.Lost():
	case <-time.After(10 * time.Second):
		t.Fatal("never lost")
	}
	if took := clock() - last; took >= time.Second {
		t.Errorf("believed for %v after the last sign that was confirmed can have been sent, want less than 1s", took)
	}
	if CodeOf(s.Err()) != CodeSession {
		t.Errorf("lost because of %v, want %s", s.Err(), CodeSession)
	}
}

func TestASessionThatTheClusterHasEndedIsLostAtOnce(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	s := openSession(t, newTestClient(t, addr), SessionOptions{Timeout: time.Second})
	await(t, s, "the first sign", s.Connected)
	f.claim(t)
	if err := s.Client().EndSession(t.Context(), s.ID()); err != nil {
		t.Fatal(err)
	}
	<-s.Lost()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		t.Error("the session was given up by its own clock, want told by the node")
	}
}

func TestASessionWhoseTokenIsRefusedIsLost(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	f.sign = func(uint64, uint64) (coordination.Sign, error) { // nobody is told over the connection
		return 0, &Error{Code: CodeNoLeader, Message: "no leader"}
	}
	s := openSession(t, newTestClient(t, addr), SessionOptions{Timeout: time.Hour})
	if err := s.Client().do(t.Context(), call{method: "DELETE", path: "/v1/session", session: s.Token(), what: "the end"}, &Done{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "a", nil, WriteOptions{}); CodeOf(err) != CodeSession {
		t.Fatalf("a write: %v, want %s", err, CodeSession)
	}
	if err := s.Err(); CodeOf(err) != CodeSession {
		t.Errorf("after the refusal: %v, want %s", err, CodeSession)
	}
}
