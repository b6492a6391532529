package recipes_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

// example starts three nodes in this process and returns a client of them.
func example() (client *api.Client, stop func()) {
	e, err := newEnsemble(context.Background(), 3)
	if err != nil {
		log.Fatal(err)
	}
	if client, err = e.client(); err != nil {
		log.Fatal(err)
	}
	return client, func() { client.Close(); e.stop() }
}

// session opens a session; closing it gives back whatever was got in it.
func session(client *api.Client) *api.Session {
	s, err := client.OpenSession(context.Background(), api.SessionOptions{Timeout: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	return s
}

// One at a time writes the report. The tree itself looks at the token: the transaction
// is refused if the lock is not held any more.
func ExampleLock() {
	client, stop := example()
	defer stop()
	ctx := context.Background()
	s := session(client)
	defer s.Close(ctx)

	held, err := recipes.Lock(ctx, s, "locks/report", []byte("worker 1"))
	if err != nil {
		log.Fatal(err)
	}
	write := api.TxnOperation{Op: "put", Path: "report", Value: []byte("sales are up")}
	if _, err := s.Commit(ctx, []api.TxnOperation{held.Check(), write}, api.RequestID{}); err != nil {
		log.Fatal(err)
	}
	if err := held.Release(ctx); err != nil {
		log.Fatal(err)
	}
	_, err = s.Commit(ctx, []api.TxnOperation{held.Check(), write}, api.RequestID{})
	fmt.Println("after the release:", api.CodeOf(err))
	// Output: after the release: E-NOTFOUND
}

// Whoever leads runs a server that must never run twice. Its process is all that the next one must know of to end it.
func ExampleHeld_TakeOver() {
	client, stop := example()
	defer stop()
	ctx := context.Background()
	end := func(_ context.Context, f recipes.Former) error {
		fmt.Printf("ends %s\n", f.Holder)
		return nil // it is known to have ended
	}
	for _, holder := range []string{`{"process": 7}`, `{"process": 8}`, `{"process": 9}`} {
		s := session(client)
		leads, err := recipes.Campaign(ctx, s, "elections/server", nil)
		if err != nil {
			log.Fatal(err)
		}
		tenure, err := leads.TakeOver(ctx, []byte(holder), end)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("works %s\n", holder)
		if holder != `{"process": 7}` { // that one dies
			if err := tenure.Over(ctx, client); err != nil {
				log.Fatal(err)
			}
		}
		s.Close(ctx)
	}
	// Output:
	// works {"process": 7}
	// ends {"process":7}
	// works {"process": 8}
	// works {"process": 9}
}

// The lock is tried for, and who holds it is not disturbed.
func ExampleTryLock() {
	client, stop := example()
	defer stop()
	ctx := context.Background()
	s := session(client)
	defer s.Close(ctx)

	for range 2 {
		held, err := recipes.TryLock(ctx, s, "locks/backup", nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("got it:", held != nil)
	}
	// Output:
	// got it: true
	// got it: false
}

// Two candidates, one observer. The leader works until it has lost the leadership.
func ExampleCampaign() {
	client, stop := example()
	defer stop()
	ctx := context.Background()

	first, second := session(client), session(client)
	defer second.Close(ctx)
	leads, err := recipes.Campaign(ctx, first, "elections/master", []byte("host1:8080"))
	if err != nil {
		log.Fatal(err)
	}
	go recipes.Campaign(ctx, second, "elections/master", []byte("host2:8080"))

	enough := errors.New("enough")
	err = recipes.Observe(ctx, client, "elections/master", func(l recipes.Leader) error {
		switch string(l.Value) {
		case "host1:8080":
			fmt.Println("host1 leads, and dies")
			return first.Close(ctx)
		case "host2:8080":
			fmt.Println("host2 leads")
			return enough
		}
		return nil // nobody leads for a moment
	})
	<-leads.Lost()
	fmt.Println(err, api.CodeOf(leads.Err()))
	// Output:
	// host1 leads, and dies
	// host2 leads
	// enough E-SESSION
}

// Who is there, in the order of joining: each takes the parts of its rank.
func ExampleJoin() {
	client, stop := example()
	defer stop()
	ctx := context.Background()
	s := session(client)
	defer s.Close(ctx)

	for _, name := range []string{"a", "b"} {
		if _, err := recipes.Join(ctx, s, "groups/workers", []byte(name)); err != nil {
			log.Fatal(err)
		}
	}
	self, err := recipes.Join(ctx, s, "groups/workers", []byte("c"))
	if err != nil {
		log.Fatal(err)
	}
	enough := errors.New("enough")
	err = self.Watch(ctx, func(all []recipes.Member) error {
		for _, m := range all {
			fmt.Printf("%d %s self: %v\n", m.Rank, m.Value, m.Self)
		}
		return enough
	})
	fmt.Println(err)
	// Output:
	// 0 a self: false
	// 1 b self: false
	// 2 c self: true
	// enough
}

// Nobody begins before the data is there.
func ExampleAwaitBarrier() {
	client, stop := example()
	defer stop()
	ctx := context.Background()

	if err := recipes.RaiseBarrier(ctx, client, "barriers/loaded"); err != nil {
		log.Fatal(err)
	}
	passed := make(chan error)
	go func() { passed <- recipes.AwaitBarrier(ctx, client, "barriers/loaded") }()
	fmt.Println("loading")
	if err := recipes.LiftBarrier(ctx, client, "barriers/loaded"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("passed:", <-passed)
	// Output:
	// loading
	// passed: <nil>
}

// Three begin together and end together.
func ExampleEnter() {
	client, stop := example()
	defer stop()
	ctx := context.Background()

	done := make(chan error)
	for range 3 {
		go func() {
			s := session(client)
			defer s.Close(ctx)
			r, err := recipes.Enter(ctx, s, "meetings/benchmark", 3)
			if err == nil {
				err = r.Leave(ctx)
			}
			done <- err
		}()
	}
	fmt.Println(<-done, <-done, <-done)
	// Output: <nil> <nil> <nil>
}

// What a store does that is outside of the tree.
func ExampleFence() {
	var fence recipes.Fence
	fmt.Println(fence.Admit(17), fence.Admit(42))
	fmt.Println("the late holder of token 17:", fence.Admit(17))
	// Output:
	// true true
	// the late holder of token 17: false
}
