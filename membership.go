package synod

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/raft"
)

// MemberAction is what a MemberChange does.
type MemberAction string

const (
	// AddMember gives a node that gossip sees a place: at first without a vote,
	// promoted once it has caught up, as long as fewer than Config.Voters vote. A
	// node joins by itself when it is new; this lets one in again that was
	// removed. It changes nothing for a member.
	AddMember MemberAction = "add"
	// RemoveMember takes a member's place. The leader may remove itself.
	RemoveMember MemberAction = "remove"
	// PromoteMember makes a member a voter once it has caught up; in a Paxos group it
	// must be an acceptor. DemoteMember takes its vote: a member of a Paxos group that
	// was given roles is an acceptor no more, unless it is nothing else.
	PromoteMember MemberAction = "promote"
	DemoteMember  MemberAction = "demote"
)

// MemberChange is a change of a group's configuration around one node.
type MemberChange struct {
	Action MemberAction
	// Name of the node, or its id as 16 hexadecimal digits: a node that lost its
	// disk and the member whose place it takes have one name for a while.
	Name string
	// Version, if set, is that of the configuration which the caller has seen:
	// nothing is done if another one is in force.
	Version *uint64
}

// ChangeMember carries out c and waits until that is committed; a change that
// is under way is waited for. Call it on the leader. One after which no majority of
// voters would answer is refused. Errors: *NotLeaderError,
// ErrNoLeader and ErrInvalidMembership (nothing was done), ErrNotFound (no
// member, or for AddMember no node that is alive, has that name), ErrAmbiguous
// (several have; nothing was done), ErrConflict
// (the configuration changed meanwhile, or is not of c.Version), and
// ErrUnknownOutcome, also when ctx ends.
func (g *Group) ChangeMember(ctx context.Context, c MemberChange) error {
	for began := time.Now(); ; {
		status, err := g.handle.Status(ctx)
		switch {
		case err != nil:
			return g.readError(err)
		case status.Role != raft.Leader:
			return g.notLeader()
		case c.Version != nil && uint64(status.Configuration.Version) != *c.Version:
			return fmt.Errorf("%w: it has version %d", ErrConflict, status.Configuration.Version)
		}
		err = g.change(ctx, c, status)
		answering := errors.Is(err, errSilentVoters) && time.Since(began) < silentPatience // one may only be slow
		if !answering && !errors.Is(err, raft.ErrChangePending) {
			return err
		}
		if g.node.pause(ctx) != nil {
			return err
		}
	}
}

// change proposes c as the next configuration after that of status. That is a
// compare-and-set in the core: it may be old already.
func (g *Group) change(ctx context.Context, c MemberChange, status raft.Status) error {
	now := status.Configuration
	members := slices.Clone(now.Members)
	i, err := pick(members, c.Name, identify)
	switch {
	case c.Action == AddMember && errors.Is(err, ErrNotFound):
		return g.add(ctx, c.Name, now.Version)
	case err != nil:
		return err
	case c.Action == AddMember:
		return nil
	}
	id := members[i].ID
	switch m := &members[i]; c.Action {
	case RemoveMember:
		members = slices.Delete(members, i, i+1)
	case PromoteMember:
		if !m.Accepts() {
			return fmt.Errorf("%w: %s is no acceptor", ErrInvalidMembership, m.Name)
		}
		m.Promote = m.Promote || !m.Voter
	case DemoteMember:
		*m = demoted(*m)
	default:
		return fmt.Errorf("%w: no action %q", ErrInvalidMembership, c.Action)
	}
	if c.Action != PromoteMember {
		if err := keepsMajority(members, status); err != nil {
			return err
		}
	}
	return g.changeMembership(ctx, members, now.Version, id)
}

var errSilentVoters = fmt.Errorf("%w: no majority of the voters would answer", ErrInvalidMembership)

// silentPatience is how long a change waits for voters that do not answer.
const silentPatience = 2 * time.Second

// keepsMajority refuses members of whose voters no majority has answered the leader lately, whose status it is: nothing
// could be decided any more, not even to take the change back.
func keepsMajority(members []raft.Member, status raft.Status) error {
	var voters, silent []string
	for _, m := range members {
		if !m.Voter {
			continue
		}
		voters = append(voters, m.Name)
		if m.ID != status.ID && !slices.ContainsFunc(status.Peers, func(p raft.PeerStatus) bool { return p.ID == m.ID && p.Active }) {
			silent = append(silent, m.Name)
		}
	}
	if len(voters) == 0 || 2*len(silent) < len(voters) { // without a voter it is refused anyway
		return nil
	}
	return fmt.Errorf("%w: they would be %s, and %s does not answer", errSilentVoters, strings.Join(voters, ", "), strings.Join(silent, ", "))
}

func identify(m raft.Member) (raft.ID, string) { return m.ID, m.Name }

// pick finds the one of all that has the name, or else that has it as its id.
func pick[T any](all []T, name string, identify func(T) (raft.ID, string)) (index int, err error) {
	id, _ := cluster.ParseNodeID(name)
	index, byID := -1, -1
	var found []string
	for i, one := range all {
		itsID, itsName := identify(one)
		if itsName == name {
			index, found = i, append(found, cluster.NodeID(itsID).String())
		}
		if id != 0 && itsID == raft.ID(id) {
			byID = i
		}
	}
	switch {
	case len(found) > 1:
		return -1, fmt.Errorf("%w: %s is %s", ErrAmbiguous, name, strings.Join(found, " and "))
	case len(found) == 0 && byID < 0:
		return -1, ErrNotFound
	case len(found) == 0:
		return byID, nil
	}
	return index, nil
}

// add gives the named node, which gossip sees, a place.
func (g *Group) add(ctx context.Context, name string, version raft.Index) error {
	alive := slices.DeleteFunc(g.node.seen.all(), func(m sighting) bool { return !m.alive })
	i, err := pick(alive, name, func(m sighting) (raft.ID, string) { return raft.ID(m.ID), m.Name })
	if err != nil {
		return err
	}
	seen := alive[i]
	roles, known := g.rolesIn(seen.Meta.GetPaxosRoles())
	if !known {
		return fmt.Errorf("%w: %s has roles that are not known here", ErrInvalidMembership, seen.Name)
	}
	index, err := g.handle.Admit(ctx, raft.Member{ID: raft.ID(seen.ID), Name: seen.Name, Address: seen.Meta.GetLink(), Roles: roles},
		g.node.cfg.Voters, version)
	if err != nil {
		return g.memberError(err)
	}
	if err := g.handle.WaitApplied(ctx, index); err != nil {
		return g.proposeError(err)
	}
	if _, ok := g.handle.View().Configuration.Find(raft.ID(seen.ID)); !ok {
		return ErrConflict
	}
	return nil
}

// changeMembership proposes wanted and waits until it is committed, joint phase
// and all. What it says about member id must then hold: if the leader changed
// meanwhile, somebody else's change may have taken the place.
func (g *Group) changeMembership(ctx context.Context, wanted []raft.Member, version raft.Index, id raft.ID) error {
	index, err := g.handle.ChangeMembership(ctx, wanted, version)
	if err != nil {
		return g.memberError(err)
	}
	var c raft.Configuration
	err = g.node.await(ctx, func() bool {
		c = g.handle.View().Configuration
		return c.Version >= index && !c.Joint()
	})
	if err == nil {
		err = g.handle.WaitApplied(ctx, c.Version)
	}
	if err != nil {
		return g.outcome(g.proposeError(err))
	}
	if place(wanted, id) != place(c.Members, id) {
		return ErrConflict
	}
	return nil
}

// place tells what a list of members says about one: whether it is there, and
// whether it votes or shall.
func place(members []raft.Member, id raft.ID) (is struct{ member, voter bool }) {
	for _, m := range members {
		if m.ID == id {
			is.member, is.voter = true, m.Voter || m.Promote
		}
	}
	return is
}
