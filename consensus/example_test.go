package consensus_test

import (
	"fmt"

	"github.com/synod-go/synod/consensus"
)

// Who votes, who may lead and who runs the state machine in a Paxos group whose roles
// are apart.
func Example() {
	group := consensus.Configuration{Epoch: 1, Members: []consensus.Member{
		{ID: 1, Name: "front", Roles: consensus.RoleProposer},
		{ID: 2, Name: "disk-a", Voter: true, Roles: consensus.RoleAcceptor},
		{ID: 3, Name: "all", Voter: true},
		{ID: 4, Name: "reader"},
	}}
	for _, m := range group.Members {
		fmt.Printf("%s: votes %v, leads %v, learns %v\n", m.Name, m.Voter, m.Proposes(), m.Learns())
	}
	stored, err := consensus.DecodeConfiguration(consensus.EncodeConfiguration(group))
	fmt.Println(len(stored.Members), err)
	// Output:
	// front: votes false, leads true, learns true
	// disk-a: votes true, leads false, learns false
	// all: votes true, leads true, learns true
	// reader: votes false, leads false, learns true
	// 4 <nil>
}
