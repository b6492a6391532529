package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// outgoing is one connection that we dialled.
type outgoing struct {
	conn      net.Conn
	name      string // by the Hello of the other end
	epoch     uint64 // of the process at the other end
	position  uint64 // by that Hello
	raw       *rawWriter
	lastWrite time.Duration // since Link.started; under peer.mu
	lost      bool          // under peer.mu

	// Of the writer alone:
	bulk  []byte // taken from the queue, not yet written
	spare []byte // the buffer that bulk points into, to become the queue again
}

// run connects, writes until the connection is lost, and starts over, until
// nobody needs the peer or the link closes.
func (p *peer) run() {
	var delay time.Duration
	wanted := time.Now()
	for {
		begun := time.Now()
		o, err := p.connect()
		if err == nil {
			p.serve(o, begun)
		}
		if err == nil && time.Since(begun) > stableAfter {
			delay = 0
		}
		if wanted = p.disconnected(err, wanted); time.Since(wanted) > unwantedAfter && p.fallAsleep() {
			return
		}
		if !p.pause(delay) {
			p.fallAsleep()
			return
		}
		p.setState(connecting)
		delay = min(max(2*delay, minBackoff), maxBackoff)
	}
}

// disconnected drops what waits, so that nothing stale arrives late, and
// returns when the peer was wanted last.
func (p *peer) disconnected(err error, wanted time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = waiting
	p.clearLocked()
	if err != nil && err.Error() != p.lastErr && p.link.ctx.Err() == nil {
		p.lastErr = err.Error()
		p.link.log.Debug("peer cannot be reached", "peer", p.id.String(), "error", err)
	}
	if p.used {
		p.used = false
		return time.Now()
	}
	return wanted
}

func (p *peer) clearLocked() {
	p.told = [lanes]uint64{}
	for lane, queue := range p.queues {
		p.dropped[DropDown].Add(uint64(countFrames(queue)))
		p.queues[lane] = kept(queue)
	}
	p.rest = p.rest[:0]
}

// kept empties a buffer and lets go of it if it grew large.
func kept(buffer []byte) []byte {
	if cap(buffer) > keptBytes {
		return nil
	}
	return buffer[:0]
}

func (p *peer) setState(s peerState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
}

// fallAsleep ends run unless somebody has just sent.
func (p *peer) fallAsleep() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used && p.link.ctx.Err() == nil {
		return false
	}
	p.state = asleep
	return true
}

// pause waits about delay before the next attempt; false: the link closes.
func (p *peer) pause(delay time.Duration) bool {
	if delay == 0 {
		return p.link.ctx.Err() == nil
	}
	timer := time.NewTimer(time.Duration((0.5 + rand.Float64()) * float64(delay)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.kick:
		return true
	case <-p.link.ctx.Done():
		return false
	}
}

var errNoAddress = errors.New("no address known")

// connect dials the peer and shakes hands.
func (p *peer) connect() (*outgoing, error) {
	addr, ok := p.link.config.Lookup(p.id)
	if !ok {
		return nil, errNoAddress
	}
	ctx, cancel := context.WithTimeout(p.link.ctx, p.link.config.DialTimeout)
	defer cancel()
	plain, err := p.link.config.Network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	o := &outgoing{conn: plain, raw: newRawWriter(plain)}
	if p.link.config.TLS != nil {
		t := Client(plain, p.link.config.TLS.clientConfig(RoleNode), p.link.unvouched)
		o.raw, o.conn, plain = nil, t, t.NetConn()
	}
	stop := context.AfterFunc(p.link.ctx, func() { _ = plain.Close() })
	defer stop()
	hello, err := p.link.greet(o.conn, p)
	if err == nil && NodeID(hello.Node) != p.id {
		err = fmt.Errorf("%s is the address of node %s", addr, NodeID(hello.Node))
	}
	if err == nil && !p.setName(hello.Name) {
		err = fmt.Errorf("node %s now calls itself %q", p.id, hello.Name)
	}
	if err != nil {
		_ = plain.Close()
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	o.name, o.epoch, o.position = hello.Name, hello.Epoch, hello.Position
	return o, nil
}

// serve writes to o until it is lost.
func (p *peer) serve(o *outgoing, begun time.Time) {
	p.connects.Add(1)
	p.mu.Lock()
	if time.Since(begun) > staleAfter {
		p.clearLocked()
	}
	p.state, p.out, p.lastErr = connected, o, ""
	p.mu.Unlock()
	stop := context.AfterFunc(p.link.ctx, func() { _ = o.conn.Close() })
	defer stop()
	p.tellPosition() // it may have moved since Hello
	p.outgoingUp(o)
	if !p.link.spawn(func() { p.watch(o) }) {
		p.lose(o)
	}
	p.write(o)
	_ = o.conn.Close()
	p.mu.Lock()
	p.out = nil
	p.mu.Unlock()
	p.outgoingDown(o)
}

// watch notices the loss of a connection on which the peer sends only probes.
func (p *peer) watch(o *outgoing) {
	for p.probed(o) == nil {
	}
	p.lose(o)
}

func (p *peer) lose(o *outgoing) {
	_ = o.conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	o.lost = true
	p.wakeLocked()
}

// write is the writer: everything that waits leaves in one write, control
// first, then up to bulkBytes of bulk.
func (p *peer) write(o *outgoing) {
	var buffer []byte
	for {
		var ok bool
		if buffer, ok = p.collect(o, buffer[:0]); !ok {
			return
		}
		if err := p.writeAll(o, buffer); err != nil {
			p.lose(o)
			return
		}
	}
}

// collect waits for something to write; false: the connection is lost.
func (p *peer) collect(o *outgoing, buffer []byte) ([]byte, bool) {
	p.mu.Lock()
	for !o.lost && !p.hasWork(o) {
		p.sleeping = true
		p.queues[Control], p.queues[Bulk] = kept(p.queues[Control]), kept(p.queues[Bulk])
		buffer, o.spare = kept(buffer), kept(o.spare)
		p.mu.Unlock()
		<-p.wake
		p.mu.Lock()
	}
	lost := o.lost
	buffer = append(buffer, p.rest...)
	p.rest = p.rest[:0]
	if len(buffer) == 0 { // the usual case: no copy
		buffer, p.queues[Control] = p.queues[Control], buffer
	} else {
		buffer = append(buffer, p.queues[Control]...)
		p.queues[Control] = p.queues[Control][:0]
	}
	if len(o.bulk) == 0 {
		o.bulk, p.queues[Bulk], o.spare = p.queues[Bulk], o.spare[:0], p.queues[Bulk]
	}
	p.mu.Unlock()
	n := wholeFrames(o.bulk, bulkBytes)
	buffer = append(buffer, o.bulk[:n]...)
	o.bulk = o.bulk[n:]
	return buffer, !lost
}

func (p *peer) hasWork(o *outgoing) bool {
	return len(p.rest) > 0 || len(p.queues[Control]) > 0 || len(p.queues[Bulk]) > 0 || len(o.bulk) > 0
}

func (p *peer) writeAll(o *outgoing, data []byte) error {
	n, err := 0, error(nil)
	if o.raw != nil {
		n, err = o.raw.write(data)
	}
	if err == nil && n < len(data) {
		_ = o.conn.SetWriteDeadline(time.Now().Add(p.link.config.WriteTimeout))
		var m int
		m, err = o.conn.Write(data[n:])
		n += m
		_ = o.conn.SetWriteDeadline(time.Time{})
	}
	p.bytesOut.Add(uint64(n))
	p.mu.Lock()
	o.lastWrite = time.Since(p.link.started)
	p.mu.Unlock()
	return err
}
