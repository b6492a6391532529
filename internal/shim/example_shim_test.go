//go:build linux

package shim_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/synod-go/synod/internal/shim"
)

// A task is started; whoever has its directory can ask for its end, also another process
// than the one that started it.
func Example() {
	parent, err := os.MkdirTemp("", "shim")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(parent)
	ctx := context.Background()
	dir := filepath.Join(parent, "run")
	err = shim.Start(ctx, shim.Spec{Dir: dir, Shell: "echo hello; exit 3", LogBytes: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}

	task := shim.Open(dir)
	exit, err := task.Wait(ctx)
	if err != nil {
		log.Fatal(err)
	}
	stdout, err := os.ReadFile(filepath.Join(dir, "stdout"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("it said %q and ended with %d\n", stdout, exit.Code)
	if err := task.Acknowledge(ctx); err != nil { // what is known is safe: the shim may leave
		log.Fatal(err)
	}
	// Output: it said "hello\n" and ended with 3
}
