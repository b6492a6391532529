package sim

import "math/bits"

// stream names one kind of decision. Every decision of a run is a hash of the
// seed, its stream, a key (a node, a link, a client) and how many decisions
// that stream and key have made. So turning one class of faults off leaves
// every decision of the other classes as it was, and shrinking works.
type stream uint8

const (
	streamSwarm stream = iota
	streamPlan
	streamLoss
	streamDuplicate
	streamDelay
	streamCorrupt
	streamWake
	streamDisk
	streamTear
	streamSalt
	streamApply
	streamClient
	streamClientNet
	streamLeaseRead
	streamFault
	streamClock
	streamHeal
	streamTurn
	streams
)

// dice makes the decisions of one run.
type dice struct {
	seed  uint64
	count [streams][maxKeys]uint64
}

// maxKeys is the number of links, the largest set of keys a stream has.
const maxKeys = maxSlots * maxSlots

// roll is the next decision of a stream for one key.
func (d *dice) roll(s stream, key int) draw {
	n := &d.count[s][key]
	*n++
	return d.at(s, key, *n)
}

// at is the n-th decision of a stream for one key, without counting it.
func (d *dice) at(s stream, key int, n uint64) draw {
	h := mix(d.seed + uint64(s)*0x9e3779b97f4a7c15)
	return draw(mix(h ^ mix(uint64(key)<<48|n)))
}

// draw is 64 random bits, from which one or several choices are taken.
type draw uint64

// split gives an independent draw for a second choice.
func (d draw) split() draw { return draw(mix(uint64(d) + 0xd1b54a32d192ed03)) }

// below is a number in [0, n).
func (d draw) below(n int) int {
	hi, _ := bits.Mul64(uint64(d), uint64(n))
	return int(hi)
}

// between is a number in [low, high].
func (d draw) between(low, high int64) int64 {
	hi, _ := bits.Mul64(uint64(d), uint64(high-low+1))
	return low + int64(hi)
}

// perMille is true in n of 1000 cases.
func (d draw) perMille(n int) bool { return d.below(1000) < n }

// around is a time with the given mean and a long tail, nearly exponential:
// the number of leading zeros of a random word counts halvings. Integers only,
// so that every machine draws the same.
func (d draw) around(mean int64) int64 {
	halvings := int64(bits.LeadingZeros64(uint64(d)|1<<40)) * 1024
	within := 1023 - int64(d&1023)
	return mean * 693 / 1000 * (halvings + within) / 1024
}

// mix spreads every bit of x over the whole word (a 64-bit finalizer after
// Stafford's variant 13).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// digest is a hash of data for comparing entries inside one process.
func digest(data []byte) uint64 {
	h := uint64(len(data)) * 0x9e3779b97f4a7c15
	for len(data) >= 8 {
		word := uint64(data[0]) | uint64(data[1])<<8 | uint64(data[2])<<16 | uint64(data[3])<<24 |
			uint64(data[4])<<32 | uint64(data[5])<<40 | uint64(data[6])<<48 | uint64(data[7])<<56
		h = mix(h ^ word)
		data = data[8:]
	}
	for _, b := range data {
		h = mix(h ^ uint64(b))
	}
	return h
}
