package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/synod-go/synod/cluster"
)

const (
	// longestSilence bounds how long a session goes without a sign of life, however long
	// its timeout is: its connection may have died unnoticed.
	longestSilence = 10 * time.Second
	// linkBuffer is what a connection keeps for reading, in bytes.
	linkBuffer = 1 << 10
	// linkPatience bounds one write to a node.
	linkPatience = 5 * time.Second
	// dialPatience bounds how long a connection is waited for, and half of how long its
	// upgrade may take. The kernel repeats what was lost of it after one second.
	dialPatience = 1500 * time.Millisecond
)

// sessionLink is one connection of a session.
type sessionLink struct {
	conn   net.Conn
	reader *bufio.Reader
	addr   string
	gone   chan struct{}     // closed when nothing comes any more
	leave  chan struct{}     // has a value once the node has asked for that
	next   chan *sessionLink // brings the one to go on with, if the node has asked for that
	alive  uint64            // the last sign of life that was confirmed over it; guarded by Session.mu
	leaves bool              // for another one, though nothing is wrong with it; guarded by Session.mu
	alone  bool              // it ended, and not those of other sessions; guarded by Session.mu
	spread time.Duration     // what the node asks for, should the connection end; guarded by Session.mu

	write sync.Mutex
}

// left reports whether the connection is as good as before, but for another that is being
// made. The caller holds Session.mu.
func (l *sessionLink) left() bool {
	select {
	case <-l.gone:
		return false
	default:
		return l.leaves && l.alive > 0
	}
}

// send writes lines. What goes wrong is found by the reader, or by silence.
func (l *sessionLink) send(lines []byte) {
	l.write.Lock()
	defer l.write.Unlock()
	_ = l.conn.SetWriteDeadline(time.Now().Add(linkPatience))
	_, _ = l.conn.Write(lines)
}

// run keeps a connection as long as the session lives.
func (s *Session) run() {
	defer s.disconnect()
	var next *sessionLink
	avoid, failures := "", 0
	for s.ctx.Err() == nil {
		link, err := next, error(nil)
		if link == nil {
			link, err = s.connect(avoid)
		}
		if CodeOf(err) == CodeSession {
			s.lose(err, true)
			return
		}
		if err != nil {
			failures++
			s.rest(failures)
			continue
		}
		var worked bool
		worked, next = s.keep(link)
		avoid = link.addr
		if failures++; worked {
			failures = 0
		}
		switch {
		case next != nil:
		case worked:
			s.pause(s.share(link))
		default:
			s.rest(failures)
		}
	}
	if next != nil {
		next.conn.Close()
	}
}

// interval is between two signs of life: a third of the timeout, so that a lost one is
// noticed while there is time for another way.
func (s *Session) interval() time.Duration {
	third := min(s.timeout/3, longestSilence)
	return third - rand.N(third/10+1)
}

// connect makes a connection to any node, at best another one than that to avoid.
func (s *Session) connect(avoid string) (*sessionLink, error) {
	var last error
	for _, addr := range s.candidates(avoid) {
		link, err := s.dial(addr)
		if err == nil {
			return link, nil
		}
		if CodeOf(err) == CodeSession {
			return nil, err
		}
		last = err
	}
	return nil, last
}

// candidates are all addresses in an order by chance, so that sessions spread.
func (s *Session) candidates(avoid string) (list []string) {
	addrs := s.client.config.Addrs
	tail := []string(nil)
	for _, i := range rand.Perm(len(addrs)) {
		if addrs[i] == avoid {
			tail = append(tail, addrs[i])
		} else {
			list = append(list, addrs[i])
		}
	}
	return append(list, tail...)
}

// dial connects to one node. The kernel may not look after the connection: it would close one
// that is silent, and the node would take that for the end of the client.
func (s *Session) dial(addr string) (*sessionLink, error) {
	s.mu.Lock()
	s.links++
	number := s.links
	s.mu.Unlock()
	limit := min(max(s.timeout/6, 200*time.Millisecond), dialPatience)
	ctx, cancel := context.WithTimeout(s.ctx, limit)
	defer cancel()
	conn, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if config := s.client.config.TLS; config != nil {
		conn = cluster.Client(conn, serverName(config, addr), nil)
	}
	link, err := s.upgrade(conn, addr, number, time.Now().Add(2*limit))
	if err != nil {
		conn.Close()
		return nil, err
	}
	return link, nil
}

// serverName names the host in a copy of config, unless it does so itself.
func serverName(config *tls.Config, addr string) *tls.Config {
	if config.ServerName != "" {
		return config
	}
	named := config.Clone()
	named.ServerName, _, _ = net.SplitHostPort(addr)
	return named
}

// upgrade asks the node to take the connection for that of the session.
func (s *Session) upgrade(conn net.Conn, addr string, number uint64, deadline time.Time) (*sessionLink, error) {
	_ = conn.SetDeadline(deadline)
	request, err := http.NewRequest(http.MethodGet, "http://"+addr+connectPath+"?number="+strconv.FormatUint(number, 10), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", sessionProtocol)
	request.Header.Set(headerSession, s.token)
	s.client.showWho(request)
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	reader := bufio.NewReaderSize(conn, linkBuffer)
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		if err := decode(response, call{}, &struct{}{}); err != nil {
			return nil, err
		}
		return nil, notSynod(response)
	}
	_ = conn.SetDeadline(time.Time{})
	return &sessionLink{conn: conn, reader: reader, addr: addr, gone: make(chan struct{}),
		leave: make(chan struct{}, 1), next: make(chan *sessionLink)}, nil
}

// keep shows itself over a connection until that is lost, says nothing any more or is to be
// left for the next one. It reports whether a sign of life was confirmed.
func (s *Session) keep(link *sessionLink) (worked bool, next *sessionLink) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	s.mu.Lock()
	s.link = link
	lines := s.resumeLocked()
	s.mu.Unlock()
	go s.listen(link)
	link.send(lines)
	s.news.raise()
	for {
		number := s.show(link)
		next = s.untilDue(ctx, link)
		s.mu.Lock()
		worked = link.alive > 0
		silent := link.alive < number
		s.mu.Unlock()
		select {
		case <-link.gone:
		default:
			if next == nil && !silent && s.ctx.Err() == nil {
				continue
			}
		}
		s.replaced(link, next != nil)
		return worked, next
	}
}

// untilDue waits until the next sign of life is due, or the connection is of no use. It
// returns the one to leave it for, if that is made meanwhile.
func (s *Session) untilDue(ctx context.Context, link *sessionLink) *sessionLink {
	due := time.NewTimer(s.interval())
	defer due.Stop()
	for {
		select {
		case <-link.leave:
			go s.seek(ctx, link)
		case next := <-link.next:
			return next
		case <-due.C:
			return nil
		case <-link.gone:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// show sends a sign of life.
func (s *Session) show(link *sessionLink) (number uint64) {
	s.mu.Lock()
	s.lastSign++
	number = s.lastSign
	s.signs = append(s.signs, sign{number, clock()})
	if len(s.signs) > maxSigns {
		s.signs = s.signs[1:]
	}
	s.mu.Unlock()
	link.send(append(strconv.AppendUint([]byte(`{"touch":`), number, 10), "}\n"...))
	return number
}

// maxSigns is how many signs of life may wait for their confirmation: those of a timeout.
const maxSigns = 16

// replaced lets go of a connection. One that is only silent, or is left, stays open until a
// later one is confirmed: by closing it the client would say itself that it is gone. Over one
// that is left the session goes on to show itself.
func (s *Session) replaced(link *sessionLink, left bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link, link.leaves = nil, left
	select {
	case <-link.gone:
		link.conn.Close()
	default:
		s.old = append(s.old, link)
		if left {
			go s.hold(link)
		}
	}
}

// disconnect closes all connections.
func (s *Session) disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, link := range s.old {
		link.conn.Close()
	}
	if s.link != nil {
		s.link.conn.Close()
	}
	s.old = nil
}

// listen reads what the node sends until the connection ends.
func (s *Session) listen(link *sessionLink) {
	defer close(link.gone)
	for {
		line, err := readLine(link.reader)
		if err != nil || !s.onLine(link, line) {
			return
		}
	}
}

// readLine reads a line of at most maxEvent bytes, valid until the next one.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	whole := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(whole) > maxEvent {
			return nil, errLong
		}
		line, err = r.ReadSlice('\n')
		whole = append(whole, line...)
	}
	return whole, err
}

// nodeLine is a line of a node.
type nodeLine struct {
	Alive     *uint64  `json:"alive"`
	Watching  *uint64  `json:"watching"`
	Index     uint64   `json:"index"`
	Spread    uint64   `json:"spread"`
	Change    *Change  `json:"change"`
	Watch     []uint64 `json:"watch"`
	Synced    *uint64  `json:"synced"`
	Unwatched *uint64  `json:"unwatched"`
	Error     *Error   `json:"error"`
	Over      *Error   `json:"over"`
	Bye       *Error   `json:"bye"`
	Move      bool     `json:"move"`
}

// onLine takes note of a line; false: the connection is of no use any more.
func (s *Session) onLine(link *sessionLink, text []byte) bool {
	var line nodeLine
	if err := json.Unmarshal(text, &line); err != nil {
		return false
	}
	switch {
	case line.Over != nil:
		s.lose(line.Over, true)
		return false
	case line.Bye != nil:
		s.mu.Lock()
		link.alone = line.Bye.Code != CodeStopped
		s.mu.Unlock()
		return false
	case line.Move:
		s.onMove(link)
	case line.Alive != nil:
		s.onAlive(link, line)
	default:
		s.onWatchLine(link, line)
	}
	return true
}

// onAlive notes that the leader has confirmed a sign of life, and so all before it.
func (s *Session) onAlive(link *sessionLink, line nodeLine) {
	s.mu.Lock()
	link.spread = time.Duration(min(line.Spread, maxSpread)) * time.Millisecond
	for len(s.signs) > 0 && s.signs[0].number <= *line.Alive {
		s.until = max(s.until, s.signs[0].sent+s.belief())
		s.signs = s.signs[1:]
	}
	s.confirmed, link.alive = true, max(link.alive, *line.Alive)
	if s.link == link {
		s.reachedLocked(line.Index)
		for _, old := range s.old {
			old.conn.Close()
		}
		s.old = nil
	}
	s.mu.Unlock()
	s.ring()
	s.news.raise()
}
