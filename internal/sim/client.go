package sim

import (
	"encoding/binary"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/replica"
)

// operationKind is what a client asks for.
type operationKind uint8

const (
	opRegister operationKind = iota // opens a session
	opClose
	opKeepAlive
	opSession // a command of the session, repeated until answered
	opRequest // a command with a request id, repeated likewise
	opPlain   // a command that is never repeated
	opRead    // linearizable, on any replica
	opLease   // by the leader's lease
)

var operationNames = [...]string{"register", "close", "keep-alive", "session", "request", "plain", "read", "lease-read"}

func (k operationKind) String() string { return operationNames[k] }

// operation is one call of a client, with all its attempts.
type operation struct {
	number   uint64
	client   int
	kind     operationKind
	command  command
	session  uint64
	sequence uint64
	acked    uint64
	request  replica.RequestID
	key      byte // of a read

	// With Plan.Tree: the encoded command, what becomes of its result (ok is false if it
	// was given up, with or without an effect), what a read looks at and what becomes of that.
	payload []byte
	then    func(r replica.Result, ok bool)
	look    func(t *coordination.Tree) any
	sees    func(r reply)
	local   func(r reply) // the caller is in the process itself, and hears at once

	called  int64
	floor   consensus.Index // the highest index of any operation that had returned before
	attempt int
	slot    int  // where the present attempt went
	sure    bool // no attempt so far can have had an effect
	refused bool // the last attempt was, and a hint may have come with it
	done    bool
}

// client is one caller with at most one operation under way.
type client struct {
	number   int
	session  uint64
	sequence uint64 // of the last command
	current  *operation
	hint     int // the slot that led last
	lastEnd  int64
	script   script
}

type replyKind uint8

const (
	replyDone         replyKind = iota // the entry was applied; result tells how
	replyValue                         // a read: value at index
	replyRefused                       // not the leader, or overloaded: nothing was done
	replyNotCommitted                  // surely not done
)

type reply struct {
	kind   replyKind
	hint   int
	result replica.Result
	value  uint64
	seen   any // what a look found
	index  consensus.Index
}

// callers are the clients of a world.
type callers struct {
	scene
	*course
	model      *model
	list       []*client
	operations uint64                     // so far
	next       func(c *client) *operation // nil: writes and reads of registers. It may have nothing to do
}

// scene is what clients have to do with in a world.
type scene interface {
	// schedule adds an event of a client, or the arrival of its request.
	schedule(at int64, e event)
	// anyone is a machine to try: after the heal one that is sure to be there,
	// since a client would sooner or later find out.
	anyone(d draw) int
	// believer is a machine that believes to lead, or to hold a lease: a client
	// that does not know better asks a deposed leader as well.
	believer(d draw, op *operation) int
}

// begin lets the first clients come.
func (w *callers) begin() {
	for i := range w.weather.clients {
		w.list = append(w.list, &client{number: i})
		w.schedule(int64(i)*milli, event{kind: evClient, a: uint64(i)})
	}
}

// waiting names a client that still waits for what it asked before the heal, or
// has finished nothing since.
func (w *callers) waiting() string {
	for _, c := range w.list {
		if c.current != nil && c.current.called < w.healedAt {
			return sprint("client %d still waits for %v %d", c.number, c.current.kind, c.current.number)
		}
		if c.lastEnd <= w.healedAt {
			return sprint("client %d has finished nothing", c.number)
		}
	}
	return ""
}

// event is what happens at a client: it thinks of something new to do, a
// reply comes, or none came in time.
func (w *callers) event(e event) {
	if e.kind == evClient {
		if c := w.list[e.a]; c.current == nil {
			w.thinkOf(c)
		}
		return
	}
	op := e.op
	c := w.list[op.client]
	if c.current != op || op.done {
		return
	}
	if e.kind == evReply {
		w.replied(c, op, int(e.a), e.reply)
	} else if op.attempt == int(e.a) {
		if !op.refused {
			c.hint = w.anyone(w.dice.roll(streamClient, c.number))
		}
		w.again(c, op)
	}
}

// thinkOf lets a client begin something.
func (w *callers) thinkOf(c *client) {
	if c.current = w.newOperation(c); c.current == nil {
		w.rest(c)
		return
	}
	w.stats.Operations++
	w.attempt(c)
}

func (w *callers) newOperation(c *client) *operation {
	if w.plan.Script {
		return w.scripted(c)
	}
	if w.next != nil {
		return w.next(c)
	}
	d := w.dice.roll(streamClient, c.number)
	op := w.operation(c, w.chooseKind(c, d))
	d = d.split().split()
	op.key = byte(d.below(keys))
	op.command = command{kind: commandWrite, key: op.key, operation: op.number, value: op.number}
	if d = d.split(); d.perMille(300) {
		op.command.kind = commandSwap
		op.command.expected = w.model.guess(op.key, d.split())
	}
	switch op.kind {
	case opSession:
		c.sequence++
		op.sequence = c.sequence
		op.acked = op.sequence // the replies to all before; a client may be slow to say so
		if d = d.split(); d.perMille(500) {
			op.acked -= min(op.acked, uint64(d.split().below(5)))
		}
	case opKeepAlive:
		op.acked = c.sequence + 1
	}
	op.session = c.session
	return op
}

// operation is a new one of a kind, with nothing in it.
func (w *callers) operation(c *client, kind operationKind) *operation {
	w.operations++
	op := &operation{number: w.operations, client: c.number, called: w.now, floor: w.model.returned, kind: kind}
	if kind == opRequest {
		var random [10]byte
		binary.LittleEndian.PutUint64(random[:], op.number)
		op.request = replica.NewRequestID(w.now/milli+1_700_000_000_000, random)
	}
	return op
}

func (w *callers) chooseKind(c *client, d draw) operationKind {
	n := d.below(100)
	switch {
	case n < 20:
		return opRead
	case n < 45 && w.has(Lease):
		return opLease
	case n < 48:
		return opPlain
	case n < 60:
		return opRequest
	case c.session == 0:
		return opRegister
	case n < 62:
		return opClose
	case n < 65:
		return opKeepAlive
	}
	return opSession
}

// attempt sends the operation to some replica and sets a time limit.
func (w *callers) attempt(c *client) {
	op := c.current
	op.attempt++
	op.sure, op.refused = false, false
	d := w.dice.roll(streamClientNet, c.number)
	op.slot = c.hint
	restless := c.number == 0 && w.has(Lease) // is the first to find a new leader, and to ask the old one
	patience := w.weather.patience
	if restless {
		patience = min(patience, 40*milli)
	}
	if restless || op.kind == opRead && op.attempt == 1 || d.perMille(50) {
		op.slot = w.anyone(d.split())
	}
	if op.kind >= opRead && (restless || d.split().perMille(500)) {
		op.slot = w.believer(d.split().split(), op)
	}
	d = d.split().split()
	if w.has(Impatience) && d.perMille(100) {
		patience = d.split().between(0, 20*milli)
	}
	w.schedule(w.now+patience, event{kind: evTimeout, op: op, a: uint64(op.attempt)})
	d = d.split()
	if w.has(Loss) && d.perMille(w.weather.loss/4) {
		return
	}
	w.schedule(w.now+w.clientDelay(d.split()), event{kind: evRequest, slot: op.slot, op: op, a: uint64(op.attempt)})
	if w.has(Duplicate) && op.kind != opPlain && d.split().perMille(w.weather.duplicate/8) {
		late := w.clientDelay(d.split().split()) + d.split().around(100*milli)
		w.schedule(w.now+late, event{kind: evRequest, slot: op.slot, op: op, a: uint64(op.attempt)})
	}
}

func (w *callers) clientDelay(d draw) int64 { return 20*micro + d.around(w.weather.delay/4) }

// reply sends a reply to the client of op.
func (w *callers) reply(op *operation, attempt int, r reply) {
	if op.local != nil {
		op.local(r)
		return
	}
	d := w.dice.roll(streamClientNet, maxClients+op.client)
	if w.has(Loss) && d.perMille(w.weather.loss/4) {
		return
	}
	w.schedule(w.now+w.clientDelay(d.split()), event{kind: evReply, op: op, a: uint64(attempt), reply: r})
}

// again repeats an operation that had no answer, or gives it up. Only what a
// session or a request id protects may be repeated.
func (w *callers) again(c *client, op *operation) {
	d := w.dice.roll(streamClient, c.number)
	repeatable := op.kind != opPlain || op.sure
	switch {
	case w.plan.Script:
		w.repeat(c, op)
	case !repeatable, !w.healed && op.attempt > 16, w.has(Impatience) && d.perMille(100):
		w.stats.Unknown++
		if op.kind == opSession && d.split().perMille(500) {
			c.session = 0 // a new session, the old one is left to expire
		}
		if op.then != nil {
			op.then(replica.Result{}, false)
		}
		w.end(c, op)
	default:
		w.repeat(c, op)
	}
}

func (w *callers) repeat(c *client, op *operation) {
	if op.kind == opLease && op.attempt > 6 {
		op.kind = opRead // as the facade does: a leader need not have a lease
	}
	w.attempt(c)
}

// end lets the client think about what to do next.
func (w *callers) end(c *client, op *operation) {
	op.done = true
	c.current = nil
	c.lastEnd = w.now
	w.rest(c)
}

// rest lets the client be for a while.
func (w *callers) rest(c *client) {
	d := w.dice.roll(streamClient, c.number)
	think := d.around(w.weather.think)
	if w.healed {
		think += 20 * milli
	}
	w.schedule(w.now+think, event{kind: evClient, a: uint64(c.number)})
}

// replied takes a reply; one to an earlier attempt of the same operation counts
// as well.
func (w *callers) replied(c *client, op *operation, attempt int, r reply) {
	switch r.kind {
	case replyRefused:
		if attempt != op.attempt {
			return
		}
		c.hint = w.anyone(w.dice.roll(streamClient, c.number))
		if r.hint >= 0 {
			c.hint = r.hint
		}
		op.attempt++ // the time limit of this attempt no longer counts
		op.sure, op.refused = op.kind == opPlain, true
		w.schedule(w.now+20*milli, event{kind: evTimeout, op: op, a: uint64(op.attempt)})
	case replyNotCommitted:
		if attempt == op.attempt {
			op.sure = op.kind == opPlain
			w.again(c, op)
		}
	case replyValue:
		w.model.readReturns(op, r)
		if op.sees != nil {
			op.sees(r)
		}
		c.script.hears(op, "%d", r.value)
		w.stats.Reads++
		w.end(c, op)
	case replyDone:
		w.commandReplied(c, op, r.result)
	}
}

// commandReplied takes the result of an applied entry.
func (w *callers) commandReplied(c *client, op *operation, r replica.Result) {
	c.hint = op.slot
	w.model.commandReturns(op, r)
	c.script.hears(op, "%x", r.Value)
	if op.then != nil {
		op.then(r, r.Code == replica.CodeApplied || r.Code == replica.CodeDuplicate)
	}
	switch r.Code {
	case replica.CodeSessionExpired, replica.CodeRequestExpired:
		w.sometimes.count(sawExpired)
	case replica.CodeDuplicate:
		w.sometimes.count(sawDuplicate)
	}
	switch {
	case op.kind == opRegister && r.Code == replica.CodeApplied:
		c.session, c.sequence = r.Index, 0
	case op.kind == opClose, r.Code == replica.CodeSessionExpired:
		c.session = 0
	}
	w.end(c, op)
}
