package actors

import (
	"context"
	"log/slog"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
)

// NewSystem makes an actor system that logs to logger (nil: nothing) and has
// no metrics provider, because protoactor's built-in metrics cost ten times
// the message itself. What protoactor logs as information, such as dead
// letters and its own start, becomes debug. A system costs about 3 MiB. In a
// synctest bubble sleep more than a second at the end: a dead letter leaves a
// goroutine for that long.
func NewSystem(logger *slog.Logger) *actor.ActorSystem {
	handler := slog.DiscardHandler
	if logger != nil {
		handler = demoted{logger.Handler()}
	}
	quiet := slog.New(handler)
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }))
	system.Extensions.Register(&census{mailboxes: make(map[*Mailbox]identity)})
	return system
}

// demoted turns information into debug.
type demoted struct{ slog.Handler }

func (d demoted) Enabled(ctx context.Context, level slog.Level) bool {
	return d.Handler.Enabled(ctx, demote(level))
}

func (d demoted) Handle(ctx context.Context, r slog.Record) error {
	r.Level = demote(r.Level)
	return d.Handler.Handle(ctx, r)
}

func (d demoted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return demoted{d.Handler.WithAttrs(attrs)}
}
func (d demoted) WithGroup(name string) slog.Handler { return demoted{d.Handler.WithGroup(name)} }

func demote(level slog.Level) slog.Level {
	if level == slog.LevelInfo {
		return slog.LevelDebug
	}
	return level
}

// Guard wraps the actors of producer so that a panic while they handle
// Stopping, Stopped or Restarting is logged (logger nil: not) and swallowed: protoactor
// would turn a stop into a restart, or never tell the watchers. Panics
// elsewhere go to the supervisor as ever. The wrapper hides the actor's own
// methods from protoactor, so a supervisor strategy belongs into the props.
func Guard(logger *slog.Logger, producer actor.Producer) actor.Producer {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return func() actor.Actor { return &guarded{Actor: producer(), logger: logger} }
}

type guarded struct {
	actor.Actor
	logger *slog.Logger
}

func (g *guarded) Receive(c actor.Context) {
	switch c.Message().(type) {
	case *actor.Stopping, *actor.Stopped, *actor.Restarting:
		g.receiveLast(c)
	default:
		g.Actor.Receive(c)
	}
}

func (g *guarded) receiveLast(c actor.Context) {
	defer func() {
		if reason := recover(); reason != nil {
			g.logger.Error("actor panicked in its last message", "actor", c.Self().GetId(),
				"reason", reason, "stack", string(debug.Stack()))
		}
	}()
	g.Actor.Receive(c)
}
