package multipaxos_test

import (
	"fmt"

	"github.com/synod-go/synod/multipaxos"
)

// Three replicas in memory, driven by hand: one is elected, a command is chosen, and
// all apply it. A real driver writes the save to disk, flushes, and only then calls
// Saved and sends Output.Send.
func Example() {
	var members []multipaxos.Member
	for id := multipaxos.ID(1); id <= 3; id++ {
		members = append(members, multipaxos.Member{ID: id, Voter: true})
	}
	nodes := map[multipaxos.ID]*multipaxos.Node{}
	for _, m := range members {
		node, err := multipaxos.New(multipaxos.Config{ID: m.ID}, multipaxos.State{Snapshot: multipaxos.Bootstrap(members...)})
		if err != nil {
			fmt.Println(err)
			return
		}
		nodes[m.ID] = node
	}

	// turn carries out what a replica asks for, and gives the others its messages.
	var now multipaxos.Time // read the clock here
	var turn func(id multipaxos.ID)
	turn = func(id multipaxos.ID) {
		node := nodes[id]
		node.Tick(now)
		out := node.Output()
		for _, e := range out.Apply {
			if e.Kind == multipaxos.EntryCommand {
				fmt.Printf("%d applies %q in slot %d, proposed with ballot %s\n", id, e.Data, e.Index, multipaxos.FormatBallot(e.Term))
			}
			node.Applied(e.Index)
		}
		for _, e := range append(out.SendNow, out.Send...) {
			nodes[e.To].Tick(now)
			nodes[e.To].Step(id, e.Message)
			turn(e.To)
		}
		if out.Save > 0 {
			node.Saved(out.Save)
			turn(id)
		}
	}

	for _, m := range members {
		turn(m.ID)
	}
	now += 150e6 // promises that may have been given before a crash are over
	nodes[1].Campaign()
	turn(1)
	fmt.Println("1 is", nodes[1].Role())

	first, err := nodes[1].Propose([][]byte{[]byte("x=1")})
	fmt.Println("proposed in slot", first, err)
	turn(1)
	now += 50e6 // the next heartbeat tells what is chosen
	turn(1)

	// Output:
	// 1 is leader
	// proposed in slot 2 <nil>
	// 1 applies "x=1" in slot 2, proposed with ballot 1.1.0
	// 2 applies "x=1" in slot 2, proposed with ballot 1.1.0
	// 3 applies "x=1" in slot 2, proposed with ballot 1.1.0
}
