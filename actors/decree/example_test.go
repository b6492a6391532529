package decree_test

import (
	"fmt"

	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/paxos"
)

// A message of a core gets its form on the wire, who says it about which decree and by which set of acceptors, and is
// recorded; the other side gets the same message.
func Example() {
	recorder := decree.NewRecorder(10, nil, nil)
	accept := paxos.Accept{Ballot: paxos.Ballot{Round: 3, Node: 7}, Value: paxos.Value("blue")}
	wire := decree.Outgoing{To: 1, Message: decree.Encode(accept)}.Fill(7, "colour", 42).Message
	recorder.Record(decree.Message(decree.Proposer, wire, false))

	heard, err := decree.Decode(wire)
	fmt.Printf("%s about %s: %s, %v\n", heard.(paxos.Accept).Value, wire.GetDecree(), decree.Receivers(wire), err)
	for _, e := range recorder.Events() {
		fmt.Println(e.Role, "sends", e.Kind, "with ballot", e.Ballot)
	}
	// Output:
	// blue about colour: [acceptor], <nil>
	// proposer sends accept with ballot 3.0007
}
