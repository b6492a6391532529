package coordination

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Tree is the replicated tree of nodes. It is a state machine for package
// replica. It does no locking: Apply, Snapshot and Restore must not run at the
// same time as each other or as any other method; queries may run at the same
// time as queries. Under replica.View that is so.
type Tree struct {
	limits  Limits
	root    *node
	nodes   map[string]*node // by path
	epoch   uint64           // counts snapshots
	bytes   int64
	applied uint64
	digest  uint64 // the sum of the nodes' and the sessions' shares
	history history
	notify  func(index uint64)

	sessions sessions
	claimed  uint64            // index of the last ClaimSessions
	ttls     ttls              // what is to be reaped
	all      usage             // of the root, with or without a quota
	quotas   map[string]*usage // by path of the node that has one
	shared   map[string]*rules // by encoding

	sharedBytes int // of shared: see maxShared
}

// New returns a tree that has only a root.
func New(c Config) (*Tree, error) {
	c = c.withDefaults()
	if err := c.Limits.check(); err != nil {
		return nil, err
	}
	return newTree(c.Limits), nil
}

func newTree(l Limits) *Tree {
	t := &Tree{limits: l, root: newNode(Root, "", 0, 0, 0), nodes: make(map[string]*node),
		ttls: ttls{byPath: make(map[string]*ttl)}, quotas: make(map[string]*usage), shared: make(map[string]*rules)}
	t.enter(t.root)
	return t
}

// Notify sets the function that Apply and Restore call, after they have changed
// the tree, with the index. It runs inside Apply: it must not block and must not
// call the tree. A typical one wakes a goroutine that then calls
// [Tree.EventsSince]. Set it before the tree is in use.
func (t *Tree) Notify(f func(index uint64)) { t.notify = f }

// Apply carries out an encoded [Operation] and returns an encoded [Result]. now
// is log time in Unix milliseconds. It keeps no part of command.
func (t *Tree) Apply(index uint64, now int64, command []byte) []byte {
	r := t.apply(index, now, command)
	r.Index = index
	t.applied = index
	if r.Code == CodeOK {
		t.history.trim(t.limits)
		if t.notify != nil {
			t.notify(index)
		}
	}
	return r.appendTo(make([]byte, 0, 64))
}

func (t *Tree) apply(index uint64, now int64, command []byte) Result {
	var o Operation
	path, ok := decodeOperation(command, &o)
	if !ok {
		return Result{Code: CodeMalformed}
	}
	if code := t.admit(&o.Caller); code != CodeOK {
		return Result{Code: code}
	}
	c := change{tree: t, index: index, now: now, caller: o.Caller}
	switch {
	case o.Kind == Multi:
		return c.transact(o.Operations)
	case o.Kind >= OpenSession:
		return c.sessionOperation(&o)
	}
	n := t.nodes[string(path)]
	if n != nil {
		o.Path = n.path
	} else {
		o.Path = string(path)
	}
	return c.one(&o, n)
}

// one carries out an operation on one node, n, which is nil if there is none.
func (c *change) one(o *Operation, n *node) Result {
	if o.Kind == Create {
		return c.create(o)
	}
	if n == nil && CheckPath(o.Path) != nil {
		return Result{Code: CodeInvalidPath}
	}
	switch o.Kind {
	case Put:
		return c.put(o, n)
	case Delete:
		return c.delete(o, n)
	case Check:
		return c.check(o, n)
	case SetACL:
		return c.setACL(o, n)
	default:
		return c.setQuota(o, n)
	}
}

// own returns the node, or a clone of it, that may be changed: one that no
// snapshot shares.
func (t *Tree) own(n *node) *node {
	if n.epoch == t.epoch {
		return n
	}
	c := n.clone(t.epoch)
	t.nodes[n.path] = c
	if n == t.root {
		t.root = c
		return c
	}
	parent, _ := split(n.path)
	t.own(t.nodes[parent]).children.replace(c, t.epoch)
	return c
}

// account brings the tree's digest, and when to reap, up to date with a node that
// has changed.
func (t *Tree) account(n *node) {
	t.digest -= n.sum
	n.sum = n.digest()
	t.digest += n.sum
	if n.stat.Owner >= TTLOwner {
		t.ttls.set(n)
	}
}

// enter adds n to everything but its parent's children.
func (t *Tree) enter(n *node) {
	t.nodes[n.path] = n
	t.bytes += n.size()
	if n.ephemeral() {
		t.sessions.get(n.stat.Owner).own(n.path)
	}
	n.sum = 0
	t.account(n)
	if n.rules.quota() {
		t.quotas[n.path] = &usage{}
	}
	t.use(n.path, 1, int64(len(n.data)))
}

// leave is the opposite of enter. Everything below n has left.
func (t *Tree) leave(n *node) {
	t.use(n.path, -1, -int64(len(n.data)))
	delete(t.nodes, n.path)
	t.bytes -= n.size()
	t.digest -= n.sum
	switch {
	case n.stat.Owner == 0:
	case n.stat.Owner >= TTLOwner:
		t.ttls.drop(n.path)
	case n.ephemeral():
		t.sessions.get(n.stat.Owner).disown(n.path)
	}
	if n.rules.quota() {
		delete(t.quotas, n.path)
	}
}

func (n *node) digest() uint64 {
	s := &n.stat
	d := mix(uint64(n.pathSum)<<32|uint64(n.dataSum), uint64(len(n.data)))
	for _, v := range [...]uint64{s.CreateIndex, s.ModifyIndex, s.ChildrenIndex, uint64(s.CreateTime),
		uint64(s.ModifyTime), uint64(s.Version), s.ChildrenCreated, s.Owner, uint64(n.children.count)} {
		d = mix(d, v)
	}
	if n.rules != nil {
		d = mix(d, uint64(n.rules.sum)<<32|uint64(n.rules.bytes))
	}
	return d
}

// Digest sums up the state: trees with equal digests are, as good as certainly,
// equal. It is kept up to date by Apply and costs nothing to ask for.
func (t *Tree) Digest() uint64 {
	h := &t.history
	d := t.digest
	for _, v := range [...]uint64{t.applied, h.floor, h.last, h.total, uint64(h.count), t.claimed} {
		d = mix(d, v)
	}
	for _, v := range t.limits.values() {
		d = mix(d, uint64(v))
	}
	return d
}

// mix folds x into d so that each bit of both reaches each bit of the outcome
// (the finalizer of MurmurHash3).
func mix(d, x uint64) uint64 {
	d = d*0x9e3779b97f4a7c15 + x
	d = (d ^ d>>33) * 0xff51afd7ed558ccd
	d = (d ^ d>>33) * 0xc4ceb9fe1a85ec53
	return d ^ d>>33
}

// Status is what a tree looks like from outside.
type Status struct {
	// Nodes is how many there are, with the root, and Bytes what they count.
	Nodes int
	Bytes int64
	// Sessions is how many are open, and Quotas how many nodes have one.
	Sessions, Quotas int
	// Events is how many events are kept, and EventBytes what they count.
	Events     int
	EventBytes int64
	// LastIndex and OldestIndex are as the methods say.
	LastIndex, OldestIndex uint64
	// Limits are those in force.
	Limits Limits
}

// Status returns the tree's figures.
func (t *Tree) Status() Status {
	return Status{Nodes: len(t.nodes), Bytes: t.bytes, Sessions: t.sessions.count,
		Quotas: len(t.quotas), Events: t.history.count, EventBytes: t.history.bytes,
		LastIndex: t.history.last, OldestIndex: t.history.floor, Limits: t.limits}
}
