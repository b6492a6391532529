package sim

import "fmt"

// World is one run: machines, their clocks, disks and processes, the network
// between them, clients, and the oracles that watch. One goroutine does
// everything; nothing in it reads a clock or a global source of randomness.
type World struct {
	course
	agenda  agenda[event]
	nodes   []*node
	clients callers
	engine  engine
	oracle  oracle
	model   model
	core    []bool    // by slot: must work in the liveness phase
	tree    *treeWork // nil without Plan.Tree
}

// Stats is what a run did.
type Stats struct {
	Steps, Elections, Crashes, Snapshots, Installs uint64
	Committed, Operations, Unknown, Reads, Changes uint64
	Faults                                         map[string]uint64
}

// Result is how a run ended.
type Result struct {
	Plan      Plan
	Print     uint64
	Stats     Stats
	Sometimes sometimes
	Failure   *Failure   // nil if no rule was broken
	On        Fault      // the classes that were on
	Heard     [][]string // what each client was answered, if the plan has a script
}

// Failure is a broken rule.
type Failure struct {
	Rule string // such as "R3", or "panic"
	Text string
	Step uint64
	At   int64
	// Transcript holds the last lines before it, if the run was traced.
	Transcript []string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("%s at step %d (%d.%06d s): %s", f.Rule, f.Step, f.At/second, f.At%second/micro, f.Text)
}

// violation is what an oracle panics with.
type violation struct {
	rule, text string
}

// violated ends the run.
func violated(rule, format string, args ...any) {
	panic(violation{rule, fmt.Sprintf(format, args...)})
}

// Run carries out a plan. With trace, Failure.Transcript holds the last lines.
func Run(p Plan, trace bool) Result {
	if p.Steps == 0 {
		p.Steps = 40_000
	}
	w := newWorld(p)
	if trace {
		w.tracer = &tracer{}
	}
	return w.run()
}

func (w *World) run() (result Result) {
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

func newWorld(p Plan) *World {
	w := &World{course: newCourse(p), engine: engineOf(p), model: newModel()}
	w.oracle = w.engine.newOracle(w)
	w.clients = callers{scene: w, course: &w.course, model: &w.model}
	if p.Tree {
		w.tree = newTreeWork(w)
	}
	return w
}

// build makes the machines and the clients and starts them.
func (w *World) build() {
	first := w.firstMembers()
	for i := range first {
		w.engine.cast(w, &first[i])
	}
	for slot := range w.weather.slots {
		n := newNode(w, slot)
		if slot < w.weather.voters {
			n.bootstrap = w.engine.bootstrap(first)
		}
		w.nodes = append(w.nodes, n)
	}
	w.oracle.begin(w.engine.bootstrap(first).Configuration)
	for _, n := range w.nodes {
		w.start(n)
	}
	w.clients.begin()
	if w.tree != nil {
		w.tree.begin()
	}
	for i := range faultNames {
		if scheduled&(1<<i) != 0 && w.has(1<<i) {
			w.nextFault(1<<i, 1)
		}
	}
}

// step handles the next event.
func (w *World) step() {
	at, e := w.agenda.next()
	w.begin(at, e.kind, e.slot)
	if w.tracer != nil {
		w.traceEvent(e)
	}
	w.handle(e)
	if !w.healed && w.steps >= uint64(w.plan.Steps) {
		w.beginLiveness()
	}
}

// handle sends an event to where it belongs. What a process would do while it
// stands still waits until it goes on.
func (w *World) handle(e event) {
	switch e.kind {
	case evDeliver:
		w.deliver(e)
		return
	case evStart:
		w.restart(e)
		return
	case evClient, evReply, evTimeout:
		if w.tree == nil || !w.tree.putsOff(e) {
			w.clients.event(e)
		}
		return
	case evOutside:
		e.run()
		return
	case evRequest:
		w.request(e)
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
	case evRetire:
		if n := w.nodes[e.slot]; n.damaged && uint64(n.id) == e.a && !w.healed {
			w.lose(n)
		}
		return
	}
	n := w.nodes[e.slot]
	if !n.up || n.life != e.life {
		return
	}
	if n.pausedUntil > w.now {
		w.resume(n, e)
		return
	}
	w.process(n, e)
	if n.tree != nil && n.up {
		n.tree.settle()
	}
}

// resume puts off what a process would do until it goes on. Its threads go on in
// any order: a reader may be faster than the core.
func (w *World) resume(n *node, e event) {
	w.agenda.add(n.pausedUntil+w.dice.roll(streamWake, n.slot).between(0, 50*micro), e)
}

// process handles what belongs to a running process.
func (w *World) process(n *node, e event) {
	switch e.kind {
	case evWake:
		n.awake = false
		w.turn(n)
	case evTimer:
		w.timer(n)
	case evKeep:
		w.keep(n)
	case evFlush:
		w.flush(n)
	case evApply:
		w.apply(n)
	case evTake:
		w.writeSnapshot(n)
	case evInstall:
		w.install(n)
	case evReadChunk:
		w.sendChunk(n, e.ask)
	case evTask:
		e.run()
	case evLeaseRead:
		w.endLeaseRead(n, e.op, e.a, e.reply)
	}
}

// schedule implements scene.
func (w *World) schedule(at int64, e event) { w.agenda.add(at, e) }

func (w *World) result() Result {
	w.stats.Committed = uint64(w.oracle.committed())
	r := w.course.result()
	for _, c := range w.clients.list {
		r.Heard = append(r.Heard, c.script.heard)
	}
	return r
}
