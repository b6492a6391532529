package mesos

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// plain is an allocator that remembers nothing but what it was told, and computes all anew.
type plain struct {
	now        time.Duration
	agents     map[AgentID]*plainAgent
	frameworks map[FrameworkID]*plainFramework
	weights    map[string]Milli
	limits     map[string]Resources
	held       []Allocation // each as it was handed out, or what has not come back of it
}

type plainAgent struct {
	total  Resources
	active bool
}

type plainFramework struct {
	active     bool
	roles      []string
	suppressed map[string]bool
	filters    []plainFilter
}

type plainFilter struct {
	role  string
	agent AgentID
	r     Resources
	until time.Duration
}

func (f *plainFramework) forget(drop func(plainFilter) bool) {
	f.filters = slices.DeleteFunc(f.filters, drop)
}

// roleOf is the role in a key of a model.
func roleOf(key string) string {
	return key[strings.IndexByte(key, '(')+1 : strings.IndexByte(key, ')')]
}

// thing is a key of a model without its role.
func thing(key string) string {
	return key[:strings.IndexByte(key, '(')] + key[strings.IndexByte(key, ')'):]
}

// sums adds up what is held as which holds says.
func (p *plain) sums(which func(Allocation) bool) model {
	sum := model{}
	for _, h := range p.held {
		if which(h) {
			for key, n := range modelOf(h.Resources) {
				sum[key] += n
			}
		}
	}
	return sum
}

// free is what an agent has left: what is used beyond what it has of a key counts against
// the other roles in their order.
func (p *plain) free(id AgentID) model {
	total, used := modelOf(p.agents[id].total), p.sums(func(h Allocation) bool { return h.Agent == id })
	free, excess := model{}, model{}
	for key, n := range total {
		free[key] = max(n-used[key], 0)
	}
	for key, n := range used {
		excess[thing(key)] += max(n-total[key], 0)
	}
	for _, key := range slices.SortedFunc(maps.Keys(free), func(x, y string) int { return strings.Compare(roleOf(x), roleOf(y)) }) {
		n := min(free[key], excess[thing(key)])
		free[key] -= n
		excess[thing(key)] -= n
	}
	return free
}

func scalarsOf(m model) map[string]int {
	sum := map[string]int{}
	for key, n := range m {
		if strings.HasSuffix(key, ")0") {
			sum[key[:strings.IndexByte(key, '(')]] += n
		}
	}
	return sum
}

// offerable is what of free a framework of the role may be offered.
func (p *plain) offerable(role string, free model) model {
	offer := model{}
	for key, n := range free {
		if r := roleOf(key); n > 0 && (r == "" || r == role) {
			offer[key] = n
		}
	}
	if limit, limited := p.limits[role]; limited {
		if limit.Empty() {
			return model{}
		}
		used := scalarsOf(p.sums(func(h Allocation) bool { return h.Role == role }))
		for name, most := range scalarsOf(modelOf(limit)) {
			over := scalarsOf(offer)[name] - max(most-used[name], 0)
			for _, key := range []string{name + "()0", name + "(" + role + ")0"} {
				n := max(min(over, offer[key]), 0)
				offer[key] -= n
				over -= n
			}
		}
	}
	maps.DeleteFunc(offer, func(_ string, n int) bool { return n == 0 })
	if sum := scalarsOf(offer); sum["cpus"] < 10 && sum["mem"] < 32_000 {
		return model{}
	}
	return offer
}

func (p *plain) share(which func(Allocation) bool, weight Milli) float64 {
	total, share := map[string]int{}, 0.0
	for _, a := range p.agents {
		for name, n := range scalarsOf(modelOf(a.total)) {
			total[name] += n
		}
	}
	for name, n := range scalarsOf(p.sums(which)) {
		if total[name] > 0 {
			share = max(share, float64(n)/float64(total[name]))
		}
	}
	return share * 1000 / float64(cmp.Or(weight, One))
}

// order is those who want offers, by share and name.
func order(wanting map[string]float64) []string {
	return slices.SortedFunc(maps.Keys(wanting), func(x, y string) int {
		return cmp.Or(cmp.Compare(wanting[x], wanting[y]), strings.Compare(x, y))
	})
}

// turn is what has to be allocated of an agent when it is looked at. It counts as held.
func (p *plain) turn(id AgentID, now time.Duration) []Allocation {
	var out []Allocation
	if !p.agents[id].active {
		return nil
	}
	roles := map[string]float64{}
	for _, f := range p.frameworks {
		for _, role := range f.roles {
			if f.active && !f.suppressed[role] {
				roles[role] = p.share(func(h Allocation) bool { return h.Role == role }, p.weights[role])
			}
		}
	}
	for _, role := range order(roles) {
		offer := p.offerable(role, p.free(id))
		if len(offer) == 0 {
			continue
		}
		frameworks := map[string]float64{}
		for f, x := range p.frameworks {
			if x.active && slices.Contains(x.roles, role) && !x.suppressed[role] && !x.filtered(role, id, offer, now) {
				frameworks[string(f)] = p.share(func(h Allocation) bool { return h.Role == role && h.Framework == f }, One)
			}
		}
		if names := order(frameworks); len(names) > 0 {
			out = append(out, Allocation{FrameworkID(names[0]), role, id, resourcesOf(offer)})
			p.held = append(p.held, out[len(out)-1])
		}
	}
	return out
}

func (f *plainFramework) filtered(role string, agent AgentID, offer model, now time.Duration) bool {
	return slices.ContainsFunc(f.filters, func(x plainFilter) bool {
		refused := modelOf(x.r)
		for key, n := range offer {
			if refused[key] < n {
				return false
			}
		}
		return x.role == role && x.agent == agent && x.until > now
	})
}

func resourcesOf(m model) Resources {
	var list []Resource
	for key, n := range m {
		if n == 0 {
			continue
		}
		r := Resource{Name: key[:strings.IndexByte(key, '(')], Role: roleOf(key)}
		if head, member, ok := strings.Cut(key, " "); !ok {
			r.Scalar = Milli(n)
		} else if strings.HasSuffix(head, "1") {
			r.Kind = RangesKind
			var x uint64
			fmt.Sscan(member, &x)
			r.Ranges = []Range{{x, x}}
		} else {
			r.Kind, r.Set = SetKind, []string{member}
		}
		list = append(list, r)
	}
	r, err := NewResources(list...)
	if err != nil {
		panic(err)
	}
	return r
}

var genAgent = rapid.Custom(func(t *rapid.T) Resources {
	var list []Resource
	for _, role := range []string{"", "r", "s"} {
		if role != "" && rapid.IntRange(0, 2).Draw(t, "reserved") > 0 {
			continue
		}
		begin := rapid.Uint64Range(1, 4).Draw(t, "begin")
		list = append(list, Resource{Name: "cpus", Role: role, Scalar: 500 * Milli(rapid.IntRange(0, 8).Draw(t, "cpus"))},
			Resource{Name: "mem", Role: role, Scalar: 16 * One * Milli(rapid.IntRange(0, 8).Draw(t, "mem"))},
			Resource{Name: "ports", Role: role, Kind: RangesKind, Ranges: []Range{{begin, begin + 2}}})
	}
	r, err := NewResources(list...)
	if err != nil {
		t.Fatal(err)
	}
	return r
})

// world is an allocator and what it should be.
type world struct {
	*plain
	a *Allocator
}

func (w *world) agent(t *rapid.T) AgentID {
	return AgentID(rapid.SampledFrom([]string{"a1", "a2", "a3", "a4"}).Draw(t, "agent"))
}

func (w *world) framework(t *rapid.T) FrameworkID {
	return FrameworkID(rapid.SampledFrom([]string{"f1", "f2", "f3"}).Draw(t, "framework"))
}

func drawRole(t *rapid.T) string { return rapid.SampledFrom([]string{"*", "r", "s"}).Draw(t, "role") }

func drawRoles(t *rapid.T) []string {
	return rapid.SliceOfN(rapid.SampledFrom([]string{"*", "r", "s"}), 0, 3).Draw(t, "roles")
}

func (w *world) agentActions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"AddAgent": func(t *rapid.T) {
			id, total := w.agent(t), genAgent.Draw(t, "total")
			w.a.AddAgent(id, total)
			w.agents[id] = &plainAgent{total, true}
		},
		"UpdateAgent": func(t *rapid.T) {
			id, total := w.agent(t), genAgent.Draw(t, "total")
			w.a.UpdateAgent(id, total)
			if x := w.agents[id]; x != nil {
				x.total = total
			}
		},
		"RemoveAgent": func(t *rapid.T) {
			id := w.agent(t)
			w.a.RemoveAgent(id)
			delete(w.agents, id)
			w.held = slices.DeleteFunc(w.held, func(h Allocation) bool { return h.Agent == id })
			for _, f := range w.frameworks {
				f.forget(func(x plainFilter) bool { return x.agent == id })
			}
		},
		"SetAgentActive": func(t *rapid.T) {
			id, active := w.agent(t), rapid.Bool().Draw(t, "active")
			w.a.SetAgentActive(id, active)
			if x := w.agents[id]; x != nil {
				x.active = active
			}
		},
		"Occupy": func(t *rapid.T) {
			h := Allocation{w.framework(t), drawRole(t), w.agent(t), genAgent.Draw(t, "r")}
			if rapid.Bool().Draw(t, "fits") {
				h.Resources = h.Resources.common(w.a.Available(h.Agent))
			}
			w.a.Occupy(h.Framework, h.Role, h.Agent, h.Resources)
			if w.agents[h.Agent] != nil {
				w.held = append(w.held, h)
			}
		},
	}
}

func (w *world) frameworkActions() map[string]func(*rapid.T) {
	named := func(f *plainFramework, roles []string) []string {
		if len(roles) == 0 {
			return f.roles
		}
		return roles
	}
	setRoles := func(f *plainFramework, roles []string) {
		f.roles = roleNames(roles)
		maps.DeleteFunc(f.suppressed, func(role string, _ bool) bool { return !slices.Contains(f.roles, role) })
		f.forget(func(x plainFilter) bool { return !slices.Contains(f.roles, x.role) })
	}
	return map[string]func(*rapid.T){
		"AddFramework": func(t *rapid.T) {
			id, roles := w.framework(t), drawRoles(t)
			w.a.AddFramework(id, roles)
			if w.frameworks[id] == nil {
				w.frameworks[id] = &plainFramework{suppressed: map[string]bool{}}
			}
			w.frameworks[id].active = true
			setRoles(w.frameworks[id], roles)
		},
		"SetRoles": func(t *rapid.T) {
			id, roles := w.framework(t), drawRoles(t)
			w.a.SetRoles(id, roles)
			if f := w.frameworks[id]; f != nil {
				setRoles(f, roles)
			}
		},
		"RemoveFramework": func(t *rapid.T) {
			id := w.framework(t)
			w.a.RemoveFramework(id)
			delete(w.frameworks, id)
		},
		"SetFrameworkActive": func(t *rapid.T) {
			id, active := w.framework(t), rapid.Bool().Draw(t, "active")
			w.a.SetFrameworkActive(id, active)
			if f := w.frameworks[id]; f != nil && f.active != active {
				f.active = active
				if !active {
					f.suppressed, f.filters = map[string]bool{}, nil
				}
			}
		},
		"Suppress": func(t *rapid.T) {
			id, roles := w.framework(t), drawRoles(t)
			w.a.Suppress(id, roles)
			if f := w.frameworks[id]; f != nil {
				for _, role := range named(f, roles) {
					if slices.Contains(f.roles, role) {
						f.suppressed[role] = true
					}
				}
			}
		},
		"Revive": func(t *rapid.T) {
			id, roles := w.framework(t), drawRoles(t)
			w.a.Revive(id, roles)
			if f := w.frameworks[id]; f != nil {
				for _, role := range named(f, roles) {
					delete(f.suppressed, role)
					f.forget(func(x plainFilter) bool { return x.role == role })
				}
			}
		},
	}
}

func (w *world) roleActions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"SetWeight": func(t *rapid.T) {
			role, weight := drawRole(t), Milli(rapid.SampledFrom([]int{0, 500, 1000, 2000}).Draw(t, "weight"))
			w.a.SetWeight(role, weight)
			w.weights[role] = weight
		},
		"SetQuota": func(t *rapid.T) {
			role, limit, limited := drawRole(t), genAgent.Draw(t, "limit"), rapid.Bool().Draw(t, "limited")
			if rapid.IntRange(0, 3).Draw(t, "nothing") == 0 {
				limit = Resources{}
			}
			w.a.SetQuota(role, limit, limited)
			delete(w.limits, role)
			if limited {
				w.limits[role] = limit
			}
		},
		"Recover":  w.recover,
		"Allocate": w.allocate,
		"":         w.check,
	}
}

// recover gives back something that is held, or a part of it.
func (w *world) recover(t *rapid.T) {
	if len(w.held) == 0 {
		t.Skip("nothing is held")
	}
	i := rapid.IntRange(0, len(w.held)-1).Draw(t, "held")
	h := w.held[i]
	back := h.Resources
	if rapid.Bool().Draw(t, "part") {
		back = back.common(genAgent.Draw(t, "back"))
	}
	refuse := time.Duration(rapid.IntRange(-1, 6).Draw(t, "refuse")) * time.Second
	w.a.Recover(h.Framework, h.Role, h.Agent, back, refuse, w.now)
	if w.held[i].Resources, _ = h.Resources.Sub(back); w.held[i].Resources.Empty() {
		w.held = slices.Delete(w.held, i, i+1)
	}
	if f := w.frameworks[h.Framework]; f != nil && f.active && slices.Contains(f.roles, h.Role) && refuse != 0 && !back.Empty() {
		if refuse < 0 {
			refuse = DefaultRefuse
		}
		f.filters = append(f.filters, plainFilter{h.Role, h.Agent, back, w.now + refuse})
	}
}

// allocate holds what the allocator does against what it should: each agent in its turn, and
// afterwards nothing is left that anybody would take, now or before Next.
func (w *world) allocate(t *rapid.T) {
	w.now += time.Duration(rapid.IntRange(0, 4).Draw(t, "seconds")) * time.Second
	before := w.excesses()
	out := w.a.Allocate(w.now)
	seen := map[AgentID]bool{}
	for rest := out; len(rest) > 0; {
		id := rest[0].Agent
		if seen[id] {
			t.Fatalf("agent %s had two turns: %v", id, out)
		}
		seen[id] = true
		want := w.turn(id, w.now)
		if !slices.EqualFunc(want, rest[:min(len(want), len(rest))], sameAllocation) {
			t.Fatalf("of %s there should be %v, all in all %v", id, want, out)
		}
		rest = rest[len(want):]
	}
	until := time.Duration(1 << 62)
	if at, ok := w.a.Next(); ok {
		if until = at - 1; at <= w.now {
			t.Fatalf("at %v a filter that ends at %v is still there", w.now, at)
		}
	}
	for _, now := range []time.Duration{w.now, until} {
		for id := range w.agents {
			if more := w.turn(id, now); len(more) > 0 {
				t.Fatalf("at %v there should also be %v, after %v", now, more, out)
			}
		}
	}
	for key, n := range w.excesses() {
		if n > before[key] {
			t.Fatalf("%s is exceeded by %d, before by %d, after %v", key, n, before[key], out)
		}
	}
}

func sameAllocation(x, y Allocation) bool {
	return x.Framework == y.Framework && x.Role == y.Role && x.Agent == y.Agent && x.Resources.Equal(y.Resources)
}

// excesses is by how much agents are over-committed, and limits exceeded.
func (w *world) excesses() map[string]int {
	excess := map[string]int{}
	for id, x := range w.agents {
		total := map[string]int{}
		for key, n := range modelOf(x.total) {
			total[thing(key)] += n
		}
		for key, n := range w.sums(func(h Allocation) bool { return h.Agent == id }) {
			total[thing(key)] -= n
		}
		for key, n := range total {
			excess[string(id)+" "+key] = max(-n, 0)
		}
	}
	for role, limit := range w.limits {
		used := scalarsOf(w.sums(func(h Allocation) bool { return h.Role == role }))
		for name, most := range scalarsOf(modelOf(limit)) {
			excess[role+"'s "+name] = max(used[name]-most, 0)
		}
	}
	return excess
}

// check compares what is left of each agent, and that nothing is remembered without need.
func (w *world) check(t *rapid.T) {
	for id := range w.agents {
		if got, want := w.a.Available(id), resourcesOf(w.free(id)); !got.Equal(want) {
			t.Fatalf("%s has %v left, want %v", id, got, want)
		}
	}
	needed := map[clientKey]bool{}
	for _, h := range w.held {
		if !h.Resources.Empty() {
			needed[clientKey{h.Framework, h.Role}] = true
		}
	}
	filters := 0
	for id, f := range w.frameworks {
		filters += len(f.filters)
		for _, role := range f.roles {
			needed[clientKey{id, role}] = true
		}
	}
	if len(w.a.clients) != len(needed) || len(w.a.filters) > filters || len(w.a.order) != len(w.agents) {
		t.Fatalf("%d clients, %d filters and %d agents are remembered, want %d, %d and %d", len(w.a.clients), len(w.a.filters), len(w.a.order),
			len(needed), filters, len(w.agents))
	}
	for _, role := range w.a.roles {
		if role.clients == 0 && role.weight == One && !role.limited {
			t.Fatalf("role %q is remembered", role.name)
		}
	}
}

func TestAllocatorDoesWhatThePlainOneDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{plain: &plain{agents: map[AgentID]*plainAgent{}, frameworks: map[FrameworkID]*plainFramework{}, weights: map[string]Milli{}, limits: map[string]Resources{}}}
		w.a = NewAllocator(AllocatorConfig{Rand: rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed"))), MaxFiltersPerAgent: 1 << 20})
		actions := w.agentActions()
		for range 3 {
			actions["AddAgent"](t)
		}
		maps.Copy(actions, w.frameworkActions())
		for range 2 {
			actions["AddFramework"](t)
		}
		maps.Copy(actions, w.roleActions())
		for i := range 4 { // more often than the others
			actions[fmt.Sprint("Allocate again ", i)] = w.allocate
			actions[fmt.Sprint("Recover again ", i/2)] = w.recover
		}
		t.Repeat(actions)
	})
}
