package coordination

import (
	"encoding/binary"
	"hash/crc32"
)

// rules are what few nodes have: an access list and a quota. They are never
// changed in place; equal ones may be shared.
type rules struct {
	acl        ACL
	aclVersion int64
	// Of the quota; 0 is no bound, and both 0 no quota.
	quotaNodes, quotaBytes int64

	sum   uint32 // of the encoding
	bytes int    // of the encoding
}

// appendTo encodes r: the access list's version, the quota's bounds, and the
// access list unless it is nil.
func (r *rules) appendTo(dst []byte) []byte {
	for _, v := range [...]int64{r.aclVersion, r.quotaNodes, r.quotaBytes} {
		dst = binary.AppendUvarint(dst, uint64(v))
	}
	if r.acl == nil {
		return dst
	}
	return r.acl.appendTo(dst)
}

// decodeRules reads what appendTo wrote, for a snapshot.
func decodeRules(data []byte) (rules, bool) {
	d := decoder{data: data}
	r := rules{aclVersion: int64(d.upTo(most)), quotaNodes: int64(d.upTo(most)), quotaBytes: int64(d.upTo(most))}
	if len(d.data) > 0 {
		r.acl = d.acl()
	}
	return r, !d.bad && len(d.data) == 0 && (r.acl == nil || r.acl.valid()) && (r.acl != nil || r.aclVersion > 0 || r.quota())
}

// maxRulesBytes bounds the encoding.
const maxRulesBytes = 3*binary.MaxVarintLen64 + MaxACLBytes + 2

func (r *rules) quota() bool { return r != nil && (r.quotaNodes > 0 || r.quotaBytes > 0) }

func (r *rules) size() int64 {
	if r == nil {
		return 0
	}
	return int64(r.bytes)
}

// list is the access list of a node.
func (n *node) list() ACL {
	if n.rules == nil {
		return nil
	}
	return n.rules.acl
}

// maxShared bounds the room of the rules that are known to be shared, whether a node
// has them or they were only asked for: about as many bytes, each counting its encoding
// and sharedOverhead. It is no part of the state.
const (
	maxShared      = 1 << 20
	sharedOverhead = 192
)

// share returns rules equal to r, nil if they say nothing; in a typical tree all
// nodes have one of few access lists.
func (t *Tree) share(r rules) *rules {
	if r.acl == nil && r.aclVersion == 0 && !r.quota() {
		return nil
	}
	encoded := r.appendTo(nil)
	if known := t.shared[string(encoded)]; known != nil {
		return known
	}
	r.sum, r.bytes = crc32.Checksum(encoded, castagnoli), len(encoded)
	if t.sharedBytes += len(encoded) + sharedOverhead; t.sharedBytes > maxShared {
		clear(t.shared)
		t.sharedBytes = len(encoded) + sharedOverhead
	}
	t.shared[string(encoded)] = &r
	return &r
}

// permits reports whether the caller may do something with n.
func (c *change) permits(n *node, permission Permission) bool {
	return n.rules == nil || n.rules.acl.permits(permission, &c.caller)
}

// setACL replaces the access list of n, nil if there is no node.
func (c *change) setACL(o *Operation, n *node) Result {
	acl, ok := o.ACL.settled(&c.caller)
	switch {
	case !ok:
		return Result{Code: CodeInvalidACL}
	case n == nil:
		return Result{Code: CodeNotFound}
	case !c.permits(n, MayAdmin):
		return Result{Code: CodeAccess}
	case o.Version != AnyVersion && n.fullStat().ACLVersion != o.Version-1 || !o.knows(n):
		return Result{Code: CodeVersion, Stat: n.fullStat()}
	}
	r := rules{acl: acl}
	if n.rules != nil {
		r.aclVersion, r.quotaNodes, r.quotaBytes = n.rules.aclVersion, n.rules.quotaNodes, n.rules.quotaBytes
	}
	r.aclVersion++
	return c.setRules(n, r)
}

// setRules gives n other rules, if there is room for them.
func (c *change) setRules(n *node, r rules) Result {
	t := c.tree
	shared := t.share(r)
	grown := shared.size() - n.rules.size()
	if grown > 0 && t.bytes+grown > t.limits.TreeBytes {
		return Result{Code: CodeTreeFull}
	}
	n = c.edit(n)
	n.rules = shared
	t.bytes += grown
	t.account(n)
	c.changed++
	return Result{Nodes: c.changed, Stat: n.fullStat()}
}
