package synod_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/synod-go/synod"
)

// A worker panics in the middle: what it had done is replayed, and it goes on.
func ExampleOpenWorker() {
	ctx, crashed := context.Background(), false
	importer, err := synod.OpenWorker(ctx, synod.WorkerConfig{Name: "importer"}, 0,
		func(last *int, chunk int) { *last = chunk }, // replay one logged event
		func(_ int, chunk int) ([]int, error) { // handle one command
			if chunk == 3 && !crashed {
				crashed = true
				panic("disk on fire")
			}
			return []int{chunk}, nil
		})
	if err != nil {
		log.Fatal(err)
	}
	defer importer.Close()
	for chunk := 1; chunk <= 5; chunk++ {
		if err := importer.Do(ctx, fmt.Sprint("chunk-", chunk), chunk); err != nil { // once, and on disk
			log.Fatal(err)
		}
	}
	s := importer.Status()
	fmt.Println("imported", s.Events, "restarts", s.Restarts, "replayed", s.Replayed)
	// Output: imported 5 restarts 1 replayed 2
}

// A cache falls with the store that it needs, and the clock does not.
func ExampleSupervise() {
	until := func(ctx context.Context) error { <-ctx.Done(); return nil }
	started, tries := make(chan string, 9), 0
	tree, err := synod.Supervise(context.Background(), synod.Supervision{Strategy: synod.RestForOne,
		Children: []synod.Child{
			{ID: "clock", Run: until},
			{ID: "store", Run: func(ctx context.Context) error {
				if tries++; tries == 1 {
					return errors.New("out of paper")
				}
				return until(ctx)
			}},
			{ID: "cache", Run: func(ctx context.Context) error { started <- "cache"; return until(ctx) }},
		}})
	if err != nil {
		log.Fatal(err)
	}
	<-started
	<-started
	for _, c := range tree.Tree().Children {
		fmt.Println(c.ID, "started", c.Starts, "times, failure:", c.Failure)
	}
	fmt.Println(tree.Stop(context.Background()))
	// Output:
	// clock started 1 times, failure: <nil>
	// store started 2 times, failure: out of paper
	// cache started 2 times, failure: <nil>
	// <nil>
}
