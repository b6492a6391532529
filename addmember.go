package synod

import (
	"context"
	"slices"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/raft"
)

// AddMember gives a node that gossip sees a place in the group: at first
// without a vote, promoted once it has caught up, as long as fewer than
// Config.Voters vote. A node joins by itself when it is new; this lets one in
// again that was removed. It fails with ErrNotFound when no node that is alive
// has that name, and changes nothing for a member. Call it on the leader.
func (g *Group) AddMember(ctx context.Context, name string) error {
	if _, ok := g.member(name); ok {
		return nil
	}
	sightings := g.node.seen.all()
	i := slices.IndexFunc(sightings, func(m cluster.Member) bool {
		_, alive, _ := g.node.seen.find(m.ID)
		return alive && m.Name == name
	})
	if i < 0 {
		if g.handle.View().Role != raft.Leader {
			return g.notLeader()
		}
		return ErrNotFound
	}
	seen := sightings[i]
	index, err := g.handle.Admit(ctx, raft.Member{ID: raft.ID(seen.ID), Name: seen.Name, Address: seen.Meta.GetLink()},
		g.node.cfg.Voters)
	if err != nil {
		return g.memberError(err)
	}
	if err := g.handle.WaitApplied(ctx, index); err != nil {
		return g.proposeError(err)
	}
	if _, ok := g.member(name); !ok {
		return ErrConflict
	}
	return nil
}
