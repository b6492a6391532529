package group

import (
	"context"

	"github.com/synod-go/synod/consensus"
)

// What the tests of the actor with a real engine, which are in package
// group_test, need of its inside.

// Task runs f inside the actor; the channel is closed if the actor ends first.
func (h *Handle) Task(f func(*Actor)) (gone <-chan struct{}, err error) { return h.do(f) }

// Ask runs f inside the actor and returns its answer.
func Ask[T any](ctx context.Context, h *Handle, f func(*Actor) (T, error)) (T, error) {
	return ask(ctx, h, f)
}

// Engine is the actor's engine.
func (a *Actor) Engine() Engine { return a.engine }

// CarryOut carries out what the engine asks for.
func (a *Actor) CarryOut() { a.carryOut(a.engine.Output()) }

// ForgetClock makes the actor count log time as if it had just been elected.
func (a *Actor) ForgetClock() { a.clockTerm = 0 }

// ApplierReads is how many reads wait for the state machine.
func (a *Actor) ApplierReads() int64 { return a.applierReads.Load() }

// ApplyEntries hands entries to the applier.
func (a *Actor) ApplyEntries(entries []consensus.Entry) { a.toApplier(applyBatch{entries: entries}) }
