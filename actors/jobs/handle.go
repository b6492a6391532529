package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/mesos"
)

// Errors of a Handle.
var (
	ErrNotFound = errors.New("jobs: no such job")
	// ErrConflict: the job has another version than was expected, or does what does not go
	// together with what was asked for.
	ErrConflict = errors.New("jobs: the job was changed meanwhile")
	// ErrInvalid is wrapped by what is said of a Spec that makes no sense.
	ErrInvalid = errors.New("jobs: invalid")
	// ErrFull: a bound is reached, or the registry takes nothing. Nothing was done.
	ErrFull = errors.New("jobs: too much")
	// ErrUnavailable: nothing was done; ErrUnknownOutcome: it may have been.
	ErrUnavailable    = errors.New("jobs: no master leads here")
	ErrUnknownOutcome = errors.New("jobs: it may have happened or not")
)

// refusal says in words why something was refused, and is one of the errors above.
type refusal struct {
	kind error
	text string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kind }

// Stream is a subscription at a master.
type Stream interface {
	Stream() mesos.StreamID
	// Next returns events in their order. Its error says that the stream has ended.
	Next(ctx context.Context) ([]mesos.Event, error)
	Close()
}

// Master is one mastership of this node. It is safe for concurrent use.
type Master interface {
	// Registry is the registry as it was when the mastership began.
	Registry() *mesos.Registry
	Done() <-chan struct{}
	Subscribe(ctx context.Context, info mesos.FrameworkInfo) (Stream, error)
	// Calls are carried out in their order.
	Calls(ctx context.Context, calls ...mesos.Call) ([]mesos.Answer, error)
	Operate(ctx context.Context, operations ...mesos.RegistryOperation) ([]mesos.Answer, error)
	// Recent is the state of the last moments.
	Recent() (*mesos.MasterView, error)
	// SurelyNot reports whether, after this error of Operate, nothing was or will be done.
	SurelyNot(err error) bool
}

// Config of a node's built-in framework. The zero value takes all defaults.
type Config struct {
	Jobs jobs.Config // but for Next
	// Now is the wall clock. Default time.Now.
	Now func() time.Time
	// MaxWaiting is how many requests may wait for an answer. Default 10,000.
	MaxWaiting int
	// SubscribeAgain is how long after a stream has ended the next one is asked for.
	// Default 1 s.
	SubscribeAgain time.Duration
	// Timer makes what wakes the actor; it calls f once, when the duration of its last
	// Reset is over. Default time.AfterFunc.
	Timer func(f func()) Timer
	// Logger defaults to discarding.
	Logger *slog.Logger
}

// Timer is an alarm clock: *time.Timer is one.
type Timer interface {
	Reset(time.Duration) bool
	Stop() bool
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	c.MaxWaiting = cmp.Or(c.MaxWaiting, 10_000)
	c.SubscribeAgain = cmp.Or(c.SubscribeAgain, time.Second)
	if c.Timer == nil {
		c.Timer = func(f func()) Timer {
			t := time.AfterFunc(math.MaxInt64, f)
			t.Stop()
			return t
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Jobs.Next = newTimetables().next
	return c
}

// Handle is the built-in framework as others in the process see it. It is safe for
// concurrent use, and answers ErrUnavailable while this node's master does not lead.
type Handle struct {
	cfg     Config
	current atomic.Pointer[reign]
	waiting atomic.Int64

	mu      sync.Mutex
	changed chan struct{}
}

// New makes a node's Handle. Along has it run beside a mastership.
func New(c Config) *Handle {
	return &Handle{cfg: c.withDefaults(), changed: make(chan struct{})}
}

// Put runs a job, or changes it if there is one of that name; expect, unless 0, is the version
// it must have. It returns when that is in the registry, with the version.
func (h *Handle) Put(ctx context.Context, s jobs.Spec, expect uint64) (version uint64, err error) {
	return h.ask(ctx, func(j *jobs.Jobs, now time.Duration, request uint64) { j.Put(now, request, s, expect) })
}

// Scale changes the count of a job.
func (h *Handle) Scale(ctx context.Context, name string, count int) (version uint64, err error) {
	return h.ask(ctx, func(j *jobs.Jobs, now time.Duration, request uint64) { j.Scale(now, request, name, count) })
}

// Stop ends all instances of a job and forgets it once they have ended.
func (h *Handle) Stop(ctx context.Context, name string) error {
	_, err := h.ask(ctx, func(j *jobs.Jobs, now time.Duration, request uint64) { j.Stop(now, request, name) })
	return err
}

// Rollback brings the Spec of before back.
func (h *Handle) Rollback(ctx context.Context, name string) (version uint64, err error) {
	return h.ask(ctx, func(j *jobs.Jobs, now time.Duration, request uint64) { j.Rollback(now, request, name) })
}

// Restart replaces all instances of a service, as an update does, or runs a job anew that has
// run once.
func (h *Handle) Restart(ctx context.Context, name string) (version uint64, err error) {
	return h.ask(ctx, func(j *jobs.Jobs, now time.Duration, request uint64) { j.Restart(now, request, name) })
}

// ask has the actor do something that is answered.
func (h *Handle) ask(ctx context.Context, do func(j *jobs.Jobs, now time.Duration, request uint64)) (uint64, error) {
	r, err := h.enter()
	if err != nil {
		return 0, err
	}
	defer h.waiting.Add(-1)
	q := &request{do: do, answer: make(chan outcome, 1)}
	if err := r.send(q); err != nil {
		return 0, err
	}
	select {
	case o := <-q.answer:
		return o.version, o.err
	case <-r.master.Done():
		return 0, ErrUnknownOutcome
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
	}
}

func (h *Handle) enter() (*reign, error) {
	r := h.current.Load()
	if r == nil || r.over() {
		return nil, ErrUnavailable
	}
	if h.waiting.Add(1) > int64(h.cfg.MaxWaiting) {
		h.waiting.Add(-1)
		return nil, &refusal{ErrFull, "jobs: too many requests wait"}
	}
	return r, nil
}

// lookTimeout bounds List and Get.
const lookTimeout = 10 * time.Second

// List returns all jobs by name.
func (h *Handle) List() ([]jobs.Status, error) { return h.look("") }

// Get returns one job, ErrNotFound if there is none.
func (h *Handle) Get(name string) (jobs.Status, error) {
	list, err := h.look(name)
	if err != nil {
		return jobs.Status{}, err
	}
	if len(list) == 0 {
		return jobs.Status{}, ErrNotFound
	}
	return list[0], nil
}

func (h *Handle) look(name string) ([]jobs.Status, error) {
	r, err := h.enter()
	if err != nil {
		return nil, err
	}
	defer h.waiting.Add(-1)
	l := &look{name: name, answer: make(chan seen, 1)}
	if v, err := r.master.Recent(); err == nil {
		l.agents = v.Agents
	}
	if err := r.send(l); err != nil {
		return nil, err
	}
	late := time.NewTimer(lookTimeout)
	defer late.Stop()
	select {
	case s := <-l.answer:
		return s.list, s.err
	case <-r.master.Done():
	case <-late.C:
	}
	return nil, ErrUnavailable
}

// Changed returns a channel that is closed when a job changes next.
func (h *Handle) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

func (h *Handle) signal() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.changed)
	h.changed = make(chan struct{})
}
