package main

import (
	"os/exec"
	"syscall"
	"testing"

	"github.com/synod-go/synod/api"
)

// sleeper is a child of a fleet that does nothing, and is reaped.
func sleeper(t *testing.T) *child {
	t.Helper()
	c := &child{name: "n1", cmd: exec.Command("sleep", "600"), done: make(chan struct{})}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait() // it is killed
		close(c.done)
	}()
	t.Cleanup(c.kill)
	return c
}

// A node that was asked to kill itself has a moment for its answer. What the fault was healed in
// that moment must not kill.
func TestABlowThatComesLateStrikesOnlyWhileItsFaultIsInForce(t *testing.T) {
	t.Parallel()
	c := sleeper(t)
	b := newBreaker(&fleet{nodes: []*child{c}}, nil, func(string, ...any) {})
	m := &madeFault{Fault: api.Fault{ID: "f-1", Kind: api.FaultKill, Nodes: []string{"n1"}}}

	b.strikeLate(m, c, syscall.SIGKILL) // it is in force no more
	if err := c.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Fatalf("a fault that was healed has killed: %v", err)
	}

	b.faults = append(b.faults, m)
	_, err := b.targets(api.FaultRequest{Kind: api.FaultKill, Node: "n1"})
	if api.CodeOf(err) != api.CodeConflict {
		t.Errorf("who is about to be killed can be killed once more: %v", err)
	}
	b.strikeLate(m, c, syscall.SIGKILL)
	select {
	case <-c.done:
	default:
		t.Error("a fault in force has not killed, or its end was not awaited")
	}
}
