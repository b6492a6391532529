package paxos_test

import (
	"fmt"

	"github.com/synod-go/synod/paxos"
)

// Three acceptors, a proposer and a learner, driven by hand. A host saves
// Output.Save and Output.SaveRound before it sends Output.Send.
func Example() {
	quorums, err := paxos.Majority(1, 2, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	acceptors := map[paxos.ID]*paxos.Acceptor{}
	for _, id := range quorums.Acceptors() {
		acceptors[id], _ = paxos.NewAcceptor(paxos.AcceptorConfig{ID: id, Learners: []paxos.ID{9}}, paxos.AcceptorState{})
	}
	proposer, _ := paxos.NewProposer(paxos.ProposerConfig{ID: 7, Quorums: quorums})
	learner, _ := paxos.NewLearner(paxos.LearnerConfig{ID: 9, Quorums: quorums, Learners: []paxos.ID{9}}, 0)

	type packet struct {
		from paxos.ID
		paxos.Envelope
	}
	var network []packet
	carryOut := func(from paxos.ID, out paxos.Output) {
		if out.Chosen != nil {
			fmt.Printf("%d learns %q, chosen in ballot %v\n", from, out.Chosen.Value, out.Chosen.Ballot)
		}
		if out.Result != nil {
			fmt.Printf("the caller is told: %v\n", out.Result.Fate)
		}
		for _, e := range out.Send {
			network = append(network, packet{from, e})
		}
	}

	out, _ := proposer.Propose(0, paxos.Value("dolphin"))
	carryOut(7, out)
	for len(network) > 0 {
		p := network[0]
		network = network[1:]
		switch p.To {
		case 7:
			carryOut(7, proposer.Step(0, p.from, p.Message))
		case 9:
			carryOut(9, learner.Step(p.from, p.Message))
		default:
			carryOut(p.To, acceptors[p.To].Step(p.from, p.Message))
		}
	}
	// Output:
	// 7 learns "dolphin", chosen in ballot 1.0007
	// the caller is told: chosen
	// 9 learns "dolphin", chosen in ballot 1.0007
	// 1 learns "dolphin", chosen in ballot 1.0007
	// 2 learns "dolphin", chosen in ballot 1.0007
	// 3 learns "dolphin", chosen in ballot 1.0007
}
