package cluster

import (
	"fmt"
	"strconv"
)

// NodeID names a node for as long as its data directory lives: it is the
// storage incarnation, drawn at random when the directory is made. A node that
// lost its disk comes back under another NodeID. 0 is no node.
type NodeID uint64

// String returns 16 hexadecimal digits: what stands in PID.Address.
func (id NodeID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// ParseNodeID reads what String wrote.
func ParseNodeID(s string) (NodeID, error) {
	id, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 || NodeID(id).String() != s {
		return 0, fmt.Errorf("cluster: %q is not a node id: want 16 lower-case hexadecimal digits", s)
	}
	return NodeID(id), nil
}
