// Package group runs one group's replica as a supervised actor: it gives the core
// of a replicated log a mailbox, a disk, peers, a clock and a state machine. Which
// log that is, is the engine's affair (Config.Protocol): package raftnode has one
// and package paxosnode another. Nothing here knows a rule of either.
//
// Three actors make a group's replica. The group's own turns messages and calls
// into steps and outputs into effects; the applier runs the state machine; the
// snapshotter does the slow disk work. None of them holds protocol logic: an if
// about a term belongs in the core.
//
//	peers ── messages ─────▶ mailbox ─┐
//	calls ── inbox, wake ────────────▶├─ turn: Saved, Tick, Receive, Propose ─▶ one Output
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
// The replicas of a group compare their states by themselves (digest.go), with
// messages that are no engine's.
//
// Source: group commit and parallel disk write, Raft dissertation section 10.2.1.
package group
