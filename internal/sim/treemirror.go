package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synod-go/synod/coordination"
)

// mirror is what somebody knows of a tree who is told all its events: nodes by path.
type mirror map[string]*mirrored

type mirrored struct {
	created  uint64 // the index
	version  int64
	data     string
	written  int64  // log time
	owner    uint64 // Stat.Owner
	children map[string]bool
	ever     uint64 // children created
}

func newMirror() mirror { return mirror{"/": {children: map[string]bool{}}} }

func parentOf(path string) string { return path[:max(1, strings.LastIndexByte(path, '/'))] }

// follow carries out the events of one index, of which none must be impossible.
func (m mirror) follow(o *treeOracle, index uint64, op coordination.Operation, r coordination.Result, events []coordination.Event) {
	touched := map[string]bool{}
	for _, c := range guards(op) {
		if n := m[c.Path]; r.Code == coordination.CodeOK && (n == nil || n.created != c.CreateIndex) {
			o.note("C7", "at %d a transaction is done whose token %d for %s is no more", index, c.CreateIndex, c.Path)
		}
	}
	if uint64(len(events)) != r.Nodes && op.Kind != coordination.SetQuota {
		o.note("C6", "%d events at %d, and %d nodes are said to have changed", len(events), index, r.Nodes)
		return
	}
	for i, e := range events {
		if op.Kind == coordination.Reap && !m[e.Path].overdue(e.Time) {
			o.note("C3", "%s is reaped at %d: %+v", e.Path, index, m[e.Path])
		}
		if why := m.happens(e, creationOf(op, r, uint64(i), e.Path)); why != "" || e.Index != index {
			o.note("C6", "%v %s at %d, version %d, with the events of %d: %s", e.Kind, e.Path, e.Index, e.Version, index, why)
			return
		}
		touched[e.Path], touched[parentOf(e.Path)] = true, true
	}
	for _, path := range slices.Sorted(maps.Keys(touched)) {
		o.atNode.set(path, index, m.sum(path))
		o.below.set(path, index, m.sumBelow(path))
	}
	for path, n := range m {
		if n.owner == coordination.ContainerOwner && n.ever > 0 && len(n.children) == 0 {
			o.note("C3", "the container %s is empty at %d", path, index)
		}
	}
}

// creation is the Create that made a node, if it was one.
type creation struct {
	op    coordination.Operation
	owner uint64
}

// creationOf is the Create, alone or in a transaction, that the i-th event belongs to.
func creationOf(op coordination.Operation, r coordination.Result, i uint64, path string) creation {
	part, made := op, r.Path
	for k := 0; op.Kind == coordination.Multi && k < len(op.Operations); k++ {
		part, made = op.Operations[k], r.Results[k].Path
		if i < r.Results[k].Nodes {
			break
		}
		i -= r.Results[k].Nodes
	}
	if part.Kind != coordination.Create || made != path {
		return creation{}
	}
	return creation{part, op.Caller.Session}
}

// stat is the Stat.Owner that the node must have.
func (c creation) stat() uint64 {
	switch c.op.Mode {
	case coordination.Ephemeral:
		return c.owner
	case coordination.Container:
		return coordination.ContainerOwner
	case coordination.TTL:
		return coordination.TTLOwner | uint64(c.op.TTL)
	}
	return 0
}

// ephemeral reports whether an owner is a session.
func ephemeral(owner uint64) bool { return owner != 0 && owner < coordination.ContainerOwner }

// guards are the tokens that a transaction stands on.
func guards(op coordination.Operation) (checks []coordination.Operation) {
	for _, part := range op.Operations {
		if part.Kind == coordination.Check && strings.HasPrefix(part.Path, "/lock/") {
			checks = append(checks, part)
		}
	}
	return checks
}

// overdue reports whether a node may be reaped: its TTL has passed, or its last child has gone.
func (n *mirrored) overdue(now int64) bool {
	switch {
	case n == nil || len(n.children) > 0:
		return false
	case n.owner >= coordination.TTLOwner:
		return n.written+int64(n.owner-coordination.TTLOwner) <= now
	}
	return n.owner == coordination.ContainerOwner || n.version == 0
}

// happens carries out one event, or says why it cannot be.
func (m mirror) happens(e coordination.Event, c creation) string {
	n, parent := m[e.Path], m[parentOf(e.Path)]
	switch e.Kind {
	case coordination.Created:
		return m.creates(e, c, n, parent)
	case coordination.Changed:
		if n == nil || e.Version != n.version+1 {
			return sprint("before it there was %+v", n)
		}
		n.version, n.data, n.written = e.Version, string(e.Data), e.Time
	case coordination.Deleted:
		if n == nil || len(n.children) > 0 {
			return sprint("before it there was %+v", n)
		}
		delete(m, e.Path)
		delete(parent.children, e.Path)
	default:
		return "no such event"
	}
	return ""
}

func (m mirror) creates(e coordination.Event, c creation, n, parent *mirrored) string {
	switch {
	case n != nil:
		return sprint("before it there was %+v", n)
	case parent == nil:
		return "it has no parent"
	case ephemeral(parent.owner):
		return "its parent is ephemeral"
	case c.op.Sequential && e.Path != c.op.Path+fmt.Sprintf("%010d", parent.ever):
		return sprint("it is number %d of %s", parent.ever, c.op.Path)
	}
	m[e.Path] = &mirrored{created: e.Index, version: e.Version, data: string(e.Data), written: e.Time, owner: c.stat(), children: map[string]bool{}}
	parent.children[e.Path] = true
	parent.ever++
	return ""
}

func (m mirror) sum(path string) uint64 {
	n := m[path]
	if n == nil {
		return 0
	}
	return nodeSum(n.created, n.version, []byte(n.data))
}

func (m mirror) sumBelow(path string) uint64 {
	n := m[path]
	if n == nil {
		return 0
	}
	sum := uint64(1)
	for _, child := range slices.Sorted(maps.Keys(n.children)) {
		sum = childSum(sum, child, m[child].created)
	}
	return sum
}

// compare looks whether a tree that stands at the mirror's index is what the mirror shows.
func (m mirror) compare(o *treeOracle, index uint64, tree *coordination.Tree) {
	page, err := tree.List(coordination.Listing{Path: "/", Recursive: true, Limit: all})
	if err != nil || len(page.Nodes) != len(m)-1 {
		o.note("C6", "at %d there are %d nodes, the events tell of %d: %v", index, len(page.Nodes), len(m)-1, err)
		return
	}
	for _, t := range page.Nodes {
		n, s := m[t.Path], t.Stat
		if n == nil || n.created != s.CreateIndex || n.version != s.Version || n.data != string(t.Data) || n.owner != s.Owner ||
			n.ever != s.ChildrenCreated || len(n.children) != s.Children {
			o.note("C6", "at %d there is %+v, the events tell of %+v", index, t, n)
			return
		}
	}
	var open int
	for id, f := range o.sessions {
		if _, there := tree.Session(id); there != (f.over == 0) {
			o.note("C3", "at %d session %d is there: %v, and it was over at %d", index, id, there, f.over)
		}
		open += int(bit01(f.over == 0))
	}
	if there := tree.SessionsAfter(0, all); len(there) != open {
		o.note("C3", "at %d there are %d sessions, %d were opened and not ended", index, len(there), open)
	}
	for path, n := range m {
		if ephemeral(n.owner) && o.sessions[n.owner].over != 0 {
			o.note("C3", "at %d there is %s of session %d, which is over", index, path, n.owner)
		}
	}
}
