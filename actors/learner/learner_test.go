package learner

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
	"github.com/synod-go/synod/storage"
)

// bench is a learner's actor with a clock and a log that the test moves.
type bench struct {
	t      *testing.T
	handle *Handle
	store  *storage.Store
	set    founding.Set
	now    atomic.Int64
	asked  atomic.Int64 // how often an acceptor was asked for its vote
}

// newBench makes one that knows the acceptors a, b and c, with the IDs 1, 2 and 3.
func newBench(t *testing.T, limits decree.Limits, maxPending int64) *bench {
	t.Helper()
	b := &bench{t: t}
	b.now.Store(1)
	var err error
	b.store, err = storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "l", SegmentBytes: 8 << 20, Manual: true,
		MaxPendingBytes: maxPending})
	if err != nil {
		t.Fatal(err)
	}
	b.set, err = founding.NewSet(founding.Member{Name: "a", ID: 1}, founding.Member{Name: "b", ID: 2}, founding.Member{Name: "c", ID: 3})
	if err != nil {
		t.Fatal(err)
	}
	system := actors.NewSystem(nil)
	b.handle, err = Spawn(system, Config{Host: decree.Host{ID: 4, Name: "l", Acceptors: []string{"a", "b", "c"}, Store: b.store,
		Group: 1, Limits: limits, Send: b.send,
		Clock:    func() paxos.Time { return paxos.Time(b.now.Load()) },
		FailStop: func(err error) { t.Errorf("the node ends: %v", err) }}}, "learner", actors.NewStrategy(actors.StrategyConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = system.Root.StopFuture(b.handle.PID()).Wait() })
	b.handle.Hint(decree.Hints{Acceptors: map[string]paxos.ID{"a": 1}})
	b.deliver(1, "", decree.EncodePinned("a", founding.State{Set: b.set, Founded: true}))
	b.settle()
	return b
}

func (b *bench) send(_ paxos.ID, m *messages.DecreeMessage) {
	if m.GetAsk() != nil {
		b.asked.Add(1)
	}
}

func (b *bench) deliver(from paxos.ID, name string, m *messages.DecreeMessage) {
	b.handle.Deliver(decree.Outgoing{To: 4, Message: m}.Fill(from, name, b.set.Digest()).Message)
}

func (b *bench) vote(acceptor paxos.ID, name string, value paxos.Value) {
	b.deliver(acceptor, name, decree.Encode(paxos.Accepted{Ballot: paxos.Ballot{Round: 1, Node: 5}, Value: value}))
}

// settle returns when the actor has done all that it was sent, and it is on disk.
func (b *bench) settle() {
	b.t.Helper()
	for range 2 { // the second one comes in a turn after the first one's has ended
		turned := make(chan struct{})
		b.handle.Do(func() { close(turned) })
		<-turned
	}
	for again := true; again; { // once more, for answers that wait behind what was written
		again = b.store.Pending() > 0
		if err := b.store.Flush(); err != nil {
			b.t.Fatal(err)
		}
	}
}

// pass lets time pass and returns how many acceptors were asked then.
func (b *bench) pass(d time.Duration) int64 {
	b.t.Helper()
	before := b.asked.Load()
	b.now.Add(int64(d))
	b.handle.Deliver(decree.Tick{})
	b.settle()
	return b.asked.Load() - before
}

func TestALearnerHoldsBackWhileTheDiskDoesNotKeepUp(t *testing.T) {
	const maxPending, valueBytes = 80 << 20, 60 << 10
	b := newBench(t, decree.Limits{Bytes: 1 << 30}, maxPending)
	value := bytes.Repeat([]byte("v"), valueBytes)
	const last = maxPending/valueBytes + 1
	for i := range last {
		b.vote(1, fmt.Sprint(i), value)
		b.vote(2, fmt.Sprint(i), value)
	}
	b.settle()
	b.vote(1, fmt.Sprint(last-1), value)
	b.vote(2, fmt.Sprint(last-1), value)
	b.settle()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if got, err := b.handle.Learn(ctx, fmt.Sprint(last-1)); err != nil || !bytes.Equal(got, value) {
		t.Fatalf("once the disk has caught up it learns %d bytes, %v", len(got), err)
	}
}

func TestWhatCannotBeKeptIsNotAskedForUnlessSomebodyWaits(t *testing.T) {
	b := newBench(t, decree.Limits{Rows: 1}, 0)
	b.vote(1, "x", paxos.Value("1"))
	if n := b.pass(time.Second); n != 3 {
		t.Fatalf("%d acceptors were asked after one vote, want 3", n)
	}
	b.vote(2, "x", paxos.Value("1")) // chosen and kept
	for acceptor := range paxos.ID(3) {
		b.vote(1+acceptor, "y", paxos.Value("2")) // chosen by two votes and forgotten; the third begins again
	}
	for range 3 {
		if n := b.pass(time.Minute); n != 0 {
			t.Fatalf("%d acceptors were asked for a decree that cannot be kept", n)
		}
	}
}
