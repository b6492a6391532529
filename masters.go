package synod

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/master"
	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/raft"
)

// Master is a node's master of the cluster manager, standing by or leading: see package
// actors/master. It is safe for concurrent use.
type Master = master.Handle

// MasterConfig is the part of a master that GroupConfig.Master says. Its Group, Name,
// Address, Clock and Logger are set by the node.
type MasterConfig = master.Config

// mastersName is the prefix of the names of the masters' actors.
const mastersName = "master/"

// Master is this node's master, nil unless GroupConfig.Master is set, and on a witness. It
// begins and ends with the node.
func (g *Group) Master() *Master { return g.master.Load() }

// startMasters starts the standby of each group that is a registry.
func (n *Node) startMasters() error {
	strategy := actors.NewStrategy(actors.StrategyConfig{Logger: n.log, OnFailStop: n.actorFailed})
	for _, g := range n.groups {
		if g.config.Master == nil || g.witness() {
			continue
		}
		c := *g.config.Master
		c.Group, c.Name, c.Address, c.Logger = registryGroup{g}, n.cfg.Name, n.cfg.Advertise.API, n.log
		c.Clock = func() time.Duration { return time.Duration(clock()) }
		if wall := n.cfg.wallClock(); wall != nil && c.Now == nil {
			c.Now = wall
		}
		g.runJobs(&c)
		handle, err := master.Spawn(n.system, c, mastersName+g.name, strategy)
		if err != nil {
			return err
		}
		g.master.Store(handle)
		handle.LeaderChanged() // what changed before this was not told
	}
	return nil
}

// registryGroup is a group as its master sees it.
type registryGroup struct{ *Group }

// Propose is the group's.
func (g registryGroup) Propose(ctx context.Context, command []byte) ([]byte, error) {
	result, err := g.Group.Propose(ctx, command)
	return result.Value, err
}

// SurelyNot is true of all errors but one: see Group.Propose.
func (g registryGroup) SurelyNot(err error) bool { return !errors.Is(err, ErrUnknownOutcome) }

// Read reads the registry. With a lease a fresh one costs no round.
func (g registryGroup) Read(ctx context.Context, fresh bool, f func(*mesos.Registry)) error {
	level := Stale
	if fresh {
		level = Lease
	}
	var wrong error
	err := g.Group.Read(ctx, level, func(machine StateMachine, _ uint64) {
		registry, ok := machine.(*mesos.Registry)
		if !ok {
			wrong = fmt.Errorf("synod: group %s has a master and its state machine is a %T", g.name, machine)
			return
		}
		f(registry)
	})
	if err == nil {
		err = wrong
	}
	return err
}

// Leads is by the group's view.
func (g registryGroup) Leads() bool { return g.handle.View().Role == raft.Leader }

// Leader is by the group's view and what gossip tells.
func (g registryGroup) Leader() (id uint64, name, api string) {
	view := g.handle.View()
	if view.Leader == raft.None {
		return 0, "", ""
	}
	name, api = g.node.nameAndAPI(uint64(view.Leader))
	return uint64(view.Leader), name, api
}
