package master

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/mesos"
)

// leader is the actor of one mastership, from the election to the end. What blocks runs
// beside it and comes back as a message.
type leader struct {
	handle *Handle
	cfg    Config
	self   *actor.PID
	timer  Timer
	ctx    context.Context // ends with the actor
	cancel context.CancelFunc

	core *mesos.Master
	lead *Leading // nil until the registry is loaded
	// commits are the operations that wait for the command under way.
	commits    []mesos.RegistryOperation
	committing bool
	// sure is the last time at which this node surely led, confirming that a look is under
	// way, confirmAt when the next one is due.
	sure       time.Duration
	confirming bool
	confirmAt  time.Duration

	newest   map[mesos.AgentID]mesos.LinkID
	agents   map[mesos.LinkID]mesos.AgentID
	asked    map[uint64]answerTo
	requests uint64
	along    *actor.PID
}

// answerTo is where an answer goes.
type answerTo struct {
	asked *asked
	place int
}

// What comes back from beside the actor. A mailbox that is full takes it.
type (
	termRead struct {
		term  mesos.Term
		began time.Duration
		err   error
	}
	committed struct {
		results []mesos.RegistryResult
		began   time.Duration
		err     error
	}
	registryRead struct {
		registry *mesos.Registry
		err      error
	}
	confirmed struct {
		term  mesos.Term
		began time.Duration
		err   error
	}
)

func (termRead) Control()     {}
func (committed) Control()    {}
func (registryRead) Control() {}
func (confirmed) Control()    {}

func newLeader(h *Handle) *leader {
	return &leader{handle: h, cfg: h.cfg, newest: map[mesos.AgentID]mesos.LinkID{}, agents: map[mesos.LinkID]mesos.AgentID{},
		asked: map[uint64]answerTo{}}
}

// Receive has one case for each thing that can happen to the actor.
func (l *leader) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		l.self = ctx.Self()
		l.ctx, l.cancel = context.WithCancel(context.Background())
		l.timer = l.cfg.Timer(l.wake)
		l.sure = l.cfg.Clock()
		l.readTerm()
	case *actors.Batch:
		l.turn(ctx, m.Messages)
	case *actor.Terminated:
		if l.along != nil && m.Who.Id == l.along.Id {
			l.stop(ctx, "what runs along with it has ended")
		}
	case *actor.Stopping:
		l.end()
	}
}

func (l *leader) wake() { l.tell(wakeUp{}) }

func (l *leader) tell(message any) { l.handle.system.Root.Send(l.self, message) }

// end lets go of all that the leader has to do with.
func (l *leader) end() {
	if l.cancel == nil {
		return
	}
	l.cancel()
	l.timer.Stop()
	if l.lead != nil {
		l.lead.end()
		l.handle.leading.CompareAndSwap(l.lead, nil)
		l.handle.signal()
	}
}

// stop ends the mastership: the standby starts the next one if the node still leads.
func (l *leader) stop(ctx actor.Context, reason string) {
	if l.ctx.Err() == nil {
		l.cfg.Logger.Warn("mastership ends", "term", l.term(), "reason", reason)
		l.end()
		ctx.Stop(ctx.Self())
	}
}

func (l *leader) term() mesos.Term {
	if l.core == nil {
		return 0
	}
	return l.core.Term()
}

// turn carries out everything that has come.
func (l *leader) turn(ctx actor.Context, items []actors.Item) {
	now := l.cfg.Clock()
	for _, item := range items {
		if l.ctx.Err() != nil {
			return
		}
		if reason := l.came(ctx, now, item.Message); reason != "" {
			l.stop(ctx, reason)
			return
		}
	}
	switch {
	case now-l.sure > l.cfg.ConfirmWithin:
		l.stop(ctx, fmt.Sprintf("for %v it could not make sure that it still leads", l.cfg.ConfirmWithin))
		return
	case l.lead != nil && l.lead.over():
		l.stop(ctx, "the node leads no more")
		return
	}
	if l.lead != nil {
		l.takeInbox(now)
		l.core.Tick(now)
		l.confirm(now)
	}
	if reason := l.carryOut(); reason != "" {
		l.stop(ctx, reason)
		return
	}
	l.setTimer(now)
}

// came handles what comes back from beside the actor. It returns why the mastership must
// end, if it must.
func (l *leader) came(ctx actor.Context, now time.Duration, message any) string {
	switch m := message.(type) {
	case termRead:
		return l.onTerm(now, m)
	case committed:
		return l.onCommitted(now, m)
	case registryRead:
		return l.onRegistry(ctx, now, m)
	case confirmed:
		return l.onConfirmed(now, m)
	case task:
		m()
	}
	return ""
}

// task is run inside the actor. Tests make it panic, to see what becomes of the master.
type task func()

// readTerm finds out which terms there have been.
func (l *leader) readTerm() {
	began := l.cfg.Clock()
	l.beside(func(ctx context.Context) any {
		m := termRead{began: began}
		m.err = l.cfg.Group.Read(ctx, true, func(r *mesos.Registry) { m.term = r.Master().Term })
		return m
	})
}

// beside runs f, which may block, and tells the actor what it returns.
func (l *leader) beside(f func(ctx context.Context) any) {
	parent := l.ctx
	l.cfg.Beside(func() {
		ctx, cancel := context.WithTimeout(parent, l.cfg.ConfirmWithin)
		defer cancel()
		if message := f(ctx); parent.Err() == nil {
			l.tell(message)
		}
	})
}

// onTerm begins the mastership: its first commit is its ElectMaster.
func (l *leader) onTerm(now time.Duration, m termRead) string {
	if m.err != nil {
		return "the registry cannot be read: " + m.err.Error()
	}
	c := l.cfg.Master
	c.Name, c.Address = l.cfg.Name, l.cfg.Address
	var seed [32]byte
	crand.Read(seed[:]) // never fails
	c.Rand = rand.New(rand.NewChaCha8(seed))
	core, err := mesos.NewMaster(c, m.term+1, now, time.Duration(l.cfg.Now().UnixNano()))
	if err != nil {
		panic(err) // the configuration was checked
	}
	l.core = core
	return ""
}

// onRegistry makes the master ready.
func (l *leader) onRegistry(ctx actor.Context, now time.Duration, m registryRead) string {
	if m.err != nil {
		return "the registry cannot be read: " + m.err.Error()
	}
	lead := newLeading(l.handle, l.core.Term(), m.registry.Clone(), l.wake)
	l.core.Loaded(now, m.registry)
	if !l.core.Ready() {
		return "" // its Output says why
	}
	l.lead, l.confirmAt = lead, now+l.cfg.ConfirmEvery
	l.handle.metrics.masterships.Add(1)
	l.handle.leading.Store(lead)
	if !l.cfg.Group.Leads() { // what LeaderChanged could not see
		return "the node leads no more"
	}
	l.cfg.Logger.Info("became leading master", "term", uint64(lead.term))
	if l.cfg.Along != nil {
		l.along = ctx.Spawn(l.cfg.Along(lead))
		ctx.Watch(l.along)
	}
	l.handle.signal()
	return ""
}

// setTimer has the actor look again when the first thing is due.
func (l *leader) setTimer(now time.Duration) {
	at := l.sure + l.cfg.ConfirmWithin + 1
	if l.lead != nil {
		if next, some := l.core.Next(); some {
			at = min(at, next)
		}
		if !l.confirming {
			at = min(at, l.confirmAt)
		}
	}
	l.timer.Reset(max(0, at-now))
}
