package jobs

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/synod-go/synod/mesos"
)

// need is what each instance of a job takes.
type need struct {
	cpus, memory, disk mesos.Milli
	ports              int
	fixed              []uint16
	// told apart by these attributes, which the documents keep the values of.
	attributes []string
}

func needOf(s *Spec) need {
	n := need{cpus: s.CPUs, memory: s.Memory, disk: s.Disk, ports: len(s.Ports)}
	for _, p := range s.Ports {
		if p.Host != 0 {
			n.fixed = append(n.fixed, p.Host)
		}
	}
	for _, c := range s.Constraints {
		if (c.Operator == "unique" || c.Operator == "spread") && c.Attribute != "agent" && c.Attribute != "hostname" {
			n.attributes = append(n.attributes, c.Attribute)
		}
	}
	return n
}

// offer is one of the master's, and the instances that are to be launched with it.
type offer struct {
	info               mesos.OfferInfo
	left               mesos.Resources
	cpus, memory, disk mesos.Milli
	instances          []*instance
	unsaved            int
	gone               bool // it was taken back
}

func newOffer(info mesos.OfferInfo) *offer {
	o := &offer{info: info, left: info.Resources}
	o.weigh()
	return o
}

func (o *offer) weigh() {
	o.cpus, o.memory, o.disk = o.left.Scalar("cpus"), o.left.Scalar("mem"), o.left.Scalar("disk")
}

// value is an attribute of the offer's agent.
func (o *offer) value(attribute string) (string, bool) {
	return valueOf(attribute, o.info.Agent, o.info.Hostname, o.info.Attributes)
}

func valueOf(attribute string, agent mesos.AgentID, hostname string, attributes map[string]string) (string, bool) {
	switch attribute {
	case "agent":
		return string(agent), true
	case "hostname":
		return hostname, true
	}
	v, ok := attributes[attribute]
	return v, ok
}

// assign finds offers for the instances that wait, begins to save what is launched with
// them, and gives the rest back.
func (j *Jobs) assign() {
	if len(j.offers) == 0 {
		return
	}
	order := slices.Collect(maps.Keys(j.short))
	slices.SortFunc(order, func(x, y *job) int {
		return cmp.Or(cmp.Compare(x.since, y.since), cmp.Compare(x.Spec.Name, y.Spec.Name))
	})
	for _, b := range order {
		if b.record.settled() { // else what it is to be is not in the registry yet
			j.assignJob(b)
		}
	}
	var free []mesos.OfferID
	for _, o := range j.offers {
		if len(o.instances) == 0 {
			free = append(free, o.info.ID)
			continue
		}
		j.launches[o.info.ID] = o
		for _, i := range o.instances {
			j.begin(i)
		}
	}
	j.offers = nil
	if len(free) > 0 {
		j.out.Calls = append(j.out.Calls, mesos.DeclineCall{Offers: free, Refuse: -1})
	}
}

func (j *Jobs) assignJob(b *job) {
	for _, i := range b.instances {
		if !i.waits {
			continue
		}
		if j.next >= j.limit { // the registry has set no more numbers aside yet
			j.wanted = true
			return
		}
		o, taken, ports := j.pick(b)
		if o == nil {
			return // nor is there one for the others, which need the same
		}
		o.left, _ = o.left.Sub(taken)
		o.weigh()
		i.instanceDocument = instanceDocument{Template: b.Template, Version: b.Version, Run: b.run(i.index),
			Task: FormatTask(b.Spec.Name, i.index, j.next), Agent: o.info.Agent, Hostname: o.info.Hostname, Ports: ports, Started: j.now,
			ReplaceAfter: b.Spec.ReplaceAfter, Restarts: i.Restarts}
		for _, a := range b.need.attributes {
			if v, ok := o.value(a); ok {
				if i.Values == nil {
					i.Values = map[string]string{}
				}
				i.Values[a] = v
			}
		}
		j.next++
		i.before = false
		i.offer, i.resources, i.waits, i.demanded = o, taken, false, false
		o.instances = append(o.instances, i)
		b.pending--
		b.count(i, 1)
		j.byTask[i.Task] = i
		j.touch(b)
	}
}

// pick chooses the offer for the next instance of a job: where the fewest are, by what it
// says is to be spread and then by agent, and of those the one with the most memory.
func (j *Jobs) pick(b *job) (best *offer, taken mesos.Resources, ports []uint16) {
	var bestScore score
	for _, o := range j.offers {
		n := &b.need
		if o.info.Role != b.Spec.Role || o.cpus < n.cpus || o.memory < n.memory || o.disk < n.disk || b.forbids(o) != "" {
			continue
		}
		s := b.score(o)
		if best != nil && s.compare(bestScore) >= 0 {
			continue
		}
		if t, p, ok := take(o.left, &b.Spec); ok {
			best, bestScore, taken, ports = o, s, t, p
		}
	}
	return best, taken, ports
}

type score struct {
	spread, agent int
	memory        mesos.Milli
}

func (s score) compare(t score) int {
	return cmp.Or(cmp.Compare(s.spread, t.spread), cmp.Compare(s.agent, t.agent), cmp.Compare(t.memory, s.memory))
}

func (b *job) score(o *offer) score {
	s := score{agent: b.used[use{"agent", string(o.info.Agent)}], memory: o.memory}
	for _, c := range b.Spec.Constraints {
		if c.Operator == "spread" {
			v, _ := o.value(c.Attribute)
			s.spread += b.used[use{c.Attribute, v}]
		}
	}
	return s
}

// forbids says which constraint keeps an instance off an offer's agent, or lacksDocker.
func (b *job) forbids(o *offer) string { return b.forbidsAgent(o.value) }

func (b *job) forbidsAgent(value func(attribute string) (string, bool)) string {
	if b.Spec.Docker != nil {
		if v, _ := value(mesos.DockerAttribute); v == "" {
			return lacksDocker
		}
	}
	for _, c := range b.Spec.Constraints {
		v, ok := value(c.Attribute)
		switch {
		case c.Operator == "is" && v != c.Value:
			return c.Attribute + " is " + c.Value
		case c.Operator == "not" && v == c.Value:
			return c.Attribute + " not " + c.Value
		case c.Operator == "unique" && (!ok || b.used[use{c.Attribute, v}] > 0):
			return "unique " + c.Attribute
		}
	}
	return ""
}

// take is what of left an instance takes, what is reserved for its role first.
func take(left mesos.Resources, s *Spec) (taken mesos.Resources, ports []uint16, ok bool) {
	var list []mesos.Resource
	want := map[string]mesos.Milli{"cpus": s.CPUs, "mem": s.Memory, "disk": s.Disk}
	ports = make([]uint16, len(s.Ports))
	free := left.List()
	slices.SortStableFunc(free, func(x, y mesos.Resource) int { return cmp.Compare(reserved(x), reserved(y)) })
	for _, r := range free {
		switch {
		case r.Kind == mesos.ScalarKind && want[r.Name] > 0:
			amount := min(want[r.Name], r.Scalar)
			want[r.Name] -= amount
			list = append(list, mesos.Resource{Name: r.Name, Role: r.Role, Kind: r.Kind, Scalar: amount})
		case r.Kind == mesos.RangesKind && r.Name == "ports":
			if p := takePorts(r.Ranges, s.Ports, ports); len(p) > 0 {
				list = append(list, mesos.Resource{Name: r.Name, Role: r.Role, Kind: r.Kind, Ranges: p})
			}
		}
	}
	if want["cpus"] > 0 || want["mem"] > 0 || want["disk"] > 0 || slices.Contains(ports, 0) {
		return mesos.Resources{}, nil, false
	}
	taken, err := mesos.NewResources(list...)
	return taken, slices.Clip(ports), err == nil && left.Contains(taken)
}

// reserved sorts what is reserved for somebody before what is not.
func reserved(r mesos.Resource) int {
	if r.Role == "" || r.Role == "*" {
		return 1
	}
	return 0
}

// takePorts fills in those of ports that are 0 and can be had from the ranges.
func takePorts(ranges []mesos.Range, want []Port, ports []uint16) (taken []mesos.Range) {
	fixed := map[uint64]bool{}
	has := func(p uint64) bool {
		return slices.ContainsFunc(ranges, func(r mesos.Range) bool { return r.Begin <= p && p <= r.End })
	}
	for n, w := range want {
		if p := uint64(w.Host); w.Host != 0 && ports[n] == 0 && has(p) {
			fixed[p], ports[n] = true, w.Host
			taken = append(taken, mesos.Range{Begin: p, End: p})
		}
	}
	at, next := 0, uint64(0)
	for n, w := range want {
		if w.Host != 0 || ports[n] != 0 {
			continue
		}
		for ; at < len(ranges); at++ {
			next = max(next, ranges[at].Begin, 1)
			for next <= ranges[at].End && fixed[next] {
				next++
			}
			if next <= min(ranges[at].End, 65535) {
				break
			}
		}
		if at == len(ranges) {
			break
		}
		ports[n] = uint16(next)
		taken = append(taken, mesos.Range{Begin: next, End: next})
		next++
	}
	return taken
}

// begin saves that an instance is going to have a task. When all of an offer's are saved it
// is accepted, and not before: whatever happens then, the next master knows of them.
func (j *Jobs) begin(i *instance) {
	o := i.offer
	o.unsaved++
	j.save(&i.record, func(ok bool) {
		if !ok {
			j.unbegin(i, o)
			i.NotBefore = j.now + saveAgain
		}
		if o.unsaved--; o.unsaved == 0 {
			j.launch(o)
		}
	})
}

// unbegin takes the task of an instance for one that never was, which is so: no offer was
// accepted with it.
func (j *Jobs) unbegin(i *instance, o *offer) {
	i.job.count(i, -1)
	delete(j.byTask, i.Task)
	i.offer = nil
	i.Ended, i.State, i.Since, i.Message = true, mesos.Dropped, j.now, "it was not launched"
	o.instances = slices.DeleteFunc(o.instances, func(x *instance) bool { return x == i })
	j.touch(i.job)
}

// launch accepts an offer with the tasks that were saved for it, as far as they are still wanted.
func (j *Jobs) launch(o *offer) {
	delete(j.launches, o.info.ID)
	var tasks []mesos.TaskInfo
	for _, i := range slices.Clone(o.instances) {
		b := i.job
		if o.gone || !b.wants(i.index) || i.Template != b.Template || i.Run != b.run(i.index) || !b.record.settled() {
			j.unbegin(i, o)
			j.confirm(i, nil)
			continue
		}
		tasks = append(tasks, b.task(i))
		i.offer, i.state, i.told, i.heard = nil, mesos.Staging, j.now, false
		i.askAt, i.asked = j.now+launchSilence, 0
		j.touch(b)
	}
	switch {
	case o.gone:
	case len(tasks) == 0:
		j.out.Calls = append(j.out.Calls, mesos.DeclineCall{Offers: []mesos.OfferID{o.info.ID}})
	default:
		j.out.Calls = append(j.out.Calls, mesos.AcceptCall{Offers: []mesos.OfferID{o.info.ID}, Launch: tasks, Refuse: -1})
	}
}

func (j *Jobs) onRescind(id mesos.OfferID) {
	if o := j.launches[id]; o != nil {
		o.gone = true
	}
	j.offers = slices.DeleteFunc(j.offers, func(o *offer) bool { return o.info.ID == id })
}

// task is what an instance is launched with.
func (b *job) task(i *instance) mesos.TaskInfo {
	s := &b.Spec
	t := mesos.TaskInfo{ID: i.Task, Name: i.name(), Agent: i.Agent, Resources: i.resources, Command: s.Command, Docker: s.docker(i.Ports),
		KillGrace: s.KillGrace, StopAfter: s.StopAfter()}
	env := maps.Clone(s.Command.Environment)
	if env == nil {
		env = map[string]string{}
	}
	env["SYNOD_JOB"], env["SYNOD_INSTANCE"], env["SYNOD_TASK"] = s.Name, strconv.Itoa(i.index), string(i.Task)
	for n, p := range s.Ports {
		variable := "PORT_" + strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_"))
		env[variable] = strconv.Itoa(int(p.inside(i.Ports[n])))
		if n == 0 {
			env["PORT"] = env[variable]
		}
		if s.Docker != nil {
			env["HOST_"+variable] = strconv.Itoa(int(i.Ports[n]))
		}
		if p.Name == s.HealthPort && s.Health != nil {
			h := *s.Health
			h.Port, t.Health = i.Ports[n], &h
		}
	}
	if t.Health == nil && s.Health != nil {
		h := *s.Health
		t.Health = &h
	}
	t.Command.Environment = env
	t.Labels = maps.Clone(s.Labels)
	if t.Labels == nil {
		t.Labels = map[string]string{}
	}
	t.Labels[JobLabel] = s.Name
	return t
}

// JobLabel is the label of a task that has the name of its job.
const JobLabel = "synod.job"

// demand asks for offers when some are needed, and for none when none are.
func (j *Jobs) demand() {
	if !j.subscribed {
		return
	}
	switch {
	case len(j.short) == 0:
		j.wanted = false
		if !j.quiet && len(j.launches) == 0 {
			j.quiet = true
			j.out.Calls = append(j.out.Calls, mesos.SuppressCall{})
		}
	case (j.wanted || j.quiet) && j.now >= j.revivedAt+reviveAgain && j.next < j.limit:
		j.wanted, j.quiet, j.revivedAt = false, false, j.now
		j.out.Calls = append(j.out.Calls, mesos.ReviveCall{})
	}
}
