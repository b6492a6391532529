package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/mesos"
)

// Link is a connection to the leading master that keeps the order of what it carries.
type Link interface {
	// Send hands a message on; it may be lost with the link.
	Send(message any) error
	// Receive returns the next message. It ends with an error when the link does.
	Receive() (any, error)
	// Term is the mastership as of which the other end leads, 0 if it did not say.
	Term() mesos.Term
	Close() error
}

// Dial makes a Link to the leading master, wherever that is.
type Dial func(ctx context.Context) (Link, error)

// ErrUnsupported says that the system is none on which tasks can run.
var ErrUnsupported = errors.New("agent: tasks need Linux")

// ErrCleanedUp is why an agent in mode Cleanup has ended: no container is left.
var ErrCleanedUp = errors.New("agent: no container is left")

// errStopped is why an agent ends that was told to.
var errStopped = errors.New("agent: stopped")

// Handle is a running agent. It is safe for concurrent use.
type Handle struct {
	cfg    Config
	system *actor.ActorSystem
	pid    *actor.PID
	lock   *os.File
	// first is what Start has read, for the first instance of the actor.
	first *opened

	shims  *shimContainerizer
	docker *dockerContainerizer

	execs                    chan struct{}
	shimPlaces, dockerPlaces places
	// background is what lets shims go.
	background sync.WaitGroup
	actors     atomic.Uint64 // that were ever spawned, for their names

	done  chan struct{}
	once  sync.Once
	err   error // set before done is closed
	ended chan struct{}
}

// places bound what goes on at once. Processes and containers have their own: an engine that hangs keeps no process waiting.
type places struct{ starts, fetches, checks chan struct{} }

func newPlaces() places {
	return places{starts: make(chan struct{}, maxStarts), fetches: make(chan struct{}, maxFetches), checks: make(chan struct{}, maxChecks)}
}

func (h *Handle) placesFor(task mesos.TaskInfo) places {
	if task.Docker != nil {
		return h.dockerPlaces
	}
	return h.shimPlaces
}

// opened is an agent's core with the file that it goes on from.
type opened struct {
	core *mesos.Agent
	disk *checkpoint
}

// Start runs an agent. It fails if another one uses the work directory (*LockedError), if that is a
// copy (*CopyError), if its
// checkpoint is damaged (*DamageError, *mesos.CheckpointError), or if what it has is less than
// its running tasks use (*mesos.ResourcesError). Config.Docker is closed then. The agent goes on when ctx ends: see Stop.
func Start(ctx context.Context, c Config) (*Handle, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h := &Handle{cfg: c, system: actors.NewSystem(c.Logger), done: make(chan struct{}), ended: make(chan struct{}),
		execs: make(chan struct{}, maxExecs), shimPlaces: newPlaces(), dockerPlaces: newPlaces()}
	h.shims, h.docker = &shimContainerizer{h}, newDockerContainerizer(h)
	if h.lock, err = lockWork(c.Work); err != nil {
		h.docker.close()
		return nil, err
	}
	if err = checkHome(c.Work); err == nil {
		h.first, err = h.open()
	}
	if err != nil {
		h.docker.close()
		h.lock.Close()
		return nil, err
	}
	strategy := actors.NewStrategy(actors.StrategyConfig{Logger: c.Logger, OnFailStop: func(_ *actor.PID, reason any) { h.fail(reason) }})
	props := actor.PropsFromProducer(actors.Guard(c.Logger, func() actor.Actor { return &host{h: h} }),
		actor.WithMailbox(actors.MailboxConfig{}.Producer()), actor.WithGuardian(strategy))
	h.pid = actor.NewPID(h.system.Address(), "agent")
	if _, err = h.system.Root.SpawnNamed(props, "agent"); err != nil {
		h.first.disk.close()
		h.docker.close()
		h.lock.Close()
		return nil, fmt.Errorf("agent: %w", err)
	}
	h.docker.begin()
	go h.collectGarbage()
	return h, nil
}

// open reads the checkpoint.
func (h *Handle) open() (*opened, error) {
	disk, saved, err := openCheckpoint(h.cfg.Work)
	if err != nil {
		return nil, err
	}
	disk.fail = h.cfg.failWrite
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails
	config := h.cfg.Agent
	config.Info, config.Boot, config.Recover = h.cfg.Info, h.cfg.boot, h.cfg.Recover
	config.Rand = mathrand.New(mathrand.NewChaCha8(seed))
	core, err := mesos.NewAgent(config, saved, h.cfg.now())
	if err != nil {
		disk.close()
		return nil, err
	}
	return &opened{core, disk}, nil
}

// fail ends the agent by itself.
func (h *Handle) fail(reason any) {
	err, is := reason.(error)
	if !is {
		err = fmt.Errorf("agent: %v", reason)
	}
	if stop, is := errors.AsType[*actors.FailStop](err); is {
		err = stop.Err
	}
	h.end(err)
	h.system.Root.Stop(h.pid)
}

// end notes why the agent has ended.
func (h *Handle) end(err error) {
	h.once.Do(func() {
		h.err = err
		close(h.done)
	})
}

// Status is an agent as it sees itself.
type Status struct {
	ID         mesos.AgentID
	Term       mesos.Term
	Registered bool
	Recovering bool
	Info       mesos.AgentInfo
	Tasks      []mesos.Task
}

// Status of the agent; the zero value when it has ended, or if ctx ends first: an agent whose
// disk hangs does not answer.
func (h *Handle) Status(ctx context.Context) Status {
	q := &question{answer: make(chan Status, 1)}
	h.tell(q)
	select {
	case s := <-q.answer:
		return s
	case <-h.done:
		return Status{}
	case <-ctx.Done():
		return Status{}
	}
}

// question asks the actor for its Status.
type question struct{ answer chan Status }

// Control lets it into a full mailbox.
func (*question) Control() {}

// Refused is called if the actor has stopped.
func (q *question) Refused() { q.reply(Status{}) }

// Lost is called if the actor panicked.
func (q *question) Lost() { q.reply(Status{}) }

func (q *question) reply(s Status) {
	select {
	case q.answer <- s:
	default:
	}
}

// Done is closed when the agent has ended by itself, and must not go on, or was stopped. Err
// says why.
func (h *Handle) Done() <-chan struct{} { return h.done }

// Err is why the agent has ended: nil before, and if it was stopped.
func (h *Handle) Err() error {
	select {
	case <-h.done:
	default:
		return nil
	}
	if h.err == errStopped {
		return nil
	}
	return h.err
}

// Stop ends the agent and leaves its tasks running.
func (h *Handle) Stop(ctx context.Context) error {
	h.end(errStopped)
	h.system.Root.Stop(h.pid)
	select {
	case <-h.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("agent: stop: %w", ctx.Err())
	}
}

func (h *Handle) tell(message any) { h.system.Root.Send(h.pid, message) }
