package group_test

import (
	"context"
	"errors"
	"testing"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

func TestCallsMayBeginBeforeAnybodyWaits(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		s := startSingle(t, engine, storage.NewMemory(20), nil)
		s.add(t)
		var begun []group.Call
		for range 10 {
			c, err := s.StartPropose(replica.Envelope{Kind: replica.KindPlain, Command: []byte("x")}.Append(nil))
			if err != nil {
				t.Fatal(err)
			}
			begun = append(begun, c)
		}
		var last consensus.Index
		for i, c := range begun {
			_, index, err := c.Wait(t.Context())
			if err != nil || index <= last {
				t.Fatalf("call %d ended at index %d after %d with %v", i, index, last, err)
			}
			last = index
		}
		read, err := s.StartReadIndex()
		if err != nil {
			t.Fatal(err)
		}
		if _, index, err := read.Wait(t.Context()); err != nil || index < last {
			t.Fatalf("read at %d with %v, want at least %d", index, err, last)
		}
	})
}

func TestACallEndsWhenItsActorIsRestarted(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		s := startSingle(t, engine, storage.NewMemory(21), nil)
		s.add(t)
		hold := make(chan struct{})
		if _, err := s.Task(func(*group.Actor) { <-hold; panic("planted") }); err != nil {
			t.Fatal(err)
		}
		c, err := s.StartPropose(replica.Envelope{Kind: replica.KindPlain}.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if c.Ended() {
			t.Fatal("the call has ended before the actor saw it")
		}
		close(hold)
		if _, _, err := c.Wait(context.Background()); !errors.Is(err, group.ErrUnknown) {
			t.Fatalf("ended with %v, want group.ErrUnknown", err)
		}
	})
}
