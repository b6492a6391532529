package learner

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
	"github.com/synod-go/synod/storage"
)

func TestALearnerHoldsBackWhileTheDiskDoesNotKeepUp(t *testing.T) {
	const maxPending, valueBytes = 80 << 20, 60 << 10
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "l", SegmentBytes: 8 << 20, Manual: true,
		MaxPendingBytes: maxPending})
	if err != nil {
		t.Fatal(err)
	}
	system := actors.NewSystem(nil)
	h, err := Spawn(system, Config{Host: decree.Host{ID: 2, Name: "l", Acceptors: []string{"a"}, Store: store, Group: 1,
		Limits:   decree.Limits{Bytes: 1 << 30},
		Send:     func(paxos.ID, *messages.DecreeMessage) {},
		Clock:    func() paxos.Time { return 1 },
		FailStop: func(err error) { t.Errorf("the node ends: %v", err) }}}, "learner", actors.NewStrategy(actors.StrategyConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = system.Root.StopFuture(h.PID()).Wait() }()
	flush := func() {
		t.Helper()
		for range 2 { // the second one comes in a turn after the first one's has ended
			turned := make(chan struct{})
			h.Do(func() { close(turned) })
			<-turned
		}
		for again := true; again; { // once more, for answers that wait behind what was written
			again = store.Pending() > 0
			if err := store.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	set, err := founding.NewSet(founding.Member{Name: "a", ID: 1})
	if err != nil {
		t.Fatal(err)
	}
	h.Hint(decree.Hints{Acceptors: map[string]paxos.ID{"a": 1}})
	pinned := decree.EncodePinned("a", founding.State{Set: set, Founded: true})
	h.Deliver(decree.Outgoing{To: 2, Message: pinned}.Fill(1, "", 0).Message)
	flush()
	value := bytes.Repeat([]byte("v"), valueBytes)
	voted := func(i int) any {
		accepted := decree.Encode(paxos.Accepted{Ballot: paxos.Ballot{Round: 1, Node: 3}, Value: value})
		return decree.Outgoing{To: 2, Message: accepted}.Fill(1, fmt.Sprint(i), set.Digest()).Message
	}
	const last = maxPending/valueBytes + 1
	for i := range last {
		h.Deliver(voted(i))
	}
	flush()
	h.Deliver(voted(last - 1))
	flush()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if got, err := h.Learn(ctx, fmt.Sprint(last-1)); err != nil || !bytes.Equal(got, value) {
		t.Fatalf("once the disk has caught up it learns %d bytes, %v", len(got), err)
	}
}
