package jobs

import (
	"slices"
	"time"

	"github.com/synod-go/synod/mesos"
)

// settle brings a job nearer to what it is to be: it ends tasks that are not to run, finds
// out which instances need one, and goes on with an update or a timetable.
func (j *Jobs) settle(b *job) {
	if b.gone {
		j.forget(b)
		return
	}
	if b.Stopping {
		j.settleStopping(b)
		return
	}
	j.settleTimed(b)
	for _, run := range b.slots() {
		for n := range b.Spec.Count {
			j.instance(b, run*MaxCount+n)
		}
	}
	was := b.pending
	b.pending = 0
	for _, i := range slices.Clone(b.instances) {
		j.settleInstance(b, i)
	}
	j.settleUpdate(b)
	if b.pending == 0 {
		delete(j.short, b)
		return
	}
	if was == 0 {
		b.since = j.now
	}
	j.short[b] = true
}

// slots are those that instances are wanted of.
func (b *job) slots() []int {
	if b.Spec.Kind == Service {
		return []int{0}
	}
	var all []int
	for slot, run := range b.Runs {
		if run != 0 {
			all = append(all, slot)
		}
	}
	return all
}

// wants reports whether the job is to have an instance of that index.
func (b *job) wants(index int) bool {
	slot := index / MaxCount
	return !b.Stopping && index%MaxCount < b.Spec.Count && (b.Spec.Kind == Service && slot == 0 || slot < len(b.Runs) && b.Runs[slot] != 0)
}

// run is the time of the run that an instance belongs to.
func (b *job) run(index int) time.Duration {
	if slot := index / MaxCount; b.Spec.Kind != Service && slot < len(b.Runs) {
		return b.Runs[slot]
	}
	return 0
}

// fresh forgets of an instance that has no task what it has seen with another one: in a run
// or Spec of before.
func (b *job) fresh(i *instance) {
	if run := b.run(i.index); i.Run != run || b.Spec.Kind == Service && i.Template != b.Template {
		i.Run, i.Template = run, b.Template
		i.Restarts, i.NotBefore, i.Done, i.GaveUp = 0, 0, false, false
	}
}

func (j *Jobs) settleInstance(b *job, i *instance) {
	i.waits = false
	if i.busy() {
		i.demanded = false
	}
	switch {
	case i.removing, i.offer != nil: // its document is on the way
	case i.mayRun():
		j.settleRunning(b, i)
	case j.ending[i.Task] == i:
		if j.now >= i.askAt && i.record.settled() {
			j.confirm(i, nil)
		}
		if i.askAt > j.now {
			j.wakeBy(b, i.askAt)
		}
	case !b.record.settled(): // what it is to be is not in the registry, and may never be
	case !b.wants(i.index):
		if !b.Stopping && b.Spec.Kind != Service && i.Done && i.Run == b.run(i.index) {
			return // it has run, also if it is wanted again
		}
		j.remove(i)
	default:
		b.fresh(i)
		switch {
		case i.Done, i.GaveUp:
		case i.NotBefore > j.now:
			j.wakeBy(b, i.NotBefore)
		default:
			j.wait(b, i)
		}
	}
}

// wait has an instance wait for an offer.
func (j *Jobs) wait(b *job, i *instance) {
	i.waits = true
	b.pending++
	if !i.demanded {
		i.demanded, j.wanted = true, true
	}
}

// settleRunning looks after a task that may run.
func (j *Jobs) settleRunning(b *job, i *instance) {
	if i.lost != 0 && i.ReplaceAfter > 0 && j.subscribed { // without a stream nobody would hear that the agent is back
		if j.now >= i.lost+i.ReplaceAfter {
			// Its agent has ended it by now (see StopAfter), if it ran at all.
			j.end(i, ending{state: mesos.Unreachable, message: "agent " + string(i.Agent) + " could not be reached for " + i.ReplaceAfter.String()})
			j.confirm(i, nil)
			j.touch(b)
			return
		}
		j.wakeBy(b, i.lost+i.ReplaceAfter)
	}
	if b.record.settled() && (!b.wants(i.index) || b.Spec.Kind != Service && i.Run != b.run(i.index)) {
		if b.Stopping && i.forsaken { // nothing comes in its place, and nobody will ever tell
			j.end(i, ending{state: mesos.Unknown, message: "nobody knows agent " + string(i.Agent) + " any more"})
			j.confirm(i, nil)
			j.touch(b)
			return
		}
		i.killing = true
	}
	if i.killing {
		j.kill(i)
	}
	j.wonder(i)
}

// remove forgets an instance that is not wanted.
func (j *Jobs) remove(i *instance) {
	if !i.record.settled() {
		return
	}
	b := i.job
	drop := func() {
		b.instances = slices.DeleteFunc(b.instances, func(o *instance) bool { return o == i })

		j.touch(b)
	}
	if i.Task == "" {
		drop()
		return
	}
	if i.removeAt > j.now {
		j.wakeBy(b, i.removeAt)
		return
	}
	encode := i.record.encode
	i.removing = true
	i.record.encode = func() mesos.RegistryOperation { return mesos.RemoveDocument{Name: i.record.name} }
	j.save(&i.record, func(ok bool) {
		i.record.encode, i.removing = encode, false
		if ok {
			i.Task = "" // what comes in its place begins anew
			i.instanceDocument = instanceDocument{}
			if !b.wants(i.index) {
				drop()
				return
			}
		} else {
			i.removeAt = j.now + saveAgain
		}
		j.touch(b)
	})
}

// settleStopping ends all tasks and forgets the job when they have.
func (j *Jobs) settleStopping(b *job) {
	delete(j.short, b)
	b.pending = 0
	if b.durable.Version != 0 && !b.durable.Stopping {
		return // it is being saved that it stops
	}
	for _, i := range slices.Clone(b.instances) {
		j.settleInstance(b, i)
	}
	if len(b.instances) > 0 || !b.record.settled() || j.now < b.again {
		if j.now < b.again {
			j.wakeBy(b, b.again)
		}
		return
	}
	b.gone = true
	j.save(&b.record, func(ok bool) {
		if !ok {
			b.gone, b.again = false, j.now+saveAgain
		}
		j.touch(b)
	})
}

// forget drops a job when the registry has dropped it.
func (j *Jobs) forget(b *job) {
	if b.record.settled() && j.jobs[b.Spec.Name] == b {
		delete(j.jobs, b.Spec.Name)
		delete(j.short, b)
		j.changed[b.Spec.Name] = true
	}
}

// store saves what a job has become by itself: an update goes on, a run begins. If the
// registry does not take it, it is as before for a while.
func (j *Jobs) store(b *job) {
	j.saveJob(b, func(ok bool) {
		if !ok {
			b.again = j.now + saveAgain
			j.wakeBy(b, b.again)
		}
	})
}

// saveJob saves a job as it is now. then is told, after the job is what the registry has.
func (j *Jobs) saveJob(b *job, then func(ok bool)) {
	j.touch(b)
	j.save(&b.record, func(ok bool) {
		if ok {
			b.durable = b.flushed
			j.wanted = true // it may have been passed over until now
		} else if b.durable.Version != 0 {
			b.become(b.durable)
		}
		j.touch(b)
		then(ok)
	})
}

// become changes what the job is to be.
func (b *job) become(doc jobDocument) {
	b.jobDocument = doc
	b.need = needOf(&doc.Spec)
	b.used = map[use]int{}
	for _, i := range b.instances {
		if i.busy() {
			b.count(i, 1)
		}
	}
}
