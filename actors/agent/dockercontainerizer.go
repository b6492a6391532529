package agent

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/mesos"
)

// dockerEngine is what is used of a docker.Engine.
type dockerEngine interface {
	Close()
	Image(ctx context.Context, name string, force bool, load func() (io.ReadCloser, error)) error
	Create(ctx context.Context, s docker.Spec) error
	Copy(ctx context.Context, id, from, to string) error
	Start(ctx context.Context, id string) error
	Inspect(ctx context.Context, id string) (docker.State, error)
	List(ctx context.Context) (map[string]string, error)
	Changed(id string) (changed <-chan struct{}, done func())
	Kill(ctx context.Context, id, signal string) error
	Withdraw(ctx context.Context, id string) error
	Remove(ctx context.Context, id string, force bool) error
	Logs(ctx context.Context, id, stream string, follow bool, w io.Writer) error
	Exec(ctx context.Context, id string, s docker.ExecSpec) (int, error)
}

// Times of a dockerContainerizer.
const (
	// enginePause is until an engine is asked again that does not answer.
	enginePause = time.Second
	// removeTime bounds the removal of a container, keepTime the copying of its logs.
	removeTime, keepTime = time.Minute, time.Minute
	// maxRemovals is how many containers are removed at once.
	maxRemovals = 8
)

// dockerContainerizer runs tasks as containers of a Docker engine. engine is nil where none answered
// when the agent was started: then what ran in one is not told.
type dockerContainerizer struct {
	h      *Handle
	engine dockerEngine
	// ctx ends with the agent.
	ctx      context.Context
	end      context.CancelFunc
	removals chan struct{}

	mu     sync.Mutex
	turns  map[mesos.ContainerID]*dockerTurns
	closed bool
	// stopSignals are those of the images of containers that run.
	stopSignals map[mesos.ContainerID]string
	// forgotten are those whose removal is under way.
	forgotten map[mesos.ContainerID]bool
	idle      chan struct{}                // closed when it is closed and turns is empty
	listed    map[mesos.ContainerID]string // what the engine has told last
}

// dockerTurns is what goes on with one container.
type dockerTurns struct {
	users int
	// turn has who makes it, starts it or looks what there is: a look says that nothing will ever start it,
	// which must stay so although it was made by an actor of before. watch has who waits for its end.
	turn, watch chan struct{}
	// killing: somebody ends it. It is killed at until, grace after it was told. sooner wakes who waits for that.
	killing bool
	grace   time.Duration
	until   time.Time
	sooner  chan struct{}
}

func newDockerContainerizer(h *Handle) *dockerContainerizer {
	d := &dockerContainerizer{h: h, engine: h.cfg.engine, turns: map[mesos.ContainerID]*dockerTurns{}, stopSignals: map[mesos.ContainerID]string{},
		forgotten: map[mesos.ContainerID]bool{}, idle: make(chan struct{}),
		removals: make(chan struct{}, maxRemovals)}
	if h.cfg.Docker != nil {
		d.engine = h.cfg.Docker
	}
	d.ctx, d.end = context.WithCancel(context.Background())
	return d
}

// begin lists the containers from now on.
func (d *dockerContainerizer) begin() {
	if d.engine != nil {
		go d.sweep()
	}
}

// close ends what is under way and the watch. It returns when nobody will make or start a
// container any more.
func (d *dockerContainerizer) close() {
	d.end()
	d.mu.Lock()
	d.closed = true
	if len(d.turns) == 0 {
		close(d.idle)
	}
	d.mu.Unlock()
	<-d.idle
	if d.engine != nil {
		d.engine.Close()
	}
}

// errClosed says that the agent ends.
var errClosed = errors.New("agent: the agent ends")

// use returns what goes on with a container, a context that ends with the agent too, and what is
// to be called afterwards.
func (d *dockerContainerizer) use(ctx context.Context, c mesos.ContainerID) (context.Context, *dockerTurns, func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, nil, nil, errClosed
	}
	t := d.turns[c]
	if t == nil {
		t = &dockerTurns{turn: make(chan struct{}, 1), watch: make(chan struct{}, 1), sooner: make(chan struct{}, 1)}
		d.turns[c] = t
	}
	t.users++
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(d.ctx, cancel)
	return ctx, t, func() {
		stop()
		cancel()
		d.mu.Lock()
		defer d.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(d.turns, c)
			if d.closed && len(d.turns) == 0 {
				close(d.idle)
			}
		}
	}, nil
}

// inTurn runs f while nobody else has the container's turn.
func (d *dockerContainerizer) inTurn(ctx context.Context, c mesos.ContainerID, f func(ctx context.Context) error) error {
	ctx, t, done, err := d.use(ctx, c)
	if err != nil {
		return err
	}
	defer done()
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return f(ctx)
}

// saved does nothing: how a task ended is told by its container until that is removed.
func (d *dockerContainerizer) saved(place) {}

// forget removes the container, in its turn, unless somebody does. What cannot be removed now is found by the next sweep.
func (d *dockerContainerizer) forget(at place) { d.forgetWithin(d.ctx, at) }

func (d *dockerContainerizer) forgetWithin(ctx context.Context, at place) {
	if d.engine == nil || !d.mayForget(at.id) {
		return
	}
	err := d.inTurn(ctx, at.id, func(ctx context.Context) error {
		select {
		case d.removals <- struct{}{}:
			defer func() { <-d.removals }()
		case <-ctx.Done():
			return ctx.Err()
		}
		ctx, cancel := context.WithTimeout(ctx, removeTime)
		defer cancel()
		return d.engine.Remove(ctx, at.id.String(), false)
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.forgotten, at.id)
	delete(d.stopSignals, at.id)
	if err != nil {
		d.h.cfg.Logger.Debug("a container was not removed", "container", at.id, "reason", err)
		return
	}
	delete(d.listed, at.id)
}

func (d *dockerContainerizer) mayForget(c mesos.ContainerID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.forgotten[c] {
		return false
	}
	d.forgotten[c] = true
	return true
}

// alive reports true also if no engine tells.
func (d *dockerContainerizer) alive(ctx context.Context, at place) bool {
	if d.engine == nil {
		return !at.paths.has(exitFile)
	}
	s, err := d.engine.Inspect(ctx, at.id.String())
	switch {
	case errors.Is(err, docker.ErrNoContainer):
		return false
	case err != nil || s.Runs():
		return true
	}
	d.h.background.Go(func() { d.forget(at) })
	return false
}
