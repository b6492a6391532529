package cluster

import (
	"crypto/tls"
	"math/rand/v2"
	"net"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/messages"
)

// # One process for one directory
//
// A NodeID speaks for what its data directory holds. If a copy of the directory is
// started, two processes speak for one, or one that has forgotten what was
// acknowledged: it could vote twice in a term, or elect a leader that lacks
// committed entries. Its peers remember enough to refuse it:
//
//  1. Position, the number of batches in the log of the directory, never falls. A
//     peer is told it in each Hello, ahead of the next message, and anyway after
//     positionEvery: whoever has got an acknowledgement knows how far the log was.
//     A process that starts with less than a peer has heard runs on an older copy,
//     or its disk has lost what it had confirmed.
//  2. A directory has one process at a time: it holds its lock, and ends its
//     connections before it lets go of it. So if a second process comes while the
//     first still answers a Probe, they have two directories.
//
// What is refused so is told for good (Refusal.copied, OnCopied). Neither rule ever
// meets a process that goes on from its own directory, after whatever crash.
//
// Peers remember in memory. So not covered is an older copy whose peers have all
// been restarted since they heard more, or that reaches none of them until its log
// has grown past what they had heard; nor one that lacks only what was written in
// the last positionEvery, if whom it was acknowledged to was restarted; nor a copy of all that was written, beside
// an original that cannot answer whoever hears of the copy; nor a machine whose
// memory is copied together with its disk.

// positionEvery is how often peers to which nothing else leaves are told a new
// position.
const positionEvery = 100 * time.Millisecond

// position is what the log of this node surely holds.
func (l *Link) position() uint64 {
	if l.config.Position == nil {
		return 0
	}
	return l.config.Position()
}

// tellPositions tells all peers how far the log is, until the link closes.
func (l *Link) tellPositions() {
	tick := time.NewTicker(positionEvery)
	defer tick.Stop()
	last := uint64(0)
	for {
		select {
		case <-tick.C:
		case <-l.ctx.Done():
			return
		}
		now := l.position()
		if now == last {
			continue
		}
		last = now
		for _, p := range l.allPeers() {
			p.tellPosition()
		}
	}
}

// tellPosition tells the peer how far the log is, if there is a connection.
func (p *peer) tellPosition() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == connected && p.queuePosition(Control) {
		p.hurry()
	}
}

// queuePosition queues the position ahead of what comes next in a lane, if it is new.
func (p *peer) queuePosition(lane Lane) bool {
	now := p.link.position()
	if now == p.told[lane] {
		return false
	}
	p.told[lane], p.telling.Position = now, now
	queue, err := appendFrame(p.queues[lane], kindPosition, "", &p.telling, p.link.config.MaxFrame)
	p.queues[lane] = queue
	return err == nil
}

// hurry sees to it that what was queued as Control leaves.
func (p *peer) hurry() {
	if p.sleeping && !p.writeInline(Control) {
		p.wakeLocked()
	}
}

// whisper queues a message of the link itself, if there is a connection. It is no
// sign that anybody here wants the peer.
func (p *peer) whisper(kind Kind, m proto.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != connected {
		return
	}
	longer, err := appendFrame(p.queues[Control], kind, "", m, p.link.config.MaxFrame)
	p.queues[Control] = longer
	if err == nil {
		p.hurry()
	}
}

// recognise decides whether the process that says hello may speak for the node:
// see above. It waits for the process known so far to answer, if there is one that
// might, at most half of HandshakeTimeout.
func (p *peer) recognise(h *messages.Hello) error {
	if !p.setName(h.Name) {
		return refuse("node %s now calls itself %q", p.id, h.Name)
	}
	p.judging.Lock()
	defer p.judging.Unlock()
	known, held := p.hears(h)
	if known == 0 || known == h.Epoch {
		return nil
	}
	if h.Position < held {
		return p.refuseCopy("%s had %d batches in its log and has %d now: its data directory is an older copy, or its disk has lost what it had confirmed",
			h.Name, held, h.Position)
	}
	if p.answers(known) {
		return p.refuseCopy("another process speaks for %s and still runs: its data directory is a copy", h.Name)
	}
	return nil // that h.Position is held as soon as the process is the known one: see newEpoch
}

func (p *peer) refuseCopy(format string, args ...any) error {
	p.refused[RefusedCopy].Add(1)
	err := refuse(format, args...)
	err.Copied = true
	p.link.log.Error("process refused: its data directory is a copy", "peer", p.id.String(), "reason", err.Reason)
	return err
}

// hears notes the position of the known process and returns it: its epoch, 0 if
// none is known, and the highest position that the node has told.
func (p *presence) hears(h *messages.Hello) (epoch, held uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoch == 0 || p.epoch == h.Epoch {
		p.held = max(p.held, h.Position)
	}
	return p.epoch, p.held
}

func (p *presence) hold(position uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = max(p.held, position)
}

// answers asks the process of an epoch, the known one, whether it still runs: over
// the connection that it has dialled itself or, if it has none, over ours. A
// connection that breaks over the question is an answer too, and so is a newer
// process that has become the known one: it may be the very one that is judged,
// over its other connection.
func (p *peer) answers(known uint64) bool {
	token := rand.Uint64() | 1
	in, out := p.ask(token, known)
	probe := &messages.Probe{Token: token}
	switch {
	case in != nil:
		in.write(kindProbe, probe)
	case out != nil:
		p.whisper(kindProbe, probe)
	default:
		return false
	}
	timer := time.NewTimer(p.link.config.HandshakeTimeout / 2)
	defer timer.Stop()
	for {
		if answered, gone := p.heard(token, in, out); answered || gone {
			return answered
		}
		select {
		case <-p.news:
		case <-timer.C:
			return false
		case <-p.link.ctx.Done():
			return false
		}
	}
}

func (p *presence) ask(token, known uint64) (*incoming, *outgoing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoch != known {
		return nil, nil
	}
	p.asked, p.askedEpoch, p.answered = token, known, false
	return p.in, p.out
}

// heard tells what has become of the question.
func (p *presence) heard(token uint64, in *incoming, out *outgoing) (answered, gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked == token && p.answered, in != nil && p.in != in || in == nil && p.out != out
}

// answer takes the reply to a probe from the process of a connection.
func (p *presence) answer(epoch, token uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if token == p.asked && epoch == p.askedEpoch {
		p.answered = true
		p.stir()
	}
}

// stir wakes whoever waits in answers.
func (p *presence) stir() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// write sends a message of the link itself to the peer that has dialled.
func (c *incoming) write(kind Kind, m proto.Message) {
	data, err := appendFrame(nil, kind, "", m, maxHello)
	if err != nil {
		return
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(c.link.config.HandshakeTimeout))
	if _, err := c.conn.Write(data); err != nil {
		_ = c.conn.Close()
	}
}

// own takes a message of the link itself from the peer that has dialled.
func (c *incoming) own(f frame) (why Refusal, ok bool) {
	switch f.kind {
	case kindPosition:
		if proto.Unmarshal(f.body, &c.told) != nil {
			return RefusedBody, false
		}
		c.peer.hold(c.told.Position)
	case kindProbe:
		m := new(messages.Probe)
		if proto.Unmarshal(f.body, m) != nil {
			return RefusedBody, false
		}
		if m.Reply {
			c.peer.answer(c.epoch, m.Token)
			return 0, true
		}
		c.write(kindProbe, &messages.Probe{Token: m.Token, Reply: true})
	default:
		return RefusedKind, false
	}
	return 0, true
}

// probed takes a probe from the peer that we have dialled, which sends nothing
// else. An error ends the connection.
func (p *peer) probed(o *outgoing) error {
	f, err := readFrame(o.conn)
	if err != nil {
		return err
	}
	m := new(messages.Probe)
	if f.kind != kindProbe || proto.Unmarshal(f.body, m) != nil {
		return errMalformed
	}
	if m.Reply {
		p.answer(o.epoch, m.Token)
	} else {
		p.whisper(kindProbe, &messages.Probe{Token: m.Token, Reply: true})
	}
	return nil
}

// copied tells the host that a peer has refused this process for good. With TLS
// nobody else can.
func (l *Link) copied(conn net.Conn, by NodeID, reason string) {
	if t, ok := conn.(*tls.Conn); ok {
		id, err := peerIdentity(t.ConnectionState())
		if err != nil || l.admits(by, id.Name) != nil {
			return
		}
	}
	l.log.Error("refused by a peer for good", "peer", by.String(), "remote", conn.RemoteAddr().String(), "reason", reason)
	if l.config.OnCopied != nil {
		l.config.OnCopied(by, reason)
	}
}
