package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	wire "github.com/synod-go/synod/messages"
)

// readBytes is the size of a reader's buffer; it grows for a larger frame as
// that frame's bytes come in, and shrinks after it.
const readBytes = 64 << 10

// accept lets connections in until the listener closes.
func (l *Link) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of files, for example: others may end soon
			l.log.Warn("cannot accept connections", "error", err)
			timer := time.NewTimer(50 * time.Millisecond)
			select {
			case <-timer.C:
			case <-l.ctx.Done():
				return
			}
		case !l.enter():
			l.refused[RefusedLimit].Add(1)
			_ = conn.Close()
		case !l.spawn(func() { l.receive(conn) }):
			l.leave(true)
			_ = conn.Close()
		}
	}
}

func (l *Link) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.connections >= l.config.MaxConnections || l.handshakes >= l.config.MaxHandshakes {
		return false
	}
	l.connections++
	l.handshakes++
	return true
}

// leave ends a handshake, or a connection as a whole.
func (l *Link) leave(handshake bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if handshake {
		l.handshakes--
		return
	}
	l.connections--
}

// incoming is one connection that a peer dialled.
type incoming struct {
	link     *Link
	peer     *peer
	conn     net.Conn
	name     string // by its Hello, proven with TLS
	epoch    uint64
	position uint64      // by its Hello
	retired  atomic.Bool // replaced: nothing more from it may be delivered

	// Of read alone: what waits for flush.
	messages []any
	receiver Receiver
	told     wire.Position
}

func (c *incoming) retire() {
	c.retired.Store(true)
	abort(c.conn)
}

// receive serves one incoming connection.
func (l *Link) receive(conn net.Conn) {
	defer l.leave(false)
	secured := conn
	if l.config.TLS != nil {
		t := Server(conn, l.config.TLS.serverConfig(RoleNode), l.unvouched)
		secured, conn = t, t.NetConn()
	}
	defer conn.Close()
	stop := context.AfterFunc(l.ctx, func() { _ = conn.Close() })
	defer stop()
	c, err := l.admit(secured)
	l.leave(true)
	if err != nil {
		l.refused[RefusedHandshake].Add(1)
		l.log.Debug("connection refused", "remote", conn.RemoteAddr().String(), "error", err)
		return
	}
	if why, ended := c.read(); ended {
		c.peer.refused[why].Add(1)
		l.log.Warn("connection closed over a bad frame", "peer", c.peer.id.String(), "refused", why.String())
	}
	c.peer.incomingDown(c)
	l.forget(c.peer)
}

// unvouched tells the log why a connection ends.
func (l *Link) unvouched(remote net.Addr, reason error) {
	l.log.Info("connection ended: its certificate holds no more", "remote", remote.String(), "reason", reason)
}

// admit shakes hands and makes the connection its peer's.
func (l *Link) admit(conn net.Conn) (*incoming, error) {
	p, hello, err := l.welcome(conn)
	if err != nil {
		return nil, err
	}
	c := &incoming{link: l, peer: p, conn: conn, name: hello.Name, epoch: hello.Epoch, position: hello.Position}
	if !p.setName(hello.Name) || !p.incomingUp(c) {
		l.forget(p)
		return nil, fmt.Errorf("node %s is known under another name or has a newer process", p.id)
	}
	p.reach()
	return c, nil
}

// incomingPeer finds the peer; strangers are bounded like connections.
func (l *Link) incomingPeer(id NodeID) (*peer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.peers[id]; !known && len(l.peers) >= l.config.MaxConnections {
		return nil, errors.New("too many peers")
	}
	return l.peerLocked(id), nil
}

// forget lets go of a peer that is gone and that no PID here refers to.
func (l *Link) forget(p *peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.presence.mu.Lock()
	gone := p.in == nil && p.presence.out == nil
	p.presence.mu.Unlock()
	if gone && !p.addressed.Load() && l.peers[p.id] == p {
		delete(l.peers, p.id)
	}
}

// read delivers frames until the connection ends; bad says that it was ended
// over a bad frame, and which.
func (c *incoming) read() (why Refusal, bad bool) {
	buffer := make([]byte, readBytes)
	begin, end := 0, 0
	for {
		n, err := c.conn.Read(buffer[end:])
		end += n
		c.peer.bytesIn.Add(uint64(n))
		for {
			size, sizeErr := frameSize(buffer[begin:end], c.link.config.MaxFrame)
			if sizeErr != nil {
				return RefusedMalformed, true
			}
			if size == 0 || begin+size > end {
				break
			}
			if c.retired.Load() {
				return 0, false
			}
			f, frameErr := decodeFrame(buffer[begin : begin+size])
			if errors.Is(frameErr, errChecksum) {
				return RefusedChecksum, true
			}
			if frameErr != nil {
				return RefusedMalformed, true
			}
			c.peer.framesIn.Add(1)
			if why, ok := c.deliver(f); !ok {
				c.peer.refused[why].Add(1)
			}
			begin += size
		}
		c.flush()
		if err != nil {
			return 0, false
		}
		buffer, begin, end = makeRoom(buffer, begin, end)
	}
}

// makeRoom moves what is left of a frame to the front and doubles a full buffer.
func makeRoom(buffer []byte, begin, end int) ([]byte, int, int) {
	left := buffer[begin:end]
	switch {
	case len(left) == 0 && len(buffer) > keptBytes:
		return make([]byte, readBytes), 0, 0
	case len(left) == len(buffer):
		larger := make([]byte, 2*len(buffer))
		copy(larger, left)
		return larger, 0, len(left)
	case begin > 0:
		copy(buffer, left)
		return buffer, 0, len(left)
	}
	return buffer, begin, end
}

// deliver hands a message to its receiver, if it may pass.
func (c *incoming) deliver(f frame) (why Refusal, ok bool) {
	defer c.guard(f.kind, &why, &ok)
	if f.kind < FirstKind {
		return c.own(f)
	}
	messageType, known := c.link.kinds.Load().byKind[f.kind]
	if !known {
		return RefusedKind, false
	}
	to, here := (*c.link.published.Load())[string(f.name)]
	if !here {
		return RefusedReceiver, false
	}
	m := messageType.New().Interface()
	if err := unmarshal(f.body, m); err != nil {
		return RefusedBody, false
	}
	if from, ok := m.(interface{ GetFrom() uint64 }); ok && NodeID(from.GetFrom()) != c.peer.id {
		return RefusedSender, false
	}
	if from, ok := m.(interface {
		GetFrom() uint64
		GetName() string
	}); ok && from.GetName() != c.name {
		return RefusedSender, false
	}
	if to.receiver == nil {
		c.link.system.Root.Send(to.pid, m)
		return 0, true
	}
	if c.receiver != to.receiver {
		c.flush()
	}
	c.receiver, c.messages = to.receiver, append(c.messages, m)
	return 0, true
}

// flush delivers what has been collected for one receiver.
func (c *incoming) flush() {
	if len(c.messages) == 0 {
		return
	}
	why, ok := Refusal(0), true
	func() {
		defer c.guard(0, &why, &ok)
		if !c.retired.Load() {
			c.receiver.Deliver(c.messages...)
		}
	}()
	if !ok {
		c.peer.refused[why].Add(1)
	}
	clear(c.messages)
	c.messages = c.messages[:0]
}

// guard keeps a message that cannot be delivered from ending the process.
func (c *incoming) guard(kind Kind, why *Refusal, ok *bool) {
	if reason := recover(); reason != nil {
		c.link.log.Error("message could not be delivered", "peer", c.peer.id.String(), "kind", kind, "reason", reason)
		*why, *ok = RefusedPanic, false
	}
}
