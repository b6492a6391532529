package actors

import (
	"math/rand/v2"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// SeededDispatcher runs mailboxes one at a time, on the goroutine that calls
// Step or Run, in an order drawn from a seed: same seed and same posts give the same
// order of everything all actors do. Give it to every actor of a test with
// actor.WithDispatcher, and use Mailbox as their mailbox. Schedule is safe for
// concurrent use; Step and Run belong to one goroutine.
//
// Messages posted by timers arrive in a fixed order only inside a synctest
// bubble, and only if no two timers are due at the same instant.
type SeededDispatcher struct {
	interleave Interleave

	mu     sync.Mutex
	random *rand.Rand
	queued []func() // mailboxes with work, in the order in which they asked
}

// Interleave is how finely a SeededDispatcher mixes mailboxes.
type Interleave uint8

const (
	// PerBatch hands an actor all that waits for it, then picks again.
	PerBatch Interleave = iota
	// PerMessage hands an actor batches of one message, and picks again after each.
	PerMessage
)

var _ actor.Dispatcher = (*SeededDispatcher)(nil)

// NewSeededDispatcher makes a dispatcher for one simulated world.
func NewSeededDispatcher(seed uint64, interleave Interleave) *SeededDispatcher {
	return &SeededDispatcher{interleave: interleave, random: rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15))}
}

// Schedule queues a mailbox; it does not run it.
func (d *SeededDispatcher) Schedule(run func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queued = append(d.queued, run)
}

// Throughput is the number of batches a mailbox handles before others may come: one.
func (d *SeededDispatcher) Throughput() int { return 1 }

// MaxBatch tells a Mailbox how many messages to hand over at once; 0 is all.
func (d *SeededDispatcher) MaxBatch() int {
	if d.interleave == PerMessage {
		return 1
	}
	return 0
}

// Pending returns how many mailboxes have work.
func (d *SeededDispatcher) Pending() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.queued)
}

// Step gives one mailbox, picked by the seed, its turn. It reports false if
// none has work.
func (d *SeededDispatcher) Step() bool {
	run := d.pick()
	if run == nil {
		return false
	}
	run()
	return true
}

// Run steps until no mailbox has work or limit steps are done, and returns
// how many it did. A limit of 0 is none: actors that answer each other for
// ever then never let it return.
func (d *SeededDispatcher) Run(limit int) int {
	steps := 0
	for (limit == 0 || steps < limit) && d.Step() {
		steps++
	}
	return steps
}

func (d *SeededDispatcher) pick() func() {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.queued)
	if n == 0 {
		return nil
	}
	i := d.random.IntN(n)
	run := d.queued[i]
	copy(d.queued[i:], d.queued[i+1:])
	d.queued[n-1] = nil
	d.queued = d.queued[:n-1]
	return run
}
