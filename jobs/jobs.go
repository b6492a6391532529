package jobs

import (
	"cmp"
	"container/heap"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/synod-go/synod/mesos"
)

// Jobs is the built-in framework beside one master, from when that has read the registry to
// its end. It has nothing that the next one needs but what is in the documents. It does no
// locking.
//
// All times are Unix time, by a clock that goes on steadily: a time before an earlier one
// counts as that one. After one or more inputs Output says what is to be done.
type Jobs struct {
	config Config
	now    time.Duration
	out    Output

	jobs map[string]*job

	byTask  map[mesos.TaskID]*instance
	ending  map[mesos.TaskID]*instance // whose end the registry does not have yet
	dirty   map[*job]bool
	wakes   wakes
	changed map[string]bool

	saveNumber uint64
	saving     map[uint64]*record
	strays     map[mesos.TaskID]time.Duration // when those were killed that nobody wants
	// next is the number of the next task. Below limit they are set aside in the registry.
	next, limit uint64
	numbers     record
	numbersAt   time.Duration // when to try again to set some aside

	// subscribed: the stream has begun, and was not ended.
	subscribed bool
	roles      []string
	offers     []*offer // that nobody has used
	launches   map[mesos.OfferID]*offer
	short      map[*job]bool // have instances that wait for an offer
	wanted     bool          // for some of them no offer was asked for yet
	quiet      bool          // no offers are asked for
	revivedAt  time.Duration
	sweepAt    time.Duration
	asks       []mesos.ReconcileTask

	agents []mesos.AgentView
}

// job is one that is wanted, or is being stopped.
type job struct {
	jobDocument
	record record
	// durable is what the registry has; its Version is 0 if it has none.
	durable   jobDocument
	flushed   jobDocument // what is on its way there
	instances []*instance // by index
	// used counts instances that may run, by agent and by the values of attributes.
	used    map[use]int
	since   time.Duration // from when on it waits for offers, for their order
	pending int
	again   time.Duration // before then nothing is saved that was not asked for
	gone    bool
	wakeAt  time.Duration // 0: not in wakes
	place   int           // in wakes
	need    need
}

// use is a value of an attribute.
type use struct{ attribute, value string }

// New takes up the jobs of the documents, of which only those that begin with
// DocumentPrefix are looked at.
func New(c Config, now time.Duration, documents iter.Seq[mesos.Document]) (*Jobs, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	j := &Jobs{config: c, now: now, jobs: map[string]*job{}, byTask: map[mesos.TaskID]*instance{}, ending: map[mesos.TaskID]*instance{}, dirty: map[*job]bool{},
		changed: map[string]bool{}, saving: map[uint64]*record{},
		strays: map[mesos.TaskID]time.Duration{}, next: 1, limit: 1, launches: map[mesos.OfferID]*offer{}, short: map[*job]bool{}}
	j.numbers = record{name: numberName, encode: func() mesos.RegistryOperation {
		return mesos.PutDocument{Name: numberName, Data: encodeDocument(numberDocument{j.limit + numberBlock})}
	}}
	var tasks []mesos.Document
	for d := range documents {
		switch {
		case d.Name == numberName:
			var n numberDocument
			if err := decodeDocument(d, &n); err != nil {
				return nil, err
			}
			j.next, j.limit = n.Next, n.Next
		case len(d.Name) > len(jobPrefix) && d.Name[:len(jobPrefix)] == jobPrefix:
			if err := j.loadJob(d); err != nil {
				return nil, err
			}
		case len(d.Name) > len(taskPrefix) && d.Name[:len(taskPrefix)] == taskPrefix:
			tasks = append(tasks, d)
		}
	}
	for _, d := range tasks {
		if err := j.loadInstance(d); err != nil {
			return nil, err
		}
	}
	j.roles = j.rolesOf()
	return j, nil
}

func (j *Jobs) loadJob(d mesos.Document) error {
	var doc jobDocument
	if err := decodeDocument(d, &doc); err != nil {
		return err
	}
	if name := d.Name[len(jobPrefix):]; doc.Spec.Name != name || checkJobName(name) != nil || doc.Version == 0 {
		return fmt.Errorf("%w %s: it is of job %q, version %d", errDocument, d.Name, doc.Spec.Name, doc.Version)
	}
	b := j.newJob(doc)
	b.durable = doc
	return nil
}

func (j *Jobs) newJob(doc jobDocument) *job {
	b := &job{jobDocument: doc, used: map[use]int{}, need: needOf(&doc.Spec), place: -1}
	b.record = record{name: jobName(doc.Spec.Name), encode: func() mesos.RegistryOperation {
		if b.gone {
			return mesos.RemoveDocument{Name: b.record.name}
		}
		b.flushed = b.jobDocument
		return mesos.PutDocument{Name: b.record.name, Data: encodeDocument(b.flushed)}
	}}
	j.jobs[doc.Spec.Name] = b
	j.touch(b)
	return b
}

// loadInstance takes up an instance. One whose job is not known is ended: it was told to
// have been saved, so it must not run on unseen.
func (j *Jobs) loadInstance(d mesos.Document) error {
	name, index, ok := parseInstanceName(d.Name)
	var doc instanceDocument
	if err := decodeDocument(d, &doc); err != nil || !ok {
		return cmp.Or(err, fmt.Errorf("%w %s: it is of no instance", errDocument, d.Name))
	}
	b := j.jobs[name]
	if b == nil {
		b = j.newJob(jobDocument{Spec: Spec{Name: name}.WithDefaults(), Version: 1, Template: 1, Stopping: true})
	}
	i := j.instance(b, index)
	i.instanceDocument = doc
	i.NotBefore = min(i.NotBefore, j.now+b.Spec.Restart.BackoffMax) // another clock has set it
	if i.Task != "" && !i.Ended {
		if j.byTask[i.Task] != nil {
			return fmt.Errorf("%w %s: another one has task %s", errDocument, d.Name, i.Task)
		}
		j.byTask[i.Task] = i
		b.count(i, 1)
		i.state, i.before = mesos.Staging, true
	}
	return nil
}

// enter begins an input.
func (j *Jobs) enter(now time.Duration) { j.now = max(j.now, now) }

// touch has a job looked at by the next Output.
func (j *Jobs) touch(b *job) {
	j.dirty[b] = true
	j.changed[b.Spec.Name] = true
}

// Tick does what is due.
func (j *Jobs) Tick(now time.Duration) {
	j.enter(now)
	for len(j.wakes) > 0 && j.wakes[0].wakeAt <= j.now {
		b := heap.Pop(&j.wakes).(*job)
		b.wakeAt = 0
		j.dirty[b] = true
	}
}

// Next is when Tick is to be called, if something is to be done at some time.
func (j *Jobs) Next() (time.Duration, bool) {
	var at time.Duration
	soonest := func(t time.Duration) {
		if t > 0 && (at == 0 || t < at) {
			at = t
		}
	}
	if len(j.wakes) > 0 {
		soonest(j.wakes[0].wakeAt)
	}
	if j.subscribed {
		soonest(j.sweepAt)
		if j.wanted && j.next < j.limit {
			soonest(j.revivedAt + reviveAgain)
		}
	}
	if len(j.short) > 0 {
		soonest(j.numbersAt)
	}
	return at, at != 0
}

// Agents brings what the master knows of agents, by which Status tells why something does
// not run. It is not changed here, and must not be anywhere.
func (j *Jobs) Agents(agents []mesos.AgentView) { j.agents = agents }

// Unplaced is how many instances wait for an offer.
func (j *Jobs) Unplaced() int {
	n := 0
	for b := range j.short {
		n += b.pending
	}
	return n
}

// Output takes what there is to do after the last inputs.
func (j *Jobs) Output() Output {
	for len(j.dirty) > 0 {
		dirty := j.dirty
		j.dirty = map[*job]bool{}
		for _, b := range inOrder(dirty) {
			j.settle(b)
		}
	}
	j.reserve()
	j.assign()
	j.demand()
	j.ask()
	if roles := j.rolesOf(); !slices.Equal(roles, j.roles) {
		j.roles, j.out.Roles = roles, roles
	}
	j.out.Changed = slices.Sorted(maps.Keys(j.changed))
	clear(j.changed)
	out := j.out
	j.out = Output{}
	return out
}

func inOrder(of map[*job]bool) []*job {
	return slices.SortedFunc(maps.Keys(of), func(x, y *job) int { return cmp.Compare(x.Spec.Name, y.Spec.Name) })
}

// Roles are those to subscribe with.
func (j *Jobs) Roles() []string { return slices.Clone(j.roles) }

func (j *Jobs) rolesOf() []string {
	roles := map[string]bool{"*": true}
	for _, b := range j.jobs {
		roles[b.Spec.Role] = true
	}
	return slices.Sorted(maps.Keys(roles))
}

// reserve sets numbers aside for tasks when they run short.
func (j *Jobs) reserve() {
	if j.limit-j.next >= numberBlock/2 || !j.numbers.settled() || j.now < j.numbersAt || len(j.jobs) == 0 {
		return
	}
	j.save(&j.numbers, func(ok bool) {
		if ok {
			j.limit += numberBlock
			j.numbersAt = 0
		} else {
			j.numbersAt = j.now + saveAgain
		}
	})
}

// wakeBy has a job looked at by the time at the latest.
func (j *Jobs) wakeBy(b *job, at time.Duration) {
	switch {
	case at <= j.now: // what is due is done
	case b.wakeAt == 0:
		b.wakeAt = at
		heap.Push(&j.wakes, b)
	case at < b.wakeAt:
		b.wakeAt = at
		heap.Fix(&j.wakes, b.place)
	}
}

// wakes has the jobs that are to be looked at some time, the soonest first.
type wakes []*job

func (w wakes) Len() int { return len(w) }
func (w wakes) Less(i, k int) bool {
	return cmp.Or(cmp.Compare(w[i].wakeAt, w[k].wakeAt), cmp.Compare(w[i].Spec.Name, w[k].Spec.Name)) < 0
}
func (w wakes) Swap(i, k int) {
	w[i], w[k] = w[k], w[i]
	w[i].place, w[k].place = i, k
}
func (w *wakes) Push(x any) {
	b := x.(*job)
	b.place = len(*w)
	*w = append(*w, b)
}
func (w *wakes) Pop() any {
	old := *w
	b := old[len(old)-1]
	old[len(old)-1], b.place = nil, -1
	*w = old[:len(old)-1]
	return b
}
