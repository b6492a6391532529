package coordination

// delete removes a node; n is nil if there is none.
func (c *change) delete(o *Operation, n *node) Result {
	if code := c.mayDelete(o, n); code != CodeOK {
		return Result{Code: code, Stat: statFor(code, n)}
	}
	stat := n.fullStat()
	if c.multi != nil {
		c.multi.deleted += countNodes(n, c.tree.limits.DeleteNodes)
	}
	c.deleteBelow(n)
	c.remove(n)
	return Result{Nodes: c.changed, Stat: stat}
}

func (c *change) mayDelete(o *Operation, n *node) Code {
	t := c.tree
	if n == nil {
		return CodeNotFound
	}
	if n == t.root {
		return CodeRoot
	}
	limit := t.limits.DeleteNodes
	if c.multi != nil {
		limit -= c.multi.deleted
	}
	above, _ := split(n.path)
	switch {
	case !c.permits(t.nodes[above], MayDelete):
		return CodeAccess
	case o.Version != AnyVersion && n.stat.Version != o.Version || !o.knows(n):
		return CodeVersion
	case n.children.count > 0 && !o.Recursive:
		return CodeHasChildren
	case countNodes(n, limit+1) > limit:
		return CodeDeleteTooLarge
	case !c.permitsBelow(n):
		return CodeAccess
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

// permitsBelow reports whether the caller may delete everything below n.
func (c *change) permitsBelow(n *node) bool {
	if n.children.count == 0 {
		return true
	}
	return c.permits(n, MayDelete) && n.children.from("", c.permitsBelow)
}

// deleteBelow deletes everything below n, whose own record of its children is
// left alone: n is about to go.
func (c *change) deleteBelow(n *node) {
	n.children.from("", func(child *node) bool {
		c.deleteBelow(child)
		c.leave(child)
		c.event(Deleted, child)
		return true
	})
}

// remove takes n, whose descendants are gone, out of the tree, and then those of its
// parents that vanish with their last child. ZooKeeper removes an empty container
// some time later; a client of either must bear that it is gone, or is not yet.
func (c *change) remove(n *node) {
	t := c.tree
	for {
		above, _ := split(n.path)
		c.leave(n)
		c.event(Deleted, n)
		parent := c.edit(t.nodes[above])
		c.take(parent, n)
		parent.stat.ChildrenIndex = c.index
		t.account(parent)
		if parent.children.count > 0 || !parent.temporary() {
			return
		}
		n = parent
	}
}
