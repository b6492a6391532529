// Two workers take turns at a lock and add to a total that nobody else may touch:
//
//	node dev
//	go run ./examples/lock
//
// Each write looks at the lock itself, so that a holder that was paused for too long adds
// nothing.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

func main() {
	client, err := api.NewClient(api.ClientConfig{Addrs: append(os.Args[1:], "127.0.0.1:4700")})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	done := make(chan error)
	for range 2 {
		go func() { done <- work(context.Background(), client) }()
	}
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	total, _, err := client.Get(context.Background(), "examples/total", api.ReadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("total is %s\n", total.Value)
}

// work adds one to the total, ten times.
func work(ctx context.Context, client *api.Client) error {
	session, err := client.OpenSession(ctx, api.SessionOptions{})
	if err != nil {
		return err
	}
	defer session.Close(ctx)
	for range 10 {
		held, err := recipes.Lock(ctx, session, "examples/total-lock", nil)
		if err != nil {
			return err
		}
		total, _, err := client.Get(ctx, "examples/total", api.ReadOptions{})
		if err != nil && api.CodeOf(err) != api.CodeNotFound {
			return err
		}
		n, _ := strconv.Atoi(string(total.Value))
		put := api.TxnOperation{Op: "put", Path: "examples/total", Value: strconv.AppendInt(nil, int64(n+1), 10)}
		if _, err := session.Commit(ctx, []api.TxnOperation{held.Check(), put}, api.RequestID{}); err != nil {
			return err
		}
		if err := held.Release(ctx); err != nil {
			return err
		}
	}
	return nil
}
