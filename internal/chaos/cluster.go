package chaos

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Engines that keep the log of the tree.
const (
	engineRaft  = "raft"
	enginePaxos = "paxos"
)

// acceptorAlone are the roles of a node that has no state to be read.
const acceptorAlone = "acceptor"

// rolesApart are the roles of five nodes, three of which vote and two of which may
// lead. The first must be able to found the cluster by itself.
var rolesApart = []string{"proposer,acceptor,learner", "proposer,learner", acceptorAlone, "acceptor,learner", "learner"}

// ClusterConfig says what to start.
type ClusterConfig struct {
	Program []string // argv of the program before the arguments of a node
	Nodes   int      // 3 or 5
	Engine  string   // "raft" or "paxos"; "" leaves it to the program, which takes raft
	Dir     string   // for data, logs and disk images
	Host    *Host
	// Disk is the file system of each node's data directory, "ext4" or "xfs";
	// "" puts the directories into Dir. DiskBytes defaults to 512 MiB.
	Disk      string
	DiskBytes int64
	Roles     []string      // of each node, for --roles; nil: all nodes are alike
	Separate  bool          // each node in a network namespace of its own
	Guests    int           // more namespaces of that network, for clients
	Ready     time.Duration // limit for the cluster to take writes, default 30 s
	// Arguments returns the arguments of a node; default [NodeArguments].
	Arguments func(NodeSpec) []string
	TLS       *tls.Config // of the harness, if Arguments make the nodes speak TLS
}

// NodeSpec is what a node is told when it starts.
type NodeSpec struct {
	Name              string
	Dir               string
	Host              string   // IP address of the node
	API, Link, Gossip string   // host:port
	Bootstrap         bool     // the first node
	Join              []string // gossip addresses of the others
	Voters            int
	Engine            string
	Roles             string // "" is all
	Wide              bool   // the addresses are not on loopback
}

// NodeArguments are the arguments of `node start`.
func NodeArguments(s NodeSpec) []string {
	args := []string{"start", "--name", s.Name, "--data", s.Dir, "--listen", s.Host, "--voters", fmt.Sprint(s.Voters)}
	if s.Engine != "" {
		args = append(args, "--engine", s.Engine)
	}
	if s.Roles != "" {
		args = append(args, "--roles", s.Roles)
	}
	if s.Bootstrap {
		args = append(args, "--bootstrap")
	}
	for _, seed := range s.Join {
		args = append(args, "--join", seed)
	}
	if s.Wide {
		args = append(args, "--insecure")
	}
	return args
}

// Node is one process of a cluster with what belongs to it.
type Node struct {
	NodeSpec
	Number int
	Disk   *Disk // nil without a file system of its own
	Log    string

	mu      sync.Mutex
	process *Process
	stopped bool // it is meant to be down
	maxRSS  int64
}

// Cluster is a set of nodes that run the program under test.
type Cluster struct {
	Nodes   []*Node
	Network *Network // nil unless Separate
	HTTP    *HTTP
	config  ClusterConfig
}

// StartCluster starts all nodes and waits until each has the same leader and all
// are voters.
func StartCluster(ctx context.Context, config ClusterConfig) (*Cluster, error) {
	config.DiskBytes = cmp.Or(config.DiskBytes, 512<<20)
	config.Ready = cmp.Or(config.Ready, 30*time.Second)
	if config.Arguments == nil {
		config.Arguments = NodeArguments
	}
	c := &Cluster{config: config, HTTP: NewHTTP(config.Host.Dial)}
	if config.TLS != nil {
		c.HTTP.Secure(config.TLS)
	}
	if err := c.prepare(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	for n := range c.Nodes {
		if err := c.Start(n); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	if err := c.WaitHealthy(ctx, config.Ready); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// prepare makes networks, disks and specs.
func (c *Cluster) prepare() (err error) {
	if c.config.Separate {
		if c.Network, err = NewNetwork(c.config.Host, c.config.Nodes+c.config.Guests); err != nil {
			return err
		}
	}
	address := func(node, port int) string { return fmt.Sprintf("%s:%d", c.address(node), port) }
	for n := range c.config.Nodes {
		node := &Node{Number: n, Log: filepath.Join(c.config.Dir, fmt.Sprintf("n%d.log", n+1))}
		node.NodeSpec = NodeSpec{
			Name:   fmt.Sprintf("n%d", n+1),
			Dir:    filepath.Join(c.config.Dir, fmt.Sprintf("n%d", n+1)),
			Host:   c.address(n),
			API:    address(n, 4700),
			Link:   address(n, 4701),
			Gossip: address(n, 4702),
			Voters: c.voters(),
			Engine: c.config.Engine,
			Wide:   c.Network != nil,
		}
		if c.config.Roles != nil {
			node.Roles = c.config.Roles[n]
		}
		node.Bootstrap = n == 0
		for other := range c.config.Nodes {
			if other != n {
				node.Join = append(node.Join, address(other, 4702))
			}
		}
		c.Nodes = append(c.Nodes, node)
		if c.config.Disk != "" {
			node.Disk, err = NewDisk(c.config.Host, c.config.Disk, c.config.Dir, "disk"+node.Name, c.config.DiskBytes)
			if err != nil {
				return err
			}
			node.Dir = filepath.Join(node.Disk.Mount, "data")
		}
	}
	return nil
}

// voters counts the nodes that vote.
func (c *Cluster) voters() int {
	if c.config.Roles == nil {
		return c.config.Nodes
	}
	count := 0
	for _, roles := range c.config.Roles {
		if (NodeSpec{Roles: roles}).plays("acceptor") {
			count++
		}
	}
	return count
}

// plays reports whether the node has a role of Paxos. Without the flag it has all.
func (s NodeSpec) plays(role string) bool { return s.Roles == "" || strings.Contains(s.Roles, role) }

// address is the IP address of a node.
func (c *Cluster) address(node int) string {
	if c.Network != nil {
		return c.Network.Address(node)
	}
	// Every 127.x.y.z is this machine. An address of its own for each node and
	// process keeps the default ports free, also while a node is down.
	return fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()>>8%250, os.Getpid()%256, node+1)
}

// Start starts the process of node n.
func (c *Cluster) Start(n int) error {
	node := c.Nodes[n]
	argv := append(append([]string(nil), c.config.Program...), c.config.Arguments(node.NodeSpec)...)
	var space *os.File
	if c.Network != nil {
		space = c.Network.Space(n)
	}
	p, err := StartProcess(c.config.Host, space, node.Name, node.Log, argv)
	if err != nil {
		return err
	}
	node.mu.Lock()
	defer node.mu.Unlock()
	node.process, node.stopped = p, false
	return nil
}

// Process is the node's present or last process.
func (n *Node) Process() *Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process
}

// planned marks that the node is meant to be down from now on.
func (n *Node) planned() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
}

// expected marks that the node is meant to run.
func (n *Node) expected() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = false
}

// Kill ends the given nodes with SIGKILL and waits until they are gone. All are
// signalled before the first is waited for.
func (c *Cluster) Kill(nodes ...int) {
	for _, n := range nodes {
		c.Nodes[n].planned()
		c.Nodes[n].Process().Signal(syscall.SIGKILL)
	}
	for _, n := range nodes {
		<-c.Nodes[n].Process().Done()
		c.Nodes[n].remember()
	}
}

// remember keeps the memory high-water mark of the process.
func (n *Node) remember() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil {
		n.maxRSS = max(n.maxRSS, n.process.MaxRSS())
	}
}

// Stop asks node n to end and waits for it. The exit code must be 0.
func (c *Cluster) Stop(n int, limit time.Duration) error {
	node := c.Nodes[n]
	node.planned()
	node.Process().Signal(syscall.SIGTERM)
	code, err := node.Process().Ended(limit)
	if err == nil && code != 0 {
		err = fmt.Errorf("chaos: %s was asked to stop and exited with %d", node.Name, code)
	}
	node.remember()
	return err
}

// Pause stops the nodes' processes in their tracks; Resume lets them go on.
func (c *Cluster) Pause(nodes ...int) {
	for _, n := range nodes {
		c.Nodes[n].Process().Signal(syscall.SIGSTOP)
	}
}

// Resume continues paused nodes.
func (c *Cluster) Resume(nodes ...int) {
	for _, n := range nodes {
		c.Nodes[n].Process().Signal(syscall.SIGCONT)
	}
}

// CutPower shuts the file systems of the given nodes down, kills their processes,
// and mounts the file systems again. Everything acknowledged before it was called
// has been promised; what was acknowledged until it returns is in doubt.
func (c *Cluster) CutPower(nodes ...int) error {
	for _, n := range nodes {
		c.Nodes[n].planned()
		if err := c.Nodes[n].Disk.Cut(); err != nil {
			return err
		}
	}
	c.Kill(nodes...)
	for _, n := range nodes {
		if err := c.Nodes[n].Disk.Remount(); err != nil {
			return err
		}
	}
	return nil
}

// Unplanned returns an error for each process that ended without being asked to.
func (c *Cluster) Unplanned() error {
	var errs []error
	for _, node := range c.Nodes {
		node.mu.Lock()
		p, stopped := node.process, node.stopped
		node.mu.Unlock()
		if p == nil || stopped || p.Alive() {
			continue
		}
		errs = append(errs, fmt.Errorf("chaos: %s ended by itself (%v), see %s", node.Name, p.cmd.ProcessState, node.Log))
	}
	return errors.Join(errs...)
}

// MaxRSS is the most memory that any process of the cluster held, in bytes.
func (c *Cluster) MaxRSS() int64 {
	most := int64(0)
	for _, node := range c.Nodes {
		node.remember()
		most = max(most, node.maxRSS)
	}
	return most
}

// Close ends all processes and gives mounts and namespaces back.
func (c *Cluster) Close() error {
	var errs []error
	for _, node := range c.Nodes {
		if p := node.Process(); p != nil {
			node.planned()
			p.Kill()
		}
		if node.Disk != nil {
			errs = append(errs, node.Disk.Unmount())
		}
	}
	c.HTTP.Close()
	if c.Network != nil {
		c.Network.Close()
	}
	return errors.Join(errs...)
}

// all are the API addresses of the cluster.
func (c *Cluster) all() (addresses []string) {
	for _, node := range c.Nodes {
		addresses = append(addresses, node.API)
	}
	return addresses
}
