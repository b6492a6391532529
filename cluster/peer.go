package cluster

import (
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/messages"
)

const (
	// quietBefore is how long nothing must have left before a sender writes to
	// the socket itself: a lone message saves the wake-up of the writer, a
	// burst leaves in few writes.
	quietBefore = 50 * time.Microsecond
	inlineBytes = 16 << 10 // largest write on a sender's goroutine
	bulkBytes   = 256 << 10
	keptBytes   = 2 << 20 // capacity an idle buffer keeps

	minBackoff    = 10 * time.Millisecond
	maxBackoff    = time.Second
	stableAfter   = 100 * time.Millisecond // a connection that lived this long starts backoff over
	staleAfter    = 200 * time.Millisecond // messages that waited longer for a connection are dropped
	unwantedAfter = 30 * time.Second       // without messages, stop trying to connect
)

type peerState uint8

const (
	asleep     peerState = iota // no connection, nobody needs one, no goroutine
	waiting                     // between two attempts; messages are dropped
	connecting                  // messages are queued
	connected
)

// peer is the process behind all PIDs of one node, and the connection on which
// messages to it leave.
type peer struct {
	link *Link
	id   NodeID
	counters
	presence
	addressed atomic.Bool // a local PID refers to it, so it must stay
	kick      chan struct{}
	wake      chan struct{}

	mu       sync.Mutex
	state    peerState
	queues   [lanes][]byte // encoded frames that wait
	rest     []byte        // of a frame that a sender could write only in part
	out      *outgoing     // while connected
	sleeping bool          // the writer waits on wake
	used     bool          // someone sent since run last looked
	told     [lanes]uint64 // the positions queued last: see original.go
	telling  messages.Position
	lastErr  string
}

var _ actor.Process = (*peer)(nil)

func newPeer(l *Link, id NodeID) *peer {
	p := &peer{link: l, id: id, kick: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
	p.presence.link, p.presence.id, p.presence.news = l, id, make(chan struct{}, 1)
	return p
}

// SendUserMessage queues a message for the peer or drops it. It never blocks.
func (p *peer) SendUserMessage(pid *actor.PID, message any) {
	if e, ok := message.(*actor.MessageEnvelope); ok {
		message = e.Message
	}
	m, ok := message.(proto.Message)
	kind, registered := Kind(0), false
	if ok {
		kind, registered = p.link.kinds.Load().byType[reflect.TypeOf(m)]
	}
	if !registered {
		p.drop(message, DropKind)
		return
	}
	if why, ok := p.send(kind, pid.Id, m); !ok {
		p.drop(message, why)
	}
}

// SendSystemMessage drops: nobody stops, watches or fails an actor elsewhere.
func (p *peer) SendSystemMessage(_ *actor.PID, message any) { p.drop(message, DropSystem) }

// Stop does nothing: actors of a peer are not ours to stop.
func (p *peer) Stop(*actor.PID) { p.dropped[DropSystem].Add(1) }

func (p *peer) drop(message any, why Drop) {
	p.dropped[why].Add(1)
	if p.link.config.OnDrop != nil {
		p.link.config.OnDrop(p.id, message, why)
	}
}

func (p *peer) limit(lane Lane) int {
	if lane == Control {
		return p.link.config.MaxControl
	}
	return p.link.config.MaxBulk
}

func (p *peer) send(kind Kind, name string, m proto.Message) (Drop, bool) {
	lane := min(p.link.config.Lane(m), Bulk)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used = true
	if p.state == asleep && !p.startLocked() || p.state == waiting {
		return DropDown, false
	}
	if len(p.queues[lane]) >= p.limit(lane) {
		return DropFull, false
	}
	p.queuePosition(lane)
	queue := p.queues[lane]
	longer, err := appendFrame(queue, kind, name, m, p.link.config.MaxFrame)
	p.queues[lane] = longer
	if err != nil {
		return DropSize, false
	}
	p.framesOut.Add(1)
	if p.state == connected && p.sleeping && !p.writeInline(lane) {
		p.wakeLocked()
	}
	return 0, true
}

func (p *peer) startLocked() bool {
	if !p.link.running.Load() || !p.link.spawn(p.run) {
		return false
	}
	p.state = connecting
	return true
}

func (p *peer) wakeLocked() {
	if p.sleeping {
		p.sleeping = false
		p.wake <- struct{}{}
	}
}

// writeInline writes the only waiting frame on the sender's goroutine, if the
// connection is plain TCP and has been quiet. It reports whether nothing is
// left for the writer, which sleeps.
func (p *peer) writeInline(lane Lane) bool {
	o, data := p.out, p.queues[lane]
	if o.raw == nil || len(data) > inlineBytes {
		return false
	}
	now := time.Since(p.link.started)
	if now-o.lastWrite < quietBefore {
		return false
	}
	n, err := o.raw.write(data)
	o.lastWrite = now
	p.bytesOut.Add(uint64(n))
	p.queues[lane] = data[:0]
	if err != nil {
		_ = o.conn.Close() // whoever reads from it reports the loss
		return true
	}
	p.rest = append(p.rest[:0], data[n:]...)
	return len(p.rest) == 0
}

// reach asks for an attempt to connect at once.
func (p *peer) reach() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == asleep && p.addressed.Load() {
		p.used = true
		p.startLocked()
		return
	}
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

func (p *peer) stats() PeerStats {
	s := p.counters.stats()
	s.Peer = p.id
	s.Name, s.Up, s.Position = p.about()
	p.mu.Lock()
	defer p.mu.Unlock()
	s.LastError = p.lastErr
	s.QueuedOut = len(p.rest)
	for _, queue := range p.queues {
		s.QueuedOut += len(queue)
	}
	return s
}
