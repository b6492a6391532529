package coordination

import (
	"maps"
	"slices"
)

// usage is what stands at and below a node with a quota. It follows from the nodes
// and so is in no snapshot.
type usage struct{ nodes, bytes int64 }

// use notes that what stands at path has grown, in all quotas around it.
func (t *Tree) use(path string, nodes, bytes int64) {
	if len(t.quotas) == 0 {
		return
	}
	for {
		if u := t.quotas[path]; u != nil {
			u.nodes += nodes
			u.bytes += bytes
		}
		if path == Root {
			return
		}
		path, _ = split(path)
	}
}

// affords reports whether all quotas around path, whose node may not exist yet, let
// so much be added. What shrinks is always allowed, also in a quota that is exceeded.
func (t *Tree) affords(path string, nodes, bytes int64) bool {
	if len(t.quotas) == 0 {
		return true
	}
	for {
		if u := t.quotas[path]; u != nil {
			r := t.nodes[path].rules
			if exceeds(u.nodes, nodes, r.quotaNodes) || exceeds(u.bytes, bytes, r.quotaBytes) {
				return false
			}
		}
		if path == Root {
			return true
		}
		path, _ = split(path)
	}
}

func exceeds(used, grown, bound int64) bool { return bound > 0 && grown > 0 && used+grown > bound }

// setQuota bounds what stands at and below n, nil if there is no node. It takes as
// long as there are nodes below n, once.
func (c *change) setQuota(o *Operation, n *node) Result {
	switch {
	case n == nil:
		return Result{Code: CodeNotFound}
	case !c.permits(n, MayAdmin):
		return Result{Code: CodeAccess}
	}
	t := c.tree
	r := rules{acl: n.list(), aclVersion: n.fullStat().ACLVersion, quotaNodes: o.QuotaNodes, quotaBytes: o.QuotaBytes}
	had := n.rules.quota()
	result := c.setRules(n, r)
	switch {
	case result.Code != CodeOK:
	case !r.quota():
		delete(t.quotas, n.path)
	case !had:
		u := &usage{}
		t.nodes[n.path].measure(u)
		t.quotas[n.path] = u
	}
	return result
}

// measure adds n and all below it.
func (n *node) measure(u *usage) {
	u.nodes++
	u.bytes += int64(len(n.data))
	n.children.from("", func(child *node) bool {
		child.measure(u)
		return true
	})
}

// Quota is the bound on what stands at and below Path, and what stands there. It goes
// with its node.
type Quota struct {
	Path         string
	Nodes, Bytes int64 // 0: no bound
	// UsedNodes and UsedBytes count the node itself too. They may be more than the
	// bound if they were when it was set.
	UsedNodes, UsedBytes int64
}

// Quotas returns all quotas, sorted by path.
func (t *Tree) Quotas() []Quota {
	var all []Quota
	for _, path := range slices.Sorted(maps.Keys(t.quotas)) {
		u, r := t.quotas[path], t.nodes[path].rules
		all = append(all, Quota{Path: path, Nodes: r.quotaNodes, Bytes: r.quotaBytes, UsedNodes: u.nodes, UsedBytes: u.bytes})
	}
	return all
}
