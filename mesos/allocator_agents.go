package mesos

import (
	"fmt"
	"slices"
	"time"
)

// allocatorAgent is an agent and what is allocated of it.
type allocatorAgent struct {
	id     AgentID
	at     int // in Allocator.order
	total  Resources
	free   Resources // total less used
	used   pile
	claims map[*client]*pile // used, by who has it
	active bool
	dirty  bool
	// filtered is those with filters against it.
	filtered map[*client]struct{}
}

// AddAgent makes known an active agent, or says anew what it has.
func (a *Allocator) AddAgent(id AgentID, total Resources) {
	if a.agents[id] == nil {
		agent := &allocatorAgent{id: id, at: len(a.order), claims: map[*client]*pile{}, filtered: map[*client]struct{}{}}
		a.agents[id] = agent
		a.order = append(a.order, agent)
	}
	a.SetAgentActive(id, true)
	a.UpdateAgent(id, total)
}

// UpdateAgent says what a known agent has now. What is allocated stays so, even if it is
// more than that.
func (a *Allocator) UpdateAgent(id AgentID, total Resources) {
	agent := a.agents[id]
	if agent == nil {
		return
	}
	a.total.sub(agent.total)
	a.total.add(total)
	a.version++
	agent.total = total
	a.changed(agent)
}

// RemoveAgent forgets an agent and all that is allocated of it.
func (a *Allocator) RemoveAgent(id AgentID) {
	agent := a.agents[id]
	if agent == nil {
		return
	}
	for c := range agent.filtered { // any order: all of them go
		a.dropFilters(c, agent)
	}
	for c, p := range agent.claims { // any order: sums
		for _, r := range *p {
			c.used.sub(r)
			c.role.used.sub(r)
		}
		c.held--
		a.freed(c)
		a.dropClient(c)
	}
	a.total.sub(agent.total)
	a.version++
	last := a.order[len(a.order)-1]
	last.at = agent.at
	a.order[agent.at] = last
	a.order = a.order[:len(a.order)-1]
	agent.active = false // it may still be in dirty
	delete(a.agents, id)
}

// SetAgentActive says whether what an agent has is offered.
func (a *Allocator) SetAgentActive(id AgentID, active bool) {
	if agent := a.agents[id]; agent != nil && agent.active != active {
		agent.active = active
		a.touch(agent)
	}
}

// Occupy counts r as allocated, as that of a task which an agent has brought along, though
// the agent may not have so much, nor the role be allowed to. It does nothing for an agent
// that is not known; the framework need not be.
func (a *Allocator) Occupy(f FrameworkID, role string, agent AgentID, r Resources) {
	if x := a.agents[agent]; x != nil && !r.Empty() {
		a.take(a.client(clientKey{f, role}), x, r)
	}
}

// Recover gives back r, which was allocated on the agent to the framework in the role. With
// refuse above 0 the framework is not offered that or less of the agent again until then: at
// most MaxRefuse; below 0 means DefaultRefuse. It does nothing if the agent is not known, and
// panics if so much was not allocated.
func (a *Allocator) Recover(f FrameworkID, role string, agent AgentID, r Resources, refuse, now time.Duration) {
	a.giveBack(f, role, agent, r, r, refuse, now)
}

// TakeBack is Recover of what a framework has left unanswered: it is offered nothing of the
// agent for so long, also if that is more than before.
func (a *Allocator) TakeBack(f FrameworkID, role string, agent AgentID, r Resources, refuse, now time.Duration) {
	if x := a.agents[agent]; x != nil {
		a.giveBack(f, role, agent, r, x.total, refuse, now)
	}
}

func (a *Allocator) giveBack(f FrameworkID, role string, agent AgentID, r, refused Resources, refuse, now time.Duration) {
	x := a.agents[agent]
	if x == nil || r.Empty() {
		return
	}
	c := a.clients[clientKey{f, role}]
	if c == nil || x.claims[c] == nil || !x.claims[c].take(r) {
		panic(fmt.Sprintf("mesos: %v of agent %q come back from %q in role %q, which has %v there", r, agent, f, role, a.Held(f, role, agent)))
	}
	if !x.used.take(r) {
		panic(fmt.Sprintf("mesos: agent %q has %v allocated, of which %q holds %v", agent, x.used, f, r))
	}
	if len(*x.claims[c]) == 0 {
		delete(x.claims, c)
		c.held--
	}
	c.used.sub(r)
	c.role.used.sub(r)
	a.freed(c)
	a.changed(x)
	a.refuse(c, x, refused, refuse, now)
	a.dropClient(c)
}

// Held is what is allocated to a framework in a role on an agent.
func (a *Allocator) Held(f FrameworkID, role string, agent AgentID) Resources {
	var sum Resources
	if x, c := a.agents[agent], a.clients[clientKey{f, role}]; x != nil && c != nil && x.claims[c] != nil {
		for _, r := range *x.claims[c] {
			sum = sum.Add(r)
		}
	}
	return sum
}

// Available is what an agent has that is not allocated.
func (a *Allocator) Available(id AgentID) Resources {
	if x := a.agents[id]; x != nil {
		return x.free
	}
	return Resources{}
}

// take counts r as allocated to c.
func (a *Allocator) take(c *client, agent *allocatorAgent, r Resources) {
	p := agent.claims[c]
	if p == nil {
		p = &pile{}
		agent.claims[c] = p
		c.held++
	}
	p.put(r)
	agent.used.put(r)
	agent.measure()
	c.used.add(r)
	c.role.used.add(r)
	a.used(c)
}

// freed is called when c has less than before.
func (a *Allocator) freed(c *client) {
	a.used(c)
	if c.role.curbed {
		c.role.curbed = false
		a.wakeRole(c.role)
	}
}

// changed is called when an agent may have more to offer than before.
func (a *Allocator) changed(agent *allocatorAgent) {
	agent.measure()
	a.touch(agent)
}

func (a *Allocator) touch(agent *allocatorAgent) {
	if !agent.dirty {
		agent.dirty = true
		a.dirty = append(a.dirty, agent)
	}
}

// measure computes what is free. What is allocated beyond what there is, as after the agent
// has become smaller or has reserved something for another role, is made up for by what it
// has of the same name.
func (x *allocatorAgent) measure() {
	x.free = x.total
	var excess pile
	for _, r := range x.used {
		if more := r.without(x.free); !more.Empty() {
			excess = append(excess, more)
		}
		x.free = x.free.without(r)
	}
	for _, r := range excess {
		x.free = x.free.withoutAnyRole(r)
	}
}

// pile is resources of which the same may be there several times, as when an agent brings
// two tasks with one port: each is in as many of its layers as there are. It has no empty
// layer, and nearly always one at most.
type pile []Resources

func (p *pile) put(r Resources) {
	for i, layer := range *p {
		sum := layer.Add(r)
		if rest, ok := sum.Sub(r); ok && rest.Equal(layer) { // nothing was there before, nor is it too much
			(*p)[i] = sum
			return
		}
	}
	*p = append(*p, r)
}

// take is false, and changes nothing, if p does not have r.
func (p *pile) take(r Resources) bool {
	for i, layer := range *p {
		if rest, ok := layer.Sub(r); ok {
			if (*p)[i] = rest; rest.Empty() {
				*p = slices.Delete(*p, i, i+1)
			}
			return true
		}
	}
	left := make(pile, 0, len(*p))
	for _, layer := range *p {
		taken := layer.common(r)
		r = r.without(taken)
		if rest := layer.without(taken); !rest.Empty() {
			left = append(left, rest)
		}
	}
	if !r.Empty() {
		return false
	}
	*p = left
	return true
}
