package synod

import (
	"strings"
	"testing"
	"time"
)

func TestTheClustersNameIsThatOfTheCertificate(t *testing.T) {
	c := &certified{t: t, ca: newAuthority(t, "prod")}
	config := Config{Name: "n1", Bootstrap: true, Groups: []GroupConfig{{Name: "g", New: func() StateMachine { return nothing{} }}}}
	for _, test := range []struct {
		set    string
		secure bool
		want   string
		err    string
	}{
		{"", false, "synod", ""},
		{"staging", false, "staging", ""},
		{"", true, "prod", ""},
		{"prod", true, "prod", ""},
		{"staging", true, "", `is "staging", but the certificate is for "prod"`},
		{"a b", false, "", "want 1 to 255"},
		{strings.Repeat("x", 256), false, "", "want 1 to 255"},
	} {
		config.ClusterName, config.TLS = test.set, nil
		if test.secure {
			config.TLS = c.material("n1")
		}
		got, err := config.withDefaults()
		switch {
		case test.err == "" && (err != nil || got.ClusterName != test.want):
			t.Errorf("%q, with a certificate %v: %q, %v; want %q", test.set, test.secure, got.ClusterName, err, test.want)
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%q, with a certificate %v: error %v, want %q", test.set, test.secure, err, test.err)
		}
	}
}

func TestGossipOfAnotherClusterNameIsNotHeard(t *testing.T) {
	ctx := t.Context()
	start := func(name, clusterName string, seeds ...string) *Node {
		t.Helper()
		n, err := Start(ctx, Config{Name: name, ClusterName: clusterName, Bootstrap: len(seeds) == 0, Join: seeds, Voters: 1,
			Groups: []GroupConfig{{Name: "g", New: func() StateMachine { return nothing{} }}}, GossipKey: make([]byte, 32),
			Listen: Addresses{API: loopbackAddress(t), Link: loopbackAddress(t), Gossip: loopbackAddress(t)}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.end(nil) })
		return n
	}
	founder := start("n1", "blue")
	seed := founder.cfg.Advertise.Gossip
	other := start("n2", "green", seed)
	same := start("n3", "blue", seed) // comes later, and is in before
	for end := time.Now().Add(30 * time.Second); same.Cluster() == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a node of the same name did not get in")
		}
	}
	if got := other.Cluster(); got != "" {
		t.Errorf("a node of another name was told of the cluster %s", got)
	}
	for _, m := range founder.seen.all() {
		if m.Name == "n2" {
			t.Error("the founder sees a node of another name")
		}
	}
}
