package paxos

import (
	"math/bits"
	"slices"
)

// MaxAcceptors bounds the acceptors of one decree.
const MaxAcceptors = 64

// Quorums says which acceptors decide: any prepare of them can promise, any
// accept of them can choose, and every quorum of the one kind meets every quorum
// of the other. The set is fixed for the decree; nothing that gossip says
// changes it. The zero Quorums is invalid.
type Quorums struct {
	acceptors       []ID // sorted, each once
	prepare, accept int
}

// Majority makes any majority of the acceptors a quorum of both phases.
func Majority(acceptors ...ID) (Quorums, error) {
	majority := len(acceptors)/2 + 1
	return Flexible(acceptors, majority, majority)
}

// Flexible makes any prepare acceptors a quorum of phase 1 and any accept
// acceptors one of phase 2. It returns a *ConfigError if such quorums need not
// meet (prepare+accept must exceed the number of acceptors), or if the acceptors
// are none, too many, or not distinct.
func Flexible(acceptors []ID, prepare, accept int) (Quorums, error) {
	sorted := slices.Clone(acceptors)
	slices.Sort(sorted)
	n := len(sorted)
	switch {
	case n == 0:
		return Quorums{}, &ConfigError{"Quorums", "has no acceptors"}
	case n > MaxAcceptors:
		return Quorums{}, &ConfigError{"Quorums", "has more than 64 acceptors"}
	case sorted[0] == None || len(slices.Compact(slices.Clone(sorted))) < n:
		return Quorums{}, &ConfigError{"Quorums", "names an acceptor twice, or nobody"}
	case prepare < 1 || accept < 1 || prepare > n || accept > n:
		return Quorums{}, &ConfigError{"Quorums", "needs quorums of 1 to all acceptors"}
	case prepare+accept <= n:
		return Quorums{}, &ConfigError{"Quorums", "has quorums that do not meet"}
	}
	return Quorums{sorted, prepare, accept}, nil
}

// Acceptors returns the acceptors in ascending order.
func (q Quorums) Acceptors() []ID { return slices.Clone(q.acceptors) }

// set holds acceptors by their position in Quorums, so that one who answers twice
// counts once and a stranger cannot be in it (P4).
type set uint64

func (s set) count() int { return bits.OnesCount64(uint64(s)) }

// bit returns the set of the one acceptor id, or the empty set for a stranger.
func (q Quorums) bit(id ID) set {
	if i, ok := slices.BinarySearch(q.acceptors, id); ok {
		return 1 << i
	}
	return 0
}

func (q Quorums) all() set { return 1<<len(q.acceptors) - 1 }
