package master

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/mesos"
)

// NotLeadingError says that another node's master leads, or none. Nothing was done.
type NotLeadingError struct {
	// Leader is its node's id, Name and API where it is known, else 0 and "".
	Leader    uint64
	Name, API string
	// Starting: this node's master leads and has not read the registry yet.
	Starting bool
}

func (e *NotLeadingError) Error() string {
	switch {
	case e.Starting:
		return "master: it leads and has not read the registry yet"
	case e.Name == "":
		return "master: no master leads"
	}
	return fmt.Sprintf("master: %s leads", e.Name)
}

// Errors of a Handle.
var (
	// ErrOverloaded: a bound of the master's is reached; nothing was done.
	ErrOverloaded = errors.New("master: overloaded")
	// ErrUnknownOutcome: the mastership has ended before the answer was there.
	ErrUnknownOutcome = errors.New("master: it may have happened or not")
)

// Handle is a node's master as others in the process see it, standing by or leading. It is
// safe for concurrent use.
type Handle struct {
	cfg     Config
	system  *actor.ActorSystem
	pid     *actor.PID // of the standby
	metrics counters

	// leading is the mastership that is ready, nil while there is none.
	leading atomic.Pointer[Leading]
	// cloning: a Clone marks the registry that it is made of.
	cloning sync.Mutex

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when leading changes, or who leads elsewhere
}

// Spawn starts the standby under name. Its supervisor restarts it after a panic.
func Spawn(system *actor.ActorSystem, c Config, name string, strategy actor.SupervisorStrategy) (*Handle, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &Handle{cfg: c, system: system, pid: actor.NewPID(system.Address(), name), changed: make(chan struct{})}
	props := actor.PropsFromProducer(actors.Guard(c.Logger, func() actor.Actor { return &standby{handle: h} }),
		actor.WithMailbox(actors.MailboxConfig{MaxMessages: maxMessages}.Producer()), actor.WithGuardian(strategy),
		actor.WithSupervisor(leaderStrategy(c)))
	if _, err := system.Root.SpawnNamed(props, name); err != nil {
		return nil, fmt.Errorf("master: spawn %s: %w", name, err)
	}
	return h, nil
}

// maxMessages bounds the mailboxes of the actors, which get only messages of this package.
const maxMessages = 1024

// PID is the standby's address in this process.
func (h *Handle) PID() *actor.PID { return h.pid }

// LeaderChanged tells that Group.Leads or Leader says something else than before. It never
// blocks. A mastership whose node leads no more ends before it returns.
func (h *Handle) LeaderChanged() {
	if l := h.leading.Load(); l != nil && !h.cfg.Group.Leads() {
		l.end()
		l.wake() // the node may lead again before the standby looks
	}
	h.signal()
	h.system.Root.Send(h.pid, wakeUp{})
}

// signal wakes whoever waits for a change.
func (h *Handle) signal() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.changed)
	h.changed = make(chan struct{})
}

// Changed returns a channel that is closed when Leads next says something else.
func (h *Handle) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// Leading returns the mastership of this node, or a *NotLeadingError.
func (h *Handle) Leading() (*Leading, error) {
	if l := h.leading.Load(); l != nil && !l.over() {
		return l, nil
	}
	return nil, h.notLeading()
}

func (h *Handle) notLeading() *NotLeadingError {
	if h.cfg.Group.Leads() {
		return &NotLeadingError{Starting: true}
	}
	e := &NotLeadingError{}
	e.Leader, e.Name, e.API = h.cfg.Group.Leader()
	return e
}

// Leads is nil if this node's master leads and is ready, else a *NotLeadingError.
func (h *Handle) Leads() error {
	_, err := h.Leading()
	return err
}

// Connect makes a link of an agent that has proven nothing. Its error is a *NotLeadingError or ErrOverloaded.
func (h *Handle) Connect() (*AgentLink, error) {
	l, err := h.Leading()
	if err != nil {
		return nil, err
	}
	return l.Connect("")
}

// Subscribe begins a stream of events. Whether the master takes the framework is told on the
// stream: SubscribedEvent, or ErrorEvent and the end. Its error is a *NotLeadingError or
// ErrOverloaded, or that of ctx.
func (h *Handle) Subscribe(ctx context.Context, info mesos.FrameworkInfo) (*Subscription, error) {
	l, err := h.Leading()
	if err != nil {
		return nil, err
	}
	return l.Subscribe(ctx, info)
}

// Call hands the master a call, not a SubscribeCall, and returns its answer; the Request is
// set here. Its error is a *NotLeadingError: nothing was done; or ErrUnknownOutcome, or that
// of ctx: it may be done.
func (h *Handle) Call(ctx context.Context, call mesos.Call) (mesos.Answer, error) {
	l, err := h.Leading()
	if err != nil {
		return mesos.Answer{}, err
	}
	return l.Call(ctx, call)
}

// Operate carries out an operator's operations of the registry, in their order. The Answers
// say of each whether it was done. Its error is a *NotLeadingError: nothing was done; or
// ErrUnknownOutcome, or that of ctx: it may be done.
func (h *Handle) Operate(ctx context.Context, operations ...mesos.RegistryOperation) ([]mesos.Answer, error) {
	l, err := h.Leading()
	if err != nil {
		return nil, err
	}
	return l.Operate(ctx, operations...)
}

// View is the master's state, never to be changed, with all that this master had answered or
// told when View was called. Who asks waits until the last one is no longer Recent, half a second
// at most, so that it costs the master little however many ask.
func (h *Handle) View(ctx context.Context) (*mesos.MasterView, error) {
	l, err := h.Leading()
	if err != nil {
		return nil, err
	}
	return l.View(ctx)
}

// Recent is a View of the last moments: of the last 10 ms, or of twenty times as long as it took
// to make if that is more, up to 500 ms. It may lack what has just been answered.
func (h *Handle) Recent() (*mesos.MasterView, error) {
	l, err := h.Leading()
	if err != nil {
		return nil, err
	}
	return l.Recent()
}

// Happening is something that an operator may want to know of.
type Happening struct {
	// Sequence counts those of one mastership, from 1. Term is the mastership's.
	Sequence uint64
	Term     mesos.Term
	Time     time.Time
	mesos.Happening
}

// Happenings returns what has happened after a sequence number, at most limit, and waits
// until there is some. A master remembers the last Config.MaxHappenings.
func (h *Handle) Happenings(ctx context.Context, after uint64, limit int) ([]Happening, error) {
	l, err := h.Leading()
	if err != nil {
		return nil, err
	}
	return l.Happenings(ctx, after, limit)
}

// Metrics are figures of a node's master.
type Metrics struct {
	Leads bool
	Term  mesos.Term
	// Since the node started: how often it has come to lead, how many commands of how many
	// operations it has had committed, messages it got from agents, calls of schedulers,
	// links it has cut because an agent did not read, and launches.
	Masterships, Commits, Operations, Messages, Calls, Cut uint64
	Views                                                  uint64
	// As it is: links and subscriptions.
	Links, Subscriptions int
}

type counters struct {
	masterships, commits, operations, messages, calls, cut, views atomic.Uint64
}

// Metrics returns the figures as they are.
func (h *Handle) Metrics() Metrics {
	c := &h.metrics
	m := Metrics{Masterships: c.masterships.Load(), Commits: c.commits.Load(), Operations: c.operations.Load(),
		Messages: c.messages.Load(), Calls: c.calls.Load(), Cut: c.cut.Load(), Views: c.views.Load()}
	if l, err := h.Leading(); err == nil {
		m.Leads, m.Term = true, l.term
		m.Links, m.Subscriptions = l.counts()
	}
	return m
}
