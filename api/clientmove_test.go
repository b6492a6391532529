package api

import (
	"net"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

// know tells the client of a session, which is connected, what nodes there are.
func know(s *Session, addrs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client.config.Addrs = addrs
}

// stoppedNode accepts connections and says nothing, as the kernel does for a stopped process. The
// channel tells of each connection that it accepts.
func stoppedNode(t *testing.T) (addr string, accepted <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	tried := make(chan struct{}, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			tried <- struct{}{}
		}
	}()
	return l.Addr().String(), tried
}

// awaitSigns waits until so many more signs of life are confirmed over the link.
func awaitSigns(t *testing.T, s *Session, link *sessionLink, more uint64) {
	t.Helper()
	var from uint64
	await(t, s, "signs of life over the first connection", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if from == 0 {
			from = link.alive
		}
		return link.alive >= from+more
	})
}

func TestASessionThatIsAskedToMoveStaysIfTheOtherNodeDoesNotAnswer(t *testing.T) {
	f := newFake(t, coordination.Config{})
	server, addr := serve(t, Config{Backend: f})
	s := openSession(t, newTestClient(t, addr), SessionOptions{Timeout: time.Second})
	connected(t, s)
	stopped, tried := stoppedNode(t)
	know(s, addr, stopped, stopped, stopped, stopped) // to try them all takes longer than the session lives
	s.mu.Lock()
	link := s.link
	s.mu.Unlock()
	onlyConn(t, server).askToMove()
	<-tried
	awaitSigns(t, s, link, 5) // an old one, and then more than the timeout
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != link || len(s.old) > 0 {
		t.Error("the session has not kept the connection that was good")
	}
}

func TestASessionThatHasLeftShowsItselfThereUntilTheNewNodeHasConfirmed(t *testing.T) {
	f := newFake(t, coordination.Config{})
	first, addr := serve(t, Config{Backend: f})
	second, other := serve(t, Config{Backend: f})
	reached := make(chan struct{}) // closed: the second node reaches the leader
	f.sign = func(_, connection uint64) (coordination.Sign, error) {
		select {
		case <-reached:
		default:
			if connection > 1 {
				return 0, &Error{Code: CodeNoLeader, Message: "no leader"}
			}
		}
		return coordination.Alive, nil
	}
	s := openSession(t, newTestClient(t, addr), SessionOptions{Timeout: time.Second})
	connected(t, s)
	s.mu.Lock()
	link := s.link
	s.mu.Unlock()
	know(s, other, other)
	onlyConn(t, first).askToMove()
	await(t, s, "the connection to the second node", func() bool { return second.sessions.connected() > 0 })
	awaitSigns(t, s, link, 5)
	if !s.Connected() {
		t.Error("the session is not connected though its first node confirms it")
	}
	close(reached)
	await(t, s, "the second node", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.link != nil && s.link.addr == other && s.link.alive > 0 && len(s.old) == 0
	})
}
