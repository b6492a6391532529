package cluster_test

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/messages"
)

// Two nodes of one process on a network in memory: one greets, the other
// prints.
func Example() {
	network, book := cluster.NewMemoryNetwork(), cluster.NewBook()
	start := func(id cluster.NodeID, name string) *cluster.Link {
		link, err := cluster.NewLink(cluster.LinkConfig{
			System: actors.NewSystem(nil), Network: network.Host(name), Listen: name,
			Self: id, Name: name, Epoch: 1, Lookup: book.Lookup,
		})
		if err != nil {
			panic(err)
		}
		if err := link.Register(cluster.FirstKind, &messages.RaftMessage{}); err != nil {
			panic(err)
		}
		book.Learn(id, name)
		return link
	}
	a, b := start(1, "a"), start(2, "b")
	defer a.Close()
	defer b.Close()

	done := make(chan struct{})
	b.Publish("printer", b.System().Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if m, ok := c.Message().(*messages.RaftMessage); ok {
			fmt.Println("term", m.Term, "from", cluster.NodeID(m.From))
			close(done)
		}
	})), nil)
	for _, link := range []*cluster.Link{b, a} {
		if err := link.Start(); err != nil {
			panic(err)
		}
	}
	a.System().Root.Send(a.PID(2, "printer"), &messages.RaftMessage{From: 1, Term: 7})
	<-done
	// Output: term 7 from 0000000000000001
}
