package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/mesos"
)

// Group is the replicated registry as its node's master sees it. It is safe for concurrent
// use; what blocks ends with its ctx.
type Group interface {
	// Propose replicates an encoded mesos.RegistryCommand and returns the encoded results
	// once it is applied on this node, which must lead.
	Propose(ctx context.Context, command []byte) ([]byte, error)
	// SurelyNot reports whether, after this error of Propose, nothing was or will be done.
	SurelyNot(err error) bool
	// Read runs f while the registry stands still. If it is fresh, the registry holds
	// everything that was acknowledged anywhere before the call; otherwise what this node
	// has applied.
	Read(ctx context.Context, fresh bool, f func(r *mesos.Registry)) error
	// Leads reports whether this node leads the log. It must not block.
	Leads() bool
	// Leader is who leads as far as this node knows: its id, its name and its API, 0 and
	// "" if that is not known.
	Leader() (id uint64, name, api string)
}

// Config of a node's master. Group, Name and Clock are required.
type Config struct {
	Group Group
	// Name is the node's, Address that of its API.
	Name, Address string
	// Clock is monotonic, and counts on while the machine is suspended.
	Clock func() time.Duration
	// Now is the wall clock. Default time.Now.
	Now func() time.Time
	// Master has the core's times and bounds; its Name, Address and Rand are set here.
	Master mesos.MasterConfig
	// Along, if set, makes an actor that lives exactly as long as each mastership, from when
	// it is ready on: a child of the leader. Its supervisor restarts it after a panic; if it
	// does not recover or stops, the mastership ends. What it has got of the Leading ends
	// with it.
	Along func(l *Leading) *actor.Props

	// ConfirmEvery is how often the leader makes sure that it still leads, when no commit
	// has shown it. Default 1 s.
	ConfirmEvery time.Duration
	// ConfirmWithin is how long it goes on without having made sure. At most half of
	// Master.RegisterTimeout. Default 10 s, or that half.
	ConfirmWithin time.Duration
	// MaxLinks and MaxSubscriptions are how many agents and schedulers may be connected.
	// Defaults 65,536 and 4096.
	MaxLinks, MaxSubscriptions int
	// MaxWaitingBytes is about what messages and calls may take that wait for the master:
	// who brings more has to wait. Default 64 MiB.
	MaxWaitingBytes int
	// MaxLinkBytes is about what messages may take that wait for one agent to be read, and
	// MaxLinksBytes for all: its link is cut beyond. Defaults 16 MiB and 256 MiB.
	MaxLinkBytes, MaxLinksBytes int
	// MaxHappenings is how many are remembered. Default 10,000.
	MaxHappenings int

	// Timer makes what wakes the actors; it calls f once, when the duration of its last
	// Reset is over. Default time.AfterFunc.
	Timer func(f func()) Timer
	// Beside runs what may block beside the actor. Default: on a goroutine of its own.
	Beside func(f func())
	// Logger defaults to discarding.
	Logger *slog.Logger
}

// Timer is an alarm clock: *time.Timer is one.
type Timer interface {
	Reset(time.Duration) bool
	Stop() bool
}

func newTimer(f func()) Timer {
	t := time.AfterFunc(math.MaxInt64, f)
	t.Stop()
	return t
}

// maxCommandBytes is where a command of the registry is cut: nodes in memory take half a
// MiB. One operation may be longer.
const maxCommandBytes = 256 << 10

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Group == nil:
		return c, errors.New("master: Config.Group is missing")
	case c.Clock == nil:
		return c, errors.New("master: Config.Clock is missing")
	}
	if err := mesos.CheckName(c.Name); err != nil {
		return c, fmt.Errorf("master: Config.Name: %w", err)
	}
	setDefault(&c.Master.RegisterTimeout, 10*time.Minute)
	setDefault(&c.ConfirmEvery, time.Second)
	setDefault(&c.ConfirmWithin, min(10*time.Second, c.Master.RegisterTimeout/2))
	setDefault(&c.MaxLinks, 65_536)
	setDefault(&c.MaxSubscriptions, 4096)
	setDefault(&c.MaxWaitingBytes, 64<<20)
	setDefault(&c.MaxLinkBytes, 16<<20)
	setDefault(&c.MaxLinksBytes, 256<<20)
	setDefault(&c.MaxHappenings, 10_000)
	if c.ConfirmWithin > c.Master.RegisterTimeout/2 {
		return c, fmt.Errorf("master: Config.ConfirmWithin is %v, must be at most half of Master.RegisterTimeout, %v",
			c.ConfirmWithin, c.Master.RegisterTimeout)
	}
	if min(c.MaxLinks, c.MaxSubscriptions, c.MaxWaitingBytes, c.MaxLinkBytes, c.MaxLinksBytes, c.MaxHappenings) < 1 ||
		min(c.ConfirmEvery, c.ConfirmWithin) < 0 {
		return c, errors.New("master: a bound of Config is negative")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timer == nil {
		c.Timer = newTimer
	}
	if c.Beside == nil {
		c.Beside = func(f func()) { go f() }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
