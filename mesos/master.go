package mesos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// LinkID names a connection of an agent to this master, which keeps the order of what it
// carries or breaks. A later one has a higher number; 0 is none.
type LinkID uint64

// MasterOutput is what the inputs since the last Output ask the host to do, in this order.
// The zero value asks for nothing.
type MasterOutput struct {
	// Commit is proposed to the registry as commands of the master's Term, in this order.
	// The results are given to Committed. If one does not come, or is unknown, the host drops
	// the master: the next one reads what has become of it.
	Commit       []RegistryOperation
	ToAgents     []ToAgent
	Answers      []Answer
	ToSchedulers []SchedulerEvent
	// Closed streams get nothing more than what is above.
	Closed []StreamID
	// Happened is for people who watch.
	Happened []Happening
	// Ended, unless empty, is why this master does not go on: the host drops it.
	Ended string
}

// ToAgent is a message for an agent: by Link, or if that is 0 by a new one to Address.
type ToAgent struct {
	Agent   AgentID
	Link    LinkID
	Address string
	Message any // Registered, Shutdown, Ping, Launch, Kill, ShutdownFramework, Acknowledge
}

// Master is the leading master of one Term, from its election to its end. It has nothing
// that the next one needs but what is in the registry. It does no locking.
//
// First its ElectMaster is to be committed; it is ready once Loaded has told it the
// registry as it was right after that.
//
// All times are by one monotonic clock that counts on while the machine sleeps; a time
// before an earlier one counts as that one.
type Master struct {
	config MasterConfig
	term   Term
	// start and unixStart are the same moment, by which Unix time is told.
	now, start, unixStart time.Duration

	ready bool
	ended string
	// registry is a copy of the registry's state, kept up to date by the results of this
	// master's operations: those of all others are refused.
	registry *Registry
	pending  []pendingCommit

	allocator  *Allocator
	alarms     alarms
	allocation alarm
	recovery   alarm
	pruning    alarm

	agents     map[AgentID]*masterAgent
	links      map[LinkID]*masterAgent
	fresh      map[string]*masterAgent // by machine: see registerNew
	frameworks map[FrameworkID]*framework
	streams    map[StreamID]*subscription
	offers     *Offers
	removals   removals
	past       endedTasks
	// expected is how many agents were admitted at the election, 0 once offers are made
	// whoever has come back.
	expected int

	// unheard are agents that were marked unreachable before they have said in this Term what
	// they have. One that is not unreachable any more is none.
	unheard map[AgentID]bool

	// awayNames are the names of agents that this master has marked unreachable: the registry does
	// not keep them. See isNamed.
	awayNames map[AgentID]string

	// naming counts the subscriptions that wait for the registry.
	naming map[FrameworkID]int

	// Numbers of the names that this master has given, and of the containers it has minted.
	agentNumber, frameworkNumber, offerNumber, launches uint64

	out MasterOutput
}

// pendingCommit is an operation whose result has not come.
type pendingCommit struct {
	operation RegistryOperation
	done      func(RegistryResult)
}

// NewMaster returns the master of term, which nobody else has. unix is Unix time at now.
func NewMaster(c MasterConfig, term Term, now, unix time.Duration) (*Master, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	if term == 0 {
		return nil, fmt.Errorf("mesos: master %s with no term", c.Name)
	}
	m := &Master{config: c, term: term, now: now, start: now, unixStart: unix,
		allocator: NewAllocator(c.Allocator), agents: map[AgentID]*masterAgent{}, links: map[LinkID]*masterAgent{},
		fresh: map[string]*masterAgent{}, frameworks: map[FrameworkID]*framework{}, streams: map[StreamID]*subscription{},
		offers: NewOffers(OffersConfig{Max: c.MaxOffers, Timeout: c.OfferTimeout}), unheard: map[AgentID]bool{}, awayNames: map[AgentID]string{},
		naming: map[FrameworkID]int{}}
	m.allocation.ring, m.recovery.ring, m.pruning.ring = m.allocate, m.recoveryOver, m.prune
	m.removals.ring = m.remove
	m.commit(ElectMaster{Name: c.Name, Address: c.Address}, func(RegistryResult) {})
	return m, nil
}

// Term returns the master's term.
func (m *Master) Term() Term { return m.term }

// Ready reports whether the registry was loaded (M-6).
func (m *Master) Ready() bool { return m.ready && m.ended == "" }

// Output takes what there is to do.
func (m *Master) Output() MasterOutput {
	out := m.out
	m.out = MasterOutput{}
	return out
}

// enter begins an input. It is false if the master has ended.
func (m *Master) enter(now time.Duration) bool {
	m.now = max(m.now, now)
	return m.ended == ""
}

func (m *Master) unix() time.Duration { return m.unixStart + m.now - m.start }

// end ends the mastership.
func (m *Master) end(format string, args ...any) {
	if m.ended == "" {
		m.ended = fmt.Sprintf("mesos: master of term %d: ", m.term) + fmt.Sprintf(format, args...)
		m.out.Ended = m.ended
	}
}

// Loaded brings the registry as it was right after this master's ElectMaster, which has
// been committed. The master keeps it: it is a Clone.
func (m *Master) Loaded(now time.Duration, r *Registry) {
	if !m.enter(now) || m.ready {
		return
	}
	if r.Master().Term != m.term {
		m.end("term %d has been elected", r.Master().Term)
		return
	}
	m.registry, m.ready = r, true
	m.out.Happened = append(m.out.Happened, Happening{Kind: HappeningMaster, Subject: m.config.Name, Text: fmt.Sprintf("leads as master of term %d", m.term)})
	for w := range r.Weights() {
		m.allocator.SetWeight(w.Role, w.Weight)
	}
	for q := range r.Quotas() {
		m.allocator.SetQuota(q.Role, q.Limit, true)
	}
	for f := range r.Frameworks() {
		m.recoverFramework(f)
	}
	for a := range r.Agents() {
		m.recoverAgent(a)
	}
	m.expected = len(m.agents)
	for u := range r.UnreachableAgents() {
		m.unheard[u.ID] = true
	}
	m.alarms.set(&m.recovery, m.now+m.config.RegisterTimeout)
	m.alarms.set(&m.pruning, m.now+m.config.PruneInterval)
	m.alarms.set(&m.allocation, m.now+m.config.AllocationInterval)
}

// Next returns when Tick is to be called, if something is to be done at some time.
func (m *Master) Next() (time.Duration, bool) {
	if m.ended != "" {
		return 0, false
	}
	return m.alarms.next()
}

// Tick does what is due.
func (m *Master) Tick(now time.Duration) {
	for m.enter(now) {
		a := m.alarms.due(m.now)
		if a == nil {
			return
		}
		a.ring()
	}
}

// commit proposes o. done is called with the result, unless the master ends before.
func (m *Master) commit(o RegistryOperation, done func(RegistryResult)) {
	m.pending = append(m.pending, pendingCommit{o, done})
	m.out.Commit = append(m.out.Commit, o)
}

// crowded reports whether so much is under way that others have to wait. What the master
// itself has to do is bounded by what there is to do it to.
func (m *Master) crowded() bool { return len(m.pending) >= m.config.MaxPendingCommits }

// Committed brings the results of the operations of Commit, in their order.
func (m *Master) Committed(now time.Duration, results ...RegistryResult) {
	for _, r := range results {
		if !m.enter(now) {
			return
		}
		if len(m.pending) == 0 {
			panic(fmt.Sprintf("mesos: master of term %d: result %v of no operation", m.term, r))
		}
		p := m.pending[0]
		m.pending = m.pending[1:]
		m.committed(p, r)
	}
}

func (m *Master) committed(p pendingCommit, r RegistryResult) {
	if r.Code == CodeTerm {
		m.end("another master has been elected")
		return
	}
	if m.registry != nil && r.Code == CodeOK {
		if own := m.registry.carry(m.term, p.operation); own.Code != CodeOK {
			m.end("the registry has carried out %T, but not by what is known of it: %v", p.operation, own.Code)
			return
		}
	}
	p.done(r)
}

// prune has the registry forget what is old (P-6).
func (m *Master) prune() {
	m.alarms.set(&m.pruning, m.now+m.config.PruneInterval)
	before := max(0, m.unix()-PruneAge)
	m.commit(Prune{Before: before, Keep: PruneKeep}, func(RegistryResult) {
		maps.DeleteFunc(m.unheard, func(id AgentID, _ bool) bool { return m.registry.Standing(id) != StandingUnreachable })
		maps.DeleteFunc(m.awayNames, func(id AgentID, _ string) bool { return m.registry.Standing(id) != StandingUnreachable })
		for _, a := range inOrder(m.agents) {
			if a.state == agentUnreachable && m.registry.Standing(a.id) != StandingUnreachable {
				m.forgetAgent(a)
			}
		}
	})
}

// inOrder are the values of a map by ascending key.
func inOrder[K cmp.Ordered, V any](of map[K]V) []V {
	values := make([]V, 0, len(of))
	for _, k := range slices.Sorted(maps.Keys(of)) {
		values = append(values, of[k])
	}
	return values
}
