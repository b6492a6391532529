package sessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/coordination"
)

// Tree is what a keeper reads of the replicated tree: *coordination.Tree.
type Tree interface {
	Session(id uint64) (coordination.SessionInfo, bool)
	SessionsAfter(id uint64, limit int) []coordination.SessionInfo
	Epoch() uint64
	NextTTL() (deadline int64, ok bool)
}

// Group is what a keeper needs of the replicated group whose sessions it keeps. It is
// safe for concurrent use; what blocks ends with its ctx.
type Group interface {
	// Propose replicates an encoded coordination.Operation and returns the encoded
	// result once it is applied on this node, which must lead.
	Propose(ctx context.Context, command []byte) ([]byte, error)
	// SurelyNot reports whether, after this error of Propose, nothing was or will be done.
	SurelyNot(err error) bool
	// Read runs f while the tree stands still. If it is fresh, the tree holds everything
	// that was acknowledged anywhere before the call; otherwise what this node has applied.
	Read(ctx context.Context, fresh bool, f func(tree Tree)) error
	// Leadership is who leads now. It must not block.
	Leadership() Leadership
	// LogTime is about what log time is now, in Unix milliseconds.
	LogTime() int64
}

// Leadership is who leads the group as far as a node knows.
type Leadership struct {
	Term   uint64
	Leader uint64 // its node, 0 if none is known
	Leads  bool   // this node does, and may propose
}

// Config of a keeper. Fields without a default are required.
type Config struct {
	// ID is the node's, its storage incarnation. Number and Name are the group's, as the
	// wire and as people say it.
	ID     uint64
	Number uint32
	Name   string
	Group  Group
	// Send brings a message to the keeper of another node, or loses it. It is called
	// inside the actor and must not block.
	Send func(to uint64, m proto.Message)
	// Clock is monotonic, and counts on while the machine is suspended.
	Clock func() time.Duration

	// MaxWaiting is how many signs of life may wait for an answer; more are
	// ErrOverloaded. Default 131,072.
	MaxWaiting int
	// RoundSigns is how many signs one round has at most. At most the default, 16,384.
	RoundSigns int
	// ExpireSessions is how many sessions one operation ends at most, and ExpireNodes how
	// many ephemeral nodes they may have together, unless one session alone has more.
	// Defaults 256, at most 1024, and 2048.
	ExpireSessions, ExpireNodes int
	// RepeatAfter is how long an answer may take before a round is sent again. Default 1 s.
	RepeatAfter time.Duration
	// ProposeTimeout bounds each proposal and each read. Default 5 s.
	ProposeTimeout time.Duration
	// LookEvery is how often the leader looks for new sessions and for nodes whose TTL has
	// passed. Default 500 ms.
	LookEvery time.Duration

	// Timer makes what wakes the actor; it calls f once, when the duration of its last
	// Reset is over. Default time.AfterFunc.
	Timer func(f func()) Timer
	// Beside runs what may block beside the actor. Default: on a goroutine of its own.
	Beside func(f func())
	// Dispatcher decides when the actor runs, for simulation. nil is protoactor's own.
	Dispatcher actor.Dispatcher
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

// maxRoundSigns bounds what a keeper takes from another.
const maxRoundSigns = 16_384

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.ID == 0:
		return c, errors.New("sessions: Config.ID is missing")
	case c.Group == nil:
		return c, errors.New("sessions: Config.Group is missing")
	case c.Send == nil:
		return c, errors.New("sessions: Config.Send is missing")
	case c.Clock == nil:
		return c, errors.New("sessions: Config.Clock is missing")
	}
	setDefault(&c.MaxWaiting, 131_072)
	setDefault(&c.RoundSigns, maxRoundSigns)
	setDefault(&c.ExpireSessions, 256)
	setDefault(&c.ExpireNodes, 2048)
	setDefault(&c.RepeatAfter, time.Second)
	setDefault(&c.ProposeTimeout, 5*time.Second)
	setDefault(&c.LookEvery, 500*time.Millisecond)
	if c.RoundSigns > maxRoundSigns {
		return c, fmt.Errorf("sessions: Config.RoundSigns is %d, at most %d fit into a message", c.RoundSigns, maxRoundSigns)
	}
	if c.ExpireSessions > coordination.MaxExpired {
		return c, fmt.Errorf("sessions: Config.ExpireSessions is %d, one operation names at most %d", c.ExpireSessions, coordination.MaxExpired)
	}
	if min(c.MaxWaiting, c.RoundSigns, c.ExpireSessions, c.ExpireNodes) < 1 ||
		min(c.RepeatAfter, c.ProposeTimeout, c.LookEvery) < 0 {
		return c, errors.New("sessions: a bound of Config is negative")
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
