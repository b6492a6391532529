// Package consensus is the contract of a replicated log that both engines keep:
// package raft and package multipaxos. It holds what a host sees of either, and
// the flat forms in which entries and configurations are stored and sent.
//
// A group is a log and a state machine on every replica. A host that drives an
// engine needs to know of no rule of its protocol; what it must keep is told in
// the engine's own documentation.
//
// The words are those of the papers where they agree, and Raft's where one had
// to be chosen: an Index of the log is a slot of Paxos, a committed entry is a
// chosen one, a voter is an acceptor, and a Term stands for a ballot.
package consensus
