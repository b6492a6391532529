package replica

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checkpoint is the digest as it was at an index.
type Checkpoint struct {
	Index  uint64
	Digest uint64
}

// mix folds x into the digest d so that each bit of both reaches each bit of
// the outcome (the finalizer of MurmurHash3).
func mix(d, x uint64) uint64 {
	d = d*0x9e3779b97f4a7c15 + x
	d = (d ^ d>>33) * 0xff51afd7ed558ccd
	d = (d ^ d>>33) * 0xc4ceb9fe1a85ec53
	return d ^ d>>33
}

// initialDigest is the digest at index 0.
func initialDigest(l Limits) uint64 {
	var d uint64
	for _, v := range l.values() {
		d = mix(d, uint64(v))
	}
	return d
}

// entryDigest folds an entry and its result into the digest.
func entryDigest(d uint64, e Entry, r Result) uint64 {
	sums := uint64(crc32.Checksum(e.Data, castagnoli))<<32 | uint64(crc32.Checksum(r.Value, castagnoli))
	return mix(mix(d, sums), e.Index<<8|uint64(r.Code))
}

// history keeps the last checkpoints in a ring.
type history struct {
	ring []Checkpoint
	next int
	max  int
}

func (h *history) add(c Checkpoint) {
	if len(h.ring) < h.max {
		h.ring = append(h.ring, c)
		return
	}
	h.ring[h.next] = c
	h.next = (h.next + 1) % h.max
}

// all returns the checkpoints, oldest first.
func (h *history) all() []Checkpoint {
	return append(append(make([]Checkpoint, 0, len(h.ring)), h.ring[h.next:]...), h.ring[:h.next]...)
}
