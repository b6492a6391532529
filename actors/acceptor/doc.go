// Package acceptor runs the acceptors of all decrees of a node as one supervised
// actor: it gives each paxos.Acceptor its messages and the node's log.
//
//	proposers, learners ── DecreeMessage ──▶ mailbox ─▶ turn: a Step for each message
//	                                                      │ records of all steps
//	                                                    Append(log)
//	                                                      │ durable
//	                                                    answers ▶ proposers, learners
//
// All that a turn has to save, of however many decrees, is one append, and no
// answer of the turn leaves before it is durable (A4). A failed save ends the node
// (A5). What it remembers is bounded: a decree too many is refused, and said to be.
//
// The actor belongs to one set of acceptors for ever (package paxos/founding) and
// looks at nothing that speaks of another. So an acceptor that lost its disk, which
// has another identity than the set, never votes.
//
// It is given its peers by Config and knows neither proposers nor learners. Source:
// "Paxos Made Simple"; see package paxos.
package acceptor
