package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/sessions"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/coordination"
)

// treeHost is what a process has for the sessions of a tree: the connections of clients,
// and the real keeper, whose turns the world decides.
type treeHost struct {
	*treeWork
	node        *node
	life        uint32
	connections []*connection
	runner      *actors.SeededDispatcher
	keeper      *sessions.Handle
	awake       bool
	touches     []touch
	errands     []*errand
	leadership  sessions.Leadership
}

// touch is a sign of life that the keeper has not answered.
type touch struct {
	sessions.Call
	connection *connection
	sign       sign
}

// newHost starts the keeper of a process.
func (t *treeWork) newHost(n *node) *treeHost {
	h := &treeHost{treeWork: t, node: n, life: n.life}
	d := t.dice.at(streamTurn, n.slot, uint64(n.life))
	h.runner = actors.NewSeededDispatcher(uint64(d), actors.Interleave(d.split().below(2)))
	var err error
	h.keeper, err = sessions.Spawn(t.system, sessions.Config{
		ID: uint64(n.id), Number: uint32(groupNumber), Name: "sim", Group: hostGroup{h}, Send: h.send,
		Clock:      func() time.Duration { return time.Duration(n.clock.at(t.now)) },
		Timer:      func(f func()) sessions.Timer { return &hostTimer{h: h, f: f} },
		Beside:     h.beside,
		Dispatcher: h.runner, ExpireSessions: 1 + d.split().split().below(4), ExpireNodes: 8, LookEvery: 100 * time.Millisecond,
	}, fmt.Sprintf("keeper/%d/%d", n.id, n.life), actors.NewStrategy(actors.StrategyConfig{OnFailStop: func(_ *actor.PID, reason any) {
		violated("panic", "the keeper of replica %d: %v", n.id, reason)
	}}))
	if err != nil {
		violated("start", "the keeper of replica %d: %v", n.id, err)
	}
	return h
}

// alive reports whether the process is still there.
func (h *treeHost) alive() bool { return h.node.tree == h && h.node.up }

// soon lets the process do something a little later.
func (h *treeHost) soon(at int64, f func()) {
	h.agenda.add(at, event{kind: evTask, slot: h.node.slot, life: h.life, run: f})
}

// settle follows up on what has happened in the process: who leads has changed, signs are
// answered, the keeper has something to do.
func (h *treeHost) settle() {
	if now := h.leads(); now != h.leadership {
		h.leadership = now
		h.keeper.LeaderChanged()
	}
	h.touches = slices.DeleteFunc(h.touches, func(c touch) bool {
		if !c.Ended() {
			return false
		}
		s, err := c.Wait(context.Background())
		if err == nil {
			h.toClient(c.connection, func() { h.answered(c.connection, c.sign, s) })
			h.fold(uint64(s)<<32 ^ c.connection.session.id)
		}
		return true
	})
	if !h.awake && h.runner.Pending() > 0 {
		h.awake = true
		h.soon(h.now+h.dice.roll(streamWake, h.node.slot).between(micro, 20*micro), func() {
			h.awake = false
			h.runner.Step()
		})
	}
}

// stopped is told that the process has ended: what waits for it ends, and some clients see
// their connections closed.
func (h *treeHost) stopped() {
	for _, e := range h.errands {
		e.end()
	}
	for _, c := range h.connections {
		if h.dice.roll(streamClientNet, c.of.number).perMille(500) {
			h.toClient(c, func() { h.broken(c) })
		}
	}
}

// attach takes a connection on, whose client has been told what its watch wants up to an index.
func (h *treeHost) attach(c *connection, seen uint64) {
	c.told = seen
	h.connections = append(h.connections, c)
	h.pump(c)
}

// touch hands a sign of life to the keeper.
func (h *treeHost) touch(c *connection, g sign) {
	call, err := h.keeper.StartTouch(c.session.id, c.number)
	if err != nil {
		violated("C2", "the keeper of replica %d refuses a sign of life: %v", h.node.id, err)
	}
	h.touches = append(h.touches, touch{call, c, g})
}

// gone is a connection that its client has closed.
func (h *treeHost) gone(c *connection) {
	h.connections = slices.DeleteFunc(h.connections, func(o *connection) bool { return o == c })
	h.keeper.Gone(c.session.id, c.number)
}

// applied is told that the tree has gone on.
func (h *treeHost) applied() {
	for _, c := range h.connections {
		h.pump(c)
	}
}

// pump tells a client what its watch wants.
func (h *treeHost) pump(c *connection) {
	tree := h.node.machine.(*treeMachine).Tree
	x := c.of
	for more := true; more; {
		from := c.told
		page, err := tree.EventsSince(from, x.watch)
		if errors.Is(err, coordination.ErrHistoryGone) { // the client reads anew
			now := h.node.replica.Applied()
			c.told = now
			h.sometimes.count(sawHistoryGone)
			h.toClient(c, func() { x.seen = now })
			return
		}
		if err != nil {
			violated("C6", "replica %d tells no events after %d: %v", h.node.id, from, err)
		}
		if more = page.More; len(page.Events) > 0 || more {
			c.told = page.Next
			h.toClient(c, func() { h.watched(x, from, page) })
		}
	}
}

// send puts a message of the keeper on its way.
func (h *treeHost) send(to uint64, m proto.Message) {
	n, slot := h.node, slotOf(consensus.ID(to))
	if !h.alive() || slot >= len(h.nodes) {
		return
	}
	frame, err := proto.Marshal(m)
	if err != nil {
		violated("wire", "the keeper of replica %d sends what cannot be encoded: %v", n.id, err)
	}
	h.fold(digest(frame))
	if h.tracer != nil {
		h.trace("keeper    %d → %d %s", n.id, to, spaced(m))
	}
	if h.lost(n.slot, slot) {
		return
	}
	copies := 1
	if h.has(Duplicate) && h.dice.roll(streamDuplicate, n.slot*maxSlots+slot).perMille(h.weather.duplicate) {
		copies = 2
	}
	for range copies {
		got := m.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(frame, got); err != nil {
			violated("wire", "a message of the keeper of replica %d cannot be decoded: %v", n.id, err)
		}
		at := h.arrival(n.slot, slot, h.delay(n.slot, slot))
		h.agenda.add(at, event{kind: evOutside, slot: slot, run: func() { h.deliver(n, slot, consensus.ID(to), got) }})
	}
}

// deliver hands a message to the keeper that it is meant for.
func (h *treeHost) deliver(from *node, slot int, to consensus.ID, m proto.Message) {
	n := h.nodes[slot]
	switch {
	case !n.up || n.tree == nil || n.id != to || h.net.cut[from.slot][slot] > 0:
	case n.pausedUntil > h.now:
		h.agenda.add(n.pausedUntil, event{kind: evOutside, slot: slot, run: func() { h.deliver(from, slot, to, m) }})
	default:
		n.tree.keeper.Deliver(m)
		n.tree.settle()
	}
}

// hostTimer is a timer of a process, by its machine's clock.
type hostTimer struct {
	h    *treeHost
	f    func()
	set  uint64 // counts settings: only the last one counts
	runs bool
}

// Reset implements sessions.Timer.
func (t *hostTimer) Reset(after time.Duration) bool {
	ran := t.runs
	t.set++
	t.runs = true
	setting, n := t.set, t.h.node
	t.h.soon(max(n.clock.when(n.clock.at(t.h.now)+consensus.Time(after)), t.h.now), func() {
		if t.runs && t.set == setting {
			t.runs = false
			t.f()
		}
	})
	return ran
}

// Stop implements sessions.Timer.
func (t *hostTimer) Stop() bool {
	ran := t.runs
	t.runs = false
	return ran
}
