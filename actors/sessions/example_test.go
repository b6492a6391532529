package sessions_test

import (
	"context"
	"fmt"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/coordination"
)

// A node keeps the sessions of a group whose GroupConfig says so.
func Example() {
	ctx := context.Background()
	newTree := func() synod.StateMachine {
		tree, err := coordination.New(coordination.Config{})
		if err != nil {
			panic(err)
		}
		return tree
	}
	node, err := synod.Start(ctx, synod.Config{Name: "n1", Bootstrap: true,
		Listen: synod.Addresses{Link: "127.0.0.1:0", Gossip: "127.0.0.1:0"},
		Groups: []synod.GroupConfig{{Name: "g", New: newTree, Sessions: true}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Stop(ctx)
	if err := node.Ready(ctx); err != nil {
		fmt.Println(err)
		return
	}
	group := node.Group("g")
	open := coordination.Operation{Kind: coordination.OpenSession, Timeout: 10_000}
	opened, err := group.Propose(ctx, open.Append(nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	sign, err := group.Sessions().Touch(ctx, opened.Index, 1)
	fmt.Println(sign == coordination.Alive, err)
	// Output: true <nil>
}
