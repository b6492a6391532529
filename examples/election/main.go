// Stands for election, works while it leads, and resigns when it loses the leadership:
//
//	node dev
//	go run ./examples/election alice    in two terminals, with two names
//
// End the one that leads: the other follows at once.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

func main() {
	name, addrs := os.Args[1], append(os.Args[2:], "127.0.0.1:4700", "127.0.0.1:4710", "127.0.0.1:4720")
	client, err := api.NewClient(api.ClientConfig{Addrs: addrs})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for ctx := context.Background(); ; {
		if err := lead(ctx, client, name); err != nil {
			log.Print(err)
			time.Sleep(time.Second)
		}
	}
}

// lead stands until it leads, and works until it does no more.
func lead(ctx context.Context, client *api.Client, name string) error {
	session, err := client.OpenSession(ctx, api.SessionOptions{Timeout: 5 * time.Second, Linger: time.Second})
	if err != nil {
		return err
	}
	defer session.Close(ctx)
	leads, err := recipes.Campaign(ctx, session, "examples/leader", []byte(name))
	if err != nil {
		return err
	}
	fmt.Printf("%s leads, token %d\n", name, leads.Token())
	for {
		select {
		case <-leads.Lost():
			return leads.Err()
		case <-time.After(time.Second):
			// What is done here and seen elsewhere carries the token: see recipes.Fence.
		}
	}
}
