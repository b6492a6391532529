package chaos

import (
	"errors"
	"net"
	"os"
	"slices"
	"testing"
	"time"
)

// endpoint is a UDP socket inside a node's namespace.
func endpoint(t *testing.T, n *Network, node int) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	err := n.host.Do(func() error {
		return n.within(node, func() (err error) {
			conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(n.Address(node)), Port: 9})
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// arrive sends packets and returns how many come in.
func arrive(t *testing.T, from, to *net.UDPConn, packets int) int {
	t.Helper()
	for range packets {
		if _, err := from.WriteToUDP([]byte("x"), to.LocalAddr().(*net.UDPAddr)); err != nil {
			t.Fatal(err)
		}
	}
	buffer := make([]byte, 16)
	for got := 0; ; got++ {
		// On a bridge of one machine a packet is there when WriteTo returns; the
		// deadline only ends the count.
		to.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := to.Read(buffer); errors.Is(err, os.ErrDeadlineExceeded) {
			return got
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRulesCutWhatTheySay(t *testing.T) {
	if os.Geteuid() != 0 || lookup("ip", "nft") != nil {
		t.Skip("needs root, ip and nft")
	}
	host, err := NewHost(true)
	if err != nil {
		t.Skipf("needs namespaces: %v", err)
	}
	defer host.Close()
	n, err := NewNetwork(host, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	a, b := endpoint(t, n, 0), endpoint(t, n, 1)
	for _, c := range []struct {
		name               string
		rules              []Rule
		there, back, slack int
	}{
		{"whole", nil, 100, 100, 0},
		{"one way", []Rule{{0, 1, 100}}, 0, 100, 0},
		{"both ways", []Rule{{0, 1, 100}, {1, 0, 100}}, 0, 0, 0},
		{"another pair", []Rule{{0, 2, 100}, {2, 0, 100}}, 100, 100, 0},
		{"loss", []Rule{{0, 1, 30}, {1, 0, 30}}, 70, 70, 20},
		{"healed", nil, 100, 100, 0},
	} {
		if err := n.Apply(c.rules); err != nil {
			t.Fatal(err)
		}
		there, back := arrive(t, a, b, 100), arrive(t, b, a, 100)
		if abs(there-c.there) > c.slack || abs(back-c.back) > c.slack {
			t.Errorf("%s: %d of 100 there, %d back; want %d and %d", c.name, there, back, c.there, c.back)
		}
	}
}

func abs(n int) int { return max(n, -n) }

// Clients sit at the switch and must reach a node that its peers do not reach.
func TestClientsReachAnIsolatedNode(t *testing.T) {
	config := toyConfig(t, toySound, "")
	config.Separate = true
	if lookup("ip", "nft") != nil {
		t.Skip("needs ip and nft")
	}
	c, err := StartCluster(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Network.Apply([]Rule{{0, 1, 100}, {1, 0, 100}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
}

func TestRulesOfFaults(t *testing.T) {
	run := func(n int) *Run { return &Run{cluster: &Cluster{Nodes: make([]*Node, n)}} }
	for _, c := range []struct {
		kind  FaultKind
		nodes int
		want  []Rule
	}{
		{IsolateLeader, 3, []Rule{{0, 1, 100}, {1, 0, 100}, {1, 2, 100}, {2, 1, 100}}},
		{LeaderDeaf, 3, []Rule{{0, 1, 100}, {2, 1, 100}}},
		{LeaderMute, 3, []Rule{{1, 0, 100}, {1, 2, 100}}},
		{Ring, 3, []Rule{{0, 2, 100}, {2, 0, 100}}},
		{Ring, 5, []Rule{{0, 2, 100}, {0, 3, 100}, {1, 3, 100}, {1, 4, 100}, {2, 0, 100}, {2, 4, 100}, {3, 0, 100}, {3, 1, 100}, {4, 1, 100}, {4, 2, 100}}},
		{OneLink, 5, []Rule{{1, 2, 100}, {2, 1, 100}}},
		{Chain, 3, []Rule{{0, 1, 100}, {1, 0, 100}}},
		{Chain, 5, []Rule{{0, 1, 100}, {0, 2, 100}, {0, 3, 100}, {1, 0, 100}, {1, 3, 100}, {1, 4, 100}, {2, 0, 100}, {2, 4, 100}, {3, 0, 100}, {3, 1, 100}, {4, 1, 100}, {4, 2, 100}}},
		{Star, 3, []Rule{{0, 2, 100}, {2, 0, 100}}},
		{Constrained, 3, []Rule{{0, 1, 100}, {1, 0, 100}, {1, 2, 100}, {2, 1, 100}}},
		{Loss, 3, []Rule{{0, 1, 30}, {0, 2, 30}, {1, 0, 30}, {1, 2, 30}, {2, 0, 30}, {2, 1, 30}}},
	} {
		if got := run(c.nodes).rules(c.kind, 1); !slices.Equal(got, c.want) {
			t.Errorf("%s of %d nodes around node 1: %v, want %v", c.kind, c.nodes, got, c.want)
		}
	}
}

// In every partial partition some node reaches a majority, so that one can lead.
func TestPartialPartitionsLeaveAMajorityConnected(t *testing.T) {
	for _, c := range []struct {
		kind  FaultKind
		nodes int
		want  []bool // of the faults around node 1
	}{
		{OneLink, 3, []bool{true, true, true}},
		{OneLink, 5, []bool{true, true, true, true, true}},
		{Chain, 3, []bool{true, true, true}},
		{Chain, 5, []bool{false, false, true, true, true}},
		{Star, 5, []bool{false, true, false, false, false}},
		{Constrained, 3, []bool{true, false, true}},
		{Constrained, 5, []bool{false, false, true, false, false}},
		{IsolateLeader, 5, []bool{true, false, true, true, true}},
		{LeaderDeaf, 3, []bool{true, false, true}},
	} {
		nodes := alike(c.nodes)
		r := &Run{cluster: &Cluster{Nodes: nodes}}
		if got := quorumConnected(nodes, r.rules(c.kind, 1)); !slices.Equal(got, c.want) {
			t.Errorf("%s of %d nodes around node 1: %v reach a majority, want %v", c.kind, c.nodes, got, c.want)
		}
	}
}

// alike are nodes that have all roles.
func alike(n int) (nodes []*Node) {
	for range n {
		nodes = append(nodes, &Node{})
	}
	return nodes
}

// With roles apart only a proposer can lead, and only acceptors make a majority.
func TestOnlyProposersThatReachAcceptorsCanLead(t *testing.T) {
	nodes := alike(len(rolesApart))
	for n, roles := range rolesApart {
		nodes[n].Roles = roles
	}
	r := &Run{cluster: &Cluster{Nodes: nodes}}
	for _, c := range []struct {
		kind   FaultKind
		target int
		want   []bool
	}{
		{Loss, 0, []bool{true, true, false, false, false}},
		{OneLink, 1, []bool{true, true, false, false, false}},
		{IsolateLeader, 0, []bool{false, true, false, false, false}},
		{Star, 1, []bool{false, true, false, false, false}},
		{Star, 2, []bool{true, false, false, false, false}},
		{Star, 4, []bool{false, false, false, false, false}},
		{Constrained, 1, []bool{true, false, false, false, false}},
	} {
		if got := quorumConnected(nodes, r.rules(c.kind, c.target)); !slices.Equal(got, c.want) {
			t.Errorf("%s around node %d: %v can lead, want %v", c.kind, c.target, got, c.want)
		}
	}
}

func TestPlanComesFromItsSeed(t *testing.T) {
	for _, mix := range [][]Choice{KillMix, LongPauseMix, NetworkMix, PartialMix, PowerMix, DiskMix} {
		plan := MakePlan(3, mix, 200)
		if !slices.Equal(plan, MakePlan(3, mix, 200)) {
			t.Fatal("one seed gives two plans")
		}
		if slices.Equal(plan, MakePlan(4, mix, 200)) {
			t.Fatal("two seeds give one plan")
		}
		for _, c := range mix {
			fits := func(f Fault) bool { return f.Kind == c.Kind && c.Min <= f.Hold && f.Hold <= c.Max }
			if !slices.ContainsFunc(plan[:len(mix)], fits) {
				t.Fatalf("the first %d faults do not include %s", len(mix), c.Kind)
			}
		}
	}
}

// An injected error must reach the program, and a flush that lies must lose what
// it claims to have written once the power goes.
func TestInjectionReachesTheProgram(t *testing.T) {
	if lookup("strace") != nil {
		t.Skip("needs strace")
	}
	t.Run("error", func(t *testing.T) {
		c := startToy(t, toySound, "")
		node := c.Nodes[0]
		node.planned()
		injection, err := Inject(c.config.Host, node.Process(), straceWrites, "error=EIO", node.Dir)
		if err != nil {
			t.Fatal(err)
		}
		defer injection.End()
		o := Operation{Kind: Put, Key: "toy/a", Value: "1"}
		c.HTTP.Do(t.Context(), node.API, &o)
		code, err := node.Process().Ended(5 * time.Second)
		if o.Outcome != Unknown || err != nil || code != 1 {
			t.Fatalf("write %v, exit code %d, %v", o.Outcome, code, err)
		}
	})
	t.Run("lie", func(t *testing.T) {
		c := startToy(t, toySound, "ext4")
		node := c.Nodes[0]
		injection, err := Inject(c.config.Host, node.Process(), "fsync,fdatasync", "retval=0", node.Dir)
		if err != nil {
			t.Fatal(err)
		}
		defer injection.End()
		o := Operation{Kind: Put, Key: "toy/a", Value: "1"}
		c.HTTP.Do(t.Context(), node.API, &o)
		if err := errors.Join(c.CutPower(0), c.Start(0), c.WaitHealthy(t.Context(), 5*time.Second)); err != nil {
			t.Fatal(err)
		}
		final, err := c.HTTP.List(t.Context(), node.API, "toy", LevelLinearizable)
		if o.Outcome != Done || err != nil || len(final.Entries) != 0 {
			t.Fatalf("write %v; after the cut %v, %v; want it lost", o.Outcome, final, err)
		}
	})
}

func TestFullDiskTakesNothingMore(t *testing.T) {
	c := startToy(t, toySound, "ext4")
	node := c.Nodes[0]
	node.planned()
	if err := node.Disk.Fill(0); err != nil {
		t.Fatal(err)
	}
	c.Nodes[0].Process()
	for n := range 100 { // the last block of the log has some room left
		o := Operation{Kind: Put, Key: "toy/a", Value: string(make([]byte, n+4096))}
		c.HTTP.Do(t.Context(), node.API, &o)
		if o.Outcome != Done {
			return
		}
	}
	t.Fatal("a full disk took 100 writes of 4 KiB")
}
