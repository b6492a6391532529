package coordination_test

import (
	"crypto/sha256"
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

// A client takes a lock and writes under it; once its session is over, the lock is
// free and what it still sends has no effect.
func Example_session() {
	tree, _ := coordination.New(coordination.Config{})
	password := []byte("16 random bytes.")
	sum := sha256.Sum256(password)
	me := coordination.Caller{Key: coordination.SessionKey(sum[:16])}
	opened := apply(tree, 1, coordination.Operation{Kind: coordination.OpenSession, Timeout: 5_000, Caller: me})
	me.Session = opened.Session.ID

	lock := apply(tree, 2, coordination.Operation{Kind: coordination.Create, Path: "/locks/db/", Caller: me,
		Mode: coordination.Ephemeral, Sequential: true, MakeParents: true})
	fmt.Println(lock.Path, "with token", lock.Stat.CreateIndex)

	write := coordination.Operation{Kind: coordination.Multi, Caller: me, Operations: []coordination.Operation{
		{Kind: coordination.Check, Path: lock.Path, CreateIndex: lock.Stat.CreateIndex},
		{Kind: coordination.Put, Path: "/db", Data: []byte("mine")},
	}}
	fmt.Println("holds it:", apply(tree, 3, write).Err())

	// The leader has not heard of the client for five seconds.
	apply(tree, 4, coordination.Operation{Kind: coordination.ClaimSessions})
	expired := apply(tree, 5, coordination.Operation{Kind: coordination.ExpireSessions, Epoch: 4, Sessions: []uint64{me.Session}})
	fmt.Println("expired", expired.Expired, "with nodes", expired.Nodes)
	fmt.Println("too late:", apply(tree, 6, write).Err())
	// Output:
	// /locks/db/0000000000 with token 2
	// holds it: <nil>
	// expired 1 with nodes 3
	// too late: coordination: session is over
}

// Two accounts change together or not at all; the result says why.
func Example_multi() {
	tree, _ := coordination.New(coordination.Config{})
	apply(tree, 1, coordination.Operation{Kind: coordination.Put, Path: "/ann", Data: []byte("10")})
	transfer := coordination.Operation{Kind: coordination.Multi, Operations: []coordination.Operation{
		{Kind: coordination.Put, Path: "/ann", Data: []byte("3"), Version: 1},
		{Kind: coordination.Put, Path: "/bob", Data: []byte("7"), Version: 1},
	}}
	refused := apply(tree, 2, transfer)
	fmt.Println(refused.Err(), "at", transfer.Operations[refused.Failed].Path)
	ann, err := tree.Get("/ann")
	fmt.Printf("%s, %v\n", ann.Data, err)

	transfer.Operations[1].Version = coordination.Unwritten
	fmt.Println(apply(tree, 3, transfer).Err())
	// Output:
	// coordination: version mismatch at /bob
	// 10, <nil>
	// <nil>
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
