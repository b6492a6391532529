package coordination

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// Stat is what is known of a node besides its data. Indexes are those of the
// log entries that did it; times are log time in Unix milliseconds.
type Stat struct {
	CreateIndex uint64 // ZooKeeper: czxid
	ModifyIndex uint64 // of the data; the node's creation at first. mzxid
	// ChildrenIndex is when a child was last created or deleted; the node's
	// creation at first. pzxid
	ChildrenIndex uint64
	CreateTime    int64 // ctime
	ModifyTime    int64 // mtime
	// Version counts how often data was put: 1 for a node just created by a
	// Put, 0 for one made as a parent of others, which a Put then takes to 1.
	// ZooKeeper's dataVersion is one less, and 0 for both.
	Version int64
	// ChildrenCreated counts how many children were ever created. ZooKeeper's
	// cversion is 2*ChildrenCreated - Children, and the number of a sequential
	// node is the parent's ChildrenCreated before.
	ChildrenCreated uint64
	// Owner is the session of an ephemeral node, ContainerOwner of a container, TTLOwner
	// plus the milliseconds of a node with a TTL, and otherwise 0. It is ZooKeeper's
	// ephemeralOwner.
	Owner uint64
	// ACLVersion counts how often the access list was set after the creation. aversion
	ACLVersion int64
	Children   int // numChildren
	DataBytes  int // dataLength
}

// Values of Stat.Owner that are no session's.
const (
	ContainerOwner uint64 = 1 << 63
	TTLOwner       uint64 = 0xff << 56
)

// Mode is how long the node lives.
func (s *Stat) Mode() Mode {
	switch {
	case s.Owner == 0:
		return Persistent
	case s.Owner >= TTLOwner:
		return TTL
	case s.Owner == ContainerOwner:
		return Container
	default:
		return Ephemeral
	}
}

// appendTo encodes the fields but ACLVersion as unsigned varints in their order.
func (s *Stat) appendTo(dst []byte) []byte {
	for _, v := range [...]uint64{s.CreateIndex, s.ModifyIndex, s.ChildrenIndex, uint64(s.CreateTime),
		uint64(s.ModifyTime), uint64(s.Version), s.ChildrenCreated, s.Owner, uint64(s.Children), uint64(s.DataBytes)} {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

// Node is what a query returns of a node.
type Node struct {
	Path string
	// Data is shared with the tree: nobody may change it. It stays as it is
	// when the node changes.
	Data []byte
	Stat Stat
}

// node is a node in the tree. One whose epoch is not the tree's belongs to a
// snapshot as well and must be cloned before it changes; so must all above it.
type node struct {
	path     string
	name     string // the last component of path
	data     []byte // never changed in place
	stat     Stat   // but for Children, DataBytes and ACLVersion
	rules    *rules // nil for most
	children children
	epoch    uint64

	pathSum, dataSum uint32
	sum              uint64 // this node's share of the tree's digest
}

// temporary reports whether n vanishes with its last child.
func (n *node) temporary() bool {
	return n.stat.Version == 0 && n.path != Root || n.stat.Owner == ContainerOwner
}

// ephemeral reports whether a session owns n.
func (n *node) ephemeral() bool { return n.stat.Owner-1 < ContainerOwner-1 }

// deadline is the log time at which a node with a TTL is to be reaped.
func (n *node) deadline() int64 { return n.stat.ModifyTime + int64(n.stat.Owner-TTLOwner) }

func newNode(path, name string, index uint64, now int64, epoch uint64) *node {
	return &node{
		path: path, name: name, epoch: epoch,
		pathSum: crc32.Checksum([]byte(path), castagnoli),
		stat: Stat{CreateIndex: index, ModifyIndex: index, ChildrenIndex: index,
			CreateTime: now, ModifyTime: now},
	}
}

func (n *node) clone(epoch uint64) *node {
	c := *n
	c.epoch = epoch
	c.children.chunks = slices.Clone(n.children.chunks)
	return &c
}

// fullStat fills in what the node need not keep twice.
func (n *node) fullStat() Stat {
	s := n.stat
	s.Children, s.DataBytes = n.children.count, len(n.data)
	if n.rules != nil {
		s.ACLVersion = n.rules.aclVersion
	}
	return s
}

func (n *node) view() Node { return Node{Path: n.path, Data: n.data, Stat: n.fullStat()} }

// size is what the node counts against Limits.TreeBytes.
func (n *node) size() int64 {
	return int64(len(n.path)+len(n.data)+nodeOverhead) + n.rules.size()
}

// nodeOverhead is about what a node takes in memory besides path and data.
const nodeOverhead = 256
