// Command recovering-worker imports chunks. A panic in the middle, or kill -9, loses none of
// them and imports none twice: what was done is replayed from ./data, and it goes on.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/synod-go/synod"
)

func main() {
	ctx, crashed := context.Background(), false
	importer, err := synod.OpenWorker(ctx, synod.WorkerConfig{Name: "importer", Dir: "data"}, 0,
		func(sum *int, chunk int) { *sum += chunk }, // replay one logged event
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
	_ = importer.View(ctx, func(sum int) { fmt.Println("imported", sum, "after", importer.Status().Restarts, "restart") })
}
