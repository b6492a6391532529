package synod

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/sessions"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/raft"
)

// Sessions keeps the sessions of a coordination group: see package actors/sessions. It is
// safe for concurrent use.
type Sessions = sessions.Handle

// sessionsReceiver is the prefix of the name under which the keepers of groups are reached.
// It never changes.
const sessionsReceiver = "sessions/"

// Sessions is this node's keeper of the group's sessions, nil unless GroupConfig.Sessions is
// set, and on a witness. It begins and ends with the node.
func (g *Group) Sessions() *Sessions { return g.keeper.Load() }

// startKeepers starts one actor for each group that has sessions.
func (n *Node) startKeepers() error {
	strategy := actors.NewStrategy(actors.StrategyConfig{Logger: n.log, OnFailStop: n.actorFailed})
	for _, g := range n.groups {
		if !g.config.Sessions || g.witness() {
			continue
		}
		receiver := sessionsReceiver + g.name
		peer := n.peers(receiver)
		keeper, err := sessions.Spawn(n.system, sessions.Config{
			ID: n.ID(), Number: uint32(g.id), Name: g.name, Group: sessionGroup{g},
			Send: func(to uint64, m proto.Message) {
				if pid := peer(raft.ID(to)); pid != nil {
					n.system.Root.Send(pid, m)
				}
			},
			Clock: func() time.Duration { return time.Duration(clock()) }, Logger: n.log,
		}, receiver, strategy)
		if err != nil {
			return err
		}
		g.keeper.Store(keeper)
		keeper.LeaderChanged() // what changed before this was not told
		n.link.Publish(receiver, keeper.PID(), keeper)
	}
	return nil
}

// peers returns what addresses the actors of this name on other nodes, nil for nodes that
// are not known.
func (n *Node) peers(receiver string) func(raft.ID) *actor.PID {
	pids := new(sync.Map) // raft.ID to *actor.PID: a PID remembers its process
	return func(id raft.ID) *actor.PID {
		if pid, ok := pids.Load(id); ok {
			return pid.(*actor.PID)
		}
		if _, known := n.book.Lookup(cluster.NodeID(id)); !known {
			return nil // a PID stays for ever, and whoever is let in may ask under any id
		}
		pid, _ := pids.LoadOrStore(id, n.link.PID(cluster.NodeID(id), receiver))
		return pid.(*actor.PID)
	}
}

// sessionGroup is a group as the keeper of its sessions sees it.
type sessionGroup struct{ *Group }

// Propose is the group's.
func (g sessionGroup) Propose(ctx context.Context, command []byte) ([]byte, error) {
	result, err := g.Group.Propose(ctx, command)
	return result.Value, err
}

// SurelyNot is true of all errors but one: see Group.Propose.
func (g sessionGroup) SurelyNot(err error) bool { return !errors.Is(err, ErrUnknownOutcome) }

// Read reads the tree. With a lease a fresh one costs no round.
func (g sessionGroup) Read(ctx context.Context, fresh bool, f func(sessions.Tree)) error {
	level := Stale
	if fresh {
		level = Lease
	}
	var wrong error
	err := g.Group.Read(ctx, level, func(machine StateMachine, _ uint64) {
		tree, ok := machine.(sessions.Tree)
		if !ok {
			wrong = fmt.Errorf("synod: group %s has sessions and its state machine is a %T", g.name, machine)
			return
		}
		f(tree)
	})
	if err == nil {
		err = wrong
	}
	return err
}

// Leadership is the group's view.
func (g sessionGroup) Leadership() sessions.Leadership {
	view := g.handle.View()
	return sessions.Leadership{Term: uint64(view.Term), Leader: uint64(view.Leader), Leads: view.Role == raft.Leader}
}

// LogTime is that of this node's replica.
func (g sessionGroup) LogTime() int64 { return g.handle.LogTime() }
