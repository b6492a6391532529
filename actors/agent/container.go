package agent

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/internal/shim"
	"github.com/synod-go/synod/mesos"
)

// life is what the instances of a container's actor have in common.
type life struct {
	h             *Handle
	generation    uint64
	id            mesos.ContainerID
	pid           *actor.PID
	paths         paths
	containerizer containerizer // what runs it; nil: not known yet
	framework     mesos.FrameworkID
	begun         bool // an instance was there before
}

// container is the actor of one container. It blocks nowhere: what takes time runs beside it,
// ends with the instance, and comes back as a message. An instance after a panic knows nothing: it
// looks, as a restarted agent does, and the core says what that means.
type container struct {
	*life
	ctx    context.Context
	cancel context.CancelFunc

	phase phase
	// task is what runs, if that is known.
	task *mesos.TaskInfo
	// stopWaiting ends the fetching, and the wait for a place to start; grace is that of the stop that waits until it has started.
	stopWaiting context.CancelFunc
	stopped     bool
	grace       time.Duration
	// looking: a look is under way. watching: a wait for its end is. orphan: its shim is dead.
	// untold: its engine does not answer.
	looking, watching, orphan, untold bool
	mishaps                           int // looks that failed, one after the other
}

// phase is how far the actor is.
type phase uint8

const (
	unknown   phase = iota // something may be there
	preparing              // files are made and fetched
	starting               // a shim is
	running
	over
)

// Messages of the host to a container.
type (
	begin struct{ order mesos.StartContainer }
	stop  struct{ grace time.Duration }
	// look at what there is; later, if it could not be told just now.
	look struct{ later bool }
)

// What has become of something that ran beside the actor.
type (
	prepared struct{ err error }
	started  struct{ err error }
	ended    struct {
		exit mesos.ContainerExit
		err  error
	}
	seen struct {
		facts mesos.Facts
		err   error
	}
	killed struct {
		grace  time.Duration
		orphan bool
		err    error
	}
	checked struct{ event mesos.ContainerEvent }
)

// Pauses of a container's actor.
const (
	lookPause   = 50 * time.Millisecond
	untoldPause = time.Second // until an engine is asked again that does not answer
	killPause   = time.Second
	callTimeout = 10 * time.Second // of a question to a shim or an engine
)

// at is where the container is and what runs it, for what runs beside the actor.
type at struct {
	place
	containerizer containerizer
}

func (c *container) at() at {
	if c.life.containerizer == nil {
		c.life.containerizer = c.h.containerizerOf(c.id)
	}
	return at{place{c.id, c.paths, c.framework}, c.life.containerizer}
}

// Receive has one case for each thing that can happen to the actor.
func (c *container) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		c.ctx, c.cancel = context.WithCancel(context.Background())
		if c.begun {
			c.look(0)
		}
		c.begun = true
	case *actors.Batch:
		for _, item := range m.Messages {
			c.handle(item.Message)
		}
	case *actor.Restarting, *actor.Stopping:
		if c.cancel != nil {
			c.cancel()
		}
	}
}

func (c *container) handle(message any) {
	c.h.cfg.step(c.id, "message")
	switch m := message.(type) {
	case begin:
		c.begin(m.order)
	case prepared:
		c.onPrepared(m.err)
	case started:
		c.onStarted(m.err)
	case stop:
		c.stop(m.grace)
	case look:
		c.onLook(m)
	case seen:
		c.onSeen(m)
	case ended:
		c.onEnded(m)
	case killed:
		c.onKilled(m)
	case checked:
		if c.phase == running {
			c.tell(m.event)
		}
	}
}

// beside runs f beside the actor and brings what it returns as a message, unless that is nil.
func (c *container) beside(f func(ctx context.Context) any) {
	ctx, life := c.ctx, c.life
	go func() {
		if m := f(ctx); m != nil && ctx.Err() == nil {
			life.h.system.Root.Send(life.pid, m)
		}
	}()
}

// tell tells the host of an event.
func (c *container) tell(e mesos.ContainerEvent) {
	e.Container = c.id
	c.h.tell(fromContainer{c.generation, e})
}

// begin makes the container's directory and starts it.
func (c *container) begin(o mesos.StartContainer) {
	if c.phase != unknown || c.looking {
		return
	}
	task := o.Task
	if task.Command.User == "" && task.Docker == nil { // the users of an image are its own
		task.Command.User = o.Framework.User
	}
	task.Command.Environment = withFramework(task.Command.Environment, o.Framework.ID)
	c.task, c.phase = &task, preparing
	c.life.containerizer, c.life.framework = c.h.containerizerFor(&task), o.Framework.ID
	ctx, cancel := context.WithCancel(c.ctx)
	c.stopWaiting = cancel
	c.beside(func(context.Context) any {
		defer cancel()
		return prepared{c.h.prepare(ctx, c.paths, task)}
	})
}

func (c *container) onPrepared(err error) {
	if c.phase != preparing {
		return
	}
	c.h.cfg.step(c.id, "prepared")
	switch {
	case c.stopped:
		c.notStarted(killedBefore)
	case err != nil:
		c.notStarted(err.Error())
	default:
		c.phase = starting
		h, task, at, starts := c.h, *c.task, c.at(), c.h.placesFor(*c.task).starts
		waiting, cancel := context.WithCancel(c.ctx)
		c.stopWaiting = cancel
		c.beside(func(ctx context.Context) any {
			defer cancel()
			select {
			case starts <- struct{}{}:
				defer func() { <-starts }()
			case <-waiting.Done():
				return started{&notStartedError{killedBefore}}
			}
			ctx, cancel := context.WithTimeout(ctx, h.cfg.startTime)
			defer cancel()
			return started{at.containerizer.start(ctx, at.place, task)}
		})
	}
}

// killedBefore is why a task that was killed has not started.
const killedBefore = "killed before it was started"

func (c *container) notStarted(message string) {
	c.phase = over
	c.tell(mesos.ContainerEvent{Kind: mesos.ContainerNotStarted, Message: message})
}

// onStarted knows for sure that nothing runs only if a shim has said so.
func (c *container) onStarted(err error) {
	if c.phase != starting {
		return
	}
	c.h.cfg.step(c.id, "started")
	refused, is := errors.AsType[*notStartedError](err)
	switch {
	case err == nil:
		c.phase = running
		c.tell(mesos.ContainerEvent{Kind: mesos.ContainerStarted})
		c.watch()
		c.checkHealth(false)
		if c.stopped {
			c.kill(c.grace)
		}
	case is:
		c.notStarted(refused.problem)
	default:
		c.h.cfg.Logger.Warn("it is not known whether a container has started", "container", c.id, "reason", err)
		c.phase = unknown
		c.look(0)
		if c.stopped {
			c.kill(c.grace)
		}
	}
}

// stop ends the container, also one that is still being started.
func (c *container) stop(grace time.Duration) {
	c.stopped, c.grace = true, grace
	switch c.phase {
	case preparing:
		c.stopWaiting()
	case starting: // what has its place is killed when it has started
		c.stopWaiting()
	case unknown, running:
		c.kill(grace)
	}
}

// kill has the task ended, or ends what a dead shim has left.
func (c *container) kill(grace time.Duration) {
	at, orphan := c.at(), c.orphan
	c.beside(func(ctx context.Context) any {
		if orphan {
			ctx, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			return killed{grace, orphan, shim.KillOrphans(ctx, at.paths.run())}
		}
		return killed{grace, orphan, at.containerizer.kill(ctx, at.place, grace)}
	})
}

func (c *container) onKilled(m killed) {
	switch {
	case c.phase == over:
	case m.err == nil && m.orphan:
		c.over(mesos.ContainerExit{})
	case m.err == nil: // the watch tells its end
	case errors.Is(m.err, errNothingThere):
		c.look(lookPause)
	default:
		c.h.cfg.Logger.Warn("a container could not be killed", "container", c.id, "reason", m.err)
		c.beside(func(ctx context.Context) any {
			pause(ctx, killPause)
			return stop{m.grace}
		})
	}
}

// watch waits for the end, if nobody does.
func (c *container) watch() {
	if c.watching {
		return
	}
	c.watching = true
	at := c.at()
	c.beside(func(ctx context.Context) any {
		exit, err := at.containerizer.wait(ctx, at.place)
		return ended{exit, err}
	})
}

func (c *container) onEnded(m ended) {
	c.watching = false
	switch {
	case c.phase == over:
	case m.err == nil:
		c.h.cfg.step(c.id, "ended")
		c.over(m.exit)
	default:
		c.look(lookPause)
	}
}

// over tells the end and lets the shim go if how it ended is on the disk.
func (c *container) over(e mesos.ContainerExit) {
	c.phase = over
	c.tell(mesos.ContainerEvent{Kind: mesos.ContainerExited, Exit: e})
	c.cancel() // health checks, kills that are under way
	c.letGo()
}

// letGo lets the shim leave if how the task ended is on the disk.
func (c *container) letGo() {
	at := c.at()
	c.h.background.Go(func() { at.containerizer.saved(at.place) })
}

func (c *container) onLook(m look) {
	switch {
	case c.phase == preparing || c.phase == starting:
	case m.later && c.untold:
		c.look(untoldPause)
	case m.later:
		c.look(lookPause)
	default:
		c.look(0)
	}
}

// look looks at what there is, after a while.
func (c *container) look(after time.Duration) {
	if c.looking || c.phase == over {
		return
	}
	c.looking = true
	at := c.at()
	c.beside(func(ctx context.Context) any {
		pause(ctx, after)
		if ctx.Err() != nil {
			return nil
		}
		facts, err := at.containerizer.observe(ctx, at.place)
		return seen{facts, err}
	})
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// maxMishaps is how often a look may fail for what is in the files before that is taken for
// damaged.
const maxMishaps = 5

// onSeen tells what was found. Files that cannot be read as what they are do not come right
// by waiting: if nobody has the lock the container has ended, and nobody knows how.
func (c *container) onSeen(m seen) {
	c.looking = false
	if m.err != nil {
		c.mishaps++
		world := errors.As(m.err, new(syscall.Errno))
		if world || m.facts.LockHeld || c.mishaps < maxMishaps {
			c.h.cfg.Logger.Warn("a container could not be looked at", "container", c.id, "reason", m.err)
			c.look(min(lookPause<<min(c.mishaps, 10), 10*time.Second))
			return
		}
		c.h.cfg.Logger.Error("a container's files are damaged: it is taken to have ended", "container", c.id, "reason", m.err)
		m.facts = mesos.Facts{Started: true}
	}
	c.mishaps = 0
	f := m.facts
	if f.Untold != c.untold {
		c.noteUntold(f.Untold)
	}
	c.orphan, c.untold = f.TaskAlive && !f.ShimAlive && !f.LockHeld, f.Untold
	c.h.tell(fromContainer{c.generation, mesos.ObservedContainer{Container: c.id, Facts: f}})
	switch {
	case f.Untold:
	case f.Exit != nil:
		c.phase = over
		c.letGo()
	case f.ShimAlive && f.Started && !f.Rebooted:
		if c.phase != running {
			c.phase = running
			c.adopt()
		}
		c.watch()
	case f.ShimAlive && !f.Rebooted: // it will start it
		c.look(lookPause)
	}
}

// noteUntold says once that an engine keeps silent, and that it does no more.
func (c *container) noteUntold(untold bool) {
	if untold {
		c.h.cfg.Logger.Warn("the Docker engine does not tell what has become of a container: it is asked again and again", "container", c.id)
		return
	}
	c.h.cfg.Logger.Info("the Docker engine tells of a container again", "container", c.id)
}

// adopt takes up a container that runs.
func (c *container) adopt() {
	task, err := c.paths.readTask()
	if err != nil {
		c.h.cfg.Logger.Warn("the description of a running task cannot be read: it has no health checks", "container", c.id, "reason", err)
		return
	}
	c.task = &task
	c.checkHealth(true)
}
