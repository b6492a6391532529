package sim

import (
	"github.com/synod-go/synod/coordination"
)

// connection is one that a client has made for its session, to one process. What is sent
// either way keeps its order, and comes late while the client is cut off.
type connection struct {
	of      *treeClient
	session *session
	number  uint64
	slot    int
	life    uint32 // of the process at the other end, once it has been reached
	// What is on its way, there and back, in order, and when the last of it arrives.
	there, back     []func()
	thereAt, backAt int64

	silent bool // a sign of life waits for its answer

	// at the process
	told uint64 // the log index up to which the watch has been told
}

// sign is when a sign of life was sent.
type sign struct {
	sent  int64
	jumps int64 // treeWork.jumps then
}

func (t *treeWork) sign() sign { return sign{t.now, t.jumps} }

// confirmed lets a client count on its session again, if the oracle knows nothing else.
func (t *treeWork) confirmed(s *session, g sign) {
	s.until = max(s.until, g.sent+s.timeout-(t.jumps-g.jumps))
	if over := t.oracle.sessions[s.id].over; over != 0 && over < s.until {
		violated("C2", "session %d is confirmed until %d ms, it was over at %d ms", s.id, s.until/milli, over/milli)
	}
}

// jumped is told that a machine's clock has jumped forward: what it counts is over sooner.
func (t *treeWork) jumped(by int64) {
	t.jumps += by
	for _, x := range t.people {
		if x.session != nil {
			x.session.until -= by
		}
	}
}

// connect makes a new connection to any node. With it comes a sign of life.
func (t *treeWork) connect(x *treeClient) {
	x.session.connections++
	d := t.dice.roll(streamClientNet, x.number)
	c := &connection{of: x, session: x.session, number: x.session.connections, slot: t.anyone(d)}
	x.connection = c
	seen := x.seen
	t.toNode(c, func(h *treeHost) { h.attach(c, seen) })
	t.beat(c)
}

// beat sends signs of life, a third of a timeout apart, as long as the client counts on its
// session. One that was not answered meanwhile may make it try another node, which it also
// does for no reason.
func (t *treeWork) beat(c *connection) {
	x := c.of
	if x.connection != c {
		return
	}
	if t.now >= c.session.until {
		t.lose(x)
		return
	}
	if d := t.dice.roll(streamClientNet, x.number); c.silent && d.perMille(500) || d.split().perMille(50) {
		t.hangUp(c)
		t.connect(x)
		return
	}
	c.silent = true
	g := t.sign()
	t.toNode(c, func(h *treeHost) { h.touch(c, g) })
	t.later(x, t.now+c.session.timeout/3, func() { t.beat(c) })
}

// answered is what a node tells of a sign of life.
func (t *treeWork) answered(c *connection, g sign, s coordination.Sign) {
	x := c.of
	switch s {
	case coordination.Alive:
		c.silent = false
		x.confirmed = t.now
		t.sometimes.count(sawSessionConfirmed)
		t.confirmed(c.session, g)
	case coordination.Moved:
		violated("C2", "connection %d of session %d is said to have moved, there is no later one", c.number, c.session.id)
	case coordination.Over:
		if t.now < c.session.until {
			violated("C2", "session %d is said to be over, its client can count on it for %d ms", c.session.id, (c.session.until-t.now)/milli)
		}
		t.lose(x)
	}
}

// hangUp closes a connection at the client's side: from here on the session has a linger,
// until it is confirmed over another one.
func (t *treeWork) hangUp(c *connection) {
	c.of.connection = nil
	c.session.until = min(c.session.until, t.now+c.session.linger)
	t.toNode(c, func(h *treeHost) { h.gone(c) })
}

// broken is a client that sees its connection closed from the other side. The node may have
// seen the same.
func (t *treeWork) broken(c *connection) {
	if x := c.of; x.connection == c {
		t.hangUp(c)
		t.connect(x)
	}
}

// toNode does something at the process at the other end of a connection.
func (t *treeWork) toNode(c *connection, f func(h *treeHost)) {
	x := c.of
	d := t.dice.roll(streamClientNet, x.number)
	c.thereAt = max(t.now+t.clients.clientDelay(d), x.cutUntil+t.clients.clientDelay(d), c.thereAt)
	c.there = append(c.there, func() { f(t.nodes[c.slot].tree) })
	t.agenda.add(c.thereAt, event{kind: evOutside, slot: c.slot, run: func() { t.arrive(c) }})
}

// arrive is the next message arriving at the process, when it does not stand still.
func (t *treeWork) arrive(c *connection) {
	n := t.nodes[c.slot]
	if n.up && n.pausedUntil > t.now {
		t.agenda.add(n.pausedUntil, event{kind: evOutside, slot: c.slot, run: func() { t.arrive(c) }})
		return
	}
	f := c.there[0]
	c.there = c.there[1:]
	if !n.up || n.tree == nil || c.life != 0 && c.life != n.life {
		t.toClient(c, func() { t.broken(c) })
		return
	}
	c.life = n.life
	f()
}

// toClient does something at the client, if it still has the connection then.
func (t *treeWork) toClient(c *connection, f func()) {
	x := c.of
	d := t.dice.roll(streamClientNet, maxClients+x.number)
	c.backAt = max(t.now+t.clients.clientDelay(d), x.cutUntil+t.clients.clientDelay(d), c.backAt)
	c.back = append(c.back, f)
	t.later(x, c.backAt, func() {
		f := c.back[0]
		c.back = c.back[1:]
		if x.connection == c {
			f()
		}
	})
}

// later does something at a client, if it has not died by then, and when it goes on if it
// stands still.
func (t *treeWork) later(x *treeClient, at int64, f func()) {
	life := x.life
	t.agenda.add(at, event{kind: evOutside, slot: x.number, run: func() {
		switch {
		case x.life != life:
		case x.pausedUntil > t.now:
			t.later(x, x.pausedUntil, f)
		default:
			f()
		}
	}})
}

// putsOff puts off what would happen at a client that stands still.
func (t *treeWork) putsOff(e event) bool {
	number := int(e.a)
	if e.op != nil {
		number = e.op.client
	}
	x := t.people[number]
	if x.pausedUntil <= t.now {
		return false
	}
	t.agenda.add(x.pausedUntil+t.dice.roll(streamWake, maxSlots+number).between(0, 50*micro), e)
	return true
}

// hardship makes life hard for a client now and then: its process stands still or dies, or
// it is cut off from all nodes.
func (t *treeWork) hardship(x *treeClient) {
	d := t.dice.roll(streamClient, 2*maxClients+x.number)
	t.agenda.add(t.now+d.around(3*second)+100*milli, event{kind: evOutside, slot: x.number, run: func() {
		if t.healed {
			return
		}
		d := d.split()
		last := d.split().around(2*t.longest/3) + 10*milli
		switch kind := d.below(3); {
		case kind == 0 && t.has(Pause):
			x.pausedUntil = max(x.pausedUntil, t.now+last)
			t.trace("client    %d stands still for %d ms", x.number, last/milli)
		case kind == 1 && t.has(Partition):
			x.cutUntil = max(x.cutUntil, t.now+last)
			t.trace("client    %d is cut off for %d ms", x.number, last/milli)
		case kind == 2 && t.has(Crash):
			t.kill(x, d.split().split())
		}
		t.hardship(x)
	}})
}

// burdened is up to when some client stands still or is cut off.
func (t *treeWork) burdened() (until int64) {
	for _, x := range t.people {
		until = max(until, x.pausedUntil, x.cutUntil)
	}
	return until
}

// kill ends a client's process. Mostly its connection is closed then; its session is left.
func (t *treeWork) kill(x *treeClient, d draw) {
	t.trace("client    %d dies", x.number)
	x.life++
	x.pausedUntil = 0
	if x.session != nil {
		t.oracle.sessions[x.session.id].left = t.now
	}
	c := x.connection
	x.connection, x.session, x.lock = nil, nil, hold{}
	if c != nil && d.perMille(700) {
		t.toNode(c, func(h *treeHost) { h.gone(c) })
	}
	if op := x.current; op != nil {
		op.done = true
		x.current = nil
		t.clients.rest(x.client)
	}
}

// watched is what a node tells of a watch: everything after the index from and up to next.
func (t *treeWork) watched(x *treeClient, from uint64, page coordination.Events) {
	if from != x.seen {
		violated("C6", "client %d is told of what follows index %d, it was told up to %d", x.number, from, x.seen)
	}
	want := t.oracle.between(from, page.Next, x.watch)
	if len(want) != len(page.Events) {
		violated("C6", "client %d is told of %d events in (%d, %d], there were %d", x.number, len(page.Events), from, page.Next, len(want))
	}
	for i, e := range page.Events {
		if w := want[i]; w.Kind != e.Kind || w.Index != e.Index || w.Path != e.Path || w.Version != e.Version || string(w.Data) != string(e.Data) {
			violated("C6", "client %d is told of %+v, there was %+v", x.number, e, w)
		}
	}
	t.sometimes.count(sawWatched)
	x.seen = page.Next
}
