package mesos

import (
	"math/rand/v2"
	"slices"
	"time"
)

// AllocatorConfig of an Allocator. How many agents, frameworks and roles there are is for
// its caller to bound.
type AllocatorConfig struct {
	// Rand shuffles the agents. Required.
	Rand *rand.Rand
	// MinCPUs and MinMem are what an offer has at least, one or the other of cpus and mem.
	// Defaults 0.01 and 32.
	MinCPUs, MinMem Milli
	// MaxFilters bounds the filters of all frameworks. The one that ends first makes room
	// for another. Default 1048576.
	MaxFilters int
	// MaxFiltersPerAgent bounds those of one framework in one role for one agent. The one
	// that ends first makes room for another. Default 8.
	MaxFiltersPerAgent int
}

// Allocation is resources of an agent that a framework is to be offered.
type Allocation struct {
	Framework FrameworkID
	Role      string
	Agent     AgentID
	Resources Resources
}

// Allocator decides who is offered what an agent has left: the role with the lowest dominant
// share over its weight, and in it the framework with the lowest share (DRF). It looks only
// at agents of which something has changed since it last did.
type Allocator struct {
	config     AllocatorConfig
	agents     map[AgentID]*allocatorAgent
	order      []*allocatorAgent // all, in an order that depends on the inputs alone
	dirty      []*allocatorAgent // those of which something may be allocated
	woken      []*client         // those that may want of all agents what they had no part in before
	frameworks map[FrameworkID]*allocatorFramework
	roles      map[string]*allocatorRole
	clients    map[clientKey]*client
	total      tally  // of all agents
	version    uint64 // counts the changes of total
	sorter     sorter[*allocatorRole]
	walk       []*allocatorRole // the roles in the order of the moment, for one agent
	filters    filterHeap
	made       uint64 // filters
}

// allocatorFramework is a framework that is known.
type allocatorFramework struct {
	active bool
	roles  []string // ascending, each once
}

// allocatorRole is a role that somebody has or had something in, or that an operator has
// said something of.
type allocatorRole struct {
	contender
	clients int // with or without a place in sorter
	sorter  sorter[*client]
	limited bool
	limit   Resources
	woken   int // clients that are
	// curbed is set when the limit was the reason for offering less, or nothing.
	curbed bool
}

type clientKey struct {
	framework FrameworkID
	role      string
}

// client is a framework in one role. It stays for as long as it has subscribed or holds
// anything.
type client struct {
	contender
	key        clientKey
	role       *allocatorRole
	subscribed bool
	suppressed bool
	woken      bool // it is in Allocator.woken
	held       int  // agents on which it holds anything
	filters    map[*allocatorAgent][]*filter
}

func (r *allocatorRole) contend() *contender { return &r.contender }
func (c *client) contend() *contender        { return &c.contender }

// NewAllocator makes one that knows nothing yet.
func NewAllocator(c AllocatorConfig) *Allocator {
	if c.Rand == nil {
		panic("mesos: AllocatorConfig.Rand is required")
	}
	if c.MinCPUs <= 0 {
		c.MinCPUs = One / 100
	}
	if c.MinMem <= 0 {
		c.MinMem = 32 * One
	}
	if c.MaxFilters <= 0 {
		c.MaxFilters = 1 << 20
	}
	if c.MaxFiltersPerAgent <= 0 {
		c.MaxFiltersPerAgent = 8
	}
	return &Allocator{config: c, agents: map[AgentID]*allocatorAgent{}, frameworks: map[FrameworkID]*allocatorFramework{},
		roles: map[string]*allocatorRole{}, clients: map[clientKey]*client{}}
}

// Allocate hands out what can be: of each agent, to each role in its turn, all that is left
// for it, as far as its limit goes, to the first framework that has no filter against it.
// Agents come in a random order. What it returns is allocated until Recover gives it back.
//
// Whoever did not take what an agent has left does not take it now, unless the agent is in
// the dirty set or the client is woken. So most agents are not looked at, and if somebody is
// woken then only for what is woken.
func (a *Allocator) Allocate(now time.Duration) []Allocation {
	a.expire(now)
	var out []Allocation
	for _, agent := range a.candidates() {
		a.walk = append(a.walk[:0], a.sorter.sorted(a.total, a.version)...)
		for _, role := range a.walk {
			if agent.free.Empty() {
				break
			}
			if !agent.dirty && role.woken == 0 {
				continue
			}
			r := a.offerable(role, agent.free)
			c := a.taker(role, agent, r)
			if c == nil {
				continue
			}
			a.take(c, agent, r)
			out = append(out, Allocation{Framework: c.key.framework, Role: c.key.role, Agent: agent.id, Resources: r})
		}
	}
	a.settle()
	return out
}

// candidates is the agents that are to be looked at, shuffled.
func (a *Allocator) candidates() []*allocatorAgent {
	from := a.dirty
	if len(a.woken) > 0 {
		from = a.order
	}
	var list []*allocatorAgent
	for _, agent := range from {
		if agent.active && !agent.free.Empty() {
			list = append(list, agent)
		}
	}
	a.config.Rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// settle empties the dirty set and lets those who are woken sleep.
func (a *Allocator) settle() {
	for _, agent := range a.dirty {
		agent.dirty = false
	}
	clear(a.dirty)
	a.dirty = a.dirty[:0]
	for _, c := range a.woken {
		c.woken = false
		c.role.woken--
	}
	clear(a.woken)
	a.woken = a.woken[:0]
}

// wake has all agents looked at for what c wants.
func (a *Allocator) wake(c *client) {
	if c.listed && !c.woken {
		c.woken = true
		c.role.woken++
		a.woken = append(a.woken, c)
	}
}

// wakeRole has all agents looked at for what anybody in the role wants.
func (a *Allocator) wakeRole(r *allocatorRole) {
	for _, c := range r.sorter.list {
		a.wake(c)
	}
}

func (a *Allocator) sleep(c *client) {
	if c.woken {
		c.woken = false
		c.role.woken--
		a.woken = slices.DeleteFunc(a.woken, func(x *client) bool { return x == c })
	}
}

// offerable is what of free may be offered in the role, nothing if it is not worth it.
func (a *Allocator) offerable(role *allocatorRole, free Resources) Resources {
	r := free.For(role.name)
	if role.limited {
		fitting := role.fit(r)
		role.curbed = role.curbed || !fitting.Equal(r)
		r = fitting
	}
	if r.Scalar("cpus") < a.config.MinCPUs && r.Scalar("mem") < a.config.MinMem {
		return Resources{}
	}
	return r
}

// fit is r as far as the role's limit goes. What is reserved for the role goes last.
func (r *allocatorRole) fit(offer Resources) Resources {
	if r.limit.Empty() {
		return Resources{}
	}
	for i := range r.limit.all {
		name := r.limit.all[i].Name
		if r.limit.all[i].Kind != ScalarKind {
			continue
		}
		room := r.used.room(name, r.limit.Scalar(name))
		if has := offer.Scalar(name); has > room {
			offer = offer.withoutAnyRole(Resources{all: []Resource{{Name: name, Scalar: has - room}}})
		}
	}
	return offer
}

// taker is the framework of the role that is to have r of the agent; nil if none is.
func (a *Allocator) taker(role *allocatorRole, agent *allocatorAgent, r Resources) *client {
	if r.Empty() {
		return nil
	}
	for _, c := range role.sorter.sorted(a.total, a.version) {
		if (agent.dirty || c.woken) && !c.refuses(agent, r) {
			return c
		}
	}
	return nil
}

// SetWeight sets how much more of everything a role is to have than one of weight 1. 0 or
// less sets it back to 1.
func (a *Allocator) SetWeight(role string, weight Milli) {
	if weight <= 0 {
		weight = One
	}
	r := a.role(role)
	r.weight = weight
	a.sorter.update(r, a.total)
	a.dropRole(r)
}

// SetQuota sets how much a role may have allocated at most, or that it may have anything if
// not limited. Only the scalars of limit count, over all roles; what limit does not name is
// not limited, but an empty limit allows nothing at all. What the role has already it keeps.
func (a *Allocator) SetQuota(role string, limit Resources, limited bool) {
	r := a.role(role)
	if !limited {
		limit = Resources{}
	}
	r.limit, r.limited, r.curbed = limit, limited, false
	a.wakeRole(r)
	a.dropRole(r)
}

// role is the one of that name, made if it is not there.
func (a *Allocator) role(name string) *allocatorRole {
	r := a.roles[name]
	if r == nil {
		r = &allocatorRole{contender: contender{name: name, weight: One}}
		a.roles[name] = r
	}
	return r
}

// dropRole forgets a role of which there is nothing to know.
func (a *Allocator) dropRole(r *allocatorRole) {
	if r.clients == 0 && r.weight == One && !r.limited {
		delete(a.roles, r.name)
	}
}

// used updates the places of those whose usage has changed.
func (a *Allocator) used(c *client) {
	c.role.sorter.update(c, a.total)
	a.sorter.update(c.role, a.total)
}

// roleNames is roles in ascending order, each once: "*" if there is none.
func roleNames(roles []string) []string {
	if len(roles) == 0 {
		return []string{"*"}
	}
	names := slices.Clone(roles)
	slices.Sort(names)
	return slices.Compact(names)
}
