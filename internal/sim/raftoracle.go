package sim

import (
	"github.com/synod-go/synod/raft"
)

// raftOracle is the oracle of Raft. The rules' names are those of the reliability study, section 4.4.
type raftOracle struct {
	w       *World
	records []*record    // in order of appearance
	byID    [100]*record // IDs are small: see idStep
	chains  [][]mark     // by index: every (term, chain) that any log has had there
	log     []mark       // by index: what is committed; log[0] is the empty log
	terms   []raft.Term  // by index: a term by which it was committed
	leaders map[raft.Term]raft.ID
	granted map[ballot]uint64    // bits of slots that granted a pre-vote
	configs []raft.Configuration // committed, newest last
}

// ballot names a candidate's election.
type ballot struct {
	candidate raft.ID
	term      raft.Term
}

func newRaftOracle(w *World) *raftOracle {
	return &raftOracle{
		w: w, chains: [][]mark{nil}, log: []mark{{}}, terms: []raft.Term{0},
		leaders: map[raft.Term]raft.ID{}, granted: map[ballot]uint64{},
	}
}

func (o *raftOracle) begin(c raft.Configuration) { o.configs = []raft.Configuration{c} }

// committed is the highest index that is known to be committed.
func (o *raftOracle) committed() raft.Index { return raft.Index(len(o.log) - 1) }

func (o *raftOracle) record(id raft.ID) *record {
	if r := o.byID[id]; r != nil {
		return r
	}
	r := &record{id: id, voted: map[raft.Term]raft.ID{}, transfers: map[ballot]bool{}}
	o.records = append(o.records, r)
	o.byID[id] = r
	return r
}

// chain is the chain of the committed log at an index.
func (o *raftOracle) chain(rule string, id raft.ID, i raft.Index) uint64 {
	if i > o.committed() {
		violated(rule, "replica %d has a snapshot of %d, committed is %d", id, i, o.committed())
	}
	return o.log[i].chain
}

// saves notes what an Output wants saved, in the core's log and as pending.
func (o *raftOracle) saves(n *node, own *output) {
	out := own.own.(*raft.Output)
	r := o.record(n.id)
	s := savedState{number: out.Save, hard: out.HardState}
	if h := out.HardState; h != nil {
		old := r.log.hard
		if h.Term < old.Term || h.Term == old.Term && old.Vote != raft.None && h.Vote != old.Vote {
			violated("R6", "replica %d replaces term %d, vote %d by term %d, vote %d", n.id, old.Term, old.Vote, h.Term, h.Vote)
		}
		r.log.hard = *h
	}
	if b := out.Base; b != nil {
		s.rebase, s.base, s.chain = true, b.Index, o.chain("R8", n.id, b.Index)
		r.log.reset(s.base, s.chain)
		r.log.configs = []raft.Configuration{b.Configuration}
	}
	if len(out.Entries) > 0 {
		s.first = out.Entries[0].Index
		s.marks = o.appends(n, r, out.Entries)
	}
	r.pending = append(r.pending, s)
}

// appends checks what a replica adds to its log: R2 and R3.
func (o *raftOracle) appends(n *node, r *record, entries []raft.Entry) []mark {
	first, last := entries[0].Index, r.log.last()
	if first <= r.log.base || first > last+1 {
		violated("R3", "replica %d saves entry %d, its log is %d to %d", n.id, first, r.log.base+1, last)
	}
	if first <= last {
		o.truncates(r, first)
	}
	marks := make([]mark, len(entries))
	before := r.log.chainAt(first - 1)
	for i, e := range entries {
		marks[i] = markOf(before, e)
		before = marks[i].chain
		o.matches(n, e.Index, marks[i])
		if e.Kind == raft.EntryConfiguration {
			r.log.append(first, marks[:i+1])
			o.configures(n, r, e)
		}
	}
	r.log.append(first, marks)
	return marks
}

// truncates is a replica dropping its log from index first on.
func (o *raftOracle) truncates(r *record, first raft.Index) {
	o.w.sometimes.count(sawTruncated)
	if r.role == raft.Leader && o.leaders[r.term] == r.id && r.log.hard.Term == r.term {
		violated("R2", "leader %d of term %d overwrites its log from %d, last %d", r.id, r.term, first, r.log.last())
	}
	if first <= r.commit {
		violated("R7", "replica %d overwrites its log from %d, its commit index is %d", r.id, first, r.commit)
	}
	if r.log.config().Version >= first {
		o.w.sometimes.count(sawConfigRolledBack)
	}
	r.log.dropConfigs(first)
}

// matches is R3: the same index and term mean the same log up to there.
func (o *raftOracle) matches(n *node, i raft.Index, m mark) {
	for len(o.chains) <= int(i) {
		o.chains = append(o.chains, nil)
	}
	for _, known := range o.chains[i] {
		if known.term == m.term {
			if known.chain != m.chain {
				violated("R3", "replica %d: entry %d of term %d follows on another log than elsewhere", n.id, i, m.term)
			}
			return
		}
	}
	o.chains[i] = append(o.chains[i], m)
}

// configures is R11: a configuration and the one before it share a replica in
// every two quorums, and the one before is committed when a leader goes on.
func (o *raftOracle) configures(n *node, r *record, e raft.Entry) {
	c, err := raft.DecodeConfiguration(e.Data)
	if err != nil {
		violated("R11", "replica %d appends a configuration at %d that nobody can read: %v", n.id, e.Index, err)
	}
	c.Version = e.Index
	before := r.log.config()
	if disjoint(before, &c) {
		violated("R11", "configuration %d has a quorum without anyone of a quorum of %d: %v, %v", c.Version, before.Version, before, c)
	}
	if e.Term == r.log.hard.Term && o.leaders[e.Term] == n.id && before.Version > o.committed() {
		violated("R11", "leader %d begins configuration %d, but %d is not committed", n.id, c.Version, before.Version)
	}
	r.log.configs = append(r.log.configs, c)
}

// saved is a save becoming durable.
func (o *raftOracle) saved(n *node, number uint64) {
	r := o.record(n.id)
	done := 0
	for done < len(r.pending) && r.pending[done].number <= number {
		r.pending[done].apply(&r.durable)
		done++
	}
	r.pending = append(r.pending[:0], r.pending[done:]...)
}

func (o *raftOracle) stopped(n *node) { o.record(n.id).role = raft.Follower }

func (o *raftOracle) torn(n *node) { o.record(n.id).torn = true }

func (o *raftOracle) lost(id raft.ID) { o.record(id).lost = true }

// started compares what a process reads with what its disk must hold: all
// saves that were reported durable and a prefix of the others, nothing else
// (W1, W2, W6).
func (o *raftOracle) started(n *node, state any) {
	s := state.(raft.State)
	r := o.record(n.id)
	if s.Snapshot.Index > o.committed() {
		violated("R8", "replica %d starts from snapshot %d, committed is %d", n.id, s.Snapshot.Index, o.committed())
	}
	if len(r.pending) > 0 && r.torn {
		o.w.sometimes.count(sawTornCut)
	}
	candidate := r.durable.clone()
	same, why := candidate.equal(s)
	for i := 0; !same && i < len(r.pending); i++ {
		// A save is several records, of which a batch may hold the first ones.
		for _, part := range r.pending[i].parts() {
			part.apply(&candidate)
			if same, _ = candidate.equal(s); same {
				break
			}
		}
	}
	if !same && n.damaged {
		violated("W2", "replica %d starts from a damaged disk with a log it never had: %s", n.id, why)
	}
	if !same {
		violated("W1", "replica %d: %s; %d saves were on their way", n.id, why, len(r.pending))
	}
	r.pending, r.torn = nil, false
	r.durable = candidate
	if at := s.Snapshot.Index; len(s.Entries) == 0 && at > candidate.last() {
		r.durable.reset(at, o.chain("R8", n.id, at)) // the log goes on after the snapshot alone
	}
	r.log = o.shadowOf(n, s)
	r.snapshot = s.Snapshot.Index
	r.term, r.commit, r.applied, r.fresh = s.HardState.Term, s.Snapshot.Index, s.Snapshot.Index, true
}

// equal reports whether a recovered state is this log. A released beginning may
// be missing, and so may everything if a snapshot covers it.
func (s *shadow) equal(got raft.State) (bool, string) {
	if s.hard != got.HardState {
		return false, sprint("hard state %+v, should be %+v", got.HardState, s.hard)
	}
	last := got.Snapshot.Index
	if n := len(got.Entries); n > 0 {
		last = got.Entries[n-1].Index
	}
	if last != s.last() && (len(got.Entries) > 0 || s.last() > last) {
		return false, sprint("the log ends at %d, should end at %d", last, s.last())
	}
	for _, e := range got.Entries {
		m, ok := s.at(e.Index)
		if ok && m.own != markOf(0, e).own {
			return false, sprint("entry %d has term %d, should have %d, or another content", e.Index, e.Term, m.term)
		}
	}
	return true, ""
}

// shadowOf is the core's log right after raft.New.
func (o *raftOracle) shadowOf(n *node, s raft.State) shadow {
	at := s.Snapshot.Index
	c := shadow{hard: s.HardState, configs: []raft.Configuration{s.Snapshot.Configuration}}
	if len(s.Entries) == 0 {
		c.reset(at, o.chain("R8", n.id, at))
		return c
	}
	first := s.Entries[0].Index
	c.reset(first-1, o.chain("W7", n.id, first-1))
	for _, e := range s.Entries {
		m := markOf(c.chainAt(e.Index-1), e)
		o.matches(n, e.Index, m)
		c.marks = append(c.marks, m)
		if e.Kind == raft.EntryConfiguration && e.Index > at {
			if conf, err := raft.DecodeConfiguration(e.Data); err == nil {
				conf.Version = e.Index
				c.configs = append(c.configs, conf)
			}
		}
	}
	return c
}

// durableAt reports whether a replica's disk holds the entry at i with the
// given chain, or a snapshot that replaces it.
func (r *record) durableAt(i raft.Index, chain uint64) bool {
	if i <= r.durable.base || i <= r.snapshot {
		return true
	}
	m, ok := r.durable.at(i)
	return ok && m.chain == chain
}

// liveConfigurations are the newest configuration of every replica that is not
// lost, and the newest committed one: a core quorum must be one of each.
func (o *raftOracle) liveConfigurations() []*raft.Configuration {
	list := []*raft.Configuration{&o.configs[len(o.configs)-1]}
	for _, r := range o.records {
		if !r.lost && len(r.log.configs) > 0 {
			list = append(list, r.log.config())
		}
	}
	return list
}
