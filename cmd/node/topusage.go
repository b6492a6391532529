package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
)

// usage is what "top" shows. Rates are known from the second look on, so JSON, which is of one, has none.
type usage struct {
	Cluster   string       `json:"cluster"`
	Healthy   bool         `json:"healthy"`
	Leader    string       `json:"leader,omitempty"`
	Reasons   []string     `json:"reasons,omitempty"`
	Groups    []groupUsage `json:"groups"`
	Agents    []agentUsage `json:"agents"`
	Jobs      []jobUsage   `json:"jobs"`
	Tasks     taskUsage    `json:"tasks"`
	status    api.Status
	unmanaged error
}

// groupUsage is one replicated log.
type groupUsage struct {
	Group  string `json:"group"`
	Engine string `json:"engine"`
	Leader string `json:"leader,omitempty"`
	Term   uint64 `json:"term"`
	Ballot string `json:"ballot,omitempty"`
	Commit uint64 `json:"commit"`
	// Writes are the entries that were committed in a second.
	Writes *float64 `json:"-"`
	// Behind is how many committed entries the slowest of those that answer has yet to apply, and Slowest which that is.
	Behind  uint64   `json:"behind"`
	Slowest string   `json:"slowest,omitempty"`
	Silent  []string `json:"silent,omitempty"` // voters that have not answered
}

// agentUsage is what of an agent is given to tasks. CPUs are thousandths, Memory is MiB.
type agentUsage struct {
	Agent     string `json:"agent"`
	State     string `json:"state"`
	Tasks     int    `json:"tasks"`
	MilliCPUs int64  `json:"milli_cpus"`
	CPUsOf    int64  `json:"milli_cpus_of"`
	MemoryMiB int64  `json:"memory_mib"`
	MemoryOf  int64  `json:"memory_mib_of"`
}

// jobUsage is what the tasks of a job, or of a framework without jobs, have.
type jobUsage struct {
	Job       string `json:"job"`
	Tasks     int    `json:"tasks"`
	Running   int    `json:"running"`
	Wanted    int    `json:"wanted,omitempty"` // absent for a framework: it alone knows
	MilliCPUs int64  `json:"milli_cpus"`
	MemoryMiB int64  `json:"memory_mib"`
	Pending   string `json:"pending,omitempty"` // why one of its instances finds no agent
}

// taskUsage counts all tasks.
type taskUsage struct {
	Running int `json:"running"`
	Pending int `json:"pending"`
	// Ended are those that have ended in a second, as far as the master still remembers them.
	Ended *float64 `json:"-"`
}

// summed is what two looks say; the first may be none.
func summed(before, now topLook) usage {
	u := usage{Cluster: now.status.Cluster, Healthy: now.status.Healthy, Leader: now.status.Leader, Reasons: now.status.Reasons,
		Groups: ratedGroups(before, now), Agents: agentsOf(now.agents), Jobs: jobsOf(now.jobs, now.tasks), status: now.status, unmanaged: now.unmanaged}
	for _, t := range now.tasks {
		if t.State == "RUNNING" {
			u.Tasks.Running++
		}
	}
	for _, j := range now.jobs {
		for _, i := range j.Instances {
			if stateOf(i) == "pending" {
				u.Tasks.Pending++
			}
		}
	}
	u.Tasks.Ended = endedBetween(before, now)
	return u
}

func ratedGroups(before, now topLook) []groupUsage {
	groups, then := groupsSeen(now.nodes), groupsSeen(before.nodes)
	for i := range groups {
		g := &groups[i]
		if at := slices.IndexFunc(then, func(old groupUsage) bool { return old.Group == g.Group }); at >= 0 {
			g.Writes = rate(then[at].Commit, g.Commit, now.at.Sub(before.at))
		}
	}
	return groups
}

// rate is by how much a count that never falls has grown in a second. One that has fallen is another count.
func rate(before, now uint64, in time.Duration) *float64 {
	if in <= 0 || now < before {
		return nil
	}
	perSecond := float64(now-before) / in.Seconds()
	return &perSecond
}

// groupsSeen joins what the nodes say of their replicas. The highest term has the last word on who leads.
func groupsSeen(nodes map[string]api.Look) []groupUsage {
	groups, voters := []groupUsage{}, map[string][]string{}
	for _, name := range sortedKeys(nodes) {
		for _, seen := range nodes[name].Groups {
			i := slices.IndexFunc(groups, func(g groupUsage) bool { return g.Group == seen.Name })
			if i < 0 {
				i, groups = len(groups), append(groups, groupUsage{Group: seen.Name, Engine: seen.Engine})
			}
			g := &groups[i]
			g.Commit = max(g.Commit, seen.Commit)
			if seen.Term > g.Term || seen.Term == g.Term && g.Leader == "" {
				g.Term, g.Ballot, g.Leader = seen.Term, seen.Ballot, seen.Leader
			}
			if seen.Role == "leader" || voters[seen.Name] == nil {
				voters[seen.Name] = seen.Voters
			}
		}
	}
	for i := range groups {
		groups[i].compare(nodes, voters[groups[i].Group])
	}
	slices.SortFunc(groups, func(x, y groupUsage) int { return cmp.Compare(x.Group, y.Group) })
	return groups
}

// compare finds out which replica is behind most, and which voters say nothing. A witness applies nothing and is behind nobody.
func (g *groupUsage) compare(nodes map[string]api.Look, voters []string) {
	for _, name := range sortedKeys(nodes) {
		for _, seen := range nodes[name].Groups {
			if seen.Name == g.Group && seen.Error == "" && !seen.Witness && g.Commit > seen.Applied+g.Behind {
				g.Behind, g.Slowest = g.Commit-seen.Applied, name
			}
		}
	}
	for _, name := range voters {
		if _, answered := nodes[name]; !answered {
			g.Silent = append(g.Silent, name)
		}
	}
}

func agentsOf(list []api.Agent) []agentUsage {
	rows := []agentUsage{}
	for _, a := range list {
		row := agentUsage{Agent: cmp.Or(a.Name, a.ID), State: agentState(a), Tasks: a.Tasks}
		row.MilliCPUs, row.MemoryMiB = scalars(a.Used)
		row.CPUsOf, row.MemoryOf = scalars(a.Resources)
		rows = append(rows, row)
	}
	return rows
}

// jobsOf are the jobs that have not ended, and what else has tasks, the largest first.
func jobsOf(list []api.Job, tasks []api.Task) []jobUsage {
	rows := []jobUsage{}
	for _, j := range list {
		row := jobUsage{Job: j.Name, Running: j.Running, Wanted: j.Count}
		for _, i := range j.Instances {
			if stateOf(i) == "pending" {
				row.Pending = cmp.Or(row.Pending, i.Pending)
			}
		}
		if j.State != "done" && j.State != "failed" || j.Running > 0 {
			rows = append(rows, row)
		}
	}
	for _, t := range tasks {
		name := cmp.Or(t.Job, t.Framework+"/")
		i := slices.IndexFunc(rows, func(j jobUsage) bool { return j.Job == name })
		if i < 0 {
			i, rows = len(rows), append(rows, jobUsage{Job: name})
		}
		row := &rows[i]
		cpus, memory := scalars(t.Resources)
		row.Tasks, row.MilliCPUs, row.MemoryMiB = row.Tasks+1, row.MilliCPUs+cpus, row.MemoryMiB+memory
		if t.Job == "" && t.State == "RUNNING" {
			row.Running++
		}
	}
	slices.SortStableFunc(rows, func(x, y jobUsage) int { return cmp.Compare(y.MilliCPUs, x.MilliCPUs) })
	return rows
}

// scalars are the thousandths of CPUs and the MiB of memory in a text of resources.
func scalars(text string) (milliCPUs, memoryMiB int64) {
	r, err := mesos.ParseResources(text)
	if err != nil {
		return 0, 0
	}
	for _, one := range r.List() {
		switch one.Name {
		case "cpus":
			milliCPUs += int64(one.Scalar)
		case "mem":
			memoryMiB += int64(one.Scalar / mesos.One)
		}
	}
	return milliCPUs, memoryMiB
}

// endedBetween is how many tasks have ended in a second between two looks at one master, nil if nobody can say: a master
// remembers the last ones, and shows fewer.
func endedBetween(before, now topLook) *float64 {
	was, is := masterOf(before.nodes), masterOf(now.nodes)
	in := now.at.Sub(before.at)
	if was == nil || is == nil || was.Term != is.Term || in <= 0 {
		return nil
	}
	shownThen, shownNow := endedTasks(was), endedTasks(is)
	if was.Ended > 0 && len(shownThen) == 0 || is.Ended > 0 && len(shownNow) == 0 {
		return nil
	}
	var last int64
	for _, t := range shownThen {
		last = max(last, t.Since)
	}
	newer := 0
	for _, t := range shownNow {
		if t.Since > last {
			newer++
		}
	}
	perSecond := float64(max(newer, is.Ended-was.Ended)) / in.Seconds()
	return &perSecond
}

// endedTasks are those that stand behind the running ones.
func endedTasks(m *api.MasterLook) []api.Task { return m.Tasks[min(m.Running, len(m.Tasks)):] }

func masterOf(nodes map[string]api.Look) (leading *api.MasterLook) {
	for _, name := range sortedKeys(nodes) {
		if m := nodes[name].Master; m != nil && (leading == nil || m.Term > leading.Term) {
			leading = m
		}
	}
	return leading
}
