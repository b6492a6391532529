package learner_test

import (
	"context"
	"fmt"
	"time"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/actors/learner"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
	"github.com/synod-go/synod/storage"
)

// A learner that knows the acceptors learns a value from the votes of a majority of them in one ballot.
func Example() {
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "l", SegmentBytes: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	system := actors.NewSystem(nil)
	h, err := learner.Spawn(system, learner.Config{Host: decree.Host{
		ID: 4, Name: "l", Acceptors: []string{"a", "b", "c"}, Store: store, Group: 1,
		Send:     func(paxos.ID, *messages.DecreeMessage) {}, // it asks; here votes come by themselves
		Clock:    func() paxos.Time { return 1 },
		FailStop: func(err error) { fmt.Println(err) },
	}}, "learner", actors.NewStrategy(actors.StrategyConfig{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = system.Root.StopFuture(h.PID()).Wait() }()

	set, err := founding.NewSet(founding.Member{Name: "a", ID: 1}, founding.Member{Name: "b", ID: 2}, founding.Member{Name: "c", ID: 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	says := func(acceptor paxos.ID, name string, m *messages.DecreeMessage) {
		h.Deliver(decree.Outgoing{To: 4, Message: m}.Fill(acceptor, name, set.Digest()).Message)
	}
	h.Hint(decree.Hints{Acceptors: map[string]paxos.ID{"a": 1}})
	says(1, "", decree.EncodePinned("a", founding.State{Set: set, Founded: true}))
	vote := paxos.Accepted{Ballot: paxos.Ballot{Round: 1, Node: 5}, Value: paxos.Value("blue")}
	says(1, "colour", decree.Encode(vote))
	says(3, "colour", decree.Encode(vote))

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	value, err := h.Learn(ctx, "colour")
	fmt.Println(string(value), err)
	// Output: blue <nil>
}
