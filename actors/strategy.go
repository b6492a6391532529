package actors

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Restart says when an actor is started again, in OTP's words. A Strategy sees
// failures alone: to it, Permanent and Transient are the same, and whoever
// spawned a Permanent actor watches it and spawns it again when it stopped.
type Restart uint8

const (
	// Permanent actors must always run.
	Permanent Restart = iota
	// Transient actors are started again after a failure; they may stop.
	Transient
	// Temporary actors are never started again: a failure stops them.
	Temporary
)

// String returns the word OTP uses.
func (r Restart) String() string {
	switch r {
	case Permanent:
		return "permanent"
	case Transient:
		return "transient"
	case Temporary:
		return "temporary"
	}
	return fmt.Sprintf("Restart(%d)", uint8(r))
}

// FailStop is a reason after which no restart may be tried: the node must end.
// An actor panics with it, or with an error that wraps it, when a write or a
// flush of its log failed or an invariant that protects data is broken.
type FailStop struct{ Err error }

func (f *FailStop) Error() string { return "fail-stop: " + f.Err.Error() }

// Unwrap returns the error that asks for the stop.
func (f *FailStop) Unwrap() error { return f.Err }

// IntensityError is the reason OnFailStop gets when actors failed more often
// than Intensity allows.
type IntensityError struct {
	Failures int           // within Period
	Period   time.Duration // StrategyConfig.Period
	Reason   any           // of the last failure
}

func (e *IntensityError) Error() string {
	return fmt.Sprintf("%d failures within %v, the last one: %v", e.Failures, e.Period, e.Reason)
}

// Unwrap returns the last failure's reason if it is an error.
func (e *IntensityError) Unwrap() error {
	err, _ := e.Reason.(error)
	return err
}

// StrategyConfig says how failures are answered. The zero value works.
type StrategyConfig struct {
	// Restart is Permanent unless set.
	Restart Restart

	// Intensity is how many failures within Period, of all actors under this
	// strategy together, are answered with a restart; one more is a fail-stop.
	// Default 5.
	Intensity int

	// Period is the time over which failures count. Default 30 s.
	Period time.Duration

	// MinDelay is the mean wait before the first restart. It doubles with each
	// further failure in Period up to MaxDelay; the actual wait is spread
	// evenly over [1/2, 3/2) of it. Defaults 10 ms and 5 s.
	MinDelay, MaxDelay time.Duration

	// OnFailStop is told that the node must end: a failure was a FailStop, or
	// Intensity was exceeded (*IntensityError). The actor stays suspended. It is
	// called on an actor's goroutine and must not block. If it is nil, the
	// actor is stopped instead, which its watchers see.
	OnFailStop func(child *actor.PID, reason any)

	// Logger gets a line for each failure. Default: none.
	Logger *slog.Logger

	// Random returns numbers in [0, 1) for the spread; called under a lock.
	// Default: the global source.
	Random func() float64

	// Now and After are the clock, for simulated worlds. Default: package time's
	// Now and AfterFunc.
	Now   func() time.Time
	After func(wait time.Duration, f func())
}

// Strategy is an actor.SupervisorStrategy after OTP: restarts are delayed by a
// real exponential backoff, too many of them end the node, and so does any
// FailStop. It restarts the failed actor alone (one for one), never escalates
// and never blocks, so it serves as a guardian of root actors
// (actor.WithGuardian) and as the strategy of a parent (actor.WithSupervisor).
// Safe for concurrent use.
type Strategy struct {
	config StrategyConfig

	mu       sync.Mutex
	failures []time.Time // within Period, oldest first; at most Intensity+1
}

var _ actor.SupervisorStrategy = (*Strategy)(nil)

// NewStrategy fills in the defaults.
func NewStrategy(c StrategyConfig) *Strategy {
	c.Intensity = cmp.Or(c.Intensity, 5)
	c.Period = cmp.Or(c.Period, 30*time.Second)
	c.MinDelay = cmp.Or(c.MinDelay, 10*time.Millisecond)
	c.MaxDelay = cmp.Or(c.MaxDelay, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.After == nil {
		c.After = func(wait time.Duration, f func()) { time.AfterFunc(wait, f) }
	}
	return &Strategy{config: c}
}

// HandleFailure is called by protoactor with the panic of an actor.
func (s *Strategy) HandleFailure(_ *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID,
	_ *actor.RestartStatistics, reason, _ any) {
	if isFailStop(reason) {
		s.failStop(supervisor, child, reason)
		return
	}
	if s.config.Restart == Temporary {
		s.config.Logger.Warn("actor failed", "actor", child.Id, "reason", reason, "restart", s.config.Restart)
		supervisor.StopChildren(child)
		return
	}
	count, delay := s.count(s.config.Now())
	if count > s.config.Intensity {
		s.failStop(supervisor, child, &IntensityError{Failures: count, Period: s.config.Period, Reason: reason})
		return
	}
	s.config.Logger.Warn("actor failed", "actor", child.Id, "reason", reason,
		"failures", count, "restart_in", delay)
	// RestartChildren only posts a message, so a timer may call it.
	s.config.After(delay, func() { supervisor.RestartChildren(child) })
}

func (s *Strategy) failStop(supervisor actor.Supervisor, child *actor.PID, reason any) {
	s.config.Logger.Error("actor failed and must not restart", "actor", child.Id, "reason", reason)
	if s.config.OnFailStop == nil {
		supervisor.StopChildren(child)
		return
	}
	s.config.OnFailStop(child, reason)
}

// count notes a failure and returns how many there are in Period with the
// delay before the next restart.
func (s *Strategy) count(now time.Time) (int, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.failures) > 0 && (now.Sub(s.failures[0]) >= s.config.Period || len(s.failures) > s.config.Intensity) {
		s.failures = s.failures[1:]
	}
	s.failures = append(s.failures, now)
	return len(s.failures), s.delay(len(s.failures))
}

func (s *Strategy) delay(failures int) time.Duration {
	mean := s.config.MinDelay
	for i := 1; i < failures && mean < s.config.MaxDelay; i++ {
		mean *= 2
	}
	mean = min(mean, s.config.MaxDelay)
	return time.Duration((0.5 + s.config.Random()) * float64(mean))
}

func isFailStop(reason any) bool {
	err, ok := reason.(error)
	if !ok {
		return false
	}
	_, stop := errors.AsType[*FailStop](err)
	return stop
}
