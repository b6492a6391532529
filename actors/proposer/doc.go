// Package proposer runs the proposers of all decrees of a node as one supervised
// actor: it gives each paxos.Proposer its callers, messages, clock and the node's
// log.
//
//	callers ── Decide, Finish ──▶ mailbox ─┐
//	peers ── DecreeMessage ───────────────▶├─ turn: Propose, Step, Tick
//	timer ── Tick ────────────────────────▶┘            │ reserved round
//	                                                 Append(log)
//	                                                    │ durable
//	                                           Prepare, Accept ▶ acceptors
//
// Before its first ballot it has to know the founded set of acceptors (package
// paxos/founding); calls wait for that.
//
// A node reserves rounds for all its decrees together (P2): one number on disk,
// beyond every round that any of its proposers may have used. A proposer that is
// started again, after a crash or because the node had put it away, begins above.
//
// A panic loses what was under way: those calls end as Unknown, and the actor is
// restarted. It knows no acceptor's state and shares none (risk 1 of the study):
// everything comes by messages, also from an acceptor of the same node. Source:
// "Paxos Made Simple"; see package paxos.
package proposer
