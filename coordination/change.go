package coordination

import "hash/crc32"

// change is one operation on its way through the tree. It first checks all and
// only then changes anything: a refused operation leaves no trace. Those of a Multi
// note down how to take back what they do.
type change struct {
	tree    *Tree
	index   uint64
	now     int64
	caller  Caller
	changed uint64 // nodes
	multi   *transaction
}

// put writes a node; n is nil if there is none.
func (c *change) put(o *Operation, n *node) Result {
	code := c.mayChange(o, n)
	if n == nil {
		code = c.mayPutNew(o)
	}
	if code != CodeOK {
		return Result{Code: code, Stat: statFor(code, n)}
	}
	kind := Changed
	if n == nil {
		kind = Created
		n = c.make(o.Path, 0, nil)
	} else {
		n = c.edit(n)
	}
	c.write(n, o.Data)
	c.event(kind, n)
	return Result{Nodes: c.changed, Stat: n.fullStat()}
}

// mayChange checks everything about a Put on a node that is there.
func (c *change) mayChange(o *Operation, n *node) Code {
	if n == nil {
		return CodeOK
	}
	t, grown := c.tree, int64(len(o.Data)-len(n.data))
	switch {
	case !c.permits(n, MayWrite):
		return CodeAccess
	case o.Version != AnyVersion && n.stat.Version != max(o.Version, 0) || !o.knows(n):
		return CodeVersion
	case len(o.Data) > t.limits.DataBytes:
		return CodeDataTooLarge
	case grown > 0 && t.bytes+grown > t.limits.TreeBytes:
		return CodeTreeFull
	case !t.affords(n.path, 0, grown):
		return CodeQuota
	}
	return CodeOK
}

// mayPutNew checks everything about a Put where there is no node.
func (c *change) mayPutNew(o *Operation) Code {
	m := c.tree.missing(o.Path)
	switch {
	case !c.permits(m.above, MayCreate):
		return CodeAccess
	case o.Version > 0 || o.CreateIndex != 0:
		return CodeVersion
	}
	return c.mayGrow(m, o)
}

// knows reports whether n is the node that o means.
func (o *Operation) knows(n *node) bool {
	return o.CreateIndex == 0 || o.CreateIndex == n.stat.CreateIndex
}

// missing is what a path lacks.
type missing struct {
	path  string
	above *node // the lowest node that there is
	nodes int
	bytes int64
}

func (t *Tree) missing(path string) missing {
	m := missing{path: path}
	for m.above = t.nodes[path]; m.above == nil; m.above = t.nodes[path] {
		m.nodes++
		m.bytes += int64(len(path) + nodeOverhead)
		path, _ = split(path)
	}
	return m
}

// mayGrow checks whether there is room for new nodes and o's data.
func (c *change) mayGrow(m missing, o *Operation) Code {
	t, grown := c.tree, m.bytes+int64(len(o.Data))
	switch {
	case m.above.ephemeral():
		return CodeEphemeralParent
	case len(o.Data) > t.limits.DataBytes:
		return CodeDataTooLarge
	case len(t.nodes)+m.nodes > t.limits.Nodes:
		return CodeTooManyNodes
	case t.bytes+grown > t.limits.TreeBytes:
		return CodeTreeFull
	case !t.affords(m.path, int64(m.nodes), int64(len(o.Data))):
		return CodeQuota
	}
	return CodeOK
}

// make creates a node without data, and its parents.
func (c *change) make(path string, owner uint64, r *rules) *node {
	t := c.tree
	above, name := split(path)
	parent := t.nodes[above]
	if parent == nil {
		parent = c.make(above, 0, nil)
		c.event(Created, parent)
	}
	n := newNode(path, name, c.index, c.now, t.epoch)
	n.stat.Owner, n.rules = owner, r
	c.enter(n)
	parent = c.edit(parent)
	c.insert(parent, n)
	parent.stat.ChildrenCreated++
	parent.stat.ChildrenIndex = c.index
	t.account(parent)
	return n
}

// write puts data into a node that may be changed.
func (c *change) write(n *node, data []byte) {
	t, grown := c.tree, int64(len(data)-len(n.data))
	t.bytes += grown
	t.use(n.path, 0, grown)
	n.data = append([]byte(nil), data...)
	n.dataSum = crc32.Checksum(n.data, castagnoli)
	n.stat.ModifyIndex, n.stat.ModifyTime = c.index, c.now
	n.stat.Version++
	t.account(n)
}

func (c *change) event(kind EventKind, n *node) {
	c.changed++
	e := Event{Kind: kind, Index: c.index, Time: c.now, Path: n.path, Version: n.stat.Version, Data: n.data}
	if kind == Deleted {
		e.Data = nil
	}
	if c.multi != nil {
		c.multi.note(e)
		return
	}
	c.tree.history.add(e)
}

// statFor is the Stat that goes with a refusal.
func statFor(code Code, n *node) Stat {
	if n == nil || code != CodeVersion && code != CodeHasChildren && code != CodeExists {
		return Stat{}
	}
	return n.fullStat()
}
