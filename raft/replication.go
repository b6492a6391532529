package raft

// Propose appends commands to the leader's log, all or none, and returns the
// index of the first; the others follow on it. Their term is the present one,
// Status().Term. A command is committed when Apply holds its index with this
// term, and lost when it holds the index with another. The caller may not
// change commands or their bytes afterwards.
//
// It returns ErrNotLeader, ErrTransferring while leadership is handed over, and
// ErrOverloaded when MaxUncommittedBytes is reached.
func (n *Node) Propose(commands [][]byte) (first Index, err error) {
	l := n.lead
	if l == nil {
		return 0, ErrNotLeader
	}
	if l.transfer != nil {
		return 0, ErrTransferring
	}
	size := len(commands) * entryOverhead
	for _, c := range commands {
		size += len(c)
	}
	limit := n.cfg.MaxUncommittedBytes
	if l.uncommitted > 0 && l.uncommitted+size > limit || n.unapplied > limit {
		return 0, ErrOverloaded
	}
	first = n.log.last() + 1
	for _, c := range commands {
		n.appendEntry(EntryCommand, c)
	}
	return first, nil
}

// appendEntry appends one entry of the leader's own term. A leader never
// overwrites or deletes entries in its log (Leader Append-Only, Figure 3).
func (n *Node) appendEntry(kind EntryKind, data []byte) Index {
	e := Entry{Term: n.term, Index: n.log.last() + 1, Kind: kind, Data: data}
	n.log.append(e)
	n.lead.uncommitted += entrySize(&e)
	return e.Index
}

// replicate packs what every follower's window has room for. It runs once a
// batch, so that all that was proposed in the batch shares AppendEntries.
func (n *Node) replicate() {
	if n.lead == nil {
		return
	}
	for _, p := range n.lead.peers {
		switch {
		case p.lost:
			continue
		case p.state == Probe && !p.waiting:
			n.sendProbe(p)
		case p.state == Replicate:
			n.sendWindow(p)
		}
		if p.state == Snapshot { // perhaps since just now
			n.requestChunks(p)
		}
	}
}

// sendProbe sends one AppendEntries to find out where the logs agree.
func (n *Node) sendProbe(p *progress) {
	p.progressAt = n.now
	if _, ok := n.sendAppend(p); ok {
		p.waiting = true
	}
}

// sendWindow sends entries ahead of their answers, until too much is under way
// that is not yet durable: deep batches with a shallow pipeline cost the
// follower the fewest flushes.
func (n *Node) sendWindow(p *progress) {
	for p.next <= n.log.last() &&
		len(p.flights) < n.cfg.MaxInflightFrames && p.inflight < n.cfg.MaxInflightBytes {
		if len(p.flights) == 0 {
			p.progressAt = n.now
		} else if !n.log.fills(p.next, n.cfg.FullFrameBytes) {
			return // gather more
		}
		f, ok := n.sendAppend(p)
		if !ok {
			return
		}
		p.next = f.last + 1
		p.flights = append(p.flights, f)
		p.inflight += f.bytes
	}
}

// sendAppend sends the entries from p.next on, which may be none. If the one
// before them is compacted it begins to send the snapshot instead.
func (n *Node) sendAppend(p *progress) (flight, bool) {
	prev := p.next - 1
	term, ok := n.log.term(prev)
	if !ok {
		n.beginInstall(p)
		return flight{}, false
	}
	last, bytes := n.log.upTo(p.next, n.log.last(), n.cfg.MaxAppendBytes)
	n.sendNow(p.id, AppendEntries{
		Term: n.term, PrevIndex: prev, PrevTerm: term, Commit: n.commit,
		Entries: n.log.slice(p.next, last),
	})
	p.told = max(p.told, min(n.commit, last))
	return flight{last: last, bytes: bytes}, true
}

// retry probes anew when nothing has come back for long: then the last frames
// of the window, or the probe itself, were lost. (Earlier frames need no timer:
// the next one is rejected.)
func (n *Node) retry(p *progress) {
	if !p.busy() || p.stalled || n.now-p.progressAt < p.patience {
		return
	}
	p.patience = min(2*p.patience, 8*n.patience())
	switch p.state {
	case Probe:
		p.waiting = false
	case Replicate:
		p.probe(p.match + 1)
	case Snapshot:
		n.retryInstall(p)
	}
}

// lost takes note that messages to a follower are lost with its connection.
func (n *Node) lost(id ID) {
	l := n.lead
	if p := l.peer(id); p != nil {
		p.patience = n.patience()
		// Whatever is sent now is lost as well: wait for its next answer.
		p.progressAt = n.now - p.patience
		if p.state == Replicate {
			p.probe(p.match + 1)
			p.waiting = true
		}
	}
	if t := l.transfer; t != nil && t.to == id {
		n.transferFailed()
	}
}

// ack is the answer to the AppendEntries of one batch: one success speaks for
// all of them.
type ack struct {
	to    ID
	match Index
}

// flushAck queues the answer behind the save that makes it true.
func (n *Node) flushAck() {
	if n.ack.to != None {
		n.send(n.ack.to, AppendReply{Term: n.term, Match: n.ack.match})
		n.ack = ack{}
	}
}

// onAppendEntries is HandleAppendEntriesRequest in raft.tla, receiver's part of
// AppendEntries in Figure 2.
func (n *Node) onAppendEntries(from ID, m AppendEntries) {
	if !validAppend(m) || !n.hear(from) || n.installing() {
		return // while the state machine is being replaced nothing may be committed
	}
	entries := m.Entries
	last := m.PrevIndex + Index(len(entries))
	if m.PrevIndex < n.commit {
		// What is committed is equal in both logs and may be compacted in ours.
		known := min(n.commit-m.PrevIndex, Index(len(entries)))
		entries = entries[known:]
	} else if !n.log.has(m.PrevIndex, m.PrevTerm) {
		n.rejectAppend(from, m)
		return
	}
	n.appendFromLeader(entries)
	n.commitTo(min(m.Commit, last))
	n.ack = ack{to: from, match: max(n.ack.match, last, n.commit)}
}

// validAppend reports whether a log could hold m: Step has not looked into it.
func validAppend(m AppendEntries) bool {
	if m.PrevIndex > maxIndex || m.PrevTerm > m.Term || checkEntries(m.Entries) != nil {
		return false
	}
	if len(m.Entries) == 0 {
		return true
	}
	first, last := m.Entries[0], m.Entries[len(m.Entries)-1]
	if first.Index != m.PrevIndex+1 || first.Term < m.PrevTerm || last.Term > m.Term {
		return false
	}
	for _, e := range m.Entries {
		if e.Kind != EntryConfiguration {
			continue
		}
		if _, err := decodeConfigurationEntry(e); err != nil {
			return false
		}
	}
	return true
}

// rejectAppend tells where the logs may still agree: our last entry up to
// PrevIndex that is not newer than PrevTerm. All after it differ for certain,
// since terms never go back along a log (end of section 5.3).
func (n *Node) rejectAppend(from ID, m AppendEntries) {
	at := n.log.lastNotNewer(min(m.PrevIndex, n.log.last()), m.PrevTerm)
	term, _ := n.log.term(at)
	n.send(from, AppendReply{
		Term: n.term, Rejected: true, PrevIndex: m.PrevIndex, ConflictIndex: at, ConflictTerm: term,
	})
}

// appendFromLeader appends what is new of entries and drops our own entries
// only where one conflicts with the leader's (section 5.3): entries that merely
// come after an old, repeated message stay.
func (n *Node) appendFromLeader(entries []Entry) {
	for len(entries) > 0 && n.log.has(entries[0].Index, entries[0].Term) {
		entries = entries[1:]
	}
	if len(entries) == 0 {
		return
	}
	if keep := entries[0].Index - 1; keep < n.log.last() {
		n.truncate(keep)
	}
	n.log.append(entries...)
	for _, e := range entries {
		if e.Kind == EntryConfiguration {
			c, _ := decodeConfigurationEntry(e) // checked by validAppend
			n.configs = append(n.configs, c)
		}
	}
}

// truncate drops the entries after last, which conflict with the leader's, and
// the configurations that they brought.
func (n *Node) truncate(last Index) {
	if last < n.commit {
		panicf("truncate to %d below commit index %d in term %d", last, n.commit, n.term)
	}
	n.log.truncate(last)
	n.saves.keep(last)
	for len(n.configs) > 1 && n.config().Version > last {
		n.configs = n.configs[:len(n.configs)-1]
	}
}

func (n *Node) onAppendReply(from ID, m AppendReply) {
	if n.lead == nil {
		return
	}
	p := n.lead.peer(from)
	if p == nil || p.lost || m.Match > n.log.last() {
		return
	}
	p.heard = n.now
	if m.Rejected {
		n.backUp(p, m)
		return
	}
	n.accept(p, m.Match)
}

// accept takes over that p's log is durable and equal to ours up to match.
func (n *Node) accept(p *progress, match Index) {
	if match > p.match || p.state == Probe {
		p.progressAt = n.now
		p.patience = n.patience()
	}
	p.acknowledge(match)
	switch {
	case p.state == Probe:
		p.state, p.waiting = Replicate, false
		p.next = p.match + 1
	case p.state == Snapshot && (match >= p.install.index || match >= n.log.prev):
		p.probe(p.match + 1)
	}
	n.advanceCommit()
}

// backUp moves next to the last place where the logs may agree. Of our entries
// those newer than the follower's at ConflictIndex cannot be there either.
func (n *Node) backUp(p *progress, m AppendReply) {
	stale := m.PrevIndex == 0 || m.PrevIndex < p.match || p.state == Snapshot ||
		p.state == Probe && m.PrevIndex != p.next-1 || m.PrevIndex >= p.next
	if stale || m.ConflictIndex > m.PrevIndex {
		return
	}
	agree := n.log.lastNotNewer(m.ConflictIndex, m.ConflictTerm)
	agree = min(agree, m.PrevIndex)
	if agree == m.PrevIndex {
		agree-- // rejected, so it is not there
	}
	if agree < p.match {
		n.doubt(p)
		return
	}
	p.probe(agree + 1)
}

// advanceCommit commits what a quorum has made durable, our own disk counting
// only when it has. Entries of earlier terms are not committed by counting, but
// with the first of ours (section 5.4.2, Figure 8).
func (n *Node) advanceCommit() {
	l := n.lead
	if l == nil {
		return
	}
	index := Index(n.config().Quorum(func(id ID) uint64 {
		if id == n.cfg.ID {
			return uint64(n.saves.durable)
		}
		if p := l.peer(id); p != nil && !p.lost {
			return uint64(p.match)
		}
		return 0
	}))
	if index <= n.commit || !n.log.has(index, n.term) {
		return
	}
	l.uncommitted -= n.log.size(n.commit+1, index)
	n.commitTo(index)
	l.tellAt = min(l.tellAt, n.now+n.cfg.Heartbeat/8)
	n.advanceMembership()
}

// commitTo moves the commit index forward; it never goes back.
func (n *Node) commitTo(index Index) {
	if index <= n.commit {
		return
	}
	if index > n.log.last() {
		panicf("commit index %d beyond last index %d in term %d", index, n.log.last(), n.term)
	}
	n.unapplied += n.log.size(n.commit+1, index)
	n.commit = index
}

// mayApply bounds what is handed out ahead of Applied.
func (n *Node) mayApply() bool {
	return n.handedBytes == 0 || n.handedBytes < 4*n.cfg.MaxApplyBytes
}

func (n *Node) moreToApply() bool {
	return n.handed < n.commit && n.mayApply() && !n.installing()
}

// collectApply hands out committed entries. They need not be durable here: a
// quorum has them, so after a crash this replica gets them again, and its state
// machine starts over from its snapshot.
func (n *Node) collectApply() {
	if !n.moreToApply() {
		return
	}
	last, bytes := n.log.upTo(n.handed+1, n.commit, n.cfg.MaxApplyBytes)
	n.out.Apply = n.log.slice(n.handed+1, last)
	n.handed = last
	n.handedBytes += bytes
}

// Applied tells the core that the state machine has applied everything up to
// index. Without it Apply stops after four times MaxApplyBytes.
func (n *Node) Applied(index Index) {
	index = min(index, n.handed)
	if index <= n.applied {
		return
	}
	size := n.log.size(n.applied+1, index)
	n.unapplied -= size
	n.handedBytes -= size
	n.applied = index
}
