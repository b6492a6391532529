// Package flight runs a recording of single decrees again: what the flight recorders
// of the processes hold (actors/decree) goes into fresh cores of package paxos, input
// by input, and what the cores say is compared with what was recorded. Beside that it
// judges the recording by the rules of the protocol, without any core.
//
// So a recording is a test of the cores, of the actors that drive them, and of itself:
// one in which a vote was altered is told from a true one, and the rule is named.
//
// # What it leaves to others
//
// A recorder is a ring: a core whose beginning it has forgotten is not run, only
// judged. Recordings of several processes may be put together in any order that keeps
// each process's own (Merge); nothing that is judged needs more. The one thing that
// cannot be compared is how long a proposer waits after it was outbid: chance decides
// that, and the recorded ticks are believed.
package flight
