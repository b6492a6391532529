package learner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/paxos"
)

// Config of a node's learner.
type Config struct {
	decree.Host
	// Scheme says how learners are told; the same on all nodes.
	Scheme paxos.Scheme
	// Timeout and MaxTimeout are the core's: see paxos.LearnerConfig.
	Timeout, MaxTimeout time.Duration
	// FoundEvery is how often acceptors are asked for their set until it is
	// founded. Default 100 ms.
	FoundEvery time.Duration
	// MaxOpen is how many decrees may be open, not chosen as far as the learner
	// knows. Votes for further ones are ignored, a Learn is ErrOverloaded. Default 4096.
	MaxOpen int
}

// ErrOverloaded: MaxOpen decrees are open, or the mailbox is full.
var ErrOverloaded = errors.New("learner: overloaded")

func (c Config) withDefaults() (Config, error) {
	var err error
	if c.Host, err = c.WithDefaults(decree.Learner); err != nil {
		return c, err
	}
	c.FoundEvery = cmp.Or(c.FoundEvery, 100*time.Millisecond)
	c.MaxOpen = cmp.Or(c.MaxOpen, 4096)
	if c.FoundEvery < 0 || c.MaxOpen < 1 {
		return c, fmt.Errorf("learner: Config: FoundEvery %v, MaxOpen %d", c.FoundEvery, c.MaxOpen)
	}
	quorums, err := paxos.Majority(c.ID)
	if err == nil { // what the core has against it is to be said now, not at the first decree
		_, err = paxos.NewLearner(c.core(quorums), 0)
	}
	return c, err
}

// core configures one decree's learner, that of a node which knows no other.
func (c Config) core(quorums paxos.Quorums) paxos.LearnerConfig {
	return paxos.LearnerConfig{ID: c.ID, Quorums: quorums, MaxValueBytes: c.MaxValueBytes,
		Timeout: paxos.Time(c.Timeout), MaxTimeout: paxos.Time(c.MaxTimeout)}
}

// Spawn starts the actor under name. Its supervisor restarts it after a panic.
func Spawn(system *actor.ActorSystem, c Config, name string, strategy actor.SupervisorStrategy) (*Handle, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	handle := &Handle{waiting: make(map[string][]*call)}
	var known decree.Hints // outlives a restart
	handle.Handle, err = c.Spawn(system, name, strategy, func(h *decree.Handle) actor.Actor {
		return &Actor{cfg: c, host: h, handle: handle, hints: &known}
	})
	if err != nil {
		return nil, err
	}
	return handle, nil
}

// Handle is the actor as others in the process see it.
type Handle struct {
	*decree.Handle

	mu      sync.Mutex
	waiting map[string][]*call // by decree; they outlive a restart of the actor
	stopped bool               // for good
}

// call is one Learn. It ends once.
type call struct {
	decree string
	done   chan outcome
}

type outcome struct {
	value paxos.Value
	err   error
}

// learn tells the actor that somebody waits for a decree.
type learn struct {
	handle *Handle
	call   *call
}

// Refused ends a call that the actor has never seen.
func (l learn) Refused() { l.handle.end(l.call, outcome{err: ErrOverloaded}) }

// forget tells the actor that one caller waits no more for a decree.
type forget struct{ decree string }

// Control lets it into a full mailbox: there is at most one a call.
func (forget) Control() {}

// Hint tells the actor who may be behind the acceptors' names, and who else learns
// and proposes.
func (h *Handle) Hint(hints decree.Hints) { h.Tell(hints) }

// Learn returns the chosen value of a decree once this learner knows it. If ctx
// ends first it returns ctx's error; Missing tells whether the acceptors are known.
func (h *Handle) Learn(ctx context.Context, name string) (paxos.Value, error) {
	c := &call{decree: name, done: make(chan outcome, 1)}
	if !h.wait(c) {
		return nil, decree.ErrStopped
	}
	h.Tell(learn{h, c})
	select {
	case o := <-c.done:
		return o.value, o.err
	case <-ctx.Done():
		h.end(c, outcome{err: ctx.Err()})
		h.Tell(forget{name})
		o := <-c.done // it may have been ended by another at the same moment
		return o.value, o.err
	}
}

// wait notes a call, unless the actor has stopped for good.
func (h *Handle) wait(c *call) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.waiting[c.decree] = append(h.waiting[c.decree], c)
	}
	return !h.stopped
}

// stop ends everything for good.
func (h *Handle) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	for _, calls := range h.waiting {
		for _, c := range calls {
			c.done <- outcome{err: decree.ErrStopped}
		}
	}
	clear(h.waiting)
}

// end ends one call.
func (h *Handle) end(c *call, o outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	calls := h.waiting[c.decree]
	for i := range calls {
		if calls[i] == c {
			h.setWaiting(c.decree, append(calls[:i:i], calls[i+1:]...))
			c.done <- o
			return
		}
	}
}

// endAll ends all calls that wait for a decree.
func (h *Handle) endAll(name string, o outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.waiting[name] {
		c.done <- o
	}
	delete(h.waiting, name)
}

func (h *Handle) setWaiting(name string, calls []*call) {
	if len(calls) == 0 {
		delete(h.waiting, name)
		return
	}
	h.waiting[name] = calls
}

// wanted returns the decrees that somebody waits for.
func (h *Handle) wanted() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	for name := range h.waiting {
		names = append(names, name)
	}
	return names
}

func (h *Handle) isWanted(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.waiting[name]) > 0
}
