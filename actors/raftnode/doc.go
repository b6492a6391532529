// Package raftnode runs a raft.Node as a supervised actor: it gives the core a
// mailbox, a disk, peers, a clock and a state machine.
//
// Three actors make a group's replica. The group's own turns messages and calls
// into steps and outputs into effects; the applier runs the state machine; the
// snapshotter does the slow disk work. None of them holds protocol logic: an if
// about a term belongs in package raft.
//
//	peers ── RaftMessage ──▶ mailbox ─┐
//	calls ── inbox, wake ────────────▶├─ turn: Saved, Tick, Step, Propose ─▶ one Output
//	timer ── wake ───────────────────▶┘                                        │
//	   ┌───────────────┬──────────────────┬──────────────────┬─────────────────┘
//	SendNow        Append(log)          Apply             Chunk, SendSnapshots
//	   │               │ durable          │                  │
//	 peers     Send ▶ peers, wake      applier ▶ callers   snapshotter
//
// Receive never blocks. The log's writer reports a durable save on its own
// goroutine, which sends what waited for the save and wakes the actor. A panic
// loses what the actor had in memory: its supervisor restarts it, and it
// rebuilds itself from the log like a restarted process; calls under way end as
// ErrUnknown. A failed save ends the node (Config.FailStop).
//
// Source: Raft (Ongaro and Ousterhout 2014); group commit and parallel disk
// write, dissertation section 10.2.1. Differences: see package raft.
package raftnode
