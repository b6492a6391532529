package sim

import (
	"fmt"

	"github.com/synod-go/synod/raft"
)

func sprint(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// receives notes what a process is about to step.
func (o *raftOracle) receives(n *node, from raft.ID, m message) {
	r := o.record(n.id)
	switch m := m.(type) {
	case raft.AppendEntries:
		o.hears(n, r, m.Term)
	case raft.Heartbeat:
		o.hears(n, r, m.Term)
	case raft.RequestVote:
		if m.Transfer {
			r.transfers[ballot{from, m.Term}] = true
		}
	}
}

// hears is a message of a leader. The promise it renews counts from the next
// batch on: what was granted before it in this batch was granted rightly.
func (o *raftOracle) hears(n *node, r *record, term raft.Term) {
	if term >= r.term && term >= n.core.Status().Term { // it may have moved on in this batch
		r.hearing = n.tick
	}
}

// output checks what a process has granted: nobody who has heard a leader
// within Lease helps to elect another (R13, and what leases stand on).
func (o *raftOracle) output(n *node, own *output) {
	out := own.own.(*raft.Output)
	r := o.record(n.id)
	if r.fresh {
		r.fresh, r.heard, r.hearing = false, n.tick, 0
	}
	for _, e := range out.SendNow {
		o.grants(n, r, e)
	}
	for _, e := range out.Send {
		o.grants(n, r, e)
	}
	r.heard = max(r.heard, r.hearing)
	o.commitsEarly(n, r, out)
	for _, e := range out.Apply {
		if e.Index > r.log.last() && out.Save == 0 {
			violated("R8", "replica %d applies entry %d beyond its log, which ends at %d", n.id, e.Index, r.log.last())
		}
	}
}

// commitsEarly looks at what a leader has committed before it looks at what the
// same turn appends after it: the next configuration is begun only then.
func (o *raftOracle) commitsEarly(n *node, r *record, out *raft.Output) {
	s := n.core.Status()
	leads := s.Role == raft.Leader || r.role == raft.Leader
	replaced := len(out.Entries) > 0 && out.Entries[0].Index <= s.Commit
	if leads && s.Commit > r.commit && s.Commit <= r.log.last() && !replaced {
		o.commits(n, r, s, out.Entries)
		r.commit = s.Commit
	}
}

func (o *raftOracle) grants(n *node, r *record, e raft.Envelope) {
	granted := false
	switch m := e.Message.(type) {
	case raft.PreVoteReply:
		granted = m.Granted
	case raft.Vote:
		granted = m.Granted && !r.transfers[ballot{e.To, m.Term}]
	}
	if granted && n.tick < r.heard+o.w.weather.lease {
		violated("R13", "replica %d grants %d %T %d ms after it heard a leader, the promise is %d ms", n.id, e.To, e.Message,
			int64(n.tick-r.heard)/milli, int64(o.w.weather.lease)/milli)
	}
}

// leaves checks a message at the moment it leaves: what it says about the disk
// must be there by now (R10), and votes are given once (R6).
func (o *raftOracle) leaves(n *node, e envelope) {
	r := o.record(n.id)
	switch m := e.message.(type) {
	case raft.RequestVote:
		o.durableTerm(r, m.Term, n.id, "RequestVote")
		o.votes(r, m.Term, n.id)
		o.preVoted(n, r, m)
	case raft.Vote:
		if m.Granted {
			o.durableTerm(r, m.Term, e.to, "Vote")
			o.votes(r, m.Term, e.to)
		}
	case raft.PreVoteReply:
		if m.Granted {
			o.granted[ballot{e.to, m.Term}] |= 1 << n.slot
		}
	case raft.AppendReply:
		// One of an old term may have waited for a flush that also brought the
		// truncation of what it speaks of: as if it had been late on the way.
		if !m.Rejected && m.Match > max(r.durable.last(), r.snapshot) && m.Term >= r.durable.hard.Term {
			violated("R10", "replica %d acknowledges entry %d, its disk ends at %d", n.id, m.Match, r.durable.last())
		}
		if !m.Rejected && m.Term > r.durable.hard.Term && m.Term > r.durableEntryTerm() {
			violated("R10", "replica %d acknowledges in term %d, its disk says term %d", n.id, m.Term, r.durable.hard.Term)
		}
	case raft.InstallSnapshot:
		o.w.fold(uint64(m.Checksum))
	}
}

// durableEntryTerm is the term that the log on the disk proves.
func (r *record) durableEntryTerm() raft.Term {
	if n := len(r.durable.marks); n > 0 {
		return r.durable.marks[n-1].term
	}
	return 0
}

func (o *raftOracle) durableTerm(r *record, term raft.Term, vote raft.ID, what string) {
	hard := r.durable.hard
	if hard.Term < term || hard.Term == term && hard.Vote != vote {
		violated("R10", "replica %d sends %s for %d in term %d, its disk says term %d, vote %d", r.id, what, vote, term, hard.Term, hard.Vote)
	}
}

func (o *raftOracle) votes(r *record, term raft.Term, vote raft.ID) {
	if had, ok := r.voted[term]; ok && had != vote {
		violated("R6", "replica %d votes for %d and for %d in term %d", r.id, had, vote, term)
	}
	r.voted[term] = vote
}

// preVoted is R13: without a transfer, an election follows only on a quorum
// that would help. So one who was cut off does not disturb the others.
func (o *raftOracle) preVoted(n *node, r *record, m raft.RequestVote) {
	if m.Transfer {
		return
	}
	bits := o.granted[ballot{n.id, m.Term}] | 1<<n.slot
	for i := range r.log.configs {
		if majorityOf(&r.log.configs[i], func(id raft.ID) bool { return bits>>slotOf(id)&1 == 1 }) {
			return
		}
	}
	violated("R13", "replica %d starts an election in term %d without a quorum of pre-votes", n.id, m.Term)
}

// status checks a process after each turn.
func (o *raftOracle) status(n *node) {
	s := n.core.Status()
	r := o.record(n.id)
	if s.Term < r.term {
		violated("R7", "replica %d goes back from term %d to %d", n.id, r.term, s.Term)
	}
	if s.Commit < r.commit {
		violated("R7", "replica %d takes its commit index back from %d to %d", n.id, r.commit, s.Commit)
	}
	if s.Snapshot > s.Applied || s.Applied > s.Commit || s.Commit > s.LastIndex {
		violated("R8", "replica %d: snapshot %d, applied %d, commit %d, last %d", n.id, s.Snapshot, s.Applied, s.Commit, s.LastIndex)
	}
	if s.Role == raft.Leader && (r.role != raft.Leader || s.Term != r.term) {
		o.leads(n, r, s.Term)
	}
	if s.Role != raft.Leader && r.role == raft.Leader && s.LastIndex > s.Commit {
		o.w.sometimes.count(sawDeposedWithTail)
		if s.Configuration.Version > s.Commit || s.Configuration.Joint() {
			o.w.sometimes.count(sawConfigInterrupted)
		}
	}
	if s.Role == raft.PreCandidate && r.role == raft.Candidate {
		o.w.sometimes.count(sawSplitVote)
	}
	if s.Commit > r.commit {
		o.commits(n, r, s, nil)
		r.commit = s.Commit
	}
	r.term, r.role = s.Term, s.Role
	r.snapshot = max(r.snapshot, s.Snapshot)
	o.w.fold(uint64(s.Term)<<32 ^ uint64(s.Commit)<<8 ^ uint64(s.Role))
}

// leads is a new leader: R1 and R4.
func (o *raftOracle) leads(n *node, r *record, term raft.Term) {
	o.w.stats.Elections++
	o.w.trace("LEADER    replica %d in term %d", n.id, term)
	if other, ok := o.leaders[term]; ok {
		violated("R1", "replicas %d and %d both lead in term %d", other, n.id, term)
	}
	o.leaders[term] = n.id
	i := o.committed()
	for i > 0 && o.terms[i] >= term {
		i--
	}
	if i > r.log.base {
		if m, ok := r.log.at(i); !ok || m.chain != o.log[i].chain {
			violated("R4", "leader %d of term %d lacks entry %d, committed in term %d or before; its log ends at %d",
				n.id, term, i, o.terms[i], r.log.last())
		}
	}
}

// commits is a commit index that grew. Only a leader may be the first to know,
// by counting replicas whose disks hold an entry of its own term (R9), and
// nobody may see another entry committed than those before (R5).
func (o *raftOracle) commits(n *node, r *record, s raft.Status, coming []raft.Entry) {
	if known := min(s.Commit, o.committed()); known > r.log.base {
		if m, ok := r.log.at(known); !ok || m.chain != o.log[known].chain {
			violated("R5", "replica %d commits another entry %d than was committed before", n.id, known)
		}
	}
	if s.Commit <= o.committed() {
		return
	}
	m, ok := r.log.at(s.Commit)
	if !ok {
		violated("R5", "replica %d commits entry %d, its log is %d to %d", n.id, s.Commit, r.log.base+1, r.log.last())
	}
	term := s.Term
	if s.Role != raft.Leader {
		if r.role != raft.Leader { // it may have counted and stepped down in one turn
			violated("R9", "replica %d commits entry %d before any leader does", n.id, s.Commit)
		}
		term = r.term
	}
	if m.term != term {
		violated("R9", "leader %d of term %d commits entry %d of term %d by counting", n.id, term, s.Commit, m.term)
	}
	o.counts(n, r, s, m, coming)
	for i := o.committed() + 1; i <= s.Commit; i++ {
		m, _ := r.log.at(i)
		o.log = append(o.log, m)
		o.terms = append(o.terms, term)
	}
	for _, c := range r.log.configs {
		if newest := &o.configs[len(o.configs)-1]; c.Version > newest.Version && c.Version <= s.Commit {
			o.configs = append(o.configs, c)
		}
	}
}

// counts checks that a quorum of the configuration in force when the entry was
// counted holds it on disk. A turn may commit an entry, begin a configuration
// and commit another by that one: each of them may be the one that counted.
func (o *raftOracle) counts(n *node, r *record, s raft.Status, m mark, coming []raft.Entry) {
	held := func(id raft.ID) bool { return o.byID[id] != nil && o.byID[id].durableAt(s.Commit, m.chain) }
	for _, e := range coming {
		if e.Kind != raft.EntryConfiguration {
			continue
		}
		if c, err := raft.DecodeConfiguration(e.Data); err == nil && majorityOf(&c, held) {
			return
		}
	}
	for i := len(r.log.configs) - 1; i >= 0; i-- {
		if majorityOf(&r.log.configs[i], held) {
			return
		}
		if r.log.configs[i].Version <= s.Commit {
			break
		}
	}
	violated("R9", "leader %d commits entry %d of term %d without a quorum of %v", n.id, s.Commit, m.term, r.log.config())
}

// applies checks an entry that is handed to a state machine (R5).
func (o *raftOracle) applies(n *node, e raft.Entry) {
	r := o.record(n.id)
	if e.Index != r.applied+1 {
		violated("R5", "replica %d applies entry %d after %d", n.id, e.Index, r.applied)
	}
	r.applied = e.Index
	if e.Index > o.committed() {
		violated("R8", "replica %d applies entry %d, committed is %d", n.id, e.Index, o.committed())
	}
	if m := o.log[e.Index]; m.term != e.Term || m.own != markOf(0, e).own {
		violated("R5", "replica %d applies another entry %d (term %d) than the committed one (term %d)", n.id, e.Index, e.Term, m.term)
	}
}

// installs is a state machine that jumps to a received snapshot.
func (o *raftOracle) installs(n *node, meta raft.SnapshotMeta) {
	r := o.record(n.id)
	if meta.Index > o.committed() || meta.Index < r.applied {
		violated("R8", "replica %d, which applied %d, installs snapshot %d, committed is %d", n.id, r.applied, meta.Index, o.committed())
	}
	r.applied, r.snapshot = meta.Index, max(r.snapshot, meta.Index)
}
