package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

// Now is the monotonic clock of this machine, which all its processes share.
func Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(fmt.Sprintf("chaos: no monotonic clock: %v", err))
	}
	return time.Duration(t.Nano())
}

// SaidKind is what a line of a contender or of an observer tells.
type SaidKind string

// What contenders and observers say.
const (
	SaidOpened   SaidKind = "opened"   // a session
	SaidWaits    SaidKind = "waits"    // in the queue, or about to be
	SaidHolds    SaidKind = "holds"    // it was let in with Token
	SaidStays    SaidKind = "stays"    // it was asked to hold until it loses what it holds
	SaidActs     SaidKind = "acts"     // on what is guarded, believing that it holds
	SaidLate     SaidKind = "late"     // it acts although it knows that it has lost Token
	SaidCommits  SaidKind = "commits"  // a transaction of the tree, believing that it holds
	SaidReleases SaidKind = "releases" // it is about to give the lock back
	SaidLost     SaidKind = "lost"     // it has noticed that it holds no longer
	SaidOver     SaidKind = "over"     // its session is over, or may be
	SaidStood    SaidKind = "stood"    // its process stood still from From to At
	SaidChange   SaidKind = "change"   // an observer was told of a change
	SaidLeader   SaidKind = "leader"   // an observer was told who leads: Token and Value
	SaidError    SaidKind = "error"    // Text; it tries again
)

// Said is one line. Times are of [Now].
type Said struct {
	Who  string        `json:"who"`
	Kind SaidKind      `json:"kind"`
	At   time.Duration `json:"at"` // when it was so
	// Token and Key are those of the lock that is meant, Session is the speaker's.
	Token   uint64        `json:"token,omitempty"`
	Key     string        `json:"key,omitempty"`
	Session uint64        `json:"session,omitempty"`
	From    time.Duration `json:"from,omitempty"`
	Text    string        `json:"text,omitempty"`
	Value   string        `json:"value,omitempty"`
	// Index is, with SaidCommits, where the transaction took effect: 0 if it was refused or
	// nobody knows, as Outcome says.
	Index   uint64      `json:"index,omitempty"`
	Outcome Outcome     `json:"outcome,omitempty"`
	Change  *api.Change `json:"change,omitempty"`
}

// Record is what was said, and what became of it.
type Record struct {
	Said
	Heard    time.Duration
	Admitted bool // of SaidActs and SaidLate
}

// Guarded is what the lock is there for: a store outside the cluster, that looks at
// tokens and at nothing else. Contenders and observers speak to it over a Unix
// socket, which no cut of the network closes, and it writes down all that they say.
type Guarded struct {
	Path     string // of the socket
	listener net.Listener
	fence    func(token uint64) bool
	done     sync.WaitGroup

	mu      sync.Mutex
	records []Record
	conns   map[net.Conn]bool
	changed chan struct{}
	failed  error
}

// StartGuarded listens at path. fence decides who may act: nil is a [recipes.Fence].
func StartGuarded(path string, fence func(token uint64) bool) (*Guarded, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("chaos: guarded store: %w", err)
	}
	if fence == nil {
		fence = new(recipes.Fence).Admit
	}
	g := &Guarded{Path: path, listener: listener, fence: fence, conns: make(map[net.Conn]bool), changed: make(chan struct{})}
	g.done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			g.mu.Lock()
			g.conns[conn] = true
			g.mu.Unlock()
			g.done.Go(func() { g.serve(conn) })
		}
	})
	return g, nil
}

// serve hears one speaker until it is gone.
func (g *Guarded) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		g.mu.Lock()
		delete(g.conns, conn)
		g.mu.Unlock()
	}()
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return // it has ended, perhaps amid a line
		}
		var said Said
		if err := json.Unmarshal(line, &said); err != nil {
			g.mu.Lock()
			g.failed = errors.Join(g.failed, fmt.Errorf("chaos: a contender said %q: %w", line, err))
			g.mu.Unlock()
			return
		}
		if admitted, answers := g.hear(said); answers {
			if _, err := fmt.Fprintf(conn, "%t\n", admitted); err != nil {
				return
			}
		}
	}
}

// hear writes down what was said. An action is admitted or refused in the same
// step, so that the records are in the order in which the fence was asked.
func (g *Guarded) hear(said Said) (admitted, answers bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if answers = said.Kind == SaidActs || said.Kind == SaidLate; answers {
		admitted = g.fence(said.Token)
	}
	g.records = append(g.records, Record{said, Now(), admitted})
	close(g.changed)
	g.changed = make(chan struct{})
	return admitted, answers
}

// Records returns what was said since the first of number records, and a channel
// that is closed when there is more.
func (g *Guarded) Records(number int) ([]Record, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.records[min(number, len(g.records)):]), g.changed
}

// Close waits for all speakers to be gone; they must have been ended before. The
// error tells of a line that made no sense.
func (g *Guarded) Close() error {
	g.listener.Close()
	g.mu.Lock()
	for conn := range g.conns {
		conn.Close()
	}
	g.mu.Unlock()
	g.done.Wait()
	return g.failed
}

// speaker is the other end of the socket, in the process of a contender or observer.
type speaker struct {
	who     string
	conn    net.Conn
	answers *bufio.Reader
	mu      sync.Mutex // of writes, and of an action until its answer
}

// dialGuarded connects to the store at path.
func dialGuarded(path, who string) (*speaker, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, fmt.Errorf("chaos: guarded store: %w", err)
	}
	return &speaker{who: who, conn: conn, answers: bufio.NewReader(conn)}, nil
}

// say tells one line; At is now unless it is given. A speaker whom nobody hears has
// no reason to live.
func (s *speaker) say(said Said) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(said)
}

func (s *speaker) write(said Said) {
	said.Who = s.who
	if said.At == 0 {
		said.At = Now()
	}
	line, err := json.Marshal(said)
	if err == nil {
		_, err = s.conn.Write(append(line, '\n'))
	}
	if err != nil {
		fatalf("say: %v", err)
	}
}

// act asks for an action and returns whether it was admitted.
func (s *speaker) act(said Said) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(said)
	answer, err := s.answers.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) || answer == "" {
		fatalf("answer: %v", err)
	}
	return answer == "true\n"
}
