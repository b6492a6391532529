package mesos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// registryModel is the registry as one would write it down: maps, and for each operation
// what it says.
type registryModel struct {
	term        Term
	limits      RegistryLimits
	agents      map[AgentID]AgentRecord
	unreachable map[AgentID]UnreachableAgent
	gone        map[AgentID]time.Duration
	frameworks  map[FrameworkID]FrameworkRecord
	removed     map[FrameworkID]time.Duration
	weights     map[string]Milli
	quotas      map[string]string
	documents   map[string]string
}

func newRegistryModel(l RegistryLimits) *registryModel {
	return &registryModel{limits: l, agents: make(map[AgentID]AgentRecord), unreachable: make(map[AgentID]UnreachableAgent),
		gone: make(map[AgentID]time.Duration), frameworks: make(map[FrameworkID]FrameworkRecord),
		removed: make(map[FrameworkID]time.Duration), weights: make(map[string]Milli), quotas: make(map[string]string), documents: make(map[string]string)}
}

func (m *registryModel) apply(term Term, o RegistryOperation) RegistryCode {
	if _, ok := o.(ElectMaster); ok {
		if term <= m.term {
			return CodeTerm
		}
		m.term = term
		return CodeOK
	}
	if term != m.term || term == 0 {
		return CodeTerm
	}
	switch o := o.(type) {
	case AdmitAgent:
		return m.put(o.Info, o.Boot, StandingNone, StandingAdmitted)
	case UpdateAgent:
		return m.put(o.Info, o.Boot, StandingAdmitted)
	case MarkReachable:
		return m.put(o.Info, o.Boot, StandingNone, StandingUnreachable)
	case MarkUnreachable:
		a, ok := m.agents[o.Agent]
		if !ok {
			return m.agentCode(o.Agent)
		}
		makeRoom(m.unreachable, m.limits.Unreachable-1, func(u UnreachableAgent) time.Duration { return u.Since })
		m.unreachable[o.Agent] = UnreachableAgent{o.Agent, o.Time, a.Info.Address, a.Boot, a.Drain}
		delete(m.agents, o.Agent)
	case MarkGone:
		if s := m.standing(o.Agent); s != StandingAdmitted && s != StandingUnreachable {
			return m.agentCode(o.Agent)
		}
		delete(m.agents, o.Agent)
		delete(m.unreachable, o.Agent)
		makeRoom(m.gone, m.limits.Gone-1, func(d time.Duration) time.Duration { return d })
		m.gone[o.Agent] = o.Time
	case RemoveAgent:
		if m.standing(o.Agent) != StandingAdmitted {
			return m.agentCode(o.Agent)
		}
		delete(m.agents, o.Agent)
	case DrainAgent:
		return m.drain(o.Agent, Drain{true, o.Deadline, true}, false)
	case DeactivateAgent:
		return m.drain(o.Agent, Drain{}, true)
	case ReactivateAgent:
		return m.drain(o.Agent, Drain{}, false)
	default:
		return m.applyRest(o)
	}
	return CodeOK
}

func (m *registryModel) applyRest(o RegistryOperation) RegistryCode {
	switch o := o.(type) {
	case PutFramework:
		old, known := m.frameworks[o.Info.ID]
		if _, removed := m.removed[o.Info.ID]; removed {
			return CodeFrameworkRemoved
		}
		if known && (old.Info.User != o.Info.User || old.Info.Principal != o.Info.Principal) {
			return CodeImmutable
		}
		if !known && len(m.frameworks) == m.limits.Frameworks {
			return CodeFull
		}
		f := FrameworkRecord{o.Info, o.Connected, o.Time}
		if known && !o.Connected {
			f.Connected, f.Since = old.Connected, old.Since
		}
		m.frameworks[o.Info.ID] = f
	case DisconnectFramework:
		f, known := m.frameworks[o.Framework]
		if !known {
			return m.frameworkCode(o.Framework)
		}
		if f.Connected {
			m.frameworks[o.Framework] = FrameworkRecord{f.Info, false, o.Time}
		}
	case RemoveFramework:
		if _, known := m.frameworks[o.Framework]; !known {
			return m.frameworkCode(o.Framework)
		}
		delete(m.frameworks, o.Framework)
		makeRoom(m.removed, m.limits.Removed-1, func(d time.Duration) time.Duration { return d })
		m.removed[o.Framework] = o.Time
	case AllowFramework:
		if _, known := m.frameworks[o.Framework]; !known && m.frameworkCode(o.Framework) == CodeFrameworkUnknown {
			return CodeFrameworkUnknown
		}
		delete(m.removed, o.Framework)
	case SetWeight:
		return setRole(m.weights, m.limits.Roles, o.Role, o.Weight, o.Weight != 0)
	case SetQuota:
		return setRole(m.quotas, m.limits.Roles, o.Role, o.Limit.String(), o.Limited)
	case PutDocument:
		old, known := m.documents[o.Name]
		size := func(name, data string) int { return len(name) + len(data) + 3 } // the lengths take a byte each, the tag one
		all := size(o.Name, string(o.Data))
		for name, data := range m.documents {
			if name != o.Name {
				all += size(name, data)
			}
		}
		longer := !known || len(o.Data) > len(old)
		if !known && len(m.documents) == m.limits.Documents || longer && all > int(m.limits.DocumentBytes) {
			return CodeFull
		}
		m.documents[o.Name] = string(o.Data)
	case RemoveDocument:
		delete(m.documents, o.Name)
	case Prune:
		keep := cmp.Or(o.Keep, 1000)
		maps.DeleteFunc(m.unreachable, func(_ AgentID, u UnreachableAgent) bool { return u.Since < o.Before })
		maps.DeleteFunc(m.gone, func(_ AgentID, d time.Duration) bool { return d < o.Before })
		maps.DeleteFunc(m.removed, func(_ FrameworkID, d time.Duration) bool { return d < o.Before })
		makeRoom(m.unreachable, keep, func(u UnreachableAgent) time.Duration { return u.Since })
		makeRoom(m.gone, keep, func(d time.Duration) time.Duration { return d })
		makeRoom(m.removed, keep, func(d time.Duration) time.Duration { return d })
	}
	return CodeOK
}

func (m *registryModel) standing(id AgentID) Standing {
	if _, ok := m.agents[id]; ok {
		return StandingAdmitted
	} else if _, ok := m.unreachable[id]; ok {
		return StandingUnreachable
	} else if _, ok := m.gone[id]; ok {
		return StandingGone
	}
	return StandingNone
}

func (m *registryModel) agentCode(id AgentID) RegistryCode {
	return map[Standing]RegistryCode{StandingNone: CodeAgentUnknown, StandingAdmitted: CodeAgentAdmitted,
		StandingUnreachable: CodeAgentUnreachable, StandingGone: CodeAgentGone}[m.standing(id)]
}

func (m *registryModel) frameworkCode(id FrameworkID) RegistryCode {
	if _, ok := m.removed[id]; ok {
		return CodeFrameworkRemoved
	}
	return CodeFrameworkUnknown
}

func (m *registryModel) put(i AgentInfo, boot string, allowed ...Standing) RegistryCode {
	if !slices.Contains(allowed, m.standing(i.ID)) {
		return m.agentCode(i.ID)
	}
	a, u := m.agents[i.ID], m.unreachable[i.ID]
	drain := a.Drain
	switch m.standing(i.ID) {
	case StandingAdmitted:
		if a.Info.Address != i.Address && a.Boot != boot {
			return CodeElsewhere
		}
	case StandingUnreachable:
		if u.Address != i.Address && u.Boot != boot {
			return CodeElsewhere
		}
		drain = u.Drain
	}
	if m.standing(i.ID) != StandingAdmitted && len(m.agents) == m.limits.Agents {
		return CodeFull
	}
	delete(m.unreachable, i.ID)
	m.agents[i.ID] = AgentRecord{i, boot, drain}
	return CodeOK
}

// drain sets it, or only that the agent is deactivated.
func (m *registryModel) drain(id AgentID, d Drain, only bool) RegistryCode {
	if a, ok := m.agents[id]; ok {
		if only {
			d = a.Drain
			d.Deactivated = true
		}
		a.Drain = d
		m.agents[id] = a
		return CodeOK
	}
	if u, ok := m.unreachable[id]; ok {
		if only {
			d = u.Drain
			d.Deactivated = true
		}
		u.Drain = d
		m.unreachable[id] = u
		return CodeOK
	}
	return m.agentCode(id)
}

func setRole[V any](m map[string]V, limit int, role string, v V, set bool) RegistryCode {
	_, known := m[role]
	switch {
	case !set:
		delete(m, role)
	case !known && len(m) == limit:
		return CodeFull
	default:
		m[role] = v
	}
	return CodeOK
}

// makeRoom removes the oldest, by id among equals, until there are at most keep.
func makeRoom[K ~string, V any](m map[K]V, keep int, since func(V) time.Duration) {
	for len(m) > keep {
		ids := slices.Sorted(maps.Keys(m))
		delete(m, slices.MinFunc(ids, func(a, b K) int { return cmp.Compare(since(m[a]), since(m[b])) }))
	}
}

func sortedValues[K ~string, V any](m map[K]V) (list []V) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[k])
	}
	return list
}

func (m *registryModel) state() string {
	return fmt.Sprint(m.term, sortedValues(m.agents), sortedValues(m.unreachable), m.gone, sortedValues(m.frameworks), m.removed, m.weights, m.quotas, m.documents)
}

// modelState is a registry's state in the words of the model.
func modelState(r *Registry) string {
	m := newRegistryModel(r.limits)
	for g := range r.GoneAgents() {
		m.gone[g.ID] = g.Since
	}
	for f := range r.RemovedFrameworks() {
		m.removed[f.ID] = f.Since
	}
	for w := range r.Weights() {
		m.weights[w.Role] = w.Weight
	}
	for q := range r.Quotas() {
		m.quotas[q.Role] = q.Limit.String()
	}
	for d := range r.Documents("") {
		m.documents[d.Name] = string(d.Data)
	}
	return fmt.Sprint(r.Master().Term, slices.Collect(r.Agents()), slices.Collect(r.UnreachableAgents()), m.gone,
		slices.Collect(r.Frameworks()), m.removed, m.weights, m.quotas, m.documents)
}

func drawOperation(t *rapid.T) RegistryOperation {
	id := rapid.SampledFrom([]AgentID{"a", "b", "c", "d", "e", "f"}).Draw(t, "agent")
	framework := rapid.SampledFrom([]FrameworkID{"f", "g", "h", "i"}).Draw(t, "framework")
	role := rapid.SampledFrom([]string{"web", "batch", "*"}).Draw(t, "role")
	at := time.Duration(rapid.IntRange(0, 9).Draw(t, "time"))
	a, f := agentInfo(id), frameworkInfo(framework)
	a.Address = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "address")
	boot := rapid.SampledFrom([]string{"1", "2"}).Draw(t, "boot")
	f.User = rapid.SampledFrom([]string{"ann", "ann", "ann", "bob"}).Draw(t, "user")
	f.Hostname = rapid.SampledFrom([]string{"h1", "h2"}).Draw(t, "host")
	yes := rapid.Bool().Draw(t, "yes")
	return rapid.SampledFrom([]RegistryOperation{AdmitAgent{a, boot}, AdmitAgent{a, boot}, UpdateAgent{a, boot}, MarkUnreachable{id, at},
		MarkReachable{a, boot}, MarkGone{id, at}, RemoveAgent{id}, DrainAgent{id, at}, DeactivateAgent{id}, ReactivateAgent{id},
		PutFramework{f, yes, at}, PutFramework{f, yes, at}, DisconnectFramework{framework, at}, RemoveFramework{framework, at}, AllowFramework{framework},
		SetWeight{role, Milli(at)}, SetQuota{role, yes, parsed("cpus:" + fmt.Sprint(int(at)+1))},
		Prune{at, rapid.IntRange(0, 4).Draw(t, "keep")}, ElectMaster{Name: "m"},
		PutDocument{role, []byte(rapid.StringN(0, 9, 9).Draw(t, "data"))}, RemoveDocument{role}}).Draw(t, "operation")
}

func TestTheRegistryDoesWhatItsModelDoes(t *testing.T) {
	limits := RegistryLimits{Agents: 4, Unreachable: 3, Gone: 2, Removed: 2, Frameworks: 3, Roles: 2, Documents: 2, DocumentBytes: 22}
	rapid.Check(t, func(t *rapid.T) {
		r, err := NewRegistry(RegistryConfig{Limits: limits})
		if err != nil {
			t.Fatal(err)
		}
		b, m := &registered{t: rapidTB{t: t}, r: r}, newRegistryModel(limits)
		next := Term(1)
		var clone *registered
		var cloned string
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			term := m.term
			var operations []RegistryOperation
			for range rapid.IntRange(1, 3).Draw(t, "operations") {
				operations = append(operations, drawOperation(t))
			}
			if rapid.IntRange(0, 9).Draw(t, "whose") == 0 || m.term == 0 {
				term = Term(rapid.Uint64Range(0, uint64(next)).Draw(t, "term"))
				operations = append([]RegistryOperation{ElectMaster{Name: "n"}}, operations...)
				next = max(next, term+1)
			}
			results := b.do(term, operations...)
			for i, o := range operations {
				if want := m.apply(term, o); results[i].Code != want {
					t.Fatalf("%+v in term %d: %v, the model says %v", o, term, results[i].Code, want)
				}
			}
			if got, want := modelState(b.r), m.state(); got != want {
				t.Fatalf("after %+v\n%s\nthe model has\n%s", operations, got, want)
			}
			if clone != nil && clone.state() != cloned {
				t.Fatal("a clone has changed")
			}
			if rapid.IntRange(0, 7).Draw(t, "clone") == 0 {
				clone = &registered{r: b.r.Clone()}
				cloned = clone.state()
			}
		}
	})
}

// rapidTB lets a registered fail a rapid test, and needs no more of testing.TB for that.
type rapidTB struct {
	testing.TB
	t *rapid.T
}

func (b rapidTB) Helper()                           {}
func (b rapidTB) Fatalf(format string, args ...any) { b.t.Fatalf(format, args...) }
