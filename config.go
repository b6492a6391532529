package synod

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"time"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// StateMachine is what a group replicates: see package replica.
type StateMachine = replica.StateMachine

// MaxCommandBytes is the largest command that Propose takes. A node in memory
// takes up to 500 KiB.
const MaxCommandBytes = 4 << 20

// Default addresses. Further nodes on one machine take ports 10, 20, ... higher.
const (
	DefaultAPI    = "127.0.0.1:4700"
	DefaultLink   = "127.0.0.1:4701"
	DefaultGossip = "127.0.0.1:4702"
)

// DefaultClusterName is the name of a cluster that was given none.
const DefaultClusterName = "synod"

// Addresses of a node, each host:port.
type Addresses struct {
	// API is only announced to the others; package api listens there.
	API string
	// Link carries actor messages between nodes (TCP).
	Link string
	// Gossip carries membership (TCP and UDP).
	Gossip string
}

// GroupConfig is one replicated state machine.
type GroupConfig struct {
	// Name of the group, the same on all nodes.
	Name string
	// New makes the state machine in its first state. It is called at each
	// start of the replica, also when it is restarted after a panic.
	New func() StateMachine
	// Engine keeps the group's log, the same on all nodes and for ever: a node
	// does not start with another one than founded the group (*EngineError).
	// Default Config.Engine.
	Engine Engine
	// SnapshotBytes of log since the last snapshot make the next one. Default
	// 64 MiB.
	SnapshotBytes int
	// Limits of sessions and remembered requests; the same on all nodes.
	Limits replica.Limits
	// Sessions tells that the state machine is a *coordination.Tree, whose sessions its
	// nodes keep: see Group.Sessions. The same on all nodes.
	Sessions bool
	// Master, if set, tells that the state machine is a *mesos.Registry, beside which each
	// node has a master of the cluster manager, of which one leads: see Group.Master. Set
	// on the same groups on all nodes.
	Master *MasterConfig

	// Event is told of each event of the replica's flight recorder as it happens, one
	// after the other, with the time by the wall clock as it was set when the group
	// started; it must not block nor call the group. Optional.
	Event func(FlightEvent)
	// Intercept, for tests and demonstrations of a bad network, is handed each message
	// that may leave for another replica, and what sends it: at once, later, more than
	// once or never. It is called by several goroutines and must not block. Optional.
	Intercept func(m FlightEvent, send func())
}

// Config of a Node. Only Name and Groups are required.
type Config struct {
	// Name of the node, unique in the cluster: 1 to 63 of a-z, 0-9, - and dot.
	Name string
	// ClusterName is what people call the cluster: nodes of another name do not
	// hear each other's gossip, even with one key. Default: the one in the
	// certificate, which it must be with TLS, or else "synod". It is not the
	// cluster's id, which a node learns only when it joins.
	ClusterName string
	// Dir is the data directory. Empty keeps everything in memory: such a node
	// survives nothing, and is meant for tests.
	Dir string
	// Bootstrap founds a cluster: on its first node alone, for its first start. On
	// a directory that already belongs to a cluster it changes nothing. With Join,
	// a fresh node first asks all of them, and Start waits until each of them has
	// answered: it founds if none has a cluster, and joins if one has. Without Join
	// nobody is asked: never start a node like that whose directory is gone while
	// its cluster is there.
	Bootstrap bool
	// Join are gossip addresses of nodes of the cluster; any will do. With
	// Bootstrap name all others. A host name that stands for several nodes counts
	// as answered when one of them has.
	Join []string
	// Listen defaults to loopback; Advertise, what others are told, to Listen.
	Listen    Addresses
	Advertise Addresses
	// Voters is how many nodes shall vote; further ones replicate without a
	// vote. Odd. Default 3.
	Voters int
	// PaxosRoles are what this node plays in the groups with engine Paxos: any of
	// Proposer, Acceptor and Learner. Default all. It asks for a place as that; what
	// the groups then say of its vote counts, but whether it runs the state machine
	// stays for ever (*RolesError). Only acceptors count as voters. A founder is at
	// least Proposer and Acceptor. Groups with engine Raft do not know of it.
	PaxosRoles Roles
	// Priority orders the voters: the highest one that has caught up leads.
	Priority int
	// Groups are the replicated state machines, the same on all nodes.
	Groups []GroupConfig
	// Engine is that of groups that name none: Raft, the default, or Paxos.
	Engine Engine

	// TLS authenticates nodes to each other (package cluster makes and
	// loads certificates); nil speaks plain text, which is refused on other
	// addresses than loopback unless Insecure is set.
	TLS *cluster.TLS
	// GossipKey encrypts gossip: 16, 24 or 32 bytes. Required with TLS.
	GossipKey []byte
	// GossipAlso are further keys that the node understands, while the key of a cluster
	// is being replaced: see Node.SetGossipKeys.
	GossipAlso [][]byte
	Insecure   bool

	// Heartbeat, Election and Lease are the engines' times: see raft.Config and
	// multipaxos.Config, which have the same.
	// Defaults 50 ms, 300 ms, 150 ms.
	Heartbeat time.Duration
	Election  time.Duration
	Lease     time.Duration

	// Roles and Version are announced by gossip.
	Roles   []string
	Version string

	// Progress tells how far Start has come with a large log or snapshot, in
	// bytes: stage "log" (the log is read and checked), "replay" (a group's entries
	// are read), "snapshot" (a snapshot is checked), "restore" (it is read into the
	// state machine); or, in nodes, "seeds" (of Join, with Bootstrap, these have
	// answered). It is called often, by several goroutines if there are
	// several groups, and must be quick. Optional.
	Progress func(stage string, done, total int64)
	// Logger defaults to discarding.
	Logger *slog.Logger

	// Faults, for demonstrations of a bad network, are what becomes of what this node
	// sends to others and hears from them by link and gossip. Optional.
	Faults *cluster.Faults

	local *localNode // set by LocalCluster
}

var nodeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

var clusterName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,255}$`)

// Check returns all that is wrong with c by itself, as one joined error; Start returns the same. It looks
// neither at the disk nor at the network.
func (c Config) Check() error {
	_, err := c.withDefaults()
	return err
}

// withDefaults checks the whole Config and returns all that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	setDefault(&c.Listen.API, DefaultAPI)
	setDefault(&c.Listen.Link, DefaultLink)
	setDefault(&c.Listen.Gossip, DefaultGossip)
	setDefault(&c.Advertise.API, c.Listen.API)
	setDefault(&c.Advertise.Link, c.Listen.Link)
	setDefault(&c.Advertise.Gossip, c.Listen.Gossip)
	if c.TLS != nil {
		setDefault(&c.ClusterName, c.TLS.Identity().Cluster)
	}
	setDefault(&c.ClusterName, DefaultClusterName)
	setDefault(&c.Voters, 3)
	setDefault(&c.Engine, Raft)
	c.Groups = slices.Clone(c.Groups)
	for i := range c.Groups {
		setDefault(&c.Groups[i].Engine, c.Engine)
	}
	setDefault(&c.Heartbeat, 50*time.Millisecond)
	setDefault(&c.Election, 300*time.Millisecond)
	setDefault(&c.Lease, c.Election/2)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(c.checkName(), c.checkGroups(), c.checkRoles(), c.checkTimes(), c.checkAddresses())
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// wallClock is nil, which is package time's, but in a LocalCluster.
func (c Config) wallClock() func() time.Time {
	if c.local == nil {
		return nil
	}
	return c.local.wall
}

func (c Config) checkName() error {
	var wrong []error
	note := func(is bool, format string, args ...any) {
		if is {
			wrong = append(wrong, fmt.Errorf("synod: "+format, args...))
		}
	}
	note(!nodeName.MatchString(c.Name), "Config.Name %q: want 1 to 63 of a-z, 0-9, - and dot", c.Name)
	note(!clusterName.MatchString(c.ClusterName), "Config.ClusterName %q: want 1 to 255 letters, digits, '-', '_' and '.'", c.ClusterName)
	if c.TLS != nil {
		certified := c.TLS.Identity().Cluster
		note(certified != c.ClusterName, "Config.ClusterName is %q, but the certificate is for %q", c.ClusterName, certified)
	}
	note(c.Voters < 1 || c.Voters%2 == 0, "Config.Voters is %d, must be odd", c.Voters)
	note(!c.Bootstrap && len(c.Join) == 0 && c.Dir == "" && c.local == nil, "a node in memory needs Config.Bootstrap or Config.Join")
	return errors.Join(wrong...)
}

func (c Config) checkGroups() error {
	seen := make(map[storage.Group]string)
	for _, g := range c.Groups {
		id := groupID(g.Name)
		switch {
		case !nodeName.MatchString(g.Name):
			return fmt.Errorf("synod: group name %q: want 1 to 63 of a-z, 0-9, - and dot", g.Name)
		case g.Engine != Raft && g.Engine != Paxos:
			return fmt.Errorf("synod: group %s has engine %q: want %s or %s", g.Name, g.Engine, Raft, Paxos)
		case g.New == nil:
			return fmt.Errorf("synod: group %s has no New", g.Name)
		case seen[id] != "":
			return fmt.Errorf("synod: groups %s and %s: the names collide, change one", seen[id], g.Name)
		}
		seen[id] = g.Name
	}
	if len(c.Groups) == 0 {
		return errors.New("synod: Config.Groups is empty")
	}
	return nil
}

func (c Config) checkTimes() error {
	switch {
	case c.Heartbeat <= 0 || c.Election < 3*c.Heartbeat:
		return fmt.Errorf("synod: Config.Election is %v, must be at least three heartbeats of %v", c.Election, c.Heartbeat)
	case c.Lease <= 0 || c.Lease > c.Election:
		return fmt.Errorf("synod: Config.Lease is %v, must be above 0 and at most Election, %v", c.Lease, c.Election)
	}
	return nil
}

// checkAddresses refuses plain text on anything but loopback.
func (c Config) checkAddresses() error {
	var errs error
	for what, address := range map[string]string{"link": c.Listen.Link, "gossip": c.Listen.Gossip} {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("synod: %s address %q: %w", what, address, err))
			continue
		}
		protected := c.TLS != nil && len(c.GossipKey) > 0
		if !isLoopback(host) && !protected && !c.Insecure && c.local == nil {
			errs = errors.Join(errs, fmt.Errorf("synod: %s address %s is not loopback: needs TLS and a gossip key, or Insecure", what, address))
		}
	}
	return errs
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
