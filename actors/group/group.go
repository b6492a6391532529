package group

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// wake tells the actor that its inbox or its clock wants a turn. There is at
// most one under way from the inbox and one from the timer.
type wake struct{}

// tick is the timer's wake.
type tick struct{}

// Control lets a wake and a tick into a full mailbox.
func (wake) Control() {}
func (tick) Control() {}

// Actor is one replica of a group with a mailbox, a disk and peers. Messages
// and calls become steps of the core, the core's output becomes effects; no
// decision of the protocol is taken here. The fields belong to the actor's
// goroutine.
type Actor struct {
	cfg    Config
	handle *Handle
	log    *slog.Logger

	system *actor.ActorSystem
	engine Engine
	in     inbox
	timer  Timer
	now    consensus.Time // of this turn
	due    consensus.Time // what the timer runs towards, 0 if it does not

	applier      *actor.PID
	applierReads *atomic.Int64
	snapshotter  *actor.PID

	saved   uint64     // the newest durable save
	issued  uint64     // the newest save handed to the log
	held    []heldSend // no more than maxHeld
	bases   []base     // of a witness: what is released when it is durable
	pending pendingCalls
	reads   map[uint64][]*call // by the core's ref
	nextRef uint64

	logBytes      int // appended since the last snapshot
	snapshotting  bool
	lastSnapshot  consensus.Index
	snapshotSize  int64            // of that, in bytes
	compactFailed bool             // the last attempt at one
	nextMark      consensus.Time   // not before then is the log to move for its sake
	pinCheck      consensus.Time   // when to ask next whether this group pins the log
	clock         replica.LogClock // of the leader in clockTerm
	clockTerm     consensus.Term
	stamp         int64 // the greatest in the log, which may be ahead of the state machine
	digests       digests
	refused       uint64 // messages that could not be read
}

// heldSend waits for the saves before it, with nothing to save itself.
type heldSend struct {
	after uint64
	send  []Envelope
}

// Spawn starts the actor of one group under name. Its supervisor restarts it
// after a panic; it then rebuilds itself from the log like a restarted process.
func Spawn(system *actor.ActorSystem, c Config, name string, strategy actor.SupervisorStrategy) (*Handle, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &Handle{cfg: c, system: system, gone: make(chan struct{}),
		mailbox: actors.NewMailbox(actors.MailboxConfig{MaxMessages: 4096})}
	h.view.Store(&View{})
	props := c.props(func() actor.Actor { return &Actor{cfg: c, handle: h, log: c.Logger} },
		func() actor.Mailbox { return h.mailbox }, actor.WithGuardian(strategy), actor.WithSupervisor(childStrategy{h}))
	h.pid = actor.NewPID(system.Address(), name)
	if _, err := system.Root.SpawnNamed(props, name); err != nil {
		return nil, fmt.Errorf("group: spawn %s: %w", name, err)
	}
	return h, nil
}

// childStrategy answers the failure of an applier or snapshotter by failing the
// group's actor: what a child had in memory cannot be had again without its log.
type childStrategy struct{ handle *Handle }

// HandleFailure leaves the child suspended; it goes with its parent.
func (s childStrategy) HandleFailure(_ *actor.ActorSystem, _ actor.Supervisor, child *actor.PID,
	_ *actor.RestartStatistics, reason, _ any) {
	s.handle.tell(func(*Actor) { panic(fmt.Errorf("group: %s failed: %v", child.Id, reason)) })
}

// Receive has one case for each thing that can happen to the actor.
func (a *Actor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		a.start(ctx)
	case *actors.Batch:
		a.turn(m.Messages)
	case *actor.Restarting:
		a.stopTimer()
	case *actor.Stopping:
		a.stopTimer()
		a.handle.close(ErrStopped)
	}
}

// turn is one batch: everything that arrived, then one output.
func (a *Actor) turn(batch []actors.Item) {
	a.handle.take(&a.in)
	if a.in.saved > a.saved {
		a.saved = a.in.saved
		a.engine.Saved(a.saved)
		a.releaseBases()
	}
	a.now = a.cfg.Clock()
	a.engine.Tick(a.now)
	for i := range batch {
		switch m := batch[i].Message.(type) {
		case wake:
		case tick:
			a.due = 0 // the timer runs no more, perhaps a little too early
		case *messages.GroupMessage:
			a.receive(m)
		case proto.Message:
			if err := a.engine.Receive(m); err != nil {
				a.refuseMessage(err)
			}
		}
	}
	a.engine.Applied(a.handle.Applied())
	for _, id := range a.in.lost {
		a.engine.PeerLost(id)
	}
	a.startReads()
	a.propose()
	for _, task := range a.in.tasks {
		task(a)
	}
	a.carryOut(a.engine.Output())
	a.compactIfDue()
	a.reportDigests()
	a.arm()
	clear(a.in.tasks)
	clear(a.in.proposals)
	clear(a.in.reads)
	a.handle.rest(a.engine.Gather())
}

// receive takes a message of the group's own. The link has checked that it comes
// from whom it says.
func (a *Actor) receive(m *messages.GroupMessage) {
	if consensus.ID(m.To) != a.cfg.ID || storage.Group(m.Group) != a.cfg.Group {
		a.refuseMessage(ErrMisdirected)
		return
	}
	switch body := m.Body.(type) {
	case *messages.GroupMessage_DigestReport:
		a.onDigestReport(consensus.ID(m.From), body.DigestReport)
	case *messages.GroupMessage_Quarantine:
		a.onQuarantine(consensus.ID(m.From), body.Quarantine)
	}
}

// refuseMessage counts a message that could not be read.
func (a *Actor) refuseMessage(err error) {
	a.refused++
	if !errors.Is(err, ErrMisdirected) {
		a.log.Warn("message refused", "group", a.cfg.Name, "error", err)
	}
}

// startReads gives all waiting reads one number: one round confirms them all.
func (a *Actor) startReads() {
	if len(a.in.reads) == 0 {
		return
	}
	a.nextRef++
	if err := a.engine.ReadIndex(a.nextRef); err != nil {
		for _, c := range a.in.reads {
			c.finish(outcome{err: err})
		}
		return
	}
	a.reads[a.nextRef] = append([]*call(nil), a.in.reads...)
}

// spawnChildren starts the applier and the snapshotter. They end with this
// actor and are made anew with it.
func (a *Actor) spawnChildren(ctx actor.Context, made *instance, snapshot consensus.SnapshotMeta) {
	// Bounded by the core (MaxApplyBytes, one chunk a peer) and, for reads, by
	// MaxReads: see Actor.readAt.
	mailbox := actors.MailboxConfig{MaxMessages: 1 << 20}
	spawn := func(child actor.Actor) *actor.PID {
		return ctx.Spawn(a.cfg.props(func() actor.Actor { return child }, mailbox.Producer()))
	}
	s := &snapshotter{cfg: a.cfg, handle: a.handle}
	a.snapshotter = spawn(s)
	p := &applier{cfg: a.cfg, handle: a.handle, machine: made.replica, index: snapshot.Index}
	if made.replica != nil {
		p.logTime = made.replica.LogTime()
	}
	a.applier, a.applierReads = spawn(p), &p.reads
	s.applier.Store(a.applier)
}

// arm sets the timer to the core's deadline, unless it runs towards it already.
func (a *Actor) arm() {
	due := a.engine.Deadline()
	if due == a.due {
		return
	}
	a.due = due
	a.timer.Reset(max(0, time.Duration(due-a.now)))
}

func (a *Actor) stopTimer() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

// publish tells the rest of the process what changed.
func (a *Actor) publish() {
	status := a.engine.Status()
	if was := a.handle.View().Configuration; a.handle.Applied() >= was.Version {
		if _, member := was.Find(a.cfg.ID); member {
			a.handle.notFresh() // before somebody sees that its place is gone
		}
	}
	view := View{Role: status.Role, Term: status.Term, Leader: status.Leader, Configuration: status.Configuration,
		Applied: a.handle.Applied(), Left: status.Left, Fresh: a.handle.isFresh()}
	if err := a.cfg.CheckRoles(view.Configuration); err != nil {
		a.cfg.FailStop(err)
	}
	a.handle.view.Store(&view)
	a.cfg.Changed(view)
}
