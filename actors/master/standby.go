package master

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
)

// standby is the actor that every node has. It starts a leader while its node leads the log
// of the registry, and ends it when not.
type standby struct {
	handle *Handle
	timer  Timer
	leader *actor.PID // nil while none runs
	// began is when the leader was started. None is started before holdTo: failed
	// masterships have followed each other.
	began, holdTo time.Duration
	failed        int
}

// wakeUp tells an actor to look at who leads, at what waits for it and at the clock.
type wakeUp struct{}

// Control lets it into a full mailbox.
func (wakeUp) Control() {}

// Masterships that end within settled of their beginning make the next one wait, for
// minPause at first, then twice as long each time, up to maxPause.
const (
	settled  = 10 * time.Second
	minPause = 10 * time.Millisecond
	maxPause = 5 * time.Second
)

// leaderStrategy lets no leader start again by itself: the standby decides, which a leader's
// end is told to.
func leaderStrategy(c Config) actor.SupervisorStrategy {
	return actors.NewStrategy(actors.StrategyConfig{Restart: actors.Temporary, Logger: c.Logger})
}

// Receive has one case for each thing that can happen to the actor.
func (s *standby) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		s.timer = s.handle.cfg.Timer(func() { s.handle.system.Root.Send(s.handle.pid, wakeUp{}) })
		s.look(ctx)
	case *actors.Batch:
		s.look(ctx)
	case *actor.Terminated:
		if s.leader != nil && m.Who.Id == s.leader.Id {
			s.ended()
			s.look(ctx)
		}
	case *actor.Restarting, *actor.Stopping:
		if s.timer != nil {
			s.timer.Stop()
		}
		s.handle.endLeading()
	}
}

// look starts or stops the leader, as the node leads or not.
func (s *standby) look(ctx actor.Context) {
	now, leads := s.handle.cfg.Clock(), s.handle.cfg.Group.Leads()
	switch {
	case leads && s.leader == nil && now < s.holdTo:
		s.timer.Reset(s.holdTo - now)
	case leads && s.leader == nil:
		s.begin(ctx, now)
	case !leads:
		s.failed, s.holdTo = 0, 0
		s.handle.endLeading()
		if s.leader != nil {
			ctx.Stop(s.leader) // Terminated follows
		}
	}
}

func (s *standby) begin(ctx actor.Context, now time.Duration) {
	h := s.handle
	strategy := actors.NewStrategy(actors.StrategyConfig{Logger: h.cfg.Logger})
	props := actor.PropsFromProducer(actors.Guard(h.cfg.Logger, func() actor.Actor { return newLeader(h) }),
		actor.WithMailbox(actors.MailboxConfig{MaxMessages: maxMessages}.Producer()), actor.WithSupervisor(strategy))
	s.leader, s.began = ctx.Spawn(props), now // protoactor watches children for their parent
	ctx.Watch(s.leader)
}

// ended takes note that the leader has stopped or failed.
func (s *standby) ended() {
	s.handle.endLeading()
	s.leader = nil
	now := s.handle.cfg.Clock()
	if now-s.began >= settled {
		s.failed = 0
	}
	s.failed++
	s.holdTo = now + min(minPause<<min(s.failed-1, 20), maxPause)
}

// endLeading ends the mastership, if there is one.
func (h *Handle) endLeading() {
	if l := h.leading.Swap(nil); l != nil {
		l.end()
		h.signal()
	}
}
