package acceptor

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
	"github.com/synod-go/synod/storage"
)

func TestOneFlushServesManyDecrees(t *testing.T) {
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "a", SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	const decrees = 50
	sent := make(chan *messages.DecreeMessage, 2*decrees)
	system := actors.NewSystem(nil)
	h, err := Spawn(system, Config{Host: decree.Host{ID: 1, Name: "a", Acceptors: []string{"a"}, Store: store, Group: 1,
		Send:     func(_ paxos.ID, m *messages.DecreeMessage) { sent <- m },
		Clock:    func() paxos.Time { return 1 },
		FailStop: func(err error) { t.Error(err) }}}, "acceptor", actors.NewStrategy(actors.StrategyConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = system.Root.StopFuture(h.PID()).Wait() }()
	set, err := founding.NewSet(founding.Member{Name: "a", ID: 1})
	if err != nil {
		t.Fatal(err)
	}
	receive := func() *messages.DecreeMessage {
		t.Helper()
		select {
		case m := <-sent:
			return m
		case <-time.After(time.Minute):
			t.Fatal("no answer")
			return nil
		}
	}
	h.Deliver(decree.Outgoing{To: 1, Message: decree.EncodeFound(set)}.Fill(2, "", 0).Message)
	if m := receive(); m.GetPinned() == nil {
		t.Fatalf("the answer to found is %v", m)
	}
	before := store.Stats().Batches
	var batch []any
	for i := range decrees {
		prepare := decree.Outgoing{To: 1, Message: decree.Encode(paxos.Prepare{Ballot: paxos.Ballot{Round: 1, Node: 2}})}
		batch = append(batch, prepare.Fill(2, fmt.Sprint("decree ", i), set.Digest()).Message)
	}
	h.Deliver(batch...)
	for range decrees {
		if m := receive(); m.GetPromise() == nil {
			t.Fatalf("the answer to prepare is %v", m)
		}
	}
	// One for the promises, and a sync mark may come before and after it.
	if flushes := store.Stats().Batches - before; flushes > 3 {
		t.Errorf("%d promises took %d flushes, want one for all", decrees, flushes)
	}
}

// bench is an acceptor's actor without an actor system, which gets one turn a call, and
// a log that is written when the test says so.
type bench struct {
	actor *Actor
	store *storage.Store
	set   founding.Set
	sent  []*messages.DecreeMessage
}

func newBench(t *testing.T, limits decree.Limits, maxPending int64) *bench {
	t.Helper()
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "a", SegmentBytes: 1 << 20, Manual: true,
		MaxPendingBytes: maxPending})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{store: store}
	host, err := decree.Host{ID: 1, Name: "a", Acceptors: []string{"a"}, Store: store, Group: 1, Limits: limits,
		Send:     func(_ paxos.ID, m *messages.DecreeMessage) { b.sent = append(b.sent, m) },
		Clock:    func() paxos.Time { return 1 },
		FailStop: func(err error) { t.Fatalf("the node ends: %v", err) }}.WithDefaults(decree.Acceptor)
	if err != nil {
		t.Fatal(err)
	}
	b.actor = &Actor{cfg: Config{Host: host}, handle: new(decree.Handle), hints: new(decree.Hints)}
	b.actor.start()
	if b.set, err = founding.NewSet(founding.Member{Name: "a", ID: 1}); err != nil {
		t.Fatal(err)
	}
	b.turn(decree.Outgoing{To: 1, Message: decree.EncodeFound(b.set)}.Fill(2, "", 0).Message)
	b.flush(t)
	return b
}

func (b *bench) turn(all ...*messages.DecreeMessage) {
	var items []actors.Item
	for _, m := range all {
		items = append(items, actors.Item{Message: m})
	}
	b.actor.turn(items)
}

func (b *bench) message(name string, m paxos.Message) *messages.DecreeMessage {
	return decree.Outgoing{To: 1, Message: decree.Encode(m)}.Fill(2, name, b.set.Digest()).Message
}

func (b *bench) flush(t *testing.T) {
	t.Helper()
	for again := true; again; { // once more, for answers that wait behind what was written
		again = b.store.Pending() > 0
		if err := b.store.Flush(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnAcceptorHoldsBackWhileTheDiskDoesNotKeepUp(t *testing.T) {
	const maxPending, valueBytes = 80 << 20, 60 << 10
	b := newBench(t, decree.Limits{}, maxPending)
	value := make(paxos.Value, valueBytes)
	b.turn(b.message("x", paxos.Accept{Ballot: paxos.Ballot{Round: 1, Node: 2}, Value: value}))
	b.flush(t)
	var duel []*messages.DecreeMessage // each promise saves the vote once more
	for round := range uint64(maxPending/valueBytes + 1) {
		duel = append(duel, b.message("x", paxos.Prepare{Ballot: paxos.Ballot{Round: 2 + round, Node: 2}}))
	}
	b.turn(duel[:len(duel)/2]...)
	b.turn(duel[len(duel)/2:]...)
	b.flush(t)
	b.sent = nil
	b.turn(duel[len(duel)-1])
	b.flush(t)
	if len(b.sent) != 1 || b.sent[0].GetPromise() == nil {
		t.Fatalf("once the disk has caught up it answers %v, want a promise", b.sent)
	}
}

func TestTheChosenValuesThatAnAcceptorRemembersAreBounded(t *testing.T) {
	const valueBytes, decrees = 1000, 30
	limits := decree.Limits{Bytes: 10 * valueBytes}
	b := newBench(t, limits, 0)
	ballot := paxos.Ballot{Round: 1, Node: 2}
	for i := range decrees { // it has promised, and others have voted
		b.turn(b.message(fmt.Sprint(i), paxos.Prepare{Ballot: ballot}))
		b.turn(b.message(fmt.Sprint(i), paxos.Chosen{Ballot: ballot, Value: make(paxos.Value, valueBytes)}))
	}
	b.flush(t)
	b.sent = nil
	for i := range decrees {
		b.turn(b.message(fmt.Sprint(i), paxos.Ask{}))
	}
	known := 0
	for _, m := range b.sent {
		known += len(m.GetChosen().GetValue())
	}
	if len(b.sent) != decrees || known == 0 || known > limits.Bytes {
		t.Fatalf("%d answers with %d bytes of chosen values, want %d with at most %d", len(b.sent), known, decrees, limits.Bytes)
	}
}

func TestAStateIsReadAsItWasWritten(t *testing.T) {
	promise := paxos.AcceptorState{Promised: paxos.Ballot{Round: 7, Node: 9}}
	vote := promise
	vote.Accepted = paxos.Vote{Ballot: paxos.Ballot{Round: 6, Node: 8}, Value: paxos.Value("v")}
	for _, s := range []paxos.AcceptorState{promise, vote} {
		got, err := DecodeState(encodeState(s))
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%+v is read as %+v, %v", s, got, err)
		}
	}
	if s, err := DecodeState(make([]byte, stateHeader-1)); err == nil {
		t.Errorf("a state that is cut off is read as %+v", s)
	}
}
