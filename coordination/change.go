package coordination

import "hash/crc32"

// change is one operation on its way through the tree. It first checks all and
// only then changes anything: a refused operation leaves no trace.
type change struct {
	tree    *Tree
	index   uint64
	now     int64
	changed uint64 // nodes
}

// put writes a node; n is nil if there is none.
func (c *change) put(o Operation, n *node) Result {
	if code := c.tree.mayPut(o, n); code != CodeOK {
		return Result{Code: code, Stat: statOf(n)}
	}
	kind := Changed
	if n == nil {
		kind = Created
		n = c.create(o.Path)
	} else {
		n = c.tree.own(n)
	}
	c.tree.bytes += int64(len(o.Data) - len(n.data))
	n.data = append([]byte(nil), o.Data...)
	n.dataSum = crc32.Checksum(n.data, castagnoli)
	n.stat.ModifyIndex, n.stat.ModifyTime = c.index, c.now
	n.stat.Version++
	c.tree.account(n)
	c.event(kind, n)
	return Result{Nodes: c.changed, Stat: n.fullStat()}
}

// mayPut checks everything about a Put.
func (t *Tree) mayPut(o Operation, n *node) Code {
	version, nodes, grown := int64(0), 0, int64(len(o.Data))
	if n != nil {
		version = n.stat.Version
		grown -= int64(len(n.data))
	} else {
		nodes, grown = t.missing(o.Path, grown)
	}
	switch {
	case o.Version != AnyVersion && version != max(o.Version, 0):
		return CodeVersion
	case len(o.Data) > t.limits.DataBytes:
		return CodeDataTooLarge
	case len(t.nodes)+nodes > t.limits.Nodes:
		return CodeTooManyNodes
	case grown > 0 && t.bytes+grown > t.limits.TreeBytes:
		return CodeTreeFull
	}
	return CodeOK
}

// missing counts the nodes to be created for path, and adds to bytes what they
// take.
func (t *Tree) missing(path string, bytes int64) (int, int64) {
	nodes := 0
	for t.nodes[path] == nil {
		nodes++
		bytes += int64(len(path) + nodeOverhead)
		path, _ = split(path)
	}
	return nodes, bytes
}

// create makes a node without data, and its parents.
func (c *change) create(path string) *node {
	t := c.tree
	above, name := split(path)
	parent := t.nodes[above]
	if parent == nil {
		parent = c.create(above)
		c.event(Created, parent)
	}
	parent = t.own(parent)
	n := newNode(path, name, c.index, c.now, t.epoch)
	t.nodes[path] = n
	t.bytes += n.size()
	t.account(n)
	parent.children.insert(n, t.epoch)
	parent.stat.ChildrenCreated++
	parent.stat.ChildrenIndex = c.index
	t.account(parent)
	return n
}

// delete removes a node; n is nil if there is none.
func (c *change) delete(o Operation, n *node) Result {
	if code := c.tree.mayDelete(o, n); code != CodeOK {
		return Result{Code: code, Stat: statOf(n)}
	}
	stat := n.fullStat()
	c.deleteBelow(n)
	c.remove(n)
	return Result{Nodes: c.changed, Stat: stat}
}

func (t *Tree) mayDelete(o Operation, n *node) Code {
	switch {
	case n == nil:
		return CodeNotFound
	case n == t.root:
		return CodeRoot
	case o.Version != AnyVersion && n.stat.Version != o.Version:
		return CodeVersion
	case n.children.count > 0 && !o.Recursive:
		return CodeHasChildren
	case countNodes(n, t.limits.DeleteNodes+1) > t.limits.DeleteNodes:
		return CodeDeleteTooLarge
	}
	return CodeOK
}

// countNodes counts n and everything below it, but not far beyond limit.
func countNodes(n *node, limit int) int {
	count := 1
	n.children.from("", func(child *node) bool {
		count += countNodes(child, limit-count)
		return count < limit
	})
	return count
}

// deleteBelow deletes everything below n, whose own record of its children is
// left alone: n is about to go.
func (c *change) deleteBelow(n *node) {
	n.children.from("", func(child *node) bool {
		c.deleteBelow(child)
		c.forget(child)
		return true
	})
}

// remove takes n, whose descendants are gone, out of the tree, and then those
// of its parents that were made only to hold it.
func (c *change) remove(n *node) {
	t := c.tree
	for {
		above, name := split(n.path)
		c.forget(n)
		parent := t.own(t.nodes[above])
		parent.children.remove(name, t.epoch)
		parent.stat.ChildrenIndex = c.index
		t.account(parent)
		if parent.children.count > 0 || parent.stat.Version > 0 || parent == t.root {
			return
		}
		n = parent
	}
}

// forget removes n from everything but its parent.
func (c *change) forget(n *node) {
	t := c.tree
	delete(t.nodes, n.path)
	t.bytes -= n.size()
	t.digest -= n.sum
	c.event(Deleted, n)
}

func (c *change) event(kind EventKind, n *node) {
	c.changed++
	e := Event{Kind: kind, Index: c.index, Time: c.now, Path: n.path, Version: n.stat.Version, Data: n.data}
	if kind == Deleted {
		e.Data = nil
	}
	c.tree.history.add(e)
}

func statOf(n *node) Stat {
	if n == nil {
		return Stat{}
	}
	return n.fullStat()
}
