package synod

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
)

// Member is a node of the cluster: what gossip says of it, joined with the
// configurations of this node's groups.
type Member struct {
	ID    uint64
	Name  string
	Self  bool
	State string // alive; dead if a group counts on it and gossip does not see it
	// LastSeen is when gossip last held it for alive: now if it does, zero if it
	// has not since this node started.
	LastSeen time.Time
	Voter    bool   // in at least one group
	API      string // announced addresses, "" if not known
	Link     string
	Gossip   string
	Roles    []string
	Version  string
}

// sightings remember who was seen, by gossip or by an introduction: a node that
// is dead is still to be found under the address it had.
type sightings struct {
	mu sync.Mutex
	by map[cluster.NodeID]sighting
}

// sighting is what a node last told about itself.
type sighting struct {
	cluster.Member
	alive bool      // gossip holds it for alive
	until time.Time // when gossip last did so, if it does not; zero if it never has
}

// maxSightings bounds what gossip can make a node remember.
const maxSightings = 1024

// set takes all members that gossip holds for alive.
func (s *sightings) set(members []cluster.Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil || len(s.by) > maxSightings {
		s.by = make(map[cluster.NodeID]sighting)
	}
	for id, was := range s.by {
		if was.alive {
			was.alive, was.until = false, time.Now()
			s.by[id] = was
		}
	}
	for _, m := range members {
		s.by[m.ID] = sighting{Member: m, alive: true}
	}
}

// introduce takes what a node told over the link. Gossip knows better about whom
// it holds for alive.
func (s *sightings) introduce(m cluster.Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, known := s.by[m.ID]
	if was.alive || !known && len(s.by) >= maxSightings {
		return
	}
	if s.by == nil {
		s.by = make(map[cluster.NodeID]sighting)
	}
	s.by[m.ID] = sighting{Member: m, until: was.until}
}

func (s *sightings) find(id cluster.NodeID) (seen sighting, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, known = s.by[id]
	return seen, known
}

func (s *sightings) all() []sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.by))
}

// startGossip announces this node and looks for the others.
func (n *Node) startGossip() error {
	if n.cfg.local != nil {
		n.cfg.local.cluster.started(n)
		return nil
	}
	if n.gossip != nil { // found has opened it
		go n.tellMeta()
		return nil
	}
	return n.openGossip()
}

func (n *Node) openGossip() (err error) {
	config := cluster.GossipConfig{
		Self: cluster.NodeID(n.ID()), Name: n.cfg.Name, Listen: n.cfg.Listen.Gossip, Advertise: n.cfg.Advertise.Gossip,
		Label: n.cfg.ClusterName, Meta: n.meta(), Seeds: n.cfg.Join, Extra: n.voterGossipAddresses, Book: n.book,
		OnChange: n.onMembers, OnAlive: n.link.Reach, OnForeign: n.meets, Faults: n.cfg.Faults, Logger: n.log,
	}
	if len(n.cfg.GossipKey) > 0 {
		config.Keys = append([][]byte{n.cfg.GossipKey}, n.cfg.GossipAlso...)
	}
	if n.gossip, err = cluster.StartGossip(config); err == nil {
		close(n.gossiping)
	}
	return err
}

func (n *Node) meta() *messages.NodeMeta {
	return &messages.NodeMeta{Epoch: n.epoch, Cluster: n.Cluster(), Link: n.cfg.Advertise.Link, Api: n.cfg.Advertise.API,
		Roles: n.cfg.Roles, Version: n.cfg.Version, PaxosRoles: uint32(n.cfg.PaxosRoles.Chosen())}
}

// voterGossipAddresses are where the configured members were last seen.
func (n *Node) voterGossipAddresses() []string {
	var addresses []string
	for _, m := range n.seen.all() {
		if n.isMember(uint64(m.ID)) {
			addresses = append(addresses, m.Gossip)
		}
	}
	return addresses
}

func (n *Node) isMember(id uint64) bool {
	return n.grouped.Load() && slices.ContainsFunc(n.groups, func(g *Group) bool {
		_, ok := g.handle.View().Configuration.Find(raft.ID(id))
		return ok
	})
}

// tellMeta spreads what has changed of this node.
func (n *Node) tellMeta() {
	if err := n.gossip.UpdateMeta(n.meta(), time.Second); err != nil {
		n.log.Debug("metadata not spread yet", "error", err)
	}
}

// onMembers learns the cluster's id from the others: a newcomer belongs to the
// cluster whose gossip it was let into.
func (n *Node) onMembers(members []cluster.Member) {
	n.seen.set(members)
	if n.Cluster() != "" {
		return
	}
	i := slices.IndexFunc(members, hasCluster)
	if i < 0 {
		return
	}
	id := members[i].Meta.GetCluster()
	if slices.ContainsFunc(members, func(m cluster.Member) bool { return hasCluster(m) && m.Meta.GetCluster() != id }) {
		// One may be the trace of a node that has just ended: it is gone in seconds.
		n.log.Warn("joins no cluster while gossip holds nodes of two: is a seed wrong?")
		return
	}
	if err := n.setCluster(id); err != nil {
		n.fail(err)
		return
	}
	n.log.Info("joined cluster", "cluster", id, "through", members[i].Name)
	<-n.gossiping // this may run before StartGossip has returned
	n.tellMeta()
}

func hasCluster(m cluster.Member) bool { return m.Meta.GetCluster() != "" }

// knownPeers are the other nodes of this cluster, for a newcomer to ask.
func (n *Node) knownPeers() []cluster.NodeID {
	if n.cfg.local != nil {
		return n.cfg.local.cluster.peersOf(n)
	}
	own := n.Cluster()
	var peers []cluster.NodeID
	for _, m := range n.seen.all() {
		if uint64(m.ID) != n.ID() && own != "" && m.Meta.GetCluster() == own {
			peers = append(peers, m.ID)
		}
	}
	return peers
}

// nameAndAPI tells what is known of a node.
func (n *Node) nameAndAPI(id uint64) (name, api string) {
	if id == n.ID() {
		return n.cfg.Name, n.cfg.Advertise.API
	}
	if m, ok := n.seen.find(cluster.NodeID(id)); ok {
		return m.Name, m.Meta.GetApi()
	}
	return n.peerName(cluster.NodeID(id)), ""
}

// peerName is the name by gossip or by a configuration, else the id.
func (n *Node) peerName(id cluster.NodeID) string {
	if m, ok := n.seen.find(id); ok {
		return m.Name
	}
	for _, g := range n.groups {
		if g.handle == nil {
			continue
		}
		if m, ok := g.handle.View().Configuration.Find(raft.ID(id)); ok && m.Name != "" {
			return m.Name
		}
	}
	return id.String()
}

// Members returns everyone that gossip sees or a group counts on, by name.
func (n *Node) Members() []Member {
	byID := make(map[uint64]*Member)
	for _, g := range n.groups {
		for _, m := range g.handle.View().Configuration.Members {
			member, ok := byID[uint64(m.ID)]
			if !ok {
				member = &Member{ID: uint64(m.ID), Name: m.Name, Link: m.Address, State: "dead"}
				byID[uint64(m.ID)] = member
			}
			member.Voter = member.Voter || m.Voter
		}
	}
	for _, s := range n.seen.all() {
		member, ok := byID[uint64(s.ID)]
		if !ok && !s.alive {
			continue
		}
		if !ok {
			member = &Member{ID: uint64(s.ID), State: "dead"}
			byID[uint64(s.ID)] = member
		}
		member.describe(s)
	}
	if self, ok := byID[n.ID()]; ok {
		self.Self, self.State, self.LastSeen = true, "alive", time.Now()
	}
	members := make([]Member, 0, len(byID))
	for _, m := range byID {
		members = append(members, *m)
	}
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return members
}

func (m *Member) describe(s sighting) {
	m.Name, m.Gossip, m.LastSeen = s.Name, s.Gossip, s.until
	m.API, m.Link = s.Meta.GetApi(), s.Meta.GetLink()
	m.Roles, m.Version = s.Meta.GetRoles(), s.Meta.GetVersion()
	if s.alive {
		m.State, m.LastSeen = "alive", time.Now()
	}
}
