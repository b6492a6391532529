package proposer

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/paxos"
)

// Config of a node's proposer.
type Config struct {
	decree.Host
	// Retransmit, Backoff, MaxBackoff and HoldBack are the core's: see
	// paxos.ProposerConfig.
	Retransmit, Backoff, MaxBackoff, HoldBack time.Duration
	// FoundEvery is how often acceptors are asked for their set until it is
	// founded. Default 100 ms.
	FoundEvery time.Duration
	// MaxCalls is how many calls may be under way; more are ErrOverloaded.
	// Default 4096.
	MaxCalls int
	// MaxIdle is how many proposers that nobody waits for are kept. Default 1024.
	MaxIdle int
}

// Errors after which the value is surely not chosen: it never left this node.
var (
	// ErrOverloaded: MaxCalls calls are under way, or the mailbox is full.
	ErrOverloaded = errors.New("proposer: overloaded")
	// ErrNotFounded: the set of acceptors is not founded. It wraps what is missing.
	ErrNotFounded = errors.New("proposer: the acceptors are not founded")
)

// ErrRefused: so many acceptors take no part, whatever the ballot, that there is no
// quorum. It wraps who and why; the Result tells what is known of the value.
var ErrRefused = errors.New("proposer: acceptors refuse")

func (c Config) withDefaults() (Config, error) {
	var err error
	if c.Host, err = c.WithDefaults(decree.Proposer); err != nil {
		return c, err
	}
	c.FoundEvery = cmp.Or(c.FoundEvery, 100*time.Millisecond)
	c.MaxCalls = cmp.Or(c.MaxCalls, 4096)
	c.MaxIdle = cmp.Or(c.MaxIdle, 1024)
	if c.FoundEvery < 0 || c.MaxCalls < 1 || c.MaxIdle < 1 {
		return c, fmt.Errorf("proposer: Config: FoundEvery %v, MaxCalls %d, MaxIdle %d", c.FoundEvery, c.MaxCalls, c.MaxIdle)
	}
	quorums, err := paxos.Majority(c.ID)
	if err == nil { // what the core has against it is to be said now, not at the first decree
		_, err = paxos.NewProposer(c.core(quorums))
	}
	return c, err
}

// core configures one decree's proposer, that of a node which has never proposed.
func (c Config) core(quorums paxos.Quorums) paxos.ProposerConfig {
	return paxos.ProposerConfig{ID: c.ID, Quorums: quorums, MaxValueBytes: c.MaxValueBytes,
		Retransmit: paxos.Time(c.Retransmit), Backoff: paxos.Time(c.Backoff),
		MaxBackoff: paxos.Time(c.MaxBackoff), HoldBack: paxos.Time(c.HoldBack)}
}

// Spawn starts the actor under name. Its supervisor restarts it after a panic.
func Spawn(system *actor.ActorSystem, c Config, name string, strategy actor.SupervisorStrategy) (*Handle, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	handle := &Handle{gone: make(chan struct{})}
	var known decree.Hints // outlives a restart
	handle.Handle, err = c.Spawn(system, name, strategy, func(h *decree.Handle) actor.Actor {
		return &Actor{cfg: c, host: h, handle: handle, hints: &known}
	})
	if err != nil {
		return nil, err
	}
	return handle, nil
}
