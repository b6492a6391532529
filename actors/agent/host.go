package agent

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/mesos"
)

// host is the actor around the core. The fields belong to its goroutine; what blocks runs in
// the actors of the containers and in the link, but for the writes to the checkpoint.
type host struct {
	h    *Handle
	core *mesos.Agent
	disk *checkpoint
	link *linker
	// generation tells what this instance has started from what one before it had.
	generation uint64
	containers map[mesos.ContainerID]*actor.PID
	// strangers are containers of which the core knows nothing, which are looked at.
	strangers  map[mesos.ContainerID]bool
	timer      *time.Timer
	registered bool
	sentAway   string // why, as the last master that has sent this agent away says
}

// Messages to the host.
type (
	// wakeUp: the core's time has come.
	wakeUp struct{}
	// fromContainer has happened to a container: a mesos.ContainerEvent or ObservedContainer.
	fromContainer struct {
		generation uint64
		what       any
	}
	// containerBroken: its actor fails again and again.
	containerBroken struct {
		generation uint64
		id         mesos.ContainerID
	}
	// living asks for the containers that are not done.
	living struct {
		answer chan undone
	}
	// test is run inside the actor, for tests.
	test func(*host)
)

// Control lets these into a full mailbox: there are no more of them than containers.
func (wakeUp) Control()          {}
func (fromContainer) Control()   {}
func (containerBroken) Control() {}
func (*living) Control()         {}

// Refused and Lost are called if nobody answers.
func (l *living) Refused() { l.reply(nil) }

// Lost is Refused's twin.
func (l *living) Lost() { l.reply(nil) }

func (l *living) reply(u undone) {
	select {
	case l.answer <- u:
	default:
	}
}

// Receive has one case for each thing that can happen to the actor.
func (a *host) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		a.begin()
		a.turn(nil)
	case *actors.Batch:
		a.turn(m.Messages)
	case *actor.Restarting:
		a.end()
	case *actor.Stopping:
		a.end()
	case *actor.Stopped:
		a.h.docker.close()
		a.h.lock.Close()
		close(a.h.ended)
	}
}

// begin goes on from the checkpoint: looks at what may run, and for a master.
func (a *host) begin() {
	o := a.h.first
	if a.h.first = nil; o == nil {
		var err error
		if o, err = a.h.open(); err != nil {
			panic(&actors.FailStop{Err: err})
		}
	}
	a.core, a.disk = o.core, o.disk
	a.generation = a.h.actors.Add(1)
	a.containers = map[mesos.ContainerID]*actor.PID{}
	a.strangers = map[mesos.ContainerID]bool{}
	a.registered = false
	if a.timer == nil {
		a.timer = time.AfterFunc(math.MaxInt64, func() { a.h.tell(wakeUp{}) })
	}
	unobserved := a.core.Unobserved()
	for _, c := range unobserved {
		a.container(c, look{})
	}
	a.lookAtStrangers()
	if a.h.cfg.Recover == mesos.Reconnect {
		a.link = startLinker(a.h, a.generation)
	}
	if id := a.core.ID(); id != "" {
		a.h.cfg.Logger.Info("recovering", "agent", id, "tasks", len(a.core.Tasks()), "to_look_at", len(unobserved))
	}
}

// lookAtStrangers has containers looked at of which the checkpoint knows nothing, or no more:
// if one of them lives, the core ends it.
func (a *host) lookAtStrangers() {
	known := a.known()
	all, err := containersIn(a.h.cfg.Work)
	if err != nil {
		panic(&actors.FailStop{Err: err})
	}
	for _, c := range all {
		if !known.has(c) && !a.h.hasEnded(c) {
			a.strangers[c] = true
			a.container(c, look{})
		}
	}
}

// known are the containers that are not done.
func (a *host) known() undone {
	known := undone{}
	for _, t := range a.core.Tasks() {
		known[t.Container] = !t.State.Terminal()
	}
	return known
}

// end leaves everything as it is.
func (a *host) end() {
	if a.core == nil {
		return
	}
	a.timer.Stop()
	if a.link != nil {
		a.link.stop()
	}
	for _, pid := range a.containers {
		a.h.system.Root.Stop(pid)
	}
	a.disk.close()
	a.core = nil
}

// turn is one batch of what has happened, and what follows from it.
func (a *host) turn(items []actors.Item) {
	if a.core == nil {
		return
	}
	a.core.Tick(a.h.cfg.now(), unixTime())
	for _, item := range items {
		a.handle(item.Message)
	}
	a.carryOut()
	for _, item := range items { // answered with what is durable
		switch m := item.Message.(type) {
		case *question:
			m.reply(a.status())
		case *living:
			m.reply(a.known())
		}
	}
	a.look()
}

func (a *host) handle(message any) {
	switch m := message.(type) {
	case fromContainer:
		if m.generation != a.generation {
			return
		}
		switch what := m.what.(type) {
		case mesos.ContainerEvent:
			a.core.Event(what)
			if a.strangers[what.Container] && what.Kind == mesos.ContainerExited {
				a.forget(what.Container)
			}
		case mesos.ObservedContainer:
			a.core.Observed(what)
		}
	case containerBroken:
		if m.generation == a.generation {
			a.mend(m.id)
		}
	case received:
		m.from.received()
		if m.from == a.link && m.link == a.link.current {
			if away, is := m.message.(mesos.Shutdown); is {
				a.sentAway = away.Reason
			}
			a.core.Step(m.message)
		}
	case linked:
		if m.from == a.link {
			a.connected(m)
		}
	case unlinked:
		if m.from == a.link && m.link == a.link.current {
			a.link.current = nil
			a.core.Disconnected()
		}
	case listed:
		a.onListed(m)
	case test:
		m(a)
	}
}

// connected takes a link, unless it is to a master of the past.
func (a *host) connected(m linked) {
	term := m.link.Term()
	if term == 0 {
		term = a.core.Term()
	}
	if term < a.core.Term() {
		m.link.Close()
		return
	}
	a.link.current = m.link
	a.core.Connected(term)
}

// carryOut does what the core wants, in its order.
func (a *host) carryOut() {
	out := a.core.Output()
	if len(out.Save) > 0 {
		a.h.cfg.step(mesos.ContainerID{}, "save")
	}
	if err := a.disk.append(out.Save); err != nil {
		panic(&actors.FailStop{Err: err})
	}
	if len(out.Save) > 0 {
		a.h.cfg.step(mesos.ContainerID{}, "saved")
	}
	for _, c := range out.Bar {
		a.container(c, look{})
	}
	for _, c := range out.Look {
		a.container(c, look{later: true})
	}
	for _, s := range out.Start {
		a.container(s.Container, begin{s})
	}
	for _, s := range out.Stop {
		a.container(s.Container, stop{s.Grace})
	}
	for _, m := range out.Send {
		if a.link != nil {
			a.link.send(m)
		}
	}
	for _, c := range out.Forget {
		a.forget(c)
	}
	if out.Detect && a.link != nil {
		a.h.cfg.Logger.Warn("the master is silent", "term", a.core.Term())
		a.link.drop()
	}
	if err := a.disk.shorten(a.core.Checkpoint); err != nil {
		panic(&actors.FailStop{Err: err})
	}
}

// forget ends the actor of a container that is done, and lets its shim go.
func (a *host) forget(c mesos.ContainerID) {
	delete(a.strangers, c)
	if pid := a.containers[c]; pid != nil {
		delete(a.containers, c)
		a.h.system.Root.Stop(pid)
	}
	at := a.h.at(c)
	a.h.background.Go(func() { at.containerizer.forget(at.place) })
}

// mend starts the actor of a container again, after a while, that fails again and again.
func (a *host) mend(c mesos.ContainerID) {
	if pid := a.containers[c]; pid != nil {
		delete(a.containers, c)
		a.h.system.Root.Stop(pid)
	}
	time.AfterFunc(mendPause, func() {
		a.h.tell(test(func(now *host) {
			if now.generation == a.generation && now.known().has(c) {
				now.container(c, look{})
			}
		}))
	})
}

// mendPause is how long nobody watches a container whose actor fails again and again.
const mendPause = time.Minute

// look is what follows when all is carried out.
func (a *host) look() {
	if now := a.core.Registered(); now != a.registered {
		a.registered = now
		if now {
			a.h.cfg.Logger.Info("registered", "agent", a.core.ID(), "term", a.core.Term(), "tasks", len(a.core.Tasks()))
		} else {
			a.h.cfg.Logger.Warn("not registered any more", "agent", a.core.ID(), "term", a.core.Term())
		}
	}
	switch {
	case a.core.CleanedUp():
		a.h.end(ErrCleanedUp)
		a.h.system.Root.Stop(a.h.pid)
		return
	case a.core.Retired():
		a.retire()
	}
	if at, ok := a.core.Next(); ok {
		a.timer.Reset(max(0, at-a.h.cfg.now()))
	} else {
		a.timer.Stop()
	}
}

// retire moves the checkpoint away of an agent that a master has sent away, and starts anew.
func (a *host) retire() {
	id := a.core.ID()
	a.h.cfg.Logger.Warn("a master has sent this agent away: its tasks are ended, and it starts as a new one", "agent", id, "reason", a.sentAway)
	a.end()
	dir := filepath.Join(a.h.cfg.Work, retiredDir, fmt.Sprintf("%s-%d", id, time.Now().UnixNano()))
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.Rename(filepath.Join(a.h.cfg.Work, checkpointFile), filepath.Join(dir, checkpointFile))
	}
	if err = errors.Join(err, syncDir(a.h.cfg.Work)); err != nil {
		panic(&actors.FailStop{Err: fmt.Errorf("agent: move the checkpoint away: %w", err)})
	}
	a.begin()
	a.turn(nil)
}

func (a *host) status() Status {
	info := a.h.cfg.Info
	info.ID = a.core.ID()
	return Status{ID: info.ID, Term: a.core.Term(), Registered: a.core.Registered(), Recovering: len(a.core.Unobserved()) > 0,
		Info: info, Tasks: a.core.Tasks()}
}

// container hands a message to the actor of a container, which it starts if there is none.
func (a *host) container(c mesos.ContainerID, message any) {
	pid := a.containers[c]
	if pid == nil {
		pid = a.spawn(c)
	}
	a.h.system.Root.Send(pid, message)
}

func (a *host) spawn(c mesos.ContainerID) *actor.PID {
	h, generation := a.h, a.generation
	life := &life{h: h, generation: generation, id: c, paths: pathsOf(h.cfg.Work, c)}
	strategy := actors.NewStrategy(actors.StrategyConfig{Logger: h.cfg.Logger, Restart: actors.Transient, OnFailStop: func(*actor.PID, any) {
		h.tell(containerBroken{generation, c})
	}})
	props := actor.PropsFromProducer(actors.Guard(h.cfg.Logger, func() actor.Actor { return &container{life: life} }),
		actor.WithMailbox(actors.MailboxConfig{}.Producer()), actor.WithGuardian(strategy))
	pid, err := h.system.Root.SpawnNamed(props, fmt.Sprintf("container/%v/%d", c, h.actors.Add(1)))
	if err != nil {
		panic(fmt.Sprintf("agent: spawn the actor of container %v: %v", c, err)) // its name is new
	}
	life.pid = pid
	a.containers[c] = pid
	return pid
}
