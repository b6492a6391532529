package coordination_test

import (
	"errors"
	"fmt"

	"github.com/synod-go/synod/coordination"
)

// apply stands for proposing an operation to a group and waiting for its result.
func apply(t *coordination.Tree, index uint64, o coordination.Operation) coordination.Result {
	result, err := coordination.DecodeResult(t.Apply(index, 1_700_000_000_000, o.Append(nil)))
	if err != nil {
		panic(err)
	}
	return result
}

// Two clients read version 1 of a node and both write it back: the second one
// is told.
func Example() {
	tree, err := coordination.New(coordination.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	put := coordination.Operation{Kind: coordination.Put, Path: "/config/colour", Data: []byte("red")}
	fmt.Println("version", apply(tree, 1, put).Stat.Version)

	put.Version = 1
	put.Data = []byte("green")
	fmt.Println("first:", apply(tree, 2, put).Err())
	put.Data = []byte("blue")
	fmt.Println("second:", apply(tree, 3, put).Err())

	node, err := tree.Get("/config/colour")
	fmt.Printf("%s, version %d, changed at index %d, %v\n", node.Data, node.Stat.Version, node.Stat.ModifyIndex, err)
	// Output:
	// version 1
	// first: <nil>
	// second: coordination: version mismatch
	// green, version 2, changed at index 2, <nil>
}

// A watcher remembers where it is, and finds what happened since, here or on
// another replica.
func ExampleTree_EventsSince() {
	tree, _ := coordination.New(coordination.Config{})
	for i, colour := range []string{"red", "green"} {
		put := coordination.Operation{Kind: coordination.Put, Path: "/config/colour", Data: []byte(colour)}
		apply(tree, uint64(i)+1, put)
	}
	apply(tree, 3, coordination.Operation{Kind: coordination.Delete, Path: "/config/colour"})

	next := uint64(1) // it has seen the first one
	page, err := tree.EventsSince(next, coordination.Watch{Path: "/config", Scope: coordination.OnTree})
	if errors.Is(err, coordination.ErrHistoryGone) {
		return // read the tree anew
	}
	for _, e := range page.Events {
		fmt.Printf("%d %s %s %q\n", e.Index, e.Kind, e.Path, e.Data)
	}
	fmt.Println("next", page.Next)
	// Output:
	// 2 changed /config/colour "green"
	// 3 deleted /config/colour ""
	// 3 deleted /config ""
	// next 3
}
