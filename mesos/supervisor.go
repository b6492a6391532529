package mesos

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Restart says when a child that has exited is started again.
type Restart uint8

const (
	// Permanent children always are.
	Permanent Restart = 0
	// Transient children are unless they have exited as normal or shutdown.
	Transient Restart = 1
	// Temporary children never are; one that has exited is forgotten.
	Temporary Restart = 2
)

// Strategy says who is started again with a child.
type Strategy uint8

const (
	// OneForOne restarts the child alone.
	OneForOne Strategy = 0
	// OneForAll stops all other children and starts all.
	OneForAll Strategy = 1
	// RestForOne stops the children after it in start order and starts it and these.
	RestForOne Strategy = 2
)

// What ChildSpec.Shutdown may be apart from a time.
const (
	// BrutalKill kills at once.
	BrutalKill time.Duration = -1
	// Infinity waits for the child as long as it takes: for one that is a supervisor.
	Infinity time.Duration = math.MaxInt64
)

// NoRestarts as SupervisorConfig.Intensity gives up at the first restart.
const NoRestarts = -1

// ChildSpec describes a child.
type ChildSpec struct {
	// ID is unique among the children of a supervisor and not empty.
	ID      string
	Restart Restart
	// Shutdown is how long a child that is told to stop has until it is killed. Default 5 s.
	Shutdown time.Duration
}

// Backoff is how long to wait before a restart. The zero value waits not at all, as OTP.
type Backoff struct {
	// Initial is the wait before the first restart. Each restart after the first waits Factor times
	// longer, at most Max. Factor is 1 to 100, default 2; Max default a minute, or Initial if that is more.
	Initial time.Duration
	Factor  int
	Max     time.Duration
	// JitterPercent makes each wait shorter by a random part of up to so much. 0 to 100.
	JitterPercent int
	// Healthy is how long a child must have run for the next restart to be a first one
	// again. Default Max.
	Healthy time.Duration
}

// SupervisorConfig is how a [Supervisor] is set up.
type SupervisorConfig struct {
	Strategy Strategy
	// Intensity is how many restarts there may be within Period, both ends included: at one
	// more the supervisor gives up. Default 1, in 5 s. NoRestarts is none.
	Intensity int
	Period    time.Duration
	Backoff   Backoff
	// Rand is for Backoff.JitterPercent, and needed only then.
	Rand *rand.Rand
	// Children are those to begin with, in the order in which they are started.
	Children []ChildSpec
	// MaxChildren is how many there may be. Default 10,000.
	MaxChildren int
}

// Errors of calls about a child.
var (
	ErrNoChild          = errors.New("mesos: supervisor has no such child")
	ErrChildExists      = errors.New("mesos: supervisor has a child of that id")
	ErrChildRuns        = errors.New("mesos: child is not down")
	ErrTooManyChildren  = errors.New("mesos: supervisor has too many children")
	ErrSupervisorEnding = errors.New("mesos: supervisor is ending")
)

// ExitReason is why a child has exited.
type ExitReason uint8

const (
	ExitNormal   ExitReason = 0 // its work is done
	ExitShutdown ExitReason = 1 // it was told to, by whomever
	ExitCrash    ExitReason = 2
	// ExitNotStarted is a start that failed. If the supervisor has just started, it ends
	// (EndNotStarted); at a restart it counts as another one; a child that was added then is
	// forgotten.
	ExitNotStarted ExitReason = 3
)

// OrderKind is what is to be done with a child.
type OrderKind uint8

const (
	OrderStart OrderKind = 0
	OrderStop  OrderKind = 1 // ask it to exit
	OrderKill  OrderKind = 2 // make it exit
)

// String is the kind in one word.
func (k OrderKind) String() string { return [...]string{"start", "stop", "kill"}[min(k, OrderKill)] }

// SupervisorOrder is one thing to do. Run tells one start of a child from another, and goes
// back with its [Supervisor.Exited].
type SupervisorOrder struct {
	Kind  OrderKind
	Child string
	Run   uint64
}

// End is how a supervisor has ended.
type End uint8

const (
	EndNot        End = 0 // it has not
	EndStopped    End = 1 // Stop was called
	EndIntensity  End = 2 // too many restarts: its own supervisor is to do something
	EndNotStarted End = 3 // a child could not be started to begin with
)

// SupervisorOutput is what to do after a step: the orders one after the other. End is set
// once, when all children are down.
type SupervisorOutput struct {
	Orders []SupervisorOrder
	// GaveUp is set at the step that decides for EndIntensity or EndNotStarted; the
	// children are stopped from there on.
	GaveUp bool
	End    End
}

// ChildState is what a child does.
type ChildState uint8

const (
	ChildDown     ChildState = 0
	ChildWaiting  ChildState = 1 // it is started again at some time
	ChildRunning  ChildState = 2
	ChildStopping ChildState = 3 // it was told to stop
	ChildKilling  ChildState = 4
)

// ChildStatus is a child as seen from outside.
type ChildStatus struct {
	Spec  ChildSpec
	State ChildState
	Run   uint64
}

// Supervisor decides which children are to run, in the words and with the rules of OTP's
// supervisor behaviour. It is a pure step: the orders that it returns are carried out by
// others, who tell of each child that has exited. It does not wait for a start to succeed
// before it orders the next one.
//
// Differences to OTP. A restart can be put off (Backoff); with OneForAll and RestForOne the
// others stay down meanwhile. If with RestForOne an earlier child exits while later ones are
// being restarted, the two restarts, each of which counts, are done as one. There are no
// simple_one_for_one and no automatic shutdown.
//
// The times given to it come from a monotonic clock; one that goes back stands still.
type Supervisor struct {
	config   SupervisorConfig
	children []*child // in start order
	phase    supervisorPhase
	end      End // what it is ending with
	now      time.Duration
	runs     uint64          // counts starts
	restarts []time.Duration // of the last Period, at most Intensity+1
	group    restartGroup
	out      SupervisorOutput
}

type supervisorPhase uint8

const (
	supervisorIdle supervisorPhase = iota
	supervisorUp
	supervisorEnding
	supervisorEnded
)

// restartGroup is a restart of the children from some place on, under way: first they are
// stopped from the last one on, then at some time started.
type restartGroup struct {
	active bool
	from   int
	at     time.Duration
}

type child struct {
	spec    ChildSpec
	state   ChildState
	run     uint64
	origin  startOrigin
	started time.Duration
	at      time.Duration // of ChildWaiting the start, of ChildStopping the kill
	restart int           // counts restarts in a row, for Backoff
	held    bool          // stopped by hand while its group is restarted: not to be started with it
}

// startOrigin is why a child was started, which decides what a failure to do so means.
type startOrigin uint8

const (
	originRestart startOrigin = iota
	originFirst
	originAdded
	originByHand
)

// NewSupervisor returns a supervisor that has started nothing yet.
func NewSupervisor(c SupervisorConfig) (*Supervisor, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &Supervisor{config: c}
	for _, spec := range c.Children {
		if err := s.enter(spec); err != nil {
			return nil, fmt.Errorf("%w: %q", err, spec.ID)
		}
	}
	return s, nil
}

func (c SupervisorConfig) withDefaults() SupervisorConfig {
	if c.Intensity == 0 {
		c.Intensity = 1
	}
	if c.Period == 0 {
		c.Period = 5 * time.Second
	}
	if c.MaxChildren == 0 {
		c.MaxChildren = 10_000
	}
	b := &c.Backoff
	if b.Factor == 0 {
		b.Factor = 2
	}
	if b.Max == 0 {
		b.Max = max(time.Minute, b.Initial)
	}
	if b.Healthy == 0 {
		b.Healthy = b.Max
	}
	return c
}

func (c SupervisorConfig) check() error {
	b := c.Backoff
	switch {
	case c.Strategy > RestForOne:
		return fmt.Errorf("mesos: SupervisorConfig.Strategy is %d", c.Strategy)
	case c.Intensity < NoRestarts || c.Intensity > 1<<16 || c.Period < 0:
		return fmt.Errorf("mesos: SupervisorConfig allows %d restarts in %v", c.Intensity, c.Period)
	case b.Initial < 0 || b.Max < b.Initial || b.Factor < 1 || b.Factor > 100 || b.Healthy < 0:
		return fmt.Errorf("mesos: SupervisorConfig.Backoff is %+v", b)
	case b.JitterPercent < 0 || b.JitterPercent > 100 || b.JitterPercent > 0 && c.Rand == nil:
		return fmt.Errorf("mesos: SupervisorConfig.Backoff.JitterPercent is %d, Rand %t", b.JitterPercent, c.Rand != nil)
	case c.MaxChildren < 1:
		return fmt.Errorf("mesos: SupervisorConfig.MaxChildren is %d", c.MaxChildren)
	}
	return nil
}

// enter adds a child, which is down, at the end of the start order.
func (s *Supervisor) enter(spec ChildSpec) error {
	if spec.Shutdown == 0 {
		spec.Shutdown = 5 * time.Second
	}
	switch {
	case spec.ID == "" || len(spec.ID) > MaxNameBytes || spec.Restart > Temporary || spec.Shutdown < BrutalKill:
		return fmt.Errorf("mesos: child %q with restart %d and shutdown %v", spec.ID, spec.Restart, spec.Shutdown)
	case s.find(spec.ID) >= 0:
		return ErrChildExists
	case len(s.children) >= s.config.MaxChildren:
		return ErrTooManyChildren
	}
	s.children = append(s.children, &child{spec: spec})
	return nil
}

func (s *Supervisor) find(id string) int {
	return slices.IndexFunc(s.children, func(c *child) bool { return c.spec.ID == id })
}

// Children returns what the children do, in start order.
func (s *Supervisor) Children() []ChildStatus {
	list := make([]ChildStatus, len(s.children))
	for i, c := range s.children {
		list[i] = ChildStatus{Spec: c.spec, State: c.state, Run: c.run}
	}
	return list
}
