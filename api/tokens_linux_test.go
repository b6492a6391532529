package api

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod/cluster"
)

// A pipe that nobody writes to is a file whose disk hangs: opening it takes for ever.
func TestADiskThatHangsStopsNoRequest(t *testing.T) {
	tokens, shown := tokenFile(t, cluster.RoleUse)
	if err := os.Remove(tokens.file); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(tokens.file, 0o600); err != nil {
		t.Fatal(err)
	}
	tokens.age = 0
	began := time.Now()
	found := make(chan bool)
	go func() {
		for range 100 { // the first waits a little
			_, ok := tokens.find(shown)
			found <- ok
		}
	}()
	for i := range 100 {
		select {
		case ok := <-found:
			if !ok {
				t.Fatalf("request %d: the token from before is not known", i)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("request %d waits for the disk", i)
		}
	}
	if took := time.Since(began); took > 50*tokensPatience {
		t.Errorf("100 requests took %v: each waits", took)
	}
	f, err := os.OpenFile(tokens.file, os.O_WRONLY, 0) // lets go of who looks
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
