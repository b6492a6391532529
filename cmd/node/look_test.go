package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
)

// A cluster whose registry has no leader is not well, however well its keys are.
func TestStatusCountsTheRegistry(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster of three processes")
	}
	f, client := startFleet(t, 3, t.TempDir(), synod.Raft)
	defer f.end()
	defer client.Close()
	ctx, cancel := contextFor(time.Minute)
	defer cancel()
	addrs := strings.Join(f.addrs(), ",")
	mustNode(t, "wait", "--addr", addrs, "--timeout", "30s")
	status, err := client.Status(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	change := func(action, name, group string) {
		if _, err := client.ChangeMember(ctx, api.MemberChange{Action: action, Name: name, Group: group}); err != nil {
			t.Fatalf("%s %s in %s: %v", action, name, group, err)
		}
	}
	change("demote", "n3", registryGroup)
	if _, err := f.await(ctx, client, func(s api.Status) bool { return !s.Healthy }); err != nil { // who tells it may follow in the registry
		t.Fatalf("n3 votes for keys alone, and it is said to be well: %v", err)
	}
	if code, out, _ := runNode("status", "--addr", addrs); code != api.ExitUnhealthy || !strings.Contains(out, "! n3 has no vote in registry yet\n") {
		t.Errorf("n3 votes for keys alone, status: exit %d\n%s", code, out)
	}
	change("promote", "n3", registryGroup)
	mustNode(t, "wait", "--addr", addrs, "--timeout", "30s")
	for _, c := range f.nodes {
		if c.name != status.Leader {
			change("demote", c.name, coordinationGroup)
		}
	}
	for _, c := range f.nodes { // the leader is the last voter for keys, and one of three for the registry
		if c.name != status.Leader {
			c.kill()
		}
	}
	if _, err := f.await(ctx, client, func(s api.Status) bool { return !s.Healthy }); err != nil {
		t.Fatalf("it is said to be well: %v", err)
	}
	code, out, text := runNode("status", "--addr", addrs)
	if code != api.ExitUnhealthy || !strings.Contains(out, "UNHEALTHY") || !strings.Contains(out, "! no leader of registry\n") {
		t.Errorf("status: exit %d\n%s%s", code, out, text)
	}
	if code, _, text := runNode("wait", "--addr", addrs, "--timeout", "4s"); code != api.ExitUnhealthy || !strings.Contains(text, "no leader of registry") {
		t.Errorf("wait: exit %d\n%s", code, text)
	}
	if _, err := client.Put(context.Background(), "colour", []byte("blue"), api.WriteOptions{}); err != nil {
		t.Errorf("keys are not concerned, but: %v", err)
	}
}
