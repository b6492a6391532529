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
