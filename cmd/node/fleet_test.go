package main

import (
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
)

// A fleet's killed node leaves a port, to which the others go on to gossip: whoever has it next must not become
// one of them.
func TestAFleetWithThePortOfAnothersDeadNodeIsItsOwn(t *testing.T) {
	t.Parallel()
	first, client := startFleet(t, 3, t.TempDir(), synod.Raft)
	defer first.end()
	defer client.Close()
	old, err := client.Status(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	first.nodes[2].kill()

	second, err := newFleet(3, 0, filepath.Join(t.TempDir(), "data"), func(*child) io.Writer { return io.Discard })
	if err != nil {
		t.Fatal(err)
	}
	defer second.end()
	second.nodes[2].ports[2] = first.nodes[2].ports[2]
	for _, c := range second.nodes {
		if err := second.start(c); err != nil {
			t.Fatal(err)
		}
	}
	own, err := api.NewClient(api.ClientConfig{Addrs: second.addrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	ctx, cancel := contextFor(30 * time.Second)
	defer cancel()
	status, err := second.await(ctx, own, allVote(3))
	if err != nil {
		t.Fatalf("the second cluster did not come up: %s", upReason(status, err))
	}
	if status.Cluster == old.Cluster {
		t.Errorf("both are cluster %s", status.Cluster)
	}
}
