package proposer

import (
	"context"
	"sync"
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

// yes is an acceptor that agrees to everything and remembers nothing but the ballots.
type yes struct {
	t       *testing.T
	set     founding.Set
	answer  func(*messages.DecreeMessage)
	mu      sync.Mutex
	ballots map[string][]paxos.Ballot // that were prepared, by decree
}

func (y *yes) send(_ paxos.ID, w *messages.DecreeMessage) {
	reply := func(m *messages.DecreeMessage) {
		y.answer(decree.Outgoing{To: paxos.ID(w.GetFrom()), Message: m}.Fill(1, w.GetDecree(), y.set.Digest()).Message)
	}
	if w.GetFound() != nil {
		reply(decree.EncodePinned("a", founding.State{Set: y.set, Founded: true}))
		return
	}
	switch m, _ := decree.Decode(w); m := m.(type) {
	case paxos.Prepare:
		y.mu.Lock()
		y.ballots[w.GetDecree()] = append(y.ballots[w.GetDecree()], m.Ballot)
		y.mu.Unlock()
		reply(decree.Encode(paxos.Promise{Ballot: m.Ballot}))
	case paxos.Accept:
		reply(decree.Encode(paxos.Accepted(m)))
	}
}

func TestAProposerThatWasPutAwayOrRestartedUsesNoRoundAgain(t *testing.T) { // P2, B3
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "p", SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	set, err := founding.NewSet(founding.Member{Name: "a", ID: 1})
	if err != nil {
		t.Fatal(err)
	}
	y := &yes{t: t, set: set, ballots: make(map[string][]paxos.Ballot)}
	for life := range 2 { // the second actor finds the first one's log
		system := actors.NewSystem(nil)
		ready := make(chan struct{})
		var h *Handle
		y.answer = func(m *messages.DecreeMessage) { <-ready; h.Tell(m) }
		h, err = Spawn(system, Config{MaxIdle: 1, Host: decree.Host{ID: 2, Name: "p", Acceptors: []string{"a"}, Store: store, Group: 1,
			Send: y.send, Clock: func() paxos.Time { return paxos.Time(time.Since(began)) + 1 },
			FailStop: func(err error) { t.Error(err) }}}, "proposer", actors.NewStrategy(actors.StrategyConfig{}))
		if err != nil {
			t.Fatal(err)
		}
		close(ready)
		h.Hint(decree.Hints{Acceptors: map[string]paxos.ID{"a": 1}})
		for _, name := range []string{"x", "y", "z", "x", "y", "z", "x"} {
			if result, err := h.Decide(ctx, name, paxos.Value("v")); err != nil || result.Fate != paxos.ChosenValue {
				t.Fatalf("life %d, %s: %+v, %v", life, name, result, err)
			}
		}
		_ = system.Root.StopFuture(h.PID()).Wait()
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	for name, ballots := range y.ballots {
		for i := 1; i < len(ballots); i++ {
			if !ballots[i-1].Less(ballots[i]) {
				t.Errorf("%s: ballot %v after %v", name, ballots[i], ballots[i-1])
			}
		}
	}
	if n := len(y.ballots["x"]); n < 4 {
		t.Errorf("x was prepared %d times, want at least twice in each life: nothing was put away", n)
	}
}

// A value that another proposer has handed over has no caller here who would give up.
func TestAHandedValueIsLetGoIfTheAcceptorsRefuse(t *testing.T) {
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "p", SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	names := []string{"a", "b", "c"}
	set, err := founding.NewSet(founding.Member{Name: "a", ID: 1}, founding.Member{Name: "b", ID: 2}, founding.Member{Name: "c", ID: 3})
	if err != nil {
		t.Fatal(err)
	}
	prepares := make(chan paxos.Ballot, 64)
	var now atomic.Int64
	now.Store(1)
	system := actors.NewSystem(nil)
	h, err := Spawn(system, Config{Host: decree.Host{ID: 4, Name: "p", Acceptors: names, Store: store, Group: 1,
		Send: func(_ paxos.ID, w *messages.DecreeMessage) {
			if m, ok := decoded(w).(paxos.Prepare); ok {
				prepares <- m.Ballot
			}
		},
		Clock:    func() paxos.Time { return paxos.Time(now.Load()) },
		FailStop: func(err error) { t.Error(err) }}}, "proposer", actors.NewStrategy(actors.StrategyConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = system.Root.StopFuture(h.PID()).Wait() }()
	from := func(id paxos.ID, name string, m *messages.DecreeMessage) {
		h.Deliver(decree.Outgoing{To: 4, Message: m}.Fill(id, name, set.Digest()).Message)
	}
	settle := func() { // the second one comes in a turn after the first one's has ended
		for range 2 {
			turned := make(chan struct{})
			h.Do(func() { close(turned) })
			<-turned
		}
		if err := store.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	h.Hint(decree.Hints{Acceptors: map[string]paxos.ID{"a": 1}})
	from(1, "", decree.EncodePinned("a", founding.State{Set: set, Founded: true}))
	propose := func() (last paxos.Ballot) {
		t.Helper()
		from(5, "x", decree.Encode(paxos.Propose{Value: paxos.Value("v")}))
		settle()
		if len(prepares) != 3 {
			t.Fatalf("%d prepares after propose, want 3", len(prepares))
		}
		for range 3 {
			last = <-prepares
		}
		return last
	}
	first := propose()
	for _, id := range []paxos.ID{1, 2} {
		from(id, "x", decree.EncodeRefusal(founding.Full, set))
	}
	settle()
	now.Store(int64(time.Minute))
	h.Deliver(decree.Tick{})
	settle()
	if n := len(prepares); n != 0 {
		t.Fatalf("%d more prepares to acceptors that refuse, though nobody waits", n)
	}
	if again := propose(); !first.Less(again) { // P1
		t.Fatalf("ballot %v after %v", again, first)
	}
}

func decoded(w *messages.DecreeMessage) paxos.Message {
	m, _ := decree.Decode(w)
	return m
}

var began = time.Now()
