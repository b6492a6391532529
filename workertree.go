package synod

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/synod-go/synod/mesos"
)

// The words of OTP's supervisors: see package mesos.
type (
	Restart  = mesos.Restart
	Strategy = mesos.Strategy
	Backoff  = mesos.Backoff
)

// When a child that has ended is started again, and who with it.
const (
	Permanent  = mesos.Permanent  // always
	Transient  = mesos.Transient  // unless its function has returned nil
	Temporary  = mesos.Temporary  // never
	OneForOne  = mesos.OneForOne  // it alone
	OneForAll  = mesos.OneForAll  // all children
	RestForOne = mesos.RestForOne // it and those after it
)

// Supervision is a supervisor with its children: a tree, if some of them are
// supervisors too.
type Supervision struct {
	// Name of the supervisor in events and errors. Default "root"; that of one below
	// is its Child's ID.
	Name     string
	Strategy Strategy
	// Intensity is how many restarts there may be within Period: at one more the
	// supervisor gives up, stops its children and ends with *EscalationError. Default 1,
	// in 5 s. mesos.NoRestarts is none.
	Intensity int
	Period    time.Duration
	// Backoff is how long a restart waits. Default not at all.
	Backoff Backoff
	// Children are started in this order and stopped in the other.
	Children []Child
	// Event is told of what happens here and below, if there is no other Event below.
	// It runs on the supervisor's goroutine and must not block. Optional.
	Event func(SupervisionEvent)
}

// Child is a function or a supervisor that a supervisor keeps going. One of Run and
// Supervise is set.
type Child struct {
	// ID is unique among its siblings.
	ID      string
	Restart Restart
	// Shutdown is how long it has to return when it is told to stop, until it counts as
	// hung. Default 5 s, of a supervisor for ever.
	Shutdown time.Duration
	// Run returns when its work is done, with an error if that has failed, and soon after
	// ctx is done. A panic is a failure too. It runs on its own goroutine, of one child
	// never twice at a time: nobody can end a goroutine, so that one that does not return
	// is waited for, and ChildStatus shows it as killing.
	Run       func(ctx context.Context) error
	Supervise *Supervision
}

// SupervisionEvent is one thing that a supervisor has seen or done.
type SupervisionEvent struct {
	Time time.Time
	// Path is that of the child or of the supervisor: root/store/cache.
	Path string
	Kind SupervisionKind
	// Run tells the starts of a child apart.
	Run uint64
	// Err is how it ended, or why the supervisor gave up.
	Err error
}

// SupervisionKind is what a SupervisionEvent tells.
type SupervisionKind string

// The kinds of events.
const (
	ChildStarted SupervisionKind = "started"
	ChildStopped SupervisionKind = "told to stop"
	ChildEnded   SupervisionKind = "ended"
	GaveUp       SupervisionKind = "gave up"
)

// ChildStatus is a child, or the supervisor of all, as seen from outside.
type ChildStatus struct {
	ID       string
	Restart  Restart
	State    mesos.ChildState
	Starts   int
	Failure  error // its last one, nil if there was none
	Strategy Strategy
	// Supervisor tells that it has Children, by Strategy.
	Supervisor bool
	Children   []ChildStatus
}

// PanicError is the failure of a function that has panicked.
type PanicError struct {
	Value any
	Stack []byte
}

// Error tells the value.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// EscalationError is how a supervisor ends that has given up. It wraps the last failure.
type EscalationError struct {
	Supervisor string // its path
	Child      string // whose failure was one too many
	Restarts   int    // that were allowed
	Period     time.Duration
	Err        error
}

// Error tells who failed how.
func (e *EscalationError) Error() string {
	var final finalError
	if errors.As(e.Err, &final) {
		return fmt.Sprintf("synod: supervisor %s gave up: %s cannot be helped by a restart: %v", e.Supervisor, e.Child, e.Err)
	}
	return fmt.Sprintf("synod: supervisor %s gave up: %s would be restart %d within %v: %v", e.Supervisor, e.Child, e.Restarts+1, e.Period, e.Err)
}

// Unwrap is the last failure.
func (e *EscalationError) Unwrap() error { return e.Err }

// finalError is a failure that a restart does not mend.
type finalError interface {
	error
	final()
}

// Supervised is a running supervisor. It is safe for concurrent use.
type Supervised struct {
	path   string
	config Supervision
	base   time.Time
	stop   context.CancelFunc
	exits  chan childExit
	done   chan struct{}
	err    error // once done

	mu       sync.Mutex // over what follows
	core     *mesos.Supervisor
	children map[string]*supervisedChild
	// failed is the last one that did, and last how; final if that is for good.
	failed string
	last   error
	final  bool
}

type supervisedChild struct {
	spec    Child
	run     uint64
	starts  int
	cancel  context.CancelFunc
	failure error
	below   *Supervised
}

type childExit struct {
	id    string
	run   uint64
	err   error
	ended bool // by itself
}

// Supervise starts a supervisor and its children. It ends when ctx does, by Stop, when
// it gives up, or when no child runs or is to be started again.
func Supervise(ctx context.Context, c Supervision) (*Supervised, error) {
	if c.Name == "" {
		c.Name = "root"
	}
	t, err := newSupervised(c.Name, c)
	if err != nil {
		return nil, err
	}
	ctx, t.stop = context.WithCancel(ctx)
	go func() {
		defer t.stop()
		t.err = t.run(ctx)
		close(t.done)
	}()
	return t, nil
}

// newSupervised checks a tree down to its leaves.
func newSupervised(path string, c Supervision) (*Supervised, error) {
	t := &Supervised{path: path, config: c, base: time.Now(), exits: make(chan childExit), done: make(chan struct{}), children: map[string]*supervisedChild{}}
	config := mesos.SupervisorConfig{Strategy: c.Strategy, Intensity: c.Intensity, Period: c.Period, Backoff: c.Backoff}
	for _, child := range c.Children {
		if (child.Run == nil) == (child.Supervise == nil) {
			return nil, fmt.Errorf("synod: child %s/%s needs one of Run and Supervise", path, child.ID)
		}
		if child.Supervise != nil {
			if child.Shutdown == 0 {
				child.Shutdown = mesos.Infinity
			}
			if _, err := newSupervised(path+"/"+child.ID, *child.Supervise); err != nil {
				return nil, err
			}
		}
		config.Children = append(config.Children, mesos.ChildSpec{ID: child.ID, Restart: child.Restart, Shutdown: child.Shutdown})
		t.children[child.ID] = &supervisedChild{spec: child}
	}
	var err error
	if t.core, err = mesos.NewSupervisor(config); err != nil {
		return nil, fmt.Errorf("synod: supervisor %s: %w", path, err)
	}
	return t, nil
}

// Done is closed when the supervisor and all below have ended.
func (t *Supervised) Done() <-chan struct{} { return t.done }

// Err is nil until Done, and afterwards unless the supervisor gave up.
func (t *Supervised) Err() error {
	select {
	case <-t.done:
		return t.err
	default:
		return nil
	}
}

// Wait returns Err when the supervisor has ended, or ctx's error.
func (t *Supervised) Wait(ctx context.Context) error {
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop stops all children, the last one first, and waits for them as Wait does.
func (t *Supervised) Stop(ctx context.Context) error {
	t.stop()
	return t.Wait(ctx)
}

// run is the supervisor's goroutine.
func (t *Supervised) run(ctx context.Context) error {
	values, asked := context.WithoutCancel(ctx), ctx.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	out := t.step((*mesos.Supervisor).Start)
	for {
		t.carryOut(values, out)
		if out.End != mesos.EndNot {
			return t.result(out.End)
		}
		if t.idle() {
			out = t.step((*mesos.Supervisor).Stop)
			continue
		}
		t.arm(timer)
		select {
		case e := <-t.exits:
			out = t.exited(e)
		case <-timer.C:
			out = t.step((*mesos.Supervisor).Tick)
		case <-asked:
			asked = nil
			out = t.step((*mesos.Supervisor).Stop)
		}
	}
}

func (t *Supervised) step(f func(*mesos.Supervisor, time.Duration) mesos.SupervisorOutput) mesos.SupervisorOutput {
	t.mu.Lock()
	defer t.mu.Unlock()
	return f(t.core, time.Since(t.base))
}

// arm sets the timer to when the core wants to be asked.
func (t *Supervised) arm(timer *time.Timer) {
	t.mu.Lock()
	at, ok := t.core.Next()
	t.mu.Unlock()
	timer.Stop()
	if ok {
		timer.Reset(at - time.Since(t.base))
	}
}

// idle reports whether nothing runs nor ever will.
func (t *Supervised) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.core.Children() {
		if c.State != mesos.ChildDown {
			return false
		}
	}
	_, waits := t.core.Next()
	return !waits
}

func (t *Supervised) result(end mesos.End) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if end == mesos.EndStopped && !t.final {
		return nil
	}
	e := &EscalationError{Supervisor: t.path, Child: t.failed, Restarts: max(t.config.Intensity, 0), Period: t.config.Period, Err: t.last}
	if t.config.Intensity == 0 {
		e.Restarts = 1
	}
	if e.Period == 0 {
		e.Period = 5 * time.Second
	}
	return e
}

// carryOut starts and stops children.
func (t *Supervised) carryOut(ctx context.Context, out mesos.SupervisorOutput) {
	for _, o := range out.Orders {
		t.mu.Lock()
		c := t.children[o.Child]
		t.mu.Unlock()
		switch {
		case o.Kind == mesos.OrderStart:
			t.tell(c.spec.ID, ChildStarted, o.Run, nil)
			t.start(ctx, c, o.Run)
		case c.run == o.Run:
			if o.Kind == mesos.OrderStop {
				t.tell(c.spec.ID, ChildStopped, o.Run, nil)
			}
			c.cancel()
		}
	}
	if out.GaveUp {
		t.tell("", GaveUp, 0, t.last)
	}
}

func (t *Supervised) start(ctx context.Context, c *supervisedChild, run uint64) {
	ctx, cancel := context.WithCancel(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	c.run, c.cancel, c.below = run, cancel, nil
	c.starts++
	work := c.spec.Run
	if work == nil {
		s := *c.spec.Supervise
		if s.Event == nil {
			s.Event = t.config.Event
		}
		c.below, _ = newSupervised(t.path+"/"+c.spec.ID, s) // it was checked
		work = c.below.run
	}
	go func() {
		defer cancel()
		e := childExit{id: c.spec.ID, run: run, err: &PanicError{Value: "the goroutine was ended by runtime.Goexit"}}
		defer func() { t.exits <- e }()
		defer func() {
			if v := recover(); v != nil {
				e.err = &PanicError{Value: v, Stack: debug.Stack()}
			}
			e.ended = ctx.Err() == nil
		}()
		e.err = work(ctx)
	}()
}

// exited notes how a child has ended, and has the core decide.
func (t *Supervised) exited(e childExit) mesos.SupervisorOutput {
	t.tell(e.id, ChildEnded, e.run, e.err)
	t.mu.Lock()
	defer t.mu.Unlock()
	now, reason := time.Since(t.base), mesos.ExitCrash
	var final finalError
	switch {
	case e.err == nil && e.ended:
		reason = mesos.ExitNormal
	case !e.ended && (e.err == nil || errors.Is(e.err, context.Canceled)):
		reason = mesos.ExitShutdown
	default:
		t.children[e.id].failure, t.failed, t.last = e.err, e.id, e.err
	}
	if errors.As(e.err, &final) && e.ended {
		t.final = true
		out := t.core.Stop(now)
		of := func(o mesos.SupervisorOrder) bool { return o.Child == e.id }
		out.Orders = slices.DeleteFunc(out.Orders, of)
		rest := t.core.Exited(now, e.id, e.run, reason)
		rest.Orders, rest.GaveUp = append(out.Orders, rest.Orders...), true
		return rest
	}
	return t.core.Exited(now, e.id, e.run, reason)
}

func (t *Supervised) tell(child string, kind SupervisionKind, run uint64, err error) {
	if t.config.Event == nil {
		return
	}
	path := t.path
	if child != "" {
		path += "/" + child
	}
	t.config.Event(SupervisionEvent{Time: time.Now(), Path: path, Kind: kind, Run: run, Err: err})
}

// Tree returns the supervisor and all below it as they are.
func (t *Supervised) Tree() ChildStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	top := ChildStatus{ID: t.config.Name, State: mesos.ChildRunning, Starts: 1, Strategy: t.config.Strategy, Supervisor: true}
	select {
	case <-t.done:
		top.State, top.Failure = mesos.ChildDown, t.err
	default:
	}
	for _, c := range t.core.Children() {
		child := t.children[c.Spec.ID]
		s := ChildStatus{ID: c.Spec.ID, Restart: c.Spec.Restart, State: c.State, Starts: child.starts, Failure: child.failure}
		if child.spec.Supervise != nil {
			s.Supervisor, s.Strategy = true, child.spec.Supervise.Strategy
		}
		if child.below != nil {
			s.Children = child.below.Tree().Children
		}
		top.Children = append(top.Children, s)
	}
	return top
}
