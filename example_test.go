package synod_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/synod-go/synod"
)

// A replicated counter: the state machine is one pure function.
func ExampleOpen() {
	ctx := context.Background()
	total, err := synod.Open(ctx, synod.Config{Name: "n1", Bootstrap: true}, 0,
		func(sum *int, add int) int { *sum += add; return *sum })
	if err != nil {
		log.Fatal(err)
	}
	defer total.Close()
	now, err := total.Do(ctx, 42)
	fmt.Println(now, err)
	// Output: 42 <nil>
}

// A cluster within the process, for tests: its leader is killed and nothing
// that was acknowledged is lost.
func ExampleLocalCluster() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := synod.NewLocalCluster(ctx, 3, slog.New(slog.DiscardHandler), (&journals{}).group(synod.Raft))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Stop()
	leader, i, err := c.Leader(ctx, "journal")
	if err != nil {
		log.Fatal(err)
	}
	before, err := leader.Group("journal").Propose(ctx, []byte("kept"))
	if err != nil {
		log.Fatal(err)
	}
	c.Kill(i)
	next, _, err := c.Leader(ctx, "journal")
	if err != nil {
		log.Fatal(err)
	}
	after, err := next.Group("journal").Propose(ctx, []byte("too"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(before.Value), string(after.Value))
	// Output: 1 2
}
