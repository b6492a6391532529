package api_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/coordination"
)

// A node in memory serves the tree of keys, and a client writes and reads.
func Example() {
	ctx := context.Background()
	tree, err := api.NewTree(coordination.Config{})
	if err != nil {
		log.Fatal(err)
	}
	node, err := synod.Start(ctx, synod.Config{
		Name: "n1", Bootstrap: true, Voters: 1,
		Listen: synod.Addresses{Link: "127.0.0.1:0", Gossip: "127.0.0.1:0"},
		Groups: []synod.GroupConfig{{Name: "coordination", New: func() synod.StateMachine { return tree.New() }}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Stop(ctx)

	backend, err := api.NewBackend(node, "coordination", tree)
	if err != nil {
		log.Fatal(err)
	}
	server, err := api.NewServer(api.Config{Backend: backend, Name: "n1"})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(listener)
	defer server.Shutdown(ctx)

	client, err := api.NewClient(api.ClientConfig{Addrs: []string{listener.Addr().String()}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Put(ctx, "colour", []byte("blue"), api.WriteOptions{}); err != nil {
		log.Fatal(err)
	}
	entry, _, err := client.Get(ctx, "colour", api.ReadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s version %d\n", entry.Value, entry.Version)
	_, err = client.Put(ctx, "colour", []byte("red"), api.WriteOptions{Version: new(uint64)})
	fmt.Println(err)
	// Output:
	// blue version 1
	// E-CONFLICT: key "colour" has another version: it was expected not to exist, but it has version 1
}
