package coordination

import "fmt"

// create makes a node that must not exist.
func (c *change) create(o *Operation) Result {
	t := c.tree
	path, code := t.createdPath(o)
	if code != CodeOK {
		return Result{Code: code}
	}
	acl, ok := o.ACL.settled(&c.caller)
	if !ok {
		return Result{Code: CodeInvalidACL}
	}
	owner, code := c.ownerFor(o)
	if code != CodeOK {
		return Result{Code: code}
	}
	there, shared := t.nodes[path], t.share(rules{acl: acl})
	if code := c.mayCreate(o, path, there, shared); code != CodeOK {
		return Result{Code: code, Stat: statFor(code, there)}
	}
	n := c.make(path, owner, shared)
	c.write(n, o.Data)
	c.event(Created, n)
	return Result{Nodes: c.changed, Stat: n.fullStat(), Path: path}
}

// createdPath is the path of the node to be: with the number, if it is sequential.
func (t *Tree) createdPath(o *Operation) (string, Code) {
	path := o.Path
	if o.Sequential && path != "" {
		number := uint64(0)
		above, _ := split(path)
		if parent := t.nodes[above]; parent != nil {
			number = parent.stat.ChildrenCreated
		}
		if number > MaxSequence {
			// A number that begins anew would turn the order of a queue or lock around.
			return "", CodeSequence
		}
		path += fmt.Sprintf("%010d", number)
	}
	if CheckPath(path) != nil {
		return "", CodeInvalidPath
	}
	return path, CodeOK
}

// ownerFor is the new node's Stat.Owner.
func (c *change) ownerFor(o *Operation) (uint64, Code) {
	switch {
	case (o.TTL != 0) != (o.Mode == TTL):
		return 0, CodeMalformed
	case o.Mode == TTL:
		return TTLOwner | uint64(o.TTL), CodeOK
	case o.Mode == Container:
		return ContainerOwner, CodeOK
	case o.Mode == Persistent:
		return 0, CodeOK
	}
	s := c.tree.sessions.get(c.caller.Session)
	switch {
	case s == nil:
		return 0, CodeSession
	case len(s.paths) >= c.tree.limits.SessionEphemerals:
		return 0, CodeTooManyEphemerals
	}
	return s.id, CodeOK
}

// mayCreate checks all that is left; there is the node at path, if any.
func (c *change) mayCreate(o *Operation, path string, there *node, r *rules) Code {
	m := c.tree.missing(path)
	if there != nil {
		above, _ := split(path)
		m.above = c.tree.nodes[above]
	}
	switch {
	case m.nodes > 1 && !o.MakeParents:
		return CodeNoParent
	case !c.permits(m.above, MayCreate):
		return CodeAccess
	case there != nil:
		return CodeExists
	}
	m.bytes += r.size()
	return c.mayGrow(m, o)
}

// check changes nothing.
func (c *change) check(o *Operation, n *node) Result {
	switch {
	case n == nil:
		return Result{Code: CodeNotFound}
	case !c.permits(n, MayRead):
		return Result{Code: CodeAccess}
	case o.Version != AnyVersion && n.stat.Version != o.Version || !o.knows(n):
		return Result{Code: CodeVersion, Stat: n.fullStat()}
	}
	return Result{Stat: n.fullStat()}
}
