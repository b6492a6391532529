package jobs

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/synod-go/synod/mesos"
)

// instance is one of a job's, and the task that was started for it last.
type instance struct {
	instanceDocument
	job    *job
	index  int
	record record

	// offer is what Task is going to be launched with once the registry has it. Before that the
	// task surely does not run.
	offer     *offer
	resources mesos.Resources // of that task
	// waits: it has no task and needs an offer; demanded: one was asked for.
	waits, demanded bool
	// removing: its document is being removed, which is tried again at removeAt.
	removing bool
	removeAt time.Duration

	// Of a task that may run: heard says that the master has told of it on this stream.
	state    mesos.TaskState
	health   mesos.Health
	heard    bool
	told     time.Duration // from when on state is what it is
	good     time.Duration // from when on it works; 0: it does not
	lost     time.Duration // from when on its agent cannot be reached; 0: it can, or nobody knows
	forsaken bool          // nobody knows its agent
	killing  bool
	killAt   time.Duration // when the kill is repeated
	askAt    time.Duration // when the master is asked for it
	asked    time.Duration // how long it was waited for the answer last
	// before: no master has told of it since it was read.
	before bool
	// last is how the one before it has ended.
	last string
	// began is when an update began to replace it.
	began time.Duration
}

// mayRun reports whether the task may run somewhere, for all that is known.
func (i *instance) mayRun() bool { return i.Task != "" && !i.Ended && i.offer == nil }

// busy reports whether there is a task that runs, may run, or is going to.
func (i *instance) busy() bool { return i.Task != "" && !i.Ended }

func (i *instance) name() string { return fmt.Sprintf("%s.%d", i.job.Spec.Name, i.index) }

// instance returns a job's by index, and makes it if there is none.
func (j *Jobs) instance(b *job, index int) *instance {
	at, ok := slices.BinarySearchFunc(b.instances, index, func(i *instance, index int) int { return cmp.Compare(i.index, index) })
	if ok {
		return b.instances[at]
	}
	i := &instance{job: b, index: index}
	i.record = record{name: instanceName(b.Spec.Name, index), encode: func() mesos.RegistryOperation {
		return mesos.PutDocument{Name: i.record.name, Data: encodeDocument(i.instanceDocument)}
	}}
	b.instances = slices.Insert(b.instances, at, i)

	return i
}

// count notes that an instance may run, or does so no more.
func (b *job) count(i *instance, by int) {
	add := func(u use) {
		if b.used[u] += by; b.used[u] == 0 {
			delete(b.used, u)
		}
	}
	add(use{"agent", string(i.Agent)})
	add(use{"hostname", i.Hostname})
	for attribute, value := range i.Values {
		add(use{attribute, value})
	}
}

// Event brings an event of the master's.
func (j *Jobs) Event(now time.Duration, event mesos.Event) {
	j.enter(now)
	switch e := event.(type) {
	case mesos.SubscribedEvent:
		j.onSubscribed()
	case mesos.OffersEvent:
		for _, o := range e.Offers {
			j.offers = append(j.offers, newOffer(o))
		}
	case mesos.RescindEvent:
		j.onRescind(e.Offer)
	case mesos.UpdateEvent:
		j.onUpdate(&e.Status)
	case mesos.ErrorEvent:
		j.Disconnected(now)
	}
}

// Disconnected tells that the stream has ended. Until the next one begins nothing that is
// called for would be done.
func (j *Jobs) Disconnected(now time.Duration) {
	j.enter(now)
	j.subscribed, j.offers = false, nil
	for _, o := range j.launches {
		o.gone = true
	}
}

// onSubscribed asks for all tasks: those that may run, and those that nobody knows of.
func (j *Jobs) onSubscribed() {
	j.Disconnected(j.now)
	j.subscribed, j.quiet, j.wanted = true, false, false
	j.revivedAt, j.sweepAt = j.now, j.now+sweepEvery
	j.out.Calls = append(j.out.Calls, mesos.ReconcileCall{})
	for _, i := range j.byTask {
		i.heard, i.askAt, i.asked, i.killAt = false, j.now, 0, 0
		i.lost = 0 // its agent may have been back meanwhile, so it counts anew
		j.touch(i.job)
	}
}

// Refused tells that the master did not take a call. What it said of tasks is asked for.
func (j *Jobs) Refused(now time.Duration, call mesos.CallBody) {
	j.enter(now)
	switch c := call.(type) {
	case mesos.AcceptCall:
		for _, t := range c.Launch {
			if i := j.byTask[t.ID]; i != nil {
				i.askAt, i.asked = j.now, 0
				j.touch(i.job)
			}
		}
	case mesos.ReviveCall, mesos.SuppressCall:
		j.quiet, j.wanted = false, len(j.short) > 0
	}
}

// onUpdate takes what is told of a task.
func (j *Jobs) onUpdate(s *mesos.TaskStatus) {
	i := j.byTask[s.Task.Task]
	if i == nil {
		if ended := j.ending[s.Task.Task]; ended == nil {
			j.onStray(s)
		} else if s.State.Terminal() {
			j.confirm(ended, s)
		}
		return
	}
	if i.offer != nil { // nobody can know of it yet
		return
	}
	j.touch(i.job)
	i.heard, i.asked = true, 0
	switch {
	case s.State.Terminal():
		j.onEnd(i, s)
		return
	case s.State == mesos.Unknown:
		// Its agent was forgotten: it may be away for good, or come back after all.
		i.forsaken = true
		j.onLost(i)
	case s.State == mesos.Unreachable:
		j.onLost(i)
	default:
		i.lost, i.forsaken = 0, false
		switch {
		case i.before && s.State == mesos.Running: // it does so since about then
			i.told = min(i.Started, j.now)
		case s.State != i.state:
			i.told = j.now
		}
		i.before = false
		i.state, i.health, i.Message = s.State, s.Health, s.Message
		works := s.State == mesos.Running && (i.job.Spec.Health == nil || s.Health == mesos.Healthy)
		if !works {
			i.good = 0
		} else if i.good == 0 {
			i.good = j.now
		}
	}
	j.acknowledge(s)
}

func (j *Jobs) onLost(i *instance) {
	if i.lost == 0 {
		i.lost, i.told = j.now, j.now
	}
	i.state, i.good = mesos.Unreachable, 0
	// An agent that comes back without it is no reason for the master to tell.
	i.heard, i.askAt, i.asked = false, j.now+askMost, askMost
}

func (j *Jobs) acknowledge(s *mesos.TaskStatus) {
	if s.ID != (mesos.UpdateID{}) {
		j.out.Calls = append(j.out.Calls, mesos.AcknowledgeCall{Task: s.Task.Task, Agent: s.Agent, ID: s.ID})
	}
}

// onStray handles a task in whose place another one is, or nobody wants any more: it is not
// to run on.
func (j *Jobs) onStray(s *mesos.TaskStatus) {
	j.acknowledge(s)
	if at, ok := j.strays[s.Task.Task]; ok && j.now < at+killAgain {
		return // a kill of what the master does not know is answered by an update
	}
	switch s.State {
	case mesos.Staging, mesos.Starting, mesos.Running, mesos.Unreachable:
		if len(j.strays) >= maxStrays {
			clear(j.strays)
		}
		j.strays[s.Task.Task] = j.now
		j.out.Calls = append(j.out.Calls, mesos.KillCall{Task: s.Task.Task, Agent: s.Agent})
	}
}

// onEnd notes how a task has ended.
func (j *Jobs) onEnd(i *instance, s *mesos.TaskStatus) {
	j.end(i, endOf(s))
	j.confirm(i, s)
}

// confirm acknowledges the end of an instance's task when the registry has it.
func (j *Jobs) confirm(i *instance, s *mesos.TaskStatus) {
	task := i.Task
	j.ending[task] = i
	j.save(&i.record, func(ok bool) {
		j.touch(i.job)
		if !ok { // an agent tells it again, and settle tries it again
			i.askAt = j.now + saveAgain
			return
		}
		delete(j.ending, task)
		if s != nil {
			j.acknowledge(s)
		}
	})
}

// ending is how a task has ended.
type ending struct {
	state            mesos.TaskState
	message          string
	hasExit          bool
	exitCode, signal int
}

func endOf(s *mesos.TaskStatus) ending {
	return ending{s.State, shorten(s.Message, mesos.MaxStatusMessage), s.HasExit, s.ExitCode, s.Signal}
}

// end takes the task of an instance for ended, and says what follows. It is not saved yet.
func (j *Jobs) end(i *instance, e ending) {
	b := i.job
	delete(j.byTask, i.Task)
	b.count(i, -1)
	asked := i.killing
	i.Ended, i.State, i.Message, i.Since = true, e.state, e.message, j.now
	i.HasExit, i.ExitCode, i.Signal = e.hasExit, e.exitCode, e.signal
	i.lost, i.forsaken, i.killing, i.good, i.heard, i.askAt, i.killAt = 0, false, false, 0, false, 0, 0
	i.health, i.last = mesos.HealthUnknown, i.outcome()
	r := &b.Spec.Restart
	switch {
	case e.state == mesos.Finished && (b.Spec.Kind != Service || r.On != "always" && !asked):
		i.Done = true
	case asked, e.state == mesos.Unreachable:
		i.Restarts, i.NotBefore = 0, j.now
	case e.state == mesos.Dropped: // it never started
		i.NotBefore = j.now + r.BackoffMin
	case r.On == "never" && (b.Spec.Kind != Service || e.state == mesos.Failed || e.state == mesos.Errored || e.state == mesos.Finished):
		i.GaveUp = true
	case e.state == mesos.Killed, e.state == mesos.GoneByOperator:
		i.NotBefore = j.now // by an operator, or with its agent: it has not failed
	case e.state == mesos.Gone, e.state == mesos.Lost:
		i.NotBefore = j.now + r.BackoffMin
	default:
		i.failed(j.now, r)
	}
}

// failed says when an instance that has ended by itself comes again.
func (i *instance) failed(now time.Duration, r *Restart) {
	if now-i.Started >= r.BackoffMax {
		i.Restarts = 0
	}
	if r.GiveUpAfter > 0 && i.Restarts >= r.GiveUpAfter {
		i.GaveUp = true
		return
	}
	i.Restarts++
	i.NotBefore = now + min(r.BackoffMin<<min(i.Restarts-1, 20), r.BackoffMax)
}

// kill has a task ended, again and again until it has.
func (j *Jobs) kill(i *instance) {
	i.killing = true
	if j.subscribed && j.now >= i.killAt {
		i.killAt = j.now + killAgain
		j.out.Calls = append(j.out.Calls, mesos.KillCall{Task: i.Task, Agent: i.Agent})
	}
	j.wakeBy(i.job, i.killAt)
}

// ask asks the master for the tasks of which it is to tell.
func (j *Jobs) ask() {
	slices.SortFunc(j.asks, func(x, y mesos.ReconcileTask) int { return cmp.Compare(x.Task, y.Task) })
	for chunk := range slices.Chunk(j.asks, askAtOnce) {
		j.out.Calls = append(j.out.Calls, mesos.ReconcileCall{Tasks: slices.Clone(chunk)})
	}
	j.asks = j.asks[:0]
	if j.subscribed && j.now >= j.sweepAt {
		j.sweepAt = j.now + sweepEvery
		j.out.Calls = append(j.out.Calls, mesos.ReconcileCall{})
	}
}

// wonder asks for a task that nothing was heard of for too long.
func (j *Jobs) wonder(i *instance) {
	if i.heard || !j.subscribed || i.askAt == 0 {
		return
	}
	if j.now >= i.askAt {
		j.asks = append(j.asks, mesos.ReconcileTask{Task: i.Task, Agent: i.Agent})
		i.asked = min(max(2*i.asked, askFirst), askMost)
		i.askAt = j.now + i.asked
	}
	j.wakeBy(i.job, i.askAt)
}
