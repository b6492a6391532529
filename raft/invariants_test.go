package raft

import "bytes"

// inspect checks the invariants that one turn of h could have broken.
func (w *world) inspect(h *host) {
	n, hist := h.node, &w.history
	s := n.Status()
	if s.Term < hist.terms[h.id] { // R7; a restart resets
		w.fail("term of %d went from %d to %d", h.id, hist.terms[h.id], s.Term)
	}
	hist.terms[h.id] = s.Term
	if !(s.Snapshot <= s.Applied && s.Applied <= s.Commit && s.Commit <= s.LastIndex) { // R8
		w.fail("replica %d: snapshot %d, applied %d, commit %d, last %d", h.id, s.Snapshot, s.Applied, s.Commit, s.LastIndex)
	}
	if s.Role == Leader {
		w.inspectLeader(h, s)
	}
	w.inspectCommitted(h, s)
	w.inspectLease(h)
	w.inspectReads(h)
	pending := 0
	for _, c := range n.configs {
		if c.Version > max(s.Commit, w.history.last) {
			pending++
		}
	}
	if s.Role == Leader && pending > 1 { // R11
		w.fail("leader %d has %d uncommitted configurations", h.id, pending)
	}
}

func (w *world) inspectLeader(h *host, s Status) {
	hist := &w.history
	if other, ok := hist.leaders[s.Term]; ok && other != h.id { // R1
		w.fail("replicas %d and %d lead term %d", other, h.id, s.Term)
	}
	hist.leaders[s.Term] = h.id
	if hist.elected[s.Term] {
		return
	}
	hist.elected[s.Term] = true
	w.events["elected"]++
	for i := s.FirstIndex; i <= hist.last; i++ { // R4
		e := hist.committed[i]
		if !h.node.log.has(i, e.Term) {
			w.fail("leader %d of term %d lacks committed entry %d/%d", h.id, s.Term, i, e.Term)
		}
	}
}

// inspectCommitted holds what h has committed against what anybody has (R3, R5).
func (w *world) inspectCommitted(h *host, s Status) {
	hist := &w.history
	for i := max(s.FirstIndex, hist.commits[h.id]+1); i <= s.Commit; i++ {
		e := *h.node.log.at(i)
		if known, ok := hist.committed[i]; ok {
			if known.Term != e.Term || known.Kind != e.Kind || !bytes.Equal(known.Data, e.Data) {
				w.fail("replica %d commits %v at %d, committed was %v", h.id, e, i, known)
			}
			continue
		}
		if i != hist.last+1 && hist.last != 0 {
			w.fail("replica %d commits %d, known are those up to %d", h.id, i, hist.last)
		}
		hist.committed[i] = e
		hist.last = i
	}
	hist.commits[h.id] = s.Commit
	if w.steps%50 == 0 {
		w.inspectState(h)
	}
}

// inspectState checks the state machine of h against the committed log (R5).
func (w *world) inspectState(h *host) {
	hist := &w.history
	i := 0
	for index := Index(1); index <= h.applied; index++ {
		if e := hist.committed[index]; e.Kind == EntryCommand {
			if i >= len(h.machine) || h.machine[i] != string(e.Data) {
				w.fail("replica %d: state %q at %d, want %q at position %d", h.id, h.machine, h.applied, e.Data, i)
			}
			i++
		}
	}
}

// inspectLease checks that whoever may read from its own state knows all that
// is committed anywhere.
func (w *world) inspectLease(*host) {
	for _, h := range w.hosts {
		if h.node == nil || h.clock() >= h.lease {
			continue
		}
		w.events["lease"]++
		if h.leaseIndex < w.history.last {
			w.fail("replica %d may read at %d until %d, now %d; committed is %d",
				h.id, h.leaseIndex, h.lease, h.clock(), w.history.last)
		}
	}
}

// inspectReads checks that no read misses what was committed when it was asked
// (R12).
func (w *world) inspectReads(h *host) {
	for _, r := range h.reads[min(w.history.readAt[h.id], len(h.reads)):] {
		at, ok := w.history.asked[r.Ref]
		if !ok {
			w.fail("read %d ends twice", r.Ref)
		}
		delete(w.history.asked, r.Ref)
		if r.Err == nil {
			w.events["read"]++
			if r.Index < at {
				w.fail("read %d on %d answered at %d, committed when asked %d", r.Ref, h.id, r.Index, at)
			}
		}
	}
	w.history.readAt[h.id] = len(h.reads)
}

// sent watches the votes that leave (R6).
func (w *world) inspectVotes() {
	for _, p := range w.queue {
		if v, ok := p.message.(Vote); ok && v.Granted {
			key := [2]uint64{uint64(v.Term), uint64(p.from)}
			if to, ok := w.history.votes[key]; ok && to != p.to {
				w.fail("replica %d votes for %d and %d in term %d", p.from, to, p.to, v.Term)
			}
			w.history.votes[key] = p.to
		}
	}
}
