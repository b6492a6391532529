package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// A scriptedEngine answers at once with what the test says.
type scriptedEngine struct{ failure error }

func (scriptedEngine) start(engineConfig) error                        { return nil }
func (scriptedEngine) leads() bool                                     { return true }
func (e scriptedEngine) write(context.Context, uint64, []byte) error   { return e.failure }
func (e scriptedEngine) read(context.Context, uint64, readLevel) error { return e.failure }
func (scriptedEngine) stop()                                           {}

func shortLoad() loadOrder {
	return loadOrder{Clients: 3, Value: 16, Time: 50 * time.Millisecond, PIDs: []int{os.Getpid()}}
}

func TestALoadCountsCallsAndTheirCPUTime(t *testing.T) {
	r, err := runLoad(scriptedEngine{}, false, shortLoad())
	if err != nil {
		t.Fatal(err)
	}
	if r.Operations == 0 || r.Errors != 0 || r.Seconds < 0.05 {
		t.Errorf("got %d operations, %d errors in %v s, want some, none, at least 0.05", r.Operations, r.Errors, r.Seconds)
	}
	if len(r.CPUSeconds) != 1 || r.CPUSeconds[0] <= 0 || r.PeakBytes[0] <= 0 {
		t.Errorf("got CPU %v s and memory %v, want one of each above 0", r.CPUSeconds, r.PeakBytes)
	}
}

func TestAFailedCallIsAnErrorAndNoOperation(t *testing.T) {
	r, err := runLoad(scriptedEngine{errors.New("refused")}, false, shortLoad())
	if err != nil {
		t.Fatal(err)
	}
	if r.Operations != 0 || r.Errors == 0 || r.FirstError != "refused" {
		t.Errorf("got %d operations, %d errors, first %q, want 0, some, refused", r.Operations, r.Errors, r.FirstError)
	}
}

func TestAnUnknownEngineIsRefusedWithTheOnesThereAre(t *testing.T) {
	_, err := parseKinds("bare,zookeeper")
	if err == nil || !strings.Contains(err.Error(), "etcdraft") {
		t.Fatalf("got %v, want an error that lists the engines", err)
	}
}
