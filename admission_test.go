package synod

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/internal/stranger"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
)

// certified is a cluster on loopback whose nodes have certificates.
type certified struct {
	t     *testing.T
	ctx   context.Context
	ca    *cluster.CA
	nodes map[string]*Node
}

func startCertified(t *testing.T, names ...string) *certified {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	c := &certified{t: t, ctx: ctx, ca: newAuthority(t, "prod"), nodes: map[string]*Node{}}
	for _, name := range names {
		c.start(name, names[0])
	}
	c.awaitVoters(names...)
	return c
}

func newAuthority(t *testing.T, name string) *cluster.CA {
	t.Helper()
	ca, err := cluster.NewCA(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func (c *certified) material(name string) *cluster.TLS {
	c.t.Helper()
	certificate, key, err := c.ca.Issue(cluster.IssueOptions{Role: cluster.RoleNode, Name: name})
	if err != nil {
		c.t.Fatal(err)
	}
	material, err := cluster.NewTLS(c.ca.CertificatePEM, certificate, key)
	if err != nil {
		c.t.Fatal(err)
	}
	return material
}

// start starts a node without any data; the founder, if it has not been started.
func (c *certified) start(name, founder string) *Node {
	c.t.Helper()
	config := Config{Name: name, Groups: []GroupConfig{{Name: "g", New: func() StateMachine { return nothing{} }}},
		TLS: c.material(name), GossipKey: make([]byte, 32), Bootstrap: name == founder,
		Listen: Addresses{API: loopbackAddress(c.t), Link: unusedAddress(c.t), Gossip: unusedAddress(c.t)}}
	for _, other := range c.nodes {
		config.Join = append(config.Join, other.cfg.Advertise.Gossip)
	}
	n, err := Start(c.ctx, config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { n.end(nil) })
	c.nodes[name] = n
	return n
}

func loopbackAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// awaitVoters waits until the named nodes, under their present ids, are the voters.
func (c *certified) awaitVoters(names ...string) {
	c.t.Helper()
	wanted := map[raft.ID]string{}
	for _, name := range names {
		wanted[raft.ID(c.nodes[name].ID())] = name
	}
	for _, name := range names {
		g := c.nodes[name].groups[0]
		err := c.nodes[name].await(c.ctx, func() bool {
			v := g.handle.View()
			return v.Leader != raft.None && !v.Configuration.Joint() && len(v.Configuration.Members) == len(wanted) &&
				!slices.ContainsFunc(v.Configuration.Members, func(m raft.Member) bool { return !m.Voter || wanted[m.ID] != m.Name })
		})
		if err != nil {
			c.t.Fatalf("%s sees %+v, want the voters %v: %v", name, g.handle.View().Configuration.Members, wanted, err)
		}
	}
}

// leader returns the node that leads.
func (c *certified) leader() *Node {
	c.t.Helper()
	for c.ctx.Err() == nil {
		for _, n := range c.nodes {
			if n.groups[0].handle.View().Role == raft.Leader {
				return n
			}
		}
		time.Sleep(time.Millisecond)
	}
	c.t.Fatal("nobody leads")
	return nil
}

// connect shakes hands with n as h under a certificate for name, and returns why it
// was refused.
func (c *certified) connect(n *Node, name string, h stranger.Hello) (net.Conn, string) {
	c.t.Helper()
	plain, err := net.Dial("tcp", n.cfg.Listen.Link)
	if err != nil {
		c.t.Fatal(err)
	}
	conn := tls.Client(plain, c.material(name).ClientConfig(cluster.RoleNode))
	c.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	h.Cluster = n.Cluster()
	refused, err := stranger.Greet(conn, h)
	if err != nil {
		c.t.Fatal(err)
	}
	return conn, refused
}

// refusals are how many messages of a peer n has refused for its sender.
func refusals(n *Node, peer uint64) uint64 {
	for _, p := range n.link.Stats().Peers {
		if uint64(p.Peer) == peer {
			return p.Refused[cluster.RefusedSender]
		}
	}
	return 0
}

// n9 has a certificate of the cluster, and wants the place of n2, which is down.
// Only who proves to be n2 gets it.
func TestAPlaceBelongsToItsNamesCertificate(t *testing.T) {
	c := startCertified(t, "n1", "n2", "n3")
	n2 := c.nodes["n2"]
	if err := n2.Stop(c.ctx); err != nil {
		t.Fatal(err)
	}
	delete(c.nodes, "n2")
	const n9 = 0x9999
	group := uint32(c.nodes["n1"].groups[0].id)

	for name, n := range c.nodes {
		_, refused := c.connect(n, "n9", stranger.Hello{Node: n2.ID(), Name: "n9", Epoch: 1 << 62})
		if want := fmt.Sprintf("node %s is %q, not %q", cluster.NodeID(n2.ID()), "n2", "n9"); refused != want {
			t.Errorf("%s to n9 with n2's id: %q, want %q", name, refused, want)
		}
		if _, refused = c.connect(n, "n9", stranger.Hello{Node: n2.ID(), Name: "n2", Epoch: 1 << 62}); !strings.Contains(refused, "certificate") {
			t.Errorf("%s to n9 with n2's id and name: %q, want a word about the certificate", name, refused)
		}
	}

	leader := c.leader()
	before := leader.groups[0].handle.View().Configuration
	for leader.groups[0].handle.View().Role == raft.Leader && stillAnswers(c.ctx, leader, n2.ID()) {
		time.Sleep(time.Millisecond) // while it does, nobody gets its place anyhow
	}
	for name, n := range c.nodes {
		conn, refused := c.connect(n, "n9", stranger.Hello{Node: n9, Name: "n9", Epoch: 1})
		if refused != "" {
			t.Fatalf("%s refuses n9 as itself: %s", name, refused)
		}
		n.link.PID(n9, "x") // somebody here knows it, so that its counters stay
		n.system.Root.Send(n.link.PID(n9, "x"), &messages.RaftMessage{})
		for _, frame := range [][]byte{
			stranger.Frame(stranger.KindJoin, joinReceiver, stranger.JoinRequest(n9, group, "n2", "127.0.0.1:1")),
			stranger.Frame(stranger.KindIntroduction, joinReceiver, stranger.Introduction(n9, "n2", "127.0.0.1:2")),
			stranger.Frame(stranger.KindJoin, joinReceiver, stranger.JoinRequest(n2.ID(), group, "n9", "127.0.0.1:1")),
		} {
			if _, err := conn.Write(frame); err != nil {
				t.Fatal(err)
			}
		}
		soon, cancel := context.WithTimeout(c.ctx, 10*time.Second)
		err := n.await(soon, func() bool { return refusals(n, n9) == 3 })
		cancel()
		if err != nil {
			t.Fatalf("%s has refused %d of 3 messages under n2's name or id: %v", name, refusals(n, n9), err)
		}
		if seen, known := n.seen.find(n9); known {
			t.Errorf("%s was introduced to %+v", name, seen)
		}
	}
	time.Sleep(2 * joinEvery) // as long as an admission may take
	for name, n := range c.nodes {
		if now := n.groups[0].handle.View().Configuration; !slices.Equal(now.Members, before.Members) {
			t.Fatalf("%s has the members %+v, want those of before, %+v", name, now.Members, before.Members)
		}
	}

	again := c.start("n2", "n1") // without its disk, hence under another id
	if again.ID() == n2.ID() {
		t.Fatal("a node without its disk has its old id")
	}
	c.awaitVoters("n1", "n2", "n3")
}

func stillAnswers(ctx context.Context, leader *Node, id uint64) bool {
	status, err := leader.groups[0].handle.Status(ctx)
	return err == nil && slices.ContainsFunc(status.Peers, func(p raft.PeerStatus) bool { return uint64(p.ID) == id && p.Active })
}

// Whoever is connected when an id gets its name is judged anew.
func TestAConfigurationEndsConnectionsUnderOtherNames(t *testing.T) {
	c := startCertified(t, "n1")
	n1 := c.nodes["n1"]
	const id = 0x4444
	conn, refused := c.connect(n1, "n9", stranger.Hello{Node: id, Name: "n9", Epoch: 1})
	if refused != "" {
		t.Fatal(refused)
	}
	g := n1.groups[0]
	addMember(t, c.ctx, g, raft.Member{ID: id, Name: "n4", Address: "127.0.0.1:1"})
	if _, err := conn.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection under another name: %v, want it closed", err)
	}
	if _, refused := c.connect(n1, "n9", stranger.Hello{Node: id, Name: "n9", Epoch: 2}); refused == "" {
		t.Error("it was let in again")
	}
	if _, refused := c.connect(n1, "n4", stranger.Hello{Node: id, Name: "n4", Epoch: 1}); refused != "" {
		t.Errorf("the one whose id it is: %s", refused)
	}
}

// Whoever is let in may ask for anything under any number of ids; what answers
// would need to find it must not stay behind.
func TestStrangersWhoAskAreForgotten(t *testing.T) {
	c := Local(t, 3, GroupConfig{Name: "g", New: func() StateMachine { return nothing{} }})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	n := c.Node(0)
	requestVote := []byte{7<<3 | 2, 0} // of term 0, which is answered with the present one
	for id := uint64(1000); id < 1100; id++ {
		conn, err := c.network.Host("stranger").Dial(ctx, n.cfg.Listen.Link)
		if err != nil {
			t.Fatal(err)
		}
		if refused, err := stranger.Greet(conn, stranger.Hello{Node: id, Name: "s", Epoch: 1}); err != nil || refused != "" {
			t.Fatalf("stranger %d: %q, %v", id, refused, err)
		}
		body := append(stranger.Raft(id, n.ID(), uint32(n.groups[0].id), 0), requestVote...)
		if _, err := conn.Write(stranger.Frame(stranger.KindRaft, Raft.receiver()+"g", body)); err != nil {
			t.Fatal(err)
		}
		if _, err := n.groups[0].handle.Status(ctx); err != nil { // the frame before it was handled, or nearly so
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	if err := n.await(ctx, func() bool { return len(n.link.Stats().Peers) == 2 }); err != nil {
		t.Fatalf("%d peers are remembered, want the 2 others", len(n.link.Stats().Peers))
	}
}

// addMember gives m a place, whatever its name.
func addMember(t *testing.T, ctx context.Context, g *Group, m raft.Member) {
	t.Helper()
	for {
		now := g.handle.View().Configuration
		err := g.changeMembership(ctx, append(slices.Clone(now.Members), m), now.Version, m.ID)
		if err == nil {
			return
		}
		if !errors.Is(err, raft.ErrChangePending) || g.node.pause(ctx) != nil {
			t.Fatal(err)
		}
	}
}

// joinRequest is one of a newcomer.
func joinRequest(g *Group, id uint64) *messages.JoinRequest {
	return &messages.JoinRequest{From: id, Group: uint32(g.id), Name: fmt.Sprint("x", id), Link: "127.0.0.1:1"}
}

func TestOneAdmissionAGroupIsUnderWay(t *testing.T) {
	c := Local(t, 1, GroupConfig{Name: "g", New: func() StateMachine { return nothing{} }}, GroupConfig{Name: "h", New: func() StateMachine { return nothing{} }})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	n := c.Node(0)
	g, j := n.groups[0], &joiner{node: n}
	g.admitting.Store(true) // one is under way
	for id := range uint64(100) {
		if j.admit(joinRequest(g, 100+id)) {
			t.Fatalf("request %d was begun beside another", id)
		}
	}
	if !j.admit(joinRequest(n.groups[1], 100)) {
		t.Error("another group waits for it")
	}
	g.admitting.Store(false)
	member := func() bool { _, is := g.handle.View().Configuration.Find(100); return is }
	for !member() { // its sender repeats it
		if !j.admit(joinRequest(g, 100)) && !member() {
			t.Fatal("the next request was not begun")
		}
		if err := n.await(ctx, func() bool { return !g.admitting.Load() }); err != nil {
			t.Fatalf("the admission did not end: %v", err)
		}
	}

	broken := &Group{node: n, name: "without a handle"}
	broken.admitting.Store(true)
	n.admit(broken, raft.Member{ID: 7}, 0)
	if broken.admitting.Load() {
		t.Error("an admission that panicked is still under way")
	}
}
