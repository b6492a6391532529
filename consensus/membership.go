package consensus

import (
	"cmp"
	"fmt"
	"slices"
)

// SortMembers returns members by ID.
func SortMembers(members []Member) []Member {
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return sorted
}

// Check reports why c cannot be a configuration. The error wraps
// ErrInvalidMembership.
func (c Configuration) Check() error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrInvalidMembership}, args...)...)
	}
	if len(c.Members) > MaxMembers {
		return invalid("%d members, at most %d", len(c.Members), MaxMembers)
	}
	voters := 0
	for i, m := range c.Members {
		switch {
		case m.ID == None:
			return invalid("a member without an ID")
		case i > 0 && m.ID == c.Members[i-1].ID:
			return invalid("member %d twice", m.ID)
		case i > 0 && m.ID < c.Members[i-1].ID:
			return invalid("member %d out of order", m.ID)
		case m.Roles > rolesKnown:
			return invalid("member %d has unknown roles", m.ID)
		case (m.Voter || m.Promote) && !m.Accepts():
			return invalid("member %d is to vote and is no acceptor", m.ID)
		case m.Replaces == m.ID:
			return invalid("member %d replaces itself", m.ID)
		case len(m.Name) > MaxNameBytes || len(m.Address) > MaxNameBytes:
			return invalid("name or address of member %d is longer than %d bytes", m.ID, MaxNameBytes)
		}
		if m.Voter {
			voters++
		}
	}
	if voters == 0 {
		return invalid("no voter")
	}
	return nil
}
