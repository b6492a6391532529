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
	done := make(chan error, 1)
	g.handle.Admit(raft.Member{ID: raft.ID(seen.ID), Name: seen.Name, Address: seen.Meta.GetLink()}, g.node.cfg.Voters,
		func(err error) { done <- err })
	select {
	case err := <-done:
		if err != nil {
			return g.memberError(err)
		}
	case <-ctx.Done():
		return g.proposeError(ctx.Err())
	}
	return g.node.await(ctx, func() bool {
		_, ok := g.member(name)
		return ok
	})
}
