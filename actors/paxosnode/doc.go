// Package paxosnode is the Paxos log as the engine of a group: a multipaxos.Node
// with the wire form of its messages (encode.go, decode.go) and a recorder of the
// last of them (flight.go). The records of its state are the core's own. Package
// group drives it:
//
//	group.Spawn(system, group.Config{Protocol: paxosnode.New(paxosnode.Config{}), ...}, ...)
//
// It holds no protocol logic: an if about a ballot belongs in package multipaxos.
//
// Source and differences: see package multipaxos.
package paxosnode
