package coordination

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// Sign is what became of a sign of life.
type Sign uint8

const (
	// Alive: the session lives on, for its Timeout from the time of the sign.
	Alive Sign = 1
	// Moved: the session has been attached again since, by a connection with a higher
	// number. The sign counts for nothing; this connection must be closed.
	Moved Sign = 2
	// Over: there is no such session, or it is being expired.
	Over Sign = 3
)

// Tracker counts on the leader how long each session has been silent, and says which
// are to be expired. It is pure: times are of a monotonic clock of the caller's and
// never go back. What it knows is lost with the leadership, and every session then
// has its full timeout again.
//
// It must be used at least every half second, which Next asks for. When more than a
// second beyond that has passed between two calls, the process stood still or had no
// time: signs of life may have come that it has not seen. That time then counts for no
// session.
type Tracker struct {
	sessions map[uint64]*tracked
	queue    dueQueue // those that are not over, the earliest due first
	last     time.Duration
	stalled  time.Duration // the sum of what counts for no session
}

const (
	// tickEvery is how long a Tracker may be left alone.
	tickEvery = 500 * time.Millisecond
	// lateMost is how much longer it may take without being held for a pause.
	lateMost = time.Second
	// keptFor is how long a session lives that was kept, unless it shows itself.
	keptFor = time.Second
)

// tracked is a session. Its times are those of the caller less what was stalled.
type tracked struct {
	id              uint64
	connection      uint64 // the highest that has shown itself, or had under a leader before
	timeout, linger time.Duration
	deadline        time.Duration
	// spared is up to when it does not end by its linger: a timeout from the last sign that
	// came without a connection, and from the claim, if any came under a leader before.
	spared time.Duration
	// due is the deadline as of when the session was last moved in the queue. The true
	// one may be later, never earlier, so that a sign of life need not touch the queue.
	due  time.Duration
	pos  int  // in the queue
	over bool // it is being expired, and not in the queue
}

// NewTracker begins a leadership: now is the time at which its ClaimSessions was seen to
// be applied, or later.
func NewTracker(now time.Duration) *Tracker {
	return &Tracker{sessions: make(map[uint64]*tracked), last: now}
}

// Len is how many sessions it knows.
func (t *Tracker) Len() int { return len(t.sessions) }

// pass notes the time and returns the one that counts for sessions.
func (t *Tracker) pass(now time.Duration) time.Duration {
	if gap := now - t.last - tickEvery; gap > lateMost {
		t.stalled += gap
	}
	t.last = max(t.last, now)
	return t.last - t.stalled
}

// Add tells of a session that is in the tree; one that is known already is left alone.
func (t *Tracker) Add(s SessionInfo, now time.Duration) {
	at := t.pass(now)
	if t.sessions[s.ID] != nil {
		return
	}
	n := &tracked{id: s.ID, connection: s.Connection, timeout: time.Duration(s.Timeout) * time.Millisecond,
		linger: time.Duration(s.Linger) * time.Millisecond}
	if n.deadline = at + n.timeout; s.Unbound {
		n.spared = n.deadline
	}
	t.sessions[s.ID] = n
	t.push(n)
}

// Remove tells that a session is over.
func (t *Tracker) Remove(id uint64) {
	n := t.sessions[id]
	if n == nil {
		return
	}
	delete(t.sessions, id)
	if !n.over {
		heap.Remove(&t.queue, n.pos)
	}
}

// Retain tells which sessions the tree has, by id: what the tracker knows beside them was
// closed, which nobody else would tell it before their Timeout.
func (t *Tracker) Retain(open []SessionInfo) {
	for id := range t.sessions {
		if _, found := slices.BinarySearchFunc(open, id, func(s SessionInfo, id uint64) int { return cmp.Compare(s.ID, id) }); !found {
			t.Remove(id)
		}
	}
}

// Touch notes a sign of life that arrived at the time now from the connection with the
// given number: one that was made later has a higher one. 0 is no connection: a sign that
// came by itself. A sign that is Alive must not be confirmed to the client before the tree
// knows of its connection, by AttachSessions: the next leader's Tracker is filled from there.
func (t *Tracker) Touch(id, connection uint64, now time.Duration) Sign {
	at := t.pass(now)
	n := t.sessions[id]
	switch {
	case n == nil || n.over:
		return Over
	case connection != 0 && connection < n.connection:
		return Moved
	}
	n.connection = max(n.connection, connection)
	n.deadline = at + n.timeout
	if connection == 0 { // the end of a connection takes back only what was said over one
		n.spared = n.deadline
	}
	return Alive
}

// Gone notes that the connection was closed: the session ends after its Linger unless
// it shows itself. It counts for nothing if a newer connection was confirmed, and it does
// not take back a sign that came by itself.
func (t *Tracker) Gone(id, connection uint64, now time.Duration) {
	at := t.pass(now)
	n := t.sessions[id]
	if n == nil || n.over || connection < n.connection {
		return
	}
	n.connection = connection
	n.deadline = min(n.deadline, max(at+n.linger, n.spared))
	t.requeue(n)
}

// Next is when Expire has something to do, if ok: when the first session may have been
// silent for too long, and in any case half a second after the last call.
func (t *Tracker) Next() (at time.Duration, ok bool) {
	if len(t.queue) == 0 {
		return 0, false
	}
	return min(max(t.queue[0].due+t.stalled, t.last), t.last+tickEvery), true
}

// Expire returns at most limit sessions that are to be expired, which are Over from here
// on, those that were silent longest first. With a limit of 0 it only notes that time
// passes. A call that comes late by more than a second, because the process stood still
// or had no time, expires nobody for that time: every session has as much more.
func (t *Tracker) Expire(now time.Duration, limit int) []uint64 {
	at := t.pass(now)
	var ids []uint64
	for len(ids) < limit && len(t.queue) > 0 && t.queue[0].due <= at {
		n := t.queue[0]
		if n.deadline > at {
			t.requeue(n)
			continue
		}
		heap.Pop(&t.queue)
		n.over = true
		ids = append(ids, n.id)
	}
	return ids
}

// Keep takes back that a session is to be expired: its expiry was surely not done. It
// lives for a second more, and on if it shows itself meanwhile.
func (t *Tracker) Keep(id uint64, now time.Duration) {
	at := t.pass(now)
	if n := t.sessions[id]; n != nil && n.over {
		n.over, n.deadline = false, at+min(keptFor, n.timeout)
		t.push(n)
	}
}

func (t *Tracker) push(n *tracked) {
	n.due = n.deadline
	heap.Push(&t.queue, n)
}

func (t *Tracker) requeue(n *tracked) {
	n.due = n.deadline
	heap.Fix(&t.queue, n.pos)
}

// dueQueue is a heap by due, and by id among those due at once.
type dueQueue []*tracked

func (q dueQueue) Len() int { return len(q) }

func (q dueQueue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].due, q[j].due), cmp.Compare(q[i].id, q[j].id)) < 0
}

func (q dueQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].pos, q[j].pos = i, j
}

// Push is heap.Interface's.
func (q *dueQueue) Push(x any) {
	n := x.(*tracked)
	n.pos = len(*q)
	*q = append(*q, n)
}

// Pop is heap.Interface's.
func (q *dueQueue) Pop() any {
	last := len(*q) - 1
	n := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return n
}
