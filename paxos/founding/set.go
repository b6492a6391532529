package founding

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/synod-go/synod/paxos"
)

// Member is one acceptor: the name that people gave it, and the identity of its
// disk.
type Member struct {
	Name string
	ID   paxos.ID
}

// MaxName is the longest name of a member, in bytes.
const MaxName = 255

// Set is the acceptors of all decrees. It is immutable; the zero Set is none.
type Set struct {
	members []Member // by name
}

// ErrInvalidSet: a set has no members or too many, or two with one name or one
// identity, or one without either.
var ErrInvalidSet = errors.New("founding: invalid set")

// NewSet makes a set of members in any order.
func NewSet(members ...Member) (Set, error) {
	s := Set{slices.Clone(members)}
	slices.SortFunc(s.members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	if len(members) == 0 || len(members) > paxos.MaxAcceptors {
		return Set{}, fmt.Errorf("%w: %d members", ErrInvalidSet, len(members))
	}
	ids := make(map[paxos.ID]bool)
	for i, m := range s.members {
		switch {
		case m.Name == "" || len(m.Name) > MaxName:
			return Set{}, fmt.Errorf("%w: a name of %d bytes", ErrInvalidSet, len(m.Name))
		case m.ID == paxos.None || ids[m.ID]:
			return Set{}, fmt.Errorf("%w: identity %x of %s", ErrInvalidSet, uint64(m.ID), m.Name)
		case i > 0 && s.members[i-1].Name == m.Name:
			return Set{}, fmt.Errorf("%w: two members named %s", ErrInvalidSet, m.Name)
		}
		ids[m.ID] = true
	}
	return s, nil
}

// IsZero reports whether s is no set.
func (s Set) IsZero() bool { return len(s.members) == 0 }

// Members returns the members, by name.
func (s Set) Members() []Member { return slices.Clone(s.members) }

// IDs returns the identities, in the order of Members.
func (s Set) IDs() []paxos.ID {
	var ids []paxos.ID
	for _, m := range s.members {
		ids = append(ids, m.ID)
	}
	return ids
}

// Contains reports whether m, by name and identity, is a member.
func (s Set) Contains(m Member) bool { return slices.Contains(s.members, m) }

// Has reports whether the identity is a member's.
func (s Set) Has(id paxos.ID) bool {
	return slices.ContainsFunc(s.members, func(m Member) bool { return m.ID == id })
}

// Equal reports whether both sets have the same members.
func (s Set) Equal(other Set) bool { return slices.Equal(s.members, other.members) }

// isNamed reports whether the members' names are these, which are sorted.
func (s Set) isNamed(names []string) bool {
	return slices.EqualFunc(s.members, names, func(m Member, name string) bool { return m.Name == name })
}

// Digest stands for the set in every message about a decree. 0 is none.
func (s Set) Digest() uint64 {
	if s.IsZero() {
		return 0
	}
	sum := sha256.Sum256(s.Encode())
	return max(1, binary.BigEndian.Uint64(sum[:]))
}

// Encode returns the set as bytes: for each member one of the name's length, the
// name, and the identity in 8 bytes, little-endian.
func (s Set) Encode() []byte {
	var data []byte
	for _, m := range s.members {
		data = append(data, byte(len(m.Name)))
		data = append(data, m.Name...)
		data = binary.LittleEndian.AppendUint64(data, uint64(m.ID))
	}
	return data
}

// DecodeSet reads what Encode wrote. No bytes are the zero Set.
func DecodeSet(data []byte) (Set, error) {
	var members []Member
	for len(data) > 0 {
		n := int(data[0])
		if len(data) < 1+n+8 {
			return Set{}, fmt.Errorf("%w: cut off", ErrInvalidSet)
		}
		id := binary.LittleEndian.Uint64(data[1+n:])
		members = append(members, Member{string(data[1 : 1+n]), paxos.ID(id)})
		data = data[1+n+8:]
	}
	if len(members) == 0 {
		return Set{}, nil
	}
	return NewSet(members...)
}

// String lists names and identities.
func (s Set) String() string {
	var parts []string
	for _, m := range s.members {
		parts = append(parts, fmt.Sprintf("%s/%016x", m.Name, uint64(m.ID)))
	}
	return strings.Join(parts, " ")
}
