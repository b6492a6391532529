package acceptor_test

import (
	"fmt"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/acceptor"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
	"github.com/synod-go/synod/storage"
)

// An acceptor pins who the acceptors are, promises, accepts, and refuses what is below its promise. Nothing of it leaves
// before it is durable.
func Example() {
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "a", SegmentBytes: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	answers := make(chan *messages.DecreeMessage, 1)
	system := actors.NewSystem(nil)
	h, err := acceptor.Spawn(system, acceptor.Config{Host: decree.Host{
		ID: 1, Name: "a", Acceptors: []string{"a"}, Store: store, Group: 1,
		Send:     func(_ paxos.ID, m *messages.DecreeMessage) { answers <- m },
		Clock:    func() paxos.Time { return 1 },
		FailStop: func(err error) { fmt.Println(err) },
	}}, "acceptor", actors.NewStrategy(actors.StrategyConfig{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = system.Root.StopFuture(h.PID()).Wait() }()

	set, err := founding.NewSet(founding.Member{Name: "a", ID: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	low, high := paxos.Ballot{Round: 1, Node: 2}, paxos.Ballot{Round: 2, Node: 2}
	for _, m := range []*messages.DecreeMessage{
		decree.EncodeFound(set),
		decree.Encode(paxos.Prepare{Ballot: high}),
		decree.Encode(paxos.Accept{Ballot: low, Value: paxos.Value("red")}),
		decree.Encode(paxos.Accept{Ballot: high, Value: paxos.Value("blue")}),
	} {
		name := "colour"
		if m.GetFound() != nil {
			name = "" // it is about all decrees
		}
		h.Deliver(decree.Outgoing{To: 1, Message: m}.Fill(2, name, set.Digest()).Message)
		e := decree.Message(decree.Acceptor, <-answers, false)
		fmt.Printf("%s %s %q\n", e.Kind, e.Ballot, e.Value)
	}
	// Output:
	// pinned none ""
	// promise 2.0002 ""
	// nack 1.0002 ""
	// accepted 2.0002 "blue"
}
