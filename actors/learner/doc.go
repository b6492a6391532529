// Package learner runs the learners of all decrees of a node as one supervised
// actor: it gives each paxos.Learner its messages, clock and the node's log.
//
//	acceptors ── Accepted ──▶ mailbox ─┐
//	learners ── Chosen, Ask ──────────▶├─ turn: Step, Tick ─▶ Append(log) the chosen value
//	callers ── Learn ─────────────────▶│                         │ durable
//	timer ── Tick ────────────────────▶┘               Learn returns; Chosen, Ask ▶ peers
//
// What was learned is kept, so a learner that is started again has nothing to ask
// (L6); what does not fit is told to whoever waits and then forgotten, and is learned
// again when somebody waits. Decrees that are not chosen yet are in memory alone.
//
// Like a proposer it has to know the founded set of acceptors (package
// paxos/founding) before it counts a vote. Source: "Paxos Made Simple", section 2.3;
// see package paxos.
package learner
