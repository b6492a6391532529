// Package synod embeds a replicated state machine in a Go program: start a Node
// on each machine, and the groups in its Config are kept equal on all of them
// by Raft, through crashes, cut networks and lost machines.
//
// A group's state machine is one value with three methods (StateMachine). For a
// first hour there are two shorter ways in: Map is a replicated map, and Open
// makes a state machine from one pure function.
//
//	node, err := synod.Start(ctx, synod.Config{
//		Name: "n1", Dir: "data/n1", Bootstrap: true,
//		Groups: []synod.GroupConfig{{Name: "jobs", New: newJobs}},
//	})
//	...
//	result, err := node.Group("jobs").Propose(ctx, command) // on a majority's disks
//
// A proposal ends as done (no error), as surely not done (any other error), or
// as ErrUnknownOutcome: it may or may not have happened. Repeat it safely with
// ProposeOnce and the same RequestID. Reads choose how fresh they are: see Level.
//
// The first node of a cluster is started with Bootstrap; others Join it by
// gossip and are made voters by themselves when they have caught up. A node whose
// Dir is gone comes back with Join and without Bootstrap.
//
// This package wires and decides nothing: the protocol is in package raft, its
// actors in actors/group, the log in storage, the network in cluster.
package synod
