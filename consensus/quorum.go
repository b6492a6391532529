package consensus

import "slices"

// Joint reports whether c is the joint configuration of a change under way.
func (c Configuration) Joint() bool {
	return slices.ContainsFunc(c.Members, func(m Member) bool { return m.Outgoing })
}

// Find returns the member with the given id.
func (c Configuration) Find(id ID) (Member, bool) {
	for i := range c.Members {
		if c.Members[i].ID == id {
			return c.Members[i], true
		}
	}
	return Member{}, false
}

// IsVoter reports whether id's vote counts in either half of c.
func (c Configuration) IsVoter(id ID) bool {
	m, ok := c.Find(id)
	return ok && (m.Voter || m.Outgoing)
}

// Quorum returns the greatest value that a quorum reaches: a majority of the
// voters and, while c is joint, also a majority of the outgoing ones
// (Raft section 6). Commitment, votes, read rounds, leases and CheckQuorum are all
// this one question. Without voters it is 0.
func (c *Configuration) Quorum(value func(ID) uint64) uint64 {
	var incoming, outgoing [MaxMembers]uint64
	i, o := 0, 0
	for k := range c.Members {
		m := &c.Members[k]
		if !m.Voter && !m.Outgoing {
			continue
		}
		v := value(m.ID)
		if m.Voter {
			incoming[i] = v
			i++
		}
		if m.Outgoing {
			outgoing[o] = v
			o++
		}
	}
	reached := majority(incoming[:i])
	if o > 0 {
		reached = min(reached, majority(outgoing[:o]))
	}
	return reached
}

// majority returns the greatest value that more than half of values reach, and
// 0 if there are none. It sorts values.
func majority(values []uint64) uint64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}
