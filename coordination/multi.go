package coordination

// transaction is what a Multi keeps until it is clear that none of its operations is
// refused: how to take back what was done, step by step, and the events.
type transaction struct {
	undo    []func()
	events  []Event
	deleted int // nodes, by operations that say so
}

func (m *transaction) note(e Event) { m.events = append(m.events, e) }

// transact carries out all operations or none.
func (c *change) transact(operations []Operation) Result {
	t := c.tree
	if len(operations) > t.limits.MultiOperations {
		return Result{Code: CodeMultiTooLarge}
	}
	c.multi = &transaction{}
	results := make([]Result, len(operations))
	for i := range operations {
		o := &operations[i]
		before := c.changed
		r := c.one(o, t.nodes[o.Path])
		if r.Code != CodeOK {
			c.rollBack()
			return refused(results, i, r)
		}
		r.Index, r.Nodes = c.index, c.changed-before
		results[i] = r
	}
	for _, e := range c.multi.events {
		t.history.add(e)
	}
	return Result{Nodes: c.changed, Results: results}
}

// rollBack takes everything back, the last step first. What it leaves is the tree as
// it was but for the bounds of chunks, which nobody can see.
func (c *change) rollBack() {
	for i := len(c.multi.undo) - 1; i >= 0; i-- {
		c.multi.undo[i]()
	}
}

// refused says of each operation what became of it.
func refused(results []Result, failed int, r Result) Result {
	for i := range results {
		switch {
		case i < failed:
			results[i] = Result{}
		case i > failed:
			results[i] = Result{Code: CodeMulti}
		}
	}
	results[failed] = r
	return Result{Code: r.Code, Failed: failed, Results: results}
}

// The steps of which all changes of nodes consist follow; each notes down its opposite.

func (c *change) later(undo func()) { c.multi.undo = append(c.multi.undo, undo) }

// enter adds a node to everything but its parent's children.
func (c *change) enter(n *node) {
	t := c.tree
	t.enter(n)
	if c.multi != nil {
		c.later(func() { t.leave(n) })
	}
}

// leave is the opposite of enter.
func (c *change) leave(n *node) {
	t := c.tree
	t.leave(n)
	if c.multi != nil {
		c.later(func() { t.enter(n) })
	}
}

// edit returns the node, or a clone of it, that may be changed, apart from its children.
func (c *change) edit(n *node) *node {
	t := c.tree
	mine := t.own(n)
	if c.multi != nil {
		former := *mine
		c.later(func() { t.reset(mine, &former) })
	}
	return mine
}

// reset gives n back what it was before, apart from its children.
func (t *Tree) reset(n, former *node) {
	t.bytes += former.size() - n.size()
	t.use(n.path, 0, int64(len(former.data)-len(n.data)))
	n.data, n.dataSum, n.stat, n.rules = former.data, former.dataSum, former.stat, former.rules
	t.account(n)
}

// insert adds a child to a node that may be changed.
func (c *change) insert(parent, child *node) {
	t := c.tree
	parent.children.insert(child, t.epoch)
	if c.multi != nil {
		c.later(func() { parent.children.remove(child.name, t.epoch) })
	}
}

// take is the opposite of insert.
func (c *change) take(parent, child *node) {
	t := c.tree
	parent.children.remove(child.name, t.epoch)
	if c.multi != nil {
		c.later(func() { parent.children.insert(child, t.epoch) })
	}
}
