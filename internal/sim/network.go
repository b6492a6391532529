package sim

import (
	"github.com/synod-go/synod/consensus"
)

// network is the state of the links between machines.
type network struct {
	cut   [maxSlots][maxSlots]int   // how many partitions cut the way from, to
	clear [maxSlots][maxSlots]int64 // a clogged way is free again then
	last  [maxSlots][maxSlots]int64 // arrival of the newest message, to keep the order
}

// idStep is the distance between the IDs of the replicas a machine has had:
// machine 2 is replica 3, after its disk was lost 13, then 23.
const idStep = 10

func slotOf(id consensus.ID) int { return int(id-1) % idStep }

// send puts a message on its way.
func (w *World) send(n *node, e envelope) {
	to := slotOf(e.to)
	if to >= len(w.nodes) {
		return
	}
	w.oracle.leaves(n, e)
	w.fold(mix(w.engine.hash(e.message) ^ uint64(n.id)<<32 ^ uint64(e.to)))
	key := n.slot*maxSlots + to
	if w.lost(n.slot, to) {
		w.trace("lost      %v", shown{w.engine, n.id, e})
		return
	}
	if w.has(Corrupt) {
		if d := w.dice.roll(streamCorrupt, key); d.perMille(w.weather.corrupt) {
			m, ok := w.engine.damaged(e.message, d.split())
			if !ok {
				w.sometimes.count(sawCorruptFrame)
				return // the link's checksum finds it
			}
			e.message = m
		}
	}
	w.deliverAfter(n, to, e, w.delay(n.slot, to))
	if w.has(Duplicate) && w.dice.roll(streamDuplicate, key).perMille(w.weather.duplicate) {
		w.deliverAfter(n, to, e, w.delay(n.slot, to))
	}
}

// delay is how long the next message of a link takes.
func (c *course) delay(from, to int) int64 {
	d := c.dice.roll(streamDelay, from*maxSlots+to)
	t := 30*micro + d.around(c.weather.delay/4)
	if c.has(Delay) {
		t = d.around(4*c.weather.delay) + 30*micro
		if d = d.split(); d.perMille(c.weather.clog) {
			t += d.split().between(0, 5*second)
		}
	}
	return t
}

// arrival is when a message arrives that takes so long: without Reorder not
// before one that left earlier.
func (c *course) arrival(from, to int, delay int64) int64 {
	at := max(c.now+delay, c.net.clear[from][to])
	if !c.has(Reorder) {
		at = max(at, c.net.last[from][to])
		c.net.last[from][to] = at
	}
	return at
}

// lost reports whether the next message of a link never arrives.
func (c *course) lost(from, to int) bool {
	return c.net.cut[from][to] > 0 || c.has(Loss) && c.dice.roll(streamLoss, from*maxSlots+to).perMille(c.weather.loss)
}

func (w *World) deliverAfter(n *node, to int, e envelope, delay int64) {
	w.agenda.add(w.arrival(n.slot, to, delay), event{kind: evDeliver, slot: to, from: n.id, to: e.to, msg: e.message, a: bit01(w.healed)})
}

// deliver hands a message to the replica it is meant for, if that one lives.
func (w *World) deliver(e event) {
	n := w.nodes[e.slot]
	if w.healed && e.a == 0 {
		return // what was under way at the heal could bring a configuration that the core was not chosen for
	}
	if !n.up || n.id != e.to || w.net.cut[slotOf(e.from)][e.slot] > 0 {
		return
	}
	w.put(n, input{kind: inMessage, from: e.from, msg: e.msg})
}

func bit01(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// The shapes of a partition.
const (
	shapeIsolate  = iota // one machine alone
	shapeHalves          // two sides
	shapeRing            // each machine sees its neighbours only: majorities overlap
	shapeOneWay          // one machine is heard and does not hear, or the reverse
	shapeFlapping        // one link, for a short time
	shapeSwizzle         // a random set is cut one by one and healed in another order
	shapes
)

// way is a direction between two machines.
type way struct{ from, to int }

// partition cuts ways by a random shape for a random time.
func (w *World) partition(d draw) {
	shape := d.below(shapes)
	d = d.split()
	last := d.around(w.weather.pause) + 10*milli
	if shape == shapeSwizzle {
		w.swizzle(d.split(), last)
		return
	}
	ways := cutShape(shape, len(w.nodes), d.split(), func(slot int) int { return w.leader(w.nodes[slot]).slot })
	w.trace("partition shape %d: %d ways for %d ms", shape, len(ways), last/milli)
	w.cutWays(ways, w.now+last)
}

// cutShape are the ways that a shape cuts between so many machines. leader is
// the machine that leads, or else the given one.
func cutShape(shape, machines int, d draw, leader func(int) int) (ways []way) {
	one := d.below(machines)
	side := d.split()
	if side.split().perMille(500) {
		one = leader(one)
	}
	for a := range machines {
		for b := range machines {
			var cut bool
			switch shape {
			case shapeIsolate:
				cut = a == one || b == one
			case shapeHalves:
				cut = side>>a&1 != side>>b&1
			case shapeRing:
				distance := (a - b + machines) % machines
				cut = distance != 1 && distance != machines-1
			case shapeOneWay:
				cut = side&1 == 0 && a == one || side&1 == 1 && b == one
			case shapeFlapping:
				cut = a == one && b == side.below(machines)
			}
			if cut && a != b {
				ways = append(ways, way{a, b})
			}
		}
	}
	return ways
}

// swizzle cuts machines off one after the other and heals them in another
// order, the pattern that FoundationDB reports to find most.
func (w *World) swizzle(d draw, last int64) {
	for slot := range w.nodes {
		if d = d.split(); d.perMille(500) {
			continue
		}
		var ways []way
		for other := range w.nodes {
			if other != slot {
				ways = append(ways, way{slot, other}, way{other, slot})
			}
		}
		w.cutWays(ways, w.now+last/2+d.split().between(0, last))
	}
}

// cutWays cuts until a moment, and tells both ends that the connection is gone
// as a link would: sooner or later, and not always.
func (w *World) cutWays(ways []way, until int64) {
	if w.healed {
		return
	}
	for _, c := range ways {
		w.net.cut[c.from][c.to]++
		w.agenda.add(until, event{kind: evHeal, slot: c.from, a: uint64(c.to)})
		if d := w.dice.roll(streamFault, c.from); d.perMille(500) {
			w.hint(w.nodes[c.to], w.nodes[c.from].id)
		}
	}
}

// heal ends one cut.
func (w *World) heal(from, to int) {
	if w.net.cut[from][to] > 0 {
		w.net.cut[from][to]--
	}
}

// hint tells a replica that its connection to a peer closed.
func (w *World) hint(n *node, peer consensus.ID) {
	if n.up && n.id != peer {
		w.put(n, input{kind: inPeerLost, from: peer})
	}
}
