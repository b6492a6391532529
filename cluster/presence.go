package cluster

import (
	"crypto/tls"
	"net"
	"sync"
)

// presence knows both connections with a peer and tells OnUp and OnDown.
//
// A peer is up from the moment we can send to it until either connection is
// lost. Neither loss closes the other connection: two nodes that did so could
// close each other's new connections for ever.
type presence struct {
	link *Link
	id   NodeID

	mu    sync.Mutex // held during OnUp and OnDown, which keeps them in order
	name  string     // pinned by the first Hello
	epoch uint64     // of the newest process known
	held  uint64     // the highest position that the node has told: see original.go
	out   *outgoing
	in    *incoming
	up    bool

	judging    sync.Mutex // one recognise at a time
	asked      uint64     // token of its probe
	askedEpoch uint64     // of the process that is asked
	answered   bool
	news       chan struct{} // cap 1: answered, in or out may have changed
}

func (p *presence) outgoingUp(o *outgoing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.name != o.name { // reconsidered meanwhile
		abort(o.conn)
		return
	}
	p.out = o
	p.newEpoch(o.epoch, o.position)
	p.stir()
	p.rise()
}

func (p *presence) outgoingDown(o *outgoing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.stir()
	if p.out == o {
		p.out = nil
		p.fall()
	}
}

// incomingUp makes c the peer's connection in place of an older one; false if
// the one there is belongs to a newer process, or if the peer was reconsidered.
func (p *presence) incomingUp(c *incoming) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.name != c.name || p.in != nil && p.in.epoch > c.epoch {
		return false
	}
	if p.in != nil { // lost, though its reader has not noticed yet
		p.in.retire()
		p.fall()
	}
	p.in = c
	p.newEpoch(c.epoch, c.position)
	p.stir()
	if p.out != nil {
		p.rise()
	}
	return true
}

func (p *presence) incomingDown(c *incoming) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.stir()
	if p.in == c {
		p.in = nil
		p.fall()
	}
}

// newEpoch ends what belongs to an earlier process of the peer. The position of
// the new one counts from now on and not before: another Hello of the same process,
// judged meanwhile, may be older.
func (p *presence) newEpoch(epoch, position uint64) {
	if p.epoch != 0 && p.epoch != epoch {
		p.fall()
	}
	p.epoch, p.held = epoch, max(p.held, position)
	if p.out != nil && p.out.epoch != epoch {
		abort(p.out.conn)
		p.out = nil
	}
	if p.in != nil && p.in.epoch < epoch {
		p.in.retire()
		p.in = nil
	}
}

func (p *presence) rise() {
	if p.up {
		return
	}
	p.up = true
	p.link.log.Debug("peer up", "peer", p.id.String(), "name", p.name, "epoch", p.epoch)
	if p.link.config.OnUp != nil {
		p.link.config.OnUp(p.id)
	}
}

func (p *presence) fall() {
	if !p.up {
		return
	}
	p.up = false
	p.link.log.Debug("peer down", "peer", p.id.String(), "name", p.name)
	if p.link.config.OnDown != nil {
		p.link.config.OnDown(p.id)
	}
}

// setName pins the peer's name; false if it had another one, or if Admit has
// learned since the handshake that it is another's id.
func (p *presence) setName(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.name == "" && p.link.admits(p.id, name) == nil {
		p.name = name
	}
	return p.name == name
}

// reconsider ends what belongs to a name that Admit refuses by now, and lets
// another one be pinned.
func (p *presence) reconsider() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.name == "" || p.link.admits(p.id, p.name) == nil {
		return
	}
	p.link.log.Warn("peer is not who it said", "peer", p.id.String(), "name", p.name)
	p.fall()
	p.name, p.epoch, p.held = "", 0, 0 // it spoke for nobody
	if p.out != nil {
		abort(p.out.conn)
		p.out = nil
	}
	if p.in != nil {
		p.in.retire()
		p.in = nil
	}
}

func (p *presence) about() (name string, up bool, position uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.name, p.up, p.held
}

// abort closes a connection under a lock: Close of a TLS connection waits up to 5 s
// until a peer that does not read has taken its farewell.
func abort(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	_ = conn.Close()
}
