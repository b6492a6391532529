package synod

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/paxos"
)

// Role is what a process does for decrees.
type Role = decree.Role

// The roles of single-decree Paxos.
const (
	RoleProposer = decree.Proposer // Decide
	RoleAcceptor = decree.Acceptor // remembers and votes; needs its disk
	RoleLearner  = decree.Learner  // Learn
)

// LearnerScheme says how learners find out what is chosen: see paxos.Scheme.
type LearnerScheme = paxos.Scheme

// The learner schemes.
const (
	AllLearners  = paxos.AllLearners
	OneLearner   = paxos.OneLearner
	SomeLearners = paxos.SomeLearners
)

// DecreeEvent is one thing that a role of this process has sent, received or found
// out.
type DecreeEvent = decree.Event

// DecreesConfig says which part this process plays in passing decrees. Name and
// Acceptors are required. What is not said to be the process's own must be the same
// on all processes.
type DecreesConfig struct {
	// Name of this process, unique: as Config.Name.
	Name string
	// ClusterName keeps those that pass decrees together apart from others: as
	// Config.ClusterName.
	ClusterName string
	// Data is the process's own directory. Empty keeps everything in memory, for
	// tests: an acceptor that ends so never votes again.
	Data string
	// Acceptors are the names of the processes that vote: an odd number, 1 to 63,
	// for ever. A majority of them must answer for a value to be chosen.
	// A name stands for the disk that it had when the first value was proposed: an
	// acceptor that loses it never votes again, and cannot be replaced.
	Acceptors []string
	// Roles of this process. Default: proposer and learner, and acceptor if Name is
	// among Acceptors.
	Roles []Role
	// Scheme says how learners are told, Distinguished which processes are the
	// distinguished learners, the first one first. Default AllLearners.
	Scheme        LearnerScheme
	Distinguished []string
	// Proposer names the distinguished proposer: others leave their values to it,
	// unless it does not answer. Default: everyone proposes.
	Proposer string

	// Join are gossip addresses of other processes, any will do. Gossip tells where
	// processes are, and nothing else: it has no say in who votes.
	Join []string
	// Listen and Advertise are as in Config; API is not used.
	Listen, Advertise Addresses
	// TLS, GossipKey, GossipAlso and Insecure are as in Config.
	TLS        *cluster.TLS
	GossipKey  []byte
	GossipAlso [][]byte
	Insecure   bool
	// Local runs the process in this program, on Local's network and disks, instead
	// of all of the above from Data on that is about disks, addresses and keys.
	Local *LocalDecrees

	// MaxValueBytes bounds a value. Default 64 KiB.
	MaxValueBytes int
	// MaxDecrees and MaxBytes bound what this process remembers as acceptor, and
	// likewise as learner. An acceptor refuses what is more; a learner forgets it.
	// Defaults 65536 and 64 MiB.
	MaxDecrees, MaxBytes int
	// Retransmit is how long an acceptor may be silent before it is asked again,
	// Backoff the base of the random wait after a duel, LearnTimeout how long a
	// learner waits before it asks. Defaults 100 ms, 20 ms, 300 ms.
	Retransmit, Backoff, LearnTimeout time.Duration

	// Recorded is how many events Recording keeps. Default 1024.
	Recorded int
	// Event is told of each event as it happens, one after the other; it must not
	// block nor change the value nor call this process. Optional.
	Event func(DecreeEvent)
	// Intercept, for tests and demonstrations of a bad network, is handed each message
	// that leaves for another process, and what sends it: at once, later, more than
	// once or never. It is called by several goroutines and must not block. Optional.
	Intercept func(m DecreeEvent, send func())
	// Logger defaults to discarding.
	Logger *slog.Logger
}

func (c DecreesConfig) withDefaults() (DecreesConfig, error) {
	if c.Local != nil {
		c.Listen = Addresses{API: c.Name + ":1", Link: c.Name + ":2", Gossip: c.Name + ":3"}
		c.Advertise = c.Listen
	}
	checked := Config{Name: c.Name, ClusterName: c.ClusterName, Bootstrap: true, Listen: c.Listen, Advertise: c.Advertise,
		TLS: c.TLS, GossipKey: c.GossipKey, Insecure: c.Insecure || c.Local != nil, Logger: c.Logger,
		Groups: []GroupConfig{{Name: "decrees", New: func() StateMachine { return nil }}}}
	checked, err := checked.withDefaults()
	c.ClusterName, c.Listen, c.Advertise, c.Logger = checked.ClusterName, checked.Listen, checked.Advertise, checked.Logger
	setDefault(&c.Recorded, 1024)
	setDefault(&c.MaxValueBytes, 64<<10)
	if len(c.Roles) == 0 {
		c.Roles = []Role{RoleProposer, RoleLearner}
		if slices.Contains(c.Acceptors, c.Name) {
			c.Roles = append(c.Roles, RoleAcceptor)
		}
	}
	return c, errors.Join(err, c.checkRoles())
}

func (c DecreesConfig) checkRoles() error {
	sorted := slices.Sorted(slices.Values(c.Acceptors))
	switch {
	case len(sorted)%2 == 0 || len(sorted) > paxos.MaxAcceptors:
		return fmt.Errorf("synod: DecreesConfig.Acceptors has %d names, want an odd number up to 63", len(sorted))
	case len(slices.Compact(sorted)) < len(c.Acceptors):
		return fmt.Errorf("synod: DecreesConfig.Acceptors names one twice: %v", c.Acceptors)
	case slices.Contains(c.Acceptors, c.Name) != c.plays(RoleAcceptor):
		return fmt.Errorf("synod: %s is among DecreesConfig.Acceptors or not, and its Roles %v say otherwise", c.Name, c.Roles)
	case c.Scheme > SomeLearners:
		return fmt.Errorf("synod: DecreesConfig.Scheme is %v", c.Scheme)
	case c.Scheme != AllLearners && len(c.Distinguished) == 0:
		return fmt.Errorf("synod: DecreesConfig.Scheme %v needs Distinguished", c.Scheme)
	}
	for _, name := range c.Acceptors {
		if !nodeName.MatchString(name) {
			return fmt.Errorf("synod: acceptor name %q: want 1 to 63 of a-z, 0-9, - and dot", name)
		}
	}
	for i, role := range c.Roles {
		switch {
		case role != RoleProposer && role != RoleAcceptor && role != RoleLearner:
			return fmt.Errorf("synod: DecreesConfig.Roles: no role %q", role)
		case slices.Contains(c.Roles[:i], role):
			return fmt.Errorf("synod: DecreesConfig.Roles names the %s twice", role)
		}
	}
	return nil
}

func (c DecreesConfig) plays(role Role) bool { return slices.Contains(c.Roles, role) }
