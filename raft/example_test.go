package raft_test

import (
	"fmt"

	"github.com/synod-go/synod/raft"
)

// A group of one replica, driven by hand: it elects itself, saves, commits and
// applies. A driver with peers also carries Output.SendNow and Output.Send, and
// hands what arrives to Step.
func Example() {
	node, err := raft.New(
		raft.Config{ID: 1},
		raft.State{Snapshot: raft.Bootstrap(raft.Member{ID: 1, Voter: true})},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	carryOut := func() {
		for {
			node.Tick(0) // read the clock here
			out := node.Output()
			if out.Save == 0 && len(out.Apply) == 0 {
				return
			}
			if out.Save > 0 { // write out.HardState and out.Entries to disk, flush, then:
				node.Saved(out.Save)
			}
			for _, e := range out.Apply {
				if e.Kind == raft.EntryCommand {
					fmt.Printf("apply %d: %s\n", e.Index, e.Data)
				}
				node.Applied(e.Index)
			}
		}
	}

	carryOut()
	fmt.Println("role:", node.Status().Role)

	first, err := node.Propose([][]byte{[]byte("x=1"), []byte("x=2")})
	fmt.Println("proposed at", first, err)
	carryOut()

	// Output:
	// role: leader
	// proposed at 2 <nil>
	// apply 2: x=1
	// apply 3: x=2
}
