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
	digest  uint64 // the sum of the nodes' shares
	history history
	notify  func(index uint64)
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
	t := &Tree{limits: l, root: newNode(Root, "", 0, 0, 0), nodes: make(map[string]*node)}
	t.nodes[Root] = t.root
	t.bytes = t.root.size()
	t.account(t.root)
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
	o, path, ok := decodeOperation(command)
	if !ok {
		return Result{Code: CodeMalformed}
	}
	n := t.nodes[string(path)]
	if n == nil {
		o.Path = string(path)
		if CheckPath(o.Path) != nil {
			return Result{Code: CodeInvalidPath}
		}
	}
	c := change{tree: t, index: index, now: now}
	if o.Kind == Put {
		return c.put(o, n)
	}
	return c.delete(o, n)
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

// account brings the tree's digest up to date with a node that has changed.
func (t *Tree) account(n *node) {
	t.digest -= n.sum
	n.sum = n.digest()
	t.digest += n.sum
}

func (n *node) digest() uint64 {
	s := &n.stat
	d := mix(uint64(n.pathSum)<<32|uint64(n.dataSum), uint64(len(n.data)))
	for _, v := range [...]uint64{s.CreateIndex, s.ModifyIndex, s.ChildrenIndex, uint64(s.CreateTime),
		uint64(s.ModifyTime), uint64(s.Version), s.ChildrenCreated, s.Owner, uint64(n.children.count)} {
		d = mix(d, v)
	}
	return d
}

// Digest sums up the state: trees with equal digests are, as good as certainly,
// equal. It is kept up to date by Apply and costs nothing to ask for.
func (t *Tree) Digest() uint64 {
	h := &t.history
	d := t.digest
	for _, v := range [...]uint64{t.applied, h.floor, h.last, h.total, uint64(h.count)} {
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
	return Status{Nodes: len(t.nodes), Bytes: t.bytes, Events: t.history.count, EventBytes: t.history.bytes,
		LastIndex: t.history.last, OldestIndex: t.history.floor, Limits: t.limits}
}
