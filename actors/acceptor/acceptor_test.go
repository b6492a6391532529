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
