package group

import (
	"context"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
)

// Call is a proposal or a read under way, for callers that begin many before
// they wait. It is to be waited for, once.
type Call struct {
	handle *Handle
	call   *call
}

// StartPropose is the first half of Propose; Call.Wait is the second.
func (h *Handle) StartPropose(command []byte) (Call, error) {
	if _, err := replica.Decode(command); err != nil {
		return Call{}, err
	}
	c, err := h.enqueue(command, false)
	return Call{h, c}, err
}

// StartReadIndex is the first half of ReadIndex; Call.Wait is the second.
func (h *Handle) StartReadIndex() (Call, error) {
	c, err := h.enqueue(nil, true)
	return Call{h, c}, err
}

// Ended reports whether Wait would return at once. Safe for concurrent use.
func (c Call) Ended() bool { return len(c.call.done) > 0 }

// Wait returns what Propose or ReadIndex would have returned; a read has no
// Result.
func (c Call) Wait(ctx context.Context) (replica.Result, consensus.Index, error) {
	o, err := c.handle.wait(ctx, c.call)
	return o.result, o.index, err
}

// Do runs f inside the actor with its engine and does not wait for it: for
// simulated worlds, which look at the core, change the membership, or panic to
// see the actor recover. Errors: ErrOverloaded, ErrStopped; then f never runs. Nor
// does it if the actor fails first.
func (h *Handle) Do(f func(e Engine)) error {
	_, err := h.do(func(a *Actor) { f(a.engine) })
	return err
}

// Inspect runs f inside the actor with its engine and returns its answer. f may
// look at what its engine alone knows, but not keep it.
func Inspect[T any](ctx context.Context, h *Handle, f func(e Engine) (T, error)) (T, error) {
	return ask(ctx, h, func(a *Actor) (T, error) { return f(a.engine) })
}

// StartSnapshot is the first half of Snapshot; Call.Wait is the second.
func (h *Handle) StartSnapshot() Call {
	h.mu.Lock()
	c := h.calls.begin()
	h.mu.Unlock()
	if _, err := h.do(func(a *Actor) { a.snapshot(c) }); err != nil {
		c.finish(outcome{err: err})
	}
	return Call{h, c}
}
