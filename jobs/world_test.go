package jobs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/mesos"
)

// unixStart is when each world begins, in Unix time.
const unixStart = 1_700_000_000 * time.Second

// world is a registry, masters with jobs beside them, agents and their containers, and people
// that want jobs. Masters die at every point, messages between masters and agents are lost,
// doubled and late, agents are cut off, restarted and lost. The masters and the agents are the
// real ones of package mesos.
type world struct {
	rand     *rand.Rand
	seed     uint64
	now      time.Duration
	registry *mesos.Registry
	index    uint64
	term     mesos.Term
	reigns   []*reign // the last one leads; one before it may not know that for a while
	agents   []*worldAgent
	flying   []worldMessage
	links    mesos.LinkID
	calm     bool
	failure  string
	bug      string // planted, see bugs
	stale    *mesos.Registry
	counts   map[string]int

	tasks     map[mesos.TaskID]*worldTask
	instances map[string]*worldInstance
	wrecked   map[mesos.AgentID]bool
	ping      time.Duration           // of masters
	ends      map[mesos.UpdateID]bool // updates that tell of an end
}

// worldTask is what is known from outside of a task.
type worldTask struct {
	starts, running int
	key             string
	over            bool // told to have ended
}

// worldInstance is an instance as the containers show it.
type worldInstance struct {
	running int
	ended   map[time.Duration]*worldAgent // runs that ended with 0, and where
}

type worldMessage struct {
	to   func()
	from mesos.LinkID
}

func newWorld(seed uint64, agents int, bug string) *world {
	r, err := mesos.NewRegistry(mesos.RegistryConfig{})
	if err != nil {
		panic(err)
	}
	w := &world{rand: rand.New(rand.NewPCG(seed, 11)), seed: seed, registry: r, bug: bug, counts: map[string]int{},
		tasks: map[mesos.TaskID]*worldTask{}, instances: map[string]*worldInstance{},
		ping: time.Second, wrecked: map[mesos.AgentID]bool{}, ends: map[mesos.UpdateID]bool{}}
	for n := range agents {
		w.agents = append(w.agents, newWorldAgent(w, n))
	}
	w.elect()
	return w
}

func (w *world) fail(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf("seed %d, at %v: ", w.seed, w.now) + fmt.Sprintf(format, args...)
	}
}

func (w *world) chance(percent int) bool { return w.rand.IntN(100) < percent }

// reign is a master and the jobs beside it.
type reign struct {
	w       *world
	term    mesos.Term
	since   time.Duration
	m       *mesos.Master
	queue   []mesos.RegistryOperation // proposed and not committed
	results []func()                  // committed and not told

	j      *Jobs
	life   int // of j: what is for an earlier one is dropped
	stream mesos.StreamID
	next   uint64 // request
	saves  map[uint64]Save
	calls  []mesos.CallBody
	events []mesos.Event
}

// elect begins another mastership.
func (w *world) elect() {
	w.term++
	c := mesos.MasterConfig{Name: fmt.Sprint("m", w.term), Rand: rand.New(rand.NewPCG(w.seed, uint64(w.term))), PingInterval: w.ping,
		MaxMissedPings: 3, RegisterTimeout: 10 * time.Second, FrameworkGrace: time.Hour, LaunchTimeout: 5 * time.Second}
	m, err := mesos.NewMaster(c, w.term, w.now, unixStart+w.now)
	if err != nil {
		panic(err)
	}
	w.reigns = append(w.reigns, &reign{w: w, term: w.term, since: w.now, m: m, saves: map[uint64]Save{}})
	w.settle()
}

func (w *world) leader() *reign { return w.reigns[len(w.reigns)-1] }

// end is the death of a master: what it has proposed may be committed.
func (w *world) end(r *reign) {
	for len(r.queue) > 0 && w.chance(50) {
		r.commit()
	}
	w.reigns = slices.DeleteFunc(w.reigns, func(o *reign) bool { return o == r })
	for _, a := range w.agents {
		if a.master == r {
			a.unlink()
		}
	}
}

// commit applies the first operation that a master has proposed.
func (r *reign) commit() {
	w := r.w
	o := r.queue[0]
	r.queue = r.queue[1:]
	w.index++
	result := w.registry.Carry(w.index, mesos.RegistryCommand{Term: r.term, Operations: []mesos.RegistryOperation{o}}).Results[0]
	var loaded *mesos.Registry
	if _, ok := o.(mesos.ElectMaster); ok && result.Code == mesos.CodeOK {
		loaded = w.registry.Clone()
	}
	if g, ok := o.(mesos.MarkGone); ok && result.Code == mesos.CodeOK {
		w.wrecked[g.Agent] = true
	}
	r.results = append(r.results, func() {
		r.m.Committed(w.now, result)
		if loaded != nil {
			r.m.Loaded(w.now, loaded)
			r.begin()
		}
	})
}

// begin starts the jobs beside the master, from what the registry has, as the host does after
// all that an earlier life has saved has come out.
func (r *reign) begin() {
	w := r.w
	from := w.registry
	if w.bug == "it reads documents of before" && w.stale != nil {
		from = w.stale
	}
	j, err := New(Config{Next: everyMinute, PingInterval: w.ping}, unixStart+w.now, from.Documents(DocumentPrefix))
	w.stale = w.registry.Clone()
	if err != nil {
		w.fail("the documents cannot be read: %v", err)
		return
	}
	r.life++
	r.j, r.calls, r.events = j, nil, nil
	r.subscribe(j.Roles())
}

// everyMinute is the timetable of all jobs.
func everyMinute(schedule string, after time.Duration) (time.Duration, bool) {
	return after.Truncate(time.Minute) + time.Minute, schedule == "* * * * *"
}

func (r *reign) subscribe(roles []string) {
	r.next++
	r.stream = mesos.StreamID(fmt.Sprintf("%d-%d", r.term, r.next))
	r.events = nil
	r.m.Call(r.w.now, mesos.Call{Request: r.next, Stream: r.stream, Body: mesos.SubscribeCall{Info: mesos.FrameworkInfo{ID: FrameworkID,
		Name: "jobs", Roles: roles, FailoverTimeout: mesos.MaxFailoverTimeout}}})
}

// settle carries out what all want.
func (w *world) settle() {
	for _, r := range slices.Clone(w.reigns) {
		r.carryOut()
	}
	for _, a := range w.agents {
		a.carryOut()
	}
}

func (r *reign) carryOut() {
	w := r.w
	if r.j != nil {
		r.carryOutJobs()
	}
	out := r.m.Output()
	r.queue = append(r.queue, out.Commit...)
	for _, t := range out.ToAgents {
		w.post(0, func() { w.toAgent(t) })
	}
	for _, e := range out.ToSchedulers {
		if e.Stream == r.stream && r.j != nil {
			r.events = append(r.events, e.Event)
		}
	}
	for _, a := range out.Answers {
		r.answered(a)
	}
	if out.Ended != "" {
		w.end(r)
	}
}

func (r *reign) answered(a mesos.Answer) {
	s, ok := r.saves[a.Request]
	if !ok {
		return
	}
	delete(r.saves, a.Request)
	life := r.life
	r.results = append(r.results, func() {
		if r.life == life {
			r.j.Saved(unixStart+r.w.now, s.Number, a.Code == mesos.CallAccepted)
		}
	})
}

func (r *reign) carryOutJobs() {
	w := r.w
	out := r.j.Output()
	for _, s := range out.Save {
		if w.bug == "it takes what it asked for as saved" {
			life, number := r.life, s.Number
			r.results = append(r.results, func() {
				if r.life == life {
					r.j.Saved(unixStart+w.now, number, true)
				}
			})
			if w.chance(50) {
				continue
			}
			r.m.Operate(w.now, 0, s.Operation)
			continue
		}
		if w.chance(2) && !w.calm { // the registry is overloaded, or full
			life := r.life
			r.results = append(r.results, func() {
				if r.life == life {
					r.j.Saved(unixStart+w.now, s.Number, false)
				}
			})
			continue
		}
		r.next++
		r.saves[r.next] = s
		r.m.Operate(w.now, r.next, s.Operation)
	}
	r.calls = append(r.calls, out.Calls...)
	for _, a := range out.Answers {
		w.counts[fmt.Sprint("answer ", a.Code)]++
	}
	if out.Roles != nil {
		r.subscribe(out.Roles)
	}
}

// call makes the first call that the jobs want.
func (r *reign) call() {
	w := r.w
	body := r.calls[0]
	r.calls = r.calls[1:]
	if a, ok := body.(mesos.AcceptCall); ok && w.bug == "tasks run on without a master" {
		for i := range a.Launch {
			a.Launch[i].StopAfter = 0
		}
	}
	w.checkCall(r, body)
	r.next++
	r.m.Call(w.now, mesos.Call{Request: r.next, Stream: r.stream, Framework: FrameworkID, Body: body})
	out := r.m.Output()
	for _, a := range out.Answers {
		if a.Request == r.next && a.Code != mesos.CallAccepted {
			r.j.Refused(unixStart+w.now, body)
		}
	}
	r.redo(out)
}

// redo puts back what call took of the master's output.
func (r *reign) redo(out mesos.MasterOutput) {
	r.queue = append(r.queue, out.Commit...)
	for _, t := range out.ToAgents {
		r.w.post(0, func() { r.w.toAgent(t) })
	}
	for _, e := range out.ToSchedulers {
		if e.Stream == r.stream {
			r.events = append(r.events, e.Event)
		}
	}
	for _, a := range out.Answers {
		r.answered(a)
	}
	if out.Ended != "" {
		r.w.end(r)
	}
}

func (r *reign) event() {
	e := r.events[0]
	r.events = r.events[1:]
	if u, ok := e.(mesos.UpdateEvent); ok {
		if t := r.w.tasks[u.Status.Task.Task]; t != nil && u.Status.State.Terminal() {
			t.over = true
			r.w.ends[u.Status.ID] = true
			if r.w.bug == "it acknowledges before it saves" && u.Status.ID != (mesos.UpdateID{}) {
				r.calls = append([]mesos.CallBody{mesos.AcknowledgeCall{Task: u.Status.Task.Task, Agent: u.Status.Agent, ID: u.Status.ID}}, r.calls...)
			}
		}
		if u.Status.State == mesos.Unreachable && r.w.bug == "it takes what it cannot see for ended" {
			u.Status.State = mesos.Gone
			e = u
		}
	}
	r.j.Event(unixStart+r.w.now, e)
}

// checkCall looks at what the jobs are about to call for.
func (w *world) checkCall(r *reign, body mesos.CallBody) {
	switch c := body.(type) {
	case mesos.AcceptCall:
		for _, t := range c.Launch {
			if doc, ok := w.document(t.ID); (!ok || doc.Task != t.ID || doc.Ended) && w.registry.Master().Term == r.term {
				w.fail("%s is launched and the registry has %+v", t.ID, doc)
			}
			w.checkDocker(&t)
		}
	case mesos.AcknowledgeCall:
		if doc, ok := w.document(c.Task); ok && w.ends[c.ID] && doc.Task == c.Task && !doc.Ended {
			w.fail("the end of %s is acknowledged and the registry has %+v", c.Task, doc)
		}
	}
}

// checkDocker looks at whether a container is launched where an engine is.
func (w *world) checkDocker(t *mesos.TaskInfo) {
	if t.Docker == nil {
		return
	}
	w.counts["containers"]++
	for _, a := range w.agents {
		if a.core.ID() == t.Agent && a.info.Attributes[mesos.DockerAttribute] == "" {
			w.fail("%s is launched on %s, which has no Docker", t.ID, t.Agent)
		}
	}
	if len(t.Docker.Ports) != 1 || t.Docker.Ports[0].Container != 80 {
		w.fail("%s is launched with the ports %v", t.ID, t.Docker.Ports)
	}
}

// document is that of a task's instance.
func (w *world) document(t mesos.TaskID) (doc instanceDocument, ok bool) {
	d, ok := w.registry.Document(taskPrefix + keyOf(t))
	if ok && decodeDocument(d, &doc) != nil {
		return doc, false
	}
	return doc, ok
}

// keyOf is the instance of a task.
func keyOf(t mesos.TaskID) string { return string(t)[:strings.LastIndexByte(string(t), '.')] }

func (w *world) instance(key string) *worldInstance {
	i := w.instances[key]
	if i == nil {
		i = &worldInstance{ended: map[time.Duration]*worldAgent{}}
		w.instances[key] = i
	}
	return i
}

// started looks at a container that starts: nothing else of its instance may run, and its run
// must not have ended well before.
func (w *world) started(id mesos.TaskID) {
	t := w.tasks[id]
	if t == nil {
		t = &worldTask{key: keyOf(id)}
		w.tasks[id] = t
	}
	i := w.instance(t.key)
	if t.starts++; t.starts > 1 {
		w.fail("%s starts for the second time", id)
	}
	if i.running > 0 {
		w.fail("%s starts and %d of its instance run", id, i.running)
	}
	if t.over {
		w.fail("%s starts and was told to have ended", id)
	}
	if doc, ok := w.document(id); ok && doc.Task == id {
		// Who wants it replaced while nobody can see it gets it twice if it has ended unseen, as
		// does who says that its agent is gone.
		if on := i.ended[doc.Run]; doc.ReplaceAfter == 0 && doc.Run != 0 && on != nil && !on.dead {
			w.fail("%s starts and the run of %v has ended well", id, doc.Run)
		}
	}
	t.running++
	i.running++
	w.counts["started"]++
}

func (w *world) ended(a *worldAgent, id mesos.TaskID, code int) {
	t := w.tasks[id]
	t.running--
	w.instance(t.key).running--
	if doc, ok := w.document(id); ok && doc.Task == id && doc.Run != 0 && code == 0 {
		w.instance(t.key).ended[doc.Run] = a
	}
}

// post sends a message: it may be lost or doubled, and overtake others.
func (w *world) post(from mesos.LinkID, to func()) {
	n := 1
	if !w.calm && w.chance(6) {
		n = w.rand.IntN(3)
	}
	for range n {
		w.flying = append(w.flying, worldMessage{to, from})
	}
}

func (w *world) deliver() {
	at := 0
	if !w.calm && w.chance(20) {
		at = w.rand.IntN(len(w.flying))
	}
	m := w.flying[at]
	w.flying = slices.Delete(w.flying, at, at+1)
	m.to()
}

func (w *world) toAgent(t mesos.ToAgent) {
	for _, a := range w.agents {
		if t.Link != 0 && a.link == t.Link && !a.cut && !a.dead {
			a.core.Tick(w.now, unixStart+w.now)
			a.core.Step(t.Message)
		}
	}
}

func (w *world) pass(d time.Duration) {
	w.now += d
	for _, r := range slices.Clone(w.reigns) {
		r.m.Tick(w.now)
		if r.j != nil {
			r.j.Tick(unixStart + w.now)
		}
	}
	for _, r := range slices.Clone(w.reigns[:len(w.reigns)-1]) {
		if w.now-r.since > 8*time.Second { // it could not make sure that it leads
			w.end(r)
		}
	}
	w.settle()
}

// worldAgent is an agent with its disk and its containers.
type worldAgent struct {
	w          *world
	n          int
	core       *mesos.Agent
	info       mesos.AgentInfo
	saved      mesos.Checkpoint
	starts     uint64
	master     *reign
	link       mesos.LinkID
	cut, dead  bool
	containers map[mesos.ContainerID]*worldContainer
}

type worldContainer struct {
	task      mesos.TaskID
	resources mesos.Resources
	stopBy    time.Duration // when it is killed at last; 0: not
	runs      bool
	barred    bool
	exit      *mesos.ContainerExit
}

func newWorldAgent(w *world, n int) *worldAgent {
	resources, err := mesos.ParseResources("cpus:12;mem:8192;ports:[31000-31049]")
	if err != nil {
		panic(err)
	}
	a := &worldAgent{w: w, n: n, info: mesos.AgentInfo{Hostname: fmt.Sprint("h", n), Address: fmt.Sprintf("10.0.0.%d:1", n), Resources: resources,
		Attributes: map[string]string{"zone": string(rune('a' + n%2))}}, containers: map[mesos.ContainerID]*worldContainer{}}
	if n < 2 {
		a.info.Attributes[mesos.DockerAttribute] = "20.10.24"
	}
	a.restart()
	return a
}

// restart is kill -9 and a start of the agent.
func (a *worldAgent) restart() {
	a.unlink()
	a.starts++
	c := mesos.AgentConfig{Info: a.info, Boot: "boot " + a.info.Address, Rand: rand.New(rand.NewPCG(a.w.seed*100+uint64(a.n), a.starts)),
		PingTimeout: 5 * time.Second, RegisterMost: 3 * time.Second, RetryFirst: 2 * time.Second, RetryMost: 5 * time.Second}
	core, err := mesos.NewAgent(c, a.saved, a.w.now)
	if err != nil {
		panic(err)
	}
	a.core = core
	core.Tick(a.w.now, unixStart+a.w.now)
	for _, id := range core.Unobserved() {
		core.Observed(mesos.ObservedContainer{Container: id, Facts: a.facts(id)})
	}
	a.carryOut()
}

func (a *worldAgent) facts(id mesos.ContainerID) mesos.Facts {
	c := a.containers[id]
	if c == nil {
		return mesos.Facts{}
	}
	started := c.runs || c.exit != nil
	return mesos.Facts{Barred: c.barred, Locked: started, ShimAlive: c.runs, Started: started, TaskAlive: c.runs, Exit: c.exit}
}

func (a *worldAgent) unlink() {
	if a.link == 0 {
		return
	}
	master, link := a.master, a.link
	a.w.flying = slices.DeleteFunc(a.w.flying, func(m worldMessage) bool { return m.from == link })
	a.link, a.master = 0, nil
	a.core.Tick(a.w.now, unixStart+a.w.now)
	a.core.Disconnected()
	a.w.flying = append(a.w.flying, worldMessage{to: func() { master.m.LinkBroken(a.w.now, link) }})
}

func (a *worldAgent) connect(r *reign) {
	if a.dead || a.cut || a.link != 0 || r.term < a.core.Term() {
		return
	}
	a.w.links++
	a.master, a.link = r, a.w.links
	a.core.Tick(a.w.now, unixStart+a.w.now)
	a.core.Connected(r.term)
}

func (a *worldAgent) carryOut() {
	if a.dead {
		return
	}
	a.core.Tick(a.w.now, unixStart+a.w.now)
	for _, id := range a.live() {
		if c := a.containers[id]; c.stopBy != 0 && a.w.now >= c.stopBy {
			a.exit(id, mesos.ContainerExit{Known: true, Signal: 9})
		}
	}
	for busy := true; busy; {
		out := a.core.Output()
		busy = len(out.Bar)+len(out.Start) > 0
		a.saved = append(a.saved, out.Save...)
		for _, id := range out.Bar {
			if a.containers[id] == nil {
				a.containers[id] = &worldContainer{barred: true}
			}
			a.core.Observed(mesos.ObservedContainer{Container: id, Facts: a.facts(id)})
		}
		for _, s := range out.Start {
			a.containers[s.Container] = &worldContainer{task: s.Task.ID, runs: true, resources: s.Task.Resources}
			a.w.started(s.Task.ID)
			a.core.Event(mesos.ContainerEvent{Container: s.Container, Kind: mesos.ContainerStarted})
			if s.Task.Health != nil {
				a.core.Event(mesos.ContainerEvent{Container: s.Container, Kind: mesos.ContainerChecked, Health: mesos.Healthy})
			}
		}
		for _, s := range out.Stop {
			if c := a.containers[s.Container]; c != nil && c.runs {
				c.stopBy = max(1, a.w.now+s.Grace)
				busy = true
			}
		}
		for _, m := range out.Send {
			if master, link := a.master, a.link; master != nil && !a.cut {
				a.w.post(link, func() { master.m.AgentMessage(a.w.now, link, m) })
			}
		}
		if out.Detect {
			a.unlink()
		}
		for _, id := range a.live() { // some take all of their grace
			if c := a.containers[id]; c.stopBy != 0 && (a.w.now >= c.stopBy || a.w.chance(50)) {
				a.exit(id, mesos.ContainerExit{Known: true, Signal: 15})
				busy = true
			}
		}
	}
}

func (a *worldAgent) exit(id mesos.ContainerID, exit mesos.ContainerExit) {
	c := a.containers[id]
	if c == nil || !c.runs {
		return
	}
	c.runs, c.exit = false, &exit
	code := exit.Code
	if exit.Signal != 0 || c.stopBy != 0 { // what it says when it was told to end is no end of its work
		code = 128
	}
	a.w.ended(a, c.task, code)
	a.core.Event(mesos.ContainerEvent{Container: id, Kind: mesos.ContainerExited, Exit: exit})
}

func (a *worldAgent) live() []mesos.ContainerID {
	var all []mesos.ContainerID
	for id, c := range a.containers {
		if c.runs {
			all = append(all, id)
		}
	}
	slices.SortFunc(all, func(x, y mesos.ContainerID) int { return bytes.Compare(x[:], y[:]) })
	return all
}

// wreck is the end of the machine, with all that runs on it.
func (a *worldAgent) wreck() {
	for _, id := range a.live() {
		a.containers[id].runs = false
		a.w.ended(a, a.containers[id].task, 137)
	}
	a.unlink()
	a.dead = true
}

func (w *world) runningTasks() map[string]int {
	all := map[string]int{}
	for _, t := range w.tasks {
		if t.running > 0 {
			all[t.key[:strings.LastIndexByte(t.key, '.')]] += t.running
		}
	}
	return all
}
