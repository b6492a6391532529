// Package paxos chooses one value among several processes: single-decree Paxos,
// the Synod, as three roles without a clock, a disk, a network or a goroutine.
package paxos
