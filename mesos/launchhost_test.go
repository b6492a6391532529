package mesos

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// launchHost is what carries out an agent's Output in the world of kills: effect by effect,
// and the agent can be killed between any two of them. Its containers go on shim by shim,
// file by file, and each of them can be killed between any two files.
type launchHost struct {
	a      *clusterAgent
	up     bool
	boot   int
	inputs []func() // of the agent's process: they die with it
	shims  map[ContainerID]*launchShim
	order  []*launchShim
	// staged, updates and acked are what is durable.
	staged  map[ContainerID]bool
	updates map[UpdateID]bool
	acked   map[UpdateID]bool
	// ends are the updates that say how a container has ended.
	ends map[ContainerID]TaskState
}

// launchShim is a container: files, and processes.
type launchShim struct {
	id                        ContainerID
	key                       TaskKey
	resources                 Resources
	forever                   bool
	lock, started, barred     bool // files
	exit                      *ContainerExit
	forked, alive, running    bool // shim on its way, shim with the lock, task
	ended                     *ContainerExit
	watched, stopping         bool
	executions                int
	orphaned, lost, forgotten bool // its shim, or the machine's boot, is gone
}

// newLaunchHost gives an agent of a cluster such a host.
func newLaunchHost(a *clusterAgent) *launchHost {
	h := &launchHost{a: a, shims: map[ContainerID]*launchShim{}, staged: map[ContainerID]bool{},
		updates: map[UpdateID]bool{}, acked: map[UpdateID]bool{}, ends: map[ContainerID]TaskState{}}
	a.fine = h
	h.kill()
	return h
}

func (h *launchHost) w() *cluster { return h.a.w }

// start reads the checkpoint as a new process does.
func (h *launchHost) start(n int) {
	a := h.a
	a.starts++
	var saved Checkpoint
	for _, r := range a.saved {
		back, err := DecodeRecord(r.Append(nil))
		if err != nil {
			h.w().fail("a record is not read back: %v", err)
			return
		}
		saved = append(saved, back)
	}
	c := AgentConfig{Info: a.info, Boot: fmt.Sprint("boot ", h.boot, " of ", a.info.Address), MaxDone: 40,
		Rand: rand.New(rand.NewPCG(h.w().seed*1000+uint64(n), a.starts))}
	core, err := NewAgent(c, saved, h.w().now)
	if err != nil {
		h.w().fail("agent %d does not start again: %v", n, err)
		return
	}
	a.core, h.up, h.inputs = core, true, nil
	core.Tick(h.w().now, stageUnix+h.w().now)
	for _, id := range core.Unobserved() {
		h.look(id)
	}
}

// kill is kill -9 of the agent.
func (h *launchHost) kill() {
	h.a.unlink()
	h.up, h.inputs = false, nil
	for _, s := range h.order {
		s.watched = false
	}
}

// reboot is a power cut: no process is left.
func (h *launchHost) reboot() {
	h.kill()
	h.boot++
	for _, s := range h.order {
		if s.running {
			h.stopped(s)
		}
		s.lost = s.lost || s.exit == nil
		s.forked, s.alive, s.stopping, s.ended = false, false, false, nil
	}
}

// look has the host look at a container soon, and watch it from then on.
func (h *launchHost) look(id ContainerID) {
	h.inputs = append(h.inputs, func() {
		var f Facts
		if s := h.shims[id]; s != nil && !s.forgotten {
			s.watched = true
			f = Facts{Barred: s.barred, Locked: s.lock, LockHeld: s.alive, ShimAlive: s.alive, Started: s.started, TaskAlive: s.running, Exit: s.exit}
			if s.alive && !h.w().calm && h.w().chance(10) { // it cannot be told from another process
				f.ShimAlive, f.TaskAlive = false, false
			}
		}
		h.a.core.Observed(ObservedContainer{id, f})
	})
}

func (h *launchHost) event(s *launchShim, e ContainerEvent) {
	if e.Container = s.id; s.watched && h.up {
		h.inputs = append(h.inputs, func() { h.a.core.Event(e) })
	}
}

// run gives the agent some of its inputs.
func (h *launchHost) run(n int) {
	if !h.up {
		return
	}
	h.a.core.Tick(h.w().now, stageUnix+h.w().now)
	for ; n > 0 && len(h.inputs) > 0; n-- {
		next := h.inputs[0]
		h.inputs = h.inputs[1:]
		next()
	}
	h.carryOut()
}

// carryOut does what the agent wants, unless it is killed on the way.
func (h *launchHost) carryOut() {
	if !h.up {
		return
	}
	h.a.core.Tick(h.w().now, stageUnix+h.w().now)
	out := h.a.core.Output()
	for _, e := range h.effects(out) {
		if h.w().killsAt("agent before " + e.name) {
			h.kill()
			return
		}
		if e.do(); h.w().killsAt("agent after " + e.name) {
			h.kill()
			return
		}
	}
	if h.up && len(out.Save) > 0 && h.w().rand.IntN(8) == 0 {
		h.compact()
	}
}

// compact replaces the checkpoint by what says the same.
func (h *launchHost) compact() {
	if h.w().killsAt("agent before it compacts") {
		h.kill()
		return
	}
	if len(h.a.core.out.Save) == 0 {
		h.a.saved = h.a.core.Checkpoint()
	}
}

type launchEffect struct {
	name string
	do   func()
}

var recordNames = map[RecordKind]string{RecordAgent: "agent", RecordTerm: "term", RecordFramework: "framework", RecordTask: "task",
	RecordUpdate: "update", RecordAcknowledged: "acknowledged", RecordDone: "done", RecordForgotten: "forgotten", RecordContact: "contact"}

// effects are the arrows of an Output, in their order.
func (h *launchHost) effects(out Output) (all []launchEffect) {
	add := func(name string, do func()) { all = append(all, launchEffect{name, do}) }
	for _, r := range out.Save {
		name := recordNames[r.Kind]
		if r.Kind == RecordUpdate {
			name += " " + r.Status.State.String()
		}
		add("save "+name, func() { h.save(r) })
	}
	for _, id := range out.Bar {
		add("bar", func() { h.bar(id) })
	}
	for _, id := range out.Look {
		add("look", func() { h.look(id) })
	}
	for _, s := range out.Start {
		add("start", func() { h.fork(s) })
	}
	for _, s := range out.Stop {
		add("stop", func() { h.stop(s) })
	}
	for _, m := range out.Send {
		name := fmt.Sprintf("%T", m)[len("mesos."):]
		if u, ok := m.(StatusUpdate); ok {
			name += " " + u.Status.State.String()
		}
		add("send "+name, func() { h.send(m) })
	}
	for _, id := range out.Forget {
		add("forget", func() { h.forget(id) })
	}
	if out.Detect {
		add("detect", func() { h.a.unlink() })
	}
	return all
}

func (h *launchHost) save(r Record) {
	h.a.saved = append(h.a.saved, r)
	switch r.Kind {
	case RecordTask:
		h.staged[r.Task.Container] = true
	case RecordUpdate:
		h.updates[r.Status.ID] = true
	case RecordAcknowledged:
		h.acked[r.Update] = true
	}
}

func (h *launchHost) shim(id ContainerID) *launchShim {
	s := h.shims[id]
	if s == nil {
		s = &launchShim{id: id}
		h.shims[id], h.order = s, append(h.order, s)
	}
	return s
}

func (h *launchHost) bar(id ContainerID) {
	if s := h.shim(id); !s.alive {
		s.barred = true
	}
	h.look(id)
}

func (h *launchHost) fork(o StartContainer) {
	s := h.shim(o.Container)
	if !h.staged[s.id] {
		h.w().fail("container %v is started, and no record of it is durable", s.id)
	}
	if s.forked || s.lock {
		h.w().fail("container %v is started a second time", s.id)
	}
	s.key, s.resources, s.forever = TaskKey{o.Framework.ID, o.Task.ID}, o.Task.Resources, h.w().rand.IntN(8) == 0
	s.forked, s.watched = true, true
	h.w().counts["forked"]++
}

func (h *launchHost) stop(o StopContainer) {
	s := h.shim(o.Container)
	switch {
	case s.alive:
		s.stopping = true
	case s.running:
		h.stopped(s)
		h.event(s, ContainerEvent{Kind: ContainerExited})
	default:
		s.barred = true
		h.look(s.id)
	}
}

func (h *launchHost) forget(id ContainerID) {
	s := h.shim(id)
	if s.running || s.alive && s.exit == nil {
		h.w().fail("container %v is forgotten while it lives", id)
	}
	s.alive, s.forgotten = false, true
}

func (h *launchHost) send(m any) {
	a := h.a
	if u, ok := m.(StatusUpdate); ok {
		h.checkUpdate(u)
	}
	if master, link := a.master, a.link; master != nil && !a.cut {
		h.w().post(link, func() { master.m.AgentMessage(h.w().now, link, m) })
	}
}

// checkUpdate looks at an update that leaves the agent.
func (h *launchHost) checkUpdate(u StatusUpdate) {
	s, id := h.shim(u.Status.Container), u.Status.ID
	if !h.updates[id] {
		h.w().fail("an update of %v is sent and is not durable", u.Status.Task)
	}
	if h.acked[id] {
		h.w().fail("update %v of %v is sent again, and that it was acknowledged is durable", u.Status.State, u.Status.Task)
	}
	if u.Latest.Terminal() && (s.running || s.alive && s.exit == nil || s.forked && !s.barred && !s.forgotten) {
		h.w().fail("the end of %v is told while it lives or may start", u.Status.Task)
	}
	if !u.Status.State.Terminal() {
		return
	}
	h.ends[s.id] = u.Status.State
	switch {
	case u.Status.State == Dropped && s.executions > 0:
		h.w().fail("%v is DROPPED and was executed", u.Status.Task)
	case u.Status.State == Finished && (s.exit == nil || s.exit.Code != 0 || s.executions != 1):
		h.w().fail("%v is FINISHED, by %+v", u.Status.Task, s.exit)
	case u.Status.HasExit && (s.exit == nil || u.Status.ExitCode != s.exit.Code || u.Status.Signal != s.exit.Signal):
		h.w().fail("%v has ended by %+v, told is %+v", u.Status.Task, s.exit, u.Status)
	case u.Status.State == Failed && s.exit != nil && s.exit.Known && s.exit.Code == 0 && s.exit.Signal == 0:
		h.w().fail("%v has ended well, told is %+v", u.Status.Task, u.Status)
	}
}

// proceed lets a container go one step: each is a place to be killed at.
func (h *launchHost) proceed(s *launchShim) {
	switch w := h.w(); {
	case s.forked: // the shim takes the lock, or sees that it must not start
		if w.killsAt("shim before its lock") {
			s.forked = false
			h.lookSoon(s)
			return
		}
		s.forked = false
		if s.barred || s.forgotten {
			h.event(s, ContainerEvent{Kind: ContainerNotStarted})
			return
		}
		s.lock, s.alive = true, true
	case s.alive && !s.started && s.exit == nil:
		if w.killsAt("shim before it writes started") {
			h.orphan(s)
		} else if s.stopping || !w.calm && w.chance(3) {
			h.write(s, ContainerExit{NotStarted: true}, ContainerNotStarted)
		} else {
			s.started = true
		}
	case s.alive && !s.running && s.exit == nil && s.ended == nil:
		if w.killsAt("shim before it starts the task") {
			h.orphan(s)
		} else {
			h.execute(s)
		}
	case s.alive && s.running && (s.stopping || !s.forever):
		if w.killsAt("shim while its task runs") {
			h.orphan(s)
			return
		}
		e := ContainerExit{Known: true, Code: w.rand.IntN(2)}
		if s.stopping {
			e = ContainerExit{Known: true, Signal: 15}
		}
		h.stopped(s)
		s.ended = &e
	case s.alive && s.ended != nil && s.exit == nil:
		if w.killsAt("shim before it writes the exit") {
			h.orphan(s)
		} else {
			h.write(s, *s.ended, ContainerExited)
		}
	case s.running && !s.alive && w.calm: // an orphan ends
		h.stopped(s)
		h.event(s, ContainerEvent{Kind: ContainerExited})
	}
}

func (h *launchHost) write(s *launchShim, e ContainerExit, kind ContainerEventKind) {
	s.exit = &e
	h.event(s, ContainerEvent{Kind: kind, Exit: e})
	if h.w().killsAt("shim after it has written the exit") {
		s.alive = false
	}
}

// orphan is kill -9 of a shim.
func (h *launchHost) orphan(s *launchShim) {
	s.alive, s.stopping, s.ended, s.orphaned = false, false, nil, true
	h.lookSoon(s)
}

func (h *launchHost) lookSoon(s *launchShim) {
	if s.watched && h.up {
		h.look(s.id)
	}
}

func (h *launchHost) execute(s *launchShim) {
	s.running = true
	if s.executions++; s.executions > 1 {
		h.w().fail("container %v of %v is executed twice", s.id, s.key)
	}
	if end, told := h.ends[s.id]; told {
		h.w().fail("container %v of %v is executed after its end was told: %v", s.id, s.key, end)
	}
	h.a.containers[s.id] = &clusterContainer{key: s.key, resources: s.resources, runs: true}
	h.w().started(s.key, s.id)
	var used Resources
	for _, o := range h.order {
		if o.running {
			used = used.Add(o.resources)
		}
	}
	if !h.a.info.Resources.Contains(used) {
		h.w().fail("%v of %v are in use on %s", used, h.a.info.Resources, h.a.core.ID())
	}
	h.event(s, ContainerEvent{Kind: ContainerStarted})
}

// stopped is the end of a task's process.
func (h *launchHost) stopped(s *launchShim) {
	s.running = false
	if c := h.a.containers[s.id]; c != nil && c.runs {
		c.runs = false
		h.w().running[s.key]--
	}
}

// rest carries out all that is under way.
func (h *launchHost) rest() (busy bool) {
	if h.a.dead {
		return false
	}
	if !h.up {
		h.start(slices.Index(h.w().agents, h.a))
		busy = true
	}
	for _, s := range h.order {
		if s.forked || s.alive && !s.running && s.exit == nil || s.alive && s.running && s.stopping {
			h.proceed(s)
			busy = true
		}
	}
	for len(h.inputs) > 0 && h.up {
		h.run(len(h.inputs))
		busy = true
	}
	h.carryOut()
	return busy || len(h.inputs) > 0
}
