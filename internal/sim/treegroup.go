package sim

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/synod-go/synod/actors/sessions"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/coordination"
)

// errand is what a keeper does beside itself. It has a goroutine of its own, which runs only
// while everything else stands still: until it waits for the group, or ends.
type errand struct {
	h      *treeHost
	wake   chan struct{}
	rests  chan struct{}
	answer reply // to what it waits for
	err    error
	ended  bool
	died   any // what it panicked with
}

// beside implements sessions.Config.Beside.
func (h *treeHost) beside(f func()) {
	e := &errand{h: h, wake: make(chan struct{}), rests: make(chan struct{})}
	h.errands = append(h.errands, e)
	go func() {
		<-e.wake
		defer func() {
			e.died, e.ended = recover(), true
			e.rests <- struct{}{}
		}()
		f()
	}()
	h.soon(h.now+h.dice.roll(streamWake, h.node.slot).between(micro, 20*micro), e.run)
}

// run lets the errand go on.
func (e *errand) run() {
	if e.ended {
		return
	}
	e.h.running = e
	e.wake <- struct{}{}
	<-e.rests
	e.h.running = nil
	if e.died != nil {
		panic(e.died)
	}
}

// end lets an errand of a process that is gone come to its end.
func (e *errand) end() {
	for !e.ended {
		e.err = errGone
		e.run()
	}
}

// wait is called on the errand's goroutine: ask begins something whose answer comes later. What
// takes longer than patience ends without one.
func (e *errand) wait(patience int64, ask func(done func(reply))) (reply, error) {
	if !e.h.alive() {
		return reply{}, errGone
	}
	e.answer, e.err = reply{}, nil
	open := true
	finish := func(r reply, err error) {
		if open && e.h.alive() {
			open = false
			e.answer, e.err = r, err
			e.h.soon(e.h.now, e.run)
		}
	}
	ask(func(r reply) { finish(r, nil) })
	e.h.soon(e.h.now+patience, func() { finish(reply{}, context.DeadlineExceeded) })
	e.rests <- struct{}{}
	<-e.wake
	open = false
	return e.answer, e.err
}

// hostGroup is the replica of a process as its keeper sees it.
type hostGroup struct{ h *treeHost }

// What a keeper's call of the group may end with.
var (
	errSurelyNot = errors.New("sim: not done")
	errBehind    = errors.New("sim: no answer")
	errGone      = errors.New("sim: the process is gone")
)

// keeperPatience is how long a keeper waits for its group.
const keeperPatience = 5 * second

// operation is one that a keeper asks its replica for.
func (g hostGroup) operation(kind operationKind, done func(reply)) *operation {
	h := g.h
	h.clients.operations++
	return &operation{number: h.clients.operations, client: -1, kind: kind, called: h.now, floor: h.model.returned, slot: h.node.slot, local: done}
}

// Propose implements sessions.Group.
func (g hostGroup) Propose(_ context.Context, command []byte) ([]byte, error) {
	h := g.h
	r, err := h.running.wait(keeperPatience, func(done func(reply)) {
		op := g.operation(opPlain, done)
		op.payload = append(binary.LittleEndian.AppendUint64(nil, op.number), command...)
		h.put(h.node, input{kind: inPropose, op: op})
	})
	switch {
	case err != nil:
		return nil, err
	case r.kind != replyDone:
		return nil, errSurelyNot
	}
	return r.result.Value, nil
}

// SurelyNot implements sessions.Group.
func (g hostGroup) SurelyNot(err error) bool { return errors.Is(err, errSurelyNot) }

// Read implements sessions.Group. Like package synod it tries the lease first: it looks at the
// clock after it has read, and if the lease is over it asks a quorum and reads again.
func (g hostGroup) Read(_ context.Context, fresh bool, f func(sessions.Tree)) error {
	h := g.h
	if !h.alive() {
		return errGone
	}
	tree := h.node.machine.(*treeMachine).Tree
	if !fresh {
		f(tree)
		return nil
	}
	if n := h.node; n.lease != 0 && consensus.Index(n.replica.Applied()) >= n.leaseIndex {
		f(tree)
		r, err := h.running.wait(keeperPatience, func(done func(reply)) {
			d := h.dice.roll(streamLeaseRead, n.slot)
			h.soon(h.now+d.between(0, 5*micro), func() { done(reply{value: bit01(n.lease != 0 && n.clock.at(h.now) < n.lease)}) })
		})
		if err != nil || r.value == 1 {
			return err
		}
	}
	r, err := h.running.wait(keeperPatience, func(done func(reply)) {
		op := g.operation(opRead, done)
		op.look = func(tree *coordination.Tree) any { f(tree); return nil }
		h.put(h.node, input{kind: inRead, op: op})
	})
	if err != nil {
		return err
	}
	if r.kind != replyValue {
		return errBehind
	}
	return nil
}

// Leadership implements sessions.Group.
func (g hostGroup) Leadership() sessions.Leadership { return g.h.leads() }

func (h *treeHost) leads() sessions.Leadership {
	s := h.node.core.Status()
	return sessions.Leadership{Term: uint64(s.Term), Leader: uint64(s.Leader), Leads: s.Role == consensus.Leader}
}

// LogTime implements sessions.Group.
func (g hostGroup) LogTime() int64 { return g.h.node.wall + g.h.now/milli }
