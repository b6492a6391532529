package coordination

import (
	"cmp"
	"container/heap"
)

// ttls are the nodes with a TTL and without children, by the time at which they are to
// be reaped. They follow from the nodes and so are in no snapshot.
type ttls struct {
	queue  ttlQueue
	byPath map[string]*ttl
}

type ttl struct {
	at   int64 // log time
	path string
	pos  int // in the queue
}

// set brings what is known of a node with a TTL up to date.
func (t *ttls) set(n *node) {
	if n.children.count > 0 {
		t.drop(n.path)
		return
	}
	at, known := n.deadline(), t.byPath[n.path]
	switch {
	case known == nil:
		known = &ttl{at: at, path: n.path}
		t.byPath[n.path] = known
		heap.Push(&t.queue, known)
	case known.at != at:
		known.at = at
		heap.Fix(&t.queue, known.pos)
	}
}

// drop forgets a node, which need not be known.
func (t *ttls) drop(path string) {
	if known := t.byPath[path]; known != nil {
		heap.Remove(&t.queue, known.pos)
		delete(t.byPath, path)
	}
}

// first is the node to be reaped first, nil if there is none.
func (t *ttls) first() *ttl {
	if len(t.queue) == 0 {
		return nil
	}
	return t.queue[0]
}

// NextTTL is the log time at which Reap next has something to do, if ok.
func (t *Tree) NextTTL() (deadline int64, ok bool) {
	first := t.ttls.first()
	if first == nil {
		return 0, false
	}
	return first.at, true
}

// ttlQueue is for package heap.
type ttlQueue []*ttl

func (q ttlQueue) Len() int { return len(q) }

func (q ttlQueue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].at, q[j].at), cmp.Compare(q[i].path, q[j].path)) < 0
}

func (q ttlQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].pos, q[j].pos = i, j
}

// Push is for package heap.
func (q *ttlQueue) Push(x any) {
	known := x.(*ttl)
	known.pos = len(*q)
	*q = append(*q, known)
}

// Pop is for package heap.
func (q *ttlQueue) Pop() any {
	last := len(*q) - 1
	known := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return known
}
