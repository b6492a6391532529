// Command map replicates a map of strings. This one node keeps it in memory;
// give it Dir, and other nodes Join with its gossip address, to keep it.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/synod-go/synod"
)

func main() {
	ctx := context.Background()
	m, err := synod.OpenMap(ctx, synod.Config{Name: "n1", Bootstrap: true})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	if err := m.Put(ctx, "colour", "blue"); err != nil { // on a majority's disks
		log.Fatal(err)
	}
	value, _, err := m.Get(ctx, "colour")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("colour is", value)
}
