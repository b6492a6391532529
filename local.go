package synod

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/storage"
)

// LocalCluster is a cluster within one process, in memory, for the tests of
// programs that embed Synod: real nodes, a network that can be cut, disks that
// survive Kill as a real disk survives a power cut. It is safe for concurrent use.
type LocalCluster struct {
	network *cluster.MemoryNetwork
	groups  []GroupConfig
	roles   []Roles  // of each node; nil gives all of them all roles
	apis    []string // of each node; nil gives them addresses that nobody serves
	logger  *slog.Logger

	mu    sync.Mutex
	id    string
	nodes []*Node
	fs    []*storage.Memory
	off   []atomic.Int64                    // of each node's wall clock, in nanoseconds
	seen  map[cluster.NodeID]cluster.Member // what gossip would tell
}

// localNode is what Start takes from a LocalCluster instead of disk and network.
type localNode struct {
	cluster *LocalCluster
	fs      storage.FS
	network cluster.Network
	wall    func() time.Time
}

// TB is what Local needs of a *testing.T.
type TB interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Local starts a cluster of n nodes that replicate groups, waits until all of
// them vote, and stops it at the end of the test. The first node bootstraps.
func Local(t TB, n int, groups ...GroupConfig) *LocalCluster {
	t.Helper()
	c, err := NewLocalCluster(t.Context(), n, slog.New(slog.DiscardHandler), groups...)
	if err != nil {
		t.Fatalf("synod.Local: %v", err)
	}
	t.Cleanup(c.Stop)
	return c
}

// LocalRoles is Local with one node for each of roles, for groups with engine Paxos:
// see Config.PaxosRoles. All acceptors vote, but the last one if their number is even.
func LocalRoles(t TB, roles []Roles, groups ...GroupConfig) *LocalCluster {
	t.Helper()
	c, err := newLocalCluster(t.Context(), &LocalCluster{groups: groups, roles: roles, logger: slog.New(slog.DiscardHandler)}, len(roles))
	if err != nil {
		t.Fatalf("synod.LocalRoles: %v", err)
	}
	t.Cleanup(c.Stop)
	return c
}

// NewLocalCluster is Local outside a test. End it with Stop.
func NewLocalCluster(ctx context.Context, n int, logger *slog.Logger, groups ...GroupConfig) (*LocalCluster, error) {
	return newLocalCluster(ctx, &LocalCluster{groups: groups, logger: logger}, n)
}

// NewLocalClusterAt is NewLocalCluster with a node for each of apis: the addresses, host:port, at which the
// caller serves their interfaces. What a node cannot answer it forwards there.
func NewLocalClusterAt(ctx context.Context, apis []string, logger *slog.Logger, groups ...GroupConfig) (*LocalCluster, error) {
	return newLocalCluster(ctx, &LocalCluster{groups: groups, apis: apis, logger: logger}, len(apis))
}

func newLocalCluster(ctx context.Context, c *LocalCluster, n int) (*LocalCluster, error) {
	c.network, c.nodes = cluster.NewMemoryNetwork(), make([]*Node, n)
	c.off, c.seen = make([]atomic.Int64, n), make(map[cluster.NodeID]cluster.Member)
	for i := range n {
		c.fs = append(c.fs, storage.NewMemory(uint64(i+1)))
		if err := c.start(ctx, i); err != nil {
			c.Stop()
			return nil, err
		}
	}
	if err := c.waitVoters(ctx, n); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func localName(i int) string { return fmt.Sprintf("n%d", i+1) }

func (c *LocalCluster) start(ctx context.Context, i int) error {
	name := localName(i)
	api := name + ":1"
	if c.apis != nil {
		api = c.apis[i]
	}
	node, err := Start(ctx, Config{
		Name: name, Bootstrap: i == 0, Voters: c.voters(), PaxosRoles: c.rolesOf(i), Groups: c.groups, Logger: c.logger,
		Listen: Addresses{API: api, Link: name + ":2", Gossip: name + ":3"},
		local: &localNode{cluster: c, fs: c.fs[i], network: c.network.Host(name),
			wall: func() time.Time { return time.Now().Add(time.Duration(c.off[i].Load())) }},
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.nodes[i] = node
	c.mu.Unlock()
	return nil
}

func (c *LocalCluster) rolesOf(i int) Roles {
	if c.roles == nil {
		return 0
	}
	return c.roles[i]
}

// voters is how many nodes shall vote: an odd number.
func (c *LocalCluster) voters() int {
	n := len(c.nodes)
	for _, r := range c.roles {
		if r != 0 && !r.Has(Acceptor) {
			n--
		}
	}
	return n - 1 + n%2
}

// started tells a node which cluster it is in, and the others where it is.
func (c *LocalCluster) started(n *Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.id == "" {
		c.id = n.Cluster() // the founder's
	}
	if n.Cluster() == "" {
		if err := n.setCluster(c.id); err != nil {
			n.fail(err)
		}
	}
	self := cluster.Member{ID: cluster.NodeID(n.ID()), Name: n.cfg.Name, Gossip: n.cfg.Advertise.Gossip, Meta: n.meta()}
	c.seen[self.ID] = self
	for _, m := range c.seen {
		n.learn(m)
	}
	for _, other := range c.nodes {
		if other != nil {
			other.learn(self)
		}
	}
}

func (n *Node) learn(m cluster.Member) {
	n.book.Learn(m.ID, m.Meta.GetLink())
	n.seen.introduce(m)
}

func (c *LocalCluster) peersOf(n *Node) []cluster.NodeID {
	c.mu.Lock()
	defer c.mu.Unlock()
	var peers []cluster.NodeID
	for id := range c.seen {
		if id != cluster.NodeID(n.ID()) {
			peers = append(peers, id)
		}
	}
	return peers
}

func (c *LocalCluster) waitVoters(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	wanted := c.voters()
	for _, node := range c.nodes {
		for _, g := range node.groups {
			err := node.await(ctx, func() bool {
				v := g.handle.View()
				voters := 0
				for _, m := range v.Configuration.Members {
					if m.Voter {
						voters++
					}
				}
				return v.Leader != raft.None && !v.Configuration.Joint() && voters >= wanted &&
					len(v.Configuration.Members) >= n
			})
			if err != nil {
				return fmt.Errorf("synod: %s sees no group of %d: %w", node.Name(), n, err)
			}
		}
	}
	return nil
}

// Node returns the i-th node, from 0; nil while it is killed.
func (c *LocalCluster) Node(i int) *Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[i]
}

// Neighbour returns the node of that name in the LocalCluster of n, nil while it is killed. It reports false for a
// node that is in none: others are then reached over the network alone.
func (n *Node) Neighbour(name string) (neighbour *Node, local bool) {
	if n.cfg.local == nil {
		return nil, false
	}
	c := n.cfg.local.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.nodes {
		if localName(i) == name {
			return other, true
		}
	}
	return nil, true
}

// Leader returns the node that leads the named group and its number, waiting
// until there is one that can commit.
func (c *LocalCluster) Leader(ctx context.Context, group string) (*Node, int, error) {
	for {
		for i := range c.nodes {
			node := c.Node(i)
			if node == nil {
				continue
			}
			g := node.Group(group)
			if g == nil {
				return nil, 0, fmt.Errorf("synod: no group %q", group)
			}
			if g.handle.View().Role == raft.Leader {
				try, cancel := context.WithTimeout(ctx, time.Second)
				_, err := g.handle.ReadIndex(try)
				cancel()
				if err == nil {
					return node, i, nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil, 0, fmt.Errorf("%w: %w", ErrNoLeader, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Kill ends the i-th node like a power cut: what it had not flushed is lost.
func (c *LocalCluster) Kill(i int) {
	c.mu.Lock()
	node := c.nodes[i]
	c.nodes[i] = nil
	c.mu.Unlock()
	if node == nil {
		return
	}
	c.network.Kill(localName(i))
	c.fs[i].Crash()
	node.end(ErrStopped)
}

// Restart starts a killed node again on what its disk holds.
func (c *LocalCluster) Restart(ctx context.Context, i int) error {
	if c.Node(i) != nil {
		return fmt.Errorf("synod: %s is not killed", localName(i))
	}
	return c.start(ctx, i)
}

// Cut cuts the network between two nodes, both ways.
func (c *LocalCluster) Cut(i, j int) { c.network.Cut(localName(i), localName(j)) }

// Isolate cuts a node off from all others.
func (c *LocalCluster) Isolate(i int) {
	for j := range c.nodes {
		if j != i {
			c.Cut(i, j)
		}
	}
}

// SetWallClock sets the wall clock of the i-th node off by so much: what stamps
// its log, not the clock that elections and leases go by, which cannot be set.
func (c *LocalCluster) SetWallClock(i int, off time.Duration) { c.off[i].Store(int64(off)) }

// Heal mends all cuts.
func (c *LocalCluster) Heal() { c.network.HealAll() }

// Stop ends all nodes.
func (c *LocalCluster) Stop() {
	c.mu.Lock()
	nodes := slices.Clone(c.nodes)
	c.mu.Unlock()
	for _, node := range nodes {
		if node != nil {
			node.end(nil)
		}
	}
}
