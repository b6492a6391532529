package sim

import (
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
)

// request is an operation arriving at a machine.
func (w *World) request(e event) {
	n := w.nodes[e.slot]
	if !n.up {
		return
	}
	if n.pausedUntil > w.now {
		w.resume(n, e)
		return
	}
	if n.witness {
		w.clients.reply(e.op, int(e.a), reply{kind: replyRefused, hint: w.hintOf(n)})
		return
	}
	switch e.op.kind {
	case opLease:
		w.leaseRead(n, e.op, int(e.a))
	case opRead:
		w.put(n, input{kind: inRead, op: e.op, a: e.a})
	default:
		w.put(n, input{kind: inPropose, op: e.op, a: e.a})
	}
}

// propose hands a run of commands to the core, as one batch.
func (w *World) propose(n *node, inputs []input) {
	if n.store.Full() {
		w.sometimes.count(sawFullRefused)
		w.refuse(n, inputs)
		return
	}
	wall := n.wall + w.now/milli
	commands := make([][]byte, len(inputs))
	for i, in := range inputs {
		commands[i] = in.op.envelope(wall).Append(nil)
	}
	first, err := n.core.Propose(commands)
	if err != nil {
		w.refuse(n, inputs)
		return
	}
	term := n.core.Status().Term
	for i, in := range inputs {
		n.waiters = append(n.waiters, waiter{first + consensus.Index(i), term, in.op, int(in.a)})
	}
}

func (w *World) refuse(n *node, inputs []input) {
	hint := -1
	if leader := n.core.Status().Leader; leader != consensus.None {
		hint = slotOf(leader)
	}
	for _, in := range inputs {
		w.clients.reply(in.op, int(in.a), reply{kind: replyRefused, hint: hint})
	}
}

// envelope is how the operation stands in the log.
func (op *operation) envelope(now int64) replica.Envelope {
	e := replica.Envelope{
		Time: now, Session: op.session, Sequence: op.sequence, AckedBelow: op.acked, Request: op.request, Command: op.payload,
	}
	if e.Command == nil {
		e.Command = op.command.encode()
	}
	switch op.kind {
	case opRegister:
		e.Kind = replica.KindRegister
	case opClose:
		e.Kind = replica.KindClose
	case opKeepAlive:
		e.Kind = replica.KindKeepAlive
	case opSession:
		e.Kind = replica.KindSession
	case opRequest:
		e.Kind = replica.KindRequest
	default:
		e.Kind = replica.KindPlain
	}
	return e
}

// readIndex asks the core for an index at which the read may be answered.
func (w *World) readIndex(n *node, op *operation, attempt int) {
	n.readRef++
	if err := n.core.ReadIndex(n.readRef); err != nil {
		w.clients.reply(op, attempt, reply{kind: replyRefused, hint: -1})
		return
	}
	n.reads = append(n.reads, pendingRead{ref: n.readRef, op: op, attempt: attempt})
}

// endReadIndex takes the core's answer; the state machine may still be behind.
func (w *World) endReadIndex(n *node, r consensus.Read) {
	for i, p := range n.reads {
		if p.ref != r.Ref {
			continue
		}
		n.reads = append(n.reads[:i], n.reads[i+1:]...)
		if r.Err != nil {
			w.sometimes.count(sawReadRejected)
			w.clients.reply(p.op, p.attempt, reply{kind: replyRefused, hint: -1})
			return
		}
		p.index = r.Index
		n.ready = append(n.ready, p)
		w.answerReads(n)
		return
	}
	violated("R12", "replica %d answers read %d, which was not asked or is answered", n.id, r.Ref)
}

// answerReads answers the reads whose index the state machine has reached.
func (w *World) answerReads(n *node) {
	applied := consensus.Index(n.replica.Applied())
	rest := n.ready[:0]
	for _, p := range n.ready {
		if p.index > applied {
			rest = append(rest, p)
			continue
		}
		if n.core.Status().Role != consensus.Leader {
			w.sometimes.count(sawFollowerRead)
		}
		w.clients.reply(p.op, p.attempt, n.look(p.op))
	}
	n.ready = rest
}

// look reads the state machine as it is.
func (n *node) look(op *operation) reply {
	r := n.machine.answer(op)
	r.kind, r.index = replyValue, consensus.Index(n.replica.Applied())
	return r
}

// leaseRead evaluates a read on the state machine at once, on the reader's own
// thread. The lease is looked at after that: see endLeaseRead.
func (w *World) leaseRead(n *node, op *operation, attempt int) {
	if n.lease == 0 || consensus.Index(n.replica.Applied()) < n.leaseIndex {
		w.clients.reply(op, attempt, reply{kind: replyRefused, hint: w.hintOf(n)})
		return
	}
	seen := n.look(op)
	d := w.dice.roll(streamLeaseRead, n.slot)
	delay := d.between(0, 5*micro)
	if d.split().perMille(100) {
		delay = d.split().between(0, 300*milli) // the reader stands still at the worst place
	}
	w.agenda.add(w.now+delay, event{kind: evLeaseRead, slot: n.slot, life: n.life, op: op, a: uint64(attempt), reply: seen})
}

// endLeaseRead reads the clock: the answer counts only while the lease lasts.
func (w *World) endLeaseRead(n *node, op *operation, attempt uint64, seen reply) {
	if n.lease == 0 || n.clock.at(w.now) >= n.lease {
		w.sometimes.count(sawLeaseLost)
		w.clients.reply(op, int(attempt), reply{kind: replyRefused, hint: w.hintOf(n)})
		return
	}
	w.sometimes.count(sawLeaseRead)
	w.clients.reply(op, int(attempt), seen)
}

func (w *World) hintOf(n *node) int {
	if leader := n.core.Status().Leader; leader != consensus.None && leader != n.id {
		return slotOf(leader)
	}
	return -1
}

// believer implements scene.
func (w *World) believer(d draw, op *operation) int {
	first := d.below(len(w.nodes))
	for i := range w.nodes {
		n := w.nodes[(first+i)%len(w.nodes)]
		if n.up && (n.lease != 0 || op.kind == opRead && n.core.Status().Role == consensus.Leader) {
			return n.slot
		}
	}
	return op.slot
}

// anyone implements scene.
func (w *World) anyone(d draw) int {
	slot := d.below(len(w.nodes))
	for w.healed && !w.core[slot] {
		slot = (slot + 1) % len(w.nodes)
	}
	return slot
}
