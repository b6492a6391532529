package synod

import (
	"context"
	"sync"
	"time"

	"github.com/synod-go/synod/replica"
)

// Errors of a Session. After each of them but ErrSessionExpired and
// ErrAcknowledged nothing was done and the command may be repeated under its
// number.
var (
	// ErrSessionExpired: the session was silent for longer than its timeout, or is
	// closed. What was under way in it may have been applied; it never will be.
	ErrSessionExpired = replica.ErrSessionExpired
	// ErrAcknowledged: the number has been answered before, and the result is gone.
	ErrAcknowledged = replica.ErrAcknowledged
	// ErrSessionWindow: more than Limits.SessionWindow numbers are not answered yet.
	ErrSessionWindow = replica.ErrSessionWindow
	// ErrRepliesFull: the results of numbers that are not answered yet take too much.
	ErrRepliesFull = replica.ErrRepliesFull
	// ErrTooManySessions: the group has Limits.Sessions.
	ErrTooManySessions = replica.ErrTooManySessions
)

// Session is one client of a group, whose numbered commands are applied at most
// once each, however often they are repeated and whichever node they are proposed
// on. Unlike a RequestID, a number can be repeated for as long as the session lives,
// at any rate. It is safe for concurrent use.
type Session struct {
	id uint64

	mu   sync.Mutex
	last uint64              // the highest number given
	open map[uint64]struct{} // numbers without a result
}

// OpenSession opens a session that ends when it is silent for longer than timeout,
// in whole milliseconds by log time, which may run at twice real time; 0 is
// Limits.SessionTimeout, and Limits.SessionTimeoutMax the most. g's node must lead.
// Errors are those of Propose and ErrTooManySessions. After ErrUnknownOutcome a
// session that nobody uses may be left, which expires.
func (g *Group) OpenSession(ctx context.Context, timeout time.Duration) (*Session, error) {
	r, err := g.propose(ctx, replica.Envelope{Kind: replica.KindRegister, Timeout: min(max(timeout.Milliseconds(), 0), replica.MaxTime)})
	if err != nil {
		return nil, err
	}
	return &Session{id: r.Index, open: make(map[uint64]struct{})}, nil
}

// Next numbers a command, which must then be proposed until it has a result: it
// is kept, and so are all results after it, until then.
func (s *Session) Next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	s.open[s.last] = struct{}{}
	return s.last
}

// Propose is Group.Propose for the command with the number, one of Next's: on the
// leader, and again after any error, with the same command, on whichever node
// leads then. A repetition gets the first result.
func (s *Session) Propose(ctx context.Context, g *Group, number uint64, command []byte) (Result, error) {
	r, err := g.propose(ctx, replica.Envelope{Kind: replica.KindSession, Session: s.id, Sequence: number,
		AckedBelow: min(s.unanswered(), number), Command: command})
	if err == nil {
		s.mu.Lock()
		delete(s.open, number)
		s.mu.Unlock()
	}
	return r, err
}

// KeepAlive keeps a session without commands from ending. Call it at least three
// times in a timeout. Errors are those of Propose.
func (s *Session) KeepAlive(ctx context.Context, g *Group) error {
	_, err := g.propose(ctx, replica.Envelope{Kind: replica.KindKeepAlive, Session: s.id, AckedBelow: s.unanswered()})
	return err
}

// Close ends the session. ErrSessionExpired tells that it has ended.
func (s *Session) Close(ctx context.Context, g *Group) error {
	_, err := g.propose(ctx, replica.Envelope{Kind: replica.KindClose, Session: s.id})
	return err
}

// unanswered is the lowest number without a result: those below are acknowledged.
func (s *Session) unanswered() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	lowest := s.last + 1
	for number := range s.open {
		lowest = min(lowest, number)
	}
	return lowest
}
