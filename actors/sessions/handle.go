package sessions

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/coordination"
)

// Errors of a Handle.
var (
	// ErrOverloaded: Config.MaxWaiting signs wait for an answer.
	ErrOverloaded = errors.New("sessions: too many signs of life wait")
	// ErrStopped: the node has ended.
	ErrStopped = errors.New("sessions: stopped")
)

// Handle is a node's keeper as others in the process see it. It is safe for concurrent use.
type Handle struct {
	cfg     Config
	system  *actor.ActorSystem
	pid     *actor.PID
	mailbox *actors.Mailbox
	metrics counters
	gather  gather // of the actor alone; it outlives a restart

	mu      sync.Mutex
	inbox   []*sign
	waiting int // signs that nobody has answered, in the inbox or beyond
	woken   bool
	stopped bool
}

// sign is one sign of life, or that a connection was closed. It ends once.
type sign struct {
	id, connection uint64
	gone           bool
	forgotten      atomic.Bool  // nobody waits for it any more
	done           chan outcome // nil for those that nobody waits for
}

type outcome struct {
	sign coordination.Sign
	err  error
}

// Spawn starts the keeper under name. Its supervisor restarts it after a panic.
func Spawn(system *actor.ActorSystem, c Config, name string, strategy actor.SupervisorStrategy) (*Handle, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &Handle{cfg: c, system: system, pid: actor.NewPID(system.Address(), name),
		mailbox: actors.NewMailbox(actors.MailboxConfig{MaxMessages: maxMessages})}
	props := actor.PropsFromProducer(actors.Guard(c.Logger, func() actor.Actor { return newKeeper(h) }),
		actor.WithMailbox(func() actor.Mailbox { return h.mailbox }), actor.WithGuardian(strategy))
	if c.Dispatcher != nil {
		props.Configure(actor.WithDispatcher(c.Dispatcher))
	}
	if _, err := system.Root.SpawnNamed(props, name); err != nil {
		return nil, fmt.Errorf("sessions: spawn %s: %w", name, err)
	}
	return h, nil
}

// maxMessages is how many messages of other keepers wait; more are lost, and are sent again.
const maxMessages = 1024

// Touch tells the leader that the client of a session, at the connection with this number,
// is alive, and returns what became of the sign once the leader has made sure that it still
// keeps the sessions. The sign counts from some time after this call began. Without a leader
// it waits for one, until ctx ends: its error then tells nothing about the session. Other
// errors are ErrOverloaded and ErrStopped.
func (h *Handle) Touch(ctx context.Context, id, connection uint64) (coordination.Sign, error) {
	c, err := h.StartTouch(id, connection)
	if err != nil {
		return 0, err
	}
	return c.Wait(ctx)
}

// Call is a sign of life that was handed to a keeper.
type Call struct{ s *sign }

// StartTouch is Touch without waiting for what becomes of the sign. Errors are
// ErrOverloaded and ErrStopped.
func (h *Handle) StartTouch(id, connection uint64) (Call, error) {
	c := Call{&sign{id: id, connection: connection, done: make(chan outcome, 1)}}
	return c, h.put(c.s)
}

// Ended reports whether Wait returns at once.
func (c Call) Ended() bool { return len(c.s.done) > 0 }

// Wait returns what became of the sign, as Touch does. Call it once.
func (c Call) Wait(ctx context.Context) (coordination.Sign, error) {
	select {
	case o := <-c.s.done:
		return o.sign, o.err
	case <-ctx.Done():
		c.s.forgotten.Store(true)
		return 0, ctx.Err()
	}
}

// Gone tells the leader that the client's side has closed the connection with this number:
// the session ends after its Linger unless it shows itself again. Nothing is waited for; if
// too much waits it is dropped, and the session ends after its Timeout.
func (h *Handle) Gone(id, connection uint64) {
	_ = h.put(&sign{id: id, connection: connection, gone: true}) // a bound: see above
}

func (h *Handle) put(s *sign) error {
	h.mu.Lock()
	switch {
	case h.stopped:
		h.mu.Unlock()
		return ErrStopped
	case h.waiting >= h.cfg.MaxWaiting:
		h.mu.Unlock()
		h.metrics.refused.Add(1)
		return ErrOverloaded
	}
	h.waiting++
	h.inbox = append(h.inbox, s)
	wake := !h.woken
	h.woken = true
	h.mu.Unlock()
	if wake {
		h.tell(wakeUp{})
	}
	return nil
}

// take empties the inbox.
func (h *Handle) take() []*sign {
	h.mu.Lock()
	defer h.mu.Unlock()
	signs := h.inbox
	h.inbox, h.woken = nil, false
	return signs
}

// end answers a sign.
func (s *sign) end(o outcome) {
	if s.done != nil {
		s.done <- o
	}
}

// release makes room for so many other signs.
func (h *Handle) release(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting -= n
}

// stop ends everything for good.
func (h *Handle) stop() {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	for _, s := range append(h.take(), h.gather.takeAll()...) {
		s.end(outcome{err: ErrStopped})
	}
}

// LeaderChanged tells the keeper that Group.Leadership says something else than before. It
// never blocks.
func (h *Handle) LeaderChanged() { h.tell(wakeUp{}) }

// wakeUp tells the actor to look at the inbox, at who leads and at the clock.
type wakeUp struct{}

// Control lets it into a full mailbox.
func (wakeUp) Control() {}

func (h *Handle) tell(message any) { h.system.Root.Send(h.pid, message) }

// Deliver hands messages of other keepers to the actor, on the caller's goroutine if it is
// idle. It implements cluster.Receiver.
func (h *Handle) Deliver(messages ...any) { h.mailbox.Deliver(messages...) }

// PID is the actor's address in this process.
func (h *Handle) PID() *actor.PID { return h.pid }

// Metrics are figures of a keeper since its node started.
type Metrics struct {
	// Signs is how many signs of life of this node's clients were answered, in Rounds rounds,
	// of which Repeated were sent more than once. Refused were ErrOverloaded.
	Signs, Rounds, Repeated, Refused uint64
	// Confirmed is how often this node, leading, has made sure that it still keeps the
	// sessions, for Counted signs of life of all nodes.
	Confirmed, Counted uint64
	// Claims is how often it began to keep them, Expired how many sessions and Reaped how
	// many nodes it has ended.
	Claims, Expired, Reaped uint64
	// Waiting is how many signs wait now. Epoch and Sessions are those that this node, leading,
	// keeps: 0 on others.
	Waiting  int
	Epoch    uint64
	Sessions int
}

type counters struct {
	signs, rounds, repeated, refused, confirmed, counted, claims, expired, reaped, epoch atomic.Uint64
	sessions                                                                             atomic.Int64
}

// Metrics returns the figures as they are.
func (h *Handle) Metrics() Metrics {
	c := &h.metrics
	h.mu.Lock()
	waiting := h.waiting
	h.mu.Unlock()
	return Metrics{Signs: c.signs.Load(), Rounds: c.rounds.Load(), Repeated: c.repeated.Load(), Refused: c.refused.Load(),
		Confirmed: c.confirmed.Load(), Counted: c.counted.Load(), Claims: c.claims.Load(), Expired: c.expired.Load(),
		Reaped: c.reaped.Load(), Waiting: waiting, Epoch: c.epoch.Load(), Sessions: int(c.sessions.Load())}
}
