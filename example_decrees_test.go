package synod_test

import (
	"context"
	"fmt"
	"log"

	"github.com/synod-go/synod"
)

// Three processes choose one value: the first one proposed stays. Across machines
// Local gives way to Data, Listen and Join; the rest is the same.
func ExampleOpenDecrees() {
	ctx := context.Background()
	local := synod.NewLocalDecrees()
	names := []string{"a", "b", "c"}
	var processes []*synod.Decrees
	for _, name := range names {
		p, err := synod.OpenDecrees(ctx, synod.DecreesConfig{Name: name, Acceptors: names, Local: local})
		if err != nil {
			log.Fatal(err)
		}
		defer p.Close()
		processes = append(processes, p)
	}
	for i, colour := range []string{"green", "red", "blue"} {
		chosen, err := processes[i].Decide(ctx, "colour", []byte(colour))
		fmt.Println(string(chosen), err)
	}
	// Output:
	// green <nil>
	// green <nil>
	// green <nil>
}
