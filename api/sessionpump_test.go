package api

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

// onlyConn is the one connection of a session to a server.
func onlyConn(t *testing.T, s *Server) *sessionConn {
	t.Helper()
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	for c := range s.sessions.all {
		return c
	}
	t.Fatal("no session is connected")
	return nil
}

func TestASignOfLifeClaimsNothingForAWatchThatCatchesUp(t *testing.T) {
	f := newFake(t, coordination.Config{})
	server, addr := serve(t, Config{Backend: f})
	token, _ := rawSession(t, newTestClient(t, addr), "10s") // index 1
	f.put(t, "a", nil)
	f.put(t, "b", nil) // index 3
	w, _ := connectRaw(t, addr, token, "1")
	w.say(`{"watch":1,"path":"b"}`)
	w.expect(`{"watching":1,"index":3}`)
	w.say(`{"sync":3}`)
	w.expect(`{"synced":3}`)
	c := onlyConn(t, server)

	f.mu.Lock() // nobody can look into the tree
	w.say(`{"watch":2,"path":"a","from":1}`)
	w.expect(`{"watching":2,"index":0}`)
	c.confirmed(5)
	f.mu.Unlock()
	w.expect(`{"alive":5,"index":0}`)
	w.expect(`{"change":{"kind":"created","path":"a"`)
}

// piped is a connection whose client reads what the test lets it.
func piped(t *testing.T, server *Server) (*sessionConn, *bufio.Reader) {
	t.Helper()
	ours, clients := net.Pipe()
	t.Cleanup(func() { ours.Close(); clients.Close() })
	return &sessionConn{server: server, conn: ours, timeout: time.Minute}, bufio.NewReaderSize(clients, 64<<10)
}

func largeChanges(n int) (changes []Change) {
	for i := range n {
		changes = append(changes, Change{Kind: "changed", Path: "a", Value: bytes.Repeat([]byte("v"), 100<<10), Index: uint64(i + 1)})
	}
	return changes
}

func toWatch1(_ Change, told []uint64) []uint64 { return append(told, 1) }

func TestASignOfLifeIsConfirmedWhileManyLargeChangesAreSent(t *testing.T) {
	server, _ := serve(t, Config{Backend: newFake(t, coordination.Config{})})
	c, client := piped(t, server)
	const n = 100
	go func() { _ = c.tell(largeChanges(n), toWatch1) }()
	for before := range n {
		line, err := client.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, `{"alive":7`) {
			return
		}
		if before == 0 {
			go c.confirmed(7)
		}
		time.Sleep(2 * time.Millisecond) // a network of 50 MB/s
	}
	t.Errorf("a sign of life has waited for all of %d changes", n)
}

func TestAConnectionEndsSoonThoughItsClientReadsSlowly(t *testing.T) {
	server, _ := serve(t, Config{Backend: newFake(t, coordination.Config{})})
	c, client := piped(t, server)
	go func() { _ = c.tell(largeChanges(200), toWatch1) }()
	if _, err := client.ReadByte(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for piece := make([]byte, 32<<10); ; time.Sleep(50 * time.Millisecond) {
			if _, err := client.Read(piece); err != nil {
				return
			}
		}
	}()
	ended := make(chan bool)
	go func() { ended <- c.end([]byte(fmt.Sprintln(`{"bye":{}}`))) }()
	select {
	case <-ended:
	case <-time.After(farewell + 4*time.Second):
		t.Error("the end of a connection waits for a client that reads slowly")
	}
}
