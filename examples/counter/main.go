// Command counter replicates a state machine of its own: one pure function that
// adds to a total.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/synod-go/synod"
)

func main() {
	ctx := context.Background()
	total, err := synod.Open(ctx, synod.Config{Name: "n1", Bootstrap: true}, 0,
		func(sum *int, add int) int { *sum += add; return *sum })
	if err != nil {
		log.Fatal(err)
	}
	defer total.Close()
	for _, n := range []int{2, 40} {
		now, err := total.Do(ctx, n) // returns once a majority has it on disk
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("total is", now)
	}
}
