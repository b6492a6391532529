package consensus

import (
	"fmt"
	"strings"
)

// Roles is a set of the three roles of Paxos.
type Roles uint8

const (
	RoleProposer Roles = 1 << iota
	RoleAcceptor
	RoleLearner
	rolesKnown = 1<<iota - 1
)

// AllRoles are those of a replica that was given none.
const AllRoles Roles = rolesKnown

// roleNames are the roles as people write them, from the lowest bit.
var roleNames = [...]string{"proposer", "acceptor", "learner"}

// ParseRoles reads what Roles.String writes: at least one role, each once, in any
// order.
func ParseRoles(text string) (roles Roles, err error) {
next:
	for name := range strings.SplitSeq(text, ",") {
		for i, known := range roleNames {
			if strings.TrimSpace(name) != known {
				continue
			}
			if roles&(1<<i) != 0 {
				return 0, fmt.Errorf("role %s is named twice", known)
			}
			roles |= 1 << i
			continue next
		}
		return 0, fmt.Errorf("there is no role %q: they are %s", name, strings.Join(roleNames[:], ", "))
	}
	return roles, nil
}

// Names are the names of the roles, nil if there are none.
func (r Roles) Names() (names []string) {
	for i, name := range roleNames {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String returns the names with commas between them.
func (r Roles) String() string { return strings.Join(r.Names(), ",") }

// Has reports whether r holds all of the given roles.
func (r Roles) Has(roles Roles) bool { return r&roles == roles }

// Chosen is r as a member's Roles: all three are the usual, which is 0.
func (r Roles) Chosen() Roles {
	if r == AllRoles {
		return 0
	}
	return r
}

// Valid reports whether r could be a member's Roles.
func (r Roles) Valid() bool { return r <= rolesKnown }

// Witness reports whether who has these roles votes and runs no state machine.
func (r Roles) Witness() bool { return r == RoleAcceptor }

// Accepts reports whether m is an acceptor, or can be made one.
func (m Member) Accepts() bool { return m.Roles == 0 || m.Roles.Has(RoleAcceptor) }

// Proposes reports whether m may lead. A proposer learns too: it answers with
// the state machine's results.
func (m Member) Proposes() bool {
	if m.Roles == 0 {
		return m.Voter
	}
	return m.Roles&RoleProposer != 0 && (m.Voter || m.Roles&RoleAcceptor == 0)
}

// Learns reports whether m runs the state machine.
func (m Member) Learns() bool { return m.Roles == 0 || m.Roles&(RoleLearner|RoleProposer) != 0 }

// Plays are the roles that m has now: an acceptor is one while it votes.
func (m Member) Plays() (roles Roles) {
	for i, plays := range [...]bool{m.Proposes(), m.Voter, m.Learns()} {
		if plays {
			roles |= 1 << i
		}
	}
	return roles
}
