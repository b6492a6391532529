package group

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
)

// Errors of calls on a Handle, beside those of package raft and replica.
var (
	// ErrNotCommitted: another entry was committed in the place of the
	// proposed one. The command was surely not applied and never will be.
	ErrNotCommitted = errors.New("group: surely not committed")
	// ErrUnknown: the replica cannot tell any more whether the command was
	// applied. It may have been.
	ErrUnknown = errors.New("group: outcome unknown")
	// ErrOverloaded: a bound of Config is reached; nothing was done.
	ErrOverloaded = errors.New("group: overloaded")
	// ErrDiskFull: the disk is below its reserve; nothing was done.
	ErrDiskFull = errors.New("group: disk full")
	// ErrStopped: the actor has stopped for good.
	ErrStopped = errors.New("group: stopped")
)

// Handle is how the rest of the process talks to a group's actor. Calls wait in
// its inbox, not in the mailbox: many calls cost one message. A Handle outlives
// restarts of its actor and is safe for concurrent use.
type Handle struct {
	cfg    Config
	system *actor.ActorSystem
	pid    *actor.PID
	// mailbox is the actor's: who has nothing else to do runs it.
	mailbox *actors.Mailbox

	mu      sync.Mutex
	in      inbox
	awake   bool // a turn is on its way, or under way and must be followed by another
	turning bool // between take and rest: who wakes only sets awake
	gather  int  // bytes of proposals that are worth a turn of their own
	closed  error
	started bool
	wanted  uint64        // the save whose end the actor waits for, 0 is none
	gone    chan struct{} // closed when the present instance of the actor ends
	calls   calls

	lease      atomic.Int64 // consensus.Time: end of the lease, 0 is none
	leaseIndex atomic.Uint64
	applied    atomic.Uint64
	logTime    atomic.Int64 // how far log time was ahead of Clock when the last stamp was applied, in microseconds; 0 is not known
	instance   atomic.Pointer[instance]
	digests    atomic.Pointer[[]replica.Checkpoint] // the checkpoints that are known, oldest first
	freshness  atomic.Int32                         // 0 not known yet, 1 fresh, 2 not
	view       atomic.Pointer[View]
}

// instance is the state machine of one instance of the actor; a witness has none.
type instance struct {
	replica *replica.Replica
	machine replica.StateMachine
}

// View is what a replica last knew about its group.
type View struct {
	Role          consensus.Role
	Term          consensus.Term
	Leader        consensus.ID
	Configuration consensus.Configuration
	Applied       consensus.Index // when the view was made
	// Left is why this replica last ceased to lead: see consensus.Status.
	Left string
	// Fresh: the log held nothing of the group when the process started, and no
	// configuration that was committed since has given the replica a place and then
	// been followed by another. Only such a replica may ask for a place: another had
	// one, and may have been removed from it.
	Fresh bool
}

// Propose replicates command, an entry in package replica's envelope, and
// returns its result once it is applied here. The command must not be changed
// afterwards. Errors: replica.ErrMalformed, consensus.ErrNotLeader and ErrOverloaded (nothing was done),
// ErrNotCommitted (surely not), ErrUnknown and ctx's error (may have been).
func (h *Handle) Propose(ctx context.Context, command []byte) (replica.Result, consensus.Index, error) {
	// An envelope that replicas cannot read must not reach the log: it would
	// stop all of them, at every replay.
	if _, err := replica.Decode(command); err != nil {
		return replica.Result{}, 0, err
	}
	c, err := h.enqueue(command, false)
	if err != nil {
		return replica.Result{}, 0, err
	}
	o, err := h.wait(ctx, c)
	return o.result, o.index, err
}

// ReadIndex returns once the local state machine holds everything that was
// acknowledged anywhere before the call.
func (h *Handle) ReadIndex(ctx context.Context) (consensus.Index, error) {
	c, err := h.enqueue(nil, true)
	if err != nil {
		return 0, err
	}
	o, err := h.wait(ctx, c)
	return o.index, err
}

func (h *Handle) enqueue(command []byte, read bool) (*call, error) {
	c, turn, err := h.put(command, read)
	if turn {
		// Callers that the same batch has woken add theirs first: one frame then
		// carries all. Alone, this costs nothing.
		runtime.Gosched()
		h.mailbox.Deliver(wake{}) // the caller is about to wait anyhow
	}
	return c, err
}

// put places a call in the inbox and reports whether the actor needs a turn for it.
func (h *Handle) put(command []byte, read bool) (c *call, turn bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed != nil:
		return nil, false, h.closed
	case read && len(h.in.reads) >= h.cfg.MaxReads:
		return nil, false, ErrOverloaded
	case !read && (len(h.in.proposals) >= h.cfg.MaxProposals || h.in.bytes >= h.cfg.MaxProposalBytes):
		return nil, false, ErrOverloaded
	}
	c = h.calls.begin()
	if read {
		h.in.reads = append(h.in.reads, c)
	} else {
		c.command = command
		h.in.proposals = append(h.in.proposals, c)
		h.in.bytes += len(command)
	}
	if read || !h.turning && h.in.bytes >= h.gather {
		turn = h.claimTurn()
	}
	return c, turn, nil
}

// WaitApplied returns once the local state machine has applied index.
func (h *Handle) WaitApplied(ctx context.Context, index consensus.Index) error {
	if h.Applied() >= index {
		return nil
	}
	_, err := h.call(ctx, func(a *Actor, c *call) { a.readAt(index, []*call{c}) })
	return err
}

// do runs f inside the actor, unless the channel it returns is closed before.
// As many may wait as proposals may; more is ErrOverloaded.
func (h *Handle) do(f func(*Actor)) (gone <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed != nil:
		return nil, h.closed
	case len(h.in.tasks) >= h.cfg.MaxProposals:
		return nil, ErrOverloaded
	}
	h.in.tasks = append(h.in.tasks, f)
	h.wakeLocked()
	return h.gone, nil
}

// ask runs f inside the actor and returns its answer.
func ask[T any](ctx context.Context, h *Handle, f func(*Actor) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	var zero T
	gone, err := h.do(func(a *Actor) {
		value, err := f(a)
		answers <- answer{value, err}
	})
	if err != nil {
		return zero, err
	}
	select {
	case got := <-answers:
		return got.value, got.err
	case <-ctx.Done():
		return zero, ctx.Err()
	case <-gone:
		return zero, ErrUnknown
	}
}

// Status asks the core.
func (h *Handle) Status(ctx context.Context) (consensus.Status, error) {
	return ask(ctx, h, func(a *Actor) (consensus.Status, error) { return a.engine.Status(), nil })
}

// ChangeMembership proposes the wanted members, if the configuration's version
// is still version. It returns the index of the change; WaitApplied of that
// index tells when it is committed.
func (h *Handle) ChangeMembership(ctx context.Context, members []consensus.Member, version consensus.Index) (consensus.Index, error) {
	return ask(ctx, h, func(a *Actor) (consensus.Index, error) { return a.engine.ChangeMembership(members, version) })
}

// TransferLeadership starts handing the leadership to to, or with consensus.None to
// the best follower. The View tells when it has happened.
func (h *Handle) TransferLeadership(ctx context.Context, to consensus.ID) error {
	_, err := ask(ctx, h, func(a *Actor) (struct{}, error) { return struct{}{}, a.engine.TransferLeadership(to) })
	return err
}

// Snapshot takes a snapshot of the state machine now, whatever the compaction
// policy says, and returns its index once it is durable. On a witness it is
// ErrNoMachine.
func (h *Handle) Snapshot(ctx context.Context) (consensus.Index, error) {
	o, err := h.call(ctx, (*Actor).snapshot)
	return o.index, err
}

// PeerLost tells the replica that the connection to a peer closed.
func (h *Handle) PeerLost(id consensus.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed == nil && len(h.in.lost) < maxLostHints {
		h.in.lost = append(h.in.lost, id)
		h.wakeLocked()
	}
}

// maxLostHints bounds the hints of one turn; they are only hints.
const maxLostHints = 64

// View returns what the replica last knew; it costs nothing.
func (h *Handle) View() View { return *h.view.Load() }

// Applied is the last index the local state machine has applied. A witness applies
// nothing: there it is what is chosen and was handed out.
func (h *Handle) Applied() consensus.Index { return consensus.Index(h.applied.Load()) }

// Replica is what runs the state machine, nil before the first start and on a
// witness; restarts of the actor replace it.
func (h *Handle) Replica() *replica.Replica {
	if i := h.instance.Load(); i != nil {
		return i.replica
	}
	return nil
}

// ErrBehind: the state machine has not applied the wanted index. It had, if the
// caller waited for it, but the actor was restarted meanwhile.
var ErrBehind = errors.New("group: the state machine is behind")

// Read runs f on the state machine, which stands still meanwhile, if it has
// applied at least index. f is given the machine and the index it has applied. On a
// witness it is ErrNoMachine.
func (h *Handle) Read(index consensus.Index, f func(machine replica.StateMachine, index uint64)) error {
	i := h.instance.Load()
	switch {
	case h.cfg.Witness():
		return ErrNoMachine
	case i == nil:
		return ErrBehind
	}
	behind := false
	err := i.replica.View(func(applied uint64) {
		if behind = consensus.Index(applied) < index; !behind {
			f(i.machine, applied)
		}
	})
	if err == nil && behind {
		return ErrBehind
	}
	return err
}

// noteLogTime keeps when a new stamp was applied here, so that this replica can go
// on from it when it leads.
func (h *Handle) noteLogTime(stamp int64) {
	h.logTime.Store(stamp*1000 - time.Duration(h.cfg.Clock()).Microseconds())
}

// logClock is log time as it must be now, by the last stamp that was applied here.
func (h *Handle) logClock(now consensus.Time) replica.LogClock {
	at, ahead := time.Duration(now), h.logTime.Load()
	if ahead == 0 {
		return replica.NewLogClock(0, at) // no stamp was applied since the process started
	}
	return replica.NewLogClock((ahead+at.Microseconds())/1000, at)
}

// LogTime is about what log time is now, in Unix milliseconds: by the last stamp that was
// applied here and the time since then. Before the first one it is the wall clock.
func (h *Handle) LogTime() int64 {
	now := h.cfg.Clock()
	c := h.logClock(now)
	return c.Stamp(time.Duration(now), h.cfg.WallClock().UnixMilli(), 0)
}

// setFresh keeps what the first start found.
func (h *Handle) setFresh(fresh bool) {
	value := int32(2)
	if fresh {
		value = 1
	}
	h.freshness.CompareAndSwap(0, value)
}

// notFresh: the replica has had a place.
func (h *Handle) notFresh() { h.freshness.Store(2) }

func (h *Handle) isFresh() bool { return h.freshness.Load() == 1 }

// forgetSaves drops reports about saves of an instance that is no more.
func (h *Handle) forgetSaves() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.in.saved, h.wanted = 0, 0
}

// ReadLease runs f on the state machine if this replica holds a lease, and
// reports whether the answer counts: f is evaluated first and the clock read
// after it, so that a pause in between cannot make a stale answer look fresh.
// It waits until what was committed when it was called is applied.
func (h *Handle) ReadLease(ctx context.Context, f func(machine replica.StateMachine, index uint64)) bool {
	until := h.lease.Load()
	index := consensus.Index(h.leaseIndex.Load())
	if until == 0 || index == 0 || h.cfg.Clock() >= consensus.Time(until) {
		return false
	}
	if h.Applied() < index && h.WaitApplied(ctx, index) != nil {
		return false
	}
	return h.Read(index, f) == nil && h.HoldsLease()
}

// HoldsLease reports whether ReadLease would work now.
func (h *Handle) HoldsLease() bool {
	until := consensus.Time(h.lease.Load())
	return until != 0 && h.cfg.Clock() < until
}

// Deliver hands messages of peers to the actor, on the caller's goroutine if it
// is idle. It implements cluster.Receiver.
func (h *Handle) Deliver(messages ...any) { h.mailbox.Deliver(messages...) }

// PID is the actor's address in this process.
func (h *Handle) PID() *actor.PID { return h.pid }
