package raft

import (
	"slices"

	"github.com/synod-go/synod/consensus"
)

// config is the configuration in force: the newest in the log, committed or not
// (section 6).
func (n *Node) config() *Configuration { return &n.configs[len(n.configs)-1] }

// onlyVoter reports whether this replica is a majority by itself.
func (n *Node) onlyVoter() bool {
	if !n.config().IsVoter(n.cfg.ID) {
		return false
	}
	return !slices.ContainsFunc(n.config().Members, func(m Member) bool {
		return (m.Voter || m.Outgoing) && m.ID != n.cfg.ID
	})
}

// decodeConfigurationEntry returns the configuration that e brings. Its version
// is e's index.
func decodeConfigurationEntry(e Entry) (Configuration, error) {
	c, err := DecodeConfiguration(e.Data)
	if err == nil {
		err = c.Check()
	}
	c.Version = e.Index
	return c, err
}

// ChangeMembership makes members the group, in any number of steps that Raft
// needs, and returns the index of the first; the change is complete when a
// configuration that is not Joint is committed. version must be that of the
// configuration the caller has read. Members need not be sorted; Outgoing and
// Leaving are ignored.
//
// A changed set of voters goes through a joint configuration, in which both the
// old and the new set must agree (section 6), however many join and leave at
// once. It returns ErrNotLeader, ErrTransferring, ErrChangePending,
// ErrStaleVersion, or an error that wraps ErrInvalidMembership.
func (n *Node) ChangeMembership(members []Member, version Index) (Index, error) {
	switch {
	case n.lead == nil:
		return 0, ErrNotLeader
	case n.lead.transfer != nil:
		return 0, ErrTransferring
	case n.changePending():
		return 0, ErrChangePending
	case version != n.config().Version:
		return 0, ErrStaleVersion
	}
	target := Configuration{Members: consensus.SortMembers(members)}
	for i := range target.Members {
		m := &target.Members[i]
		m.Outgoing, m.Leaving = false, false
		if m.Voter {
			m.Promote, m.Replaces = false, None
		}
	}
	if err := target.Check(); err != nil {
		return 0, err
	}
	next := joint(*n.config(), target)
	if err := next.Check(); err != nil {
		return 0, err
	}
	return n.appendConfiguration(next), nil
}

// changePending reports whether a change is not yet committed, or nothing of
// this leader's term is: only then is what it sees as the configuration in
// force the newest that any leader has committed. A joint configuration is
// half a change.
func (n *Node) changePending() bool {
	c := n.config()
	return c.Version > n.commit || n.commit < n.lead.start || c.Joint()
}

// joint returns what comes first on the way from old to target: target itself
// if the voters stay the same, so that every quorum does, or else both halves
// together.
func joint(old, target Configuration) Configuration {
	if slices.Equal(voters(old), voters(target)) {
		return target
	}
	both := Configuration{Members: slices.Clone(target.Members)}
	for _, m := range old.Members {
		if !m.Voter {
			continue
		}
		i := slices.IndexFunc(both.Members, func(t Member) bool { return t.ID == m.ID })
		if i >= 0 {
			both.Members[i].Outgoing = true
			continue
		}
		m.Voter, m.Outgoing, m.Leaving = false, true, true
		both.Members = append(both.Members, m)
	}
	both.Members = consensus.SortMembers(both.Members)
	return both
}

// final returns the configuration that follows a joint one.
func final(joint Configuration) Configuration {
	var c Configuration
	for _, m := range joint.Members {
		if !m.Leaving {
			m.Outgoing = false
			c.Members = append(c.Members, m)
		}
	}
	return c
}

func voters(c Configuration) (ids []ID) {
	for _, m := range c.Members {
		if m.Voter {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// appendConfiguration puts c in force by appending it.
func (n *Node) appendConfiguration(c Configuration) Index {
	c.Version = n.log.last() + 1
	n.appendEntry(EntryConfiguration, EncodeConfiguration(c))
	n.configs = append(n.configs, c)
	n.syncPeers()
	return c.Version
}

// advanceMembership does what follows by itself from the configuration once it
// is committed: leave the joint phase, retire when we are no longer a voter,
// promote who has caught up.
func (n *Node) advanceMembership() {
	l := n.lead
	if l == nil || n.config().Version > n.commit || n.commit < l.start {
		return
	}
	switch {
	case n.config().Joint():
		n.appendConfiguration(final(*n.config()))
	case !n.config().IsVoter(n.cfg.ID):
		n.retire()
	case l.transfer == nil:
		n.promote()
	}
}

// retire ends the leadership of a replica that is not in the configuration it
// has just committed (section 6): it hands over, or else steps down.
func (n *Node) retire() {
	if n.lead.transfer != nil {
		return
	}
	to := n.bestTarget()
	if to == nil {
		n.stepDown(n.resigns())
		return
	}
	n.beginTransfer(to, true)
}

// promote makes the first non-voter that has caught up a voter, and removes
// whom it replaces.
func (n *Node) promote() {
	for _, m := range n.config().Members {
		p := n.lead.peer(m.ID)
		if !m.Promote || p == nil || p.state != Replicate || !n.active(p) || p.stalled ||
			p.match+Index(n.cfg.PromoteWithin) < n.log.last() {
			continue
		}
		var members []Member
		for _, other := range n.config().Members {
			switch other.ID {
			case m.ID:
				other.Voter, other.Promote, other.Replaces = true, false, None
			case m.Replaces:
				continue
			}
			members = append(members, other)
		}
		// It can only fail for a group that the change would leave without a
		// voter, which adding one does not.
		_, _ = n.ChangeMembership(members, n.config().Version)
		return
	}
}
