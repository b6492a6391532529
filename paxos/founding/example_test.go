package founding_test

import (
	"fmt"

	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
)

// Three acceptors pin the same set: it is founded. The host carries the messages and
// saves each State before its answer leaves.
func Example() {
	names := []string{"a", "b", "c"}
	pins := map[paxos.ID]*founding.Pin{}
	name := map[paxos.ID]string{1: "a", 2: "b", 3: "c"}
	founder, err := founding.NewFounder(names, founding.Set{})
	if err != nil {
		panic(err)
	}
	for id, n := range name {
		if pins[id], err = founding.NewPin(founding.Member{Name: n, ID: id}, names, founding.State{}); err != nil {
			panic(err)
		}
		founder.Hint(n, id)
	}
	for requests := founder.Requests(false); len(requests) > 0; requests = founder.Requests(false) {
		for _, r := range requests {
			if !r.Set.IsZero() {
				if _, reason := pins[r.To].Found(r.Set); reason != 0 {
					founder.Refused(r.To, reason)
					continue
				}
			}
			founder.Pinned(r.To, name[r.To], pins[r.To].State())
		}
	}
	_, ok := founder.Founded()
	fmt.Println("founded:", ok)
	// Output: founded: true
}
