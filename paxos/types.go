package paxos

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
)

// ID names a node in all its roles: as proposer, acceptor and learner. The host
// makes it at random together with the data directory, so that an acceptor which
// lost its disk comes back under another ID and can never vote under the old
// one. None is no node.
type ID uint64

// None is the zero ID: nobody.
const None ID = 0

// Time is a moment on the host's own clock in nanoseconds, not negative. The
// clock must never run backwards. Times of two nodes are never compared.
type Time int64

const (
	millisecond Time = 1e6
	// never is a deadline that does not come.
	never Time = math.MaxInt64
)

// Ballot numbers one attempt of one proposer. Ballots are ordered by Round, then
// by Node. No two attempts share one: Node is the proposer's own ID, and no
// proposer uses a Round twice, not even after a crash (P1, P2). The zero Ballot
// is none and less than all others.
type Ballot struct {
	Round uint64
	Node  ID
}

// MaxRound bounds Ballot.Round. No honest proposer comes near; a ballot beyond
// it is ignored, so that no message can make a round overflow.
const MaxRound = 1 << 62

// Compare returns -1, 0 or 1 as b is less than, equal to or greater than other.
func (b Ballot) Compare(other Ballot) int {
	return cmp.Or(cmp.Compare(b.Round, other.Round), cmp.Compare(b.Node, other.Node))
}

// Less reports whether b comes before other.
func (b Ballot) Less(other Ballot) bool { return b.Compare(other) < 0 }

// IsZero reports whether b is no ballot.
func (b Ballot) IsZero() bool { return b == Ballot{} }

// String is the round and the node in hexadecimal, as in "3.00af"; "none" is the
// zero Ballot.
func (b Ballot) String() string {
	if b.IsZero() {
		return "none"
	}
	return fmt.Sprintf("%d.%04x", b.Round, uint64(b.Node))
}

// valid reports whether an honest proposer could have made b.
func (b Ballot) valid() bool { return b.Round > 0 && b.Round <= MaxRound && b.Node != None }

// Value is what is proposed and chosen. It is shared by cores, messages and the
// host: nobody may change it. An empty Value is none.
type Value []byte

func (v Value) equal(other Value) bool { return bytes.Equal(v, other) }

// Vote is a Value that was accepted, and the Ballot under which it was. The zero
// Vote is none.
type Vote struct {
	Ballot Ballot
	Value  Value
}

// IsZero reports whether v is no vote.
func (v Vote) IsZero() bool { return v.Ballot.IsZero() }

// valid reports whether v is a vote that could have been cast.
func (v Vote) valid(maxValueBytes int) bool {
	return v.Ballot.valid() && len(v.Value) > 0 && len(v.Value) <= maxValueBytes
}

// same reports whether v and other are one vote.
func (v Vote) same(other Vote) bool {
	return v.Ballot == other.Ballot && v.Value.equal(other.Value)
}
