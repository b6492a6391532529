package group

import (
	"context"
	"errors"
	"testing"
)

func begun(h *Handle) *call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls.begin()
}

func TestDeathOfTheActorEndsItsCalls(t *testing.T) {
	h := new(Handle)
	cancelled, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, ctx := range []context.Context{context.Background(), cancelled} {
		c := begun(h)
		h.mu.Lock()
		h.calls.end()
		h.mu.Unlock()
		c.finish(outcome{index: 7}) // by an owner who does not know
		if _, err := h.wait(ctx, c); !errors.Is(err, ErrUnknown) {
			t.Errorf("error %v, want %v", err, ErrUnknown)
		}
		c.finish(outcome{index: 8})
		if again := begun(h); again == c {
			t.Error("a call is used again that an owner may still end")
		}
	}
}

func TestAbandonedCallIsNotUsedAgain(t *testing.T) {
	h := new(Handle)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := begun(h)
	if _, err := h.wait(ctx, c); !errors.Is(err, context.Canceled) || !c.abandoned.Load() {
		t.Errorf("error %v, abandoned %v", err, c.abandoned.Load())
	}
	if again := begun(h); again == c {
		t.Error("a call is used again that its owner has yet to end")
	}
}

func TestEndedCallIsUsedAgain(t *testing.T) {
	h := new(Handle)
	a, b := begun(h), begun(h)
	a.finish(outcome{index: 1})
	b.finish(outcome{index: 2})
	for want, c := range map[uint64]*call{1: a, 2: b} {
		if o, err := h.wait(context.Background(), c); err != nil || uint64(o.index) != want {
			t.Errorf("index %d, %v, want %d", o.index, err, want)
		}
	}
	if n := len(h.calls.out); n != 0 {
		t.Errorf("%d calls are out, want none", n)
	}
	if c := begun(h); c != a && c != b {
		t.Error("nothing was used again")
	}
}
