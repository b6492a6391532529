package mesos

import (
	"flag"
	"slices"
	"testing"
	"time"
)

var (
	clusterSeeds = flag.Uint64("mesos.seeds", 100, "how many seeds TestClusterInAllWeathers tries")
	clusterFirst = flag.Uint64("mesos.first", 0, "the first of them")
)

// TestClusterInAllWeathers runs masters, agents and schedulers against each other.
func TestClusterInAllWeathers(t *testing.T) {
	seeds, counts := *clusterSeeds, map[string]int{}
	if testing.Short() {
		seeds = min(seeds, 8)
	}
	failures := 0
	for seed := *clusterFirst; seed < *clusterFirst+seeds && failures < 5; seed++ {
		w := newCluster(seed, 3)
		weather(w)
		if w.failure != "" {
			t.Errorf("%s", w.failure)
			failures++
		}
		for k, n := range w.counts {
			counts[k] += n
		}
	}
	for _, k := range []string{"started", "FINISHED", "KILLED", "DROPPED", "GONE", "GONE_BY_OPERATOR", "unreachable", "reachable", "intruded", "wrecked"} {
		if counts[k] == 0 && seeds >= 25 {
			t.Errorf("nothing was %s: %v", k, counts)
		}
	}
	t.Log(counts)
}

// weather is bad for a while, and then calm.
func weather(w *cluster) {
	f := newClusterFramework(w, FrameworkInfo{Name: "f", FailoverTimeout: 24 * time.Hour}, 12)
	g := newClusterFramework(w, FrameworkInfo{Name: "g", FailoverTimeout: time.Minute}, 3)
	for range 1500 {
		if w.failure != "" {
			return
		}
		blow(w, f, g)
		w.settle()
	}
	calm(w, f, g)
}

// blow is one thing that happens.
func blow(w *cluster, f, g *clusterFramework) {
	a := w.agents[w.rand.IntN(len(w.agents))]
	switch n := w.rand.IntN(100); {
	case n < 12:
		w.pass(time.Duration(w.rand.IntN(2000)) * time.Millisecond)
	case n < 14:
		w.pass(time.Duration(w.rand.IntN(20)) * time.Second)
	case n < 45:
		for range 1 + w.rand.IntN(5) {
			if len(w.flying) > 0 {
				w.deliver()
			}
		}
	case n < 60:
		moveMasters(w)
	case n < 64:
		for _, a := range w.agents {
			if m := w.masters; len(m) > 0 {
				a.connect(m[max(0, len(m)-1-w.rand.IntN(2))])
			}
		}
	case n < 92:
		act(w, f, g)
	case n < 94:
		if live := a.live(); len(live) > 0 {
			a.end(live[w.rand.IntN(len(live))], ContainerExit{Known: true, Code: w.rand.IntN(2)})
		}
	default:
		breakSomething(w, a)
	}
}

func moveMasters(w *cluster) {
	for _, c := range slices.Clone(w.masters) {
		switch {
		case w.rand.IntN(2) == 0 && len(c.queue) > 0:
			w.commit(c)
		case len(c.results) > 0:
			w.result(c)
		}
		w.settle()
	}
}

// act lets the schedulers do something.
func act(w *cluster, f, g *clusterFramework) {
	if w.chance(20) {
		f = g
	}
	if len(f.active) == 0 || w.chance(2) && len(f.active) < 3 {
		if f.info.Name != "g" || !f.quiet {
			f.subscribe()
		}
		return
	}
	s := f.active[w.rand.IntN(len(f.active))]
	switch n := w.rand.IntN(20); {
	case n < 8 && len(s.events) > 0:
		s.read()
	case n < 13 && len(s.calls) > 0:
		s.call()
	case n == 13 && s.deposed:
		w.counts["intruded"]++
		s.intrude()
	case n < 15 && s.framework != "" && len(s.offers) > 0:
		s.use()
	case n == 15 && s.framework != "":
		if j := f.victim(); j.agent != "" {
			s.send(KillCall{Task: j.id, Agent: j.agent})
		}
	case n == 16 && s.framework != "":
		s.reconcile()
	case n == 17 && w.chance(20):
		s.quit()
		f.quiet = f.quiet || f.info.Name == "g"
	}
}

func breakSomething(w *cluster, a *clusterAgent) {
	switch w.rand.IntN(16) {
	case 0, 1:
		a.cut = true
	case 2, 3, 4:
		a.cut = false
	case 5, 6:
		a.unlink()
	case 7:
		if !a.dead {
			a.restart(slices.Index(w.agents, a))
		}
	case 8:
		if len(w.masters) > 0 {
			w.kill(w.masters[0])
		}
	case 9:
		if len(w.masters) < 2 {
			w.elect()
		}
	case 10:
		w.pass(time.Duration(w.rand.IntN(100)) * time.Second)
	case 11:
		if m := w.leader(); w.chance(5) && m != nil && a.core.ID() != "" && !a.dead {
			w.counts["wrecked"]++
			a.wreck()
			m.m.Operate(w.now, 0, MarkGone{Agent: a.core.ID()})
		}
	}
	if len(w.masters) == 0 {
		w.elect()
	}
}

// calm lets all come to rest, and looks whether all is as it should be.
func calm(w *cluster, f, g *clusterFramework) {
	w.calm = true
	w.elect()
	for len(w.masters) > 1 {
		w.kill(w.masters[0])
	}
	for _, a := range w.agents {
		a.cut = false
	}
	f.quiet, g.quiet = true, true
	for _, s := range slices.Concat(f.active, g.active) {
		s.quit()
	}
	for range 500 {
		w.pass(5 * time.Second)
		for _, a := range w.agents {
			a.connect(w.leader())
			if a.dead && w.registry.Standing(a.core.ID()) != StandingGone {
				w.leader().m.Operate(w.now, 0, MarkGone{Agent: a.core.ID()})
			}
		}
		still(w, f)
		if w.failure != "" {
			return
		}
	}
	for _, x := range []*clusterFramework{f, g} {
		checkJobs(w, x, x == f)
	}
	checkTable(w)
}

// still carries out everything that is under way.
func still(w *cluster, f *clusterFramework) {
	if len(f.active) == 0 {
		f.subscribe()
	} else if s := f.active[0]; s.framework != "" && int(w.now/time.Second)%60 < 5 {
		s.reconcile()
	}
	for busy, rounds := true, 0; busy; rounds++ {
		busy = len(w.flying) > 0
		if rounds > 10_000 {
			w.fail("it does not come to rest: %v, %d messages", w.agents, len(w.flying))
			return
		}
		for _, a := range w.agents {
			if a.fine != nil && a.fine.rest() {
				busy = true
			}
		}
		for len(w.flying) > 0 {
			w.deliver()
		}
		for _, c := range slices.Clone(w.masters) {
			for busy = busy || len(c.queue)+len(c.results) > 0; len(c.queue) > 0; {
				w.commit(c)
			}
			for len(c.results) > 0 {
				w.result(c)
				w.settle()
			}
		}
		for _, s := range slices.Clone(f.active) {
			for busy = busy || len(s.events)+len(s.calls) > 0; len(s.events) > 0; {
				s.read()
			}
			for len(s.calls) > 0 {
				s.call()
			}
			for len(s.offers) > 0 {
				s.use()
			}
		}
	}
}

// nobodys reports whether no agent has that id.
func (w *cluster) nobodys(id AgentID) bool {
	return !slices.ContainsFunc(w.agents, func(a *clusterAgent) bool { return a.core.ID() == id })
}

func checkJobs(w *cluster, f *clusterFramework, served bool) {
	for _, j := range f.jobs {
		key := TaskKey{f.info.ID, j.id}
		runs := w.running[key] > 0
		switch {
		case j.agent == "" && runs:
			w.fail("%v runs and was not launched", key)
		case j.agent == "" || w.wrecked[j.agent] && !runs:
		case !served && runs:
			w.fail("%v runs, and its framework is removed", key)
		case !served:
		case runs && j.state != Running:
			w.fail("%v runs, and is %v to its scheduler", key, j.state)
		case !runs && j.state == Unreachable && w.nobodys(j.agent):
			w.counts["nobody's"]++ // its agent was killed before it knew that it was admitted by that id
		case !runs && !j.state.Terminal():
			w.fail("%v does not run on %v, and is %v to its scheduler; agents %v", key, j.agent, j.state, w.agents)
		}
	}
}

// checkTable looks whether the master's table is what runs, and nothing of an agent is lost.
func checkTable(w *cluster) {
	m := w.leader().m
	if n := len(m.pending); n > 0 {
		w.fail("%d operations are under way", n)
	}
	for _, a := range w.agents {
		x := m.agents[a.core.ID()]
		if a.dead || x == nil {
			continue
		}
		live := a.live()
		if len(x.tasks) != len(live) || x.state != agentRegistered {
			for _, t := range m.tasksOf(x) {
				w.fail("%v has %d tasks in the table, and %d run: %+v", a, len(x.tasks), len(live), *t)
			}
			w.fail("%v, in state %v, has %d tasks in the table, and %d run", a, x.state, len(x.tasks), len(live))
			return
		}
		sum := m.allocator.Available(x.id)
		for _, id := range live {
			sum = sum.Add(a.containers[id].resources)
			if x.tasks[id] == nil {
				w.fail("%v runs and is not in the table", a.containers[id].key)
			}
		}
		for _, o := range m.offers.RemoveAgent(x.id) {
			sum = sum.Add(o.Resources)
		}
		if !sum.Equal(a.info.Resources) {
			w.fail("%v has %v, accounted for are %v", a, a.info.Resources, sum)
		}
	}
}
