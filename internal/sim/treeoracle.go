package sim

import (
	"encoding/binary"
	"slices"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/coordination"
)

// treeOracle knows what became of every command of a tree, at its index in the log, once
// over all of history. It carries each out on a tree of its own, and follows the events on a
// mirror that knows nothing of trees.
type treeOracle struct {
	t        *treeWork
	tree     *coordination.Tree
	mirror   mirror
	events   []coordination.Event // all, in order
	sessions map[uint64]*fate
	epoch    uint64 // of the last claim
	claims   []uint64
	atNode   sums // of the nodes that clients read
	below    sums // of their children
}

// fate is what became of a session.
type fate struct {
	key  coordination.SessionKey
	left int64 // since when nobody shows it, unless a client does
	over int64 // when it was ended first on any replica, 0 is not yet
}

// sums are what paths looked like, from some index on.
type sums map[string][]version

// at is what a path looked like at an index.
func (s sums) at(path string, i consensus.Index) uint64 {
	h := s[path]
	at, _ := slices.BinarySearchFunc(h, i+1, func(v version, i consensus.Index) int { return int(v.index) - int(i) })
	if at == 0 {
		return 0
	}
	return h[at-1].value
}

func (s sums) set(path string, i uint64, sum uint64) {
	s[path] = append(s[path], version{consensus.Index(i), sum})
}

func newTreeOracle(t *treeWork) *treeOracle {
	return &treeOracle{
		t: t, tree: t.newTree(), mirror: newMirror(), sessions: map[uint64]*fate{},
		atNode: sums{}, below: sums{},
	}
}

func (o *treeOracle) note(rule, format string, args ...any) { o.t.model.note(rule, format, args...) }

// executes is a command that some state machine has carried out, and its result.
func (o *treeOracle) executes(m *treeMachine, index uint64, now int64, data, result []byte) {
	number, command := binary.LittleEndian.Uint64(data), data[8:]
	op, err := coordination.DecodeOperation(command)
	if err != nil {
		o.note("R5", "replica %d applies %x at %d, which nobody proposed: %v", m.id, data, index, err)
		return
	}
	if o.t.model.executes(m.id, consensus.Index(index), number, result) {
		o.first(index, now, command, op, result)
	}
	if op.Kind == coordination.ExpireSessions || op.Kind == coordination.CloseSession {
		o.owned(m, index)
	}
}

// first is the first time anywhere that a command was carried out.
func (o *treeOracle) first(index uint64, now int64, command []byte, op coordination.Operation, result []byte) {
	if got := o.tree.Apply(index, now, command); string(got) != string(result) {
		o.note("R5", "at %d a replay of the log gives %x, a replica %x", index, got, result)
	}
	r, err := coordination.DecodeResult(result)
	if err != nil {
		o.note("R5", "the result %x at %d cannot be read: %v", result, index, err)
		return
	}
	o.allowed(index, op, r)
	page, err := o.tree.EventsSince(index-1, coordination.Watch{Path: "/", Scope: coordination.OnTree, Limit: all})
	if err != nil {
		o.note("C6", "the events at %d cannot be read: %v", index, err)
	}
	if r.Code != coordination.CodeOK && len(page.Events) > 0 {
		o.note("C7", "%+v at %d is refused, %v, and has events: %+v", op, index, r.Err(), page.Events)
	}
	o.events = append(o.events, page.Events...)
	o.mirror.follow(o, index, op, r, page.Events)
	if r.Code == coordination.CodeOK {
		o.ends(index, op, r)
	}
	if op.Kind >= coordination.Multi || index%16 == 0 {
		o.mirror.compare(o, index, o.tree)
	}
}

// allowed checks who may do what: nobody in a session that is over or not theirs, and only
// the last who claimed them may end sessions of others.
func (o *treeOracle) allowed(index uint64, op coordination.Operation, r coordination.Result) {
	if id := op.Caller.Session; id != 0 && op.Kind != coordination.OpenSession {
		want, f := coordination.CodeOK, o.sessions[id]
		switch {
		case f == nil || f.over != 0:
			want = coordination.CodeSession
		case f.key != op.Caller.Key:
			want = coordination.CodeSessionKey
		}
		if own := r.Code == coordination.CodeSession || r.Code == coordination.CodeSessionKey; want != r.Code && (own || want != coordination.CodeOK) {
			o.note("C2", "what session %d asks for at %d is answered %v, want %v", id, index, r.Err(), want.Err())
		}
	}
	if op.Kind == coordination.ExpireSessions || op.Kind == coordination.Reap {
		if current := op.Epoch == o.epoch; current != (r.Code == coordination.CodeOK) {
			o.note("C4", "epoch %d at %d is answered %v, the last claim is at %d", op.Epoch, index, r.Err(), o.epoch)
		}
		if r.Code == coordination.CodeEpoch {
			o.t.sometimes.count(sawOldEpoch)
		}
	}
}

// ends takes note of sessions that begin and end.
func (o *treeOracle) ends(index uint64, op coordination.Operation, r coordination.Result) {
	switch op.Kind {
	case coordination.OpenSession:
		if r.Session.ID != index {
			o.note("C5", "the session opened at %d is called %d", index, r.Session.ID)
		}
		o.sessions[index] = &fate{key: op.Caller.Key, left: o.t.now}
	case coordination.CloseSession:
		o.over(index, op.Caller.Session)
	case coordination.ClaimSessions:
		o.epoch = index
		o.claims = append(o.claims, index)
	case coordination.ExpireSessions:
		for _, id := range op.Sessions[:r.Expired] {
			if f := o.sessions[id]; f != nil && f.over == 0 {
				o.t.sometimes.count(sawSessionExpired)
				o.over(index, id)
			}
		}
	}
	if o.tree.Epoch() != o.epoch {
		o.note("C4", "at %d the tree's epoch is %d, the last claim is at %d", index, o.tree.Epoch(), o.epoch)
	}
}

// over is the end of a session. Its client must not count on it any more.
func (o *treeOracle) over(index, id uint64) {
	o.sessions[id].over = o.t.now
	for _, x := range o.t.people {
		if x.session != nil && x.session.id == id && o.t.now < x.session.until {
			o.note("C2", "session %d is ended at %d, its client can count on it for %d ms", id, index, (x.session.until-o.t.now)/milli)
		}
	}
}

// owned checks that on a replica every ephemeral node has its session, which knows of it.
func (o *treeOracle) owned(m *treeMachine, index uint64) {
	counts := map[uint64]int{}
	page, err := m.List(coordination.Listing{Path: "/", Recursive: true, Limit: all})
	if err != nil {
		o.note("C3", "replica %d cannot be listed: %v", m.id, err)
	}
	for _, n := range page.Nodes {
		id := n.Stat.Owner
		if !ephemeral(id) {
			continue
		}
		counts[id]++
		if s, open := m.Session(id); !open || !slices.Contains(m.Ephemerals(id, all), n.Path) {
			o.note("C3", "replica %d has %s at %d, of session %d, which has %+v", m.id, n.Path, index, id, s)
		}
	}
	for _, s := range m.SessionsAfter(0, all) {
		if counts[s.ID] != s.Ephemerals || len(m.Ephemerals(s.ID, all)) != s.Ephemerals {
			o.note("C3", "replica %d has %d nodes of session %d at %d, which has %+v", m.id, counts[s.ID], s.ID, index, s)
		}
		if f := o.sessions[s.ID]; f != nil && !m.HoldsKey(s.ID, f.key) {
			o.note("C3", "replica %d has another key for session %d at %d", m.id, s.ID, index)
		}
	}
}

// between are the events in (from, to] that a watch wants.
func (o *treeOracle) between(from, to uint64, watch coordination.Watch) (events []coordination.Event) {
	at, _ := slices.BinarySearchFunc(o.events, from+1, func(e coordination.Event, i uint64) int { return int(e.Index) - int(i) })
	for _, e := range o.events[at:] {
		if e.Index > to {
			break
		}
		if watch.Matches(e) {
			events = append(events, e)
		}
	}
	return events
}
