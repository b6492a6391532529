package jobs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synod-go/synod/mesos"
)

// Names are those of all jobs.
func (j *Jobs) Names() []string { return slices.Sorted(maps.Keys(j.jobs)) }

// Status is a job as it is now.
func (j *Jobs) Status(name string) (Status, bool) {
	b := j.jobs[name]
	if b == nil || b.gone || b.durable.Version == 0 && !b.Stopping {
		return Status{}, false
	}
	s := Status{Spec: b.Spec, Version: b.Version, State: j.stateOf(b), Instances: make([]InstanceStatus, 0, len(b.instances))}
	pending := ""
	for _, i := range b.instances {
		v := i.status()
		if i.waits {
			if pending == "" {
				pending = j.pendingText(b)
			}
			v.Pending = pending
		} else {
			v.Pending = j.waitText(b, i)
		}
		s.Instances = append(s.Instances, v)
	}
	s.Progress = j.progress(b)
	if b.Spec.Kind == Timed && !b.Stopping {
		if next, ok := j.config.Next(b.Spec.Schedule, max(b.Last, j.now)); ok {
			s.Next = next
		}
	}
	return s, true
}

func (i *instance) status() InstanceStatus {
	v := InstanceStatus{Job: i.job.Spec.Name, Index: i.index, Version: i.Version, Task: i.Task, Agent: i.Agent, State: i.state, Health: i.health,
		Since: i.told, Restarts: i.Restarts, Ports: i.Ports, Message: i.Message, HasExit: i.HasExit, ExitCode: i.ExitCode, Signal: i.Signal}
	if i.Template == i.job.Template && i.Task != "" {
		v.Version = i.job.Version // what has changed since is no matter of its task
	}
	if d := i.job.dockerOf(i.Template); d != nil {
		v.Image = d.Image
	}
	switch {
	case i.Task == "", i.offer != nil, i.waits:
		v.State = mesos.Staging
	case i.Ended:
		v.State, v.Since = i.State, i.Since
	}
	return v
}

func (j *Jobs) stateOf(b *job) string {
	gaveUp, left := false, false
	for _, i := range b.instances {
		gaveUp = gaveUp || i.GaveUp && b.wants(i.index)
	}
	for slot := range b.Runs {
		left = left || b.live(slot)
	}
	switch {
	case b.Stopping:
		return "stopping"
	case j.stuck(b) != nil:
		return "failed"
	case b.Update != "":
		return b.Update
	case b.Spec.Kind == Service && gaveUp:
		return "failed"
	case b.Spec.Kind == Service || left:
		return "running"
	case b.Spec.Kind == Timed:
		return "waiting"
	case gaveUp:
		return "failed"
	}
	return "done"
}

// progress says how far an update is, or why a job has failed.
func (j *Jobs) progress(b *job) string {
	var texts []string
	works, waits, wanted, ended := 0, 0, 0, 0
	var failed *instance
	for _, i := range b.instances {
		if i.busy() {
			ended++
		}
		if !b.wants(i.index) {
			continue
		}
		wanted++
		ok, _ := i.worksFor(j.now, b.Spec.Update.HealthyAfter)
		switch {
		case i.Template == b.Template && (ok || i.Done):
			works++
		case i.mayRun() && i.lost != 0:
			waits++
			texts = append(texts, fmt.Sprintf("instance %d waits for agent %s, which cannot be reached", i.index, i.Agent))
		}
		if i.GaveUp {
			failed = i
		}
	}
	if len(texts) > 3 {
		texts = append(texts[:3], fmt.Sprintf("and %d more", len(texts)-3))
	}
	switch {
	case b.Stopping:
		return strings.Join(append([]string{fmt.Sprintf("%d of its tasks may still run", ended)}, texts...), "; ")
	case b.Update == updating:
		texts = append([]string{fmt.Sprintf("%d of %d instances run version %d and work", works, wanted, b.Version)}, texts...)
	case b.Update == rollingBack:
		texts = append([]string{fmt.Sprintf("%d of %d instances run as before and work", works, wanted)}, texts...)
	}
	if i := j.stuck(b); i != nil {
		texts = append(texts, fmt.Sprintf("what was before does not come back: instance %d %s; it goes on when that works, or change the job", i.index, j.whyNot(b, i)))
	}
	if b.Failed != "" {
		texts = append([]string{b.Failed}, texts...)
		if b.Update == "" {
			texts = append(texts, fmt.Sprintf("the version before is back, as version %d", b.Version))
		}
	}
	if failed != nil && b.Failed == "" {
		texts = append(texts, fmt.Sprintf("instance %d has given up: %s", failed.index, failed.outcome()))
	}
	if b.Note != "" {
		texts = append(texts, b.Note)
	}
	return strings.Join(texts, "; ")
}

// waitText says why nothing runs for an instance that does not wait for an offer.
func (j *Jobs) waitText(b *job, i *instance) string {
	switch {
	case i.mayRun() && i.forsaken:
		return fmt.Sprintf("nobody knows agent %s any more; if its tasks have surely ended, stop the job and run it anew", i.Agent)
	case i.mayRun() && i.lost != 0 && i.ReplaceAfter > 0:
		return fmt.Sprintf("agent %s cannot be reached; it is replaced in %v", i.Agent, max(0, i.lost+i.ReplaceAfter-j.now).Round(1e9))
	case i.mayRun() && i.lost != 0:
		return fmt.Sprintf("agent %s cannot be reached, so it may still run there. Bring the agent back, or say that it never comes: node agents gone %s", i.Agent, i.Agent)
	case i.busy():
		return ""
	case i.GaveUp && i.Restarts == 0:
		return i.outcome() + ", and it is not started again. Change the job, or restart it"
	case i.GaveUp:
		return fmt.Sprintf("it has given up after %d restarts: %s. Change the job, or restart it", i.Restarts, i.outcome())
	case !i.Done && i.NotBefore > j.now:
		return fmt.Sprintf("it starts again in %v: %s", (i.NotBefore - j.now).Round(1e8), i.outcome())
	}
	return ""
}

// pendingText says why no offer fits a job: what it needs, what there is, what to do.
func (j *Jobs) pendingText(b *job) string {
	if !j.subscribed {
		return "waits for the master"
	}
	usable, without, rule, best := j.survey(b)
	need := "needs " + b.need.String() + " on one agent"
	if b.Spec.Role != "*" {
		need += " for role " + b.Spec.Role
	}
	if b.Spec.Docker != nil {
		need += " with Docker"
	}
	if without > 0 && without < usable {
		need += fmt.Sprintf(" (%d of %d have none)", without, usable)
	}
	switch {
	case usable == 0:
		return need + "; no agent takes tasks. Start one: node agent, or reactivate one: node agents"
	case without == usable:
		return fmt.Sprintf("%s; none of the %d agents has Docker. Start an agent on a machine where a Docker engine runs, or run a process: runtime: process", need, usable)
	case best == nil:
		return fmt.Sprintf("%s; none of the %d agents meets the constraint %q. Change constraints:, or add an agent", need, usable-without, rule)
	case len(best.lacks) == 0:
		return need + "; an offer of " + best.name + " is on its way"
	case best.never:
		return fmt.Sprintf("%s; no agent has that, even when it is empty: the largest, %s, has %s. Lower %s, or add an agent", need, best.name, best.total, best.keys())
	}
	return fmt.Sprintf("%s; the roomiest, %s, has %s free. Lower %s, stop something, or add an agent", need, best.name, best.free, best.keys())
}

// survey looks at all agents that take tasks: how many those are, how many of them are without
// the Docker that a job needs, a constraint that others do not meet, and which is the nearest.
func (j *Jobs) survey(b *job) (usable, without int, rule string, best *candidate) {
	for n := range j.agents {
		a := &j.agents[n]
		if a.State != "registered" || a.Drain.Deactivated {
			continue
		}
		usable++
		value := func(attribute string) (string, bool) {
			return valueOf(attribute, a.Info.ID, a.Info.Hostname, a.Info.Attributes)
		}
		switch r := b.forbidsAgent(value); r {
		case "":
			if c := b.candidate(a); best == nil || c.better(best) {
				best = c
			}
		case lacksDocker:
			without++
		default:
			rule = r
		}
	}
	return usable, without, rule, best
}

func (n *need) String() string {
	parts := []string{"cpus:" + n.cpus.String(), "mem:" + n.memory.String()}
	if n.disk > 0 {
		parts = append(parts, "disk:"+n.disk.String())
	}
	for _, p := range n.fixed {
		parts = append(parts, fmt.Sprintf("port %d", p))
	}
	if more := n.ports - len(n.fixed); more > 0 {
		parts = append(parts, fmt.Sprintf("%d ports", more))
	}
	return strings.Join(parts, ", ")
}

// candidate is an agent on which an instance might run, and what it lacks for that.
type candidate struct {
	name, free, total string
	lacks             []string
	never             bool
	memory            mesos.Milli
}

// better: one that lacks less, and that could have room at all.
func (c *candidate) better(o *candidate) bool {
	flag := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(flag(c.never), flag(o.never)), cmp.Compare(len(c.lacks), len(o.lacks)), cmp.Compare(o.memory, c.memory)) < 0
}

func (c *candidate) keys() string { return strings.Join(c.lacks, ", ") }

func (b *job) candidate(a *mesos.AgentView) *candidate {
	name := a.Info.Hostname
	if name == "" {
		name = string(a.Info.ID)
	}
	c := &candidate{name: name}
	all := a.Info.Resources.For(b.Spec.Role)
	left := a.Info.Resources.List()
	used := map[string]mesos.Milli{}
	for _, n := range []string{"cpus", "mem", "disk"} {
		used[n] = a.Used.Scalar(n)
	}
	var free, total []string
	look := func(key, resource string, want mesos.Milli) {
		has := all.Scalar(resource)
		room := max(0, has-used[resource])
		if resource == "mem" {
			c.memory = room
		}
		if want > room {
			c.lacks = append(c.lacks, key)
			free = append(free, resource+":"+room.String())
		}
		if want > has {
			c.never = true
			total = append(total, resource+":"+has.String())
		}
	}
	look("cpus:", "cpus", b.need.cpus)
	look("memory:", "mem", b.need.memory)
	look("disk:", "disk", b.need.disk)
	if b.need.ports > 0 {
		c.lookForPorts(b, left, a.Used, &free, &total)
	}
	c.free, c.total = strings.Join(free, ", "), strings.Join(total, ", ")
	return c
}

func (c *candidate) lookForPorts(b *job, all []mesos.Resource, used mesos.Resources, free, total *[]string) {
	var ports []mesos.Resource
	for _, r := range all {
		if r.Name == "ports" && r.Kind == mesos.RangesKind {
			ports = append(ports, r)
		}
	}
	only := Spec{Ports: b.Spec.Ports}
	has, err := mesos.NewResources(ports...)
	if err != nil {
		return
	}
	if _, _, ok := take(has, &only); !ok {
		c.never = true
		c.lacks = append(c.lacks, "ports:")
		*total = append(*total, cmp.Or(has.String(), "no ports"))
		return
	}
	rest := has
	for _, r := range used.List() {
		if r.Name == "ports" {
			for _, one := range r.Ranges {
				if p, err := mesos.NewResources(mesos.Resource{Name: r.Name, Role: r.Role, Kind: r.Kind, Ranges: []mesos.Range{one}}); err == nil {
					if left, ok := rest.Sub(p); ok {
						rest = left
					}
				}
			}
		}
	}
	if _, _, ok := take(rest, &only); !ok {
		c.lacks = append(c.lacks, "ports:")
		*free = append(*free, cmp.Or(rest.String(), "no ports"))
	}
}
