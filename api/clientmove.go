package api

import (
	"context"
	"time"
)

// movePause is how long a session stays, whatever nodes ask for, when it has moved. It is
// twice as long after each further move, up to longestMovePause, and as before when it was left
// alone for four times as long: a client that knows only some
// of the nodes would else be sent to and fro between them for ever, each of which has more than
// its share.
const movePause, longestMovePause = 30 * time.Second, time.Hour

// onMove leaves the connection if there are other nodes, but not again and again: they may
// be crowded too.
func (s *Session) onMove(link *sessionLink) {
	s.mu.Lock()
	now := clock()
	moves := len(s.client.config.Addrs) > 1 && (s.stays == 0 || now-s.moved > s.stays)
	if moves {
		if now-s.moved > 4*s.stays { // it was left alone
			s.stays = 0
		}
		s.moved, s.stays = now, min(max(2*s.stays, movePause), longestMovePause)
	}
	s.mu.Unlock()
	if moves {
		select {
		case link.leave <- struct{}{}:
		default: // it does already
		}
	}
}

// seek connects to another node, one by chance, while the session goes on over the connection
// that it is asked to leave. If that node does not answer the session stays: nothing is wrong
// with the connection it has.
func (s *Session) seek(ctx context.Context, link *sessionLink) {
	next, err := s.dial(s.candidates(link.addr)[0])
	if CodeOf(err) == CodeSession {
		s.lose(err, true)
	}
	if err != nil {
		return
	}
	select {
	case link.next <- next:
	case <-ctx.Done(): // something else came first
		next.conn.Close()
	}
}

// hold goes on to show the session over a connection that is left, until a later one is
// confirmed and this one closed: the new node may turn out to be of no use.
func (s *Session) hold(link *sessionLink) {
	due := time.NewTimer(s.interval() / 2) // the last sign is up to an interval old
	defer due.Stop()
	for {
		select {
		case <-due.C:
			s.show(link)
			due.Reset(s.interval())
		case <-link.gone:
			return
		case <-s.ctx.Done():
			return
		}
	}
}
