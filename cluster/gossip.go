package cluster

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/messages"
)

// GossipConfig says how a node takes part in gossip. Self, Name and Listen
// must be set.
type GossipConfig struct {
	Self NodeID
	Name string

	// Listen is the host:port for UDP and TCP; the host must be an IP address.
	// Port 0 picks one.
	Listen string

	// Advertise is the host:port that others use; default: Listen.
	Advertise string

	// Label keeps clusters apart that can reach each other: members of another
	// label are not heard. At most 255 bytes.
	Label string

	// Keys encrypt gossip: the first one sends, all of them receive. 16, 24 or
	// 32 bytes each. Without keys anyone who can send a packet can forge members.
	Keys [][]byte

	// Meta is what the node tells about itself; Node is set to Self. Encoded,
	// at most MaxMeta bytes.
	Meta *messages.NodeMeta

	// Seeds are host:port of members to join, tried again every RejoinInterval
	// together with what Extra returns: configured voters, for example. This
	// is what heals a partition, which memberlist alone does not.
	Seeds []string
	Extra func() []string

	// RejoinInterval is spread by a quarter each way. Default 10 s.
	RejoinInterval time.Duration

	// Book, if set, gets the members' link addresses.
	Book *Book

	// OnForeign, if set, is told of each node of another cluster that is in this
	// gossip, again after each change. Called as OnChange is.
	OnForeign func(Member)

	// OnChange, if set, gets all members after each change, and OnAlive each
	// node whose address is new. Both are called one at a time on a goroutine of
	// the gossip, and may block it but nothing else.
	OnChange func([]Member)
	OnAlive  func(NodeID)

	// Faults, if set, are those of a demonstration.
	Faults *Faults

	// Logger's default logs nothing.
	Logger *slog.Logger
}

// MaxMeta is the most that a node can tell about itself, in encoded bytes.
const MaxMeta = memberlist.MetaMaxSize

// ErrMetaTooLarge says that a NodeMeta is above MaxMeta.
var ErrMetaTooLarge = fmt.Errorf("cluster: node metadata above %d bytes", MaxMeta)

// Member is a node as gossip sees it. It may be out of date, and with a lost
// key it may be a lie.
type Member struct {
	ID     NodeID
	Name   string
	Gossip string // host:port
	Meta   *messages.NodeMeta
}

// Gossip finds the nodes of a cluster. Safe for concurrent use.
type Gossip struct {
	config GossipConfig
	log    *slog.Logger
	list   *memberlist.Memberlist
	ring   *memberlist.Keyring // nil without keys
	notify chan struct{}       // cap 1: something changed
	stop   chan struct{}
	wait   sync.WaitGroup

	mu      sync.Mutex
	meta    []byte // encoded own metadata
	cluster string // of the own metadata; "" until the node belongs to one
	members map[string]Member
	left    bool
	keysAt  time.Time // when warnOfKeys may warn again
}

// StartGossip joins the gossip. That no seed answers is no error: it goes on trying.
func StartGossip(c GossipConfig) (*Gossip, error) {
	c.RejoinInterval = cmp.Or(c.RejoinInterval, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Self == 0 || c.Name == "" {
		return nil, errors.New("cluster: GossipConfig.Self or Name is missing")
	}
	if len(c.Label) > memberlist.LabelMaxSize { // memberlist would notice, but leave its sockets open
		return nil, fmt.Errorf("cluster: GossipConfig.Label of %d bytes, at most %d fit", len(c.Label), memberlist.LabelMaxSize)
	}
	g := &Gossip{config: c, log: c.Logger, members: map[string]Member{},
		notify: make(chan struct{}, 1), stop: make(chan struct{})}
	meta, err := g.encode(c.Meta)
	if err != nil {
		return nil, err
	}
	g.meta, g.cluster = meta, c.Meta.GetCluster()
	config, err := g.memberlistConfig()
	if err != nil {
		return nil, err
	}
	if g.list, err = memberlist.Create(config); err != nil {
		return nil, fmt.Errorf("cluster: gossip: %w", err)
	}
	g.wait.Go(g.report)
	g.wait.Go(g.rejoin)
	return g, nil
}

func (g *Gossip) memberlistConfig() (*memberlist.Config, error) {
	c := memberlist.DefaultLANConfig()
	// Each incarnation has a name of its own, so that a node that lost its
	// disk never argues with its former self about who is alive.
	c.Name = g.config.Name + "/" + g.config.Self.String()
	c.Label = g.config.Label
	c.ProbeInterval, c.ProbeTimeout = 500*time.Millisecond, 250*time.Millisecond
	c.PushPullInterval = 5 * time.Second
	c.RetransmitMult = 4
	c.DeadNodeReclaimTime = 10 * time.Second
	c.TCPTimeout = 2 * time.Second
	c.Delegate, c.Events = gossipDelegate{g}, gossipEvents{g}
	c.Logger = log.New(&gossipLog{log: g.log, closing: g.stop, told: map[string]*told{}}, "", 0)

	var err error
	if c.BindAddr, c.BindPort, err = splitAddress(g.config.Listen); err != nil {
		return nil, err
	}
	c.AdvertisePort = c.BindPort
	if g.config.Advertise != "" {
		if c.AdvertiseAddr, c.AdvertisePort, err = splitAddress(g.config.Advertise); err != nil {
			return nil, err
		}
	}
	if len(g.config.Keys) > 0 {
		if g.ring, err = memberlist.NewKeyring(g.config.Keys, g.config.Keys[0]); err != nil {
			return nil, fmt.Errorf("cluster: gossip key: %w", err)
		}
		c.Keyring = g.ring
	}
	if c.Transport, err = g.config.Faults.transport(c, c.Logger); err != nil {
		return nil, fmt.Errorf("cluster: gossip: %w", err)
	}
	return c, nil
}

// splitAddress resolves a host name, because memberlist wants an IP address.
func splitAddress(addr string) (host string, port int, err error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("cluster: gossip address: %w", err)
	}
	if port, err = strconv.Atoi(service); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("cluster: gossip address %q: not a port", addr)
	}
	if host == "" {
		return "0.0.0.0", port, nil
	}
	if net.ParseIP(host) != nil {
		return host, port, nil
	}
	ip, err := net.ResolveIPAddr("ip", host)
	if err != nil {
		return "", 0, fmt.Errorf("cluster: gossip address: %w", err)
	}
	return ip.String(), port, nil
}

func (g *Gossip) encode(meta *messages.NodeMeta) ([]byte, error) {
	own := &messages.NodeMeta{}
	if meta != nil {
		own = proto.Clone(meta).(*messages.NodeMeta)
	}
	own.Node = uint64(g.config.Self)
	data, err := proto.Marshal(own)
	if err != nil {
		return nil, fmt.Errorf("cluster: node metadata: %w", err)
	}
	if len(data) > MaxMeta {
		return nil, ErrMetaTooLarge
	}
	return data, nil
}

// Addr returns the host:port at which others reach this node's gossip.
func (g *Gossip) Addr() string {
	self := g.list.LocalNode()
	return net.JoinHostPort(self.Addr.String(), strconv.Itoa(int(self.Port)))
}

// Members returns the members that gossip holds for alive, this one among
// them, by name and id. Nodes of another cluster, which a wrong seed can bring
// into one gossip, are left out, and so is who was at another's address before
// it: a node that came back without its disk. Treat Meta as read-only.
func (g *Gossip) Members() []Member {
	members, _ := g.sorted()
	return members
}

// sorted returns all members in order, those of another cluster apart.
func (g *Gossip) sorted() (members, foreign []Member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	latest := g.latest()
	for _, m := range slices.SortedFunc(maps.Values(g.members), func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	}) {
		switch now := latest[m.Gossip]; {
		case g.foreign(m.Meta):
			foreign = append(foreign, m)
		case now.ID == m.ID && now.Name == m.Name:
			members = append(members, m)
		}
	}
	return members, foreign
}

// latest is the process that has started last at each address, where there can be
// but one: memberlist holds who was killed for alive until suspicion has run out,
// half a minute when the machine is slow. g.mu is held.
func (g *Gossip) latest() map[string]Member {
	at := map[string]Member{}
	for _, m := range g.members {
		was, taken := at[m.Gossip]
		if !taken || g.itself(m) || !g.itself(was) && m.Meta.GetEpoch() > was.Meta.GetEpoch() {
			at[m.Gossip] = m
		}
	}
	return at
}

func (g *Gossip) itself(m Member) bool { return m.ID == g.config.Self && m.Name == g.config.Name }

// foreign reports whether meta is that of a node of another cluster. A node that
// has no cluster yet may become one of ours. g.mu is held.
func (g *Gossip) foreign(meta *messages.NodeMeta) bool {
	return g.cluster != "" && meta.GetCluster() != "" && meta.GetCluster() != g.cluster
}

// UpdateMeta changes what the node tells about itself and waits up to timeout
// until somebody was told. ErrMetaTooLarge leaves the old metadata.
func (g *Gossip) UpdateMeta(meta *messages.NodeMeta, timeout time.Duration) error {
	data, err := g.encode(meta)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.meta, g.cluster = data, meta.GetCluster()
	left := g.left
	g.mu.Unlock()
	if left {
		return errors.New("cluster: gossip was left")
	}
	if err := g.list.UpdateNode(timeout); err != nil {
		return fmt.Errorf("cluster: gossip: %w", err)
	}
	return nil
}

// Join tries addresses at once and returns how many answered.
func (g *Gossip) Join(addrs ...string) (int, error) {
	n, err := g.list.Join(addrs)
	if err != nil {
		g.warnOfKeys(addrs, err)
		return n, fmt.Errorf("cluster: gossip: %w", err)
	}
	return n, nil
}

// SetKeys makes keys, of which the first encrypts, all that this node has: the new
// ones are known before the first is used, and the others go last.
func (g *Gossip) SetKeys(keys [][]byte) error {
	if g.ring == nil || len(keys) == 0 {
		return errors.New("cluster: gossip has keys from its start on, and at least one, or it has none")
	}
	for _, key := range keys {
		if err := g.ring.AddKey(key); err != nil {
			return fmt.Errorf("cluster: gossip key: %w", err)
		}
	}
	err := g.ring.UseKey(keys[0])
	for _, old := range g.ring.GetKeys() {
		if !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, old) }) {
			err = errors.Join(err, g.ring.RemoveKey(old))
		}
	}
	return err
}

// Keys are the fingerprints of the keys that this node has: that of the one that
// encrypts first.
func (g *Gossip) Keys() []string {
	var prints []string
	if g.ring != nil {
		for _, key := range g.ring.GetKeys() {
			prints = append(prints, Fingerprint(key))
		}
	}
	return prints
}

// Leave tells the others that this node goes, waiting up to timeout until
// somebody heard, and ends the gossip. A second call does nothing.
func (g *Gossip) Leave(timeout time.Duration) error { return g.end(timeout) }

// Close ends the gossip without a word; the others will suspect the node.
func (g *Gossip) Close() error { return g.end(0) }

func (g *Gossip) end(timeout time.Duration) error {
	g.mu.Lock()
	ended := g.left
	g.left = true
	g.mu.Unlock()
	if ended {
		return nil
	}
	var err error
	if timeout > 0 {
		err = g.list.Leave(timeout)
	}
	close(g.stop)
	err = errors.Join(err, g.list.Shutdown())
	g.wait.Wait()
	if err != nil {
		return fmt.Errorf("cluster: gossip: %w", err)
	}
	return nil
}
