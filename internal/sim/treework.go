package sim

import (
	"encoding/binary"
	"math"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/replica"
)

// treeWork is what the clients of a world with Plan.Tree do: they hold sessions in a
// coordination.Tree and show over connections that they live, queue for locks and act
// under them, watch, and change nodes, alone and in transactions.
type treeWork struct {
	*World
	oracle  *treeOracle
	people  []*treeClient
	guarded [treeLocks]guarded
	limits  coordination.Limits
	fastest int64 // of all clocks of machines, in parts per million
	jumps   int64 // how far clocks of machines have jumped, together
	longest int64 // timeout of any session
	running *errand
	system  *actor.ActorSystem // of all keepers: making one takes long
}

// treeClient is the process of one client.
type treeClient struct {
	*client
	life            uint32 // counts its processes
	pausedUntil     int64
	cutUntil        int64 // it reaches nobody before then
	timeout, linger int64 // of its sessions, in milliseconds
	session         *session
	connection      *connection
	lock            hold
	watch           coordination.Watch
	confirmed       int64  // when the last sign of life was
	seen            uint64 // the log index up to which its watch has been told everything
}

// session is what a client knows of its session.
type session struct {
	id  uint64
	key coordination.SessionKey
	// timeout and linger are those granted, in nanoseconds of a client that reckons
	// with the fastest clock of a leader.
	timeout, linger int64
	// until is up to when its client believes in it: a timeout from when the last
	// confirmed sign of life was sent, or a linger from when its connection closed.
	until       int64
	connections uint64
}

func newTreeWork(w *World) *treeWork {
	n := uint64(0)
	next := func() draw { n++; return w.dice.at(streamPlan, 3, n) }
	t := &treeWork{World: w, system: actors.NewSystem(nil)}
	t.limits = coordination.Limits{
		HistoryEvents: int(next().between(60, 1000)), Nodes: int(next().between(60, 400)), DeleteNodes: int(next().between(3, 20)),
	}
	t.oracle = newTreeOracle(t)
	for i := range w.weather.clients {
		x := &treeClient{timeout: next().between(1000, 3000), watch: coordination.Watch{Path: "/", Scope: coordination.OnTree}}
		x.linger = next().between(500, x.timeout)
		t.longest = max(t.longest, x.timeout*milli)
		if d := next(); d.perMille(600) {
			x.watch.Path = [...]string{"/d", "/lock", "/d/a", lockPath(0)}[d.split().below(4)]
			x.watch.Scope = coordination.Scope(d.split().split().below(3))
		}
		x.watch.Limit = [...]int{1, 3, 1000}[i%3]
		t.people = append(t.people, x)
	}
	w.clients.next = t.next
	return t
}

// begin is told when the machines are there.
func (t *treeWork) begin() {
	for _, n := range t.nodes {
		t.fastest = max(t.fastest, n.clock.ppm, million)
	}
	for i, x := range t.people {
		x.client = t.clients.list[i]
		t.hardship(x)
	}
}

// command is a change of the tree that a client asks for. done is told what came of it; ok
// is false if nobody knows whether it was done.
func (t *treeWork) command(x *treeClient, o coordination.Operation, done func(r coordination.Result, ok bool)) *operation {
	op := t.clients.operation(x.client, opRequest)
	op.payload = o.Append(binary.LittleEndian.AppendUint64(nil, op.number))
	op.then = func(r replica.Result, ok bool) {
		var result coordination.Result
		if ok {
			var err error
			if result, err = coordination.DecodeResult(r.Value); err != nil {
				violated("R5", "%v %d at %d is answered with %x: %v", op.kind, op.number, r.Index, r.Value, err)
			}
		}
		done(result, ok)
	}
	return op
}

// caller is a client as it shows itself.
func (x *treeClient) caller() coordination.Caller {
	return coordination.Caller{Session: x.session.id, Key: x.session.key}
}

// next implements callers.next.
func (t *treeWork) next(c *client) *operation {
	x := t.people[c.number]
	d := t.dice.roll(streamClient, c.number)
	switch {
	case x.session == nil:
		return t.open(x, d)
	case t.now >= x.session.until:
		t.lose(x)
		return nil
	}
	n := d.below(100)
	d = d.split()
	switch {
	case n < 45:
		return t.lockStep(x, d)
	case n < 60:
		return t.command(x, t.change(x, d), ignore)
	case n < 75:
		return t.command(x, t.transaction(x, d), ignore)
	case n < 90:
		return t.read(x, d)
	case n < 92:
		return t.end(x)
	case n < 94:
		return t.command(x, t.stolen(x, d), ignore)
	}
	return nil
}

func ignore(coordination.Result, bool) {}

// open opens a session. One whose opening nobody hears of ends by itself.
func (t *treeWork) open(x *treeClient, d draw) *operation {
	s := &session{}
	binary.LittleEndian.PutUint64(s.key[:], uint64(d.split()))
	binary.LittleEndian.PutUint64(s.key[8:], uint64(d.split().split()))
	sent := t.sign()
	o := coordination.Operation{
		Kind: coordination.OpenSession, Timeout: x.timeout, Linger: x.linger, Caller: coordination.Caller{Key: s.key},
	}
	return t.command(x, o, func(r coordination.Result, ok bool) {
		if !ok || r.Code != coordination.CodeOK {
			return
		}
		s.id = r.Session.ID
		s.timeout, s.linger = t.reckoned(r.Session.Timeout), t.reckoned(r.Session.Linger)
		x.session = s
		t.confirmed(s, sent)
		t.connect(x)
	})
}

// reckoned is a time of a leader's clock as a careful client counts it.
func (t *treeWork) reckoned(milliseconds int64) int64 {
	return milliseconds * milli * million / t.fastest
}

// end closes a session in good order. From here on its client does not count on it.
func (t *treeWork) end(x *treeClient) *operation {
	o := coordination.Operation{Kind: coordination.CloseSession, Caller: x.caller()}
	t.forget(x)
	return t.command(x, o, ignore)
}

// lose is a client that gives its session up.
func (t *treeWork) lose(x *treeClient) {
	t.trace("session   client %d gives up %d", x.number, x.session.id)
	t.sometimes.count(sawSessionLost)
	t.forget(x)
}

func (t *treeWork) forget(x *treeClient) {
	if x.connection != nil {
		t.hangUp(x.connection)
	}
	x.session.until = 0
	t.oracle.sessions[x.session.id].left = t.now
	x.session, x.lock = nil, hold{}
}

// read looks at a node, or at the children of one.
func (t *treeWork) read(x *treeClient, d draw) *operation {
	kind := opRead
	if t.has(Lease) && d.perMille(400) {
		kind = opLease
	}
	path := t.somePath(d.split())
	look, known := lookAtNode, &t.oracle.atNode
	if d = d.split(); d.perMille(500) {
		look, known = lookAtChildren, &t.oracle.below
	}
	op := t.clients.operation(x.client, kind)
	op.look = func(tree *coordination.Tree) any { return look(tree, path) }
	op.sees = func(r reply) {
		if want := known.at(path, r.index); want != r.seen.(uint64) {
			violated("R12", "client %d reads %s at %d and gets %x, the log says %x", x.number, path, r.index, r.seen, want)
		}
	}
	return op
}

// all is a limit for pages that nothing in a world reaches.
const all = math.MaxInt32

// lookAtNode sums up a node, 0 if there is none.
func lookAtNode(tree *coordination.Tree, path string) uint64 {
	n, err := tree.Get(path)
	if err != nil {
		return 0
	}
	return nodeSum(n.Stat.CreateIndex, n.Stat.Version, n.Data)
}

func nodeSum(created uint64, version int64, data []byte) uint64 {
	return mix(mix(created)^uint64(version)) ^ digest(data) | 1
}

// lookAtChildren sums up the children of a node, 0 if there is none.
func lookAtChildren(tree *coordination.Tree, path string) uint64 {
	page, err := tree.List(coordination.Listing{Path: path, Limit: all})
	if err != nil {
		return 0
	}
	sum := uint64(1)
	for _, n := range page.Nodes {
		sum = childSum(sum, n.Path, n.Stat.CreateIndex)
	}
	return sum
}

func childSum(sum uint64, path string, created uint64) uint64 {
	return mix(sum^digest([]byte(path))^mix(created)) | 1
}

// waiting says what has not come to be since the heal: every client has had a sign of life
// confirmed, and no session is there that nobody has shown for long.
func (t *treeWork) waiting() string {
	held := map[uint64]bool{}
	for _, x := range t.people {
		if x.confirmed < t.healedAt {
			return sprint("no sign of life of client %d is confirmed", x.number)
		}
		if x.session != nil {
			held[x.session.id] = true
		}
	}
	for _, s := range t.oracle.tree.SessionsAfter(0, all) {
		if silent := t.now - max(t.healedAt, t.oracle.sessions[s.ID].left); !held[s.ID] && silent > t.patience() {
			return sprint("session %d is still there, and nobody has shown it for %d ms", s.ID, silent/milli)
		}
	}
	return ""
}

// patience is how much longer a group with sessions may take to come back: a new leader
// gives all of them their whole timeout.
func (t *treeWork) patience() int64 { return 2*t.longest + 3*second }

// answer implements stateMachine.
func (m *treeMachine) answer(op *operation) reply { return reply{seen: op.look(m.Tree)} }

var _ stateMachine = (*treeMachine)(nil)

// treeMachine is a coordination.Tree as the state machine of one process. It tells the
// oracle of every command that it really carries out. A command is the number of the
// client's operation, in 8 bytes, and the tree's own.
type treeMachine struct {
	*coordination.Tree
	id     consensus.ID
	oracle *treeOracle
}

func (t *treeWork) newMachine(id consensus.ID) *treeMachine {
	return &treeMachine{t.newTree(), id, t.oracle}
}

func (t *treeWork) newTree() *coordination.Tree {
	tree, err := coordination.New(coordination.Config{Limits: t.limits})
	if err != nil {
		panic(err)
	}
	return tree
}

// Apply implements replica.StateMachine.
func (m *treeMachine) Apply(index uint64, now int64, data []byte) []byte {
	result := m.Tree.Apply(index, now, data[8:])
	m.oracle.executes(m, index, now, data, result)
	return result
}
