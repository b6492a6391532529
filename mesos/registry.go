package mesos

import (
	"fmt"
	"iter"
	"time"
)

// Registry is what the masters of a cluster agree on: which agents are admitted,
// unreachable or gone, which frameworks there are and were, weights and quotas, the
// documents of the built-in framework, and who was elected last (M-3, and more than it has). It is a state machine for package
// replica: Apply, Snapshot and Restore must not run at the same time as each other or as
// any other method, methods that only read may run at the same time as each other.
//
// What it returns shares its maps, slices and resources: they are not to be changed.
type Registry struct {
	limits  RegistryLimits
	applied uint64
	master  ElectedMaster

	// An id is in at most one of agents, unreachable and gone, and in at most one of
	// frameworks and removed.
	agents      registryTable[AgentRecord]
	unreachable registryTable[UnreachableAgent]
	gone        registryTable[GoneAgent]
	frameworks  registryTable[FrameworkRecord]
	removed     registryTable[RemovedFrameworkRecord]
	weights     registryTable[RoleWeight]
	quotas      registryTable[RoleQuota]
	documents   registryTable[Document]

	renew RenewDocuments
}

// ElectedMaster is the master that was elected last.
type ElectedMaster struct {
	Term    Term // 0: none was
	Name    string
	Address string
}

// Drain is what an operator wants of an agent. The zero value is nothing.
type Drain struct {
	Draining bool
	// Deadline is the Unix time by which its tasks are to have ended, 0 if there is none.
	Deadline time.Duration
	// Deactivated tells that nothing more is offered; of a draining agent it always is so.
	Deactivated bool
}

// AgentRecord is an admitted agent.
type AgentRecord struct {
	Info AgentInfo
	// Boot is the kernel's boot id that it has registered with.
	Boot  string
	Drain Drain
}

// UnreachableAgent is an agent that was admitted and cannot be reached since some Unix time.
type UnreachableAgent struct {
	ID      AgentID
	Since   time.Duration
	Address string
	Boot    string
	Drain   Drain
}

// GoneAgent is an agent that never comes back.
type GoneAgent struct {
	ID    AgentID
	Since time.Duration
}

// FrameworkRecord is a framework that is not removed. Since is the Unix time at which its
// scheduler has connected, or otherwise disconnected.
type FrameworkRecord struct {
	Info      FrameworkInfo
	Connected bool
	Since     time.Duration
}

// RemovedFrameworkRecord is a framework that was removed, and when.
type RemovedFrameworkRecord struct {
	ID    FrameworkID
	Name  string
	Since time.Duration
}

// RoleWeight is a role's weight in thousandths.
type RoleWeight struct {
	Role   string
	Weight Milli
}

// RoleQuota is what a role may have at most.
type RoleQuota struct {
	Role  string
	Limit Resources
}

// Document is what somebody beside the leading master keeps in the registry. What Data says
// is for its writer to know.
type Document struct {
	Name string
	Data []byte
}

// NewRegistry returns an empty registry: no master, no agents.
func NewRegistry(c RegistryConfig) (*Registry, error) {
	c = c.withDefaults()
	if err := c.Limits.check(); err != nil {
		return nil, err
	}
	return newRegistry(c.Limits), nil
}

func newRegistry(l RegistryLimits) *Registry {
	return &Registry{
		limits: l,
		agents: registryTable[AgentRecord]{tag: 'a', encode: encodeAgentRecord},
		unreachable: registryTable[UnreachableAgent]{tag: 'u', encode: encodeUnreachableAgent,
			since: func(u *UnreachableAgent) time.Duration { return u.Since }},
		gone: registryTable[GoneAgent]{tag: 'g', encode: encodeGoneAgent,
			since: func(g *GoneAgent) time.Duration { return g.Since }},
		frameworks: registryTable[FrameworkRecord]{tag: 'f', encode: encodeFrameworkRecord},
		removed: registryTable[RemovedFrameworkRecord]{tag: 'r', encode: encodeRemovedFramework,
			since: func(f *RemovedFrameworkRecord) time.Duration { return f.Since }},
		weights:   registryTable[RoleWeight]{tag: 'w', encode: encodeRoleWeight},
		quotas:    registryTable[RoleQuota]{tag: 'q', encode: encodeRoleQuota},
		documents: registryTable[Document]{tag: 'd', encode: encodeDocument},
	}
}

// Apply carries out an encoded [RegistryCommand] and returns encoded [RegistryResults]. It
// needs no time and keeps no part of command.
func (r *Registry) Apply(index uint64, _ int64, command []byte) []byte {
	c, ok := decodeRegistryCommand(command)
	if !ok {
		r.applied = index
		return RegistryResults{Code: CodeMalformed, Term: r.master.Term}.Append(nil)
	}
	return r.Carry(index, c).Append(nil)
}

// Carry does what Apply does with a command that is not encoded. It keeps parts of c.
func (r *Registry) Carry(index uint64, c RegistryCommand) RegistryResults {
	r.applied = index
	results := make([]RegistryResult, len(c.Operations))
	for i, o := range c.Operations {
		results[i] = r.carry(c.Term, o)
	}
	return RegistryResults{Term: r.master.Term, Results: results}
}

func (r *Registry) carry(term Term, o RegistryOperation) RegistryResult {
	if !o.valid() {
		return RegistryResult{Code: CodeInvalid}
	}
	if e, ok := o.(ElectMaster); ok {
		return r.elect(term, e)
	}
	if term == 0 || term != r.master.Term {
		return RegistryResult{Code: CodeTerm}
	}
	return o.carryOut(r)
}

func (r *Registry) elect(term Term, o ElectMaster) RegistryResult {
	if term <= r.master.Term {
		return RegistryResult{Code: CodeTerm}
	}
	r.master = ElectedMaster{Term: term, Name: o.Name, Address: o.Address}
	return RegistryResult{Changed: true}
}

func (o ElectMaster) valid() bool {
	return CheckName(o.Name) == nil && len(o.Address) <= MaxRegistryText
}

// carryOut is not called: whether the term is new is decided before.
func (o ElectMaster) carryOut(r *Registry) RegistryResult {
	panic(fmt.Sprintf("mesos: registry: election of %q carried out in term %d", o.Name, r.master.Term))
}

// Master returns the master that was elected last.
func (r *Registry) Master() ElectedMaster { return r.master }

// Applied is the index of the last command.
func (r *Registry) Applied() uint64 { return r.applied }

// Agent returns an admitted agent.
func (r *Registry) Agent(id AgentID) (AgentRecord, bool) { return r.agents.get(string(id)) }

// UnreachableAgent returns an agent that is unreachable.
func (r *Registry) UnreachableAgent(id AgentID) (UnreachableAgent, bool) {
	return r.unreachable.get(string(id))
}

// GoneAgent returns an agent that is gone.
func (r *Registry) GoneAgent(id AgentID) (GoneAgent, bool) { return r.gone.get(string(id)) }

// Framework returns a framework that is not removed.
func (r *Registry) Framework(id FrameworkID) (FrameworkRecord, bool) {
	return r.frameworks.get(string(id))
}

// RemovedFramework returns a framework that is removed.
func (r *Registry) RemovedFramework(id FrameworkID) (RemovedFrameworkRecord, bool) {
	return r.removed.get(string(id))
}

// Weight returns a role's weight in thousandths, 0 if it has the default.
func (r *Registry) Weight(role string) Milli {
	w, _ := r.weights.get(role)
	return w.Weight
}

// Quota returns what a role may have at most, if that is bounded.
func (r *Registry) Quota(role string) (limit Resources, limited bool) {
	q, ok := r.quotas.get(role)
	return q.Limit, ok
}

// Agents goes through the admitted agents by id, as the following do through theirs. None
// of them may be under way during Apply; a Clone can be gone through whenever.
func (r *Registry) Agents() iter.Seq[AgentRecord] { return r.agents.all() }

// UnreachableAgents goes through the unreachable agents by id.
func (r *Registry) UnreachableAgents() iter.Seq[UnreachableAgent] { return r.unreachable.all() }

// GoneAgents goes through the gone agents by id.
func (r *Registry) GoneAgents() iter.Seq[GoneAgent] { return r.gone.all() }

// Frameworks goes through the frameworks by id.
func (r *Registry) Frameworks() iter.Seq[FrameworkRecord] { return r.frameworks.all() }

// RemovedFrameworks goes through the removed frameworks by id.
func (r *Registry) RemovedFrameworks() iter.Seq[RemovedFrameworkRecord] { return r.removed.all() }

// Weights goes through the roles that have a weight, by name.
func (r *Registry) Weights() iter.Seq[RoleWeight] { return r.weights.all() }

// Quotas goes through the roles that have a quota, by name.
func (r *Registry) Quotas() iter.Seq[RoleQuota] { return r.quotas.all() }

// Document returns what is kept under a name.
func (r *Registry) Document(name string) (Document, bool) { return r.documents.get(name) }

// Documents goes through those whose names begin with prefix, by name.
func (r *Registry) Documents(prefix string) iter.Seq[Document] { return r.documents.from(prefix) }

// Clone returns a registry of its own with the same state. It takes constant time; the
// first change of each kind to either one afterwards copies a pointer for each row.
func (r *Registry) Clone() *Registry {
	c := *r
	c.agents, c.unreachable, c.gone = r.agents.picture(), r.unreachable.picture(), r.gone.picture()
	c.frameworks, c.removed = r.frameworks.picture(), r.removed.picture()
	c.weights, c.quotas, c.documents = r.weights.picture(), r.quotas.picture(), r.documents.picture()
	return &c
}

// Digest sums up the state: registries with equal digests are, as good as certainly,
// equal. It costs nothing to ask for.
func (r *Registry) Digest() uint64 {
	d := registryMix(r.applied, uint64(r.master.Term))
	d = registryMix(d, registrySum([]byte(r.master.Name)))
	d = registryMix(d, registrySum([]byte(r.master.Address)))
	for _, sum := range [...]uint64{r.agents.sum, r.unreachable.sum, r.gone.sum, r.frameworks.sum, r.removed.sum,
		r.weights.sum, r.quotas.sum, r.documents.sum} {
		d = registryMix(d, sum)
	}
	for _, v := range r.limits.values() {
		d = registryMix(d, uint64(v))
	}
	return d
}

// RegistryStatus is what a registry looks like from outside: how many there are of each.
type RegistryStatus struct {
	Agents, Unreachable, Gone, Frameworks, Removed, Weights, Quotas, Documents int
	// Bytes is what they take, encoded.
	Bytes  int64
	Limits RegistryLimits
}

// Status returns the registry's figures.
func (r *Registry) Status() RegistryStatus {
	return RegistryStatus{Agents: len(r.agents.rows), Unreachable: len(r.unreachable.rows), Gone: len(r.gone.rows),
		Frameworks: len(r.frameworks.rows), Removed: len(r.removed.rows), Weights: len(r.weights.rows),
		Quotas: len(r.quotas.rows), Documents: len(r.documents.rows), Bytes: r.bytes(), Limits: r.limits}
}

func (r *Registry) bytes() int64 {
	return r.agents.bytes + r.unreachable.bytes + r.gone.bytes + r.frameworks.bytes + r.removed.bytes +
		r.weights.bytes + r.quotas.bytes + r.documents.bytes
}
