package coordination

import (
	"maps"
	"slices"
)

// usage is what stands at and below a node with a quota. It follows from the nodes
// and so is in no snapshot.
type usage struct{ nodes, bytes int64 }

func (u *usage) add(nodes, bytes int64) {
	u.nodes += nodes
	u.bytes += bytes
}

// use notes that what stands at path has grown, in all quotas around it.
func (t *Tree) use(path string, nodes, bytes int64) {
	t.all.add(nodes, bytes)
	if len(t.quotas) == 0 {
		return
	}
	for {
		if u := t.quotas[path]; u != nil {
			u.add(nodes, bytes)
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

// setQuota bounds what stands at and below n, nil if there is no node. A new quota takes as
// long as there are nodes to count.
func (c *change) setQuota(o *Operation, n *node) Result {
	switch {
	case n == nil:
		return Result{Code: CodeNotFound}
	case !c.permits(n, MayAdmin):
		return Result{Code: CodeAccess}
	}
	t := c.tree
	r := rules{acl: n.list(), aclVersion: n.fullStat().ACLVersion, quotaNodes: o.QuotaNodes, quotaBytes: o.QuotaBytes}
	used := t.quotas[n.path]
	if used == nil && r.quota() {
		if used = t.used(n); used == nil {
			return Result{Code: CodeQuotaTooLarge}
		}
	}
	result := c.setRules(n, r)
	switch {
	case result.Code != CodeOK:
	case !r.quota():
		delete(t.quotas, n.path)
	default:
		t.quotas[n.path] = used
	}
	return result
}

// used counts what stands at and below n, which has no quota: directly, or else as what the quota
// around it, or the tree, counts besides the rest. It returns nil if Limits.DeleteNodes nodes are
// too few for either: whoever may set an access list must not make all others wait.
func (t *Tree) used(n *node) *usage {
	if n == t.root {
		return &usage{t.all.nodes, t.all.bytes}
	}
	inside := census{quotas: t.quotas, left: t.limits.DeleteNodes}
	if inside.add(n) {
		return &inside.usage
	}
	around, whole := t.root, &t.all
	for path := n.path; path != Root && around == t.root; {
		path, _ = split(path)
		if u := t.quotas[path]; u != nil {
			around, whole = t.nodes[path], u
		}
	}
	rest := census{quotas: t.quotas, left: t.limits.DeleteNodes, top: around, except: n}
	if rest.add(around) {
		return &usage{whole.nodes - rest.nodes, whole.bytes - rest.bytes}
	}
	return nil
}

// census counts nodes, as long as it may look at any more. What has a quota is counted already.
type census struct {
	usage
	quotas map[string]*usage
	left   int   // how many more it may look at
	top    *node // which it looks into though it has a quota
	except *node // with all below it
}

// add adds n and all below it, and returns false if that is too much.
func (c *census) add(n *node) bool {
	if c.left--; c.left < 0 {
		return false
	}
	if known := c.quotas[n.path]; known != nil && n != c.top {
		c.usage.add(known.nodes, known.bytes)
		return true
	}
	c.usage.add(1, int64(len(n.data)))
	return n.children.from("", func(child *node) bool { return child == c.except || c.add(child) })
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
