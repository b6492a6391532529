package cluster

import (
	"slices"
	"strings"
)

// # Succession
//
// When the majority of a cluster is gone for good, a new cluster may be founded with what
// one node holds. Its id ends with those of the clusters whose place it has taken, the
// newest first. So every node of it, also one that joins later, knows whom it must refuse:
// a node of the old cluster that comes back after all would find others like it, make a
// majority, and acknowledge what nobody here hears of.

const (
	separator = "."
	// maxBefore bounds how many clusters an id names after its own.
	maxBefore = 4
)

// Successor is the id of a cluster that takes the place of the one with the id before.
// own is new, and has no dot.
func Successor(own, before string) string {
	all := strings.Split(before, separator)
	return strings.Join(append([]string{own}, all[:min(len(all), maxBefore)]...), separator)
}

// OwnPart is the part of a cluster's id that is not that of another one.
func OwnPart(id string) string {
	own, _, _ := strings.Cut(id, separator)
	return own
}

// Succeeds reports whether the cluster with the id has taken the place of another. Nobody takes
// the own one: an id that is made of a name may have the same part twice.
func Succeeds(id, other string) bool {
	own := OwnPart(other)
	return own != "" && own != OwnPart(id) && slices.Contains(strings.Split(id, separator)[1:], own)
}
