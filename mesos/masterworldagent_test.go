package mesos

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// clusterAgent is an Agent with its disk and its containers.
type clusterAgent struct {
	w      *cluster
	core   *Agent
	info   AgentInfo
	saved  Checkpoint
	starts uint64

	master *clusterMaster
	// link is the present one, before the last one: what was sent by that may still come.
	link, before LinkID
	// cut: nothing reaches it, nor comes. dead: the machine is lost for good.
	cut, dead  bool
	containers map[ContainerID]*clusterContainer

	fine *launchHost // carries out what the agent wants, instead of this
}

type clusterContainer struct {
	key       TaskKey
	resources Resources
	runs      bool
	barred    bool
	exit      *ContainerExit
}

func newClusterAgent(w *cluster, n int) *clusterAgent {
	a := &clusterAgent{w: w, info: machine(n), containers: map[ContainerID]*clusterContainer{}}
	a.restart(n)
	return a
}

// restart is kill -9 and a start of the agent.
func (a *clusterAgent) restart(n int) {
	a.unlink()
	a.starts++
	c := AgentConfig{Info: a.info, Boot: "boot " + a.info.Address, Rand: rand.New(rand.NewPCG(a.w.seed*100+uint64(n), a.starts))}
	core, err := NewAgent(c, a.saved, a.w.now)
	if err != nil {
		panic(err)
	}
	a.core = core
	core.Tick(a.w.now, stageUnix+a.w.now)
	for _, id := range core.Unobserved() {
		core.Observed(ObservedContainer{id, a.facts(id)})
	}
	a.carryOut()
}

func (a *clusterAgent) facts(id ContainerID) Facts {
	c := a.containers[id]
	if c == nil {
		return Facts{}
	}
	started := c.runs || c.exit != nil
	return Facts{Barred: c.barred, Locked: started, ShimAlive: c.runs, Started: started, TaskAlive: c.runs, Exit: c.exit}
}

func (a *clusterAgent) unlink() {
	if a.link == 0 {
		return
	}
	master, link := a.master, a.link
	a.w.flying = slices.DeleteFunc(a.w.flying, func(m clusterMessage) bool { return m.from == link })
	a.before, a.link, a.master = link, 0, nil
	a.core.Tick(a.w.now, stageUnix+a.w.now)
	a.core.Disconnected()
	a.w.flying = append(a.w.flying, clusterMessage{to: func() { master.m.LinkBroken(a.w.now, link) }})
}

func (a *clusterAgent) connect(m *clusterMaster) {
	if a.dead || a.cut || a.fine != nil && !a.fine.up || a.link != 0 || m.term < a.core.Term() {
		return
	}
	a.w.links++
	a.master, a.link = m, a.w.links
	a.core.Tick(a.w.now, stageUnix+a.w.now)
	a.core.Connected(m.term)
}

// carryOut does what the agent wants.
func (a *clusterAgent) carryOut() {
	if a.dead {
		return
	}
	if a.fine != nil {
		a.fine.carryOut()
		return
	}
	a.core.Tick(a.w.now, stageUnix+a.w.now)
	for busy := true; busy; {
		out := a.core.Output()
		busy = len(out.Bar)+len(out.Start)+len(out.Stop) > 0
		a.saved = append(a.saved, out.Save...)
		for _, id := range out.Bar {
			if a.containers[id] == nil {
				a.containers[id] = &clusterContainer{barred: true}
			}
			a.core.Observed(ObservedContainer{id, a.facts(id)})
		}
		for _, s := range out.Start {
			a.start(s)
		}
		for _, s := range out.Stop {
			a.end(s.Container, ContainerExit{Known: true, Signal: 15})
		}
		for _, m := range out.Send {
			if master, link := a.master, a.link; master != nil && !a.cut {
				a.w.post(link, func() { master.m.AgentMessage(a.w.now, link, m) })
			}
		}
		if out.Detect {
			a.unlink()
		}
	}
}

func (a *clusterAgent) start(s StartContainer) {
	key := TaskKey{s.Framework.ID, s.Task.ID}
	if c := a.containers[s.Container]; c != nil {
		a.w.fail("container %v of %v starts after it was seen", s.Container, key)
		return
	}
	a.containers[s.Container] = &clusterContainer{key: key, resources: s.Task.Resources, runs: true}
	a.w.started(key, s.Container)
	var used Resources
	for _, c := range a.containers {
		if c.runs {
			used = used.Add(c.resources)
		}
	}
	if !a.info.Resources.Contains(used) {
		a.w.fail("%v of %v are in use on %s", used, a.info.Resources, a.core.ID())
	}
	a.core.Event(ContainerEvent{Container: s.Container, Kind: ContainerStarted})
}

// end ends a container that runs.
func (a *clusterAgent) end(id ContainerID, exit ContainerExit) {
	c := a.containers[id]
	if c == nil || !c.runs {
		return
	}
	c.runs, c.exit = false, &exit
	a.w.running[c.key]--
	a.core.Event(ContainerEvent{Container: id, Kind: ContainerExited, Exit: exit})
}

// live are the containers that run, in an order of their own.
func (a *clusterAgent) live() []ContainerID {
	var all []ContainerID
	for id := range maps.Keys(a.containers) {
		if a.containers[id].runs {
			all = append(all, id)
		}
	}
	slices.SortFunc(all, func(x, y ContainerID) int { return bytes.Compare(x[:], y[:]) })
	return all
}

// wreck is the end of the machine.
func (a *clusterAgent) wreck() {
	for _, id := range a.live() {
		a.containers[id].runs = false
		a.w.running[a.containers[id].key]--
	}
	a.unlink()
	a.dead = true
}

func (a *clusterAgent) String() string {
	id := a.core.ID()
	return fmt.Sprintf("%s cut=%v dead=%v retired=%v registered=%v link=%d term=%d standing=%d", id, a.cut, a.dead, a.core.leaving,
		a.core.Registered(), a.link, a.core.Term(), a.w.registry.Standing(id))
}
