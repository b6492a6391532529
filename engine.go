package synod

import (
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/actors/paxosnode"
	"github.com/synod-go/synod/actors/raftnode"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/multipaxos"
	"github.com/synod-go/synod/raft"
)

// Engine is the protocol that keeps a group's log. A group has one for ever.
type Engine string

const (
	// Raft is package raft. Default.
	Raft Engine = "raft"
	// Paxos is package multipaxos.
	Paxos Engine = "paxos"
)

// EngineError tells that a node was started with another engine for a group than
// the one that wrote its log, or than that of the group in which it asked for a place.
// The node has not started or has ended, and nothing was changed.
type EngineError struct {
	Group   string
	Founded Engine // what the data directory holds, or the members run
	Wanted  Engine // what Config says
}

// Error names both engines.
func (e *EngineError) Error() string {
	return fmt.Sprintf("synod: group %s was founded with engine %s, not %s", e.Group, e.Founded, e.Wanted)
}

// receiver is the prefix of the name under which replicas of such groups are
// reached: those of the other engine are not.
func (e Engine) receiver() string { return string(e) + "/" }

// receiver is where the group's replicas are reached.
func (g *Group) receiver() string { return g.config.Engine.receiver() + g.name }

// other is the engine that has founded a group whose log e cannot read.
func (e Engine) other() Engine {
	if e == Paxos {
		return Raft
	}
	return Paxos
}

// protocol makes the group's engines.
func (g *Group) protocol() group.Protocol {
	c := g.node.cfg
	heartbeat, election, lease := consensus.Time(c.Heartbeat), consensus.Time(c.Election), consensus.Time(c.Lease)
	if g.config.Engine == Paxos {
		return paxosnode.New(paxosnode.Config{Core: multipaxos.Config{Heartbeat: heartbeat, Election: election, Lease: lease},
			Event: tellFlight(g, g.paxosEvent)})
	}
	return raftnode.New(raftnode.Config{Core: raft.Config{Heartbeat: heartbeat, Election: election, Lease: lease},
		Event: tellFlight(g, g.raftEvent)})
}

// plain is the protocol for a replica that does not run: no times, no recorder.
func (e Engine) plain() group.Protocol {
	if e == Paxos {
		return paxosnode.New(paxosnode.Config{})
	}
	return raftnode.New(raftnode.Config{})
}

// ballot is a term of the group as people read it if it is a ballot, else "".
func (g *Group) ballot(term consensus.Term) string {
	if g.config.Engine != Paxos || term == 0 {
		return ""
	}
	return multipaxos.FormatBallot(term)
}

// actorFailed ends the node because the actor of a group must not go on.
func (n *Node) actorFailed(child *actor.PID, reason any) {
	err, ok := reason.(error)
	if !ok {
		err = fmt.Errorf("%v", reason)
	}
	if errors.Is(err, group.ErrOtherEngine) {
		for _, g := range n.cfg.Groups {
			if child.Id == g.Engine.receiver()+g.Name {
				n.fail(&EngineError{Group: g.Name, Founded: g.Engine.other(), Wanted: g.Engine})
				return
			}
		}
	}
	if wrong, is := errors.AsType[*RolesError](rolesError(err)); is {
		n.fail(wrong)
		return
	}
	n.fail(fmt.Errorf("synod: actor %s: %w", child.Id, err))
}
