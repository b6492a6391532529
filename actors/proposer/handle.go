package proposer

import (
	"context"
	"sync"
	"time"

	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/paxos"
)

// Handle is the actor as others in the process see it.
type Handle struct {
	*decree.Handle

	gone chan struct{} // closed when the actor has stopped for good

	mu    sync.Mutex
	taken map[*call]struct{} // by the present instance of the actor
}

// call is one Decide or Finish. It ends once.
type call struct {
	decree string
	value  paxos.Value // nil: Finish
	done   chan outcome
}

type outcome struct {
	result paxos.Result
	err    error
}

func (c *call) finish(o outcome) {
	select {
	case c.done <- o:
	default:
	}
}

// Refused ends a call that the actor has never seen.
func (c *call) Refused() {
	c.finish(outcome{paxos.Result{Fate: paxos.SurelyNot}, ErrOverloaded})
}

// Lost ends a call whose batch made the actor panic.
func (c *call) Lost() { c.finish(outcome{paxos.Result{Fate: paxos.Unknown}, decree.ErrRestarted}) }

// giveUp tells the actor that nobody waits for a call any more.
type giveUp struct{ call *call }

// Control lets it into a full mailbox: there is at most one a call.
func (giveUp) Control() {}

// Hint tells the actor who may be behind the acceptors' names, and who else
// proposes.
func (h *Handle) Hint(hints decree.Hints) { h.Tell(hints) }

// Decide proposes a value for a decree and returns what becomes of it: chosen,
// surely not (then Value is the one that is chosen, or nil if this value was
// never sent to be voted for), or unknown. The error says why, if no value is known
// to be chosen. The value must not be changed afterwards.
func (h *Handle) Decide(ctx context.Context, name string, value paxos.Value) (paxos.Result, error) {
	return h.call(ctx, &call{decree: name, value: value, done: make(chan outcome, 1)})
}

// Finish asks what is chosen, completing what was voted for; paxos.Undecided if
// nothing was at some moment during the call (L5).
func (h *Handle) Finish(ctx context.Context, name string) (paxos.Result, error) {
	return h.call(ctx, &call{decree: name, done: make(chan outcome, 1)})
}

// grace is how long a call that was given up waits to be told its fate: an actor
// that does not answer is being restarted.
const grace = time.Second

func (h *Handle) call(ctx context.Context, c *call) (paxos.Result, error) {
	h.Tell(c)
	select {
	case o := <-c.done:
		return o.result, o.err
	case <-h.gone:
		c.finish(outcome{paxos.Result{Fate: paxos.SurelyNot}, decree.ErrStopped}) // unless it was taken, and so has ended
		o := <-c.done
		return o.result, o.err
	case <-ctx.Done():
	}
	h.Tell(giveUp{c})
	limit := time.NewTimer(grace)
	defer limit.Stop()
	select {
	case o := <-c.done:
		if o.err == nil && (o.result.Fate == paxos.Unknown || o.result.Value == nil) {
			o.err = ctx.Err()
		}
		return o.result, o.err
	case <-limit.C:
		return paxos.Result{Fate: paxos.Unknown}, ctx.Err()
	}
}

// take notes that the actor has a call, so that its death ends it.
func (h *Handle) take(c *call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.taken == nil {
		h.taken = make(map[*call]struct{})
	}
	h.taken[c] = struct{}{}
}

// under returns how many calls are under way.
func (h *Handle) under() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.taken)
}

func (h *Handle) end(c *call, o outcome) {
	h.mu.Lock()
	delete(h.taken, c)
	h.mu.Unlock()
	c.finish(o)
}

// stop ends everything for good.
func (h *Handle) stop() {
	h.endAll(decree.ErrStopped)
	close(h.gone)
}

// endAll ends the calls of an instance that is no more: nobody can tell their fate.
func (h *Handle) endAll(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.taken {
		c.finish(outcome{paxos.Result{Fate: paxos.Unknown}, err})
	}
	clear(h.taken)
}
