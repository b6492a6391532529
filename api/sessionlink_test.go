package api

import (
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

// connected waits until a sign of life was confirmed.
func connected(t *testing.T, s *Session) {
	t.Helper()
	for {
		news := s.news.wait()
		if s.Connected() {
			return
		}
		select {
		case <-news:
		case <-s.Lost():
			t.Fatal(s.Err())
		case <-time.After(10 * time.Second):
			t.Fatal("no sign of life is confirmed")
		}
	}
}

func TestAConnectionThatShowedNothingIsNotTheEndOfTheClientWhenItIsClosed(t *testing.T) {
	f := newFake(t, coordination.Config{})
	gone := make(chan uint64, 10)
	f.gone = func(_, connection uint64) { gone <- connection }
	_, addr := serve(t, Config{Backend: f})
	s := openSession(t, newTestClient(t, addr), SessionOptions{})
	connected(t, s)

	var numbers []uint64
	for _, shows := range []bool{false, true} { // the first is given up before anything was said
		link, err := s.dial(addr)
		if err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		numbers = append(numbers, s.links)
		s.mu.Unlock()
		if shows {
			s.show(link)
			if _, err := readLine(link.reader); err != nil { // it is alive
				t.Fatal(err)
			}
		}
		link.conn.Close()
	}
	if numbers[0] == numbers[1] {
		t.Error("two connections have one number")
	}
	select {
	case number := <-gone:
		if number != numbers[1] {
			t.Errorf("the node told that connection %d is gone, want %d alone", number, numbers[1])
		}
	case <-time.After(10 * time.Second):
		t.Error("the node told nothing of a client that closed its connection")
	}
}

func TestASessionOfACrowdedNodeWaitsItsShareWhenTheNodeIsGone(t *testing.T) {
	f := newFake(t, coordination.Config{})
	server, addr := serve(t, Config{Backend: f})
	server.sessions.mu.Lock()
	server.sessions.count += 10_000
	server.sessions.mu.Unlock()
	s := openSession(t, newTestClient(t, addr), SessionOptions{Timeout: 5 * time.Second, Linger: 2 * time.Second})
	connected(t, s)
	s.mu.Lock()
	spread := s.link.spread
	s.mu.Unlock()
	if spread != 4*time.Second {
		t.Errorf("10,000 sessions are asked to spread over %v, want 4s", spread)
	}

	ended := make(chan struct{})
	close(ended)
	for _, c := range []struct {
		spread          time.Duration
		gone            chan struct{}
		timeout, linger string
		most            time.Duration
		because         string
	}{
		{400 * time.Millisecond, ended, "1m", "1m", 400 * time.Millisecond, "the node has asked for that"},
		{time.Minute, ended, "10s", "10s", 2 * time.Second, "the timeout is 10 s"},
		{time.Minute, ended, "1m", "1s", 250 * time.Millisecond, "the linger is 1 s"},
		{0, ended, "1m", "1m", 0, "the node has few sessions"},
		{time.Minute, make(chan struct{}), "1m", "1m", 0, "the node is silent, and time has passed"},
	} {
		s, err := s.client.newSession(openedJSON{Session: 1, Timeout: c.timeout, Linger: c.linger}, newPassword())
		if err != nil {
			t.Fatal(err)
		}
		var longest time.Duration
		for range 200 {
			longest = max(longest, s.share(&sessionLink{gone: c.gone, spread: c.spread}))
		}
		if longest > c.most || longest < c.most/2 {
			t.Errorf("of 200 shares the longest is %v, want nearly %v: %s", longest, c.most, c.because)
		}
	}
}

func TestASessionWaitsItsShareIfItsNodeStopsAndNotIfItIsSentAwayAlone(t *testing.T) {
	ended := make(chan struct{})
	close(ended)
	for _, c := range []struct {
		code  Code
		waits bool
	}{{CodeStopped, true}, {CodeOverloaded, false}, {CodeSession, false}} {
		s, link := loneSession(t), &sessionLink{gone: ended, spread: time.Minute}
		if s.onLine(link, appendBye(nil, &Error{Code: c.code, Message: "go"})) {
			t.Errorf("%s: the session stays", c.code)
		}
		var longest time.Duration
		for range 200 {
			longest = max(longest, s.share(link))
		}
		if waits := longest > 0; waits != c.waits {
			t.Errorf("%s: the session waits up to %v, want that it waits: %t", c.code, longest, c.waits)
		}
	}
}
