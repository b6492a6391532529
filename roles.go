package synod

import (
	"errors"
	"fmt"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/raft"
)

// Roles is a set of the roles of Paxos: see Config.PaxosRoles. As text it is the
// names with commas between them.
type Roles = consensus.Roles

// The roles of Paxos.
const (
	// Proposer may lead. It runs the state machine, whether it is a Learner or not.
	Proposer = consensus.RoleProposer
	// Acceptor votes, once it has caught up and as long as there is need of it. One
	// that is nothing else is a witness: it runs no state machine.
	Acceptor = consensus.RoleAcceptor
	// Learner runs the state machine and answers reads.
	Learner = consensus.RoleLearner
	// AllRoles are all three.
	AllRoles = consensus.AllRoles
)

// ParseRoles reads the names of at least one role, with commas between them.
func ParseRoles(text string) (Roles, error) { return consensus.ParseRoles(text) }

// ErrNoStateMachine: this node is a witness of the group. It has no state that could
// be read or have a snapshot taken; ask another node. Nothing was done.
var ErrNoStateMachine = errors.New("synod: no state machine here")

// RolesError tells that a node was started without a state machine, and the group
// counts on the one that it had, or the other way round. The node has ended or not
// started; nothing was changed.
type RolesError struct {
	Group string
	Known Roles // by the group's configuration
	Given Roles // by Config
}

// Error names both.
func (e *RolesError) Error() string {
	return fmt.Sprintf("synod: group %s knows this node as %s, it was started as %s", e.Group, e.Known, e.Given)
}

// rolesError makes the group's word about the roles the node's.
func rolesError(err error) error {
	if wrong, ok := errors.AsType[*group.RolesError](err); ok {
		return &RolesError{Group: wrong.Group, Known: wrong.Known, Given: wrong.Given}
	}
	return err
}

// roles are what this node is to be in the group, 0 for all.
func (g *Group) roles() Roles {
	if g.config.Engine != Paxos {
		return 0
	}
	return g.node.cfg.PaxosRoles.Chosen()
}

// witness reports whether this node votes in the group and has no state of it.
func (g *Group) witness() bool { return g.roles().Witness() }

// rolesIn are those that a node asks for in the group; false if they are none that
// are known here.
func (g *Group) rolesIn(given uint32) (Roles, bool) {
	if g.config.Engine != Paxos {
		return 0, true
	}
	return Roles(given).Chosen(), given <= uint32(AllRoles)
}

func (c Config) checkRoles() error {
	paxos := false
	for _, g := range c.Groups {
		paxos = paxos || g.Engine == Paxos
	}
	switch {
	case !c.PaxosRoles.Valid():
		return fmt.Errorf("synod: Config.PaxosRoles is %d", c.PaxosRoles)
	case c.PaxosRoles.Chosen() == 0:
		return nil
	case !paxos:
		return fmt.Errorf("synod: Config.PaxosRoles is %s, but no group has engine %s", c.PaxosRoles, Paxos)
	case c.Bootstrap && !c.PaxosRoles.Has(Proposer|Acceptor):
		return fmt.Errorf("synod: Config.PaxosRoles is %s: the founder must be %s, it is alone at first", c.PaxosRoles, Proposer|Acceptor)
	}
	return nil
}

// demoted is m without a vote. One that was given roles keeps the others: a proposer
// may go on leading.
func demoted(m raft.Member) raft.Member {
	m.Voter, m.Promote = false, false
	if rest := m.Roles &^ Acceptor; rest != 0 {
		m.Roles = rest
	}
	return m
}
