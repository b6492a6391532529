package multipaxos

import (
	"fmt"

	"github.com/synod-go/synod/consensus"
)

// # Epochs
//
// Every configuration is an epoch with acceptors, and so quorums, of its own. An
// epoch ends with the first SEAL in the log that is no ghost; the next one begins
// in the slot behind it. So who decides a slot is a function of the chosen prefix
// before it, on which everybody agrees, and an acceptor needs no rule for it:
//
//  1. A leader proposes nothing behind its SEAL. When it is chosen, and all before
//     it, the leader prepares anew, in the next epoch.
//  2. A replica promises and votes in exactly the epoch of its own chosen prefix.
//     So a quorum of the new epoch holds everything before it, durably, and the
//     acceptors of the old one are needed no more.
//  3. Votes of an epoch behind its SEAL are void: they are dropped when the SEAL is
//     learned, and no promise of a later epoch reports them.
//
// A replica that has lost its disk comes back under another ID, as a learner, and
// takes the old one's place by a SEAL like any other: it never votes under the old
// identity.

// ChangeMembership makes members the group by a SEAL and returns its slot; the
// change is complete when that is applied. version must be that of the
// configuration the caller has read. Members need not be sorted; Outgoing and
// Leaving are ignored. It returns ErrNotLeader, ErrTransferring, ErrChangePending,
// ErrStaleVersion, or an error that wraps ErrInvalidMembership.
func (n *Node) ChangeMembership(members []Member, version Index) (Index, error) {
	l := n.lead
	switch {
	case l == nil:
		return 0, ErrNotLeader
	case l.transfer != nil:
		return 0, ErrTransferring
	case n.role != Leader || l.seal != 0 || n.chosen < l.marker || n.epoch() >= maxEpoch:
		return 0, ErrChangePending
	case version != n.config().Version:
		return 0, ErrStaleVersion
	}
	next := Configuration{Epoch: n.epoch() + 1, Version: l.next, Members: consensus.SortMembers(members)}
	for i := range next.Members {
		m := &next.Members[i]
		m.Outgoing, m.Leaving = false, false
		if m.Voter {
			m.Promote, m.Replaces = false, None
		}
	}
	if err := checkConfiguration(next); err != nil {
		return 0, err
	}
	l.seal = n.propose(Entry{Term: n.ballot, Index: l.next, Kind: EntrySeal, Data: consensus.EncodeConfiguration(next)})
	return l.seal, nil
}

// checkConfiguration reports why c cannot be an epoch: somebody must be able to
// lead it.
func checkConfiguration(c Configuration) error {
	if err := c.Check(); err != nil {
		return err
	}
	for _, m := range c.Members {
		if m.Proposes() {
			return nil
		}
	}
	return fmt.Errorf("%w: no proposer", ErrInvalidMembership)
}

// decodeSeal returns the configuration that e brings after epoch. A replica that
// knows no epoch yet takes any.
func decodeSeal(e Entry, epoch uint32) (Configuration, error) {
	c, err := consensus.DecodeConfiguration(e.Data)
	if err == nil {
		err = checkConfiguration(c)
	}
	if err == nil && (c.Epoch > maxEpoch || epoch != 0 && c.Epoch != epoch+1) {
		err = fmt.Errorf("%w: epoch %d after %d", ErrMalformed, c.Epoch, epoch)
	}
	c.Version = e.Index
	return c, err
}

// sealed ends what belonged to the epoch before. A leader goes on in
// advanceMembership.
func (n *Node) sealed() {
	if n.role == Leader {
		return
	}
	if n.role != Follower {
		n.becomeFollower(None)
	}
}

// advanceMembership does what follows by itself from the configuration in force:
// prepare in a new epoch, retire when we are no proposer any more, promote who has
// caught up.
func (n *Node) advanceMembership() {
	l := n.lead
	switch {
	case n.role != Leader:
	case Epoch(n.ballot) < n.epoch():
		n.enterEpoch()
	case l.seal != 0 || n.chosen < l.marker:
	case l.transfer == nil:
		n.promote()
	}
}

// enterEpoch tells everyone that the epoch is over and prepares in the next one,
// or has another do so.
func (n *Node) enterEpoch() {
	n.lead.noLease = true
	n.broadcastHeartbeat()
	if n.self().Proposes() {
		n.renew()
		return
	}
	if to := n.bestTarget(); to != nil {
		n.sendNow(to.id, Campaign{Ballot: n.ballot})
	}
	n.announce()
	n.stepDown(n.resigns())
}

// promote makes the first learner that has caught up an acceptor, and removes
// whom it replaces.
func (n *Node) promote() {
	for _, m := range n.config().Members {
		p := n.lead.peer(m.ID)
		if !m.Promote || p == nil || !n.active(p) || p.stalled || p.chosen+Index(n.cfg.PromoteWithin) < n.chosen {
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
		// It can only fail for a group that the change would leave without an
		// acceptor, which adding one does not.
		_, _ = n.ChangeMembership(members, n.config().Version)
		return
	}
}
