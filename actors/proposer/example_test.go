package proposer_test

import (
	"context"
	"fmt"
	"time"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/actors/proposer"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
	"github.com/synod-go/synod/storage"
)

// A proposer asks the only acceptor for a promise, hears that it has voted for green in an older ballot, and so proposes
// green and not its own value (P2c).
func Example() {
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "p", SegmentBytes: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	set, err := founding.NewSet(founding.Member{Name: "a", ID: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	var h *proposer.Handle
	ready := make(chan struct{}) // closed once h is there to be answered
	send := func(_ paxos.ID, w *messages.DecreeMessage) {
		<-ready
		if answer := acceptorA(set, w); answer != nil {
			h.Tell(decree.Outgoing{To: 2, Message: answer}.Fill(1, w.GetDecree(), set.Digest()).Message)
		}
	}
	system := actors.NewSystem(nil)
	h, err = proposer.Spawn(system, proposer.Config{Host: decree.Host{
		ID: 2, Name: "p", Acceptors: []string{"a"}, Store: store, Group: 1, Send: send,
		Clock:    func() paxos.Time { return 1 },
		FailStop: func(err error) { fmt.Println(err) },
	}}, "proposer", actors.NewStrategy(actors.StrategyConfig{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = system.Root.StopFuture(h.PID()).Wait() }()
	close(ready)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h.Hint(decree.Hints{Acceptors: map[string]paxos.ID{"a": 1}})
	result, err := h.Decide(ctx, "colour", paxos.Value("blue"))
	fmt.Printf("%s is chosen, %v\n", result.Value, err)
	// Output: green is chosen, <nil>
}

// acceptorA answers as an acceptor that has voted for green.
func acceptorA(set founding.Set, w *messages.DecreeMessage) *messages.DecreeMessage {
	if w.GetFound() != nil {
		return decree.EncodePinned("a", founding.State{Set: set, Founded: true})
	}
	switch m, _ := decree.Decode(w); m := m.(type) {
	case paxos.Prepare:
		return decree.Encode(paxos.Promise{Ballot: m.Ballot, Accepted: paxos.Ballot{Round: 1, Node: 1}, Value: paxos.Value("green")})
	case paxos.Accept:
		return decree.Encode(paxos.Accepted(m))
	}
	return nil
}
