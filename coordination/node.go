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
	// Owner is the session of an ephemeral node. There are none yet: 0.
	Owner     uint64
	Children  int
	DataBytes int
}

// appendTo encodes the fields as unsigned varints in their order, but Version
// before ChildrenCreated.
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
	stat     Stat   // but for Children and DataBytes
	children children
	epoch    uint64

	pathSum, dataSum uint32
	sum              uint64 // this node's share of the tree's digest
}

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
	return s
}

func (n *node) view() Node { return Node{Path: n.path, Data: n.data, Stat: n.fullStat()} }

// size is what the node counts against Limits.TreeBytes.
func (n *node) size() int64 { return int64(len(n.path) + len(n.data) + nodeOverhead) }

// nodeOverhead is about what a node takes in memory besides path and data.
const nodeOverhead = 256
