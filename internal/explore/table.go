package explore

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// noParent is the parent of an initial state.
const noParent = ^uint32(0)

// print128 stands for a state.
type print128 struct{ a, b uint64 }

// origin says how a state was first reached: by the ordinal-th step of parent.
type origin struct{ parent, ordinal uint32 }

// table is the set of known states. A state's id is the order of its coming.
// slots is a hash table with linear probing; it holds ids plus one.
type table struct {
	prints  []print128
	origins []origin
	slots   []uint32 // a power of two, at most three quarters full
}

func newTable() *table { return &table{slots: make([]uint32, 1<<12)} }

func (t *table) len() int { return len(t.prints) }

// find returns the slot that holds p, or else the one where it belongs.
func (t *table) find(p print128) (slot uint64, found bool) {
	mask := uint64(len(t.slots) - 1)
	for slot = p.a & mask; t.slots[slot] != 0; slot = (slot + 1) & mask {
		if t.prints[t.slots[slot]-1] == p {
			return slot, true
		}
	}
	return slot, false
}

func (t *table) has(p print128) bool {
	_, found := t.find(p)
	return found
}

// add returns the id of p and whether it is new.
func (t *table) add(p print128, parent, ordinal uint32) (id uint32, isNew bool) {
	slot, found := t.find(p)
	if found {
		return t.slots[slot] - 1, false
	}
	id = uint32(len(t.prints))
	t.prints = append(t.prints, p)
	t.origins = append(t.origins, origin{parent, ordinal})
	t.slots[slot] = id + 1
	if len(t.prints) > len(t.slots)/4*3 {
		t.grow()
	}
	return id, true
}

func (t *table) grow() {
	t.slots = make([]uint32, 2*len(t.slots))
	for id, p := range t.prints {
		slot, _ := t.find(p)
		t.slots[slot] = uint32(id) + 1
	}
}

// way returns the ordinals from the initial states to the state.
func (t *table) way(id uint32) (ordinals []uint32) {
	for id != noParent {
		ordinals = append(ordinals, t.origins[id].ordinal)
		id = t.origins[id].parent
	}
	slices.Reverse(ordinals)
	return ordinals
}

// fingerprint hashes a key to 128 bits, the same in every run: two lanes, each
// of which is a bijection of its state for a given word.
func fingerprint(key []byte) print128 {
	a, b := uint64(len(key)), ^uint64(len(key))
	for ; len(key) >= 8; key = key[8:] {
		a, b = absorb(a, b, binary.LittleEndian.Uint64(key))
	}
	if len(key) > 0 {
		var rest [8]byte
		copy(rest[:], key)
		a, b = absorb(a, b, binary.LittleEndian.Uint64(rest[:]))
	}
	return print128{scatter(a + bits.RotateLeft64(b, 23)), scatter(b ^ 0x9e3779b97f4a7c15)}
}

func absorb(a, b, word uint64) (uint64, uint64) {
	a = scatter(a ^ word)
	b = (b + bits.RotateLeft64(word, 31)) * 0xd6e8feb86659fd93
	return a, b ^ b>>32
}

// scatter is a bijection in which every bit of the result depends on every bit of x.
func scatter(x uint64) uint64 {
	x ^= x >> 32
	x *= 0xe9846af9b1a615d
	x ^= x >> 32
	x *= 0xe9846af9b1a615d
	return x ^ x>>28
}
