package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/synod-go/synod/actors/master"
)

// agentConn is the connection of an agent to this node's master, which leads. Nothing runs
// for it but a goroutine that reads, and for a while one that writes.
type agentConn struct {
	server  *Server
	conn    net.Conn
	link    *master.AgentLink
	cancel  context.CancelFunc
	release func()       // of its token
	writing atomic.Int32 // how often there was something to write since the writer began
	once    sync.Once
}

// connectAgent turns the request's connection into a link of the leading master.
func (s *Server) connectAgent(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), agentProtocol) {
		writeError(w, badRequest("the connection is not to be upgraded", "", "Connection: Upgrade", "Upgrade: "+agentProtocol))
		return
	}
	h := s.master.Load()
	if h == nil {
		writeError(w, noMaster())
		return
	}
	if not := awaitMaster(r.Context(), h); not != nil {
		writeError(w, masterError(not, "the agent's registration"))
		return
	}
	leading, err := h.Leading()
	var link *master.AgentLink
	if err == nil {
		link, err = leading.Connect(s.agentName(r))
	}
	if err != nil {
		writeError(w, masterError(err, "the agent's registration"))
		return
	}
	c := &agentConn{server: s, link: link}
	if err := c.take(w, r, fmt.Sprint(uint64(leading.Term()))); err != nil {
		link.Close()
		if errors.Is(err, http.ErrNotSupported) {
			writeError(w, badRequest("this connection cannot become an agent's", "that takes HTTP/1.1"))
		}
		s.config.Logger.Debug("agent not connected", "reason", err)
	}
}

// take takes the connection over from net/http, which has no part in it any more.
func (c *agentConn) take(w http.ResponseWriter, r *http.Request, term string) error {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	early, err := buffered.Reader.Peek(buffered.Reader.Buffered())
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	freeSlot(conn) // the master bounds its links itself
	c.conn = conn
	_ = conn.SetWriteDeadline(time.Now().Add(c.server.config.SlowClient))
	answer := fmt.Sprintf("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n%s: %s\r\n\r\n",
		agentProtocol, headerTerm, term, headerNode, c.server.config.Name)
	if _, err := io.WriteString(conn, answer); err != nil {
		return errors.Join(err, conn.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.release = c.server.gate.whileHeld(r, func() {
		c.server.config.Logger.Info("agent disconnected", "remote", conn.RemoteAddr().String(), "reason", tokenEnded.Message)
		c.end()
	})
	if !c.server.agents.add(c) {
		c.release()
		cancel()
		return errors.Join(net.ErrClosed, conn.Close())
	}
	early = append([]byte(nil), early...)
	c.link.OnReady(c.ready)
	go c.read(ctx, early)
	return nil
}

// agentReadBuffer is what each connection keeps for reading, in bytes.
const agentReadBuffer = 1 << 10

// read hands the master what comes until the connection ends. A master that is busy is
// waited for, and with it the agent.
func (c *agentConn) read(ctx context.Context, early []byte) {
	defer c.end()
	defer c.survived()
	r := bufio.NewReaderSize(io.MultiReader(strings.NewReader(string(early)), c.conn), agentReadBuffer)
	for {
		message, err := readAgentFrame(r)
		if err == nil {
			err = c.link.Deliver(ctx, message)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && ctx.Err() == nil {
				c.server.config.Logger.Info("agent disconnected", "remote", c.conn.RemoteAddr().String(), "reason", Reason(err))
			}
			return
		}
	}
}

// ready has what waits for the agent written, by one goroutine at a time.
func (c *agentConn) ready() {
	if c.writing.Add(1) == 1 {
		go c.write()
	}
}

// write writes until there is nothing more, then ends.
func (c *agentConn) write() {
	defer c.survived()
	w := bufio.NewWriterSize(timedWriter{c}, agentReadBuffer)
	for seen := c.writing.Load(); ; {
		messages, err := c.link.TryNext()
		for i := 0; err == nil && i < len(messages); i++ {
			err = writeAgentFrame(w, messages[i])
		}
		if err == nil {
			err = w.Flush()
		}
		if err != nil {
			c.end()
			return
		}
		if len(messages) > 0 {
			continue
		}
		if c.writing.CompareAndSwap(seen, 0) {
			return
		}
		seen = c.writing.Load()
	}
}

// timedWriter gives each write to an agent its time: one that does not read is cut off.
type timedWriter struct{ *agentConn }

func (w timedWriter) Write(p []byte) (int, error) {
	_ = w.conn.SetWriteDeadline(time.Now().Add(w.server.config.SlowClient))
	return w.conn.Write(p)
}

// survived ends the connection, and no more than that, when one of its goroutines has
// panicked.
func (c *agentConn) survived() {
	if reason := recover(); reason != nil {
		c.server.config.Logger.Error("connection of an agent failed", "reason", reason)
		c.end()
	}
}

func (c *agentConn) end() {
	c.once.Do(func() {
		c.release()
		c.cancel()
		c.conn.Close()
		c.link.Close()
		c.server.agents.remove(c)
	})
}

// agentConns are the connections of agents to a server. Safe for concurrent use.
type agentConns struct {
	mu      sync.Mutex
	all     map[*agentConn]struct{}
	stopped bool
}

func (s *agentConns) add(c *agentConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	if s.all == nil {
		s.all = map[*agentConn]struct{}{}
	}
	s.all[c] = struct{}{}
	return true
}

func (s *agentConns) remove(c *agentConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
}

// stop ends all, and whoever comes later.
func (s *agentConns) stop() {
	s.mu.Lock()
	s.stopped = true
	all := s.all
	s.all = nil
	s.mu.Unlock()
	for c := range all {
		c.end()
	}
}
