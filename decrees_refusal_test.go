package synod

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod/messages"
)

func TestACallTooManyIsOverloadedAndSurelyNotChosen(t *testing.T) {
	c := newCouncil(t, "a", "b", "c").open("a") // without the others calls wait
	ctx, cancel := context.WithCancel(c.ctx)
	overloaded, gone := make(chan error, 1), make(chan struct{})
	var calls sync.WaitGroup
	for i := range 4096 + 1 {
		calls.Go(func() {
			if _, err := c.by["a"].Decide(ctx, fmt.Sprint(i), []byte("1")); ctx.Err() == nil {
				overloaded <- err
			}
		})
	}
	go func() { calls.Wait(); close(gone) }()
	if err := <-overloaded; !errors.Is(err, ErrNotChosen) || !errors.Is(err, ErrOverloaded) {
		t.Errorf("a call too many: %v", err)
	}
	cancel()
	<-gone
}

// A refusal goes to all roles of a node that ask. If each asked again at once, every
// refusal would make two.
func TestWhoeverRefusesToBeFoundedIsAskedFromTimeToTime(t *testing.T) {
	c := newCouncil(t, "a", "b", "c")
	c.all["c"] = DecreesConfig{Name: "c", Acceptors: []string{"a", "b", "c", "d", "e"}, Local: c.local}
	var refusals atomic.Int64
	c.tamper(func(m *messages.DecreeMessage, send func()) {
		if m.GetRefusal() != nil {
			refusals.Add(1)
		}
		send()
	})
	began := time.Now() // they ask from their start on
	c.openAll()
	ctx, cancel := context.WithTimeout(c.ctx, 500*time.Millisecond)
	defer cancel()
	if _, err := c.by["a"].Decide(ctx, "x", []byte("1")); !errors.Is(err, ErrNotChosen) {
		t.Fatalf("decided with an acceptor of another council: %v", err)
	}
	// Two roles of a and two of b ask every 100 ms, and at once after each hint and answer,
	// of which a slow machine makes hundreds; it was tens of thousands.
	most := 8*int64(time.Since(began)/(100*time.Millisecond)) + 2048
	if n := refusals.Load(); n == 0 || n > most {
		t.Errorf("%d refusals, want 1 to %d", n, most)
	}
}
