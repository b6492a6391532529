package sim

import (
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/multipaxos"
)

func (o *paxosOracle) receives(*node, consensus.ID, message) {}

// output checks what a process has handed out.
func (o *paxosOracle) output(n *node, out *output) {
	if len(out.alarms) > 0 {
		violated("P2", "replica %d raises an alarm: %v", n.id, out.alarms)
	}
	if out.ended {
		violated("loss", "replica %d believes that its disk has lost votes: %+v", n.id, *out.own.(*multipaxos.Output).Loss)
	}
	if out.lease != 0 {
		o.leases(n, out.lease)
	}
}

// leases is P11: no two leases at one moment, while clocks keep to MaxDrift.
func (o *paxosOracle) leases(n *node, until consensus.Time) {
	if o.w.weather.on&(ClockRate|ClockJump) != 0 || n.clock.at(o.w.now) >= until {
		return
	}
	for _, other := range o.w.nodes {
		if other != n && other.up && other.lease != 0 && other.clock.at(o.w.now) < other.lease {
			violated("P11", "replicas %d and %d both hold a lease", other.id, n.id)
		}
	}
}

// leaves checks a message at the moment it leaves: what it says about the disk
// must be there by now (P5), and what it says is chosen must be (P6, P8).
func (o *paxosOracle) leaves(n *node, e envelope) {
	r := o.record(n.id)
	switch m := e.message.(type) {
	case multipaxos.Prepare:
		o.prepares(n, r, m)
	case multipaxos.Promise:
		o.promiseLeaves(r, m)
	case multipaxos.Accept:
		o.acceptLeaves(n, m)
	case multipaxos.Accepted:
		o.acceptedLeaves(r, m)
	case multipaxos.Heartbeat:
		o.watermark(n.id, m.Chosen)
	case multipaxos.HeartbeatReply:
		o.watermark(n.id, m.Chosen)
	case multipaxos.Learned:
		o.watermark(n.id, m.Chosen)
		for _, entry := range m.Entries {
			o.learned(n.id, entry)
		}
	case multipaxos.InstallSnapshot:
		o.w.fold(uint64(m.Checksum))
	}
}

func (o *paxosOracle) watermark(id consensus.ID, i consensus.Index) {
	if i > o.committed() {
		violated("P8", "replica %d says that slots up to %d are chosen, the chosen prefix ends at %d", id, i, o.committed())
	}
}

// prepares is P1: a ballot is for one attempt of one process, ever, and durable
// before it is used.
func (o *paxosOracle) prepares(n *node, r *paxosRecord, m multipaxos.Prepare) {
	self := life{n.id, n.life}
	if had, ok := o.prepared[m.Ballot]; ok && had != self {
		violated("P1", "replica %d prepares ballot %s in life %d, replica %d has in life %d", n.id, multipaxos.FormatBallot(m.Ballot), n.life, had.id, had.count)
	}
	o.prepared[m.Ballot] = self
	if r.durable.hard.Proposed < m.Ballot {
		violated("P5", "replica %d prepares ballot %s, its disk says %s", n.id, multipaxos.FormatBallot(m.Ballot), multipaxos.FormatBallot(r.durable.hard.Proposed))
	}
	o.epoch(n.id, m.Ballot)
}

// promiseLeaves checks a promise: it is durable, it reports what was voted for,
// every vote that is on the disk, and nothing else.
func (o *paxosOracle) promiseLeaves(r *paxosRecord, m multipaxos.Promise) {
	c := o.epoch(r.id, m.Ballot)
	if r.durable.hard.Promised < m.Ballot {
		violated("P5", "replica %d promises %s, its disk says %s", r.id, multipaxos.FormatBallot(m.Ballot), multipaxos.FormatBallot(r.durable.hard.Promised))
	}
	if place(c, r.id) == 0 {
		violated("P9", "replica %d promises %s and is no acceptor of its epoch", r.id, multipaxos.FormatBallot(m.Ballot))
	}
	o.watermark(r.id, m.Chosen)
	reported := map[consensus.Index]multipaxos.Ballot{}
	for _, run := range m.Runs {
		for _, e := range run.Entries {
			reported[e.Index] = run.Ballot
			if run.Chosen {
				o.learned(r.id, e)
			} else if s, saved := r.durable.slots[e.Index]; !o.voted(r.id, run.Ballot, e) && (!saved || s.ballot != 0 && s.ballot < m.Ballot) {
				// One that the same batch has replaced by a vote with this ballot is told too late to matter.
				violated("P5", "replica %d reports a vote with %s in slot %d, its disk never had it", r.id, multipaxos.FormatBallot(run.Ballot), e.Index)
			}
		}
	}
	for i, s := range r.durable.slots {
		asked := i >= m.From && (m.Next == 0 || i < m.Next) && i > m.Trimmed
		before := s.ballot < m.Ballot && multipaxos.Epoch(s.ballot) == multipaxos.Epoch(m.Ballot)
		if _, ok := reported[i]; asked && before && !ok {
			violated("P5", "replica %d promises %s and leaves out its vote with %s in slot %d", r.id, multipaxos.FormatBallot(m.Ballot),
				multipaxos.FormatBallot(s.ballot), i)
		}
	}
	if m.Next == 0 {
		o.promises(r.id, m.Ballot)
	}
}

// voted reports whether a vote has ever been durable.
func (o *paxosOracle) voted(id consensus.ID, b multipaxos.Ballot, e consensus.Entry) bool {
	in := o.decrees[instance{e.Index, multipaxos.Epoch(b)}]
	if in == nil {
		return false
	}
	for _, p := range in.list {
		if p.ballot == b {
			return p.decree == decreeOf(e) && p.votes&place(o.epoch(id, b), id) != 0
		}
	}
	return false
}

// acceptLeaves is P3: a quorum has promised the ballot. What may be proposed is
// looked at in proposes and votes.
func (o *paxosOracle) acceptLeaves(n *node, m multipaxos.Accept) {
	c := o.epoch(n.id, m.Ballot)
	if !quorumOf(c, o.promised[m.Ballot]) {
		violated("P3", "replica %d proposes with ballot %s, which no quorum has promised", n.id, multipaxos.FormatBallot(m.Ballot))
	}
	if p, ok := o.prepared[m.Ballot]; ok && p != (life{n.id, n.life}) {
		violated("P1", "replica %d proposes with ballot %s of replica %d", n.id, multipaxos.FormatBallot(m.Ballot), p.id)
	}
	for _, e := range m.Entries {
		o.proposes(n.id, m.Ballot, e)
	}
	o.watermark(n.id, m.Chosen)
}

// acceptedLeaves checks that votes are durable when they are told. What is chosen
// needs no vote any more.
func (o *paxosOracle) acceptedLeaves(r *paxosRecord, m multipaxos.Accepted) {
	c := o.epoch(r.id, m.Ballot)
	if place(c, r.id) == 0 {
		return // a learner, whose vote nobody counts
	}
	if r.durable.hard.Promised < m.Ballot {
		violated("P5", "replica %d has accepted with %s, its disk has promised %s", r.id, multipaxos.FormatBallot(m.Ballot), multipaxos.FormatBallot(r.durable.hard.Promised))
	}
	for i := max(m.First, o.committed()+1); i <= m.Last; i++ {
		in := o.decrees[instance{i, multipaxos.Epoch(m.Ballot)}]
		if in == nil || !in.votedFor(m.Ballot, place(c, r.id)) {
			violated("P5", "replica %d has accepted slot %d with %s, its disk never had the vote", r.id, i, multipaxos.FormatBallot(m.Ballot))
		}
	}
}

func (in *proposals) votedFor(b multipaxos.Ballot, who uint64) bool {
	for _, p := range in.list {
		if p.ballot == b {
			return p.votes&who != 0
		}
	}
	return false
}

// status checks a process after each turn.
func (o *paxosOracle) status(n *node) {
	s := n.core.Status()
	r := o.record(n.id)
	if s.Commit < r.commit {
		violated("P8", "replica %d takes its chosen prefix back from %d to %d", n.id, r.commit, s.Commit)
	}
	if s.Commit > o.committed() {
		violated("P6", "replica %d takes slots up to %d for chosen, the chosen prefix ends at %d", n.id, s.Commit, o.committed())
	}
	if s.Snapshot > s.Applied || s.Applied > s.Commit || s.FirstIndex > s.Snapshot+1 {
		violated("P8", "replica %d: slots from %d, snapshot %d, applied %d, chosen %d", n.id, s.FirstIndex, s.Snapshot, s.Applied, s.Commit)
	}
	// Who does not lead may show a lower ballot again: what it heard of a later epoch says
	// nothing of its own, in which it still prepares. Promises are judged on the disk.
	if s.Term < r.term && s.Role == consensus.Leader && r.role == consensus.Leader {
		violated("P4", "replica %d goes back from ballot %s to %s", n.id, multipaxos.FormatBallot(r.term), multipaxos.FormatBallot(s.Term))
	}
	if s.Role == consensus.Leader && (r.role != consensus.Leader || s.Term != r.term) {
		o.leads(n, s.Term)
	}
	if s.Role != consensus.Leader && r.role == consensus.Leader && s.LastIndex > s.Commit {
		o.w.sometimes.count(sawDeposedWithTail)
	}
	if s.Configuration.Epoch > 0 && int(s.Configuration.Epoch) < len(o.epochs) && s.Role == consensus.Leader {
		o.w.sometimes.count(sawSealedLeader)
	}
	r.commit, r.term, r.role = s.Commit, s.Term, s.Role
	r.snapshot = max(r.snapshot, s.Snapshot)
	o.w.fold(uint64(s.Term)<<32 ^ uint64(s.Commit)<<8 ^ uint64(s.Role))
}

// leads is a new leader.
func (o *paxosOracle) leads(n *node, b multipaxos.Ballot) {
	o.w.stats.Elections++
	o.w.trace("LEADER    replica %d with ballot %s", n.id, multipaxos.FormatBallot(b))
	if other, ok := o.leaders[b]; ok && other != n.id {
		violated("P1", "replicas %d and %d both lead with ballot %s", other, n.id, multipaxos.FormatBallot(b))
	}
	o.leaders[b] = n.id
	if !quorumOf(o.epoch(n.id, b), o.promised[b]) {
		violated("P3", "replica %d leads with ballot %s, which no quorum has promised", n.id, multipaxos.FormatBallot(b))
	}
}

// applies checks an entry that is handed to a state machine: it is the chosen one
// (P7), or nothing if that is a ghost (P13).
func (o *paxosOracle) applies(n *node, e consensus.Entry) {
	r := o.record(n.id)
	if e.Index != r.applied+1 {
		violated("P7", "replica %d applies slot %d after %d", n.id, e.Index, r.applied)
	}
	r.applied = e.Index
	d := o.chosen("P6", n.id, e.Index)
	switch {
	case d.ghost && (e.Kind != consensus.EntryNoOp || e.Term != 0):
		violated("P13", "replica %d applies a ghost of ballot %s in slot %d", n.id, multipaxos.FormatBallot(e.Term), e.Index)
	case !d.ghost && d.value != decreeOf(e).value:
		violated("P7", "replica %d applies another entry in slot %d (ballot %s) than the chosen one (ballot %s)", n.id, e.Index,
			multipaxos.FormatBallot(e.Term), multipaxos.FormatBallot(d.term))
	}
}

// installs is a state machine that jumps to a received snapshot.
func (o *paxosOracle) installs(n *node, meta consensus.SnapshotMeta) {
	r := o.record(n.id)
	if meta.Index > o.committed() || meta.Index < r.applied {
		violated("P8", "replica %d, which applied %d, installs snapshot %d, the chosen prefix ends at %d", n.id, r.applied, meta.Index, o.committed())
	}
	r.applied, r.snapshot = meta.Index, max(r.snapshot, meta.Index)
}
