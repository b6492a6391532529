// Package raftnode is Raft as the engine of a group: a raft.Node with the wire
// form of its messages (codec.go), the records of its state (persist.go) and a flight
// recorder of its messages and changes (flight.go).
// Package group drives it:
//
//	group.Spawn(system, group.Config{Protocol: raftnode.New(raftnode.Config{}), ...}, ...)
//
// It holds no protocol logic: an if about a term belongs in package raft.
//
// Source: Raft (Ongaro and Ousterhout 2014). Differences: see package raft.
package raftnode
