package mesos

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// agentWorld is one machine with an agent, its checkpoint, its containers, and masters one
// after the other, with a network that loses, doubles and delays. All comes from one seed.
type agentWorld struct {
	rng     *rand.Rand
	now     time.Duration
	boot    int
	calm    bool
	maxDone int
	mild    int // how much rarer mischief is

	disk   [][]byte
	onDisk map[UpdateID]bool
	agent  *Agent
	inputs []func() // of the agent's process: they die with it

	shims map[ContainerID]*fakeShim
	order []*fakeShim

	toAgent, toMaster []any
	past              []any // what was ever sent to the agent
	master            *fakeMaster
	scheduler         fakeScheduler
	linked            bool

	starts int // of the agent
	broken []string
	log    []string
}

// fakeShim is a container: its run directory and its processes, which obey the rules of
// the files: the lock is taken before all, started is written before the task runs, exit after.
type fakeShim struct {
	id                     ContainerID
	key                    TaskKey
	resources              Resources
	forever, engine        bool
	lock, started, barred  bool // files
	exit                   *ContainerExit
	forked, alive, running bool // shim on its way, shim holding the lock, task
	watched, stopping      bool
	executions             int
	over, forgotten, saved bool
}

func (w *agentWorld) fail(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

func (w *agentWorld) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%v ", w.now)+fmt.Sprintf(format, args...))
}

func (w *agentWorld) chance(percent int) bool { return !w.calm && w.rng.IntN(100) < percent }

func newAgentWorld(seed uint64) *agentWorld {
	w := &agentWorld{rng: rand.New(rand.NewPCG(seed, 7)), shims: map[ContainerID]*fakeShim{}, onDisk: map[UpdateID]bool{}, now: time.Hour}
	w.maxDone = []int{3, 50}[w.rng.IntN(2)]
	w.mild = 1 << w.rng.IntN(4)
	w.scheduler = fakeScheduler{w: w, seen: map[ContainerID]*seenTask{}}
	w.elect()
	return w
}

// startAgent reads the disk as a new process does.
func (w *agentWorld) startAgent() {
	var saved Checkpoint
	for _, b := range w.disk {
		r, err := DecodeRecord(b)
		if err != nil {
			w.fail("a record is not read back: %v", err)
		}
		saved = append(saved, r)
	}
	w.starts++
	total, _ := ParseResources("cpus:4")
	agent, err := NewAgent(AgentConfig{Info: AgentInfo{Hostname: "h", Resources: total}, Boot: fmt.Sprint("boot", w.boot),
		Rand: rand.New(rand.NewPCG(w.rng.Uint64(), 1)), MaxTasks: 6, MaxDone: w.maxDone}, saved, w.now)
	if err != nil {
		w.fail("the agent does not start again: %v", err)
		return
	}
	w.note("agent starts")
	w.agent, w.inputs = agent, nil
	for _, c := range agent.Unobserved() {
		w.look(c)
	}
	if w.linked {
		w.connect()
	}
}

func (w *agentWorld) killAgent() {
	w.note("agent is killed")
	w.agent, w.inputs = nil, nil
	w.toMaster = nil
	for _, s := range w.order {
		s.watched = false
	}
}

// look has the host look at a container soon, and watch it from then on.
func (w *agentWorld) look(c ContainerID) {
	w.inputs = append(w.inputs, func() {
		var f Facts
		s := w.shims[c]
		switch {
		case s != nil && s.engine && w.chance(25): // it does not answer just now
			f = Facts{Untold: true}
		case s != nil && !s.forgotten:
			s.watched = true
			f = Facts{Barred: s.barred, Locked: s.lock, LockHeld: s.alive, ShimAlive: s.alive, Started: s.started, TaskAlive: s.running, Exit: s.exit, Engine: s.engine}
			if s.alive && w.chance(20) { // it is not known for a shim that lives
				f.ShimAlive, f.TaskAlive = false, false
			}
		}
		w.note("observed %v %+v", c, f)
		w.agent.Observed(ObservedContainer{c, f})
	})
}

func (w *agentWorld) event(s *fakeShim, e ContainerEvent) {
	if e.Container = s.id; s.watched && w.agent != nil {
		w.inputs = append(w.inputs, func() { w.note("event %+v", e); w.agent.Event(e) })
	}
}

// connect makes a new link to the master of now, with nothing on it.
func (w *agentWorld) connect() {
	w.linked, w.toMaster = true, nil
	w.master.sequence, w.master.registered = 0, false
	term := w.master.term
	if w.agent != nil {
		w.inputs = append(w.inputs, func() { w.agent.Connected(term) })
	}
}

func (w *agentWorld) disconnect() {
	w.linked, w.toMaster, w.master.registered = false, nil, false
	if w.agent != nil {
		w.inputs = append(w.inputs, func() { w.agent.Disconnected() })
	}
}

// run gives the agent some of its inputs as one batch and carries out what it says.
func (w *agentWorld) run() {
	if w.agent == nil {
		return
	}
	w.agent.Tick(w.now, w.now)
	for n := w.rng.IntN(4); n > 0 && len(w.inputs) > 0; n-- {
		next := w.inputs[0]
		w.inputs = w.inputs[1:]
		next()
	}
	out := w.agent.Output()
	w.carryOut(out)
	if w.agent != nil && w.rng.IntN(20) == 0 {
		w.compact()
	}
}

// compact replaces the checkpoint by what says the same in fewer records.
func (w *agentWorld) compact() {
	was, few := newLedger(w.maxDone), newLedger(w.maxDone)
	var all Checkpoint
	for _, b := range w.disk {
		r, _ := DecodeRecord(b)
		all = append(all, r)
	}
	c := w.agent.Checkpoint()
	if err := errors.Join(was.read(all), few.read(c)); err != nil {
		w.fail("a checkpoint is not read: %v", err)
	}
	if a, b := encodedRecords(was.records()), encodedRecords(few.records()); !slices.EqualFunc(a, b, bytes.Equal) {
		w.fail("%d records say\n%+v\n%d say\n%+v", len(all), was.records(), len(c), few.records())
	}
	w.disk = encodedRecords(c)
}

func encodedRecords(c Checkpoint) (bodies [][]byte) {
	for _, r := range c {
		bodies = append(bodies, r.Append(nil))
	}
	return bodies
}

// carryOut does what an Output says, up to the end or to the death of the agent.
func (w *agentWorld) carryOut(out Output) {
	var effects []func()
	do := func(f func()) { effects = append(effects, f) }
	for _, r := range out.Save {
		do(func() { w.save(r) })
	}
	for _, c := range out.Bar {
		do(func() { w.bar(c) })
	}
	for _, c := range out.Look {
		do(func() { w.look(c) })
	}
	for _, s := range out.Start {
		do(func() { w.start(s) })
	}
	for _, s := range out.Stop {
		do(func() { w.stop(s) })
	}
	for _, m := range out.Send {
		do(func() { w.send(m) })
	}
	for _, c := range out.Forget {
		do(func() { w.forget(c) })
	}
	if out.Detect {
		do(func() { w.disconnect() })
	}
	until := len(effects)
	if len(effects) > 0 && w.chance(8) && w.rng.IntN(w.mild) == 0 {
		until = w.rng.IntN(len(effects) + 1)
	}
	for _, f := range effects[:until] {
		f()
	}
	if until < len(effects) {
		w.killAgent()
	}
}

func (w *agentWorld) save(r Record) {
	w.note("save kind %d %v %v", r.Kind, r.Task.Container, r.Status.State)
	if r.Kind == RecordTask {
		w.shims[r.Task.Container].saved = true
	}
	if r.Kind == RecordUpdate {
		w.onDisk[r.Status.ID] = true
	}
	w.disk = append(w.disk, r.Append(nil))
}

func (w *agentWorld) bar(c ContainerID) {
	if s := w.shims[c]; !s.alive {
		s.barred = true
	}
	w.look(c)
}

func (w *agentWorld) start(o StartContainer) {
	s := w.shims[o.Container]
	w.note("start %v", s.id)
	if !s.saved {
		w.fail("container %v is started and no record of it was saved", s.id)
	}
	if s.forked || s.lock {
		w.fail("container %v is started a second time", s.id)
	}
	s.forked, s.watched = true, true
}

func (w *agentWorld) stop(o StopContainer) {
	s := w.shims[o.Container]
	w.note("stop %v", s.id)
	switch {
	case s.alive:
		s.stopping = true
	case s.running:
		s.running = false
		w.event(s, ContainerEvent{Kind: ContainerExited})
	default:
		s.barred = true
		w.look(s.id)
	}
}

func (w *agentWorld) forget(c ContainerID) {
	s := w.shims[c]
	if s.alive && s.exit == nil || s.running {
		w.fail("container %v is forgotten while it lives", c)
	}
	s.alive, s.forgotten = false, true
}

func (w *agentWorld) send(m any) {
	if u, ok := m.(StatusUpdate); ok {
		if !w.onDisk[u.Status.ID] {
			w.fail("an update of container %v is sent and was not saved", u.Status.Container)
		}
		w.checkEnd(u)
	}
	if w.linked {
		w.toMaster = append(w.toMaster, m)
	}
}

// checkEnd looks that a task of which the end is told has ended, and as is told.
func (w *agentWorld) checkEnd(u StatusUpdate) {
	s := w.shims[u.Status.Container]
	if u.Latest.Terminal() || u.Status.State.Terminal() {
		s.over = true
		if s.running || s.alive && s.exit == nil || s.forked && !s.lock && !s.barred && !s.forgotten {
			w.fail("the end of container %v is told while it lives or may start", s.id)
		}
	}
	switch {
	case u.Status.State == Dropped && s.executions > 0:
		w.fail("container %v is DROPPED and was executed", s.id)
	case u.Status.State == Finished && (s.exit == nil || s.exit.Code != 0 || s.executions != 1):
		w.fail("container %v is FINISHED by %+v", s.id, s.exit)
	case u.Status.HasExit && (s.exit == nil || u.Status.ExitCode != s.exit.Code || u.Status.Signal != s.exit.Signal):
		w.fail("container %v has ended by %+v, told is %+v", s.id, s.exit, u.Status)
	}
}

// proceed lets a container go one step.
func (w *agentWorld) proceed(s *fakeShim) {
	switch {
	case s.forked && !s.lock: // the shim takes the lock, or sees that it must not start
		s.forked = false
		if s.barred || s.forgotten {
			w.event(s, ContainerEvent{Kind: ContainerNotStarted})
			return
		}
		s.lock, s.alive = true, true
	case s.alive && !s.started:
		if s.stopping || w.chance(5) {
			w.exit(s, ContainerExit{NotStarted: true}, ContainerNotStarted)
			return
		}
		s.started = true
	case s.alive && !s.running && s.exit == nil:
		w.execute(s)
	case s.alive && s.running && s.stopping:
		s.running = false
		w.exit(s, ContainerExit{Known: true, Signal: 15}, ContainerExited)
	case s.alive && s.running && !s.forever:
		s.running = false
		w.exit(s, ContainerExit{Known: true, Code: w.rng.IntN(2)}, ContainerExited)
	case s.running && !s.alive && !s.forever: // an orphan ends
		s.running = false
		w.event(s, ContainerEvent{Kind: ContainerExited})
	}
}

func (w *agentWorld) exit(s *fakeShim, e ContainerExit, kind ContainerEventKind) {
	s.exit = &e
	w.event(s, ContainerEvent{Kind: kind, Exit: e})
}

func (w *agentWorld) execute(s *fakeShim) {
	w.note("%v runs", s.id)
	s.running = true
	s.executions++
	if s.executions > 1 {
		w.fail("container %v runs a second time", s.id)
	}
	if s.over {
		w.fail("container %v runs after its end was told", s.id)
	}
	var used Resources
	for _, o := range w.order {
		if o.running {
			used = used.Add(o.resources)
		}
	}
	if used.Scalar("cpus") > 4000 {
		w.fail("the containers that run use %v", used)
	}
	w.event(s, ContainerEvent{Kind: ContainerStarted})
}

// killShim leaves its task to nobody.
func (w *agentWorld) killShim(s *fakeShim) {
	if !s.alive || s.exit != nil {
		return
	}
	w.note("shim of %v is killed", s.id)
	s.alive, s.stopping = false, false
	if s.watched && w.agent != nil {
		w.look(s.id)
	}
}

func (w *agentWorld) reboot() {
	w.note("reboot")
	w.boot++
	for _, s := range w.order {
		s.forked, s.alive, s.running, s.stopping = false, false, false, false
	}
	if w.agent != nil {
		w.killAgent()
	}
}
