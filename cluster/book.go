package cluster

import (
	"maps"
	"sync"
)

// Book is the address book of the link: where which node listens. What gossip
// says of an alive member comes before what was learned otherwise, from a
// configuration for example. Safe for concurrent use.
type Book struct {
	mu      sync.RWMutex
	learned map[NodeID]string
	gossip  map[NodeID]string
}

// NewBook makes an empty book. Its Lookup is what LinkConfig.Lookup wants.
func NewBook() *Book {
	return &Book{learned: map[NodeID]string{}, gossip: map[NodeID]string{}}
}

// Learn notes an address; "" forgets it.
func (b *Book) Learn(id NodeID, addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if addr == "" {
		delete(b.learned, id)
		return
	}
	b.learned[id] = addr
}

// Lookup returns the address of a node.
func (b *Book) Lookup(id NodeID) (addr string, ok bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if addr, ok = b.gossip[id]; ok {
		return addr, true
	}
	addr, ok = b.learned[id]
	return addr, ok
}

// setGossip replaces what gossip knows and returns the nodes whose address is new.
func (b *Book) setGossip(next map[NodeID]string) []NodeID {
	b.mu.Lock()
	defer b.mu.Unlock()
	var changed []NodeID
	for id, addr := range next {
		if b.gossip[id] != addr {
			changed = append(changed, id)
		}
	}
	b.gossip = maps.Clone(next)
	return changed
}
