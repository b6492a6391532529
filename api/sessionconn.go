package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/synod-go/synod/coordination"
)

const (
	connectPath = "/v1/session/connect"
	// sessionProtocol is what the connection of a session is upgraded to.
	sessionProtocol = "synod-session/1"
	// maxSessionWatches bounds the watches of one session.
	maxSessionWatches = 1024
	// confirmTime bounds one attempt to have a sign of life confirmed, and how long a
	// connection waits for its node to apply what a sync names.
	confirmTime = 5 * time.Second
	// confirmPause is between attempts.
	confirmPause = 50 * time.Millisecond
	// farewell is what a client has to read the last line.
	farewell = time.Second
)

// sessionConn is the connection of a session: it brings signs of life and watches, and
// takes what becomes of them. Nothing runs for it but a goroutine that reads, and for a
// while one that has something to send: see sessionpump.go.
type sessionConn struct {
	server  *Server
	conn    net.Conn
	caller  coordination.Caller
	number  uint64 // connections that were made later have higher ones
	timeout time.Duration
	asked   bool   // to move; guarded by sessionConns.mu
	release func() // of its token; nil: it never went so far

	out sync.Mutex // held while something is sent; mu may be taken while it is held

	mu       sync.Mutex
	closed   bool
	touched  uint64 // the latest sign of life
	touching bool   // it is being confirmed
	pump     sessionPump
}

// connectSession turns the request's connection into that of a session.
func (s *Server) connectSession(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "number")
	number := q.number("number")
	caller, callerErr := s.inSession(r)
	ctx, cancel, err := s.requestContext(r)
	if !strings.EqualFold(r.Header.Get("Upgrade"), sessionProtocol) {
		err = errors.Join(err, badRequest("the connection is not to be upgraded", "", "Connection: Upgrade", "Upgrade: "+sessionProtocol))
	}
	if number == 0 {
		err = errors.Join(err, badRequest("the connection has no number", "one that is made later has a higher one", "number=1"))
	}
	if err = errors.Join(q.err, callerErr, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	info, err := s.holds(ctx, caller)
	if err != nil {
		writeError(w, err)
		return
	}
	c := &sessionConn{server: s, caller: caller, number: number, timeout: milliseconds(info.Timeout)}
	if err := s.sessions.add(s.config.MaxSessions); err != nil {
		writeError(w, err)
		return
	}
	if err := c.take(w, r); err != nil {
		if errors.Is(err, http.ErrNotSupported) {
			writeError(w, badRequest("this connection cannot become a session's", "that takes HTTP/1.1"))
		}
		s.sessions.remove(c)
		s.config.Logger.Debug("session not connected", "reason", err)
	}
}

// take takes the connection over from net/http, which has no part in it any more.
func (c *sessionConn) take(w http.ResponseWriter, r *http.Request) error {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	early, err := buffered.Reader.Peek(buffered.Reader.Buffered())
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	freeSlot(conn)
	c.conn = conn
	_ = conn.SetDeadline(time.Now().Add(c.server.config.SlowClient))
	answer := fmt.Sprintf("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n\r\n", sessionProtocol, headerNode, c.server.config.Name)
	if _, err := io.WriteString(conn, answer); err != nil {
		return errors.Join(err, conn.Close())
	}
	c.release = c.server.gate.whileHeld(r, func() { c.end(appendBye(nil, tokenEnded)) })
	crowd, err := c.server.sessions.enter(c)
	if err != nil {
		c.release()
		return errors.Join(err, conn.Close())
	}
	if crowd {
		go c.server.keepShare()
	}
	go c.serve(append([]byte(nil), early...))
	return nil
}

// freeSlot lets the listener accept another connection: those of sessions count apart.
func freeSlot(conn net.Conn) {
	if place := limitedOf(conn); place != nil {
		place.free()
	}
}

// survived ends the connection, and no more than that, when one of its goroutines has
// panicked: net/http looks after its own only.
func (c *sessionConn) survived(reason any) (panicked bool) {
	if reason != nil {
		c.server.config.Logger.Error("connection of a session failed", "session", c.caller.Session, "reason", reason)
		c.end(nil)
	}
	return reason != nil
}

// serve reads lines until the connection ends, which it tells the leader if it was the
// other side that closed it.
func (c *sessionConn) serve(early []byte) {
	defer func() { c.survived(recover()) }()
	lines := lineReader{conn: c.conn, held: early}
	for {
		_ = c.conn.SetReadDeadline(time.Now().Add(c.timeout))
		line, err := lines.line()
		if err == nil {
			err = c.onLine(line)
		}
		if err != nil {
			c.lost(err)
			return
		}
	}
}

// lost ends the connection for what came over it.
func (c *sessionConn) lost(err error) {
	if e, is := errors.AsType[*Error](err); is {
		c.end(appendBye(nil, e))
		return
	}
	c.gone(err)
}

// gone ends the connection for a failure of it. The kernel tells one call only that the
// client's side has closed it: that which reads, or one that just sends something. A client
// that closes one over which it has not shown itself has only lost patience with this node.
func (c *sessionConn) gone(err error) {
	clients := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	c.mu.Lock()
	shown := c.touched > 0
	c.mu.Unlock()
	if c.end(nil) && clients && shown {
		c.server.backend().Gone(c.caller.Session, c.number)
	}
}

// end closes the connection, after a last line if there is one. It reports whether it was
// open.
func (c *sessionConn) end(last []byte) bool {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return false
	}
	// What is being sent, and the last line, have a second more: it is being closed anyway.
	_ = c.conn.SetWriteDeadline(time.Now().Add(farewell))
	if last != nil {
		c.out.Lock()
		_, _ = c.conn.Write(last)
		c.out.Unlock()
	}
	c.conn.Close()
	if c.release != nil {
		c.release()
	}
	c.server.sessions.remove(c)
	c.kick() // lets go of the watches
	return true
}

// send writes lines to a client that reads: one that does not is cut off.
func (c *sessionConn) send(lines []byte) error {
	c.out.Lock()
	defer c.out.Unlock()
	return c.sendLocked(lines)
}

func (c *sessionConn) sendLocked(lines []byte) error {
	if err := c.giveTime(); err != nil {
		return err
	}
	_, err := c.conn.Write(lines)
	return slowOr(err)
}

// giveTime says how long the next write may take. The look comes after it, so that end, which
// sets closed first, has the last word.
func (c *sessionConn) giveTime() error {
	_ = c.conn.SetWriteDeadline(time.Now().Add(c.server.config.SlowClient))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = c.conn.SetWriteDeadline(time.Now().Add(farewell)) // for the last line
		return net.ErrClosed
	}
	return nil
}

// slowly ends a connection to which nothing can be sent.
func (c *sessionConn) slowly(err error) {
	if errors.Is(err, errSlow) {
		c.server.counters.slow.Add(1)
		c.server.config.Logger.Info("session disconnected", "session", c.caller.Session, "reason", "its client does not read")
	}
	c.gone(err)
}

// onLine carries out one line of the client.
func (c *sessionConn) onLine(line []byte) error {
	m, err := parseSessionLine(line)
	if err != nil {
		return err
	}
	if m.kind == lineTouch {
		c.touch(m.number)
		return nil
	}
	return c.request(m)
}

// touch has a sign of life confirmed, the latest if several wait.
func (c *sessionConn) touch(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touched = number
	if !c.touching && !c.closed {
		c.touching = true
		go c.confirm(number)
	}
}

// confirm asks the leader until it has answered, or the connection is closed.
func (c *sessionConn) confirm(number uint64) {
	defer func() { c.survived(recover()) }()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), confirmTime)
		sign, err := c.server.backend().Touch(ctx, c.caller.Session, c.number)
		cancel()
		switch {
		case err != nil && CodeOf(err) == CodeStopped:
			c.end(appendBye(nil, nodeStops))
		case err != nil:
			time.Sleep(confirmPause)
		case sign == coordination.Over:
			c.end(appendOver(nil, sessionOver(coordination.ErrSession)))
		case sign == coordination.Moved:
			c.end(appendBye(nil, &Error{Code: CodeSession, Message: "the session has a newer connection"}))
		default:
			c.confirmed(number)
		}
		c.mu.Lock()
		if c.closed || err == nil && c.touched == number {
			c.touching = false
			c.mu.Unlock()
			return
		}
		number = c.touched
		c.mu.Unlock()
	}
}

// confirmed tells the client, and how far its watches have come: that must not change
// between the look and the line.
func (c *sessionConn) confirmed(number uint64) {
	spread := spreadOf(c.server.sessions.connected())
	c.out.Lock()
	line := appendAlive(nil, number, c.reached(), spread)
	err := c.sendLocked(line)
	c.out.Unlock()
	if err != nil {
		c.slowly(err)
	}
}

// nodeStops is the error with which a node that stops sends sessions away.
var nodeStops = &Error{Code: CodeStopped, Message: "this node is stopping", Do: []string{"go on at another node"}}

// sessionConns are the connections of sessions to a server. Safe for
// concurrent use.
type sessionConns struct {
	mu      sync.Mutex
	count   int
	all     map[*sessionConn]struct{} // those that are connected
	sharing bool                      // keepShare runs
	shares  sync.WaitGroup            // its goroutine
	stopped bool
}

// add makes room for one more, until it is removed.
func (s *sessionConns) add(most int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped:
		return nodeStops
	case s.count >= most:
		return &Error{Code: CodeOverloaded, Message: "this node has as many sessions as it takes",
			Why: fmt.Sprintf("%d are connected", s.count), Do: []string{"ask another node"}}
	}
	s.count++
	return nil
}

// enter makes it known that one is connected, or refuses that. crowd: there are many now,
// and the caller begins keepShare.
func (s *sessionConns) enter(c *sessionConn) (crowd bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false, nodeStops
	}
	if s.all == nil {
		s.all = map[*sessionConn]struct{}{}
	}
	s.all[c] = struct{}{}
	crowd = len(s.all) >= shareLeast && !s.sharing
	if crowd {
		s.sharing = true
		s.shares.Add(1)
	}
	return crowd, nil
}

func (s *sessionConns) remove(c *sessionConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count--
	delete(s.all, c)
}

func (s *sessionConns) connected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// stop sends all away, and whoever comes later. keepShare, which knows that the server stops,
// has ended when it returns.
func (s *sessionConns) stop(why *Error) {
	s.mu.Lock()
	s.stopped = true
	all := s.all
	s.all = nil
	s.mu.Unlock()
	var wait sync.WaitGroup
	for c := range all {
		wait.Go(func() { c.end(appendBye(nil, why)) })
	}
	wait.Wait()
	s.shares.Wait()
}
