package proposer

import (
	"context"
	"sync"
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

var began = time.Now()
