package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/messages"
)

// gossiper is a member whose changes the test waits for.
type gossiper struct {
	*Gossip
	changes chan []Member
	book    *Book
}

func startGossip(t *testing.T, id NodeID, tweak func(*GossipConfig)) *gossiper {
	t.Helper()
	m := &gossiper{changes: make(chan []Member, 1000), book: NewBook()}
	config := GossipConfig{
		Self: id, Name: hostOf(id), Listen: "127.0.0.1:0", Label: "test", Book: m.book,
		Meta:           &messages.NodeMeta{Link: hostOf(id) + ":4701", Roles: []string{"voter"}},
		OnChange:       func(members []Member) { m.changes <- members },
		RejoinInterval: 200 * time.Millisecond,
	}
	if tweak != nil {
		tweak(&config)
	}
	var err error
	if m.Gossip, err = StartGossip(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// await waits until what m sees satisfies ok.
func (m *gossiper) await(t *testing.T, what string, ok func([]Member) bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for seen := m.Members(); !ok(seen); {
		select {
		case seen = <-m.changes:
		case <-timeout:
			t.Fatalf("%s: still waiting, seen %v", what, seen)
		}
	}
}

func ids(members []Member) []NodeID {
	var all []NodeID
	for _, m := range members {
		all = append(all, m.ID)
	}
	return all
}

func sees(wanted ...NodeID) func([]Member) bool {
	return func(members []Member) bool { return slices.Equal(ids(members), wanted) }
}

func TestMembersFindEachOther(t *testing.T) {
	key := bytes.Repeat([]byte{1}, 32)
	a := startGossip(t, 1, func(c *GossipConfig) { c.Keys = [][]byte{key} })
	join := func(c *GossipConfig) { c.Keys, c.Seeds = [][]byte{key}, []string{a.Addr()} }
	b, c := startGossip(t, 2, join), startGossip(t, 3, join)
	for _, m := range []*gossiper{a, b, c} {
		m.await(t, "three members", sees(1, 2, 3))
	}
	if addr, ok := a.book.Lookup(3); !ok || addr != "node3:4701" {
		t.Fatalf("the book has %q for node 3", addr)
	}

	meta := &messages.NodeMeta{Link: "elsewhere:1", Joined: true}
	if err := b.UpdateMeta(meta, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	c.await(t, "new metadata", func(members []Member) bool {
		return len(members) == 3 && members[1].Meta.Joined && members[1].Meta.Link == "elsewhere:1"
	})
	if err := b.UpdateMeta(&messages.NodeMeta{Api: strings.Repeat("x", 600)}, time.Second); !errors.Is(err, ErrMetaTooLarge) {
		t.Fatalf("600 bytes of metadata: %v, want ErrMetaTooLarge", err)
	}

	if err := b.Leave(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	a.await(t, "node 2 left", sees(1, 3))
	// The same name with another disk is another member.
	again := startGossip(t, 22, func(c *GossipConfig) { join(c); c.Name = hostOf(2) })
	again.await(t, "three members", func(members []Member) bool { return len(members) == 3 })
	a.await(t, "node 22 under the name of 2", func(members []Member) bool {
		return len(members) == 3 && members[1].ID == 22 && members[1].Name == "node2"
	})
}

func TestStrangersAreNotHeard(t *testing.T) {
	key := bytes.Repeat([]byte{1}, 32)
	a := startGossip(t, 1, func(c *GossipConfig) { c.Keys = [][]byte{key} })
	for i, tweak := range []func(*GossipConfig){
		func(c *GossipConfig) {},
		func(c *GossipConfig) { c.Keys = [][]byte{bytes.Repeat([]byte{2}, 32)} },
		func(c *GossipConfig) { c.Keys, c.Label = [][]byte{key}, "other" },
	} {
		b := startGossip(t, NodeID(i+2), tweak)
		if n, err := b.Join(a.Addr()); err == nil {
			t.Errorf("case %d joined %d members", i, n)
		}
		if _, err := a.Join(b.Addr()); err == nil {
			t.Errorf("case %d was joined", i)
		}
	}
	conn, err := net.Dial("udp", a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 1000 {
		_, _ = fmt.Fprintf(conn, "%c noise %d", i%256, i)
	}
	b := startGossip(t, 9, func(c *GossipConfig) { c.Keys, c.Seeds = [][]byte{key}, []string{a.Addr()} })
	b.await(t, "a member", sees(1, 9))
	a.await(t, "a member", sees(1, 9))
}

// A wrong seed brings two clusters into one gossip; neither counts the other's
// nodes, while a node without a cluster is seen by both.
func TestNodesOfAnotherClusterAreLeftOut(t *testing.T) {
	of := func(name string, seeds ...string) func(*GossipConfig) {
		return func(c *GossipConfig) { c.Meta.Cluster, c.Seeds = name, seeds }
	}
	a := startGossip(t, 1, of("one"))
	b := startGossip(t, 2, of("two", a.Addr()))
	c := startGossip(t, 3, of("", a.Addr(), b.Addr()))
	c.await(t, "all", sees(1, 2, 3))
	a.await(t, "own and new", sees(1, 3))
	b.await(t, "own and new", sees(2, 3))
	if err := c.UpdateMeta(&messages.NodeMeta{Cluster: "two"}, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	a.await(t, "own", sees(1))
	c.await(t, "its cluster's", sees(2, 3))
}

func TestASeedThatStartsLaterIsJoined(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := taken.Addr().String()
	_ = taken.Close()
	a := startGossip(t, 1, func(c *GossipConfig) { c.Extra = func() []string { return []string{addr} } })
	b := startGossip(t, 2, func(c *GossipConfig) { c.Listen = addr })
	a.await(t, "the seed", sees(1, 2))
	b.await(t, "the joiner", sees(1, 2))
}

func TestKeysRotate(t *testing.T) {
	first, second := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	a := startGossip(t, 1, func(c *GossipConfig) { c.Keys = [][]byte{first} })
	b := startGossip(t, 2, func(c *GossipConfig) { c.Keys = [][]byte{first} })
	if _, err := b.Join(a.Addr()); err != nil {
		t.Fatal(err)
	}
	for i, keys := range [][][]byte{{first, second}, {second, first}, {second}} {
		for _, m := range []*gossiper{a, b} { // one after the other: between them they differ
			if err := m.SetKeys(keys); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Join(a.Addr()); err != nil {
				t.Fatalf("step %d of %s: %v", i, m.config.Name, err)
			}
		}
	}
	if got := a.Keys(); len(got) != 1 || got[0] != Fingerprint(second) {
		t.Errorf("its keys are %v, want the second one", got)
	}
	late := startGossip(t, 3, func(c *GossipConfig) { c.Keys = [][]byte{first} })
	if _, err := late.Join(a.Addr()); err == nil {
		t.Error("the key that was taken away is understood")
	}
	if a.SetKeys(nil) == nil || a.SetKeys([][]byte{{1, 2, 3}}) == nil {
		t.Error("no key, or one of three bytes, is taken")
	}
	if plain := startGossip(t, 4, nil); plain.SetKeys([][]byte{first}) == nil {
		t.Error("a key for gossip without keys")
	}
}

func TestBadGossipConfig(t *testing.T) {
	good := GossipConfig{Self: 1, Name: "a", Listen: "127.0.0.1:0"}
	for i, spoil := range []func(*GossipConfig){
		func(c *GossipConfig) { c.Self = 0 },
		func(c *GossipConfig) { c.Name = "" },
		func(c *GossipConfig) { c.Listen = "nowhere" },
		func(c *GossipConfig) { c.Listen = "127.0.0.1:99999" },
		func(c *GossipConfig) { c.Advertise = "x" },
		func(c *GossipConfig) { c.Label = strings.Repeat("x", 300) },
		func(c *GossipConfig) { c.Keys = [][]byte{{1, 2, 3}} },
		func(c *GossipConfig) { c.Meta = &messages.NodeMeta{Api: strings.Repeat("x", 600)} },
	} {
		c := good
		spoil(&c)
		if g, err := StartGossip(c); err == nil {
			_ = g.Close()
			t.Errorf("case %d gave no error", i)
		}
	}
}

func TestBookPrefersGossip(t *testing.T) {
	b := NewBook()
	b.Learn(1, "configured:1")
	lookup := func() string { addr, _ := b.Lookup(1); return addr }
	if got := lookup(); got != "configured:1" {
		t.Fatal(got)
	}
	want(t, "changed", b.setGossip(map[NodeID]string{1: "heard:1"}), []NodeID{1})
	want(t, "changed", b.setGossip(map[NodeID]string{1: "heard:1"}), nil)
	if got := lookup(); got != "heard:1" {
		t.Fatal(got)
	}
	b.setGossip(nil)
	if got := lookup(); got != "configured:1" {
		t.Fatal(got)
	}
	b.Learn(1, "")
	if _, ok := b.Lookup(1); ok {
		t.Fatal("a forgotten address was found")
	}
}

func TestNodeIDText(t *testing.T) {
	id := NodeID(0xab)
	if got, err := ParseNodeID(id.String()); err != nil || got != id || id.String() != "00000000000000ab" {
		t.Fatalf("%s gives %v, %v", id, got, err)
	}
	for _, s := range []string{"", "ab", "00000000000000AB", "-0000000000000ab", "000000000000000g", "nonhost", "00000000000000ab0"} {
		if _, err := ParseNodeID(s); err == nil {
			t.Errorf("%q was parsed", s)
		}
	}
}

// A node that was killed and comes back without its disk has another id at the same
// address: nobody is shown both.
func TestWhoComesBackWithoutItsDiskReplacesItsFormerSelf(t *testing.T) {
	began := func(epoch uint64) func(*GossipConfig) {
		return func(c *GossipConfig) { c.Meta.Epoch = epoch }
	}
	a := startGossip(t, 1, began(7))
	b := startGossip(t, 2, func(c *GossipConfig) { began(1)(c); c.Seeds = []string{a.Addr()} })
	a.await(t, "both", sees(1, 2))
	listen := b.Addr()
	if err := b.Close(); err != nil { // which says no farewell
		t.Fatal(err)
	}
	again := startGossip(t, 22, func(c *GossipConfig) {
		began(2)(c)
		c.Name, c.Listen, c.Seeds = hostOf(2), listen, []string{a.Addr()}
	})
	for _, m := range []*gossiper{a, again} {
		var seen []Member
		m.await(t, "node 22", func(members []Member) bool {
			seen = members
			return slices.ContainsFunc(members, func(m Member) bool { return m.ID == 22 }) && len(members) > 1
		})
		if !sees(1, 22)(seen) {
			t.Errorf("%s sees %v, though 22 listens where 2 was", m.config.Name, ids(seen))
		}
	}
}
