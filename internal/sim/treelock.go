package sim

import (
	"github.com/synod-go/synod/coordination"
)

// hold is a client's place in the queue for a lock.
type hold struct {
	phase phase
	lock  int
	path  string
	token uint64 // the index at which the place was created
}

type phase uint8

const (
	idle phase = iota
	asks       // its place may have been created
	waits
	holds
)

// guarded is what a lock protects, outside the cluster: it admits nobody whose token is
// lower than the highest that it has seen.
type guarded struct {
	highest uint64
	last    uint64 // the token of the last client that came to hold the lock
}

func (g *guarded) admit(token uint64) bool {
	if token < g.highest {
		return false
	}
	g.highest = token
	return true
}

// lockStep does the next thing that is to be done about a lock.
func (t *treeWork) lockStep(x *treeClient, d draw) *operation {
	switch x.lock.phase {
	case idle:
		return t.queueUp(x, d)
	case waits:
		return t.lookAtQueue(x)
	case holds:
		if d.perMille(700) {
			t.act(x, d.split())
			return nil
		}
		return t.release(x)
	}
	return t.end(x) // its place may be there or come yet: only the end of the session clears that up
}

// queueUp creates a place at the end of the queue.
func (t *treeWork) queueUp(x *treeClient, d draw) *operation {
	lock := d.below(treeLocks)
	x.lock = hold{phase: asks, lock: lock}
	s := x.session
	o := coordination.Operation{
		Kind: coordination.Create, Path: lockPath(lock) + "/", Mode: coordination.Ephemeral, Sequential: true, MakeParents: true, Caller: x.caller(),
	}
	return t.command(x, o, func(r coordination.Result, ok bool) {
		if x.session != s || !ok {
			return
		}
		x.lock = hold{}
		if r.Code == coordination.CodeOK {
			x.lock = hold{phase: waits, lock: lock, path: r.Path, token: r.Stat.CreateIndex}
		}
		t.told(x, s, r.Code)
	})
}

// told looks at an answer to what a client did in its session: as long as it counts on
// the session, that is there.
func (t *treeWork) told(x *treeClient, s *session, code coordination.Code) {
	if code != coordination.CodeSession || x.session != s {
		return
	}
	if t.now < s.until {
		violated("C2", "client %d is told that session %d is over, which it can count on for %d ms", x.number, s.id, (s.until-t.now)/milli)
	}
	t.lose(x)
}

// lookAtQueue looks whether nobody stands before the client any more. As later ones stand
// behind it, it then holds the lock until its place goes.
func (t *treeWork) lookAtQueue(x *treeClient) *operation {
	s, lock := x.session, x.lock
	op := t.clients.operation(x.client, opRead)
	op.look = func(tree *coordination.Tree) any {
		page, err := tree.List(coordination.Listing{Path: lockPath(lock.lock), Limit: 1})
		if err != nil || len(page.Nodes) == 0 {
			return coordination.Node{}
		}
		return page.Nodes[0]
	}
	op.sees = func(r reply) {
		if x.session != s || x.lock != lock {
			return
		}
		if first := r.seen.(coordination.Node); first.Path == lock.path && first.Stat.CreateIndex == lock.token && t.now < s.until {
			t.acquired(x)
		}
	}
	return op
}

// acquired is a client coming to hold a lock.
func (t *treeWork) acquired(x *treeClient) {
	x.lock.phase = holds
	g := &t.guarded[x.lock.lock]
	t.trace("lock      client %d holds %s, token %d", x.number, x.lock.path, x.lock.token)
	t.sometimes.count(sawLockTaken)
	if g.last != 0 {
		t.sometimes.count(sawLockPassedOn)
	}
	if x.lock.token <= g.last {
		violated("C1", "client %d comes to hold %s with token %d, one before it had %d", x.number, x.lock.path, x.lock.token, g.last)
	}
	g.last = x.lock.token
	t.alone(x)
}

// alone checks that a client that can count on its lock is the only one, and that the
// newest state of the tree says so as well.
func (t *treeWork) alone(x *treeClient) {
	if t.now >= x.session.until {
		return
	}
	for _, other := range t.people {
		if other != x && other.lock.phase == holds && other.lock.lock == x.lock.lock && t.now < other.session.until {
			violated("C1", "clients %d and %d both hold lock %d and may count on it", x.number, other.number, x.lock.lock)
		}
	}
	n, err := t.oracle.tree.Exists(x.lock.path)
	if err != nil || n.CreateIndex != x.lock.token {
		violated("C1", "client %d holds %s with token %d and may count on it, but the tree has %+v, %v", x.number, x.lock.path, x.lock.token, n, err)
	}
}

// act does something under the lock, soon: a client that is paused meanwhile does it later,
// and does not look at its clock again.
func (t *treeWork) act(x *treeClient, d draw) {
	s, lock := x.session, x.lock
	t.later(x, t.now+d.between(0, 50*milli), func() {
		valid := x.session == s && x.lock == lock && t.now < s.until
		g := &t.guarded[lock.lock]
		admitted := g.admit(lock.token)
		switch {
		case valid && !admitted:
			violated("C1", "client %d may count on lock %d and is refused: its token is %d, the highest was %d", x.number, lock.lock, lock.token, g.highest)
		case valid:
			t.alone(x)
		case admitted:
			t.sometimes.count(sawLateAct)
		default:
			t.sometimes.count(sawFenced)
		}
	})
}

// release gives the place back.
func (t *treeWork) release(x *treeClient) *operation {
	s, lock := x.session, x.lock
	x.lock = hold{phase: asks}
	o := coordination.Operation{Kind: coordination.Delete, Path: lock.path, CreateIndex: lock.token, Caller: x.caller()}
	return t.command(x, o, func(r coordination.Result, ok bool) {
		if ok && x.session == s {
			x.lock = hold{}
			t.told(x, s, r.Code)
		}
	})
}
