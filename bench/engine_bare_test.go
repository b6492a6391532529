package main

import (
	"fmt"
	"sync"
	"testing"
)

// startBare starts three replicas in this process and returns them, leader first.
func startBare(t *testing.T, calls bool) []*bareEngine {
	t.Helper()
	peers, err := freeAddresses(replicaCount)
	if err != nil {
		t.Fatal(err)
	}
	replicas := make([]*bareEngine, replicaCount)
	for i := replicaCount; i >= 1; i-- { // the leader last: it connects to the others
		e := &bareEngine{calls: calls}
		if err := e.start(engineConfig{ID: i, Dir: t.TempDir(), Peers: peers}); err != nil {
			t.Fatalf("start replica %d: %v", i, err)
		}
		t.Cleanup(e.stop)
		replicas[i-1] = e
	}
	return replicas
}

func TestTheBarePathAppliesWhatItAcknowledges(t *testing.T) {
	for _, calls := range []bool{false, true} {
		t.Run(fmt.Sprintf("calls=%v", calls), func(t *testing.T) {
			leader := startBare(t, calls)[0]
			var clients sync.WaitGroup
			for c := range uint64(8) {
				clients.Go(func() {
					for i := range uint64(50) {
						key := c<<32 | i
						value := make([]byte, 1+int(i)*200)
						if err := leader.write(t.Context(), key, value); err != nil {
							t.Errorf("write: %v", err)
							return
						}
						if got := leader.table.get(key); got != len(value) {
							t.Errorf("key %d has %d bytes after its write was acknowledged, want %d", key, got, len(value))
						}
						if err := leader.read(t.Context(), key, linearizable); err != nil {
							t.Errorf("read: %v", err)
							return
						}
					}
				})
			}
			clients.Wait()
		})
	}
}

func TestTheBarePathCommitsAtTwoOfThreeWhicheverTwo(t *testing.T) {
	for _, two := range [][2]int{{0, 1}, {2, 0}, {1, 2}} {
		f := newBareFrame()
		f.done = make(chan struct{})
		f.add(1, []byte("x"))
		f.seal(bareBatch, 1, 0)
		e := &bareEngine{table: newTable(), waiting: []*bareFrame{f}}
		done := f.done
		e.advance(two[0], 1)
		if e.committed != 0 || e.table.get(1) != 0 {
			t.Errorf("replica %d alone committed", two[0])
		}
		e.advance(two[1], 1)
		select {
		case <-done:
		default:
			t.Errorf("replicas %v have the batch and it is not acknowledged", two)
		}
		if e.table.get(1) != 1 {
			t.Errorf("replicas %v have the batch and it is not applied", two)
		}
	}
}

func TestTheBarePathEndsWhenAFollowerDoes(t *testing.T) {
	replicas := startBare(t, false)
	replicas[1].stop()
	<-replicas[0].closed
	if err := replicas[0].write(t.Context(), 1, []byte("x")); err == nil {
		t.Fatal("a write was acknowledged after the end")
	}
}

func TestAFrameKeepsItsCommandsWhenItGrows(t *testing.T) {
	f := newBareFrame()
	defer f.release()
	const commands, size = 100, 3000 // more than a fresh frame holds
	for i := range uint64(commands) {
		f.add(i, make([]byte, size))
	}
	f.seal(bareBatch, 7, 6)
	seen := 0
	f.each(func(command []byte) {
		if len(command) != keyBytes+size || command[0] != byte(seen) {
			t.Errorf("command %d has %d bytes and begins with %d", seen, len(command), command[0])
		}
		seen++
	})
	if seen != commands {
		t.Errorf("saw %d commands, want %d", seen, commands)
	}
	if len(f.blocks())%blockBytes != 0 {
		t.Errorf("blocks are %d bytes, want a multiple of %d", len(f.blocks()), blockBytes)
	}
}
