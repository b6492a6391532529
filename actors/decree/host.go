package decree

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/storage"
)

// Host is what an actor of any role needs of its node. Fields without a default are
// required.
type Host struct {
	// ID of the node: its storage incarnation. Name is what people call it.
	ID   paxos.ID
	Name string
	// Acceptors are the names of all acceptors, the same on all nodes.
	Acceptors []string
	// Store is the node's log, Group the role's own part of it.
	Store *storage.Store
	Group storage.Group
	// Send brings a message to the roles of a node, or loses it. It is called on
	// any goroutine and must not block.
	Send func(to paxos.ID, m *messages.DecreeMessage)
	// Clock must count on while the machine is suspended.
	Clock func() paxos.Time
	// FailStop is called when the node must end: its log has failed. It must not
	// block.
	FailStop func(error)

	// MaxValueBytes bounds a value, the same on all nodes. Default 64 KiB; at most
	// what a record of Store holds, less 1 KiB.
	MaxValueBytes int
	// Limits of what the role keeps, in memory and on disk. Defaults 65536 decrees, 64 MiB.
	Limits Limits
	// Recorder gets what the role sends and receives. Default: none.
	Recorder *Recorder
	// LogWait is how long an actor that is restarted after a panic waits for what
	// was under way to the log; then the node ends. Default 1 minute.
	LogWait time.Duration
	// Logger defaults to discarding.
	Logger *slog.Logger
}

// MaxMessages is how many messages wait for a role's actor; more are lost.
const MaxMessages = 4096

// WithDefaults checks the Host of a role.
func (h Host) WithDefaults(role Role) (Host, error) {
	h.MaxValueBytes = cmp.Or(h.MaxValueBytes, 64<<10)
	h.Limits.Rows = cmp.Or(h.Limits.Rows, 65536)
	h.Limits.Bytes = cmp.Or(h.Limits.Bytes, 64<<20)
	h.LogWait = cmp.Or(h.LogWait, time.Minute)
	if h.Logger == nil {
		h.Logger = slog.New(slog.DiscardHandler)
	}
	missing := func(field string) error { return fmt.Errorf("%s: Config.%s is missing", role, field) }
	switch {
	case h.ID == paxos.None:
		return h, missing("ID")
	case len(h.Acceptors) == 0:
		return h, missing("Acceptors")
	case h.Store == nil:
		return h, missing("Store")
	case h.Send == nil:
		return h, missing("Send")
	case h.Clock == nil:
		return h, missing("Clock")
	case h.FailStop == nil:
		return h, missing("FailStop")
	case h.MaxValueBytes < 1 || h.MaxValueBytes > h.Store.MaxRecordBytes()-1<<10:
		return h, fmt.Errorf("%s: Config.MaxValueBytes is %d, at most %d fit into a record", role, h.MaxValueBytes,
			h.Store.MaxRecordBytes()-1<<10)
	case h.Limits.Rows < 1 || h.Limits.Bytes < 1:
		return h, fmt.Errorf("%s: Config.Limits are %+v", role, h.Limits)
	}
	return h, nil
}

// Handle is a role's actor as others in the process see it.
type Handle struct {
	system  *actor.ActorSystem
	pid     *actor.PID
	mailbox *actors.Mailbox
	started bool // of the actor alone

	missing atomic.Pointer[string]
}

// Spawn starts a role's actor under name. Its supervisor restarts it after a panic.
func (h Host) Spawn(system *actor.ActorSystem, name string, strategy actor.SupervisorStrategy,
	produce func(*Handle) actor.Actor) (*Handle, error) {
	handle := &Handle{system: system, pid: actor.NewPID(system.Address(), name),
		mailbox: actors.NewMailbox(actors.MailboxConfig{MaxMessages: MaxMessages})}
	props := actor.PropsFromProducer(actors.Guard(h.Logger, func() actor.Actor { return produce(handle) }),
		actor.WithMailbox(func() actor.Mailbox { return handle.mailbox }), actor.WithGuardian(strategy))
	if _, err := system.Root.SpawnNamed(props, name); err != nil {
		return nil, fmt.Errorf("decree: spawn %s: %w", name, err)
	}
	return handle, nil
}

// SetMissing notes what a proposer or a learner lacks of a founded set of acceptors.
func (h *Handle) SetMissing(waiting func() string) {
	if last := h.missing.Load(); last == nil || *last != "" { // once founded, for ever
		now := waiting()
		h.missing.Store(&now)
	}
}

// Missing says for people what a proposer or a learner lacks of a founded set of
// acceptors, "" if nothing.
func (h *Handle) Missing() string {
	if missing := h.missing.Load(); missing != nil {
		return *missing
	}
	return "the actor has not started"
}

// PID is the actor's address in this process.
func (h *Handle) PID() *actor.PID { return h.pid }

// Deliver hands messages to the actor, on the caller's goroutine if it is idle.
func (h *Handle) Deliver(messages ...any) { h.mailbox.Deliver(messages...) }

// Tell posts a message and never blocks.
func (h *Handle) Tell(message any) { h.system.Root.Send(h.pid, message) }

// Task is run inside the actor, in its turn.
type Task func()

// Do runs f inside the actor and does not wait for it. Tests make it panic, to see
// the actor recover.
func (h *Handle) Do(f func()) { h.Tell(Task(f)) }

// Recovered returns what is closed when the actor has rebuilt itself from the log,
// if nothing was sent to it before.
func (h *Handle) Recovered() <-chan struct{} {
	recovered := make(chan struct{})
	h.Do(func() { close(recovered) })
	return recovered
}

// Begin opens the actor's part of the log when it starts: after a panic it first
// waits until the instance before has nothing under way. A failure is a fail-stop.
func (h *Handle) Begin(c Host, load func(storage.Record) error) *Log {
	log := NewLog(c.Store, c.Group, c.FailStop)
	if h.started {
		if err := log.Rest(c.LogWait); err != nil {
			panic(&actors.FailStop{Err: err})
		}
	}
	h.started = true
	if err := log.Replay(load); err != nil {
		panic(&actors.FailStop{Err: fmt.Errorf("decree: replay: %w", err)})
	}
	return log
}

// Record records what a role has been told or found out.
func (h Host) Record(e Event) {
	e.Node = h.ID
	h.Recorder.Record(e)
}

// Received records a message; taken says that a core takes it, at the time now.
func (h Host) Received(role Role, w *messages.DecreeMessage, taken bool, now paxos.Time) {
	if h.Recorder != nil {
		e := Message(role, w, true)
		e.Taken, e.At = taken, now
		h.Recorder.Record(e)
	}
}

// Deliver completes the envelopes, records the messages and sends them.
func (h Host) Deliver(role Role, out []Outgoing) {
	for _, o := range out {
		h.Recorder.Record(Message(role, o.Message, false))
		h.Send(o.To, o.Message)
	}
}

// Alarms records what a core has reported.
func (h Host) Alarms(role Role, decree string, alarms []paxos.Alarm) {
	for _, a := range alarms {
		h.Record(Event{Role: role, Kind: "alarm", Decree: decree, Ballot: a.Ballot, From: a.From, Note: a.Kind.String()})
		h.Logger.Error("a message that no honest node sends", "role", string(role), "decree", decree,
			"from", fmt.Sprintf("%016x", uint64(a.From)), "ballot", a.Ballot.String(), "what", a.Kind.String())
	}
}

// Mine reports whether a message is addressed to this node.
func (h Host) Mine(w *messages.DecreeMessage) bool {
	return paxos.ID(w.GetTo()) == h.ID && w.GetFrom() != 0
}

// Never is a deadline that does not come.
const Never paxos.Time = math.MaxInt64

// Timer is an actor's alarm clock.
type Timer struct {
	timer *time.Timer
	clock func() paxos.Time
}

// Tick tells an actor that a deadline may have come.
type Tick struct{}

// Control lets a tick into a full mailbox.
func (Tick) Control() {}

// NewTimer makes the actor's timer; it does not run.
func (h *Handle) NewTimer(clock func() paxos.Time) *Timer {
	t := time.AfterFunc(math.MaxInt64, func() { h.Tell(Tick{}) })
	t.Stop()
	return &Timer{t, clock}
}

// Set makes a tick come at the deadline, and no other.
func (t *Timer) Set(deadline paxos.Time) {
	if deadline == Never {
		t.timer.Stop()
		return
	}
	t.timer.Reset(time.Duration(max(0, deadline-t.clock())))
}

// Stop ends it.
func (t *Timer) Stop() {
	if t != nil {
		t.timer.Stop()
	}
}

// Hints say who plays which role, from gossip: addresses to send to, never votes.
type Hints struct {
	Acceptors     map[string]paxos.ID // by name
	Proposers     []paxos.ID
	Proposer      paxos.ID // the distinguished one, or None: then everyone proposes
	Learners      []paxos.ID
	Distinguished []paxos.ID // of Learners, the first one first
}

// Scheme returns the scheme that is possible with these hints: as long as no
// distinguished learner is known, all learners are told.
func (h Hints) Scheme(wanted paxos.Scheme) paxos.Scheme {
	if len(h.Distinguished) == 0 {
		return paxos.AllLearners
	}
	return wanted
}

// Equal reports whether other says the same.
func (h Hints) Equal(other Hints) bool {
	return slices.Equal(h.Learners, other.Learners) && slices.Equal(h.Distinguished, other.Distinguished) &&
		slices.Equal(h.Proposers, other.Proposers)
}

var (
	// ErrStopped: the node has ended.
	ErrStopped = errors.New("decree: stopped")
	// ErrRestarted: the role's actor has crashed and begun again.
	ErrRestarted = errors.New("decree: the role has crashed and begun again")
)
