package sim

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/synod-go/synod/consensus"
)

// ActorWorld is one run of the real actors: each machine has an actor system
// with the group's actor, its applier and its snapshotter, on a disk in memory.
// A seeded dispatcher decides whose turn it is, the world when. One goroutine
// does everything.
type ActorWorld struct {
	course
	agenda  agenda[actorEvent]
	hosts   []*host
	clients callers
	model   model
	engine  actorEngine
	limits  limits
}

// actorEvent is something that will happen: frame is a message on its way.
type actorEvent struct {
	event
	of    protoreflect.MessageType // the message in frame
	frame []byte
}

// limits are what only the actors have.
type limits struct {
	inbox         int // proposals and reads that wait, each
	snapshotBytes int
	catchUpBytes  int
	intensity     int // panics within half a minute that a process survives
	late          int // per mille of the turns that come late, with SlowApply
}

func drawLimits(d *dice, w *weather) limits {
	n := uint64(0)
	next := func() draw { n++; return d.at(streamPlan, 2, n) }
	return limits{
		inbox:         [...]int{1, 2, 4, 1000}[next().below(4)],
		snapshotBytes: int(next().between(500, 12_000)),
		catchUpBytes:  [...]int{0, 1, 1000}[next().below(3)],
		intensity:     int(next().between(2, 30)),
		late:          int(next().between(5, 100)),
	}
}

// RunActors carries out a plan with real actors of the engine it names. With trace,
// Failure.Transcript holds the last lines. Its classes of faults are those of Run without the loss
// of disks, flipped bits and clocks that jump, and with panics.
func RunActors(p Plan, trace bool) Result {
	if p.Steps == 0 {
		p.Steps = 20_000
	}
	w := newActorWorld(p)
	if trace {
		w.tracer = &tracer{}
	}
	return w.run()
}

func newActorWorld(p Plan) *ActorWorld {
	w := &ActorWorld{course: newCourse(p), model: newModel()}
	w.weather.on &^= Wipe | BitFlip | ClockJump
	w.engine = newActorEngine(w)
	w.limits = drawLimits(&w.dice, &w.weather)
	w.clients = callers{scene: w, course: &w.course, model: &w.model}
	return w
}

func (w *ActorWorld) run() (result Result) {
	defer func() {
		if r := recover(); r != nil {
			w.summary()
			result = w.result()
			result.Failure = w.failure(r)
		}
	}()
	w.build()
	for !w.over() && !w.agenda.empty() {
		w.step()
	}
	return w.result()
}

func (w *ActorWorld) result() Result {
	w.stats.Committed = uint64(w.model.last)
	return w.course.result()
}

// build makes the machines and the clients and starts them.
func (w *ActorWorld) build() {
	first := w.firstMembers()
	for slot := range w.weather.slots {
		h := newHost(w, slot)
		if slot < w.weather.voters {
			h.bootstrap = first
		}
		w.hosts = append(w.hosts, h)
	}
	for _, h := range w.hosts {
		w.start(h)
	}
	w.clients.begin()
	for i := range faultNames {
		if actorFaults&(1<<i) != 0 && w.has(1<<i) {
			w.nextFault(1<<i, 1)
		}
	}
}

// step handles the next event and looks whether a rule was broken: inside an
// actor nothing may panic but what the world planted.
func (w *ActorWorld) step() {
	at, e := w.agenda.next()
	w.begin(at, e.kind, e.slot)
	w.handle(e)
	for _, h := range w.hosts {
		w.settle(h)
	}
	if !w.healed && w.steps >= uint64(w.plan.Steps) {
		w.beginLiveness()
	}
}

// handle sends an event to where it belongs. What a machine would do while it
// stands still waits until it goes on.
func (w *ActorWorld) handle(e actorEvent) {
	switch e.kind {
	case evClient, evReply, evTimeout:
		w.clients.event(e.event)
		return
	case evFault:
		w.fault(Fault(1)<<e.slot, e.a)
		return
	case evHeal:
		w.heal(e.slot, int(e.a))
		return
	case evProbe:
		w.checkLiveness()
		return
	case evStart:
		if h := w.hosts[e.slot]; !h.up && h.life == e.life {
			w.start(h)
		}
		return
	}
	h := w.hosts[e.slot]
	if !h.up || e.kind != evDeliver && e.kind != evRequest && h.life != e.life {
		return
	}
	if h.pausedUntil > w.now {
		w.agenda.add(h.pausedUntil+w.dice.roll(streamWake, h.slot).between(0, 50*micro), e)
		return
	}
	w.process(h, e)
}

// process handles what belongs to a running process.
func (w *ActorWorld) process(h *host, e actorEvent) {
	switch e.kind {
	case evDeliver:
		w.deliver(h, e)
	case evRequest:
		w.request(h, e.op, int(e.a))
	case evWake:
		h.awake = false
		h.inside = true
		h.runner.Step()
		h.inside = false
	case evTimer, evRestart, evReady:
		e.run()
	case evFlush:
		w.flush(h)
	case evKeep:
		w.keep(h)
	}
}

// settle follows up on what happened inside a machine: calls that have ended, a
// process that must end, mailboxes and a disk with work.
func (w *ActorWorld) settle(h *host) {
	if w.model.noted != nil {
		panic(*w.model.noted)
	}
	if !h.up {
		return
	}
	w.collect(h)
	if h.ended != nil {
		w.trace("end       replica %d: %v", h.id, h.ended)
		w.stop(h)
		h.disk.Kill()
		w.restartLater(h)
		return
	}
	w.rouse(h)
}

// rouse gives turns to mailboxes and disk, one after the other.
func (w *ActorWorld) rouse(h *host) {
	if !h.awake && h.runner.Pending() > 0 {
		h.awake = true
		d := w.dice.roll(streamWake, h.slot)
		delay := d.between(micro, 20*micro)
		if d.split().perMille(5) {
			delay = d.between(0, 5*milli)
		}
		w.agenda.add(w.now+delay, w.of(h, evWake, nil))
	}
	if !h.flushing && h.store.Pending() > 0 {
		h.flushing = true
		w.agenda.add(w.now+w.diskDelay(h.slot), w.of(h, evFlush, nil))
	}
}

// of is an event of the process that now runs on a machine.
func (w *ActorWorld) of(h *host, kind eventKind, run func()) actorEvent {
	return actorEvent{event: event{kind: kind, slot: h.slot, life: h.life, run: run}}
}

// schedule implements scene.
func (w *ActorWorld) schedule(at int64, e event) { w.agenda.add(at, actorEvent{event: e}) }

// anyone implements scene: after the heal everybody is there.
func (w *ActorWorld) anyone(d draw) int { return d.below(len(w.hosts)) }

// believer implements scene.
func (w *ActorWorld) believer(d draw, op *operation) int {
	first := d.below(len(w.hosts))
	for i := range w.hosts {
		h := w.hosts[(first+i)%len(w.hosts)]
		if h.up && (h.handle.HoldsLease() || op.kind == opRead && h.view.Role == consensus.Leader) {
			return h.slot
		}
	}
	return op.slot
}

// leader is a machine whose replica believes to lead, or else h.
func (w *ActorWorld) leader(h *host) *host {
	for _, x := range w.hosts {
		if x.up && x.view.Role == consensus.Leader {
			return x
		}
	}
	return h
}

// note keeps a broken rule that was found inside an actor.
func (w *ActorWorld) note(rule, format string, args ...any) { w.model.note(rule, format, args...) }

// summary adds the state of every machine to the transcript.
func (w *ActorWorld) summary() {
	for slot, h := range w.hosts {
		if !h.up {
			w.trace("machine %d: replica %d is down", slot, h.id)
			continue
		}
		w.trace("machine %d: replica %d %v of %d in term %d, applied %d, %d mailboxes with work, %d bytes for the disk, %v", slot, h.id,
			h.view.Role, h.view.Leader, h.view.Term, h.handle.Applied(), h.runner.Pending(), h.store.Pending(), h.view.Configuration)
	}
}
