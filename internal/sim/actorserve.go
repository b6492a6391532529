package sim

import (
	"context"
	"errors"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
)

// pendingCall is a call of a client, or without one of the operator, that the
// actor has not ended.
type pendingCall struct {
	group.Call
	op      *operation
	attempt int
}

// request is an operation arriving at a machine.
func (w *ActorWorld) request(h *host, op *operation, attempt int) {
	var call group.Call
	var err error
	switch op.kind {
	case opLease:
		w.leaseRead(h, op, attempt)
		return
	case opRead:
		call, err = h.handle.StartReadIndex()
	default:
		call, err = h.handle.StartPropose(op.envelope(0).Append(nil))
	}
	if err != nil {
		w.refused(h, op, attempt, err)
		return
	}
	h.calls = append(h.calls, pendingCall{call, op, attempt})
}

// proposing reports whether a client waits for a command here.
func (h *host) proposing() bool {
	for _, c := range h.calls {
		if c.op != nil && c.op.kind < opRead {
			return true
		}
	}
	return false
}

// collect takes the calls that have ended and looks at the state machine.
func (w *ActorWorld) collect(h *host) {
	rest := h.calls[:0]
	for _, c := range h.calls {
		if !c.Ended() {
			rest = append(rest, c)
			continue
		}
		result, index, err := c.Wait(context.Background())
		switch {
		case c.op == nil:
			w.pictured(h, err)
		case err != nil:
			w.refused(h, c.op, c.attempt, err)
		case c.op.kind == opRead:
			w.read(h, c, index)
		default:
			w.model.replies(c.op, result)
			w.fold(mix(c.op.number) ^ result.Index)
			w.clients.reply(c.op, c.attempt, reply{kind: replyDone, result: result})
		}
	}
	clear(h.calls[len(rest):])
	h.calls = rest
	if now := h.handle.Applied(); now != h.applied && h.ended == nil {
		w.applies(h, now)
	}
}

// applies compares a state machine that went on with all others (S5), and with
// the model if nothing is newer: no acknowledged write is missing.
func (w *ActorWorld) applies(h *host, now consensus.Index) {
	before := h.applied
	h.applied = now
	r := h.handle.Replica()
	for i := (uint64(before) + digestEvery) / digestEvery * digestEvery; i <= uint64(now); i += digestEvery {
		if d, ok := r.DigestAt(i); ok {
			w.model.compare(h.id, consensus.Index(i), d)
		}
	}
	at := r.Digest()
	if consensus.Index(at.Index) != now {
		return // restarted, and not there yet
	}
	w.model.compare(h.id, now, at.Digest)
	w.fold(uint64(h.id)<<56 ^ uint64(now)<<8 ^ at.Digest)
	if now >= w.model.last && h.machine.registers != w.model.registers {
		violated("S5", "replica %d has applied everything, %d entries, and holds %v, the model %v", h.id, now, h.machine.registers, w.model.registers)
	}
}

// read answers a read whose index the state machine has reached.
func (w *ActorWorld) read(h *host, c pendingCall, index consensus.Index) {
	seen := reply{kind: replyValue}
	err := h.handle.Read(index, func(machine replica.StateMachine, applied uint64) {
		seen.value, seen.index = machine.(*plantedMachine).value[c.op.key], consensus.Index(applied)
	})
	if errors.Is(err, group.ErrBehind) {
		violated("R12", "replica %d answers a read at %d, it has applied %d", h.id, index, h.handle.Applied())
	}
	if err != nil { // it has stopped
		w.refused(h, c.op, c.attempt, group.ErrUnknown)
		return
	}
	if h.view.Role != consensus.Leader {
		w.sometimes.count(sawFollowerRead)
	}
	w.fold(mix(c.op.number) ^ uint64(seen.index))
	w.clients.reply(c.op, c.attempt, seen)
}

// cancelled is a context for calls that may not wait.
var cancelled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// leaseRead reads by the leader's lease, or not at all.
func (w *ActorWorld) leaseRead(h *host, op *operation, attempt int) {
	seen := reply{kind: replyValue}
	if !h.handle.ReadLease(cancelled, func(machine replica.StateMachine, applied uint64) {
		seen.value, seen.index = machine.(*plantedMachine).value[op.key], consensus.Index(applied)
	}) {
		w.refused(h, op, attempt, consensus.ErrNotLeader)
		return
	}
	w.sometimes.count(sawLeaseRead)
	w.clients.reply(op, attempt, seen)
}

// refused tells the client how a call ended that did not succeed, as far as
// anybody knows.
func (w *ActorWorld) refused(h *host, op *operation, attempt int, err error) {
	w.fold(mix(op.number) ^ digest([]byte(err.Error())))
	answer := reply{kind: replyRefused, hint: -1}
	if leader := h.view.Leader; leader != consensus.None && leader != h.id {
		answer.hint = slotOf(leader)
	}
	switch {
	case errors.Is(err, group.ErrUnknown):
		w.sometimes.count(sawOutcomeUnknown)
		return // the client waits in vain
	case errors.Is(err, group.ErrNotCommitted):
		w.sometimes.count(sawNotCommitted)
		w.model.notCommitted(op, attempt)
		answer = reply{kind: replyNotCommitted}
	case errors.Is(err, group.ErrOverloaded), errors.Is(err, consensus.ErrOverloaded):
		w.sometimes.count(sawOverloaded)
	case errors.Is(err, group.ErrDiskFull):
		w.sometimes.count(sawFullRefused)
	case errors.Is(err, consensus.ErrUnavailable), op.kind == opRead:
		w.sometimes.count(sawReadRejected)
	case errors.Is(err, consensus.ErrNotLeader), errors.Is(err, consensus.ErrTransferring), errors.Is(err, group.ErrStopped):
	case errors.Is(err, replica.ErrRequestFuture): // this leader's clock is behind the client's
	default:
		violated("reply", "replica %d answers %v %d with %v", h.id, op.kind, op.number, err)
	}
	w.clients.reply(op, attempt, answer)
}

// pictured is the end of a snapshot that the operator asked for.
func (w *ActorWorld) pictured(h *host, err error) {
	switch {
	case err == nil, errors.Is(err, consensus.ErrUnavailable), errors.Is(err, group.ErrOverloaded), errors.Is(err, group.ErrUnknown), errors.Is(err, group.ErrStopped):
	case !w.excused(h, err):
		violated("D10", "replica %d cannot take a snapshot: %v", h.id, err)
	}
}
