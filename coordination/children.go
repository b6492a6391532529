package coordination

import (
	"slices"
	"strings"
)

// children are the child nodes of a node, sorted by name, in chunks of limited
// size: an insertion moves few pointers, and after a snapshot only the chunks
// that change are copied.
type children struct {
	chunks []*chunk // none is empty
	count  int
}

// chunk belongs to a snapshot as well if its epoch is not the tree's.
type chunk struct {
	nodes []*node
	epoch uint64
}

const chunkNodes = 128

func byName(n *node, name string) int { return strings.Compare(n.name, name) }

// find returns the chunk in which name is or belongs, and the place in it.
func (c *children) find(name string) (i, j int, found bool) {
	i, found = slices.BinarySearchFunc(c.chunks, name, func(k *chunk, name string) int {
		return byName(k.nodes[0], name)
	})
	if found {
		return i, 0, true
	}
	if i == 0 {
		return 0, 0, false
	}
	i-- // the last chunk that begins before name
	j, found = slices.BinarySearchFunc(c.chunks[i].nodes, name, byName)
	return i, j, found
}

// own makes a chunk fit to be changed.
func (c *children) own(i int, epoch uint64) *chunk {
	if c.chunks[i].epoch != epoch {
		nodes := append(make([]*node, 0, chunkNodes), c.chunks[i].nodes...)
		c.chunks[i] = &chunk{nodes: nodes, epoch: epoch}
	}
	return c.chunks[i]
}

// insert adds a node whose name is not there.
func (c *children) insert(n *node, epoch uint64) {
	c.count++
	if len(c.chunks) == 0 {
		c.chunks = []*chunk{{nodes: []*node{n}, epoch: epoch}}
		return
	}
	i, j, _ := c.find(n.name)
	k := c.own(i, epoch)
	if len(k.nodes) < chunkNodes {
		k.nodes = slices.Insert(k.nodes, j, n)
		return
	}
	// A full chunk is cut in the middle; but if names come in ascending order,
	// as those of sequential nodes do, it stays full and a new one begins.
	cut := chunkNodes / 2
	if j == chunkNodes && i == len(c.chunks)-1 {
		cut = chunkNodes
	}
	right := &chunk{nodes: append(make([]*node, 0, chunkNodes), k.nodes[cut:]...), epoch: epoch}
	clear(k.nodes[cut:])
	k.nodes = k.nodes[:cut]
	if j >= cut {
		k, j = right, j-cut
	}
	k.nodes = slices.Insert(k.nodes, j, n)
	c.chunks = slices.Insert(c.chunks, i+1, right)
}

// replace puts n in the place of the node with the same name.
func (c *children) replace(n *node, epoch uint64) {
	i, j, _ := c.find(n.name)
	c.own(i, epoch).nodes[j] = n
}

// remove takes out the node with the given name, which is there.
func (c *children) remove(name string, epoch uint64) {
	c.count--
	i, j, _ := c.find(name)
	k := c.own(i, epoch)
	k.nodes = slices.Delete(k.nodes, j, j+1)
	if len(k.nodes) == 0 {
		c.chunks = slices.Delete(c.chunks, i, i+1)
	}
}

// from calls f for the nodes from the given name on, in order, until f returns
// false; it returns whether it came to the end.
func (c *children) from(name string, f func(*node) bool) bool {
	if len(c.chunks) == 0 {
		return true
	}
	i, j, _ := c.find(name)
	for ; i < len(c.chunks); i, j = i+1, 0 {
		for _, n := range c.chunks[i].nodes[j:] {
			if !f(n) {
				return false
			}
		}
	}
	return true
}
