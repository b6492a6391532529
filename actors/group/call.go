package group

import (
	"context"
	"sync/atomic"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
)

// call is one proposal or read on its way. Whoever has it ends it by finish.
type call struct {
	command []byte
	index   consensus.Index // of the entry; for a read, the index to wait for
	term    consensus.Term
	done    chan outcome // holds one
	at      int          // its place in calls.out, -1 when it is not there; under Handle.mu
	// abandoned: nobody waits any more.
	abandoned atomic.Bool
}

type outcome struct {
	result replica.Result
	index  consensus.Index
	err    error
}

// finish ends a call. Only the first end counts: when the actor dies, its calls
// are ended for whoever has them.
func (c *call) finish(o outcome) {
	select {
	case c.done <- o:
	default:
	}
}

// calls are those that somebody waits for, so that the death of the actor can
// end them all, and idle ones to be used again. Guarded by Handle.mu.
type calls struct {
	out, idle []*call
}

func (s *calls) begin() *call {
	var c *call
	if n := len(s.idle); n > 0 {
		c, s.idle = s.idle[n-1], s.idle[:n-1]
	} else {
		c = &call{done: make(chan outcome, 1)}
	}
	c.at = len(s.out)
	s.out = append(s.out, c)
	return c
}

// leave takes c out. It is used again only if its one owner has ended it.
func (s *calls) leave(c *call, ended bool) {
	if c.at < 0 {
		return // the actor died: its former owner may still have it
	}
	last := len(s.out) - 1
	s.out[c.at], s.out[last].at = s.out[last], c.at
	s.out[last] = nil
	s.out, c.at = s.out[:last], -1
	if ended && len(s.idle) < maxIdleCalls {
		c.command, c.index, c.term = nil, 0, 0
		s.idle = append(s.idle, c)
	}
}

const maxIdleCalls = 4096

// end tells everybody that the outcome cannot be known any more.
func (s *calls) end() {
	for _, c := range s.out {
		c.at = -1
		c.finish(outcome{err: ErrUnknown})
	}
	*s = calls{}
}

// wait returns the outcome. If ctx or the actor ends first the call is left
// behind and the error is ctx's or ErrUnknown: a proposal may still be applied.
func (h *Handle) wait(ctx context.Context, c *call) (outcome, error) {
	var o outcome
	ended := true
	if cancelled := ctx.Done(); cancelled == nil {
		o = <-c.done
	} else {
		select {
		case o = <-c.done:
		case <-cancelled:
			c.abandoned.Store(true)
			o, ended = outcome{err: ctx.Err()}, false
		}
	}
	h.mu.Lock()
	h.calls.leave(c, ended)
	h.mu.Unlock()
	return o, o.err
}

// call has f carried out inside the actor with a call to end.
func (h *Handle) call(ctx context.Context, f func(*Actor, *call)) (outcome, error) {
	h.mu.Lock()
	c := h.calls.begin()
	h.mu.Unlock()
	if _, err := h.do(func(a *Actor) { f(a, c) }); err != nil {
		c.finish(outcome{err: err})
	}
	return h.wait(ctx, c)
}
