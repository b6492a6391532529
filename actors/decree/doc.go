// Package decree is what the actors of the three roles share when they pass
// single decrees: the wire form of their messages, who of a node's roles takes
// which, their part of the node's log, and the flight recorder.
//
// It leaves the protocol to packages paxos and paxos/founding, and the roles to
// actors/proposer, actors/acceptor and actors/learner, which do not know each
// other.
//
// # Use
//
// A role's actor has a Log for what it saves and a Table for what it keeps of each
// decree. All that a turn of the actor has to say waits for all that the turn and
// those before it have to save:
//
//	log.Save(records, func() { send(answers) })
//
// so one flush serves many decrees, and nothing leaves before what it speaks of is
// durable (A4). A proposer and a learner find the acceptors by a Founding.
package decree
